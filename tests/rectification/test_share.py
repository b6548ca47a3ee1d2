"""Anchors shared by processes: together they have the loss, the gradient and the counts of one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from longtail import ClassRectificationLoss, Rectification
from longtail.rectification.mining import minority_anchors
from longtail.rectification.profiling import anchor_capacity, profile_minorities

from .cases import COMPARISONS, Batch, busy_batch, make, shapes
from .test_against_twin import repeatable
from .twin import gradients


class Meeting:
    """Where threads that stand for processes tell each other what they have."""

    def __init__(self, processes: int) -> None:
        self.barrier = Barrier(processes, timeout=20)
        self.told: list[list[Tensor]] = [[] for _ in range(processes)]

    def of_all(self, rank: int, parts: list[Tensor]) -> list[list[Tensor]]:
        self.told[rank] = [part.detach().clone() for part in parts]
        self.barrier.wait()
        found = list(self.told)
        self.barrier.wait()
        return found


@dataclass(frozen=True)
class Thread:
    """Process r of W."""

    rank: int
    processes: int
    meeting: Meeting

    def totals(self, *parts: Tensor) -> list[Tensor]:
        """Sums, with W times the gradient of this part."""
        of_all = self.meeting.of_all(self.rank, list(parts))
        sums = [torch.stack(told).sum(0) for told in zip(*of_all, strict=True)]
        own = [part * self.processes for part in parts]
        return [part + (total - part).detach() for part, total in zip(own, sums, strict=True)]

    def largest(self, value: Tensor) -> Tensor:
        """The maximum."""
        return torch.stack([told for (told,) in self.meeting.of_all(self.rank, [value])]).amax()


def shared(
    crl: ClassRectificationLoss, batch: Batch, processes: int
) -> list[tuple[Rectification, list[Tensor]]]:
    """What each process has, and its gradients of all rows."""
    meeting = Meeting(processes)

    def mined(rank: int) -> tuple[Rectification, list[Tensor]]:
        try:
            found = crl.rectify(*batch, choices=True, share=Thread(rank, processes, meeting))
        except BaseException:
            meeting.barrier.abort()
            raise
        return found, gradients(found.loss, batch.features)

    with ThreadPoolExecutor(processes) as pool:
        return list(pool.map(mined, range(processes)))


def expect_one(crl: ClassRectificationLoss, batch: Batch, processes: int) -> Rectification:
    """Compare every process with one that mines all anchors, and return what that one has."""
    one = crl.rectify(*batch, choices=True)
    slopes = gradients(one.loss, batch.features)
    of_each = shared(crl, batch, processes)
    for found, _ in of_each:
        for value, expected in zip(found, one, strict=True):
            torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)
    mean = torch.stack([own for _, (own,) in of_each]).mean(0)
    torch.testing.assert_close([mean], slopes, rtol=1e-11, atol=1e-12)
    return one


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_processes_that_share_the_anchors_are_one(comparison: str):
    mined = []

    @settings(repeatable, max_examples=30)
    @given(
        shapes(), st.integers(1, 5), st.sampled_from([1, 3, 25]), st.sampled_from([0.3, 0.5]), st.booleans()
    )
    def on_one_batch(shape, processes, kappa, rho, normalize):
        crl = ClassRectificationLoss("instance", comparison, kappa, rho, power=2, normalize=normalize)
        one = expect_one(crl, make(shape), processes)
        mined.append(processes > 1 and bool(one.loss > 0))

    on_one_batch()
    assert sum(mined) > 5


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_more_processes_than_anchors(comparison: str):
    batch = busy_batch(6)
    one = expect_one(ClassRectificationLoss("instance", comparison, rho=0.4, margin=9.0), batch, 5)
    assert anchor_capacity(6, 0.4) == 2
    assert one.anchors.sum() > 0


@pytest.mark.parametrize("comparison", COMPARISONS)
@pytest.mark.parametrize("labels", [[0, 0, 0, 1], [-1] * 4, [0] * 4])
def test_no_minority_at_all(comparison: str, labels: list[int]):
    features = torch.randn(4, 1, 3, dtype=torch.float64, requires_grad=True)
    batch = Batch(torch.zeros(4, 1, 2, dtype=torch.float64), torch.tensor(labels)[:, None], features)
    one = expect_one(ClassRectificationLoss("instance", comparison), batch, 3)
    assert one.loss == 0
    assert one.loss.requires_grad


def test_shares_are_the_anchors_dealt_in_turn():
    labels = busy_batch().labels
    listed = labels.t(), profile_minorities(labels, 5), anchor_capacity(len(labels), 0.5)
    whole = minority_anchors(*listed)
    for rank in range(3):
        own = minority_anchors(*listed, share=Thread(rank, 3, Meeting(3)))
        assert torch.equal(own.order, whole.order)
        for name in ("row", "label", "mask"):
            assert torch.equal(getattr(own, name), getattr(whole, name)[:, rank::3])


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_single_precision_differs_by_rounding(comparison: str):
    batch = busy_batch(40)
    single = Batch(batch.logits.detach().float(), batch.labels, batch.features.detach().float())
    crl = ClassRectificationLoss("instance", comparison, kappa=3, normalize=True)
    one = crl.rectify(*single, choices=True)
    assert one.loss > 0
    for found, _ in shared(crl, single, 3):
        torch.testing.assert_close(found.loss, one.loss, rtol=1e-6, atol=1e-7)
        assert torch.equal(found.chosen, one.chosen)


def test_anchors_are_not_shared_at_class_level():
    with pytest.raises(ValueError, match="share: expected all anchors at class level"):
        ClassRectificationLoss("class").rectify(*busy_batch(), share=Thread(0, 2, Meeting(2)))
