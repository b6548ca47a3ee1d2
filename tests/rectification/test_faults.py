"""One test for each fault found in other implementations: the loss is right, and the fault would show.

Every test works out the right value with a few lines of arithmetic, and what the fault would give beside it.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from longtail import ClassRectificationLoss, tpami_alpha, training_imbalance

from .cases import PRODUCTS, busy_batch

# p(1) of nine images; class 1 is the minority, 3 of 9
MINORITY, MAJORITY = [0.6, 0.3, 0.35], [0.9, 0.05, 0.5, 0.2, 0.01, 0.02]
# features on a line; class 1 is the minority, 3 of 7
NEAR, FAR = [0.0, 1.0, 4.0], [2.0, 3.0, 10.0, 20.0]
MARGIN = 0.2


def two_class_logits(probabilities: list[float]) -> torch.Tensor:
    p = torch.tensor(probabilities, dtype=torch.float64)
    return torch.stack([torch.log(1 - p), torch.log(p)], dim=-1).requires_grad_()


def class_loss(**how) -> float:
    labels = torch.tensor([1] * len(MINORITY) + [0] * len(MAJORITY))
    crl = ClassRectificationLoss(level="class", margin=MARGIN, **how)
    return crl(two_class_logits(MINORITY + MAJORITY), labels).item()


def instance_loss(**how) -> float:
    labels = torch.tensor([1] * len(NEAR) + [0] * len(FAR))
    features = torch.tensor(NEAR + FAR, dtype=torch.float64)[:, None]
    crl = ClassRectificationLoss(level="instance", **how)
    return crl(torch.zeros(7, 2, dtype=torch.float64), labels, features).item()


def margins(positives: list[float], negatives: list[float]) -> list[float]:
    """m + d+ - d- of every triplet at class level, before the hinge."""
    return [
        MARGIN + abs(a - p) - (a - n)
        for a in MINORITY
        for p, n in itertools.product(positives, negatives)
        if p != a
    ]


def hinge(x: float) -> float:
    return max(x, 0.0)


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def assert_right_not_faulty(value: float, right: float, faulty: float) -> None:
    assert value == pytest.approx(right, abs=1e-9)
    assert abs(faulty - right) > 0.01, "the example does not tell the fault from the rule"


def test_the_hardest_images_are_mined_and_not_the_easiest():
    right = mean([hinge(x) for x in margins(sorted(MINORITY)[:2], sorted(MAJORITY)[-2:])])
    easiest = mean([hinge(x) for x in margins(sorted(MINORITY)[-2:], sorted(MAJORITY)[:2])])
    assert_right_not_faulty(class_loss(kappa=2), right, easiest)


def test_the_farthest_positive_and_the_nearest_negative_are_mined_and_not_the_reverse():
    right = mean([math.pi + 4 - 2, math.pi + 3 - 1, math.pi + 4 - 1])
    easiest = mean([hinge(math.pi + 1 - 20), hinge(math.pi + 1 - 19), hinge(math.pi + 3 - 16)])
    assert_right_not_faulty(instance_loss(kappa=1), right, easiest)


def test_a_negative_scored_above_the_anchor_is_not_taken_for_a_far_one():
    negatives = sorted(MAJORITY)[-3:]
    triplets = [(a, p, n) for a in MINORITY for p in MINORITY for n in negatives if p != a]
    right = mean([hinge(MARGIN + abs(a - p) - (a - n)) for a, p, n in triplets])
    with_absolute_value = mean([hinge(MARGIN + abs(a - p) - abs(a - n)) for a, p, n in triplets])
    assert_right_not_faulty(class_loss(kappa=3), right, with_absolute_value)


def test_every_triplet_has_a_hinge_of_its_own():
    summands = margins(MINORITY, MAJORITY)
    right = mean([hinge(x) for x in summands])
    one_hinge = hinge(sum(summands)) / len(summands)
    assert_right_not_faulty(class_loss(), right, one_hinge)


@pytest.mark.parametrize(("level", "comparison"), PRODUCTS)
def test_the_loss_has_a_gradient_which_detached_copies_would_not(level: str, comparison: str):
    batch = busy_batch()
    crl = ClassRectificationLoss(level=level, comparison=comparison)
    leaf = batch.logits if level == "class" else batch.features
    (gradient,) = torch.autograd.grad(crl(*batch), leaf)
    assert (gradient != 0).sum() > 10
    detached = crl(batch.logits.detach(), batch.labels, batch.features.detach())
    assert not detached.requires_grad


def test_the_share_bounds_the_cumulative_count_and_not_each_class_alone():
    labels = torch.tensor([0] * 6 + [1] * 3 + [2] * 3)
    result = ClassRectificationLoss(rho=0.4).rectify(torch.zeros(12, 3), labels)
    alone = [count <= 0.4 * 12 for count in (6, 3, 3)]
    assert result.classes_kept.tolist() == [[False, True, False]] != [alone]


def test_single_images_use_up_their_part_of_the_share_before_they_are_left_out():
    labels = torch.tensor([0] * 4 + [1, 2] + [3] * 3)
    result = ClassRectificationLoss().rectify(torch.zeros(9, 4), labels)
    left_out_first = [False, False, False, True]  # 3 <= 4.5
    assert result.classes_kept.tolist() == [[False] * 4] != [left_out_first]  # 1 + 1 + 3 > 4.5
    assert result.classes_skipped.tolist() == [[False, True, True, False]]


def test_the_mean_is_over_all_triplets_and_not_over_the_active_ones():
    hinges = [hinge(x) for x in margins(MINORITY, MAJORITY)]
    over_active = sum(hinges) / sum(h > 0 for h in hinges)
    assert_right_not_faulty(class_loss(), mean(hinges), over_active)


@pytest.mark.parametrize(("level", "comparison"), PRODUCTS)
def test_a_batch_without_pairs_costs_0_where_a_plain_mean_is_nan(level: str, comparison: str):
    logits, features = torch.randn(6, 3, requires_grad=True), torch.randn(6, 4, requires_grad=True)
    value = ClassRectificationLoss(level=level, comparison=comparison)(
        logits, torch.zeros(6, dtype=torch.int64), features
    )
    assert torch.empty(0).mean().isnan()
    assert value.item() == 0


@pytest.mark.parametrize("level", ["class", "instance"])
def test_fewer_candidates_than_kappa_are_all_used_where_topk_raises(level: str):
    loss = class_loss if level == "class" else instance_loss
    with pytest.raises(RuntimeError, match="out of range"):
        torch.zeros(7).topk(25)
    assert loss(kappa=25) == pytest.approx(loss(kappa=9), abs=1e-12)
    assert abs(loss(kappa=25) - loss(kappa=1)) > 0.01


def test_instance_level_selects_among_the_candidates_of_an_anchor_and_not_among_the_anchors():
    to_negatives = [[abs(a - n) for n in FAR] for a in NEAR]
    pull = mean([max(abs(a - p) for p in NEAR) for a in NEAR])
    per_anchor = [min(row) for row in to_negatives]
    per_candidate = [min(row) for row in zip(*to_negatives)]
    right = 0.5 * (pull + mean([hinge(5 - d) ** 2 for d in per_anchor]))
    wrong_axis = 0.5 * (pull + mean([hinge(5 - d) ** 2 for d in per_candidate]))
    assert_right_not_faulty(instance_loss(comparison="absolute", kappa=1, margin=5.0), right, wrong_axis)


class LargestTensor(TorchDispatchMode):
    """Notes the number of elements of the largest tensor that any operation returns."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.untyped_storage().nbytes() // tensor.element_size())
        return out


