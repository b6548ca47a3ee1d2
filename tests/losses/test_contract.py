"""What every loss keeps: the tensor contract, full precision, static shapes, nothing asked of the device."""

from __future__ import annotations

import math

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from longtail.losses.balanced_contrastive import balanced_contrastive
from longtail.losses.cross_entropy import cross_entropy
from longtail.losses.pairs import contrastive, histogram, triplet
from longtail.losses.quintuplet import quintuplet
from longtail.losses.tste import tste
from longtail.losses.verification import best_margin, verification

from .cases import Batch, make


def balanced(features, labels):
    """Each attribute has the same three prototypes."""
    attributes = labels.shape[1] if labels.ndim == 2 else 1
    size = features.shape[-1]
    prototypes = torch.linspace(-1, 2, 3 * size).sin().reshape(3, size).expand(attributes, 3, size)
    present = torch.tensor([True, True, False]).expand(attributes, 3)
    return balanced_contrastive(features, labels, prototypes, present)


every_batch_loss = pytest.mark.parametrize("loss", [triplet, contrastive, histogram, balanced])


def busy() -> Batch:
    """12 images, 3 attributes, some of them unlabelled; every loss is above 0."""
    return make(12, 3, 3, False, 4)


@every_batch_loss
def test_the_order_of_images_and_of_attributes_does_not_matter(loss):
    features, labels = busy()
    images, attributes = torch.randperm(12, generator=torch.Generator().manual_seed(0)), [2, 0, 1]
    shuffled = loss(features[images][:, attributes], labels[images][:, attributes])
    torch.testing.assert_close(shuffled, loss(features, labels))


@every_batch_loss
def test_attributes_add_up(loss):
    features, labels = busy()
    alone = sum(loss(features[:, [j]], labels[:, j]) for j in range(3))
    torch.testing.assert_close(loss(features, labels), alone)


@every_batch_loss
def test_the_mark_of_torch_for_unlabelled_is_understood(loss):
    features, labels = busy()
    marked = labels.masked_fill(labels < 0, -100)
    assert (marked < 0).any()
    assert torch.equal(loss(features, marked), loss(features, labels))


@every_batch_loss
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_feature_that_is_not_finite_shows_in_the_loss(loss, bad: float):
    features, labels = busy()
    features[(labels >= 0).all(1).nonzero()[0, 0], :, 0] = bad
    assert not loss(features, labels).isfinite()


@every_batch_loss
def test_an_unlabelled_image_is_as_good_as_absent(loss):
    features, labels = busy()
    labels[5:8] = -1
    rest = [i for i in range(12) if i not in range(5, 8)]
    torch.testing.assert_close(loss(features, labels), loss(features[rest], labels[rest]))


@every_batch_loss
def test_shared_vectors_serve_every_attribute(loss):
    features, labels = make(12, 3, 3, True, 4)
    expected = loss(features.expand(12, 3, -1), labels)
    torch.testing.assert_close(loss(features, labels), expected)
    torch.testing.assert_close(loss(features[:, 0], labels), expected)


@every_batch_loss
def test_the_length_of_the_vectors_does_not_matter(loss):
    features, labels = busy()
    factor = torch.logspace(-6, 6, 12, dtype=torch.float64)[:, None, None]
    torch.testing.assert_close(loss(features * factor, labels), loss(features, labels))


@every_batch_loss
@pytest.mark.parametrize("content", [[], [0], [0, 0, 0], [0, 1], [-1, -1], [0, -1]])
def test_what_cannot_be_compared_adds_nothing_and_stays_connected(loss, content: list[int]):
    labels = torch.tensor(content, dtype=torch.int64)
    features = torch.ones(len(content), 4, requires_grad=True)
    value = loss(features, labels)
    value.backward()
    assert value.isfinite()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    if loss not in (contrastive, balanced):
        assert value.item() == 0


@every_batch_loss
def test_vectors_without_a_direction_have_no_gradient(loss):
    features, labels = busy()
    features = features.index_fill(0, torch.tensor([0, 3]), 0).requires_grad_()
    loss(features, labels).backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert not features.grad[[0, 3]].any()
    assert features.grad.any()


@every_batch_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_brought_to_full_precision_also_under_autocast(loss, dtype: torch.dtype):
    features, labels = busy()
    half = features.to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(half, labels)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(half.double(), labels).float(), rtol=1e-4, atol=1e-5)


@every_batch_loss
@pytest.mark.parametrize(
    ("features", "labels", "error"),
    [
        (torch.ones(3, 2, 4), torch.zeros(3, 2), TypeError),
        (torch.ones(3, 2, 4, dtype=torch.int64), torch.zeros(3, 2, dtype=torch.int64), TypeError),
        (torch.ones(3, 3, 4), torch.zeros(3, 2, dtype=torch.int64), ValueError),
        (torch.ones(4, 2, 4), torch.zeros(3, 2, dtype=torch.int64), ValueError),
    ],
)
def test_what_does_not_keep_the_contract_is_refused(loss, features, labels, error):
    with pytest.raises(error, match="expected"):
        loss(features, labels)


def calls():
    features, labels = make(6, 2, 3, False, 4)
    flags, vectors = torch.rand(6) < 0.5, torch.randn(5, 6, 3)
    a, b, c = vectors[:3]
    return {
        "triplet": (triplet, (features, labels)),
        "contrastive": (contrastive, (features, labels)),
        "histogram": (histogram, (features, labels)),
        "balanced_contrastive": (
            balanced_contrastive,
            (features, labels, torch.randn(2, 3, 3), torch.ones(2, 3) > 0),
        ),
        "cross_entropy": (cross_entropy, (features, labels, torch.ones(2, 3))),
        "verification": (verification, (a, b, flags, flags, torch.tensor(1.0))),
        "best_margin": (best_margin, (a[:, 0].abs(), flags, flags)),
        "tste": (tste, (a, b, c, 1.0, flags)),
        "quintuplet": (quintuplet, (vectors, torch.rand(5, 6) < 0.5)),
    }


@pytest.mark.parametrize("name", list(calls()))
def test_nothing_waits_for_the_device(name: str):
    loss, arguments = calls()[name]
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:  # no tensor has values: reading one raises
        fake = [mode.from_tensor(a) if isinstance(a, torch.Tensor) else a for a in arguments]
        assert loss(*fake).shape == ()


def test_reading_a_value_would_be_noticed():
    with FakeTensorMode() as mode, pytest.raises(DataDependentOutputException):
        mode.from_tensor(torch.ones(2)).sum().item()
