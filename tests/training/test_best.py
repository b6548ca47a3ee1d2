"""Which epoch's network is used."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from longtail.evaluation.metrics import METRICS, Metrics
from longtail.training.best import best_epoch, epochs_without_gain, judged_epoch
from longtail.training.config import TrainConfig
from longtail.training.record import EpochRecord

FIGURES = st.lists(st.none() | st.sampled_from((0.0, 0.25, 0.5, 1.0)), max_size=8)
BEST, LAST = (TrainConfig("photos", keep=keep) for keep in ("best", "last"))


def course(figures: Sequence[float | None]) -> list[EpochRecord]:
    """Epochs with these class-balanced accuracies on the validation images; None where there are none."""
    return [
        EpochRecord(
            epoch=number,
            step=number,
            learning_rate=0.1,
            seconds=1.0,
            images_per_second=1.0,
            input_wait_share=0.0,
            loss={"total": 1.0},
            validation=None if figure is None else Metrics(*[figure] * len(METRICS)),
        )
        for number, figure in enumerate(figures, 1)
    ]


@given(FIGURES)
def test_the_best_epoch_is_the_last_of_those_with_the_highest_figure(figures: list[float | None]):
    found = best_epoch(course(figures))
    known = [figure for figure in figures if figure is not None]
    if not known:
        assert found is None
        return
    assert found is not None
    assert figures[found.epoch - 1] == max(known)
    assert all(figure is None or figure < max(known) for figure in figures[found.epoch :])


def test_the_best_epoch_is_judged_where_it_is_kept_and_known_and_else_the_last():
    for figures, best, last in (
        ([], None, None),
        ([None, None], 2, 2),
        ([0.5, 0.25], 1, 2),
        ([0.5, 0.5, 0.25], 2, 3),
        ([0.0, None], 1, 2),
    ):
        judged = (judged_epoch(config, course(figures)) for config in (BEST, LAST))
        assert [epoch and epoch.epoch for epoch in judged] == [best, last]


def test_patience_counts_from_the_last_gain_and_an_equal_figure_is_none():
    for figures, expected in (
        ([], 0),
        ([0.1], 0),
        ([0.1, 0.2, 0.2, 0.2], 2),
        ([0.3, 0.1, 0.4], 0),
        ([0.3, 0.1, 0.2], 2),
        ([None, None], 1),
    ):
        assert epochs_without_gain(course(figures)) == expected
