import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longtail.losses.cross_entropy import cross_entropy
from longtail.losses.ldam import ldam, ldam_margins, ldam_posterior

from .cases import Scores, labelled_rows, log_probability, make_scores, make_table, mean, repeatable, scores

ragged = st.lists(st.lists(st.integers(0, 10**6), min_size=1, max_size=6), min_size=1, max_size=4)


def twin(batch: Scores, margins, scale: float, weights) -> float:
    total = 0.0
    for j in range(batch.labels.shape[1]):
        costs = []
        for _, row, k in labelled_rows(batch, j):
            lowered = [scale * (z - float(margins[j, k]) * (c == k)) for c, z in enumerate(row)]
            costs.append(-float(weights[j, k]) * log_probability(lowered, k))
        total += mean(costs)
    return total


@repeatable
@given(scores, st.sampled_from([1.0, 30.0]), st.integers(0, 10**6))
def test_it_is_the_cross_entropy_after_lowering_the_true_logit_by_its_margin(batch, scale, seed):
    j, k = batch.logits.shape[1:]
    margins, weights, ones = make_table(j, k, seed), make_table(j, k, seed + 1), torch.ones(j, k)
    loss = float(ldam(*batch, margins, scale, weights))
    assert loss == pytest.approx(twin(batch, margins, scale, weights), abs=1e-11)
    plain = float(ldam(*batch, margins, scale))
    assert plain == pytest.approx(twin(batch, margins, scale, ones), abs=1e-11)


def margin_twin(row: list[int], c: int, largest: float) -> float:
    if c >= len(row) or row[c] == 0:
        return 0.0
    unscaled = [n**-0.25 for n in row if n]
    return row[c] ** -0.25 * largest / max(unscaled)


@repeatable
@given(ragged, st.sampled_from([0.5, 0.2]))
def test_margins_go_with_the_fourth_root_and_the_largest_of_each_attribute_is_given(counts, largest):
    width = max(len(row) for row in counts)
    expected = [[margin_twin(row, c, largest) for c in range(width)] for row in counts]
    margins = ldam_margins(counts, largest)
    torch.testing.assert_close(margins, torch.tensor(expected))
    for row, found in zip(counts, margins):
        assert float(found.max()) == pytest.approx(largest if any(row) else 0.0)


def test_the_defaults_are_the_published_ones():
    counts, batch = [[50, 3, 0], [1, 2, 9]], make_scores(9, 2, 3, 0)
    assert torch.equal(ldam_margins(counts), ldam_margins(counts, 0.5))
    assert torch.equal(ldam(*batch, ldam_margins(counts)), ldam(*batch, ldam_margins(counts), 30.0))


def test_without_margins_it_is_cross_entropy_of_the_scaled_logits():
    logits, labels = make_scores(9, 2, 3, 1)
    torch.testing.assert_close(
        ldam(logits, labels, torch.zeros(2, 3), 7.0), cross_entropy(7 * logits, labels)
    )


def test_only_the_margin_of_the_true_class_matters():
    logits, labels = torch.zeros(1, 3), torch.tensor([1])
    margins = torch.tensor([[0.9, 0.2, 0.7]])
    only = torch.tensor([[0.0, 0.2, 0.0]])
    assert torch.equal(ldam(logits, labels, margins), ldam(logits, labels, only))
    assert ldam(logits, labels, margins) > ldam(logits, labels, torch.zeros(1, 3))


@pytest.mark.parametrize("table", ["margins", "class_weights"])
@pytest.mark.parametrize("shape", [(3,), (1, 3), (2, 4)])
def test_tables_of_another_shape_are_refused(table: str, shape):
    tables = {"margins": torch.ones(2, 3)} | {table: torch.ones(shape)}
    with pytest.raises(ValueError, match=rf"{table}: expected shape \(2, 3\)"):
        ldam(torch.zeros(4, 2, 3), torch.zeros(4, 2, dtype=torch.int64), **tables)


def test_a_negative_count_is_refused():
    with pytest.raises(ValueError, match="counts"):
        ldam_margins([[3, -1]])


def test_gradient():
    logits, labels = make_scores(6, 2, 3, 5, same_size=True)
    margins = ldam_margins([[20, 3, 0], [1, 2, 3]])
    assert torch.autograd.gradcheck(lambda x: ldam(x, labels, margins, 2.0), logits.requires_grad_())


def test_a_posterior_of_half_precision_is_taken_in_full_precision():
    logits = torch.tensor([[[0.501, 0.103]]], dtype=torch.bfloat16)
    margins = ldam_margins([[16, 1]])
    expected = ldam_posterior(logits.float(), margins)
    assert torch.equal(ldam_posterior(logits, margins), expected)
