"""`longtail cache`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from longtail.features.cache import FeatureCache, Maker, digest_of, entries

from .conftest import Run


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of two makers, one of them with a long name."""
    monkeypatch.setenv("LONGTAIL_CACHE", str(tmp_path))
    for name, network in (("ab", "Lite0"), ("cd", "vit_base_patch16_clip_quickgelu_224")):
        cache = FeatureCache(tmp_path, name * 16, 3, Maker(network, (128, 128), name == "cd", "now"))
        cache.add([digest_of(name.encode())], np.zeros((1, 3), np.float32))
    return tmp_path


def test_what_is_kept_is_listed_within_80_columns(run: Run, root: Path):
    out = run("cache").out
    assert out.startswith(f"{root}: ")
    assert " of at most 20 GB\n" in out
    lines = out.splitlines()[1:]
    assert max(map(len, lines)) <= 80
    assert {line[:24].rstrip() for line in lines[2:]} == {
        "abababab  Lite0, 128x128",
        "cdcdcdcd  vit_base_patch",
    }


def test_the_bound_is_that_of_the_environment(run: Run, root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LONGTAIL_CACHE_BYTES", "500M")
    assert " of at most 500 MB\n" in run("cache").out


def test_one_is_removed_or_all(run: Run, root: Path):
    assert "removed" in run("cache", "ab", "--clear").out
    assert [entry.name for entry in entries(root)] == ["cdcdcdcd"]
    run("cache", "--clear")
    assert entries(root) == []
    assert run("cache").out.count("\n") == 1


def test_a_name_that_is_none_is_a_mistake_and_nothing_is_removed(run: Run, root: Path):
    message = run("cache", "ab", "x", "--clear").mistake
    assert message.startswith("x: expected the name of cached features (")
    assert len(entries(root)) == 2
