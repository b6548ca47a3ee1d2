"""Temperatures, thresholds and prediction sets against plain loops."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from torch.testing import assert_close

from longtail.decisions.sets import smallest_typical, typicality
from longtail.decisions.temperature import best_temperature, tempered
from longtail.decisions.thresholds import Aim, tuned_threshold
from longtail.errors import InputError


def random_scores(seed, n, classes):
    generator = torch.Generator().manual_seed(seed)
    scores = (3 * torch.randn(n, classes, generator=generator, dtype=torch.float64)).softmax(1)
    labels = torch.randint(classes, (n,), generator=generator)
    return scores, labels, torch.rand(n, generator=generator, dtype=torch.float64)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.integers(0, 2**20), st.floats(0.2, 5))
def test_tempered_scores_are_the_softmax_of_divided_logits(seed, temperature):
    logits = 4 * torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    logits[:, 0, 2] = -torch.inf  # a class that the attribute does not have
    found = tempered(logits.softmax(2), torch.tensor([temperature, 1.0]))
    assert_close(found[:, 0], (logits[:, 0] / temperature).softmax(1))
    assert_close(found[:, 1], logits[:, 1].softmax(1))
    assert torch.equal(found.argmax(2), logits.argmax(2))


def test_scores_of_nought_stay_nought():
    found = tempered(torch.tensor([[[0.0, 1.0, 0.0]], [[0.0, 0.5, 0.5]]]), torch.tensor([3.0]))
    assert found.tolist() == [[[0, 1, 0]], [[0, 0.5, 0.5]]]
    assert tempered(torch.zeros(1, 2, 3), torch.ones(2)).tolist() == [[[0] * 3] * 2]  # no neighbour, no vote


@settings(deadline=None, derandomize=True, max_examples=25)
@given(st.integers(0, 2**20), st.integers(2, 40), st.integers(2, 5))
def test_the_temperature_is_that_of_a_general_minimiser(seed, n, classes):
    scores, labels, weights = random_scores(seed, n, classes)

    def loss(log_temperature):
        total, effective = 0.0, sum(weights.tolist()) ** 2 / sum(w**2 for w in weights.tolist())
        for q, y, w in zip(scores.tolist(), labels.tolist(), weights.tolist()):
            sharpened = [value ** (1 / math.exp(log_temperature)) for value in q]
            logs = [math.log(max(value / sum(sharpened), 1e-300)) for value in sharpened]
            total -= w * (logs[y] + 10 / effective * sum(p * log for p, log in zip(q, logs)))
        return total

    expected = minimize_scalar(loss, bounds=(math.log(0.05), math.log(20)), method="bounded").x
    found = math.log(best_temperature(scores, labels, weights))
    assert loss(found) <= loss(expected) + 1e-6 * abs(loss(expected))


def test_one_image_whose_class_has_no_vote_does_not_make_the_scores_as_flat_as_can_be():
    sure = torch.tensor([[1.0, 0.0]]).expand(1000, 2)
    assert 1 < best_temperature(sure, (torch.arange(1000) == 0).long(), torch.ones(1000)) < 19


def test_a_softmax_of_doubled_logits_is_halved_again():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 3, generator=generator, dtype=torch.float64)
    labels = logits.softmax(1).multinomial(1, generator=generator)[:, 0]
    found = best_temperature((2 * logits).softmax(1), labels, torch.ones(4000))
    assert found == pytest.approx(2, rel=0.1)


def test_the_more_images_the_further_scores_that_are_always_right_or_wrong_are_moved():
    def found(right, pairs):
        sure = torch.tensor([[0.9, 0.1], [0.1, 0.9]]).repeat(pairs, 1)
        labels = (torch.arange(2 * pairs) + (not right)) % 2
        return best_temperature(sure, labels, torch.ones(2 * pairs))

    right, wrong = ([found(way, pairs) for pairs in (1, 10, 100, 50_000)] for way in (True, False))
    assert right == sorted(right, reverse=True)
    assert wrong == sorted(wrong)
    assert 0.8 < right[0] < 1 < wrong[0] < 2.5
    assert right[-1] < 0.2
    assert wrong[-1] == pytest.approx(20)


def test_an_easy_attribute_whose_few_images_are_all_right_is_not_made_surer_than_sure():
    generator = torch.Generator().manual_seed(0)
    logits = torch.zeros(4060, 2, dtype=torch.float64)
    logits[:, 0] = 5 + torch.randn(4060, generator=generator)  # right in 98.5 %, and as sure
    scores = logits.softmax(1)
    labels = scores.multinomial(1, generator=generator)[:, 0]
    checked = torch.nonzero(labels == 0)[:60, 0]
    temperature = best_temperature(scores[checked], labels[checked], torch.ones(60))
    assert 0.6 < temperature < 1

    def log_loss(q):
        return -q[60:].gather(1, labels[60:, None]).log().mean()

    assert log_loss(tempered(scores[:, None], torch.tensor([temperature]))[:, 0]) < 1.3 * log_loss(scores)


def typicality_by_loops(scores, assumed, shares):
    v = [q / a if a > 0 else 0.0 for q, a in zip(scores, assumed)]
    return [value / sum(r * other for r, other in zip(shares, v)) for value in v]


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.integers(0, 2**20))
def test_typicality_is_the_posterior_over_the_share(seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(4, 2, 3, generator=generator, dtype=torch.float64).softmax(2)
    assumed, shares = torch.rand(2, 2, 3, generator=generator, dtype=torch.float64)
    assumed[0, 2] = shares[0, 2] = 0
    found = typicality(scores, assumed, shares)
    for i in range(4):
        for j in range(2):
            rows = scores[i, j].tolist(), assumed[j].tolist(), shares[j].tolist()
            assert_close(found[i, j].tolist(), typicality_by_loops(*rows))


def test_no_class_is_typical_where_an_attribute_was_not_trained():
    untrained = torch.zeros(1, 2)
    assert typicality(torch.tensor([[0.5, 0.5]]), untrained, untrained).tolist() == [[0, 0]]


def test_typicality_does_not_depend_on_how_frequent_the_scores_take_classes_to_be():
    likelihood = torch.rand(6, 1, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    shares = torch.tensor([[0.7, 0.2, 0.07, 0.03]], dtype=torch.float64)
    plain = likelihood * shares
    even = torch.full((1, 4), 0.25, dtype=torch.float64)
    natural = typicality(plain / plain.sum(2, keepdim=True), shares, shares)
    balanced = typicality(likelihood / likelihood.sum(2, keepdim=True), even, shares)
    assert_close(natural, balanced)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
def test_a_new_image_is_covered_as_often_as_promised(coverage):
    """Over all orders of n + 1 exchangeable images, exactly ⌈c (n + 1)⌉ of n + 1 are covered."""
    values = torch.randn(30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    covered = [
        float(values[new]) >= smallest_typical(torch.cat([values[:new], values[new + 1 :]]), coverage)
        for new in range(30)
    ]
    assert sum(covered) == math.ceil(round(coverage * 30, 9))


def test_too_few_validation_images_cover_with_all_classes():
    assert smallest_typical(torch.tensor([0.5] * 8), 0.9) == -math.inf
    assert smallest_typical(torch.tensor([0.5] * 9), 0.9) == 0.5
    assert smallest_typical(torch.tensor([]), 0.9) == -math.inf


def threshold_by_loops(scores, positive, aim):
    """All thresholds between neighbouring scores and below all, each with its decisions counted."""
    values = sorted(set(scores))
    tried = [values[0] / 2] + [(low + high) / 2 for low, high in pairwise(values)]
    best, chosen = -math.inf, None
    for threshold in sorted(tried, reverse=True):
        decided = [score >= threshold for score in scores]
        hits = sum(d and p for d, p in zip(decided, positive))
        false = sum(d and not p for d, p in zip(decided, positive))
        recall, precision = hits / sum(positive), hits / max(1, sum(decided))
        good = {
            "balanced": recall + 1 - false / (len(positive) - sum(positive)),
            "f1": 2 * hits / (sum(decided) + sum(positive)),
            "precision": recall if precision >= (aim.share or 0) else -math.inf,
            "recall": -sum(decided) if recall >= (aim.share or 0) else -math.inf,
        }[aim.name]
        if good > best + 1e-12:
            best, chosen = good, threshold
    return chosen


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=2, max_size=30),
    st.sampled_from(["balanced", "f1", "precision=.5", "precision=.9", "recall=.5", "recall=.9"]),
)
def test_a_threshold_is_the_best_of_all(images, aim):
    scores, positive = [score / 20 for score, _ in images], [*(yes for _, yes in images[1:]), True]
    positive[0] = False
    found = tuned_threshold(torch.tensor(scores, dtype=torch.float64), torch.tensor(positive), Aim.of(aim))
    expected = threshold_by_loops(scores, positive, Aim.of(aim))
    assert found == pytest.approx(expected)


def test_precision_that_no_threshold_reaches_gives_none():
    wrong_first = torch.tensor([0.9, 0.1]), torch.tensor([False, True])
    assert tuned_threshold(*wrong_first, Aim("precision", 0.9)) is None


@pytest.mark.parametrize(
    "text", ["", "f2", "f1=.5", "precision", "precision=", "recall=2", "recall=x", "recall=nan", "recall=0"]
)
def test_an_aim_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="--threshold"):
        Aim.of(text)


def test_free_thresholds_overfit_where_they_are_refused():
    """Tuned on few positives, thresholds for balanced accuracy lose on new images: the refusal is needed."""
    generator = torch.Generator().manual_seed(0)
    lost = []
    for _ in range(200):
        yes, no = torch.randn(30, generator=generator) + 1, torch.randn(300, generator=generator)
        scores = (2 * torch.cat([yes, no]) - 1).sigmoid()  # posterior of the even mixture: ½ is best
        tuned = tuned_threshold(scores, torch.arange(330) < 30, Aim("balanced"))
        new_yes, new_no = torch.randn(2, 4000, generator=generator)
        balanced = [
            ((2 * (new_yes + 1) - 1).sigmoid() >= t).double().mean()
            + ((2 * new_no - 1).sigmoid() < t).double().mean()
            for t in (0.5, tuned)
        ]
        lost.append(float(balanced[0] - balanced[1]) / 2)
    assert sum(lost) / len(lost) > 0.005
    assert Aim("balanced").fewest > 30
