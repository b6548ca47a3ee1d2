import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longtail.losses.cross_entropy import cross_entropy
from longtail.losses.mixing import mixed_cross_entropy, remix_share

from .cases import log_probability, make_scores, make_table, repeatable, scores, seeds


def permuted(labels, seed: int):
    return labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]


def twin(logits, labels, partner_labels, share, weights) -> float:
    total = 0.0
    for j in range(labels.shape[1]):
        cost = known = 0.0
        for i in range(len(labels)):
            row = [z for z in logits[i, j].tolist() if z > -math.inf]
            parts = [(float(share[i, j]), int(labels[i, j]))]
            parts.append((1 - float(share[i, j]), int(partner_labels[i, j])))
            for part, k in parts:
                if k >= 0:
                    cost -= part * float(weights[j, k]) * log_probability(row, k)
                    known += part
        total += cost / max(known, 1.0)
    return total


@repeatable
@given(scores, seeds)
def test_both_labels_cost_by_their_shares_and_the_known_shares_divide(batch, seed: int):
    n, j, k = batch.logits.shape
    partner, share = permuted(batch.labels, seed), make_table(n, j, seed) / 2
    weights, ones = make_table(j, k, seed + 1), torch.ones(j, k)
    weighted = float(mixed_cross_entropy(*batch, partner, share, weights))
    assert weighted == pytest.approx(twin(*batch, partner, share, weights), abs=1e-12)
    plain = float(mixed_cross_entropy(*batch, partner, share))
    assert plain == pytest.approx(twin(*batch, partner, share, ones), abs=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_whole_share_is_the_cross_entropy_of_that_label(weighted: bool):
    logits, labels = make_scores(12, 3, 4, 3)
    partner, weights = permuted(labels, 0), make_table(3, 4, 0) if weighted else None
    own, none = torch.ones(12), torch.zeros(12)
    torch.testing.assert_close(
        mixed_cross_entropy(logits, labels, partner, own, weights), cross_entropy(logits, labels, weights)
    )
    torch.testing.assert_close(
        mixed_cross_entropy(logits, labels, partner, none, weights), cross_entropy(logits, partner, weights)
    )


def test_an_image_mixed_with_one_of_its_own_class_costs_as_if_unmixed():
    logits, labels = make_scores(12, 3, 4, 3)
    share = make_table(12, 3, 0) / 2
    torch.testing.assert_close(
        mixed_cross_entropy(logits, labels, labels, share), cross_entropy(logits, labels)
    )


def test_the_two_images_of_a_pair_can_change_places():
    logits, labels = make_scores(12, 3, 4, 3)
    partner, share = permuted(labels, 0), make_table(12, 3, 0) / 2
    torch.testing.assert_close(
        mixed_cross_entropy(logits, labels, partner, share),
        mixed_cross_entropy(logits, partner, labels, 1 - share),
    )


def test_a_little_share_of_one_known_label_is_not_blown_up():
    logits = torch.zeros(1, 2)
    loss = mixed_cross_entropy(logits, torch.tensor([0]), torch.tensor([-1]), torch.tensor([0.01]))
    assert float(loss) == pytest.approx(0.01 * math.log(2))


@pytest.mark.parametrize("shape", [(12,), (12, 1)])
def test_one_share_an_image_serves_all_attributes(shape):
    logits, labels = make_scores(12, 3, 4, 3)
    partner, share = permuted(labels, 0), make_table(12, 1, 0) / 2
    torch.testing.assert_close(
        mixed_cross_entropy(logits, labels, partner, share.reshape(shape)),
        mixed_cross_entropy(logits, labels, partner, share.expand(12, 3)),
    )
    counts = torch.tensor([[9, 2, 1, 3]] * 3)
    assert torch.equal(
        remix_share(share.reshape(shape), labels, partner, counts),
        remix_share(share.expand(12, 3), labels, partner, counts),
    )


def remix_twin(share: float, k: int, other: int, row: list[int], kappa: Fraction, tau: float) -> float:
    if k < 0 or other < 0:
        return share
    ratio = Fraction(max(row[k], 1), max(row[other], 1))
    if ratio >= kappa and share < tau:
        return 0.0
    if ratio <= 1 / kappa and 1 - share < tau:
        return 1.0
    return share


@repeatable
@given(seeds, st.sampled_from([1, 2, 3]), st.sampled_from([0.3, 0.5, 0.8]))
def test_the_share_goes_to_the_label_that_is_much_rarer(seed: int, kappa: int, tau: float):
    generator = torch.Generator().manual_seed(seed)
    labels, partner = torch.randint(-1, 4, (2, 12, 3), generator=generator)
    counts = torch.randint(0, 10, (3, 4), generator=generator)
    share = torch.randint(0, 11, (12, 3), generator=generator).double() / 10
    result = remix_share(share, labels, partner, counts, float(kappa), tau)
    for i in range(12):
        for j in range(3):
            k, other = int(labels[i, j]), int(partner[i, j])
            expected = remix_twin(float(share[i, j]), k, other, counts[j].tolist(), Fraction(kappa), tau)
            assert float(result[i, j]) == expected


def test_the_defaults_are_the_published_ones():
    labels, partner = torch.tensor([0, 0, 1]), torch.tensor([1, 2, 2])
    share, counts = torch.tensor([0.4, 0.4, 0.6]), torch.tensor([[9, 3, 4]])
    given = remix_share(share, labels, partner, counts, 3.0, 0.5)
    assert torch.equal(remix_share(share, labels, partner, counts), given)
    assert given[:, 0].tolist() == pytest.approx([0.0, 0.4, 0.6])


def test_counts_may_be_floats():
    labels, partner = torch.tensor([0]), torch.tensor([1])
    share, counts = torch.tensor([0.4]), torch.tensor([[9.0, 3.0]])
    assert float(remix_share(share, labels, partner, counts)) == 0


@pytest.mark.parametrize(
    ("partner", "share", "match"),
    [
        ((4, 3), (4, 2), "partner_labels"),
        ((4, 2), (3,), "share"),
        ((4, 2), (4, 3), "share"),
        ((4, 2), (4, 0), "share"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(partner, share, match: str):
    labels, other = torch.zeros(4, 2, dtype=torch.int64), torch.zeros(partner, dtype=torch.int64)
    with pytest.raises(ValueError, match=f"{match}: expected shape"):
        mixed_cross_entropy(torch.zeros(4, 2, 3), labels, other, torch.ones(share))
    with pytest.raises(ValueError, match=f"{match}: expected shape"):
        remix_share(torch.ones(share), labels, other, torch.ones(2, 3))


def test_tables_of_another_shape_are_refused():
    labels, share = torch.zeros(4, 2, dtype=torch.int64), torch.ones(4)
    with pytest.raises(ValueError, match=r"class_weights: expected shape \(2, 3\)"):
        mixed_cross_entropy(torch.zeros(4, 2, 3), labels, labels, share, torch.ones(1, 3))
    with pytest.raises(ValueError, match=r"counts: expected shape \(2, 3\)"):
        remix_share(share, labels, labels, torch.ones(1, 3))


@pytest.mark.parametrize("kappa", [0.5, math.nan])
def test_the_ratio_must_be_at_least_one(kappa: float):
    labels = torch.tensor([0])
    with pytest.raises(ValueError, match="kappa: expected a number of at least 1"):
        remix_share(torch.ones(1), labels, labels, torch.ones(1, 2), kappa)


def test_gradient():
    logits, labels = make_scores(6, 2, 3, 5, same_size=True)
    partner, share, weights = permuted(labels, 1), make_table(6, 2, 2) / 2, make_table(2, 3, 3)
    assert torch.autograd.gradcheck(
        lambda x: mixed_cross_entropy(x, labels, partner, share, weights), logits.requires_grad_()
    )


def test_a_partner_of_a_class_that_is_not_there_is_refused():
    labels, partner, share = torch.tensor([0]), torch.tensor([3]), torch.ones(1)
    with pytest.raises(ValueError, match="labels: expected class indices below 3"):
        mixed_cross_entropy(torch.zeros(1, 3), labels, partner, share)
    with pytest.raises(ValueError, match="labels: expected class indices below 3"):
        remix_share(share, labels, partner, torch.ones(1, 3))


def test_shares_in_double_precision_leave_the_loss_in_that_of_the_logits():
    labels, share = torch.tensor([0]), torch.full((1,), 0.5, dtype=torch.float64)
    assert mixed_cross_entropy(torch.zeros(1, 3), labels, labels, share).dtype == torch.float32
