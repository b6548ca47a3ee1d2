import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.errors import InputError
from longtail.features import cache as module
from longtail.features.cache import (
    LARGEST,
    FeatureCache,
    Maker,
    cache_bound,
    cache_folder,
    digest_of,
    entries,
    remove,
    trim,
)


def digests(*names):
    return [digest_of(name.encode()) for name in names]


def vectors(n, size=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, size)).astype(np.float32)


@given(
    st.lists(st.lists(st.integers(0, 12), unique=True, max_size=6), max_size=5), st.lists(st.integers(0, 12))
)
def test_it_is_a_dictionary_from_images_to_vectors(tmp_path_factory, added, asked):
    root = tmp_path_factory.mktemp("cache")
    twin: dict[int, np.ndarray] = {}
    cache = FeatureCache(root, "maker", 3)
    for seed, numbers in enumerate(added):
        new = [n for n in numbers if n not in twin]
        rows = vectors(len(new), seed=seed)
        cache.add(digests(*map(str, new)), rows)
        twin |= dict(zip(new, rows.astype(np.float16)))
    for found in (cache, FeatureCache(root, "maker", 3)):  # as it is, and opened again
        assert len(found) == len(twin)
        known = [n for n in asked if n in twin]
        expected = np.array([twin[n] for n in known], np.float16).reshape(-1, 3)
        np.testing.assert_array_equal(found.read(digests(*map(str, known))), expected)
        missing = list(dict.fromkeys(n for n in asked if n not in twin))
        assert [asked[i] for i in found.missing(digests(*map(str, asked)))] == missing


def test_another_maker_and_another_size_are_another_cache(tmp_path):
    FeatureCache(tmp_path, "a", 3).add(digests("x"), vectors(1))
    assert len(FeatureCache(tmp_path, "b", 3)) == 0
    assert len(FeatureCache(tmp_path, "a", 4)) == 0
    with pytest.raises(KeyError):
        FeatureCache(tmp_path, "b", 3).read(digests("x"))


def test_an_image_that_changed_has_no_vector(tmp_path):
    pixels = np.zeros((2, 3, 3), np.uint8)
    changed = pixels.copy()
    changed[1, 2, 0] = 1
    assert digest_of(pixels) != digest_of(changed)
    assert digest_of(pixels) != digest_of(pixels.reshape(3, 2, 3))
    assert digest_of(pixels) == digest_of(np.asfortranarray(pixels))
    cache = FeatureCache(tmp_path, "a", 3)
    cache.add([digest_of(pixels)], vectors(1))
    assert cache.missing([digest_of(pixels), digest_of(changed)]).tolist() == [1]


@pytest.mark.parametrize("ending", ["digests", "vectors"])
@pytest.mark.parametrize("fault", ["cut", "empty", "removed", "other"])
def test_a_damaged_piece_does_not_count_and_the_others_do(tmp_path, ending, fault):
    cache = FeatureCache(tmp_path, "a", 3)
    cache.add(digests("x", "y"), vectors(2))
    (damaged,) = (tmp_path / "a").glob(f"*.{ending}.npy")
    cache.add(digests("z"), vectors(1))
    if fault == "cut":
        damaged.write_bytes(damaged.read_bytes()[:-5])
    elif fault == "empty":
        damaged.write_bytes(b"")
    elif fault == "removed":
        damaged.unlink()
    else:
        np.save(damaged, np.zeros((2, 2), np.float64))
    again = FeatureCache(tmp_path, "a", 3)
    assert len(again) == 1
    assert again.missing(digests("x", "y", "z")).tolist() == [0, 1]


@pytest.mark.parametrize("good", [0, 1])
def test_a_full_disk_leaves_nothing_and_says_so(tmp_path, monkeypatch, good):
    left, save = [good], np.save

    def full(*arguments):
        if not left[0]:
            raise OSError(28, "No space left on device")
        left[0] -= 1
        save(*arguments)

    cache = FeatureCache(tmp_path, "a", 3)
    monkeypatch.setattr(module.np, "save", full)
    with pytest.raises(
        InputError, match=r"vectors cannot be kept \(.*No space left.*longtail cache --clear"
    ) as e:
        cache.add(digests("x"), vectors(1))
    assert "\n" not in str(e.value)
    assert list((tmp_path / "a").iterdir()) == []
    assert digests("x")[0] not in cache


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"vectors cannot be kept .*another folder, LONGTAIL_CACHE=FOLDER"):
        FeatureCache(tmp_path / "file", "a", 3).add(digests("x"), vectors(1))


def test_a_cache_of_somebody_else_can_be_read(tmp_path, monkeypatch):
    FeatureCache(tmp_path, "a", 3).add(digests("x"), vectors(1))

    touched = []

    def forbidden(path):
        touched.append(path)
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(module.os, "utime", forbidden)
    assert len(FeatureCache(tmp_path, "a", 3)) == 1
    assert touched == [tmp_path / "a"]


FILLING = """
import sys
from pathlib import Path
import numpy as np
from longtail.features.cache import FeatureCache, Maker, digest_of
cache = FeatureCache(Path(sys.argv[1]), "a", 3, Maker("net", (4, 4), False, "now"))
sys.stdin.readline()
for number in range(20):
    cache.add([digest_of(str(number).encode())], np.full((1, 3), number, np.float32))
"""


