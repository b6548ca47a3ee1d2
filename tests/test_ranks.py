import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from longtail import ClassRectificationLoss
from longtail.ranks import gather_ranks

WORLD = 2


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


def worker(rank, port, level, results):
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=WORLD)
    images, weight, labels = problem()
    weight.requires_grad_()
    own = slice(rank, None, WORLD)
    loss = loss_of(images[own], weight, labels[own], level)
    loss.backward()
    dist.all_reduce(weight.grad)
    results[rank] = (float(loss.detach()), weight.grad / WORLD)  # data-parallel training averages gradients
    dist.destroy_process_group()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.parametrize("level", ["class", "instance"])
def test_two_processes_have_the_loss_and_gradient_of_one(level):
    images, weight, labels = problem()
    weight.requires_grad_()
    expected = loss_of(images, weight, labels, level)
    expected.backward()
    assert float(expected.detach()) > 0

    with mp.Manager() as manager:
        results = manager.dict()
        mp.spawn(worker, (free_port(), level, results), nprocs=WORLD)
        for rank in range(WORLD):
            loss, gradient = results[rank]
            assert loss == pytest.approx(float(expected.detach()), rel=1e-12)
            torch.testing.assert_close(gradient, weight.grad)


def test_without_processes_the_tensor_itself_comes_back():
    tensor = torch.randn(3)
    assert gather_ranks(tensor) is tensor
