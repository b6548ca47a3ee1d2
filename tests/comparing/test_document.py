"""comparison.json: written and read again without a change, and what does not fit is refused."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from longtail.comparing.document import COMPARISON, ComparisonDocument
from longtail.errors import InputError
from longtail.evaluation.metrics import FREQUENCY_GROUPS, METRICS

from .comparison_documents import several_attributes, single_attribute, typed

Json = dict[str, Any]
Edit = Callable[[Json], object]
PUBLISHED = sorted((Path(__file__).parents[2] / "benchmarks" / "results").glob("comparison-*.json"))


@pytest.mark.parametrize("make", [single_attribute, several_attributes])
def test_what_is_written_is_read_again(tmp_path: Path, make: Callable[[], Json]):
    document = make()
    COMPARISON.write(tmp_path / "comparison.json", typed(document))
    assert COMPARISON.read(tmp_path / "comparison.json") == typed(document)
    assert [path.name for path in tmp_path.iterdir()] == ["comparison.json"]


def test_the_file_has_the_keys_in_the_order_of_the_type_and_an_indent_of_one(tmp_path: Path):
    COMPARISON.write(tmp_path / "comparison.json", typed(single_attribute()))
    text = (tmp_path / "comparison.json").read_text()
    assert text == json.dumps(single_attribute(), indent=1, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_published_comparisons_are_read_and_written_without_a_change(path: Path):
    written = json.loads(COMPARISON.encode(COMPARISON.read(path)))
    assert json.dumps(written, ensure_ascii=False, separators=(",", ":")) == path.read_text().rstrip("\n")


def test_numbers_that_json_does_not_have_are_written_as_null(tmp_path: Path):
    def with_gaps(document: ComparisonDocument) -> ComparisonDocument:
        method, replace = document.methods[0], msgspec.structs.replace
        cell = method.cells[0]
        assert cell.training
        figures = cell.decisions["prior"]
        adjusted = replace(figures, mean=replace(figures.mean, few_recall=math.nan))
        training = replace(cell.training, images_per_second=math.inf)
        changed = replace(cell, training=training, decisions={**cell.decisions, "prior": adjusted})
        methods = replace(method, cells=(changed, *method.cells[1:])), *document.methods[1:]
        return replace(document, methods=methods)

    COMPARISON.write(tmp_path / "comparison.json", with_gaps(typed(single_attribute())))
    cell = COMPARISON.read(tmp_path / "comparison.json").methods[0].cells[0]
    assert cell.training
    assert cell.training.images_per_second is cell.decisions["prior"].mean.few_recall is None


def test_the_schema_names_the_metrics_and_groups_of_the_evaluation():
    definitions = COMPARISON.schema()["$defs"]
    (metrics,) = (entry for name, entry in definitions.items() if name.startswith("Metrics"))
    assert (*metrics["required"], "rare_average_precision") == tuple(metrics["properties"]) == METRICS
    groups = definitions["ClassFacts"]["properties"]["frequency_group"]["enum"]
    assert sorted(groups) == sorted(FREQUENCY_GROUPS)


def cell_of(document: Json, method: int = 0, seed: int = 0) -> Json:
    return document["methods"][method]["cells"][seed]


FAILED = "expected an error, no decisions and no own_decision in a failed cell"
FINISHED = "expected no error, and an own_decision among the decisions of a finished cell"
FAULTS: list[tuple[str, Edit]] = [
    ("Object missing required field `baseline`", lambda d: d.pop("baseline")),
    ("Object contains unknown field `extra`", lambda d: d.update(extra=1)),
    ("Expected `str` matching regex .* at `$.created`", lambda d: d.update(created="yesterday")),
    ("Expected `array` of length >= 1 - at `$.methods`", lambda d: d.update(methods=[])),
    (
        "Invalid enum value 'running' - at `$.methods[0].cells[0].status`",
        lambda d: cell_of(d).update(status="running"),
    ),
    (
        "Invalid enum value 'vote' - at `key` in `$.methods[0].cells[0].decisions`",
        lambda d: cell_of(d)["decisions"].update(vote={}),
    ),
    (
        "Expected `float` <= 1.0 - at `$.methods[0].cells[0].decisions[...].mean.accuracy`",
        lambda d: cell_of(d)["decisions"]["prior"]["mean"].update(accuracy=1.5),
    ),
    ("expected the baseline to be the name of a method, got 'lmle'", lambda d: d.update(baseline="lmle")),
    ("expected distinct names of methods", lambda d: d["methods"][1].update(name="ce")),
    ("expected one cell a seed for 'ce' - at `$.methods[0]`", lambda d: cell_of(d).update(seed=1)),
    (
        "expected chosen to be the index of a trial, got 2 - at `$.methods[1].tuned`",
        lambda d: d["methods"][1]["tuned"].update(chosen=2),
    ),
    (f"{FAILED} - at `$.methods[2].cells[3]`", lambda d: cell_of(d, 2, 3).update(error=None)),
    (f"{FAILED} - at `$.methods[2].cells[3]`", lambda d: cell_of(d, 2, 3).update(own_decision="prior")),
    (f"{FINISHED} - at `$.methods[0].cells[0]`", lambda d: cell_of(d).update(error="x")),
    (f"{FINISHED} - at `$.methods[0].cells[0]`", lambda d: cell_of(d).update(own_decision="knn")),
    (
        "expected recalls of [10] classes, one list each, in ce-0 by prior",
        lambda d: cell_of(d)["decisions"]["prior"]["attributes"][0]["recall"].pop(),
    ),
    (
        "expected the features' attribute to be the index of one, got 1",
        lambda d: d["features"].update(attribute=1),
    ),
    (
        "expected the features' labels to be class indices below 10",
        lambda d: d["features"]["labels"].__setitem__(0, 10),
    ),
    (
        "expected the features' points by names of methods, got 'lmle'",
        lambda d: d["features"]["points"].update(lmle=d["features"]["points"]["ce"]),
    ),
    (
        "expected 300 points for 'ce', got 299 - at `$.features`",
        lambda d: d["features"]["points"]["ce"].pop(),
    ),
]
WHOLE = single_attribute()


@pytest.mark.parametrize(("fault", "edit"), FAULTS)
def test_a_document_that_does_not_fit_is_refused_with_the_path_of_its_fault(
    tmp_path: Path, fault: str, edit: Edit
):
    document = copy.deepcopy(WHOLE)
    edit(document)
    path = tmp_path / "comparison.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InputError) as caught:
        COMPARISON.read(path)
    start, end = f"{path}: not valid results of a comparison: ", "; compare again to write them anew"
    message = str(caught.value)
    assert message.startswith(start)
    assert message.endswith(end)
    found = message.removeprefix(start).removesuffix(end)
    assert re.fullmatch(re.escape(fault).replace(r"\.\*", ".*"), found)
    assert "\n" not in message


def test_another_schema_version_is_named(tmp_path: Path):
    (tmp_path / "c.json").write_text('{"schema_version": 2}')
    with pytest.raises(InputError, match=r"of schema version 1, got 2; .* or compare again"):
        COMPARISON.read(tmp_path / "c.json")
