import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from longtail.decisions.clusters import cluster_scores

from .cases import random_labels, squared_distance, unit_vectors


def scores_by_loops(query, centroids, classes, present, k):
    """Scores of one image for one attribute, before the softmax; None for classes it lacks."""
    ranked = sorted((squared_distance(query, m), c) for m, c in zip(centroids, classes.tolist()) if c >= 0)
    near = ranked[:k]
    scores = []
    for c, exists in enumerate(present.tolist()):
        own = [d for d, y in near if y == c]
        other = [d for d, y in near if y != c]
        anywhere = [d for d, y in ranked if y == c]
        if not exists:
            scores.append(None)
        elif own:
            scores.append((min(other) if other else 4.0) - max(own))
        else:
            scores.append(-4.0 - (min(anywhere) if anywhere else 5.0))
    return scores


def softmax_by_loops(scores):
    weights = [0.0 if s is None else math.exp(s) for s in scores]
    return [w / sum(weights) for w in weights]


def random_problem(seed, n, attributes, rows, classes, shared):
    features = unit_vectors(seed, n, 1 if shared else attributes, 3)
    centroids = unit_vectors(seed + 1, attributes, rows, 3)
    present = torch.ones(attributes, classes, dtype=torch.bool)
    present[0, -1] = classes == 1
    owners = random_labels(seed + 2, attributes, rows, classes=classes)
    owners = torch.where(present.gather(1, owners.clamp(min=0)), owners, -1)
    return features, centroids, owners, present


@settings(deadline=None, derandomize=True, max_examples=50)
@given(
    st.integers(0, 2**20),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(1, 12),
    st.booleans(),
)
def test_the_scores_are_those_of_the_equation(seed, n, attributes, rows, classes, k, shared):
    features, centroids, owners, present = random_problem(seed, n, attributes, rows, classes, shared)
    scores = cluster_scores(features, centroids, owners, present, k)
    assert scores.shape == (n, attributes, classes)
    for i in range(n):
        for j in range(attributes):
            query = features[i, 0 if shared else j]
            expected = scores_by_loops(query, centroids[j], owners[j], present[j], k)
            assert_close(scores[i, j].tolist(), softmax_by_loops(expected))


@pytest.mark.parametrize("k", [2, 5, 40])
def test_with_two_classes_the_smallest_sum_of_nearest_and_farthest_own_distance_wins(k):
    features, centroids = unit_vectors(0, 50, 1, 3), unit_vectors(1, 1, 40, 3)
    owners = random_labels(2, 1, 40, classes=2, lowest=0)
    decided = cluster_scores(features, centroids, owners, torch.ones(1, 2, dtype=torch.bool), k)
    checked = 0
    for query, winner in zip(features[:, 0], decided.argmax(2)[:, 0].tolist()):
        near = sorted((squared_distance(query, m), c) for m, c in zip(centroids[0], owners[0].tolist()))[:k]
        own = [[d for d, c in near if c == label] for label in (0, 1)]
        if all(own):
            sums = [min(d) + max(d) for d in own]
            assert winner == sums.index(min(sums))
            checked += 1
    assert checked > 10


def test_when_all_neighbours_are_of_one_class_it_wins():
    centroids = torch.eye(4)[None]
    owners = torch.tensor([[0, 0, 1, 2]])
    query = torch.tensor([[[0.8, 0.6, 0.0, 0.0]]])
    scores = cluster_scores(query, centroids, owners, torch.ones(1, 4, dtype=torch.bool), k=2)[0, 0]
    assert scores.argmax() == 0
    assert scores[1] == scores[2] > scores[3] > 0  # seen beyond the neighbours, seen never


def test_classes_outside_the_neighbours_follow_by_their_nearest_centroid():
    angles = torch.tensor([0.1, 0.3, 0.2, 1.0, 2.0, 0.9])
    centroids = torch.stack([angles.cos(), angles.sin()], 1)[None]
    owners = torch.tensor([[0, 1, 0, 2, 3, 3]])
    query = torch.tensor([[[1.0, 0.0]]])
    scores = cluster_scores(query, centroids, owners, torch.ones(1, 4, dtype=torch.bool), k=3)[0, 0]
    assert scores.argsort(descending=True).tolist() == [0, 1, 3, 2]


def test_the_rule_can_overrule_the_nearest_centroid():
    """Class 0 has the nearest centroid but also a far one among the neighbours."""
    angles = torch.tensor([0.10, 1.5, -0.12, -0.13])
    centroids = torch.stack([angles.cos(), angles.sin()], 1)[None]
    query = torch.tensor([[[1.0, 0.0]]])
    present = torch.ones(1, 2, dtype=torch.bool)
    owners = torch.tensor([[0, 0, 1, 1]])
    assert cluster_scores(query, centroids, owners, present, k=4).argmax() == 1
    assert cluster_scores(query, centroids, owners, present, k=1).argmax() == 0


def test_rows_that_are_not_used_change_nothing():
    features, centroids, owners, present = random_problem(5, 6, 2, 8, 3, shared=False)
    padded = torch.cat([features.transpose(0, 1)[:, :3], centroids], 1)  # junk on top of the images
    unused = torch.cat([torch.full((2, 3), -1), owners], 1)
    plain = cluster_scores(features, centroids, owners, present, k=4)
    assert_close(cluster_scores(features, padded, unused, present, k=4), plain)


def test_an_attribute_without_centroids_gives_all_its_classes_the_same():
    centroids = torch.zeros(1, 2, 3)
    scores = cluster_scores(
        unit_vectors(0, 2, 1, 3).float(),
        centroids,
        torch.full((1, 2), -1),
        torch.tensor([[True, True, False]]),
    )
    assert_close(scores, torch.tensor([[[0.5, 0.5, 0.0]]]).expand(2, 1, 3))


def test_opposite_and_equal_vectors_have_finite_scores():
    centroids = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]])
    query = torch.tensor([[[1.0, 0.0]], [[-1.0, 0.0]]])
    scores = cluster_scores(query, centroids, torch.tensor([[0, 1]]), torch.ones(1, 2, dtype=torch.bool))
    assert scores.isfinite().all()
    assert scores.argmax(2).flatten().tolist() == [0, 1]
    assert_close(scores[0, 0], torch.tensor([4.0, -4.0]).softmax(0))


def test_the_order_of_images_and_centroids_does_not_matter():
    features, centroids, owners, present = random_problem(8, 9, 2, 7, 3, shared=False)
    images = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    rows = torch.randperm(7, generator=torch.Generator().manual_seed(0))
    plain = cluster_scores(features, centroids, owners, present, k=3)
    mixed = cluster_scores(features[images], centroids[:, rows], owners[:, rows], present, k=3)
    assert_close(mixed, plain[images])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_neighbours_are_told_apart_in_full_precision_under_autocast(dtype):
    angles = torch.tensor([0.010, 0.012])
    centroids = torch.stack([angles.cos(), angles.sin()], 1)[None]
    query = torch.tensor([[[1.0, 0.0]]], dtype=dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = cluster_scores(query, centroids, torch.tensor([[0, 1]]), torch.ones(1, 2, dtype=torch.bool))
    assert scores.dtype == torch.float32
    assert scores[0, 0, 0] > scores[0, 0, 1]
