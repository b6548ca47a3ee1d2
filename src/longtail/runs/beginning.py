"""The network that a training begins with: published weights, those of a file or of a run, or none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from longtail.data.dataset import ImageStore
from longtail.errors import InputError
from longtail.images.decode import Size
from longtail.images.sizes import suggest_size
from longtail.models.backbones import LEAST_SEEN, PRETRAINED, SIZED, Expected, default_size, enlarged
from longtail.models.classifier import build_backbone
from longtail.models.pretrained import Pretrained, find_pretrained
from longtail.models.weights import Weights, read_tensors
from longtail.runs.folder import RunFolder
from longtail.training.checkpoint import BACKBONE, ModelCard, is_model, load_network
from longtail.training.config import CONFIG, TrainConfig

LARGEST = 128
"""Pixels of the longer side that images are brought to, where nothing says otherwise."""


@dataclass(frozen=True, eq=False)
class Beginning:
    """What is known of the network before the data are.

    Attributes:
        backbone: its name as a model card keeps it, None where the images decide.
        expected: of images, by the weights; None where there are none, or they say nothing of it.
        weights: of the backbone, None where they are random.
        card: of the run that the training starts from or goes on with.
        network: all weights of that run.
    """

    backbone: str | None = None
    expected: Expected | None = None
    weights: Weights | None = None
    card: ModelCard | None = None
    network: dict[str, Tensor] | None = None

    @property
    def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Mean and deviation that the weights were trained with, None where they are measured."""
        if self.weights is None or self.expected is None:
            return None
        return self.expected.mean, self.expected.std

    @property
    def note(self) -> str | None:
        """What the user should hear of the weights."""
        if self.weights is None or self.expected is not None:
            return None
        return f"{self.weights.source} has no mean and deviation: they are measured on the training images"

    def image_size(self, images: ImageStore, *, known: bool = False) -> Size:
        """(height, width) of the network where it depends on it; else what suits images and weights.

        A network that is `known` from larger images is shown small ones enlarged.
        """
        expected = self.expected
        if expected is not None and expected.fixed:
            return expected.size
        limit = LARGEST if expected is None else min(LARGEST, max(expected.size))
        made_for = default_size(self.backbone or "")
        if made_for is not None:
            return made_for
        size = suggest_size(images, limit)
        larger = expected is not None and min(expected.size) >= LEAST_SEEN
        return enlarged(*size) if known and larger else size


def begin(config: TrainConfig, resumed: RunFolder | None = None) -> Beginning:
    """The network that a training begins with; that of the run itself where one is `resumed`.

    Raises:
        InputError: when the weights cannot be had or are not those of the network, or there are none where
            the network is to stay as it is.
    """
    if resumed is not None:
        return _of_run(resumed.model, f"--resume {resumed.path}")
    if config.start is not None:
        return _started(config, config.start)
    found = _of_file(config, config.weights) if config.weights else _published(config)
    if config.tuning and found.weights is None:
        raise InputError(_nothing_to_freeze(config, found.backbone))
    return found


def _published(config: TrainConfig) -> Beginning:
    if config.named_backbone is None:
        return Beginning()
    found = find_pretrained(config.named_backbone)
    weights = None if config.from_scratch or found.read is None else found.read()
    return Beginning(found.backbone, found.expected, weights)


def _of_run(model: Path, source: str) -> Beginning:
    """The network of a run, which keeps the size of its images."""
    network, card = load_network(model)
    trunk = {k.removeprefix(BACKBONE): v for k, v in network.items() if k.startswith(BACKBONE)}
    expected = Expected(card.mean, card.std, card.image_size, fixed=True)
    return Beginning(card.backbone, expected, Weights(trunk, source, card.image_size), card, network)


def _started(config: TrainConfig, run: str) -> Beginning:
    """The network of a run; a backbone that is asked for in the words of that run is not looked up again."""
    folder = RunFolder(Path(run))
    found, asked = _of_run(folder.model, f"--from {run}"), config.named_backbone
    if asked in (None, found.backbone) or asked == CONFIG.read(folder.config).backbone:
        return found
    other = find_pretrained(asked).backbone
    if other != found.backbone:
        raise InputError(f"--from {run}: was trained with another backbone {found.backbone}, not {other}")
    return found


def _of_file(config: TrainConfig, file: str) -> Beginning:
    """The backbone in a file: that of a run's model, or tensors whose network --backbone names."""
    path, source = Path(file), f"--weights {file}"
    asked = None if config.named_backbone is None else find_pretrained(config.named_backbone)
    found = _of_model(path, source, asked) if is_model(path) else _of_tensors(path, source, asked)
    if found.backbone not in SIZED:  # a wrong file is said before the images are read
        build_backbone(found.backbone or "", weights=found.weights)
    return found


def _of_model(path: Path, source: str, asked: Pretrained | None) -> Beginning:
    found = _of_run(path, source)
    backbone = found.backbone or ""
    if asked is not None and asked.backbone != backbone:
        raise InputError(f"{source}: holds the weights of {backbone}, not of {asked.backbone}")
    published = find_pretrained(backbone).expected
    fixed = backbone in SIZED or (published is not None and published.fixed)
    expected = found.expected and replace(found.expected, fixed=fixed)
    return Beginning(backbone, expected, found.weights)


def _of_tensors(path: Path, source: str, asked: Pretrained | None) -> Beginning:
    tensors = read_tensors(path, source)
    if asked is None:
        raise InputError(f"{source}: does not name its network; name it with --backbone")
    return Beginning(asked.backbone, asked.expected, asked.take(tensors, source))


def _nothing_to_freeze(config: TrainConfig, backbone: str | None) -> str:
    if config.from_scratch:
        return f"--from-scratch: --method {config.method} keeps the backbone, whose weights would be random"
    flag = f"--finetune {config.finetune}" if config.finetune else "--freeze"
    return (
        f"{flag}: {backbone} has no published weights; name a backbone that has, such as --backbone "
        f"{PRETRAINED}, a file of them, --weights FILE, or a trained run, --from RUN"
    )
