import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from longtail.decisions import neighbours as module
from longtail.decisions.neighbours import choose_references, neighbour_scores

from .cases import random_labels, squared_distance, unit_vectors


def votes_by_loops(query, references, labels, num_classes, k):
    """Shares of the classes among the nearest labelled references of one image for one attribute."""
    ranked = sorted(
        (math.sqrt(squared_distance(query, r)), y) for r, y in zip(references, labels.tolist()) if y >= 0
    )
    votes = [0.0] * num_classes
    for distance, label in ranked[:k]:
        votes[label] += 1 / (distance + 0.001)
    return [v / sum(votes) if sum(votes) else 0.0 for v in votes]


@settings(deadline=None, derandomize=True, max_examples=50)
@given(
    st.integers(0, 2**20),
    st.integers(0, 5),
    st.integers(1, 12),
    st.integers(1, 3),
    st.integers(1, 15),
    st.sampled_from([(False, False), (True, False), (False, True), (True, True)]),
    st.integers(1, 2000),
)
def test_the_scores_are_the_votes_of_the_nearest(seed, n, r, attributes, k, shared, chunk_bytes):
    features = unit_vectors(seed, n, 1 if shared[0] else attributes, 3)
    references = unit_vectors(seed + 1, r, 1 if shared[1] else attributes, 3)
    labels = random_labels(seed + 2, r, attributes, classes=3)
    scores = neighbour_scores(features, references, labels, 3, k, chunk_bytes)
    assert scores.shape == (n, attributes, 3)
    for i in range(n):
        for j in range(attributes):
            query = features[i, 0 if shared[0] else j]
            others = references[:, 0 if shared[1] else j]
            expected = votes_by_loops(query, others, labels[:, j], 3, k)
            assert_close(scores[i, j].tolist(), expected, rtol=1e-5, atol=1e-7)


def test_equal_numbers_of_votes_go_to_the_nearer_class():
    angles = torch.tensor([0.2, 0.5, 0.3, 0.4, 3.0])
    references = torch.stack([angles.cos(), angles.sin()], 1)[:, None]
    labels = torch.tensor([[1], [1], [0], [0], [0]])
    scores = neighbour_scores(torch.tensor([[[1.0, 0.0]]]), references, labels, 2, k=4)
    assert scores[0, 0, 1] > scores[0, 0, 0]


def test_a_reference_votes_only_for_attributes_it_is_labelled_for():
    references = torch.eye(2)[:, None]
    labels = torch.tensor([[-1, 0], [1, 1]])
    scores = neighbour_scores(torch.tensor([[[1.0, 0.0]]]), references, labels, 2, k=1)
    assert scores[0].tolist() == [[0, 1], [1, 0]]


def test_an_attribute_without_labelled_references_scores_nothing():
    labels = torch.tensor([[-1, 0]])
    scores = neighbour_scores(torch.eye(2)[:, None], torch.eye(2)[:1, None], labels, 2)
    assert scores.tolist() == [[[0, 0], [1, 0]]] * 2
    assert neighbour_scores(torch.eye(2)[:, None], torch.empty(0, 1, 2), labels[:0], 2).eq(0).all()


def test_a_coinciding_reference_has_a_finite_vote():
    references = torch.tensor([[[1.0, 0.0]], [[-1.0, 0.0]]])
    scores = neighbour_scores(references, references, torch.tensor([[0], [1]]), 2)
    assert_close(scores[0, 0], torch.tensor([1000, 1 / 2.001]) / (1000 + 1 / 2.001))


def test_rounding_beyond_unit_length_leaves_distances_real():
    images = unit_vectors(0, 200, 1, 8).float()
    labels = torch.arange(200)[:, None] % 3
    scores = neighbour_scores(images, images, labels, 3, k=1)
    assert torch.equal(scores.argmax(2), labels)
    assert scores.isfinite().all()


def test_chunks_stay_within_the_memory_that_is_given(monkeypatch):
    sizes, whole = [], module._vote

    def record(features, *rest):
        sizes.append(len(features))
        return whole(features, *rest)

    monkeypatch.setattr(module, "_vote", record)
    labels = random_labels(0, 10, 2, classes=2)
    neighbour_scores(unit_vectors(1, 30, 1, 3), unit_vectors(2, 10, 1, 3), labels, 2, chunk_bytes=2000)
    assert max(sizes) * 10 * 2 * module._PAIR_BYTES <= 2000
    assert len(sizes) == 4


