"""Rows, means and norms of two processes, against those of one."""

import re
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.utils.checkpoint
from torch import nn
from torch.nn.functional import batch_norm
from torch.utils.data import TensorDataset

from longtail import ClassRectificationLoss, gather_ranks, one_batch
from longtail.losses.cross_entropy import cross_entropy
from longtail.norms import WholeBatchNorms, whole_batch_norm
from longtail.ranks import (
    average_ranks,
    batch_mean,
    batch_ratio,
    rows_of_batch,
    share_state,
)
from longtail.tensors import masked_mean

from .sharing import COMPARISONS, ON_PAIRS, averaged, in_shares, problem
from .together import free_port, together

WORLD, LEVELS = 2, ("class", "instance")
ORDER = torch.randperm(12, generator=torch.Generator().manual_seed(1))
NORMS = {
    "vectors": (nn.BatchNorm1d, (7, 5), {}),
    "maps": (nn.BatchNorm2d, (7, 5, 3, 2), {"momentum": 0.3}),
    "without parameters": (nn.BatchNorm2d, (6, 5, 1, 1), {"affine": False}),
    "without running statistics": (nn.BatchNorm1d, (6, 5), {"track_running_stats": False}),
    "cumulative": (nn.BatchNorm1d, (6, 5), {"momentum": None}),
    "one row each": (nn.BatchNorm1d, (2, 5), {}),
    "one process without rows": (nn.BatchNorm1d, (3, 5), {}),
    "fixed": (nn.BatchNorm1d, (6, 5), {}),
}
"""Class, shape of the whole batch, options; an odd number of rows is uneven in two processes."""


def own_rows(name, count, rank, world):
    if name == "one process without rows" and world > 1:
        return slice(0, count if rank == 0 else 0)
    return slice(rank, None, world)


def loss_of(images, weight, labels, level):
    out = (images @ weight).view(len(images), 2, 7)
    logits, features = gather_ranks(out[..., :3]), gather_ranks(out[..., 3:])
    return ClassRectificationLoss(level=level)(logits, gather_ranks(labels), features)


def rectified(level, rank=0, world=1):
    """The loss and the gradient that data-parallel training takes."""
    images, weight, labels = problem()
    weight.requires_grad_()
    loss = loss_of(images[rank::world], weight, labels[rank::world], level)
    loss.backward()
    return loss.detach(), averaged(weight.grad, world)


def padded(rank=0, world=1):
    """The same of batches of 7 and 5, filled up with a row without labels where processes must agree."""
    images, weight, labels = problem()
    weight.requires_grad_()
    own = (slice(0, 7) if rank == 0 else slice(7, 12)) if world > 1 else slice(None)
    images, labels = images[own], labels[own]
    if rank == 1:
        images = torch.cat([images, torch.full((2, 5), 9.0, dtype=torch.float64)])
        labels = torch.cat([labels, torch.full((2, 2), -1)])
    loss = loss_of(images, weight, labels, "instance")
    with one_batch():
        loss = loss + cross_entropy((images @ weight[:, :6]).view(-1, 2, 3), labels)
        value = average_ranks(loss)
    loss.backward()
    return value, averaged(weight.grad, world)


def normed(name, rank=0, world=1, kind=torch.float64):
    """What comes out for the own rows, gradients, and running statistics after two batches."""
    form, shape, options = NORMS[name]
    generator = torch.Generator().manual_seed(2)
    norm = form(shape[1], **options, dtype=kind)
    if norm.affine:
        with torch.no_grad():
            norm.weight.copy_(torch.randn(shape[1], generator=generator))
            norm.bias.copy_(torch.randn(shape[1], generator=generator))
    norm.train(name != "fixed")
    own, found = own_rows(name, shape[0], rank, world), {}
    for step in range(2):
        x, slope = (1e3 + torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
        mine = x[own].to(kind).requires_grad_()
        with one_batch():
            out = norm(mine)
        norm.zero_grad()
        (out * (slope[own] - 1e3).to(kind)).sum().backward()
        found |= {f"{step} out": out.detach(), f"{step} slope": mine.grad}
        for parameter, value in norm.named_parameters():
            found[f"{step} {parameter}"] = averaged(value.grad.clone(), world) * world  # the sum
    return found | {f"kept {key}": value.clone() for key, value in norm.state_dict().items()}


def meant(rank=0, world=1):
    """Means of columns with few, one and no value, in the whole batch and in this process."""
    generator = torch.Generator().manual_seed(3)
    values = torch.randn(12, 3, generator=generator, dtype=torch.float64)
    mask = torch.zeros(12, 3, dtype=torch.bool)
    mask[:7, 0] = mask[4, 1] = True
    own = slice(rank, None, world)
    with one_batch():
        columns, every = batch_mean(values[own], mask[own], 0), batch_mean(values[own], mask[own])
        share = batch_ratio(values[own].sum(), mask[own].sum().double() / 3)
        return [average_ranks(mean) for mean in (columns, every, share)]


def alone():
    """What the first process can do while the other one does something else."""
    logits = torch.zeros(2, 3)
    return cross_entropy(logits, torch.tensor([0, -1])), batch_norm(logits, None, None, training=True)


def refused(rank):
    """Two calls on uneven rows; the processes are together again afterwards."""
    said = []
    for rows in (3, 2) if rank else (2, 3):
        try:
            gather_ranks(torch.zeros(rows, 4))
        except ValueError as error:
            said.append(str(error))
    return said


class Activated(nn.BatchNorm2d):
    """A norm and what follows it in one module, as timm has them."""

    def forward(self, x):
        return batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training
        ).relu()


