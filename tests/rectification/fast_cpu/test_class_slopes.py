"""At class level the relative comparison by counts is the one over all triplets."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from longtail import ClassRectificationLoss
from longtail.rectification import profile_minorities
from longtail.rectification.comparison import Compared, hinges
from longtail.rectification.fast_cpu import class_slopes, relative_at_class_level
from longtail.rectification.mining import mine_class_level, minority_anchors
from longtail.rectification.profiling import anchor_capacity

from .. import twin
from ..cases import Batch, Shape, busy_batch, make, shapes
from ..test_against_twin import repeatable


def probabilities(batch: Batch) -> Tensor:
    """In single precision, a leaf."""
    return batch.logits.detach().softmax(2).float().requires_grad_()


def by_counts(p: Tensor, labels: Tensor, kappa: int = 25, margin: float = 0.5, rho: float = 0.5) -> Compared:
    profile = profile_minorities(labels, p.shape[2], rho)
    return relative_at_class_level(p, labels, profile, torch.full((p.shape[1],), margin), kappa)[0]


def by_triplets(p: Tensor, labels: Tensor, kappa: int, margin: float, rho: float) -> list[twin.Anchor]:
    """The twin's anchors of the same probabilities, in double precision."""
    anchors = []
    for j, column in enumerate(labels.t().tolist()):
        kept, _ = twin.minorities(column, rho)
        scores = [dict(enumerate(row.unbind())) for row in p[:, j].double().unbind()]
        found = twin.class_level(column, kept, scores, kappa)
        anchors += [twin.Anchor(j, *anchor, margin) for anchor in found]
    return anchors


def by_pairs(p: Tensor, labels: Tensor, kappa: int, margin: float) -> Compared:
    """The general way, in double precision."""
    profile = profile_minorities(labels, p.shape[2])
    anchors = minority_anchors(labels.t(), profile, anchor_capacity(len(labels), 0.5))
    pairs = mine_class_level(p.double(), labels.t(), profile, anchors, kappa)
    return hinges(pairs, torch.full((p.shape[1],), margin, dtype=torch.float64)).mean()


def test_value_slopes_and_counts_are_those_of_all_triplets():
    costly = []

    @repeatable
    @given(
        shapes(),
        st.sampled_from([1, 2, 3, 25]),
        st.sampled_from([0.05, 0.5, 2.0, 9.0]),
        st.sampled_from([0.5, 0.5, 0.1, 0.29, 0.7, 0.95]),
    )
    def on_one_batch(shape, kappa, margin, rho):
        batch = make(shape)
        p, labels = probabilities(batch), batch.labels
        anchors = by_triplets(p, labels, kappa, margin, rho)
        loss, triplets, active = twin.relative(anchors)
        found = by_counts(p, labels, kappa, margin, rho)
        assert int(found.triplets.sum()) == triplets
        assert abs(int(found.active.sum()) - active) <= 1e-3 * active  # a hinge of 0 but for rounding
        assert int(found.positives.sum()) == sum(len(anchor.positives) for anchor in anchors)
        assert int(found.negatives.sum()) == sum(len(anchor.negatives) for anchor in anchors)
        pulled = [anchor.attribute for anchor in anchors if anchor.positives and anchor.negatives]
        assert found.anchors.tolist() == [pulled.count(j) for j in range(labels.shape[1])]
        torch.testing.assert_close(found.loss.double(), loss, rtol=1e-5, atol=1e-6)
        (slopes,), (expected,) = twin.gradients(found.loss, p), twin.gradients(loss, p)
        torch.testing.assert_close(slopes, expected, rtol=1e-5, atol=1e-6)
        costly.append(active > 0)

    on_one_batch()
    assert sum(costly) >= 0.3 * len(costly), "too few of the random batches have anything to rectify"


@pytest.mark.parametrize("images", [40, 300])
@pytest.mark.parametrize("kappa", [1, 4, 25, 400])
def test_alike_probabilities_cost_the_same_whichever_is_chosen(images: int, kappa: int):
    batch = make(Shape(images, (2, 5, 9), ("skewed", "uniform", "even"), 0.1, False, 1.0, 1, 3))
    p = (8 * probabilities(batch).detach()).round() / 8  # eighths: sums are exact
    for margin in (0.125, 0.5):
        found, expected = by_counts(p, batch.labels, kappa, margin), by_pairs(p, batch.labels, kappa, margin)
        torch.testing.assert_close(found.loss.double(), expected.loss, rtol=1e-6, atol=0)
        for figure, other in zip(found[1:], expected[1:], strict=True):
            assert torch.equal(figure, other)


def test_classes_of_many_images_are_as_by_pairs():
    batch = make(Shape(300, (2, 12, 40), ("skewed", "uniform", "skewed"), 0.2, False, 2.0, 0, 8))
    p = probabilities(batch)
    found, expected = by_counts(p, batch.labels), by_pairs(p, batch.labels, 25, 0.5)
    torch.testing.assert_close(found.loss.double(), expected.loss, rtol=1e-6, atol=0)
    (slopes,), (others,) = twin.gradients(found.loss, p), twin.gradients(expected.loss, p)
    torch.testing.assert_close(slopes, others, rtol=1e-5, atol=1e-8)


def test_the_order_of_memory_does_not_matter():
    batch = busy_batch(40)
    p = probabilities(batch).detach()
    moved = p.movedim(2, 0).contiguous().movedim(0, 2)
    assert moved.stride() != p.stride()
    found, other = by_counts(moved, batch.labels), by_counts(p, batch.labels)
    torch.testing.assert_close(found.loss, other.loss)  # but for the order of a sum
    assert torch.equal(found.active, other.active)
    assert found.active.sum() > 0


@pytest.mark.parametrize("where", ["everywhere", "in one image"])
def test_what_is_not_a_number_gives_no_number(where: str):
    batch = busy_batch(40)
    p = probabilities(batch).detach()
    p[slice(None) if where == "everywhere" else 3] = math.nan
    assert by_counts(p, batch.labels).loss.isnan()


def test_the_step_is_one_that_a_compiler_can_take_whole():
    batch = busy_batch(40)
    p = probabilities(batch).detach()
    profile = profile_minorities(batch.labels, p.shape[2])
    for ordered in (p, p.movedim(2, 0).contiguous().movedim(0, 2)):
        torch.library.opcheck(
            class_slopes._class_slopes,
            (ordered, batch.labels, profile.kept, profile.counts, torch.full((3,), 0.5), 25),
        )


def test_compiled_it_is_one_graph_with_the_same_gradient():
    batch = busy_batch(40)
    logits = batch.logits.detach().float().requires_grad_()
    crl = ClassRectificationLoss()
    torch.compiler.reset()
    value, other = (
        crl(logits, batch.labels),
        torch.compile(crl, fullgraph=True, backend="aot_eager")(logits, batch.labels),
    )
    torch.testing.assert_close(other, value)
    torch.testing.assert_close(*twin.gradients(value, logits), *twin.gradients(other, logits))
