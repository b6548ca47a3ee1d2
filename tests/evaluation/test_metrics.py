from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from msgspec.structs import astuple

from longtail.decisions.thresholds import Threshold
from longtail.errors import InputError
from longtail.evaluation.metrics import (
    METRICS,
    FrequencyBounds,
    Predictions,
    decided,
    evaluate,
    imbalance_ratio,
)
from longtail.evaluation.ranking import average_precision

from .problems import gaussian, problems, schema_of

often = settings(deadline=None, max_examples=60)


def mean_or_nan(values: list[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan


def slow_average_precision(scores: list[float], positive: list[bool]) -> float:
    """Walk down the distinct scores and add up the steps of recall times precision."""
    if not any(positive):
        return math.nan
    area, recall_before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        taken = [hit for score, hit in zip(scores, positive) if score >= threshold]
        recall = sum(taken) / sum(positive)
        area += (recall - recall_before) * sum(taken) / len(taken)
        recall_before = recall
    return area


def slow_figures(predictions: Predictions, j: int) -> dict[str, object]:
    """Every figure of one attribute by plain loops."""
    size = predictions.schema.num_classes[j]
    images = [i for i in range(len(predictions.labels)) if predictions.labels[i, j] >= 0]
    truth = [int(predictions.labels[i, j]) for i in images]
    scores = [[float(predictions.scores[i, j, c]) for c in range(size)] for i in images]
    decided = [row.index(max(row)) for row in scores]
    confusion = [
        [sum(t == a and d == b for t, d in zip(truth, decided)) for b in range(size)] for a in range(size)
    ]
    recall, precision, f1, ap, by_group = [], [], [], [], {"many": [], "medium": [], "few": []}
    for c in range(size):
        there, claimed = truth.count(c), decided.count(c)
        recall.append(confusion[c][c] / there if there else math.nan)
        precision.append(confusion[c][c] / claimed if claimed else math.nan)
        f1.append(2 * confusion[c][c] / (there + claimed) if there else math.nan)
        ap.append(slow_average_precision([row[c] for row in scores], [t == c for t in truth]))
        trained = predictions.train_counts[j, c]
        many, few = predictions.frequency.many_above, predictions.frequency.few_below
        by_group["many" if trained > many else "few" if trained < few else "medium"].append(recall[-1])
    right = sum(t == d for t, d in zip(truth, decided))
    figures = {
        "class_balanced_accuracy": mean_or_nan(recall),
        "accuracy": right / len(images) if images else math.nan,
        "macro_f1": mean_or_nan(f1),
        "mean_average_precision": mean_or_nan(ap),
        **{f"{group}_recall": mean_or_nan(values) for group, values in by_group.items()},
        "rare_average_precision": slow_rare(predictions.train_counts[j], ap) if size == 2 else math.nan,
    }
    return {"confusion": confusion, "recall": recall, "precision": precision, "f1": f1, "ap": ap, **figures}


def slow_rare(train_counts: np.ndarray, precisions: list[float]) -> float:
    """That of the class with fewer training images, of the second where both have as many."""
    return precisions[0] if train_counts[0] < train_counts[1] else precisions[1]


@often
@given(problems())
def test_every_figure_equals_plain_loops(predictions: Predictions):
    result = evaluate(predictions)
    slow = [slow_figures(predictions, j) for j in range(predictions.schema.num_attributes)]
    for attribute, twin in zip(result.attributes, slow, strict=True):
        np.testing.assert_array_equal(attribute.confusion.toarray(), twin["confusion"])
        np.testing.assert_allclose(attribute.recall, twin["recall"])
        np.testing.assert_allclose(attribute.precision, twin["precision"])
        np.testing.assert_allclose(attribute.f1, twin["f1"])
        np.testing.assert_allclose(attribute.average_precision, twin["ap"])
        for name in METRICS:
            np.testing.assert_allclose(attribute.figures.of(name), twin[name], err_msg=name)
    for name in METRICS:
        np.testing.assert_allclose(
            result.mean.of(name), mean_or_nan([twin[name] for twin in slow]), err_msg=name
        )


@often
@given(
    st.integers(1, 40).flatmap(
        lambda n: st.tuples(arrays(np.float64, n, elements=st.integers(0, 9).map(float)), arrays(np.bool_, n))
    )
)
def test_average_precision_equals_the_one_of_scikit_learn(case: tuple[np.ndarray, np.ndarray]):
    from sklearn.metrics import average_precision_score

    scores, positive = case
    positive[0] = True
    np.testing.assert_allclose(average_precision(scores, positive), average_precision_score(positive, scores))


@often
@given(problems(), st.randoms(use_true_random=False))
def test_the_order_of_images_does_not_matter(predictions: Predictions, random):
    order = list(range(len(predictions.labels)))
    random.shuffle(order)
    order = np.array(order, dtype=np.int64)
    before = evaluate(predictions)
    after = evaluate(replace(predictions, scores=predictions.scores[order], labels=predictions.labels[order]))
    for one, other in zip(before.attributes, after.attributes, strict=True):
        np.testing.assert_array_equal(one.confusion.toarray(), other.confusion.toarray())
        np.testing.assert_array_equal(one.average_precision, other.average_precision)
        np.testing.assert_equal(astuple(one.figures), astuple(other.figures))


@often
@given(problems())
def test_unlabelled_images_count_for_nothing_whatever_their_scores(predictions: Predictions):
    _, j, k = predictions.scores.shape
    more = replace(
        predictions,
        scores=np.concatenate([predictions.scores, np.full((2, j, k), np.nan)]),
        labels=np.concatenate([predictions.labels, np.full((2, j), -1)]),
    )
    np.testing.assert_equal(astuple(evaluate(more).mean), astuple(evaluate(predictions).mean))


def test_always_predicting_the_majority_has_a_class_balanced_accuracy_of_one_over_c():
    labels = np.array([[0]] * 96 + [[1]] * 2 + [[2]] + [[3]])
    scores = np.tile([0.7, 0.1, 0.1, 0.1], (100, 1, 1))
    result = evaluate(Predictions(scores, labels, schema_of(4), np.full((1, 4), 10)))
    assert result.mean.class_balanced_accuracy == pytest.approx(1 / 4)
    assert result.mean.accuracy == pytest.approx(0.96)


def test_a_perfect_classifier_scores_one_everywhere_it_is_defined():
    predictions = gaussian(200, (5, 2), signal=100.0)
    mean = evaluate(predictions).mean
    assert mean.rare_average_precision == 1.0
    assert set(astuple(mean)) == {1.0}


def test_at_a_tie_the_lowest_class_index_is_decided():
    predictions = Predictions(np.full((1, 1, 3), 0.5), np.array([[2]]), schema_of(3), np.ones((1, 3), int))
    np.testing.assert_array_equal(
        evaluate(predictions).attributes[0].confusion.toarray(), [[0, 0, 0], [0, 0, 0], [1, 0, 0]]
    )


@pytest.mark.parametrize("rare", [0, 1])
def test_a_score_at_the_threshold_is_decided_to_be_of_the_rare_class(rare: int):
    assert decided(np.array([[0.5, 0.5]]), Threshold(rare, 0.5, 60)).tolist() == [rare]


def test_a_class_without_test_images_is_left_out_of_every_mean():
    scores = np.array([[[0.9, 0.1, 0.0]], [[0.2, 0.7, 0.1]], [[0.1, 0.1, 0.8]]])
    labels = np.array([[0], [1], [1]])
    figures = evaluate(Predictions(scores, labels, schema_of(3), np.full((1, 3), 50))).attributes[0]
    assert figures.figures.class_balanced_accuracy == pytest.approx((1 + 1 / 2) / 2)
    assert figures.figures.macro_f1 == pytest.approx((1 + 2 / 3) / 2)
    assert figures.figures.mean_average_precision == pytest.approx((1 + 5 / 6) / 2)
    assert np.isnan([figures.recall[2], figures.f1[2], figures.average_precision[2]]).all()
    assert figures.precision[2] == 0


def test_a_split_of_one_class_is_judged_by_that_class_alone():
    scores = np.array([[[0.9, 0.1]], [[0.2, 0.8]]])
    figures = evaluate(Predictions(scores, np.array([[0], [0]]), schema_of(2), np.array([[500, 5]])))
    assert figures.mean.class_balanced_accuracy == figures.mean.many_recall == 0.5
    assert figures.mean.mean_average_precision == 1.0
    assert math.isnan(figures.mean.few_recall)


def test_the_average_precision_of_a_binary_attribute_is_the_mean_over_both_classes():
    scores = np.array([[[0.9, 0.1]], [[0.3, 0.7]], [[0.4, 0.6]]])
    figures = evaluate(Predictions(scores, np.array([[0], [0], [1]]), schema_of(2), np.ones((1, 2), int)))
    assert figures.mean.mean_average_precision == pytest.approx(((1 + 2 / 3) / 2 + 1 / 2) / 2)


def test_of_two_classes_the_rarer_one_has_its_average_precision_apart():
    scores = np.array([[[0.9, 0.1]], [[0.3, 0.7]], [[0.4, 0.6]]])
    labels = np.array([[0], [0], [1]])
    for counts, value in (([9, 1], 1 / 2), ([1, 9], (1 + 2 / 3) / 2), ([5, 5], 1 / 2)):
        found = evaluate(Predictions(scores, labels, schema_of(2), np.array([counts])))
        assert found.mean.rare_average_precision == pytest.approx(value)


def test_the_mean_over_attributes_leaves_out_attributes_without_a_label():
    predictions = gaussian(50, (3, 3))
    labels = predictions.labels.copy()
    labels[:, 1] = -1
    result = evaluate(replace(predictions, labels=labels))
    assert all(math.isnan(value) for value in astuple(result.attributes[1].figures))
    np.testing.assert_equal(astuple(result.mean), astuple(result.attributes[0].figures))


def test_an_empty_split_has_no_figures_and_raises_nothing():
    empty = Predictions(
        np.zeros((0, 1, 2)), np.zeros((0, 1), np.int64), schema_of(2), np.zeros((1, 2), np.int64)
    )
    assert all(math.isnan(value) for value in astuple(evaluate(empty).mean))


def test_frequency_groups_part_where_they_are_told_to():
    counts = np.array([101, 100, 20, 19, 0])
    assert FrequencyBounds().group_of(counts).tolist() == ["many", "medium", "medium", "few", "few"]
    assert FrequencyBounds(19, 19).group_of(counts).tolist() == ["many", "many", "many", "medium", "few"]
    assert FrequencyBounds(100, 101).group_of(np.array([101, 100])).tolist() == ["many", "few"]  # no medium


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_refused_by_row_attribute_and_class(bad: float):
    predictions = gaussian(9, (3, 2))
    labels, scores = predictions.labels.copy(), predictions.scores.copy()
    labels[:4, 1] = -1
    scores[6, 1, 1] = bad
    with pytest.raises(InputError, match=r"row 6, attribute 'a1'.*class 'c1'") as caught:
        replace(predictions, labels=labels, scores=scores)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bad", [-2, 2])
def test_a_label_that_is_no_class_of_its_attribute_is_refused(bad: int):
    predictions = gaussian(5, (3, 2))
    labels = predictions.labels.copy()
    labels[3, 1] = bad
    with pytest.raises(InputError, match=f"row 3, attribute 'a1'.*got {bad}"):
        replace(predictions, labels=labels)


@pytest.mark.parametrize(
    ("field", "shape"),
    [("scores", (5, 2, 2)), ("labels", (5, 1)), ("train_counts", (2, 2)), ("groups", (4,))],
)
def test_a_shape_that_does_not_fit_is_refused_by_name(field: str, shape: tuple[int, ...]):
    with pytest.raises(InputError, match=f"^{field}: expected shape"):
        replace(gaussian(5, (3, 2)), **{field: np.zeros(shape, dtype=np.int64)})


def test_labels_of_another_type_are_refused():
    with pytest.raises(TypeError, match="expected int64"):
        replace(gaussian(5), labels=np.zeros((5, 1), dtype=np.int8))


def test_examples_in_the_documentation_run():
    import doctest

    from longtail.evaluation import intervals, metrics, ranking

    for module in (metrics, ranking, intervals):
        tested = doctest.testmod(module)
        assert tested.attempted > 0, Path(module.__file__ or "").name
        assert tested.failed == 0


@pytest.mark.parametrize(("counts", "ratio"), [([44, 1, 0], 44.0), ([6, 4], 1.5), ([3], 1.0), ([0, 0], None)])
def test_the_ratio_leaves_out_classes_without_images(counts: list[int], ratio: float | None):
    assert imbalance_ratio(np.array(counts)) == ratio
