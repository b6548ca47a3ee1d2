"""The published schemas of docs/schemas."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.fixture
def schemas(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(DOCS))
    yield importlib.import_module("make_schemas")
    sys.modules.pop("make_schemas")


def test_the_committed_schemas_are_what_the_types_say(schemas) -> None:
    assert {path.stem for path in (DOCS / "schemas").glob("*.json")} == set(schemas.FORMS)
    for name in schemas.FORMS:
        committed = (DOCS / "schemas" / f"{name}.json").read_text(encoding="utf-8")
        assert committed == schemas.schema_text(name), "make docs writes it anew"


def test_every_object_demands_its_keys_and_refuses_others(schemas) -> None:
    for name, form in schemas.FORMS.items():
        objects = [part for part in form.schema()["$defs"].values() if "properties" in part]
        assert len(objects) >= 9, name
        assert all(part["additionalProperties"] is False for part in objects)


def test_the_schema_of_results_demands_every_key_but_the_latest(schemas) -> None:
    latest = {"faults", "caveat", "image_groups", "recall_low", "recall_high", "rare_average_precision"}
    latest |= {"calibration", "threshold", "sets", "linear"}
    for part in schemas.FORMS["results"].schema()["$defs"].values():
        assert set(part["properties"]) - set(part["required"]) <= latest  # older files are read


def test_descriptions_have_no_indentation_left_over(schemas) -> None:
    described = schemas.FORMS["results"].schema()["$defs"]["Results"]["description"]
    assert "\n\nAttributes:\n    created" in described
