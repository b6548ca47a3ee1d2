"""Groups of parameters and their rates, against what they are said to be."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from longtail.methods.options import MethodOptions
from longtail.models.adapters import add_adapters
from longtail.models.classifier import Classifier
from longtail.models.head import AttributeHead
from longtail.models.lite0 import Lite0
from longtail.schema import Attribute, LabelSchema
from longtail.training.checkpoint import ModelCard
from longtail.training.config import TrainConfig
from longtail.training.learner import Learner
from longtail.training.optimizer import build_optimizer, depths, set_rates
from longtail.training.schedule import learning_rate

from ..models.vision import Vision

SCHEMA = LabelSchema((Attribute("colour", ("red", "blue")),))


def learner(tuning):
    torch.manual_seed(0)
    card = ModelCard(
        schema=SCHEMA,
        class_counts=[[3, 2]],
        images=5,
        backbone="lite0",
        features=4,
        hidden=0,
        shared_feature=False,
        image_size=(32, 32),
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        method="ce",
        method_options=MethodOptions(),
        tuning=tuning,
    )
    return card.build()


def test_every_layer_of_a_backbone_has_its_depth():
    found = depths(Lite0())
    assert found["layers.20.weight"] == found["layers.21.bias"] == 1
    assert {found[name] for name in found if name.startswith("layers.19.")} == {2}
    assert {found[name] for name in found if name.startswith("layers.4.")} == {17}
    assert found["layers.1.weight"] == found["layers.2.weight"] == 18


def test_what_stands_before_all_numbered_layers_is_deepest():
    class Vision(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Parameter(torch.zeros(1, 1, 4))
            self.blocks = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
            self.norm = nn.LayerNorm(4)

    assert depths(Vision()) == {
        "token": 3,
        "blocks.0.weight": 2,
        "blocks.0.bias": 2,
        "blocks.1.weight": 1,
        "blocks.1.bias": 1,
        "norm.weight": 1,
        "norm.bias": 1,
    }


@pytest.mark.parametrize(("tuning", "deepest"), [("last", 5), ("all", 18)])
def test_rates_fall_with_the_depth_and_biases_do_not_decay(tuning, deepest):
    config = TrainConfig("data", method="ce", finetune=tuning, layer_decay=0.5, learning_rate=0.01)
    model = learner(tuning)
    optimizer = build_optimizer(model, config)
    assert isinstance(optimizer, torch.optim.AdamW)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    below = {f"model.backbone.{name}": depth for name, depth in depths(model.model.backbone).items()}
    grouped = []
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            grouped.append(name)
            assert group["peak"] == 0.01 * 0.5 ** below.get(name, 0)
            scale = parameter.dim() == 1 or name == "model.head.bias"
            assert group["weight_decay"] == (0.0 if scale else 0.05)
    assert sorted(grouped) == sorted(n for n, p in model.named_parameters() if p.requires_grad)
    assert max(below.get(name, 0) for name in grouped) == deepest


def test_rates_of_a_step_are_the_schedule_of_each_groups_own_peak_once_the_head_has_learned_alone():
    config = TrainConfig("data", method="ce", finetune="last")
    optimizer = build_optimizer(learner("last"), config)
    for step in (0, 3, 4, 19):
        set_rates(optimizer, step, 20, 0.1)
        for group in optimizer.param_groups:
            waits = group["peak"] < 1e-3 and step < 4
            assert group["lr"] == (0.0 if waits else learning_rate(step, 20, group["peak"], 0.1))


def test_without_finetuning_all_parameters_are_one_group_under_sgd_as_ever():
    config = TrainConfig("data", method="ce", weight_decay=0.1)
    model = learner(None)
    optimizer = build_optimizer(model, config)
    (group,) = optimizer.param_groups
    assert isinstance(optimizer, torch.optim.SGD)
    assert [id(p) for p in group["params"]] == [id(p) for p in model.parameters()]
    assert (group["peak"], group["weight_decay"], group["nesterov"]) == (0.1, 0.1, True)


def test_momentum_is_that_of_the_configuration():
    config = TrainConfig("data", method="ce", momentum=0.5)
    (group,) = build_optimizer(learner(None), config).param_groups
    assert group["momentum"] == 0.5
    adamw = build_optimizer(learner(None), replace(config, optimizer="adamw"))
    assert {group["betas"] for group in adamw.param_groups} == {(0.5, 0.999)}


def test_the_optimizer_may_be_chosen_in_either_regime():
    frozen = TrainConfig("data", method="ce", freeze=True, optimizer="adamw")
    optimizer = build_optimizer(learner("head"), frozen)
    assert {group["peak"] for group in optimizer.param_groups} == {1e-3}
    tuned = replace(frozen, freeze=False, finetune="last", optimizer="sgd")
    sgd = build_optimizer(learner("last"), tuned)
    assert isinstance(sgd, torch.optim.SGD)
    assert len({group["peak"] for group in sgd.param_groups}) == 6  # the head, and five layers below it


def test_adapters_learn_at_the_rate_of_the_head_and_wait_for_nothing():
    torch.manual_seed(0)
    network = Vision(width=64, depth=4)
    model = Classifier(network, AttributeHead(64, SCHEMA, layer="vector"))
    model.tune("adapters", adapters=add_adapters(network, "timm:vision"))
    config = TrainConfig("data", method="ce", finetune="adapters", layer_decay=0.5, learning_rate=0.01)
    groups = build_optimizer(Learner(model, nn.Identity(), (0.5,) * 3, (0.5,) * 3, 5), config).param_groups
    assert {(group["peak"], group["waits"]) for group in groups} == {(0.01, 0.0)}
