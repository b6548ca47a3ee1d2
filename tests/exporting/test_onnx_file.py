"""Every backbone with every decision, as torch has it and as onnxruntime runs it. One export for all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import longtail
from longtail.decisions.thresholds import Threshold
from longtail.errors import InputError
from longtail.exporting import onnx_file
from longtail.exporting.decider import Decider
from longtail.exporting.onnx_file import FileCard, Runner, expect_packages, onnx_bytes
from longtail.exporting.resize import Resize
from longtail.methods.decisions import TauNorm
from longtail.methods.recipe import recipe
from longtail.models import lite0
from longtail.models.adapters import add_adapters
from longtail.models.classifier import Classifier
from longtail.models.convnet import ConvNet
from longtail.models.deepid2 import DeepID2
from longtail.models.head import AttributeHead
from longtail.models.lite0 import Lite0
from longtail.models.mtct import NINTrunk
from longtail.models.resnet import ResNet
from longtail.runs.calibration import Frequencies
from longtail.runs.ruling import Ruling
from longtail.training.learner import Learner

from .runs import COUNTS, SMALL, TWO, card, learner

pytest.importorskip("onnxruntime", reason="the extra export is not installed")
SIZE = 32, 36
FILE_CARD = FileCard(1, "0", "ce", "argmax", SIZE, TWO.attributes, "f1", 0.9)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mlp = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mlp(x)


class Transformer(nn.Module):
    """What the adapters take for a vision transformer."""

    num_features = out_features = 8

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 16, 16)
        self.blocks = nn.Sequential(Block(), Block())

    def forward(self, images: Tensor) -> Tensor:
        return self.blocks(self.patches(images).flatten(2).transpose(1, 2)).mean(1)


def resnet() -> ResNet:
    """With the shortcut that pads channels."""
    stem = nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), nn.BatchNorm2d(4), nn.ReLU())
    return ResNet(stem, (4, 4, 6), blocks=1, projection=False)


def with_dead_channels() -> Lite0:
    """Four channels as in the published stem: E[x²] - E[x]² of theirs would be what rounding leaves."""
    network = Lite0()
    with torch.no_grad():
        for name, value in (("1.weight", 1e-8), ("2.weight", 0.05), ("2.bias", -7.1)):
            network.layers.get_parameter(name)[:4] = value
    return network


CASES: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "convnet": (ConvNet, "argmax"),
    "resnet": (resnet, "tau-norm"),
    "deepid2": (lambda: DeepID2(3, SIZE), "clusters"),
    "mtct": (lambda: NINTrunk(3, SIZE), "knn"),
    "lite0, frozen": (with_dead_channels, "prior"),
    "transformer, adapters": (Transformer, "argmax"),
}
"""Every layer of a backbone, and every decision, once; benchmarks/exports.py has all of their pairs."""


def case(name: str) -> Learner:
    trunk, decision = CASES[name][0](), CASES[name][1]
    method = "lmle" if decision == "clusters" else "ce"
    own = decision if decision in ("prior", "knn") else None  # the others go with the method, or come later
    of = card(image_size=SIZE, method=method, decision=own)
    built = learner(of)
    built.model = Classifier(trunk, AttributeHead(trunk.out_features, TWO, 6))
    if name == "lite0, frozen":
        built.model.tune("head")
        with torch.no_grad():
            built.model.reading.fit(trunk.eval()(torch.randn(32, 3, *SIZE)))
    if isinstance(trunk, Transformer):
        adapters = add_adapters(trunk, name)
        nn.init.normal_(adapters[0].up.weight)
        built.model.tune("adapters", adapters=adapters)
    if decision == "tau-norm":
        built.method.decision = TauNorm(recipe("ce", SMALL), of.setting(built.model))
        built.method.decision.norms.uniform_(0.5, 2)
        built.method.decision.tau.fill_(0.7)
    return built.eval()


class Table(nn.Module):
    """All cases on the same images: probabilities (N, cases, J, K)."""

    def __init__(self) -> None:
        super().__init__()
        self.resize = Resize(SIZE)
        temperature = torch.tensor([0.7, 1.6])
        frequencies = Frequencies(TWO, COUNTS[TWO], torch.tensor([[0.5, 0.5, 0], [0.5, 0.3, 0.2]]))
        ruling = Ruling(frequencies, temperature, {0: Threshold(1, 0.3, 50)}, (0.9, 1.1))
        self.deciders = nn.ModuleList(Decider(case(name), SIZE, ruling) for name in CASES)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        resized = self.resize(images)
        found = zip(*(decider.decide(resized) for decider in self.deciders))
        return tuple(torch.stack(each, 1) for each in found)


@pytest.fixture(scope="module")
def table() -> Table:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lite0, "STAGES", ((1, 4, 1, 3, 1), (2, 6, 2, 5, 2)))
        return Table().eval()


@pytest.fixture(scope="module")
def content(table: Table) -> bytes:
    return onnx_bytes(table, FILE_CARD, "all of them")


@pytest.fixture(scope="module")
def both(table: Table, content: bytes) -> list[tuple[np.ndarray, np.ndarray]]:
    """Scores as onnxruntime and as torch have them, of batches of three sizes."""
    random, runner, found = np.random.default_rng(0), Runner(content), []
    for shape in ((1, 90, 20), (4, 32, 36), (7, 15, 64)):
        images = random.integers(0, 256, (*shape, 3), dtype=np.uint8)
        with torch.no_grad():
            expected, decision, members = table(torch.from_numpy(images))
        here = runner(images)
        np.testing.assert_array_equal(here.decision, decision.numpy())
        np.testing.assert_array_equal(here.members, members.numpy())
        found.append((here.probabilities, expected.numpy()))
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_backbone_and_a_decision_say_the_same_in_onnxruntime(both, name: str):
    place = [*CASES].index(name)
    for found, expected in both:
        np.testing.assert_allclose(found[:, place], expected[:, place], atol=1e-5)
        assert (found[:, place, 0, 2] == 0).all()  # the first attribute has no third class
        assert np.ptp(expected[:, place]) > 0.01  # a constant would agree with anything


def test_the_file_holds_no_trace_of_where_it_was_made(content: bytes):
    assert b"stack_trace" not in content
    assert str(Path(longtail.__file__).parent).encode() not in content


def test_what_is_missing_is_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None if name != "onnx" else object())
    with pytest.raises(InputError, match=r"needs onnxscript, onnxruntime; install .* 'longtail\[export\]'$"):
        expect_packages()


def test_what_cannot_be_exported_is_one_line_with_the_reason(table: Table):
    class Branching(Table):
        def forward(self, images: Tensor) -> tuple[Tensor, ...]:
            if images.float().mean() > 9:
                raise NotImplementedError
            return super().forward(images)

    branching = Branching.__new__(Branching)
    branching.__dict__ = table.__dict__
    with pytest.raises(InputError, match=r"^--format onnx: torch cannot export mine \([^\n]+\)$"):
        onnx_bytes(branching, FILE_CARD, "mine")


def test_what_onnxruntime_does_not_take_is_one_line():
    with pytest.raises(InputError, match=r"^--format onnx: onnxruntime refuses the file \([^\n]+\)$"):
        Runner(b"nothing")


def test_more_weights_than_a_file_holds_are_refused(monkeypatch: pytest.MonkeyPatch, table: Table):
    monkeypatch.setattr(onnx_file, "LARGEST", 1000)
    with pytest.raises(InputError, match=r"mine has 0\.\d GiB of weights, a file holds 2$"):
        onnx_bytes(table, FILE_CARD, "mine")