def largest_table(images: int, level: str, comparison: str) -> int:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(images, 3, generator=generator, requires_grad=True)
    features = torch.randn(images, 4, generator=generator, requires_grad=True)
    labels = torch.tensor([0] * (images // 2) + [1] * (images // 4) + [2] * (images // 4))
    with LargestTensor() as largest:
        ClassRectificationLoss(level=level, comparison=comparison)(logits, labels, features).backward()
    return largest.elements


@pytest.mark.parametrize(("level", "comparison"), PRODUCTS)
def test_memory_grows_with_the_square_of_the_batch_at_most(level: str, comparison: str):
    small, large = largest_table(64, level, comparison), largest_table(128, level, comparison)
    assert large <= 4.2 * small  # a table of anchors × images × images would grow 8 times
    assert large < 128**3 / 10


def test_an_anchor_is_not_its_own_positive():
    negatives = sorted(MAJORITY)[-3:]
    right = mean([hinge(x) for x in margins(MINORITY, negatives)])
    itself = [hinge(MARGIN + abs(a - p) - (a - n)) for a in MINORITY for p in MINORITY for n in negatives]
    assert_right_not_faulty(class_loss(kappa=3), right, mean(itself))
    pull = mean([abs(a - p) for a in NEAR for p in NEAR if p != a])
    pull_itself = mean([abs(a - p) for a in NEAR for p in NEAR])
    value = instance_loss(comparison="absolute", margin=0.01)  # no negative is that near
    assert_right_not_faulty(value, 0.5 * pull, 0.5 * pull_itself)


def test_alpha_comes_from_the_training_counts_in_percent_and_not_from_a_batch():
    training, batch = [[900, 100]], [[1, 1]]
    assert tpami_alpha(training) == pytest.approx(0.4)
    as_a_share = 0.01 * training_imbalance(training)[0] / 100
    assert as_a_share < 0.01
    assert training_imbalance(batch) == [0.0]  # one of each class: α would be 0


@pytest.mark.parametrize("comparison", ["relative", "absolute", "distribution"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("image", [0, 1, 8], ids=["unlabelled", "common", "rare"])
def test_a_feature_that_is_not_finite_shows_in_the_loss(comparison, bad: float, image: int):
    """The distances of such an image are NaN; taken for 0, the loss looks sound and its gradient is NaN."""
    labels = torch.tensor([-1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2])
    features = torch.linspace(0, 9, 12 * 8).sin().reshape(12, 8)
    features[image, 0] = bad
    for normalize in (False, True):
        crl = ClassRectificationLoss(level="instance", comparison=comparison, normalize=normalize)
        assert not crl(torch.zeros(12, 3), labels, features).isfinite()
        assert crl(torch.zeros(12, 3), labels, features.nan_to_num(0, 0)).isfinite()
