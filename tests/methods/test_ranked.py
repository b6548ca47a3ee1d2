"""Two processes learn what one does, whatever labels are missing."""

from datetime import timedelta

import pytest
import torch
import torch.distributed as dist

from ..together import free_port, together
from .ranked import CASES, WORLD, trained

TERMS = [f"0 {name}" for name in ("ce", "crl", "triplet", "contrastive", "histogram", "bcl", "ranking")]
TERMS += [f"0 {name}" for name in ("identification", "verification", "quintuplet")]


def worker(rank, port, folder):
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", address, timedelta(minutes=2), WORLD, rank)
    for method, attributes in CASES:
        found = trained(method, attributes, torch.float64, rank, WORLD)
        torch.save(found, folder / f"{method}-{attributes}-{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def of_two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("of-two")
    together(worker, free_port(), folder)
    return folder


@pytest.mark.parametrize(("method", "attributes"), CASES)
def test_two_processes_take_the_steps_of_one(of_two, method, attributes):
    expected = trained(method, attributes, torch.float64)
    assert all(value != 0 for name, value in expected.items() if name in TERMS)
    of_each = [torch.load(of_two / f"{method}-{attributes}-{rank}.pt") for rank in range(WORLD)]
    for name, value in expected.items():
        single = value.dtype == torch.float32 or "mined" in name  # the spread of features is one
        torch.testing.assert_close(
            of_each[0][name],
            value,
            rtol=1e-6 if single else 1e-10,
            atol=1e-6 if single else 1e-10,
            equal_nan=True,
        )
        assert torch.equal(of_each[0][name].nan_to_num(), of_each[1][name].nan_to_num())
