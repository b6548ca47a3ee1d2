from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from longtail.data.stratify import PRIORITY, Pairs, _Dealing, apportion, cover, spread, stratify
from longtail.schema import Attribute, LabelSchema

FRACTIONS = np.array([0.7, 0.1, 0.2])
Case = tuple[NDArray[np.int64], NDArray[np.int64] | None, LabelSchema]


@st.composite
def cases(draw: st.DrawFn, largest: int = 24) -> Case:
    """A few images with one to three attributes, some labels missing, with or without groups."""
    n = draw(st.integers(1, largest))
    classes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    labels = np.stack([rng.integers(-1, k, n) for k in classes], 1)
    schema = LabelSchema(tuple(Attribute(f"a{j}", tuple("wxyz"[:k])) for j, k in enumerate(classes)))
    groups = rng.integers(0, draw(st.integers(1, largest)), n) if draw(st.booleans()) else None
    return labels, groups, schema


def class_masks(labels: NDArray[np.int64], schema: LabelSchema) -> list[NDArray[np.bool_]]:
    """Images of every (attribute, class) pair, one after the other."""
    return [labels[:, j] == k for j, size in enumerate(schema.num_classes) for k in range(size)]


def units_of(groups: NDArray[np.int64] | None, n: int) -> NDArray[np.int64]:
    return np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]


@given(cases())
def test_pairs_count_what_a_loop_counts(case: Case) -> None:
    labels, groups, schema = case
    pairs, units, masks = Pairs.of(*case), units_of(groups, len(labels)), class_masks(labels, schema)
    masks.append(np.ones(len(labels), bool))
    for unit in range(pairs.num_units):
        cells = pairs.cells(np.array([unit]))
        found = {
            int(p): int(c) for p, c in zip(pairs.pair[cells], pairs.count[cells]) if p <= pairs.num_pairs
        }
        slow = {p: int((mask & (units == unit)).sum()) for p, mask in enumerate(masks)}
        assert found == {p: c for p, c in slow.items() if c}
    assert pairs.images_of[:-1].tolist() == [mask.sum() for mask in masks]
    assert pairs.units_of[:-1].tolist() == [len(set(units[mask].tolist())) for mask in masks]


@given(cases(), st.integers(0, 5))
def test_every_image_is_in_one_split_and_no_group_in_two(case: Case, seed: int) -> None:
    _, groups, _ = case
    side = stratify(Pairs.of(*case), FRACTIONS, seed)
    assert set(side.tolist()) <= {0, 1, 2}
    if groups is not None:
        assert all(len(set(side[groups == g].tolist())) == 1 for g in set(groups.tolist()))


@given(cases(), st.integers(0, 5))
def test_every_class_is_in_train(case: Case, seed: int) -> None:
    labels, _, schema = case
    side = stratify(Pairs.of(*case), FRACTIONS, seed)
    assert all((side[mask] == 0).any() for mask in class_masks(labels, schema) if mask.any())


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 5))
def test_one_label_an_image_is_in_as_many_splits_as_its_images_allow(sizes: list[int], seed: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)[:, None]
    schema = LabelSchema.single("a", [str(k) for k in range(len(sizes))])
    side = stratify(Pairs.of(labels, None, schema), FRACTIONS, seed)
    for k, size in enumerate(sizes):
        assert set(side[labels[:, 0] == k].tolist()) == set(PRIORITY[:size])


@settings(max_examples=100)
@given(cases(), st.integers(0, 5))
def test_a_class_is_missing_only_where_no_unit_can_be_spared(case: Case, seed: int) -> None:
    labels, groups, schema = case
    side, units = stratify(Pairs.of(*case), FRACTIONS, seed), units_of(groups, len(labels))
    masks = class_masks(labels, schema)

    def held(split: int, mask: NDArray[np.bool_]) -> int:
        return len(set(units[mask & (side == split)].tolist()))

    for rank, split in enumerate(PRIORITY):
        for mask in masks:
            if len(set(units[mask].tolist())) <= rank or held(split, mask):
                continue
            for unit in set(units[mask].tolist()):
                source = int(side[units == unit][0])
                own = [other for other in masks if (other & (units == unit)).any()]
                assert source in PRIORITY[:rank]
                assert any(held(source, other) == 1 for other in own)


@given(cases(), st.integers(0, 5))
def test_a_split_without_a_share_stays_empty(case: Case, seed: int) -> None:
    side = stratify(Pairs.of(*case), np.array([0.8, 0.0, 0.2]), seed)
    assert not (side == 1).any()


