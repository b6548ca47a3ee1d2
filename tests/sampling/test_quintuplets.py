import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.errors import InputError
from longtail.sampling import quintuplets as module
from longtail.sampling.quintuplets import QuintupletSampler, mine


def random_problem(seed, n, classes=3, clusters=3):
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, classes, n)
    assignment = np.where(labels >= 0, labels * clusters + rng.integers(0, clusters, n), -1)
    features = rng.normal(size=(n, 5))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return torch.from_numpy(features), torch.from_numpy(labels), torch.from_numpy(assignment)


def best(candidates, distance):
    """The candidate of the largest distance, the first of equals; -1 without candidates."""
    chosen = -1
    for i in candidates:
        if chosen == -1 or distance[i] > distance[chosen]:
            chosen = i
    return chosen


def mine_by_loops(features, labels, assignment, anchors):
    features, labels, assignment = features.tolist(), labels.tolist(), assignment.tolist()
    everyone = range(len(labels))
    table = []
    for x in anchors:
        distance = [sum((a - b) ** 2 for a, b in zip(features[x], features[i])) for i in everyone]
        closeness = [-d for d in distance]
        mates = [i for i in everyone if labels[i] == labels[x] >= 0 and i != x]
        strangers = [i for i in everyone if labels[i] != labels[x] and labels[i] >= 0 and labels[x] >= 0]
        inside = [i for i in mates if assignment[i] == assignment[x]]
        outside = [i for i in mates if assignment[i] != assignment[x]]
        next_, last = best(outside, closeness), best(outside, distance)
        if next_ == last:
            next_ = -1
        table.append([x, best(inside, distance), next_, last, best(strangers, closeness)])
    return table


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.integers(0, 2**20), st.integers(1, 50), st.integers(1, 4), st.integers(1, 4), st.integers(1, 5000))
def test_the_table_satisfies_its_definitions(seed, n, classes, clusters, chunk_bytes):
    features, labels, assignment = random_problem(seed, n, classes, clusters)
    anchors = torch.from_numpy(np.random.default_rng(seed).integers(0, n, 7))
    mined = mine(features, labels, assignment, anchors, chunk_bytes)
    assert mined.dtype == torch.int64
    assert mined.T.tolist() == mine_by_loops(features, labels, assignment, anchors.tolist())


def on_circle(*degrees):
    angle = torch.tensor(degrees) * math.pi / 180
    return torch.stack([angle.cos(), angle.sin()], 1)


def mined(features, labels, assignment, anchor=0):
    return mine(features, torch.tensor(labels), torch.tensor(assignment), torch.tensor([anchor]))[
        :, 0
    ].tolist()


def test_the_most_distant_of_the_class_is_taken_outside_the_cluster_even_when_one_inside_is_farther():
    features = on_circle(0.0, 90.0, 20.0, 40.0, 150.0)
    assert mined(features, [0, 0, 0, 0, 1], [0, 0, 1, 1, 2]) == [0, 1, 2, 3, 4]


def test_a_single_image_outside_the_cluster_is_the_most_distant_and_not_also_the_nearest():
    features = on_circle(0.0, 10.0, 20.0, 150.0)
    assert mined(features, [0, 0, 0, 1], [0, 0, 1, 2]) == [0, 1, -1, 2, 3]


@pytest.mark.parametrize(
    ("labels", "assignment", "expected"),
    [
        ([0, 1, 1], [0, 1, 1], [0, -1, -1, -1, 1]),  # alone in its class
        ([0, 0, 0], [0, 0, 0], [0, 2, -1, -1, -1]),  # one cluster, one class
        ([-1, -1, 0], [-1, -1, 0], [0, -1, -1, -1, -1]),  # unlabelled
        ([0, -1, -1], [0, -1, -1], [0, -1, -1, -1, -1]),  # nobody else labelled
    ],
)
def test_what_does_not_exist_is_marked(labels, assignment, expected):
    assert mined(on_circle(0.0, 10.0, 20.0), labels, assignment) == expected


def test_equal_distances_go_to_the_lowest_row():
    features = torch.eye(8)  # all distances are exactly equal
    labels, assignment = [1, 0, 0, 0, 0, 1, 1, 1], [2, 0, 0, 1, 1, 2, 3, 3]
    assert mined(features, labels, assignment, anchor=4) == [4, 3, -1, 1, 0]


