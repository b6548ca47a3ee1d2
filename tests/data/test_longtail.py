from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.data.builtin import BUILTIN
from longtail.data.longtail import TailProfile, exponential_sizes, impose, impose_on, power_law_sizes
from longtail.errors import InputError

LABELS = np.repeat(np.arange(5), [50, 40, 40, 40, 50])


@given(st.integers(2, 5000), st.integers(2, 200), st.floats(0.1, 5), st.data())
def test_a_power_law_starts_and_ends_where_it_should(
    largest: int, num_classes: int, gamma: float, data: st.DataObject
) -> None:
    smallest = data.draw(st.integers(1, largest))
    sizes = power_law_sizes(largest, smallest, num_classes, gamma)
    assert (len(sizes), sizes[0], sizes[-1]) == (num_classes, largest, smallest)
    assert (np.diff(sizes) <= 0).all()


def test_a_power_law_has_the_sizes_of_its_equation() -> None:
    # n_max 100, n_min 10, K 4, γ 2: b = (10·16 - 100)/90 = 2/3, a = 100·5/3
    assert power_law_sizes(100, 10, 4, 2.0).tolist() == [
        round(500 / 3 / (i**2 + 2 / 3)) for i in (1, 2, 3, 4)
    ]


def test_the_exponential_profile_is_that_of_long_tailed_cifar() -> None:
    assert exponential_sizes(5000, 100, 10).tolist() == [
        5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50,
    ]  # fmt: skip
    assert exponential_sizes(500, 100, 100).sum() == 10847


@given(st.integers(1, 10**5), st.integers(2, 300), st.data())
def test_an_exponential_profile_falls_from_the_largest_by_the_ratio(
    largest: int, num_classes: int, data: st.DataObject
) -> None:
    ratio = data.draw(st.integers(1, largest))
    sizes = exponential_sizes(largest, ratio, num_classes)
    assert sizes[0] == largest
    assert sizes[-1] == largest // ratio
    assert (np.diff(sizes) <= 0).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda: power_law_sizes(10, 20, 5),
        lambda: power_law_sizes(10, 0, 5),
        lambda: power_law_sizes(10, 5, 1),
        lambda: power_law_sizes(10, 5, 5, 0),
        lambda: exponential_sizes(10, 11, 5),
        lambda: exponential_sizes(10, 0.5, 5),
        lambda: exponential_sizes(10, 2, 1),
        lambda: TailProfile("power-law", ratio=11, largest=10).fit(np.full(3, 100)),
    ],
)
def test_impossible_profiles_are_refused(call) -> None:
    with pytest.raises(InputError):
        call()


@given(st.lists(st.integers(0, 40), min_size=5, max_size=5), st.integers(0, 3))
def test_imposing_keeps_the_asked_number_of_every_class(sizes: list[int], seed: int) -> None:
    kept = impose(LABELS, np.array(sizes), seed)
    assert np.bincount(LABELS[kept], minlength=5).tolist() == sizes
    assert (np.diff(kept) > 0).all()


def test_a_smaller_size_draws_a_part_of_the_larger() -> None:
    small, large = (impose(LABELS, np.full(5, size), seed=3) for size in (7, 30))
    assert set(small) < set(large)


def test_the_seed_chooses_the_images() -> None:
    first, again, other = (impose(LABELS, np.full(5, 20), seed) for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_unlabelled_images_are_never_drawn() -> None:
    assert impose(np.array([-1, 0, -1, 1, 0]), np.array([2, 1]), 0).tolist() == [1, 3, 4]


def test_a_class_that_runs_out_is_named_with_what_there_is() -> None:
    with pytest.raises(InputError, match=r"class 1: expected at least 41 .* found 40"):
        impose(LABELS, np.array([50, 41, 1, 1, 1]), 0)


@given(st.lists(st.integers(20, 300), min_size=4, max_size=4), st.floats(1, 10), st.booleans())
def test_by_default_the_head_is_the_largest_that_no_class_is_too_small_for(
    available: list[int], ratio: float, power: bool
) -> None:
    profile = TailProfile("power-law" if power else "exponential", ratio=ratio)
    sizes = profile.fit(np.array(available))
    fitting = [
        head
        for head in range(int(np.ceil(ratio)), available[0] + 1)
        if (profile.sizes(head, 4) <= available).all()
    ]
    assert sizes[0] == max(fitting)
    assert (sizes <= available).all()


def test_a_ratio_beyond_the_images_says_what_there_is() -> None:
    with pytest.raises(
        InputError, match=r"ratio: 100 asks for more than there is \(training images per class: 50, 40, 3"
    ):
        TailProfile(ratio=100).fit(np.array([50, 40, 3]))


def test_a_tail_is_imposed_on_one_attribute_of_the_training_part_only() -> None:
    data = BUILTIN["digits-attributes"].load()
    train = np.arange(300, 1700)
    kept, note = impose_on(data, train, "digit", TailProfile(ratio=20), 0)
    counts = np.bincount(data.labels[kept, 0])
    assert set(kept) <= set(train)
    assert (np.diff(counts) < 0).all()
    assert counts[-1] == counts[0] // 20
    assert f"{len(kept):,} of 1,400 training images kept, {counts[0]:,} … {counts[-1]} per class" in note


def test_an_unknown_attribute_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="Did you mean 'parity'"):
        impose_on(BUILTIN["digits-attributes"].load(), np.arange(9), "partiy", TailProfile(), 0)


def test_a_class_that_runs_out_is_called_by_its_name() -> None:
    data = BUILTIN["digits-attributes"].load()
    with pytest.raises(InputError, match=r"class even: expected at least 900 .* found 891"):
        impose_on(data, np.arange(1797), "parity", TailProfile(ratio=1, largest=900), 0)
