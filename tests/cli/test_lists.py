"""`longtail methods` and `longtail data`."""

from __future__ import annotations

import re

import pytest

from longtail.data.builtin import BUILTIN
from longtail.data.published.official import OFFICIAL
from longtail.methods.rows import METHODS
from longtail.models.backbones import BACKBONES

from .conftest import Run


@pytest.mark.parametrize("name", ["methods", "data"])
def test_a_list_fits_into_80_columns(run: Run, name: str):
    assert max(map(len, run(name).out.splitlines())) <= 80


def test_every_method_and_backbone_is_listed_with_its_summary(run: Run):
    out = " ".join(run("methods").out.split())
    for name, summary in {**{name: row.summary for name, row in METHODS.items()}, **BACKBONES}.items():
        assert f"{name} {summary}" in out


def names(listing: str) -> list[str]:
    return re.findall(r"^  ([\w-]+) {4,}\w", listing, re.MULTILINE)


def test_every_builtin_data_set_and_layout_is_listed(run: Run):
    builtin, published, own = re.split("Published data sets|Data of your own", run("data").out)
    assert names(builtin) == [*BUILTIN]
    assert names(published) == [layout.name for layout in OFFICIAL]
    for word in ("photos/cat/1.jpg", "labels.csv", ".zip", "longtail diagnose"):
        assert word in own


def test_a_published_data_set_is_listed_with_what_is_expected_and_allowed(run: Run):
    out = " ".join(run("data").out.split())
    for layout in OFFICIAL:
        expected = " ".join(layout.expected)
        facts = (
            f"{layout.size} {layout.labels} Licence: {layout.licence} {layout.source} Expected: {expected}"
        )
        assert f"{layout.name} {facts}" in out