def chi_square(side: NDArray[np.int8], masks: list[NDArray[np.bool_]]) -> float:
    return sum(
        (f * mask.sum() - (mask & (side == s)).sum()) ** 2 / (f * mask.sum())
        for s, f in enumerate(FRACTIONS)
        for mask in masks
        if mask.any()
    )


@settings(max_examples=60)
@given(cases(), st.integers(0, 5))
def test_after_refining_no_group_fits_better_elsewhere(case: Case, seed: int) -> None:
    labels, groups, schema = case
    pairs, units = Pairs.of(*case), units_of(groups, len(labels))
    dealing = _Dealing(pairs, FRACTIONS, np.random.default_rng(seed))
    dealing.deal(largest_first=seed % 2 == 0)
    dealing.refine()
    side = dealing.side[pairs.unit]
    masks = [*class_masks(labels, schema), np.ones(len(labels), bool)]
    best = chi_square(side, masks)
    assert dealing.imbalance() == pytest.approx(best)
    for unit in np.flatnonzero(pairs.size > 1):
        for split in range(3):
            moved = np.where(units == unit, split, side).astype(np.int8)
            assert chi_square(moved, masks) >= best - 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_one_label_without_groups_is_shared_out_to_the_image(seed: int) -> None:
    sizes = [1000, 300, 100, 50, 20]
    labels = np.repeat(np.arange(5), sizes)[:, None]
    labels = np.random.default_rng(seed).permutation(labels)
    side = stratify(Pairs.of(labels, None, LabelSchema.single("a", list("abcde"))), FRACTIONS, seed)
    for k, size in enumerate(sizes):
        assert np.bincount(side[labels[:, 0] == k]).tolist() == [size * 7 // 10, size // 10, size // 5]


def many(seed: int = 0) -> tuple[NDArray[np.int64], LabelSchema]:
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(4000, 1))
    rates = rng.uniform(0.02, 0.5, 12)
    noisy = hidden + rng.normal(size=(4000, 12))
    labels = (noisy > np.quantile(noisy, 1 - rates, axis=0).diagonal()).astype(np.int64)
    return labels, LabelSchema(tuple(Attribute(f"a{j}", ("0", "1")) for j in range(12)))


def worst_share(labels: NDArray[np.int64], side: NDArray[np.int8]) -> float:
    shares = [[(labels[side == s, j]).sum() / labels[:, j].sum() for s in range(3)] for j in range(12)]
    return float(np.abs(np.array(shares) - FRACTIONS).max())


