"""Adapters beside the MLPs of a transformer."""

import pytest
import torch
from torch import nn

from longtail.errors import InputError
from longtail.models.adapters import SCALE, Adapter, add_adapters
from longtail.models.classifier import Classifier
from longtail.models.head import AttributeHead
from longtail.schema import Attribute, LabelSchema

from .vision import Vision

SCHEMA = LabelSchema((Attribute("colour", ("red", "blue")),))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Vision(width=64, depth=4)


def size(parameters):
    return sum(parameter.numel() for parameter in parameters)


def test_a_network_with_fresh_adapters_gives_what_it_gave_before(network):
    images = torch.randn(3, 3, 16, 16)
    before = network(images)
    add_adapters(network, "timm:vision")
    assert torch.equal(network(images), before)


def test_an_adapter_adds_its_branch_to_what_the_mlp_gives(network):
    mlp, x = network.blocks[1].mlp, torch.randn(2, 5, 64)
    plain = mlp(x)
    adapter = add_adapters(network, "timm:vision")[1]
    nn.init.normal_(adapter.up.weight)
    mean, deviation = x.mean(2, keepdim=True), x.var(2, unbiased=False, keepdim=True).add(1e-5).sqrt()
    hidden = ((x - mean) / deviation) @ adapter.down.weight.T
    torch.testing.assert_close(mlp(x), plain + SCALE * hidden.clamp(min=0) @ adapter.up.weight.T)


def test_they_have_less_than_a_hundredth_of_the_parameters_and_nearly_that(network):
    whole = size(network.parameters())
    found = add_adapters(network, "timm:vision")
    added = size(p for adapter in found for p in adapter.parameters())
    assert added == size(network.parameters()) - whole
    one_wider = size(Adapter(64, found[0].down.out_features + 1).parameters()) * len(found)
    assert added < 0.01 * whole < one_wider


def test_adapters_and_head_alone_learn(network):
    model = Classifier(network, AttributeHead(64, SCHEMA, layer="vector"))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    model.tune("adapters", adapters=add_adapters(network, "timm:vision"))
    learn = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(learn, lr=1.0)
    for _ in range(2):  # in the first step only what follows the zeros has a gradient
        optimizer.zero_grad()
        model.train()(torch.randn(4, 3, 16, 16)).logits[:, 0, 0].sum().backward()
        optimizer.step()
    moved = {n for n, p in model.named_parameters() if n not in before or not torch.equal(before[n], p)}
    expected = {n for n, _ in model.named_parameters() if ".adapter." in n or n.startswith("head.")}
    assert moved == expected
    assert all(p.grad is not None for p in learn)


def test_a_network_without_such_blocks_is_refused():
    with pytest.raises(InputError, match=r"--finetune adapters: resnet18 is no vision transformer; .*last"):
        add_adapters(nn.Sequential(nn.Linear(2, 2)), "resnet18")


def test_a_fresh_adapter_reads_before_it_writes():
    adapter = Adapter(64, 8)
    assert adapter.down.weight.std() > 0.05  # else neither half would ever have a gradient
    assert not adapter.up.weight.any()
    assert SCALE == 0.1  # as in the paper


def test_an_adapter_of_a_small_network_has_one_number_between_its_layers():
    found = add_adapters(Vision(width=8, depth=3), "timm:vision")
    assert [adapter.down.out_features for adapter in found] == [1] * 3
