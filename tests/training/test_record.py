"""Lines of metrics.jsonl."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from longtail.errors import InputError
from longtail.evaluation.metrics import Metrics
from longtail.training.record import EPOCHS, EpochRecord


def epoch(**further) -> EpochRecord:
    return EpochRecord(
        epoch=1,
        step=4,
        learning_rate=0.1,
        seconds=0.5,
        images_per_second=2000.0,
        input_wait_share=0.25,
        loss={"total": 1.5, "ce": None},
        **further,
    )


def test_a_line_has_these_keys_in_this_order():
    record = epoch(mined={"anchors": 2.0, "kept_share": [[0.5, None]]}, validation=None)
    assert list(json.loads(EPOCHS.encode(record, indent=0))) == [
        "epoch", "step", "learning_rate", "seconds", "images_per_second", "input_wait_share",
        "loss", "mined", "validation",
    ]  # fmt: skip


def test_a_method_that_counts_nothing_leaves_its_counts_out_and_missing_validation_is_null():
    line = json.loads(EPOCHS.encode(epoch(validation=None), indent=0))
    assert "mined" not in line
    assert line["validation"] is None


def test_what_is_written_is_read_again(tmp_path: Path):
    counted = {"margin": 0.5, "empty": None, "by_attribute": [1.0, None], "kept_share": [[0.0, None], [1.0]]}
    records = [
        epoch(validation=None),
        epoch(mined=counted, validation=Metrics(0.1, 0.2, 0.3, 0.4, 0, None, 1.0)),
    ]
    EPOCHS.write_lines(tmp_path / "metrics.jsonl", records)
    assert EPOCHS.read_lines(tmp_path / "metrics.jsonl") == records


def test_a_damaged_line_is_named(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    EPOCHS.write_lines(path, [epoch(validation=None)])
    path.write_text(path.read_text() + '{"epoch": "two"}\n')
    with pytest.raises(
        InputError, match=r"metrics\.jsonl, line 2: not valid records of epochs: .*train again"
    ):
        EPOCHS.read_lines(path)