def with_activation(rank=0, world=1):
    norm = Activated(5).double()
    x = torch.randn(6, 5, 2, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    with one_batch():
        return norm(x[rank::world]).detach()


def looped():
    """The weights of the example in docs/scaling.md, by the processes that there are."""
    generator = torch.Generator().manual_seed(5)
    labels = torch.randint(-1, 3, (128, 2), generator=generator).clamp(max=1)
    images = torch.randn(128, 6, generator=generator, dtype=torch.float64) + labels[:, :1]
    torch.manual_seed(0)
    network = Network().double()
    text = (Path(__file__).parents[1] / "docs/scaling.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(block, "scaling.md", "exec"), {"network": network, "data": TensorDataset(images, labels)})
    return network.state_dict()


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 14))

    def forward(self, x):
        out = self.layers(x).view(len(x), 2, 7)
        return out[..., :3], out[..., 3:]


@contextmanager
def group(rank=0, world=1, port=None):
    """A process group with as many processes."""
    address = f"tcp://127.0.0.1:{port or free_port()}"
    dist.init_process_group("gloo", address, timedelta(minutes=2), world, rank)
    yield
    dist.destroy_process_group()


def worker(rank, ports, folder):
    torch.set_num_threads(1)
    found = {}
    if rank < WORLD:
        with group(rank, WORLD, ports[0]):
            found = found_by(rank)
    with group(rank, 3, ports[1]):
        found |= {f"3 {name}": value for name, value in in_shares(rank, 3).items()}
    torch.save(found, folder / f"{rank}.pt")


def found_by(rank):
    images, _, labels = problem()
    found = {f"level {level}": rectified(level, rank, WORLD) for level in LEVELS}
    found |= {f"norm {name}": normed(name, rank, WORLD) for name in NORMS}
    found |= {"padded": padded(rank, WORLD), "means": meant(rank, WORLD), "refused": refused(rank)}
    found["gathered"] = [gather_ranks(x[rank::WORLD]) for x in (images, labels, labels > 0)]
    found["gathered"].append(gather_ranks(images[rank::WORLD].t().contiguous().t()))
    with one_batch():
        found["ordered"] = [rows_of_batch(x[rank::WORLD], ORDER) for x in (images, labels)]
    if rank == 0:
        found["alone"] = alone()
    found["activation"] = with_activation(rank, WORLD)
    module = nn.BatchNorm1d(3)
    module.running_mean.fill_(rank + 1.0)
    share_state(module)
    found["shared"] = module.running_mean
    found["looped"] = looped()
    return found | {f"2 {name}": value for name, value in in_shares(rank, WORLD).items()}


@pytest.fixture(scope="module")
def of_three(tmp_path_factory):
    """What each of three processes found, and before that each of the first two without the third."""
    folder = tmp_path_factory.mktemp("of-three")
    together(worker, (free_port(), free_port()), folder, processes=3)
    return [torch.load(folder / f"{rank}.pt") for rank in range(3)]


@pytest.fixture(scope="module")
def of_two(of_three):
    """What each of two processes found."""
    return of_three[:WORLD]


