import math

import torch

from longtail.training.meter import Meter


def test_means_leave_out_what_is_nan():
    meter = Meter()
    meter.add({"a": torch.tensor(1.0)}, {"share": torch.tensor(math.nan)})
    meter.add({"a": torch.tensor(2.0)}, {"share": torch.tensor(0.5)})
    assert meter.means() == ({"a": 1.5}, {"share": 0.5})


def test_what_was_never_counted_is_none():
    meter = Meter()
    meter.add({}, {"table": torch.tensor([[1.0, math.nan], [3.0, 4.0]])})
    assert meter.means().mined == {"table": [[1.0, None], [3.0, 4.0]]}


def test_it_goes_on_from_its_sums():
    meter = Meter()
    meter.add({"a": torch.tensor(1.0)}, {})
    again = Meter(dict(meter.sums), dict(meter.counts))
    again.add({"a": torch.tensor(4.0)}, {})
    assert again.means().loss == {"a": 2.5}


def test_it_does_not_keep_the_graph():
    meter = Meter()
    meter.add({"a": torch.ones((), requires_grad=True) * 2}, {})
    assert not meter.sums["a"].requires_grad
