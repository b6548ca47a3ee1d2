import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.sampling.clusters import _fill_empty, cluster_classes, cluster_counts


def unit(points):
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def random_points(seed, n, d=4):
    return unit(np.random.default_rng(seed).normal(size=(n, d)))


def centroids_by_loops(features, assignment, count):
    centroids = np.zeros((count, features.shape[1]))
    for row in range(count):
        for image, cluster in enumerate(assignment):
            if cluster == row:
                centroids[row] += features[image]
        length = np.sqrt((centroids[row] ** 2).sum())
        centroids[row] /= length if length > 0 else 1
    return centroids


@pytest.mark.parametrize(
    ("images", "clusters"), [(0, 0), (1, 1), (3, 1), (4, 2), (499, 2), (501, 3), (1000, 5), (80_000, 400)]
)
def test_the_clusters_of_a_class_grow_with_it(images, clusters):
    assert cluster_counts(images) == clusters


def test_the_size_of_a_cluster_can_be_chosen():
    assert cluster_counts(100, size=10) == 10


@settings(deadline=None, derandomize=True, max_examples=20)
@given(st.integers(0, 30), st.lists(st.integers(0, 5), min_size=1, max_size=4), st.integers(0, 2**20))
def test_every_class_has_as_many_clusters_as_asked_for_and_none_is_mixed(n, counts, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, len(counts), n)
    features = random_points(seed, n)
    clusters = cluster_classes(features, labels, counts, seed)

    row = 0
    for c, count in enumerate(counts):
        members = np.flatnonzero(labels == c)
        used = set(clusters.assignment[members].tolist()) - {-1}
        assert len(used) == min(count, len(members))
        assert used <= set(range(row, row + count))
        for r in range(row, row + count):
            assert clusters.classes[r] == (c if r in used else -1)
        row += count
        assert (clusters.assignment[members] >= 0).all() == (count > 0 or len(members) == 0)
    assert clusters.classes.shape == (row,)
    assert clusters.centroids.shape == (row, 4)
    assert (clusters.assignment[labels < 0] == -1).all()
    expected = centroids_by_loops(features, clusters.assignment, row)
    np.testing.assert_allclose(clusters.centroids, expected, atol=1e-6)


def test_the_types_are_those_of_the_contract():
    clusters = cluster_classes(random_points(0, 30), np.arange(30) % 2, [2, 2], seed=0)
    assert clusters.assignment.dtype == np.int32
    assert clusters.centroids.dtype == np.float32
    assert clusters.classes.dtype == np.int64


def test_clusters_that_lie_far_apart_are_found_in_each_class():
    rng = np.random.default_rng(0)
    place = np.arange(400) % 8  # two classes share the same four places
    centres = np.eye(4)[place % 4]
    features = unit(centres + 0.05 * rng.normal(size=(400, 4)))
    clusters = cluster_classes(features, place // 4, [4, 4], seed=3)
    for c in range(8):
        assert len(set(clusters.assignment[place == c].tolist())) == 1
    assert len(set(clusters.assignment.tolist())) == 8


def test_every_image_is_nearest_to_the_mean_of_its_own_cluster():
    features = random_points(5, 200, d=3)
    assignment = cluster_classes(features, np.zeros(200, np.int64), [6], seed=1).assignment
    means = [features[assignment == c].mean(0) for c in range(6)]
    for image, cluster in zip(features, assignment):
        distances = [((image - mean) ** 2).sum() for mean in means]
        assert distances[cluster] <= min(distances) + 1e-6


def test_k_means_plus_plus_makes_clusters_of_similar_size_in_a_class_larger_than_its_sample():
    place = np.random.default_rng(0).choice(20, 12_000, p=[0.62] + [0.02] * 19)
    features = unit(np.eye(20)[place] + 0.01 * random_points(1, 12_000, d=20))
    clusters = cluster_classes(features, np.zeros(12_000, np.int64), [20], seed=0)
    assert len({frozenset(clusters.assignment[place == p].tolist()) for p in range(20)}) >= 19


@pytest.mark.parametrize("spread", [0.0, 1e-7, 1e-5])
def test_images_that_coincide_still_fill_all_clusters(spread):
    features = np.tile(unit(np.ones((1, 8))), (50, 1))
    features = features + (spread * np.random.default_rng(0).normal(size=(50, 8))).astype(np.float32)
    clusters = cluster_classes(features, np.zeros(50, np.int64), [7], seed=0)
    assert set(clusters.assignment.tolist()) == set(range(7))
    np.testing.assert_allclose(clusters.centroids, np.full((7, 8), 8**-0.5), atol=1e-4)


def test_rows_that_no_image_belongs_to_are_unused():
    features, labels = random_points(0, 5), np.array([0, 2, 2, 0, -1])
    clusters = cluster_classes(features, labels, [3, 2, 2], seed=0)
    assert clusters.classes.tolist() == [0, 0, -1, -1, -1, 2, 2]
    assert clusters.assignment.tolist() == [0, 5, 6, 1, -1]
    assert not clusters.centroids[[2, 3, 4]].any()


def test_opposite_images_whose_sum_vanishes_have_a_finite_centroid():
    features = np.array([[1, 0], [-1, 0]], np.float32)
    clusters = cluster_classes(features, np.zeros(2, np.int64), [1], seed=0)
    assert clusters.centroids.tolist() == [[0, 0]]


def test_an_empty_cluster_takes_the_farthest_point_that_is_not_the_last_of_its_own():
    assignment = np.array([0, 0, 0, 2, 0], np.int32)
    distances = np.array([1, 3, 2, 9, 3], np.float32)
    assert _fill_empty(assignment, distances, 4).tolist() == [0, 1, 0, 2, 3]
    assert assignment.tolist() == [0, 0, 0, 2, 0]
    two_of_two = np.array([0, 0, 1, 1], np.int32), np.array([9, 8, 2, 1], np.float32)
    assert _fill_empty(*two_of_two, 4).tolist() == [2, 0, 3, 1]


def test_the_clusters_of_a_class_depend_on_the_seed_and_on_nothing_of_other_classes():
    features, labels = random_points(0, 120), np.arange(120) % 2
    both = cluster_classes(features, labels, [4, 4], seed=0)
    again = cluster_classes(features, labels, [4, 4], seed=0)
    alone = cluster_classes(features, np.where(labels == 0, 0, -1), [4, 4], seed=0)
    other = cluster_classes(features, labels, [4, 4], seed=1)
    assert np.array_equal(both.assignment, again.assignment)
    assert np.array_equal(both.assignment[labels == 0], alone.assignment[labels == 0])
    assert not np.array_equal(both.centroids, other.centroids)


def test_a_class_without_a_number_of_clusters_is_refused():
    with pytest.raises(ValueError, match="expected classes below 2, got 2"):
        cluster_classes(random_points(0, 3), np.array([0, 1, 2]), [1, 1], seed=0)
