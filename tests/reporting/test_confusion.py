"""The reduced confusion matrix against a slow twin, and what a reader may rely on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array

from longtail.evaluation.metrics import Metrics
from longtail.evaluation.results import AttributeResults, ClassResults, cells
from longtail.reporting.confusion import OTHERS, most_frequent, readable


def attribute(counts: list[list[int]], train: list[int]) -> AttributeResults:
    classes = tuple(
        ClassResults(f"c{k}", train[k], sum(counts[k]), "many", None, None, None, None)
        for k in range(len(train))
    )
    nothing = Metrics.each(lambda _: None)
    return AttributeResults("a", sum(train), 0, None, nothing, classes, cells(coo_array(counts)))


def dense(case: AttributeResults) -> list[list[int]]:
    size = range(len(case.classes))
    return [[case.row(true).get(predicted, 0) for predicted in size] for true in size]


@st.composite
def attributes(draw: st.DrawFn) -> AttributeResults:
    size = draw(st.integers(1, 9))
    row = st.lists(st.integers(0, 4), min_size=size, max_size=size)
    counts = draw(st.lists(row, min_size=size, max_size=size))
    return attribute(counts, draw(row))


@given(attributes(), st.integers(2, 9))
def test_no_test_image_is_lost_or_counted_twice(case: AttributeResults, most: int) -> None:
    matrix = readable(case, most)
    assert sum(map(sum, matrix.counts)) == sum(map(sum, dense(case)))
    assert len(matrix.names) <= most
    assert matrix.reduced == (len(case.classes) > most)


@given(attributes(), st.integers(2, 9))
def test_each_cell_is_the_sum_over_the_classes_it_stands_for(case: AttributeResults, most: int) -> None:
    matrix = readable(case, most)
    names = [c.name for c in case.classes]
    row_of = {n: matrix.names.index(n if n in matrix.names else OTHERS) for n in names}
    twin = [[0] * len(matrix.names) for _ in matrix.names]
    for true, row in zip(names, dense(case), strict=True):
        for predicted, images in zip(names, row, strict=True):
            twin[row_of[true]][row_of[predicted]] += images
    assert [list(row) for row in matrix.counts] == twin


@given(attributes())
def test_rows_run_from_frequent_to_rare(case: AttributeResults) -> None:
    train = {c.name: c.train_count for c in case.classes}
    kept = [train[n] for n in readable(case, 5).names if n != OTHERS]
    assert kept == sorted(kept, reverse=True)


@given(attributes())
def test_shares_of_a_row_sum_to_one_and_are_undefined_without_images(case: AttributeResults) -> None:
    matrix = readable(case, 4)
    for row, shares in zip(matrix.counts, matrix.shares(), strict=True):
        if sum(row):
            assert sum(s for s in shares if s is not None) == pytest.approx(1)
        else:
            assert shares == [None] * len(row)


def test_the_reduced_matrix_shows_the_rarest_tested_class_and_what_it_is_taken_for() -> None:
    counts = [[9, 0, 0, 0, 0], [0, 9, 0, 0, 0], [0, 0, 9, 0, 0], [0, 2, 1, 1, 0], [0, 0, 0, 0, 0]]
    matrix = readable(attribute(counts, [50, 40, 30, 2, 1]), most=3)
    assert matrix.names == ("c1", "c3", OTHERS)
    assert matrix.counts == ((9, 0, 0), (2, 1, 1), (0, 0, 18))


@given(attributes(), st.integers(0, 6))
def test_mix_ups_are_the_largest_wrong_cells(case: AttributeResults, most: int) -> None:
    counts = dense(case)
    wrong = sorted(
        (n for i, row in enumerate(counts) for k, n in enumerate(row) if i != k and n), reverse=True
    )
    found = most_frequent(case, most)
    assert [m.images for m in found] == wrong[:most]
    for m in found:
        true, predicted = int(m.true[1:]), int(m.predicted[1:])
        assert m.images == counts[true][predicted]
        assert m.share == m.images / sum(counts[true])
