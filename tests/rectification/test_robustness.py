"""What the loss does at the edges: extreme scores, half precision, nothing to rectify, compilers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounter
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from longtail import ClassRectificationLoss

from .cases import PRODUCTS, Batch, Shape, busy_batch, make
from .twin import gradients, twin

every_product = pytest.mark.parametrize(("level", "comparison"), PRODUCTS)
low_precision = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])


def to(batch: Batch, dtype: torch.dtype) -> Batch:
    """The batch in another precision, as leaves."""
    logits, features = (t.detach().to(dtype).requires_grad_() for t in (batch.logits, batch.features))
    return Batch(logits, batch.labels, features)


def labelled(batch: Batch, labels: Tensor) -> Batch:
    return batch._replace(labels=labels)


def taken(batch: Batch, rows: Tensor | slice, attributes: Tensor | slice = slice(None)) -> Batch:
    """Some rows and attributes of a batch, as leaves."""
    logits, features = (
        t.detach()[rows][:, attributes].requires_grad_() for t in (batch.logits, batch.features)
    )
    return Batch(logits, batch.labels[rows][:, attributes], features)


def assert_finite(loss: Tensor, batch: Batch) -> None:
    assert loss.isfinite()
    for gradient in gradients(loss, batch.logits, batch.features):
        assert gradient.isfinite().all()


def assert_connected_zero(crl: ClassRectificationLoss, batch: Batch) -> None:
    result = crl.rectify(*batch)
    assert result.loss.requires_grad
    assert result.loss.item() == 0
    assert int(result.triplets) == 0
    assert float(result.active_share) == 0
    result.loss.backward()
    for leaf in (batch.logits, batch.features):
        assert leaf.grad is None or torch.equal(leaf.grad, torch.zeros_like(leaf))
    assert (batch.logits if crl.level == "class" else batch.features).grad is not None


# Extreme scores and precision


@every_product
@pytest.mark.parametrize("scale", [100.0, 1e-30])
def test_extreme_scores_give_a_finite_loss_and_gradient(level: str, comparison: str, scale: float):
    batch = busy_batch()
    signs = Batch(batch.logits.detach().sign() * scale, batch.labels, batch.features.detach().sign() * scale)
    signs = to(
        signs._replace(logits=signs.logits.masked_fill(batch.logits.isinf(), -math.inf)), torch.float32
    )
    result = ClassRectificationLoss(level=level, comparison=comparison).rectify(*signs)
    assert int(result.triplets) > 0
    assert_finite(result.loss, signs)


@every_product
@low_precision
def test_half_precision_scores_are_compared_in_single_precision(
    level: str, comparison: str, dtype: torch.dtype
):
    half = to(busy_batch(), dtype)
    crl = ClassRectificationLoss(level=level, comparison=comparison)
    value = crl(*half)
    assert value.dtype == torch.float32
    assert value.item() == crl(*to(half, torch.float32)).item() > 0
    assert_finite(value, half)


@every_product
@low_precision
def test_autocast_does_not_lower_the_precision_of_the_loss(level: str, comparison: str, dtype: torch.dtype):
    batch = to(busy_batch(), torch.float32)
    crl = ClassRectificationLoss(level=level, comparison=comparison)
    with torch.autocast("cpu", dtype=dtype):
        value = crl(*batch)
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
    assert value.item() == crl(*batch).item() > 0


@every_product
@low_precision
def test_a_head_under_autocast_gets_a_finite_gradient(level: str, comparison: str, dtype: torch.dtype):
    labels = busy_batch().labels[:, :1]
    trunk, head = torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)
    images = torch.randn(len(labels), 3, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=dtype):
        features = trunk(images)
        logits = head(features)
        value = ClassRectificationLoss(level=level, comparison=comparison)(logits, labels[:, 0], features)
    assert logits.dtype == dtype
    assert value.dtype == torch.float32
    value.backward()
    assert trunk.weight.grad.isfinite().all()
    assert trunk.weight.grad.abs().max() > 0


@every_product
def test_single_precision_agrees_with_the_twin_in_double_precision(level: str, comparison: str):
    batch = to(busy_batch(), torch.float32)
    exact = twin(*to(batch, torch.float64), level=level, comparison=comparison)
    value = ClassRectificationLoss(level=level, comparison=comparison)(*batch)
    torch.testing.assert_close(value, exact.loss.float(), rtol=1e-5, atol=1e-6)


def near_duplicates(gap: float) -> Batch:
    """Two anchors far from the origin, each with a negative that is nearly the same point."""
    features = 10 * torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
    features[4:6] = features[0:2] + gap / 4  # 16 dimensions: a distance of `gap`
    labels = torch.tensor([1, 1, 0, 0, 0, 0, 0, 0])[:, None]
    return to(Batch(torch.zeros(8, 1, 2), labels, features[:, None]), torch.float32)


def value_and_gradient_beside_the_twin(batch: Batch, **how) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    exact = to(batch, torch.float64)
    value, expected = ClassRectificationLoss(**how)(*batch), twin(*exact, **how).loss
    (found,), (right,) = gradients(value, batch.features), gradients(expected, exact.features)
    return value.double(), expected, found.double(), right


@pytest.mark.parametrize("gap", [1.0, 0.1])
def test_single_precision_measures_near_duplicates_of_two_classes(gap: float):
    how = {"level": "instance", "comparison": "absolute", "kappa": 1, "margin": 5.0}
    value, expected, found, right = value_and_gradient_beside_the_twin(near_duplicates(gap), **how)
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=0)
    torch.testing.assert_close(found, right, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("gap", [0.03, 0.01, 0.003, 0.001, 0.0])
def test_rounding_never_makes_the_gradient_of_a_small_distance_large(gap: float):
    how = {"level": "instance", "comparison": "absolute", "kappa": 1, "margin": 5.0}
    value, expected, found, _ = value_and_gradient_beside_the_twin(near_duplicates(gap), **how)
    torch.testing.assert_close(value, expected, rtol=1e-2, atol=0)
    # ½ · 2 (m - d) / |P-|, times the length of a distance's gradient: 1, and at most 2 with rounding
    assert found[4:6].norm(dim=2).max() <= 2 * 5.0 / 2


# Nothing to rectify


@every_product
@pytest.mark.parametrize("label", [0, 1, -1])
def test_one_class_or_no_labels_cost_0_and_stay_connected(level: str, comparison: str, label: int):
    batch = busy_batch()
    nothing = labelled(batch, torch.full_like(batch.labels, label))
    assert_connected_zero(ClassRectificationLoss(level=level, comparison=comparison), nothing)


@every_product
def test_minorities_of_one_image_each_cost_0_and_are_counted(level: str, comparison: str):
    shape = Shape(8, (4,), ("even",), 0.0, False, 1.0, 0, 0)
    single = labelled(make(shape), torch.tensor([0, 0, 0, 0, 0, 0, 1, 2])[:, None])
    crl = ClassRectificationLoss(level=level, comparison=comparison)
    assert crl.rectify(*single).classes_skipped.tolist() == [[False, True, True, False]]
    assert_connected_zero(crl, single)


@every_product
@pytest.mark.parametrize("images", [0, 1, 2, 3])
def test_tiny_batches_cost_0_and_stay_connected(level: str, comparison: str, images: int):
    shape = Shape(images, (2, 3), ("uniform", "uniform"), 0.0, False, 1.0, 0, images)
    assert_connected_zero(ClassRectificationLoss(level=level, comparison=comparison), make(shape))


@every_product
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("point", [0.0, 37.3])
def test_identical_images_give_a_finite_loss_without_gradient_at_distance_0(
    level: str, comparison: str, normalize: bool, point: float
):
    batch = busy_batch(16)
    logits = torch.zeros_like(batch.logits).masked_fill(batch.logits.isinf(), -math.inf)
    same = to(Batch(logits, batch.labels, torch.full_like(batch.features, point)), torch.float32)
    how = {"level": level, "comparison": comparison, "normalize": normalize}
    result = ClassRectificationLoss(**how).rectify(*same)
    assert_finite(result.loss, same)
    torch.testing.assert_close(result.loss.double(), twin(*same, **how).loss.double(), rtol=1e-5, atol=1e-5)
    if level == "instance":
        assert gradients(result.loss, same.features)[0].abs().max() < 1e-6


# Symmetries


@every_product
def test_the_order_of_the_images_does_not_matter(level: str, comparison: str):
    batch = busy_batch()
    order = torch.randperm(len(batch.labels), generator=torch.Generator().manual_seed(1))
    crl = ClassRectificationLoss(level=level, comparison=comparison)
    shuffled = taken(batch, order)
    value, other = crl(*batch), crl(*shuffled)
    torch.testing.assert_close(other, value, rtol=1e-10, atol=1e-12)
    leaf = "logits" if level == "class" else "features"
    (gradient,), (moved,) = gradients(value, getattr(batch, leaf)), gradients(other, getattr(shuffled, leaf))
    torch.testing.assert_close(moved, gradient[order], rtol=1e-9, atol=1e-12)


@every_product
def test_the_order_of_the_attributes_does_not_matter(level: str, comparison: str):
    batch, order = busy_batch(), torch.tensor([2, 0, 1])
    crl = ClassRectificationLoss(level=level, comparison=comparison)
    result, other = crl.rectify(*batch), crl.rectify(*taken(batch, slice(None), order))
    torch.testing.assert_close(other.loss, result.loss, rtol=1e-10, atol=1e-12)
    assert torch.equal(other.anchors, result.anchors[order])
    assert torch.equal(other.classes_kept, result.classes_kept[order])


@every_product
@pytest.mark.parametrize("shared", [False, True])
def test_unlabelled_images_change_nothing(level: str, comparison: str, shared: bool):
    batch, more = busy_batch(shared=shared), busy_batch(40, seed=7, shared=shared)
    both = Batch(
        torch.cat([batch.logits, more.logits]),
        torch.cat([batch.labels, torch.full_like(more.labels, -1)]),
        torch.cat([batch.features, more.features]),
    )
    crl = ClassRectificationLoss(level=level, comparison=comparison)
    result, other = crl.rectify(*batch, choices=True), crl.rectify(*both, choices=True)
    torch.testing.assert_close(other.loss, result.loss, rtol=1e-10, atol=1e-12)
    assert torch.equal(other.chosen, torch.nn.functional.pad(result.chosen, (0, 40)))
    for statistic, unchanged in zip(other[1:-1], result[1:-1]):
        assert torch.equal(statistic, unchanged)
    for gradient in gradients(other.loss, more.logits, more.features):
        assert gradient.abs().max() == 0


@every_product
def test_an_attribute_without_labels_changes_nothing(level: str, comparison: str):
    batch = busy_batch()
    without = batch.labels.clone()
    without[:, 1] = -1
    crl = ClassRectificationLoss(level=level, comparison=comparison)
    value = crl(*taken(batch, slice(None), torch.tensor([0, 2])))
    torch.testing.assert_close(crl(*labelled(batch, without)), value, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("normalize", [False, True])
def test_instance_level_does_not_look_at_the_scores(normalize: bool):
    batch = busy_batch()
    crl = ClassRectificationLoss(level="instance", normalize=normalize)
    assert crl(batch.logits * 3, *batch[1:]).item() == crl(*batch).item()
    longer = crl(batch.logits, batch.labels, batch.features * 3)
    assert (longer.item() == pytest.approx(crl(*batch).item(), abs=1e-9)) is normalize


# Autograd, compilers, the device


@every_product
def test_the_gradient_is_that_of_finite_differences(level: str, comparison: str):
    shape = Shape(12, (2, 4), ("skewed", "even"), 0.0, False, 1.0, 0, 4)
    batch = make(shape)
    # Without unit length the histogram's range moves with the largest distance: finite differences see that,
    # the gradient leaves it out.
    crl = ClassRectificationLoss(
        level=level, comparison=comparison, kappa=3, normalize=comparison == "distribution"
    )
    assert all(crl.rectify(*batch).anchors > 0)
    there = batch.logits.isfinite()

    def scores_to_loss(scores: Tensor) -> Tensor:
        logits = torch.full_like(batch.logits, -math.inf).masked_scatter(there, scores)
        return crl(logits, batch.labels)

    def features_to_loss(features: Tensor) -> Tensor:
        return crl(batch.logits.detach(), batch.labels, features)

    loss, leaf = (
        (scores_to_loss, batch.logits.detach()[there].requires_grad_())
        if level == "class"
        else (features_to_loss, batch.features)
    )
    assert torch.autograd.gradcheck(loss, (leaf,), eps=1e-7, atol=1e-6)


@pytest.mark.parametrize(
    ("level", "comparison"),
    [("class", "relative"), ("class", "distribution"), ("class", "log-odds"), ("instance", "absolute")],
)
def test_a_compiler_takes_the_loss_as_one_graph(level: str, comparison: str):
    batch = busy_batch()
    crl = ClassRectificationLoss(level=level, comparison=comparison)
    torch.compiler.reset()
    compiled = torch.compile(crl, fullgraph=True, backend="eager")
    value, other = crl(*batch), compiled(*batch)
    assert value.item() == other.item() > 0
    leaf = batch.logits if level == "class" else batch.features
    assert torch.equal(*gradients(value, leaf), *gradients(other, leaf))


def test_a_compiler_traces_the_backward_pass_too():
    batch = busy_batch()
    crl = ClassRectificationLoss(level="instance", comparison="distribution")
    torch.compiler.reset()
    other = torch.compile(crl, fullgraph=True, backend="aot_eager")(*batch)
    value = crl(*batch)
    torch.testing.assert_close(other, value)
    torch.testing.assert_close(*gradients(value, batch.features), *gradients(other, batch.features))


@every_product
def test_nothing_waits_for_the_device(level: str, comparison: str):
    # A fake tensor has a shape and no values: asking for a value, or for a shape that depends on one, raises.
    batch = to(busy_batch(), torch.float32)
    with FakeTensorMode() as mode:
        fake = [mode.from_tensor(t) for t in batch]
        with pytest.raises(DataDependentOutputException):
            fake[1].sum().item()
        result = ClassRectificationLoss(level=level, comparison=comparison).rectify(*fake)
        result.loss.backward()
    assert result.loss.shape == result.triplets.shape == ()


def test_a_compiler_needs_no_new_graph_for_every_batch_size():
    counter = CompileCounter()
    torch.compiler.reset()
    compiled = torch.compile(ClassRectificationLoss(), fullgraph=True, backend=counter)
    for images in (32, 40, 17, 21, 50):
        labels = torch.arange(images)[:, None].clamp(max=2).expand(-1, 2)
        compiled(torch.zeros(images, 2, 3), labels)
    assert counter.frame_count <= 2


@pytest.mark.parametrize("level", ["class", "instance"])
def test_settings_that_are_changed_take_effect(level: str):
    batch = busy_batch()
    crl = ClassRectificationLoss(level=level)
    before = crl(*batch).item()
    crl.margin = 1.5
    assert crl(*batch).item() == ClassRectificationLoss(level=level, margin=1.5)(*batch).item() != before
    crl.level, crl.margin, crl.normalize = "instance", None, True
    assert crl(*batch).item() == ClassRectificationLoss(level="instance", normalize=True)(*batch).item()


def test_losses_that_differ_are_printed_otherwise():
    one = ClassRectificationLoss(level="instance", margin=0.3, normalize=True, power=2, nodes=11)
    assert "margin=0.3, power=2, normalize=True, nodes=11" in repr(one)


def test_single_precision_measures_distances_far_from_the_origin():
    batch = near_duplicates(1.0)
    away = to(batch._replace(features=batch.features.detach() + 300.0), torch.float32)
    how = {"level": "instance", "comparison": "absolute", "kappa": 1, "margin": 5.0}
    value, expected, found, right = value_and_gradient_beside_the_twin(away, **how)
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=0)
    torch.testing.assert_close(found, right, rtol=1e-2, atol=1e-2)
