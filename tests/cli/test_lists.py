"""`longtail methods` and `longtail data`."""

from __future__ import annotations

import re

import pytest

from longtail.data.builtin import BUILTIN
from longtail.methods.options import METHODS
from longtail.models.backbones import BACKBONES

from .conftest import Run


@pytest.mark.parametrize("name", ["methods", "data"])
def test_a_list_fits_into_80_columns(run: Run, name: str):
    assert max(map(len, run(name).out.splitlines())) <= 80


def test_every_method_and_backbone_is_listed_with_its_summary(run: Run):
    out = " ".join(run("methods").out.split())
    for name, summary in {**METHODS, **BACKBONES}.items():
        assert f"{name} {summary}" in out


def test_every_builtin_data_set_and_layout_is_listed(run: Run):
    out = run("data").out
    assert re.findall(r"^  ([\w-]+) {4,}\w", out.partition("Data of your own")[0], re.MULTILINE) == [*BUILTIN]
    for word in ("photos/cat/1.jpg", "labels.csv", ".zip", "longtail diagnose"):
        assert word in out
