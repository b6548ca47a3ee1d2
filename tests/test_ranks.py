import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from longtail import ClassRectificationLoss
from longtail.ranks import gather_ranks

WORLD, LEVELS = 2, ("class", "instance")


def problem():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(12, 5, generator=generator, dtype=torch.float64)
    weight = torch.randn(5, 2 * (3 + 4), generator=generator, dtype=torch.float64)
    labels = torch.tensor([[0, 0], [0, 1], [1, 1], [0, 2], [2, -1], [0, 0]] * 2)
    return images, weight, labels


def loss_of(images, weight, labels, level):
    out = (images @ weight).view(len(images), 2, 7)
    logits, features = gather_ranks(out[..., :3]), gather_ranks(out[..., 3:])
    return ClassRectificationLoss(level=level)(logits, gather_ranks(labels), features)


def worker(rank, port, results):
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=WORLD)
    own = slice(rank, None, WORLD)
    for level in LEVELS:
        images, weight, labels = problem()
        weight.requires_grad_()
        loss = loss_of(images[own], weight, labels[own], level)
        loss.backward()
        dist.all_reduce(weight.grad)
        mean = weight.grad / WORLD  # data-parallel training averages gradients
        results[level, rank] = (float(loss.detach()), mean)
    dist.destroy_process_group()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(scope="module")
def of_two():
    """The loss and its gradient by level and process."""
    with mp.Manager() as manager:
        results = manager.dict()
        mp.spawn(worker, (free_port(), results), nprocs=WORLD)
        return dict(results)


@pytest.mark.parametrize("level", LEVELS)
def test_two_processes_have_the_loss_and_gradient_of_one(level, of_two):
    images, weight, labels = problem()
    weight.requires_grad_()
    expected = loss_of(images, weight, labels, level)
    expected.backward()
    assert float(expected.detach()) > 0

    for rank in range(WORLD):
        loss, gradient = of_two[level, rank]
        assert loss == pytest.approx(float(expected.detach()), rel=1e-12)
        torch.testing.assert_close(gradient, weight.grad)


def test_without_processes_the_tensor_itself_comes_back():
    tensor = torch.randn(3)
    assert gather_ranks(tensor) is tensor
