import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longtail.losses.adjusted import adjusted_cross_entropy, log_prior, vector_scaling
from longtail.losses.cross_entropy import cross_entropy

from .cases import Scores, labelled_rows, log_probability, make_scores, make_table, mean, repeatable, scores

ragged = st.lists(st.lists(st.integers(0, 10**6), min_size=1, max_size=6), min_size=1, max_size=4)


def twin(batch: Scores, scale, shift, weights) -> float:
    total = 0.0
    for j in range(batch.labels.shape[1]):
        costs = []
        for _, row, k in labelled_rows(batch, j):
            changed = [float(scale[j, c]) * z + float(shift[j, c]) for c, z in enumerate(row)]
            costs.append(-float(weights[j, k]) * log_probability(changed, k))
        total += mean(costs)
    return total


@repeatable
@given(scores, st.integers(0, 10**6))
def test_it_is_the_cross_entropy_of_scaled_and_shifted_logits(batch: Scores, seed: int):
    j, k = batch.logits.shape[1:]
    scale, weights = (make_table(j, k, seed + s) + 0.1 for s in (0, 1))
    shift, ones = make_table(j, k, seed + 2) - 1, torch.ones(j, k)
    both = float(adjusted_cross_entropy(*batch, shift, scale, weights))
    assert both == pytest.approx(twin(batch, scale, shift, weights), abs=1e-12)
    shifted = float(adjusted_cross_entropy(*batch, shift))
    assert shifted == pytest.approx(twin(batch, ones, shift, ones), abs=1e-12)


def test_without_scale_and_shift_it_is_cross_entropy():
    batch = make_scores(9, 3, 4, 1)
    changed = adjusted_cross_entropy(*batch, torch.zeros(3, 4), torch.ones(3, 4))
    assert torch.equal(changed, cross_entropy(*batch))


def prior_twin(row: list[int], c: int, tau: float) -> float:
    seen = [max(n, 1) for n in row]
    return tau * math.log(seen[c] / sum(seen)) if c < len(row) else 0.0


def scale_twin(row: list[int], c: int, gamma: float) -> float:
    seen = [max(n, 1) for n in row]
    return (seen[c] / max(seen)) ** gamma if c < len(row) else 1.0


def table_of(counts: list[list[int]], entry, parameter: float):
    width = max(len(row) for row in counts)
    return torch.tensor([[entry(row, c, parameter) for c in range(width)] for row in counts])


@repeatable
@given(ragged, st.sampled_from([0.0, 0.3, 1.0, 2.5]))
def test_the_tables_are_those_of_the_formulas_and_finite_for_classes_without_images(counts, parameter):
    prior = log_prior(counts, parameter)
    torch.testing.assert_close(prior, table_of(counts, prior_twin, parameter))
    scale, shift = vector_scaling(counts, gamma=parameter, tau=0.5)
    torch.testing.assert_close(scale, table_of(counts, scale_twin, parameter))
    assert torch.equal(shift, log_prior(counts, 0.5))
    assert prior.dtype == scale.dtype == torch.float32
    assert prior.isfinite().all()
    assert (scale > 0).all()


def test_the_defaults_are_the_published_ones():
    counts = [[50, 3, 1]]
    assert torch.equal(log_prior(counts), log_prior(counts, tau=1.0))
    for mine, published in zip(vector_scaling(counts), vector_scaling(counts, 0.3, 1.0)):
        assert torch.equal(mine, published)


def test_the_balanced_softmax_weighs_the_exponentials_by_the_counts():
    counts, z = [[70, 20, 10]], [0.3, -1.0, 2.0]
    loss = adjusted_cross_entropy(torch.tensor([z]), torch.tensor([1]), log_prior(counts))
    terms = [n * math.exp(s) for n, s in zip(counts[0], z)]
    assert float(loss) == pytest.approx(-math.log(terms[1] / sum(terms)))


def test_the_optimum_of_the_adjusted_loss_decides_without_the_prior():
    # images that cannot be told apart, 90 of one class and 10 of the other: plain logits end up equal
    logits = torch.zeros(1, 2, requires_grad=True)
    labels = torch.tensor([0] * 90 + [1] * 10)
    adjusted_cross_entropy(logits.expand(100, 2), labels, log_prior([[90, 10]])).backward()
    torch.testing.assert_close(logits.grad, torch.zeros(1, 2), atol=1e-6, rtol=0)


def test_a_class_without_images_is_trained_down_instead_of_left_as_it_was():
    logits = torch.zeros(1, 3, requires_grad=True)
    adjusted_cross_entropy(logits, torch.tensor([0]), log_prior([[90, 10, 0]])).backward()
    assert logits.grad is not None
    assert logits.grad[0, 2] > 0


def test_an_attribute_without_any_image_is_adjusted_alike_for_all_classes():
    scale, shift = vector_scaling([[0, 0]])
    assert scale.tolist() == [[1.0, 1.0]]
    torch.testing.assert_close(shift, torch.full((1, 2), -math.log(2)))


@pytest.mark.parametrize("table", ["shift", "scale", "class_weights"])
@pytest.mark.parametrize("shape", [(3,), (1, 3), (2, 4), (1, 1)])
def test_tables_of_another_shape_are_refused(table: str, shape):
    tables = {"shift": torch.ones(2, 3)} | {table: torch.ones(shape)}
    with pytest.raises(ValueError, match=rf"{table}: expected shape \(2, 3\)"):
        adjusted_cross_entropy(torch.zeros(4, 2, 3), torch.zeros(4, 2, dtype=torch.int64), **tables)


@pytest.mark.parametrize("gamma", [-0.1, math.nan])
def test_the_power_of_the_scale_must_not_be_negative(gamma: float):
    with pytest.raises(ValueError, match="gamma: expected a number of at least 0"):
        vector_scaling([[3, 1]], gamma)


@pytest.mark.parametrize("tables", [log_prior, vector_scaling])
def test_a_negative_count_is_refused(tables):
    with pytest.raises(ValueError, match="counts"):
        tables([[3, -1]])


def test_gradient():
    logits, labels = make_scores(6, 2, 3, 5, same_size=True)
    tables = vector_scaling([[20, 3, 0], [1, 2, 3]])
    assert torch.autograd.gradcheck(
        lambda x: adjusted_cross_entropy(x, labels, tables.shift, tables.scale), logits.requires_grad_()
    )