@pytest.mark.parametrize("groups", [None, np.arange(4000) // 4])
def test_many_attributes_are_shared_out_far_better_than_by_the_best_of_fifty_random_draws(
    groups: NDArray[np.int64] | None,
) -> None:
    labels, schema = many()
    units, rng = units_of(groups, 4000), np.random.default_rng(0)
    sides = np.resize(np.array([0] * 7 + [1, 2, 2], np.int8), units.max() + 1)
    best = min(worst_share(labels, rng.permutation(sides)[units]) for _ in range(50))
    assert worst_share(labels, stratify(Pairs.of(labels, groups, schema), FRACTIONS, 0)) < best / 2


def test_within_a_class_images_of_equal_other_labels_are_spread_over_the_splits() -> None:
    rng = np.random.default_rng(0)
    labels = np.stack([np.arange(1000) % 20, rng.integers(0, 3, 1000)], 1)
    schema = LabelSchema((Attribute("a", tuple("abcdefghijklmnopqrst")), Attribute("b", tuple("xyz"))))
    worst = []
    for seed in range(10):
        side = stratify(Pairs.of(labels, None, schema), FRACTIONS, seed)
        held = np.bincount(3 * labels[:, 1] + side, minlength=9).reshape(3, 3)
        worst.append(np.abs(held - np.outer(np.bincount(labels[:, 1]), FRACTIONS)).max())
    assert np.mean(worst) < 1


def test_a_group_with_most_images_does_not_push_the_others_out_of_balance() -> None:
    labels = np.repeat([0, 1], [300, 700])[:, None]
    groups = np.concatenate([np.arange(300) // 10, np.zeros(500, int) + 99, 100 + np.arange(200) // 10])
    pairs = Pairs.of(labels, groups, LabelSchema.single("a", ["x", "y"]))
    side = stratify(pairs, FRACTIONS, 0)
    assert (side[groups == 99] == 0).all()
    assert np.bincount(side[:300]).tolist() == [210, 30, 60]


def test_seeds_differ_and_one_seed_does_not() -> None:
    labels, schema = many()
    pairs = Pairs.of(labels, None, schema)
    first, again, other = (stratify(pairs, FRACTIONS, seed) for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).mean() > 0.2


def uneven(small: int, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64], LabelSchema]:
    """Eight groups have most images, small ones have five each."""
    sizes = np.concatenate([[150, 120, 90, 80, 70, 60, 50, 40], np.full(small, 5)])
    groups = np.repeat(np.arange(len(sizes)), sizes)
    labels = np.random.default_rng(seed).choice(4, len(groups), p=[0.5, 0.3, 0.15, 0.05])[:, None]
    return labels, groups, LabelSchema.single("a", list("wxyz"))


@pytest.mark.parametrize(("data", "largest_first"), [(9, True), (0, False)])
def test_of_eight_dealings_the_best_is_kept_whether_it_dealt_the_largest_first_or_in_random_order(
    data: int, largest_first: bool
) -> None:
    labels, _, schema = case = uneven(8, data)
    pairs, found = Pairs.of(*case), list[float]()
    for i in range(8):
        dealing = _Dealing(pairs, FRACTIONS, np.random.default_rng((0, i)))
        dealing.deal(largest_first=i == 0)
        dealing.refine()
        found.append(dealing.imbalance())
    assert (found[0] == min(found)) == largest_first
    masks = [*class_masks(labels, schema), np.ones(len(labels), bool)]
    assert chi_square(stratify(pairs, FRACTIONS, 0), masks) == pytest.approx(min(found))


def test_seeds_differ_where_a_few_groups_have_most_images() -> None:
    labels, groups, schema = uneven(60)
    pairs = Pairs.of(labels, groups, schema)
    tests = [set(groups[stratify(pairs, FRACTIONS, seed) == 2].tolist()) for seed in range(4)]
    large = {frozenset(found & set(range(8))) for found in tests}
    assert len(large) > 1


@given(st.integers(0, 1000), st.lists(st.integers(0, 20), min_size=1, max_size=4).filter(any))
def test_whole_shares_add_up_and_are_within_one_of_the_exact_ones(total: int, weights: list[int]) -> None:
    shares = apportion(total, np.array(weights, float))
    exact = total * np.array(weights) / sum(weights)
    assert shares.sum() == total
    assert (np.abs(shares - exact) < 1).all()


@given(st.lists(st.integers(0, 30), min_size=3, max_size=3), st.integers(0, 9))
def test_a_spread_holds_its_quota_and_is_spaced(quota: list[int], seed: int) -> None:
    sequence = spread(np.array(quota), np.random.default_rng(seed))
    assert np.bincount(sequence, minlength=3).tolist() == quota
    for s, n in enumerate(quota):
        half = (sequence[: len(sequence) // 2] == s).sum()
        assert abs(half - n / 2) <= 3


def test_covering_takes_from_where_nothing_is_lost() -> None:
    labels = np.array([[0], [0], [0], [1], [1], [1]])
    pairs = Pairs.of(labels, None, LabelSchema.single("a", ["x", "y"]))
    side = np.array([0, 0, 0, 2, 2, 1], np.int8)
    cover(pairs, side, np.full(3, 1 / 3))
    assert [sorted(side[:3].tolist()), sorted(side[3:].tolist())] == [[0, 1, 2], [0, 1, 2]]


def test_covering_moves_the_smallest_of_the_groups_that_can_be_spared() -> None:
    labels = np.repeat([0, 1], [30, 4])[:, None]
    groups = np.concatenate([np.arange(30) + 10, [0, 0, 0, 1]])
    side = np.concatenate([[0, 0], np.arange(30) % 3]).astype(np.int8)
    cover(Pairs.of(labels, groups, LabelSchema.single("a", ["x", "y"])), side, np.full(3, 1 / 3))
    assert side[:2].tolist() == [0, 2]


@pytest.mark.parametrize("large", [150, 300, 600])
def test_no_large_group_is_moved_for_the_sake_of_one_rare_class(large: int) -> None:
    labels = np.zeros((1000, 1), np.int64)
    labels[[0, large]] = 1  # one in the large group, one in a group of two
    labels[large + 1] = 2  # that holds the only image of another class, too
    groups = np.arange(1000)
    groups[:large], groups[large + 1] = 0, large
    pairs = Pairs.of(labels, groups, LabelSchema.single("a", ["frequent", "rare", "single"]))
    sizes = np.bincount(stratify(pairs, np.array([0.7, 0.1, 0.2]), 0), minlength=3)
    assert np.abs(sizes - [700, 100, 200]).max() <= 2
