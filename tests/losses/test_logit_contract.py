"""What every loss on logits keeps: the tensor contract, full precision, finite values, static shapes."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from longtail.losses.adjusted import adjusted_cross_entropy
from longtail.losses.asymmetric import asymmetric
from longtail.losses.focal import focal
from longtail.losses.ldam import ldam
from longtail.losses.mixing import mixed_cross_entropy, remix_share

from .cases import Scores, make_scores

TABLE = torch.tensor([0.2, 0.9, 0.5], dtype=torch.float64)


def table_for(logits, labels):
    """A (J, K) table with the same row for every attribute."""
    attributes = labels.shape[1] if labels.ndim == 2 else 1
    return TABLE[: logits.shape[-1]].expand(attributes, -1)


def adjusted(logits, labels, class_weights=None):
    table = table_for(logits, labels)
    return adjusted_cross_entropy(logits, labels, -table, table + 0.1, class_weights)


def margins(logits, labels, class_weights=None):
    return ldam(logits, labels, table_for(logits, labels), 3.0, class_weights)


def mixed(logits, labels, class_weights=None):
    """Each image mixed with one whose label is the next class; unlabelled stays unlabelled."""
    partner = torch.where(labels < 0, labels, (labels + 1) % 2)
    share = torch.full(labels.shape[:1], 0.3)
    return mixed_cross_entropy(logits, labels, partner, share, class_weights)


def plain_focal(logits, labels, class_weights=None):
    return focal(logits, labels, class_weights=class_weights)


def half_focal(logits, labels, class_weights=None):
    return focal(logits, labels, 0.5, class_weights)


def unclipped(logits, labels):
    return asymmetric(logits, labels, 0.5, 0.5, 0.0)


WEIGHTED = [plain_focal, half_focal, adjusted, margins, mixed]
every_loss = pytest.mark.parametrize("loss", [*WEIGHTED, asymmetric, unclipped])
every_weighted_loss = pytest.mark.parametrize("loss", WEIGHTED)


def busy() -> Scores:
    """12 images, 3 attributes of two classes, some labels missing."""
    return make_scores(12, 3, 2, 4, same_size=True)


@every_loss
def test_the_order_of_images_and_of_attributes_does_not_matter(loss):
    logits, labels = busy()
    images, attributes = torch.randperm(12, generator=torch.Generator().manual_seed(0)), [2, 0, 1]
    shuffled = loss(logits[images][:, attributes], labels[images][:, attributes])
    torch.testing.assert_close(shuffled, loss(logits, labels))
    assert shuffled > 0


@every_loss
def test_attributes_add_up_and_one_attribute_needs_no_dimension(loss):
    logits, labels = busy()
    alone = sum(loss(logits[:, j], labels[:, j]) for j in range(3))
    torch.testing.assert_close(loss(logits, labels), alone)


@every_loss
def test_the_mark_of_torch_for_unlabelled_is_understood(loss):
    logits, labels = busy()
    marked = labels.masked_fill(labels < 0, -100)
    assert (marked < 0).any()
    assert torch.equal(loss(logits, marked), loss(logits, labels))


@every_loss
@pytest.mark.parametrize("label", [2, 7, -2, -3])
def test_a_label_that_is_no_class_is_refused_in_words(loss, label: int):
    logits, labels = busy()
    labels[4, 1] = label
    with pytest.raises(
        ValueError, match=f"labels: expected class indices.*, got {label} at image 4, attribute 1"
    ):
        loss(logits, labels)


def test_a_label_of_a_partner_that_is_no_class_is_refused_in_words():
    logits, labels = busy()
    share, counts = torch.full((12,), 0.3), torch.ones(3, 2)
    with pytest.raises(ValueError, match="labels: expected class indices below 2"):
        mixed_cross_entropy(logits, labels, torch.full_like(labels, 2), share)
    for pair in ((labels, torch.full_like(labels, 2)), (torch.full_like(labels, 2), labels)):
        with pytest.raises(ValueError, match="labels: expected class indices below 2"):
            remix_share(share, *pair, counts)


@every_loss
def test_an_unlabelled_image_is_as_good_as_absent(loss):
    logits, labels = busy()
    labels[5:8] = -1
    rest = [i for i in range(12) if i not in range(5, 8)]
    torch.testing.assert_close(loss(logits, labels), loss(logits[rest], labels[rest]))


@every_loss
@pytest.mark.parametrize("images", [0, 1, 3])
def test_without_labels_it_is_zero_and_connected(loss, images: int):
    logits = torch.randn(images, 2, 2, requires_grad=True)
    value = loss(logits, torch.full((images, 2), -1))
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_extreme_logits_give_finite_losses_and_gradients(loss, dtype: torch.dtype):
    values = [-1e4, -90.0, 0.0, 90.0, 1e4]
    pairs = torch.tensor(list(itertools.product(values, values)), dtype=dtype)
    for label in (0, 1):
        logits = pairs.clone().requires_grad_()
        value = loss(logits, torch.full((len(pairs),), label))
        value.backward()
        assert value.isfinite()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()


@every_weighted_loss
def test_a_class_that_an_attribute_lacks_is_as_good_as_absent(loss):
    logits, labels = busy()
    missing = torch.full((12, 3, 1), -math.inf, dtype=torch.float64)
    wider = torch.cat([logits, missing], 2).requires_grad_()
    value = loss(wider, labels)
    value.backward()
    torch.testing.assert_close(value, loss(logits, labels))
    assert wider.grad is not None
    assert wider.grad[..., :2].any()
    assert not wider.grad[..., 2].any()  # NaN counts as any


@every_weighted_loss
def test_weights_of_one_change_no_bit_and_other_weights_scale_their_class(loss):
    logits, labels = busy()
    assert torch.equal(loss(logits, labels, torch.ones(3, 2)), loss(logits, labels))
    tripled = loss(logits, labels, torch.full((3, 2), 3.0))
    torch.testing.assert_close(tripled, 3 * loss(logits, labels))
    one, other = (loss(logits, labels, torch.tensor([[1.0, 0.0]] * 3).roll(k, 1)) for k in (0, 1))
    torch.testing.assert_close(one + other, loss(logits, labels))
    assert 0 < one < loss(logits, labels)


@every_weighted_loss
@pytest.mark.parametrize("shape", [(2,), (1, 2), (3, 3), (2, 3)])
def test_weights_of_another_shape_are_refused(loss, shape):
    with pytest.raises(ValueError, match=r"class_weights: expected shape \(3, 2\)"):
        loss(*busy(), torch.ones(shape))


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_brought_to_full_precision_also_under_autocast(loss, dtype: torch.dtype):
    logits, labels = busy()
    half = logits.to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(half, labels)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(half.double(), labels).float())


@every_loss
@pytest.mark.parametrize(
    ("logits", "labels", "error"),
    [
        (torch.ones(3, 2, 2), torch.zeros(3, 2), TypeError),
        (torch.ones(3, 2, 2, dtype=torch.int64), torch.zeros(3, 2, dtype=torch.int64), TypeError),
        (torch.ones(3, 3, 2), torch.zeros(3, 2, dtype=torch.int64), ValueError),
        (torch.ones(4, 2, 2), torch.zeros(3, 2, dtype=torch.int64), ValueError),
    ],
)
def test_what_does_not_keep_the_contract_is_refused(loss, logits, labels, error):
    with pytest.raises(error, match="expected"):
        loss(logits, labels)


@every_loss
def test_nothing_waits_for_the_device(loss):
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:  # no tensor has values: reading one raises
        logits, labels = (mode.from_tensor(tensor) for tensor in busy())
        weights = [] if loss in (asymmetric, unclipped) else [mode.from_tensor(torch.ones(3, 2))]
        assert loss(logits, labels, *weights).shape == ()


def test_the_share_of_remix_does_not_wait_for_the_device():
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        share, labels, counts = torch.rand(12), busy().labels, torch.ones(3, 2)
        fake = [mode.from_tensor(tensor) for tensor in (share, labels, labels, counts)]
        assert remix_share(*fake).shape == (12, 3)