def check(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("level", LEVELS)
def test_two_processes_have_the_loss_and_gradient_of_one(level, of_two):
    loss, gradient = rectified(level)
    assert loss > 0
    for found in of_two:
        check(found[f"level {level}"], (loss, gradient))


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("name", [*COMPARISONS, *ON_PAIRS, "cubed"])
def test_shares_of_all_processes_make_the_loss_and_gradient_of_one(name, world, of_three):
    expected = in_shares()[name]
    assert expected[-1].abs().max() > 0.01
    for found in of_three[:world]:
        check(found[f"{world} {name}"], expected)


def test_rows_stand_in_the_order_in_which_they_were_dealt(of_two):
    images, _, labels = problem()
    for found in of_two:
        for rows, expected in zip(found["gathered"], (images, labels, labels > 0, images), strict=True):
            assert torch.equal(rows, expected)


def test_uneven_batches_filled_up_with_unlabelled_rows_are_the_batch(of_two):
    for found in of_two:
        check(found["padded"], padded())


def test_uneven_batches_are_refused_in_all_processes(of_two):
    for found in of_two:
        assert len(found["refused"]) == 2
        assert found["refused"][0].startswith(
            "gather_ranks: expected as many rows in every process, got 2, 3; drop the last batch"
        )


def test_the_average_over_processes_is_the_mean_over_the_batch(of_two):
    for found in of_two:
        check(found["means"], meant())


@pytest.mark.parametrize("name", NORMS)
def test_norms_take_the_statistics_of_all_rows(name, of_two):
    expected, count = normed(name), NORMS[name][1][0]
    for rank, of_rank in enumerate(of_two):
        found, own = of_rank[f"norm {name}"], own_rows(name, count, rank, WORLD)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            check(found[key], value[own] if key.endswith(("out", "slope")) else value)


def test_a_norm_with_an_activation_keeps_it(of_two):
    expected = with_activation()
    assert (expected == 0).any()
    for rank, found in enumerate(of_two):
        check(found["activation"], expected[rank::WORLD])


def test_rows_of_any_process_come_where_the_order_says(of_two):
    images, _, labels = problem()
    for rank, found in enumerate(of_two):
        for rows, whole in zip(found["ordered"], (images, labels), strict=True):
            assert torch.equal(rows, whole[ORDER][rank::WORLD])


def test_a_process_alone_waits_for_nobody(of_two):
    assert "alone" not in of_two[1]
    check(of_two[0]["alone"], alone())


def test_all_processes_take_over_the_state_of_the_first(of_two):
    assert all(torch.equal(found["shared"], torch.ones(3)) for found in of_two)


@pytest.mark.parametrize("context", [one_batch, nullcontext])
def test_with_one_process_nothing_changes(context):
    values, mask = torch.randn(5, 3), torch.rand(5, 3) < 0.5
    with context():
        assert torch.equal(batch_mean(values, mask, 0), masked_mean(values, mask, 0))
        assert average_ranks(values) is values
        assert gather_ranks(values) is values
        assert torch.equal(rows_of_batch(values, ORDER % 5), values[ORDER % 5])
        assert not torch.overrides._get_current_function_mode_stack()


def test_a_value_of_its_own_has_no_statistics():
    """With one process to exchange with, the mode computes as torch does, and refuses what it refuses."""
    x = torch.randn(4, 3, dtype=torch.float64)
    expected = batch_norm(x, None, None, training=True)
    with group(), WholeBatchNorms():
        check(batch_norm(x, None, None, training=True), expected)
        with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
            batch_norm(x[:1], None, None, training=True)


def test_the_loop_of_the_documentation_learns_what_one_process_does(of_two):
    with group():
        expected = looped()
    for found in of_two:
        check(found["looped"], expected)


@pytest.fixture
def one_process(tmp_path):
    """A process group of this process alone."""
    dist.init_process_group("gloo", f"file://{tmp_path / 'store'}", timedelta(minutes=1), 1, 0)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize(
    ("reentrant", "error"), [(True, RuntimeError), (False, torch.utils.checkpoint.CheckpointError)]
)
def test_a_norm_that_learns_is_refused_where_it_would_be_computed_again_by_one_process(
    reentrant, error, one_process
):
    norm, rows = nn.BatchNorm1d(2), torch.randn(4, 2, requires_grad=True)
    with pytest.raises(error):  # noqa: PT012
        with WholeBatchNorms():
            out = torch.utils.checkpoint.checkpoint(norm, rows, use_reentrant=reentrant)
        out.square().sum().backward()


def test_a_norm_of_a_network_that_does_not_learn_follows_without_gradient(one_process):
    """As that of a teacher, which is the average of another network."""
    norm, rows = nn.BatchNorm1d(2).requires_grad_(False), torch.randn(4, 2)
    expected = nn.BatchNorm1d(2)(rows).detach()
    with torch.no_grad(), WholeBatchNorms():
        torch.testing.assert_close(norm(rows), expected)
    with torch.no_grad():
        fixed = whole_batch_norm(rows, torch.zeros(2), torch.ones(2), eps=0.0)
    torch.testing.assert_close(fixed, rows)
