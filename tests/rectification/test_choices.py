"""How often each image is mined: the counts of plain loops, and nothing else changes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from longtail import ClassRectificationLoss
from longtail.rectification import HardPairs
from longtail.rectification.choices import times_chosen

from . import twin
from .cases import COMPARISONS, LEVELS, Batch, busy_batch, make, shapes
from .test_against_twin import repeatable


def by_loops(batch: Batch, level: str, kappa: int) -> list[list[int]]:
    """Pairs in which each image is the hard positive, and the hard negative, of an anchor."""
    times = [[0] * len(batch.labels) for _ in range(2)]
    p = batch.logits.detach().softmax(2).tolist()
    for j, column in enumerate(batch.labels.t().tolist()):
        kept, _ = twin.minorities(column, 0.5)
        points = batch.features.detach()[:, j if batch.features.shape[1] > 1 else 0].tolist()
        for a, c in enumerate(column):
            if c not in kept:
                continue
            same = [i for i, label in enumerate(column) if label == c]
            other = [i for i, label in enumerate(column) if label not in (c, -1)]
            if level == "class":
                same = sorted(same, key=lambda i: p[i][j][c])[:kappa]
                other = sorted(other, key=lambda i: -p[i][j][c])[:kappa]
            else:
                far = sorted(same, key=lambda i: -math.dist(points[a], points[i]))
                same = [i for i in far if i != a][:kappa]
                other = sorted(other, key=lambda i: math.dist(points[a], points[i]))[:kappa]
            for i in same:
                times[0][i] += i != a
            for i in other:
                times[1][i] += 1
    return times


def chosen(batch: Batch, level: str, kappa: int, **how) -> Tensor:
    crl = ClassRectificationLoss(level=level, kappa=kappa, normalize=False, **how)
    found = crl.rectify(*batch, choices=True)
    assert found.chosen is not None
    assert found.chosen.dtype == torch.int64
    assert found.chosen.sum(1).tolist() == [int(found.positive_pairs), int(found.negative_pairs)]
    return found.chosen


@pytest.mark.parametrize("level", LEVELS)
def test_counts_are_those_of_plain_loops(level: str):
    mined = []

    @repeatable
    @given(shapes(), st.sampled_from([1, 2, 3, 25]))
    def on_one_batch(shape, kappa):
        batch = make(shape)
        expected = by_loops(batch, level, kappa)
        assert chosen(batch, level, kappa).tolist() == expected
        mined.append(sum(map(sum, expected)) > 0)

    on_one_batch()
    assert sum(mined) > 10


@pytest.mark.parametrize("comparison", COMPARISONS)
@pytest.mark.parametrize("level", LEVELS)
def test_counting_changes_no_bit_of_the_loss_or_its_gradient(level: str, comparison: str):
    batch = busy_batch()
    single = Batch(batch.logits.detach().float(), batch.labels, batch.features.detach().float())
    crl = ClassRectificationLoss(level=level, comparison=comparison)
    leaves = [single.logits.requires_grad_(), single.features.requires_grad_()]
    plain, counted = crl.rectify(*single), crl.rectify(*single, choices=True)
    assert plain.chosen is None
    assert torch.equal(plain.loss, counted.loss)
    for one, other in zip(twin.gradients(plain.loss, *leaves), twin.gradients(counted.loss, *leaves)):
        assert torch.equal(one, other)


@pytest.mark.parametrize("level", LEVELS)
def test_single_precision_on_a_cpu_counts_the_same(level: str):
    batch = busy_batch()
    single = Batch(batch.logits.detach().float(), batch.labels, batch.features.detach().float())
    assert chosen(single, level, 3).tolist() == by_loops(batch, level, 3)
    assert chosen(single, level, 3).sum() > 0


def test_a_batch_in_another_order_has_its_counts_in_that_order():
    batch, order = busy_batch(), torch.randperm(24, generator=torch.Generator().manual_seed(0))
    turned = Batch(batch.logits[order], batch.labels[order], batch.features[order])
    for level in LEVELS:
        assert torch.equal(chosen(turned, level, 3), chosen(batch, level, 3)[:, order])


@pytest.mark.parametrize("level", LEVELS)
def test_nothing_mined_is_counted_as_nothing(level: str):
    balanced = Batch(torch.zeros(4, 1, 2), torch.tensor([[0], [0], [1], [1]]), torch.randn(4, 1, 3))
    unlabelled = Batch(torch.zeros(3, 1, 2), torch.full((3, 1), -1), torch.randn(3, 1, 3))
    assert chosen(unlabelled, level, 2).tolist() == [[0, 0, 0]] * 2
    assert chosen(balanced, level, 2).shape == (2, 4)


def test_pairs_without_their_rows_cannot_be_counted():
    side, mask = torch.zeros(1, 1, 1), torch.ones(1, 1, 1, dtype=torch.bool)
    with pytest.raises(ValueError, match="rows: expected pairs"):
        times_chosen(HardPairs(side, side, mask, mask), 1)
