import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from longtail.data.dataset import Batch, Tags
from longtail.methods.base import build_method
from longtail.methods.context import EpochContext, Setting, TrainingData
from longtail.methods.options import MethodOptions
from longtail.models.classifier import Classifier
from longtail.models.head import AttributeHead
from longtail.models.output import ModelOutput
from longtail.schema import Attribute, LabelSchema

SCHEMA = LabelSchema((Attribute("kind", ("a", "b")), Attribute("size", ("s", "m", "l"))))
LABELS = np.array([[0, 0]] * 60 + [[0, 1]] * 24 + [[1, 1]] * 6 + [[1, 2]] * 9 + [[-1, -1]])
COUNTS = [[84, 15], [60, 30, 9]]
SETTING = Setting(SCHEMA, COUNTS, images=100, vectors=2, features=4, vector=6)


@pytest.fixture(autouse=True)
def same_in_any_order():
    """Random numbers do not depend on the tests before."""
    torch.manual_seed(0)


@pytest.fixture
def data():
    """100 images: 50 identities of two, every fourth from the street, matched to the one before it."""
    rows = np.arange(100)
    domains = Tags(("shop", "street"), np.where(rows % 4 == 3, 1, 0))
    matches = np.where(rows % 4 >= 2, rows // 4, -1)
    return TrainingData(SCHEMA, LABELS, rows, 4, rows // 2, domains, matches)


@pytest.fixture
def output():
    logits = torch.randn(12, 2, 3)
    logits[:, 0, 2] = -math.inf
    features = torch.randn(12, 2, 4, requires_grad=True)
    return ModelOutput(logits.requires_grad_(), features, torch.randn(12, 6, requires_grad=True))


@pytest.fixture
def batch():
    labels = torch.tensor([[0, 0]] * 6 + [[1, 1]] * 3 + [[0, 2]] * 2 + [[-1, -1]])
    return Batch(torch.randn(12, 6), labels, torch.arange(12), torch.zeros(12, dtype=torch.int64))


def first(n, output, batch):
    """The first images of a batch, and what the network gave for them."""
    labels, index, task = batch.labels[:n], batch.index[:n], batch.task[:n]
    return ModelOutput(*(part[:n] for part in output)), Batch(batch.images[:n], labels, index, task)


DEFAULTS = MethodOptions()


def model():
    """A classifier whose backbone is a linear layer."""
    return Classifier(torch.nn.Linear(6, 6), AttributeHead(6, SCHEMA, 4))


def build(name, options=DEFAULTS, **changes):
    """A method whose backbone is a linear layer."""
    setting = replace(SETTING, identities=50, domains=("shop", "street"))
    return build_method(name, options, replace(setting, **changes), model())


def observed(method, data):
    """A method that has looked at the training data, and its sampler."""
    sampler = method.draw(data, 12, 0, 1)
    method.observe(data, sampler, 0)
    return sampler


def epoch_of(number, network=None, *, epochs=4, step=0, features=None):
    """The start of an epoch of a training, or its end."""
    return EpochContext(number, epochs, step, model() if network is None else network, features)
