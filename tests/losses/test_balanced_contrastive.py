import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longtail.losses.balanced_contrastive import balanced_contrastive

from .cases import batches, make, mean, repeatable, seeds, unit_columns


def prototypes_for(batch, classes: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    attributes, size = batch.labels.shape[1], batch.features.shape[2]
    vectors = torch.randn(attributes, classes, size, generator=generator, dtype=torch.float64)
    return vectors * 5, torch.rand(attributes, classes, generator=generator) < 0.7


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b)) / (math.hypot(*a) * math.hypot(*b))


def twin(batch, prototypes, present, temperature: float) -> float:
    """One anchor after the other, one class after the other."""
    total = 0.0
    for j, (vectors, classes) in enumerate(unit_columns(batch)):
        costs = []
        for i, (anchor, y) in enumerate(zip(vectors, classes)):
            near: list[float] = []
            denominator = 0.0
            for c in range(prototypes.shape[1]):
                others = [v for k, v in enumerate(vectors) if classes[k] == c and k != i]
                if present[j, c]:
                    others.append(prototypes[j, c].tolist())
                similar = [cosine(anchor, v) / temperature for v in others]
                denominator += mean([math.exp(s) for s in similar])
                if c == y:
                    near = similar
            if near:
                costs.append(mean([-math.log(math.exp(s) / denominator) for s in near]))
        total += mean(costs)
    return total


@repeatable
@given(batches, seeds, st.sampled_from([0.1, 1.0]))
def test_every_class_pushes_by_the_mean_of_its_members(batch, seed: int, temperature: float):
    prototypes, present = prototypes_for(batch, 4, seed)
    loss = float(balanced_contrastive(*batch, prototypes, present, temperature))
    assert loss == pytest.approx(twin(batch, prototypes, present, temperature), abs=1e-11)


def test_the_default_temperature_is_the_published_one():
    batch = make(9, 2, 3, False, 1)
    tables = prototypes_for(batch, 3, 0)
    assert torch.equal(balanced_contrastive(*batch, *tables), balanced_contrastive(*batch, *tables, 0.1))


def test_copies_of_the_images_of_another_class_change_nothing_for_an_anchor():
    anchor, other = torch.eye(2, dtype=torch.float64).split(1)
    prototypes = torch.stack([anchor, other], 1)
    present = torch.ones(1, 2, dtype=torch.bool)
    losses = []
    for copies in (1, 20):
        labels = torch.tensor([0] + [1] * copies)
        features = torch.cat([anchor, other.expand(copies, 2)])
        losses.append(float(balanced_contrastive(features, labels, prototypes, present)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)


def test_the_prototype_alone_is_near_enough_for_a_class_of_one_image():
    features, labels = torch.tensor([[1.0, 0.0]]), torch.tensor([0])
    prototypes = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]])
    both, missing = torch.tensor([[True, True]]), torch.tensor([[False, True]])
    loss = balanced_contrastive(features, labels, prototypes, both, 1.0)
    assert float(loss) == pytest.approx(math.log(1 + math.exp(-2)))
    assert float(balanced_contrastive(features, labels, prototypes, missing, 1.0)) == 0


@pytest.mark.parametrize("content", [torch.nan, 1e30, 0.0])
def test_what_a_prototype_that_does_not_exist_holds_does_not_matter(content: float):
    batch = make(9, 2, 3, False, 1)
    prototypes, present = prototypes_for(batch, 3, 0)
    filled = torch.where(present[..., None], prototypes, content).requires_grad_()
    loss = balanced_contrastive(*batch, filled, present)
    loss.backward()
    torch.testing.assert_close(loss, balanced_contrastive(*batch, prototypes, present))
    assert filled.grad is not None
    assert filled.grad[present].any()
    assert not filled.grad[~present].any()


@pytest.mark.parametrize("temperature", [0.001, 0.01])
def test_a_low_temperature_stays_finite(temperature: float):
    features, labels = make(9, 2, 3, False, 1)
    features = features.float().requires_grad_()
    prototypes, present = prototypes_for(make(9, 2, 3, False, 1), 3, 0)
    loss = balanced_contrastive(features, labels, prototypes, present, temperature)
    loss.backward()
    assert loss.isfinite()
    assert features.grad is not None
    assert features.grad.isfinite().all()


@pytest.mark.parametrize("content", [[], [0], [0, -1], [0, 1, -1], [-1, -1]])
def test_without_anything_to_compare_it_is_zero_and_connected(content: list[int]):
    features = torch.randn(len(content), 4, requires_grad=True)
    prototypes = torch.randn(1, 2, 4, requires_grad=True)
    labels, present = torch.tensor(content, dtype=torch.int64), torch.zeros(1, 2, dtype=torch.bool)
    loss = balanced_contrastive(features, labels, prototypes, present)
    loss.backward()
    assert loss.item() == 0
    for leaf in (features, prototypes):
        assert leaf.grad is not None
        assert not leaf.grad.any()


@pytest.mark.parametrize(
    ("prototypes", "present", "match"),
    [
        ((1, 3, 3), (2, 3), r"prototypes: expected shape \(2, K, 3\)"),
        ((2, 3, 4), (2, 3), r"prototypes: expected shape \(2, K, 3\)"),
        ((2, 3), (2, 3), r"prototypes: expected shape \(2, K, 3\)"),
        ((2, 3, 3), (2, 2), r"present: expected shape \(2, 3\)"),
    ],
)
def test_prototypes_that_do_not_fit_are_refused(prototypes, present, match: str):
    batch = make(6, 2, 3, False, 1)
    with pytest.raises(ValueError, match=match):
        balanced_contrastive(*batch, torch.ones(prototypes), torch.ones(present, dtype=torch.bool))


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_the_temperature_must_be_positive(temperature: float):
    batch = make(6, 2, 3, False, 1)
    with pytest.raises(ValueError, match="temperature: expected a positive number"):
        balanced_contrastive(*batch, *prototypes_for(batch, 3, 0), temperature)


@pytest.mark.parametrize("shared", [False, True])
def test_gradient(shared: bool):
    features, labels = make(6, 2, 3, shared, 3)
    prototypes, present = prototypes_for(make(6, 2, 3, shared, 3), 3, 2)
    assert torch.autograd.gradcheck(
        lambda x, p: balanced_contrastive(x, labels, p, present, 0.5),
        (features.requires_grad_(), prototypes.requires_grad_()),
    )


def test_a_label_beyond_the_prototypes_is_named():
    with pytest.raises(
        ValueError, match=r"^labels: expected class indices below 3, -1 for unlabelled, got 3"
    ):
        balanced_contrastive(
            torch.ones(2, 4),
            torch.tensor([0, 3]),
            torch.ones(1, 3, 4),
            torch.ones(1, 3, dtype=torch.bool),
            temperature=1.0,
        )