def test_two_processes_may_fill_a_cache_at_once(tmp_path):
    command = [sys.executable, "-c", FILLING, str(tmp_path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        process.stdin.write(b"go\n")
        process.stdin.close()
    assert [process.wait() for process in processes] == [0, 0]
    cache = FeatureCache(tmp_path, "a", 3)
    assert cache.read(digests(*map(str, range(20))))[:, 0].tolist() == list(range(20))
    assert [path.name for path in (tmp_path / "a").iterdir() if path.suffix != ".npy"] == ["maker.json"]


def test_what_made_the_vectors_is_kept_beside_them(tmp_path):
    about = Maker("lite0", (128, 96), True, "2026-01-01T00:00:00+00:00")
    FeatureCache(tmp_path, "a" * 32, 3, about).add(digests("x"), vectors(1))
    (entry,) = entries(tmp_path)
    assert (entry.about, str(entry.about), entry.name) == (about, "lite0, 128x96, mirrored", "a" * 8)
    (tmp_path / ("a" * 32) / "maker.json").write_text("{")
    assert entries(tmp_path)[0].about is None
    assert len(FeatureCache(tmp_path, "a" * 32, 3)) == 1


def test_folders_of_other_files_are_none_of_the_cache(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "a.tex").write_text("x" * 100)
    cache = FeatureCache(tmp_path, "a", 3)
    cache.add(digests("x"), vectors(1))
    (cache.folder / "note.txt").touch()
    (entry,) = entries(tmp_path)
    trim(tmp_path, largest=0)
    remove(tmp_path, entry)
    assert [path.name for path in cache.folder.iterdir()] == ["note.txt"]
    assert (tmp_path / "thesis" / "a.tex").exists()
    assert entries(tmp_path) == []


@pytest.mark.parametrize(
    ("said", "number"),
    [(None, LARGEST), ("", LARGEST), ("300", 300), ("2k", 2048), ("50 GB", None), ("1.5G", None)],
)
def test_its_bound_can_be_set(monkeypatch, said, number):
    monkeypatch.delenv("LONGTAIL_CACHE_BYTES", raising=False)
    if said is not None:
        monkeypatch.setenv("LONGTAIL_CACHE_BYTES", said)
    if number is None:
        with pytest.raises(InputError, match="LONGTAIL_CACHE_BYTES: expected a number of bytes"):
            cache_bound()
    else:
        assert cache_bound() == number


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 3)), np.zeros((1, 4)), np.full((1, 3), np.nan), np.full((1, 3), 1e9)]
)
def test_vectors_that_do_not_fit_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="finite vectors"), np.errstate(over="ignore"):
        FeatureCache(tmp_path, "a", 3).add(digests("x"), wrong)


def test_vectors_are_mapped_and_not_loaded(tmp_path):
    cache = FeatureCache(tmp_path, "a", 3)
    cache.add(digests("x"), vectors(1))
    assert isinstance(FeatureCache(tmp_path, "a", 3)._pieces[0], np.memmap)


def test_what_was_used_longest_ago_goes_first(tmp_path):
    for age, maker in enumerate(("new", "middle", "old")):
        FeatureCache(tmp_path, maker, 3).add(digests("x", maker), vectors(2))
        os.utime(tmp_path / maker, (1000 - age, 1000 - age))
    found = entries(tmp_path)
    assert [(entry.maker, entry.images) for entry in found] == [("new", 2), ("middle", 2), ("old", 2)]
    removed = trim(tmp_path, largest=found[0].bytes + found[1].bytes)
    assert [entry.maker for entry in removed] == ["old"]
    assert [entry.maker for entry in entries(tmp_path)] == ["new", "middle"]
    assert trim(tmp_path) == []
    assert [entry.maker for entry in trim(tmp_path, largest=0)] == ["middle"]
    assert entries(tmp_path / "nowhere") == []


@pytest.mark.parametrize("whole", [True, False])
def test_what_another_process_removes_meanwhile_is_passed_over(tmp_path, monkeypatch, whole):
    for maker in ("a", "b"):
        FeatureCache(tmp_path, maker, 3).add(digests("x", maker), vectors(2))
    aside, iterdir = tmp_path / "a" / ".piece.part", Path.iterdir
    aside.touch()

    def removed_once_listed(folder):
        listed = list(iterdir(folder))
        if folder == tmp_path / "a" and whole:
            shutil.rmtree(folder)
        aside.unlink(missing_ok=True)
        return iter(listed)

    monkeypatch.setattr(Path, "iterdir", removed_once_listed)
    monkeypatch.setattr(Path, "is_file", lambda _: True)
    found = {entry.maker: entry.images for entry in entries(tmp_path)}
    assert found == ({"b": 2} if whole else {"a": 2, "b": 2})


def test_a_cache_that_is_read_counts_as_used(tmp_path):
    FeatureCache(tmp_path, "a", 3).add(digests("x"), vectors(1))
    os.utime(tmp_path / "a", (1, 1))
    FeatureCache(tmp_path, "a", 3)
    assert entries(tmp_path)[0].used > 1


def test_its_place_can_be_named(monkeypatch, tmp_path):
    monkeypatch.setenv("LONGTAIL_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("LONGTAIL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "longtail"