def test_no_anchors_give_an_empty_table():
    features, labels, assignment = random_problem(0, 10)
    assert mine(features, labels, assignment, torch.empty(0, dtype=torch.int64)).shape == (5, 0)


def test_the_order_of_the_images_does_not_matter():
    features, labels, assignment = random_problem(1, 50)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    inverse = order.argsort()
    plain = mine(features, labels, assignment, torch.arange(50))
    mixed = mine(features[order], labels[order], assignment[order], inverse)
    assert torch.equal(torch.where(mixed >= 0, order[mixed], -1), plain)


def test_chunks_stay_within_the_memory_that_is_given(monkeypatch):
    features, labels, assignment = random_problem(2, 40)
    chunks, whole = [], module._mine_chunk

    def record(f, y, c, anchors):
        chunks.append(len(anchors))
        return whole(f, y, c, anchors)

    monkeypatch.setattr(module, "_mine_chunk", record)
    mine(features, labels, assignment, torch.arange(40), chunk_bytes=10_000)
    assert max(chunks) * 40 * module._PAIR_BYTES <= 10_000
    assert len(chunks) == 4


def test_distances_keep_full_precision_under_autocast():
    features, labels, assignment = random_problem(3, 50)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = mine(features.float(), labels, assignment, torch.arange(50))
    assert torch.equal(mixed, mine(features, labels, assignment, torch.arange(50)))


ROWS = 1000 + 3 * np.arange(200)


def random_labels(seed=0, n=200):
    rng = np.random.default_rng(seed)
    columns = [rng.choice(2, n, p=[0.9, 0.1]), rng.integers(-1, 4, n), rng.choice(3, n, p=[0.5, 0.4, 0.1])]
    return np.stack(columns, 1)


def laid_out(sampler, epoch=0, missing=0.3):
    """A random table with missing places, and what `lay_out` was given."""
    rng = np.random.default_rng(9)
    _, rows = sampler.anchors(epoch)
    table = rng.choice(sampler.rows, (5, len(rows)))
    table = np.where(rng.random(table.shape) < missing, -1, table)
    table[0] = rows
    sampler.lay_out(epoch, table)
    return table


@pytest.mark.parametrize(
    ("batch_size", "processes", "b"), [(40, 1, 8), (44, 1, 8), (40, 3, 6), (40, 8, 8), (4, 1, 1), (10, 4, 4)]
)
def test_a_batch_has_five_blocks_that_every_process_shares(batch_size, processes, b):
    sampler = QuintupletSampler(ROWS, random_labels(), batch_size, 0, processes)
    laid_out(sampler)
    assert sampler.quintuplets_per_step == sampler.block == b
    assert sampler.batches(0).shape == (sampler.steps(0), 5 * b)
    assert b % processes == 0


@pytest.mark.parametrize("batch_size", [5, 40, 64, 1000, 5000])
def test_an_epoch_reads_about_as_many_images_as_there_are(batch_size):
    sampler = QuintupletSampler(ROWS, random_labels(), batch_size, 0)
    width = 5 * sampler.quintuplets_per_step
    assert (sampler.steps(0) - 1) * width < 200 <= sampler.steps(0) * width


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_the_columns_of_a_process_are_five_blocks_of_its_own_quintuplets(processes):
    sampler = QuintupletSampler(ROWS, random_labels(), 40, 0, processes)
    table = laid_out(sampler)
    attribute, _ = sampler.anchors(0)
    batches, tasks = sampler.batches(0), sampler.tasks(0)
    b = sampler.quintuplets_per_step
    seen = []
    for step in range(sampler.steps(0)):
        for r in range(processes):
            own, task = batches[step, r::processes], tasks[step, r::processes]
            width = len(own) // 5
            for i in range(width):
                q = step * b + r + i * processes
                seen.append(q)
                for place in range(5):
                    exists = table[place, q] >= 0
                    assert own[place * width + i] == (table[place, q] if exists else table[0, q])
                    assert task[place * width + i] == (attribute[q] if exists else -1)
    assert sorted(seen) == list(range(table.shape[1]))


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.integers(0, 2**20), st.integers(2, 200), st.integers(1, 100), st.integers(0, 50))
def test_attributes_classes_and_images_take_turns(seed, n, batch_size, epoch):
    labels = random_labels(seed, n)
    labels[:2] = labels[0] = np.maximum(labels[0], 0)  # some class has two images
    sampler = QuintupletSampler(ROWS[:n], labels, batch_size, seed)
    attribute, rows = sampler.anchors(epoch)
    positions = np.searchsorted(ROWS, rows)

    usable = [j for j in range(3) if max(np.bincount(labels[labels[:, j] >= 0, j]), default=0) >= 2]
    assert np.ptp([(attribute == j).sum() for j in usable]) <= 1
    assert set(attribute.tolist()) <= set(usable)
    for j in usable:
        drawn = positions[attribute == j]
        counts = np.bincount(labels[labels[:, j] >= 0, j])
        classes = [c for c in range(len(counts)) if counts[c] >= 2]
        of_class = [int((labels[drawn, j] == c).sum()) for c in classes]
        assert sum(of_class) == len(drawn)
        assert np.ptp(of_class) <= 1
        for c in classes:
            assert np.ptp([(drawn == i).sum() for i in np.flatnonzero(labels[:, j] == c)]) <= 1


