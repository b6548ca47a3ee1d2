"""The loops of examples/loops, by two processes: all of them train the network that one process trains."""

import os
import sys
from contextlib import nullcontext
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from longtail import ClassRectificationLoss, gather_ranks, one_batch
from longtail.losses.cross_entropy import cross_entropy
from longtail.sampling.share import ProcessBatches

from .together import free_port, together

LOOPS, WORLD = Path(__file__).parents[1] / "examples" / "loops", 2
NEEDS = {
    "in_ddp": "torch",
    "in_fsdp": "torch",
    "in_lightning": "lightning",
    "in_accelerate": "accelerate",
    "in_trainer": "transformers",
}
THERE = [name for name, package in NEEDS.items() if find_spec(package)]


def accumulated(rank=0, world=1):
    """Gradients of two batches in one step, the second of which synchronises them."""
    small, crl = import_module("small"), ClassRectificationLoss(level="instance", normalize=True)
    network, data = small.Network(), small.data()
    model = network if world == 1 else DistributedDataParallel(network)
    batches = list(ProcessBatches(small.sampler(data, WORLD), rank, world))[:2]
    for number, (images, labels) in enumerate(DataLoader(data, batch_sampler=batches)):
        alone = number == 0 and world > 1
        with model.no_sync() if alone else nullcontext(), one_batch():
            logits, features = model(images)
            loss = cross_entropy(logits, labels)
            loss = loss + 0.15 * crl(*map(gather_ranks, (logits, labels, features)))
            (loss / len(batches)).backward()
    return {name: value.grad for name, value in network.named_parameters()}


def worker(rank, port, folder):
    torch.set_num_threads(1)
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": WORLD, "LOCAL_WORLD_SIZE": WORLD}
    place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "x", "GROUP_RANK": 0}
    os.environ |= {name: str(value) for name, value in place.items()}  # as torchrun does
    sys.path.insert(0, str(LOOPS))
    dist.init_process_group("gloo")
    for name in THERE:
        state = import_module(name).train().state_dict()
        torch.save(state, folder / f"{name}-{rank}.pt")
    torch.save(accumulated(rank, WORLD), folder / f"accumulated-{rank}.pt")
    dist.destroy_process_group()
    os._exit(0)  # threads of gloo may outlive the group, and abort an interpreter that ends beside them


@pytest.fixture(scope="module")
def of_two(tmp_path_factory):
    """The folder with what each of two processes trained in each loop."""
    folder = tmp_path_factory.mktemp("of-two")
    together(worker, free_port(), folder)
    return folder


@pytest.fixture(scope="module")
def loops():
    """Their modules can be imported, as when one of them runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(LOOPS))
        yield
    for name in ("small", *NEEDS):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def of_one(loops, tmp_path_factory):
    """What one process trains."""
    meeting = dist.FileStore(str(tmp_path_factory.mktemp("meeting") / "store"), 1)
    dist.init_process_group("gloo", store=meeting, rank=0, world_size=1)
    network = import_module("in_ddp").train()
    dist.destroy_process_group()
    return network.state_dict()


@pytest.mark.parametrize("name", NEEDS)
def test_two_processes_train_the_network_that_one_does(name, of_two, of_one):
    if name not in THERE:
        pytest.skip(f"{NEEDS[name]} is not installed")
    found = [torch.load(of_two / f"{name}-{rank}.pt") for rank in range(WORLD)]
    for key, expected in of_one.items():
        torch.testing.assert_close(found[0][key], expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found[1][key], found[0][key], rtol=0, atol=0)


def test_two_processes_accumulate_the_gradients_that_one_does(of_two, loops):
    expected = accumulated()
    for rank in range(WORLD):
        found = torch.load(of_two / f"accumulated-{rank}.pt")
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_the_loop_learns(loops, of_one):
    begun = import_module("small").Network().state_dict()
    moved = [float((of_one[name] - value).norm()) for name, value in begun.items() if "weight" in name]
    assert min(moved) > 1e-3


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_all_processes_together_draw_what_one_draws_of_a_subset_and_a_concatenation(loops, epoch):
    small = import_module("small")
    data = small.data()

    def drawn(process, processes):
        batches = ProcessBatches(small.sampler(data, WORLD), process, processes)
        batches.set_epoch(epoch)
        return list(batches)

    whole, parts = drawn(0, 1), [drawn(process, WORLD) for process in range(WORLD)]
    assert [list(np.stack(dealt, 1).flat) for dealt in zip(*parts, strict=True)] == whole
    assert {row for batch in whole for row in batch} <= set(range(len(data)))