def test_the_order_of_the_references_does_not_matter():
    features, references = unit_vectors(0, 6, 2, 3), unit_vectors(1, 20, 2, 3)
    labels = random_labels(2, 20, 2, classes=4)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    plain = neighbour_scores(features, references, labels, 4, k=5)
    assert_close(neighbour_scores(features, references[order], labels[order], 4, k=5), plain)


def test_neighbours_are_told_apart_in_full_precision_under_autocast():
    angles = torch.tensor([0.010, 0.012])
    references = torch.stack([angles.cos(), angles.sin()], 1)[:, None]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = neighbour_scores(torch.tensor([[[1.0, 0.0]]]), references, torch.tensor([[1], [0]]), 2, k=1)
    assert scores[0, 0].tolist() == [0, 1]


def references_by_loops(labels, most, per_class, seed):
    drawn = [i for i in range(len(labels)) if max(labels[i]) >= 0]
    drawn = [drawn[i] for i in np.random.default_rng(seed).permutation(len(drawn))]
    seen, ranked = {}, []
    for place, i in enumerate(drawn):
        smallest = per_class
        for j, y in enumerate(labels[i]):
            if y >= 0:
                smallest = min(smallest, seen.get((j, y), 0))
                seen[j, y] = seen.get((j, y), 0) + 1
        ranked.append((smallest, place, i))
    return sorted(i for _, _, i in sorted(ranked)[:most])


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.integers(0, 2**20), st.integers(0, 60), st.integers(1, 4), st.integers(0, 70), st.integers(0, 5))
def test_references_are_chosen_by_their_place_in_their_classes(seed, n, attributes, most, per_class):
    labels = np.random.default_rng(seed).integers(-1, 3, (n, attributes))
    chosen = choose_references(labels, most, per_class, seed)
    assert chosen.tolist() == references_by_loops(labels.tolist(), most, per_class, seed)
    assert len(chosen) == min(most, int((labels >= 0).any(1).sum()))


def kept(labels, chosen, j, c):
    return int((labels[chosen, j] == c).sum())


def test_every_class_keeps_what_it_should_where_there_is_room():
    rng = np.random.default_rng(0)
    labels = np.stack([rng.choice(3, 2000, p=[0.98, 0.015, 0.005]) for _ in range(5)], 1)
    chosen = choose_references(labels, 300, per_class=12, seed=1)
    assert len(chosen) == 300
    for j in range(5):
        for c in range(3):
            assert kept(labels, chosen, j, c) >= min(12, int((labels[:, j] == c).sum()))


def test_too_little_room_is_shared_by_the_classes():
    labels = np.repeat([0, 1, 2, 3], [900, 90, 9, 1])[:, None]
    chosen = choose_references(labels, 10, per_class=50, seed=0)
    assert [kept(labels, chosen, 0, c) for c in range(4)] == [3, 3, 3, 1]


def test_the_rest_is_random():
    labels = np.zeros((1000, 1), np.int64)
    chosen = choose_references(labels, 500, per_class=5, seed=0)
    assert 400 < chosen.mean() < 600
    assert not np.array_equal(chosen, choose_references(labels, 500, per_class=5, seed=1))
    assert np.array_equal(chosen, choose_references(labels, 500, per_class=5, seed=0))


@pytest.mark.parametrize("shape", [(0, 3), (4, 1)])
def test_without_labels_nobody_votes(shape):
    assert choose_references(np.full(shape, -1), 10, 5, 0).shape == (0,)


def test_an_exported_graph_takes_more_images_than_a_chunk_holds():
    class Vote(torch.nn.Module):
        def forward(self, features):
            return neighbour_scores(features, references, labels, 3, k=3, chunk_bytes=12 * 10 * 2)

    references, labels = unit_vectors(1, 10, 1, 3), random_labels(2, 10, 1, classes=3)
    number = torch.export.Dim("number")
    exported = torch.export.export(Vote(), (unit_vectors(3, 2, 1, 3),), dynamic_shapes=({0: number},))
    features = unit_vectors(4, 9, 1, 3)
    assert_close(exported.module()(features), Vote()(features))