def test_attributes_without_two_images_of_a_class_are_passed_over():
    labels = np.stack([np.full(6, -1), np.arange(6), np.arange(6) // 3], 1)
    attribute, rows = QuintupletSampler(ROWS[:6], labels, 10, 0).anchors(0)
    assert attribute.tolist() == [2, 2]
    assert sorted(labels[np.searchsorted(ROWS, rows), 2].tolist()) == [0, 1]


def test_attributes_take_turns_over_epochs_too():
    sampler = QuintupletSampler(ROWS[:7], np.zeros((7, 3), np.int64), 10, 0)
    drawn = np.concatenate([sampler.anchors(epoch)[0] for epoch in range(3)])
    assert np.bincount(drawn).tolist() == [2, 2, 2]


def test_a_process_sees_all_attributes_and_classes():
    labels = np.stack([np.arange(200) % 2] * 2, 1)
    sampler = QuintupletSampler(ROWS, labels, 40, 0, processes=2)
    attribute, rows = sampler.anchors(0)
    for r in range(2):
        kinds = {(j, c) for j, c in zip(attribute[r::2], labels[np.searchsorted(ROWS, rows[r::2]), 0])}
        assert len(kinds) == 4


def test_anchors_are_a_function_of_seed_and_epoch():
    sampler = QuintupletSampler(ROWS, random_labels(), 40, 1)
    first = sampler.anchors(4)
    for again, differs in [(sampler, False), (QuintupletSampler(ROWS, random_labels(), 40, 2), True)]:
        assert np.array_equal(first[1], again.anchors(4)[1]) != differs
    assert not np.array_equal(first[1], sampler.anchors(5)[1])


def test_batches_need_the_quintuplets_of_their_own_epoch():
    sampler = QuintupletSampler(ROWS, random_labels(), 40, 0)
    for ask in (sampler.batches, sampler.tasks):
        with pytest.raises(ValueError, match="epoch 0: expected its quintuplets"):
            ask(0)
    laid_out(sampler, epoch=1)
    sampler.batches(1)
    with pytest.raises(ValueError, match="epoch 0"):
        sampler.batches(0)


def test_a_table_of_other_anchors_is_refused():
    sampler = QuintupletSampler(ROWS, random_labels(), 40, 0)
    table = laid_out(sampler)
    with pytest.raises(ValueError, match="headed by the epoch's anchors"):
        sampler.lay_out(1, table)
    with pytest.raises(ValueError, match=r"expected shape \(5, 40\)"):
        sampler.lay_out(0, table[:, :-1])


@pytest.mark.parametrize("labels", [[[0], [1], [2]], [[-1], [-1], [-1]], [[0], [1], [-1]]])
def test_without_two_images_of_a_class_there_is_nothing_to_draw(labels):
    with pytest.raises(InputError, match="at least two training images"):
        QuintupletSampler(np.arange(3), np.array(labels), 5, 0)


def test_the_rates_are_those_of_the_anchors():
    labels = random_labels()
    labels[:, 1] = np.where(labels[:, 1] == 3, -1, labels[:, 1])
    labels[0, 1] = 3  # a class with one image is never drawn
    expected = np.zeros(200)
    for j in range(3):
        counts = {c: sum(1 for y in labels[:, j] if y == c) for c in range(4)}
        classes = [c for c in counts if counts[c] >= 2]
        for i, y in enumerate(labels[:, j]):
            expected[i] += 1 / (len(classes) * counts[y]) if y in classes else 0
    rates = QuintupletSampler(ROWS, labels, 40, 0).rates()
    np.testing.assert_allclose(rates, expected)
    assert rates.sum() == pytest.approx(3)
