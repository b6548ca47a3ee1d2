import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.losses.cross_entropy import cross_entropy


def twin(logits, labels, weights=None):
    """l_ce with plain loops."""
    total = 0.0
    for j in range(labels.shape[1]):
        rows = [i for i in range(len(labels)) if labels[i, j] >= 0]
        for i in rows:
            scores = [float(s) for s in logits[i, j]]
            top = max(scores)
            log_sum = top + math.log(sum(math.exp(s - top) for s in scores))
            weight = 1.0 if weights is None else float(weights[j, labels[i, j]])
            total += weight * (log_sum - scores[int(labels[i, j])]) / len(rows)
    return total


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.integers(1, 9), st.integers(1, 4), st.integers(2, 6), st.integers(0, 10**6))
def test_it_is_the_sum_over_attributes_of_the_mean_over_labelled_images(n, j, k, seed):
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(1, k + 1, (j,), generator=generator)
    labels = (torch.rand(n, j, generator=generator) * (classes + 1)).long() - 1
    logits = torch.randn(n, j, k, generator=generator, dtype=torch.float64)
    logits = logits.masked_fill(torch.arange(k) >= classes[:, None], -math.inf)
    assert float(cross_entropy(logits, labels)) == pytest.approx(twin(logits, labels), abs=1e-12)
    weights = torch.rand(j, k, generator=generator, dtype=torch.float64) * 5
    weighted = float(cross_entropy(logits, labels, weights))
    assert weighted == pytest.approx(twin(logits, labels, weights), abs=1e-12)


def test_weights_of_one_change_no_bit():
    logits, labels = torch.randn(9, 2, 4), torch.randint(-1, 4, (9, 2))
    assert torch.equal(cross_entropy(logits, labels, torch.ones(2, 4)), cross_entropy(logits, labels))


def test_weights_scale_the_loss_because_it_is_not_divided_by_their_sum():
    logits, labels = torch.randn(9, 2, 4), torch.randint(-1, 4, (9, 2))
    tripled = cross_entropy(logits, labels, torch.full((2, 4), 3.0))
    torch.testing.assert_close(tripled, 3 * cross_entropy(logits, labels))


def test_weights_do_not_change_the_precision_of_the_loss():
    labels = torch.tensor([0, 1])
    for dtype, expected in ((torch.float16, torch.float32), (torch.float64, torch.float64)):
        for weights in (torch.ones(1, 2), torch.ones(1, 2, dtype=torch.float64)):
            assert cross_entropy(torch.zeros(2, 2, dtype=dtype), labels, weights).dtype == expected


@pytest.mark.parametrize("shape", [(3,), (1, 3), (2, 4), (3, 2)])
def test_weights_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"class_weights: expected shape \(2, 3\)"):
        cross_entropy(torch.zeros(4, 2, 3), torch.zeros(4, 2, dtype=torch.int64), torch.ones(shape))


def test_it_equals_the_plain_loss_for_one_label_an_image():
    logits, labels = torch.randn(8, 5), torch.randint(0, 5, (8,))
    expected = torch.nn.functional.cross_entropy(logits, labels)
    torch.testing.assert_close(cross_entropy(logits, labels), expected)


def test_an_attribute_without_labels_adds_nothing_and_stays_connected():
    logits = torch.randn(4, 2, 3, requires_grad=True)
    labels = torch.tensor([[0, -1], [1, -1], [2, -1], [0, -1]])
    loss = cross_entropy(logits, labels)
    torch.testing.assert_close(loss, cross_entropy(logits[:, :1], labels[:, :1]))
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad[:, 1].any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_logits_give_a_full_precision_loss(dtype):
    logits, labels = torch.tensor([[60.0, -60.0]], dtype=dtype), torch.tensor([1])
    loss = cross_entropy(logits, labels)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(120.0)


def test_gradient():
    logits = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[0, -1], [1, 2], [-1, 1], [0, 0], [2, 2]])
    weights = torch.tensor([[0.5, 2.0, 1.0], [3.0, 1.0, 0.1]])
    assert torch.autograd.gradcheck(lambda x: cross_entropy(x, labels), logits)
    assert torch.autograd.gradcheck(lambda x: cross_entropy(x, labels, weights), logits)


def test_one_attribute_of_identities_is_averaged_over_the_known():
    logits = torch.randn(6, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    identities = torch.tensor([3, -1, 8, 0, -1, 3])
    terms = []
    for row, t in zip(logits.tolist(), identities.tolist()):
        if t >= 0:
            terms.append(math.log(sum(math.exp(x) for x in row)) - row[t])
    assert float(cross_entropy(logits, identities)) == pytest.approx(sum(terms) / len(terms), abs=1e-12)


def test_one_attribute_without_known_identities_is_zero_and_connected():
    logits = torch.randn(3, 4, requires_grad=True)
    loss = cross_entropy(logits, torch.full((3,), -1))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()
