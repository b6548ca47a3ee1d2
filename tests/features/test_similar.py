"""Near duplicates: against plain loops, in any order, with copies, flat and unreadable images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.errors import InputError
from longtail.features import similar
from longtail.features.similar import (
    LARGEST,
    check_amount,
    near_duplicates,
    numbered,
    united,
    with_partner,
)
from longtail.images.fingerprint import COLOURS, EDGES


def prints(scenes, copies, noise, seed=0, spread=1.0):
    """Fingerprints of scenes, each with copies that differ by noise."""
    generator = np.random.default_rng(seed)
    common = generator.normal(size=EDGES)
    edges = np.repeat(common + spread * generator.normal(size=(scenes, EDGES)), copies, 0)
    edges += noise * generator.normal(size=edges.shape)
    edges /= np.linalg.norm(edges, axis=1, keepdims=True)
    colours = np.repeat(generator.uniform(-0.1, 0.1, (scenes, COLOURS)), copies, 0)
    return np.concatenate([edges, colours], 1).astype(np.float16)


def slow_pairs(found):
    """Every pair by the definition, in float64."""
    edges, colours = found[:, :EDGES].astype(np.float64), found[:, EDGES:].astype(np.float64)
    distances = 1 - edges @ edges.T
    n, pairs = len(found), set()
    nearest = [sorted((j for j in range(n) if j != i), key=lambda j: distances[i, j]) for i in range(n)]
    usual = [max(distances[i, own[15]] if len(own) > 15 else 1.0, 0.05) for i, own in enumerate(nearest)]
    for i in range(n):
        for j in nearest[i][:16]:
            near = distances[i, j] <= min(0.2, 0.3 * np.sqrt(usual[i] * usual[j]))
            if near and np.sqrt(((colours[i] - colours[j]) ** 2).mean()) < 0.02:
                pairs.add((min(i, j), max(i, j)))
    return pairs


def slow_groups(n, pairs):
    groups = list(range(n))
    for i, j in pairs:
        groups = [groups[i] if group == groups[j] else group for group in groups]
    return numbered(np.array(groups, np.int64)).tolist()


@pytest.mark.parametrize(
    ("scenes", "copies", "noise", "spread"),
    [(12, 3, 0.3, 1.0), (12, 5, 0.5, 0.5), (60, 1, 0.0, 0.2), (3, 20, 0.2, 1.0), (4, 2, 0.1, 1.0)],
)
def test_it_agrees_with_plain_loops(scenes, copies, noise, spread):
    found = prints(scenes, copies, noise, spread=spread)
    assert near_duplicates(found).tolist() == slow_groups(len(found), slow_pairs(found))


def test_copies_with_noise_are_found_and_other_scenes_are_not():
    groups = near_duplicates(prints(40, 4, 0.2))
    assert groups.tolist() == np.repeat(np.arange(40), 4).tolist()


def test_what_is_usual_around_an_image_decides():
    """Scenes that resemble each other must be nearer than those that do not."""
    assert len(set(near_duplicates(prints(30, 2, 0.3, spread=2.0)).tolist())) == 30
    alike = prints(60, 1, 0.0, spread=0.3)
    distances = 1 - alike[:, :EDGES].astype(np.float64) @ alike[:, :EDGES].T.astype(np.float64)
    assert distances.max() < 0.2
    assert len(set(near_duplicates(alike).tolist())) == 60


def test_more_copies_than_neighbours_are_still_one_group():
    assert set(near_duplicates(prints(1, 60, 0.05)).tolist()) == {0}


def test_another_colour_is_another_image():
    found = prints(2, 1, 0.0)
    found[1, :EDGES] = found[0, :EDGES]
    found[1, EDGES:] = found[0, EDGES:]
    found[1, EDGES] += np.float16(0.01)
    assert near_duplicates(found).tolist() == [0, 0]
    found[1, EDGES:] += np.float16(0.03)
    assert near_duplicates(found).tolist() == [0, 1]


@settings(max_examples=10)
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_images_does_not_matter(random):
    found = prints(10, 3, 0.4)
    order = list(range(len(found)))
    random.shuffle(order)
    groups, mixed = near_duplicates(found), near_duplicates(found[order])
    assert mixed.tolist() == numbered(groups[order]).tolist()


def test_blocks_change_nothing(monkeypatch):
    found = prints(20, 3, 0.4)
    whole = near_duplicates(found).tolist()
    monkeypatch.setattr(similar, "_FLOATS", 7 * len(found))
    assert near_duplicates(found).tolist() == whole


@pytest.mark.parametrize("images", [0, 1, 2])
def test_few_images(images):
    assert near_duplicates(prints(images, 1, 0.0)).tolist() == list(range(images))


def test_flat_and_unreadable_images_are_alone_and_equal_ones_together():
    found = prints(3, 2, 0.0)
    found[0], found[4, :EDGES], found[5, :EDGES] = np.nan, 0, 0
    assert near_duplicates(found).tolist() == [0, 1, 2, 2, 3, 4]


def test_partners_are_those_of_the_groups():
    found = prints(30, 3, 0.3)
    found[5] = np.nan
    rows, others = np.arange(0, 90, 4), np.setdiff1d(np.arange(90), np.arange(0, 90, 4))
    groups = near_duplicates(found)
    expected = [any(groups[row] == groups[other] for other in others) for row in rows]
    assert with_partner(found, rows, others).tolist() == expected
    assert with_partner(found, rows, np.array([], np.int64)).tolist() == [False] * len(rows)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=12))
def test_united_groups_are_those_that_plain_loops_connect(both):
    one, other = (np.array([pair[side] for pair in both], np.int64) for side in (0, 1))
    pairs = [
        (i, j)
        for i in range(len(both))
        for j in range(i)
        if both[i][0] == both[j][0] or both[i][1] == both[j][1]
    ]
    assert united(one, other).tolist() == slow_groups(len(both), pairs)


def test_too_many_images_are_refused():
    check_amount(LARGEST)
    with pytest.raises(InputError, match=r"--group-near-duplicates: compares at most 100,000.*got 100,001"):
        check_amount(LARGEST + 1)
