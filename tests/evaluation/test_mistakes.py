"""The images that show what went wrong, against plain loops."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from longtail.evaluation.mistakes import Wrong, rare_classes, surest_of_pairs, surest_of_rare_classes

NUMBER = st.integers(0, 4)
IMAGES = st.lists(st.tuples(NUMBER, NUMBER, st.sampled_from([0.2, 0.5, 0.7, 0.9])), max_size=30)
COUNTS = st.lists(st.integers(0, 50), min_size=5, max_size=5)


def columns(images: list[tuple[int, int, float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    true, decided, sure = zip(*images) if images else ((), (), ())
    return np.array(true, np.int64), np.array(decided, np.int64), np.array(sure, np.float64)


def surest(images, wanted, each):
    places = [i for i, (t, d, _) in enumerate(images) if t != d and wanted(t, d)]
    return len(places), tuple(sorted(places, key=lambda i: (-images[i][2], i))[:each])


@given(IMAGES, COUNTS, st.integers(1, 5), st.integers(1, 4))
def test_rare_classes_show_their_surest_mistakes_the_rarest_class_first(images, counts, classes, each):
    expected = []
    rare = sorted((n, k) for k, n in enumerate(counts) if n < sum(counts) / 5)
    for k in (k for _, k in rare):
        number, places = surest(images, lambda t, _, k=k: t == k, each)
        if number:
            expected.append(Wrong(k, number, places))
    found = surest_of_rare_classes(*columns(images), np.array(counts), classes, each)
    assert found == expected[:classes]


@given(IMAGES, st.integers(0, 6), st.integers(1, 4))
def test_pairs_are_those_with_the_most_mistakes(images, pairs, each):
    kinds = {(t, d) for t, d, _ in images if t != d}
    of = {kind: surest(images, lambda *pair, kind=kind: pair == kind, each) for kind in kinds}
    order = sorted(kinds, key=lambda kind: (-of[kind][0], kind))[:pairs]
    assert surest_of_pairs(*columns(images), pairs, each) == [(Wrong(t, *of[t, d]), d) for t, d in order]


def test_nothing_wrong_shows_nothing():
    right = columns([(0, 0, 0.9), (1, 1, 0.9)])
    assert surest_of_rare_classes(*right, np.array([9, 1]), 5, 5) == []
    assert surest_of_pairs(*right, 5, 5) == []


def test_of_classes_that_are_equally_frequent_none_is_rare():
    assert rare_classes(np.array([7, 7, 7])) == []
