"""Counts of what was mined: each row of the data on its own, over batches, and over a stop."""

import torch

from longtail.data.dataset import Batch
from longtail.methods import class_rectification
from longtail.methods.choices import Choices
from longtail.methods.options import CRLOptions, MethodOptions

from .conftest import build, observed


def test_counts_of_batches_add_up_also_where_a_row_is_drawn_twice():
    choices = Choices(5)
    for index in ([1, 1, 4], [4, 0, 1]):
        choices.add(torch.tensor(index), torch.tensor([[1, 2, 3], [0, 0, 7]]))
    assert choices.times.tolist() == [[2, 6, 0, 0, 4], [0, 7, 0, 0, 7]]
    assert choices.times.dtype == torch.int32


def test_a_stopped_training_goes_on_from_its_counts_unless_they_are_of_other_images():
    choices, before = Choices(3), torch.tensor([[1, 2, 3], [4, 5, 6]], dtype=torch.int32)
    choices.restore(before)
    choices.add(torch.tensor([0]), torch.tensor([[1], [1]]))
    assert choices.times.tolist() == [[2, 2, 3], [5, 5, 6]]
    assert before[0, 0] == 1
    for other in (None, torch.zeros(2, 4, dtype=torch.int32)):
        fresh = Choices(3)
        fresh.restore(other)
        assert fresh.times.tolist() == [[0, 0, 0]] * 2


def test_a_method_counts_what_it_mined_from_when_it_has_seen_the_data(data, output, batch):
    method = build("crl")
    assert method.loss(output, batch).mined["positive_pairs"] > 0
    assert method.choices is None
    observed(method, data)
    rows = Batch(batch.images, batch.labels, batch.index + 40)
    mined = method.loss(output, rows).mined
    times = method.choices.times
    assert times.sum(1).tolist() == [mined["positive_pairs"].item(), mined["negative_pairs"].item()]
    assert not times[:, :40].any()
    assert not times[:, 52:].any()
    assert not any("times" in name for name in method.state_dict())


def test_a_method_that_does_not_mine_has_no_counts(data):
    method = build("ce")
    observed(method, data)
    assert method.choices is None


def test_what_each_process_mined_in_its_own_batch_is_counted_for_all_of_them(
    data, output, batch, monkeypatch
):
    method = build("crl", MethodOptions(crl=CRLOptions("instance", scope="local")))
    observed(method, data)
    monkeypatch.setattr(class_rectification, "gather_ranks", lambda rows: torch.cat([rows, rows]))
    mined = method.loss(output, batch).mined
    pairs = [mined["positive_pairs"].item(), mined["negative_pairs"].item()]
    assert method.choices.times.sum(1).tolist() == [2 * number for number in pairs]
