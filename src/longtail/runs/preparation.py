"""From a configuration to a training that can begin: data, model, and batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from lightning_fabric import Fabric

from longtail.data.builtin import BUILTIN
from longtail.data.classes import changes
from longtail.data.dataset import Dataset
from longtail.data.splits import Splits
from longtail.errors import InputError
from longtail.features.vectors import FixedNetwork
from longtail.images.augment import MIRROR
from longtail.images.bits import sampled_bits, usual_bits
from longtail.images.load import MEASURED, ImageLoader
from longtail.methods.find import class_of
from longtail.models.adapters import MARK
from longtail.models.backbones import (
    COMPUTED_ONCE,
    FeatureLayer,
    Tuning,
    default_backbone,
    default_hidden,
)
from longtail.models.classifier import build_backbone
from longtail.models.cut import cut, fixed_part
from longtail.runs.beginning import Beginning
from longtail.runs.data import Data
from longtail.runs.folder import RunFolder
from longtail.runs.other_processes import other_processes
from longtail.runs.run import Run
from longtail.training.checkpoint import ModelCard
from longtail.training.config import Augmentation, TrainConfig
from longtail.training.faults import WITHOUT_EFFECT
from longtail.training.feed import Feed
from longtail.training.inference import outputs_of
from longtail.training.learner import Learner
from longtail.training.state import TrainingState
from longtail.training.watcher import Watcher

TUNED: Mapping[Tuning | None, str] = {
    None: "",
    "head": " (frozen)",
    "last": " (its last stage fine-tuned)",
    "all": " (fine-tuned)",
    "adapters": " (with adapters)",
}
"""What is said of the backbone, by what learns of it."""

READ = 1024
"""Training images whose vectors set the units of what is read."""

_REHEARSED = 64
"""Images that mean and deviation are measured on where only a first batch follows."""


@dataclass(frozen=True, eq=False)
class Training:
    """Everything that is decided before the first step.

    Attributes:
        run: the model that is trained, with its data.
        feed: its batches.
        notes: sentences on what is trained and how.
    """

    run: Run
    feed: Feed
    notes: tuple[str, ...]


def prepare_data(
    fabric: Fabric,
    config: TrainConfig,
    beginning: Beginning,
    dataset: Dataset,
    splits: Splits,
    watcher: Watcher,
    *,
    rehearsed: bool = False,
) -> Data:
    """Check the data, and make them what the network learns from: where it is frozen, its vectors.

    For a rehearsal, images are read when a batch needs them; all of them only to leave out unreadable ones.

    Raises:
        InputError: when the data cannot be used as they are.
    """
    if beginning.note is not None:
        watcher.say(beginning.note)
    size = config.size or beginning.image_size(dataset.images, known=config.tuning is not None)
    data = Data.of(dataset, splits, size, config.data_options, watcher, config.workers, rehearsed)
    _advise_bits(config, data, watcher)
    if rehearsed:
        data = data.readable(watcher)
    if config.tuning in COMPUTED_ONCE:
        data = _on_vectors(fabric, config, beginning, data)
    if not rehearsed:
        data = data.readable(watcher)
    if len(data.splits.train) == 0:
        raise InputError(f"{config.data}: no image is left to train on")
    return data


def _advise_bits(config: TrainConfig, data: Data, watcher: Watcher) -> None:
    """Say where values of sensors would be taken for far darker ones; test images have no say in it."""
    if config.data_options.bits is not None:
        return
    bits = usual_bits(sampled_bits(data.dataset.images, data.splits.train))
    if bits is not None:
        watcher.say(
            f"images of 16 bits with no value above {2**bits - 1} in a sample of the training images: they "
            f"become almost black; pass --bits {bits} to spread their values, or --bits 16 to keep them so"
        )


def prepare_training(
    fabric: Fabric,
    config: TrainConfig,
    beginning: Beginning,
    data: Data,
    folder: RunFolder,
    watcher: Watcher,
    state: TrainingState | None = None,
) -> Training:
    """Build the model and lay out how it is fed; nothing is written to the folder.

    Of a training that goes on from a `state`, batches are made for as many processes as it began with, and
    the model lacks the weights that it began with: its own follow.

    Raises:
        InputError: when the method or the network cannot be used with the data, or do not fit the run that
            the training starts from.
    """
    fresh = state is None
    card = model_card(config, beginning, data)
    augmentation = augmentation_name(config, card.image_size)
    torch.manual_seed(config.seed)
    learner = card.build(beginning.weights if fresh else None)
    if config.start is not None and fresh:
        _start_from(beginning, card, learner, config.start)
    learner.method.begin(learner.model)
    known = data.training(config.planned_epochs)
    made_for = fabric.world_size if state is None else state.processes
    sampler = learner.method.draw(known, config.batch_size, config.seed, made_for)
    others = other_processes(config, learner, sampler, made_for, fabric.world_size)
    notes = learner.method.observe(known, sampler, config.seed)
    run = Run(folder, fabric, learner.to(fabric.device), card, watcher)
    run.config, run.data = config, data
    if fresh and not data.rehearsed:
        _fit_reading(run, beginning)
    place = fabric, data.loader, sampler, augmentation
    feed = Feed(*place, config.seed, card.mean, card.std, processes=made_for)
    height, width = card.image_size
    what = (
        f"{card.method} on {card.backbone}{TUNED[card.tuning]}, "
        f"{learner.model.num_parameters:,} parameters, images of {height}x{width} pixels"
    )
    idle = (WITHOUT_EFFECT,) if card.without_effect else ()
    return Training(run, feed, (what, *_on_processes(fabric.world_size), *others, *notes, *idle))


def _fit_reading(run: Run, beginning: Beginning) -> None:
    """Let the model read vectors in the units of some of the training images, unless its first run has."""
    reading, rows = run.learner.model.reading, run.data.splits.train
    known = beginning.card is not None and beginning.card.tuning is not None
    if known or run.card.tuning is None or not reading.looks:
        return
    some = np.random.default_rng(run.config.seed).permutation(rows)[:READ]
    give = run.learner.vectors
    reading.fit(outputs_of(run.fabric, run.learner, run.data.loader, give, some))


def _on_processes(processes: int) -> list[str]:
    """What several processes do together, if there are any."""
    if processes == 1:
        return []
    return [
        f"{processes} processes share each batch: losses are averaged over the whole of it, and batch "
        "normalisation, where it learns, takes its statistics from the whole of it"
    ]


def model_card(config: TrainConfig, beginning: Beginning, data: Data) -> ModelCard:
    """What the model is going to be; its feature layer is that of the run it goes on from, if it does."""
    own = _feature_layer(config)
    training = data.training(config.planned_epochs)
    facts = class_of(config.method).facts(training)
    start = beginning.card
    said = config.method_options.feature_layer is not None or config.row.solved  # on the vectors themselves
    backbone = beginning.backbone or default_backbone(*data.loader.size)
    mean, std = _normalisation(beginning, data)
    return ModelCard(
        schema=data.dataset.schema,
        class_counts=training.class_counts,
        images=len(training.rows),
        backbone=backbone,
        features=config.features,
        hidden=default_hidden(backbone) if config.hidden is None else config.hidden,
        shared_feature=config.shared_feature,
        image_size=data.loader.size,
        mean=mean,
        std=std,
        method=config.method,
        method_options=config.method_options,
        identities=facts.identities,
        domains=facts.domains,
        feature_layer=start.feature_layer if start and not said else own,
        tuning=config.tuning,
        bits=config.data_options.value_bits,
    )


def _feature_layer(config: TrainConfig) -> FeatureLayer:
    """The method's; on a known backbone none in place of one that only shrinks or rectifies."""
    found = config.recipe.feature_layer
    if config.tuning and config.method_options.feature_layer is None and found in ("rectified", "neck"):
        return "vector"
    return found


def _normalisation(beginning: Beginning, data: Data) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of the channels: what the weights were trained with, else measured."""
    if data.network is not None:
        return data.network.mean, data.network.std
    if beginning.normalisation is not None:
        return beginning.normalisation
    if not isinstance(data.loader, ImageLoader):
        raise ValueError("expected the network that made the vectors")
    rows = data.loader.readable(data.splits.train)
    return data.loader.normalisation(rows, _REHEARSED if data.rehearsed else MEASURED)


def _on_vectors(fabric: Fabric, config: TrainConfig, beginning: Beginning, data: Data) -> Data:
    """The data as what the part of the network that stays makes of the images."""
    mean, std = _normalisation(beginning, data)
    backbone, size = beginning.backbone or "", data.loader.size
    trunk, vector = build_backbone(backbone, len(mean), size, beginning.weights)
    parts = cut(trunk, (len(mean), *size), backbone) if config.tuning == "last" else None
    part, numbers = fixed_part(trunk, vector, parts)
    bits = config.data_options.value_bits
    network = FixedNetwork(part, mean, std, size, bits=bits, name=backbone)
    return data.on_vectors(fabric, network, numbers, mirrored=config.augment == MIRROR)


def augmentation_name(config: TrainConfig, size: tuple[int, int]) -> Augmentation:
    """The preset to augment with: as asked, or by what is known of the images."""
    if config.augment is not None:
        return config.augment
    if config.tuning in COMPUTED_ONCE:
        return "none"
    if config.data in BUILTIN:
        return "small-noflip"  # all of them are digits, and a mirrored digit is none
    return "small" if max(size) <= 64 else "photo"


def _start_from(beginning: Beginning, card: ModelCard, learner: Learner, run: str) -> None:
    """Give a learner the weights of a run that had the same network, attributes and classes.

    Raises:
        InputError: when it had others.
    """
    start, network = beginning.card, beginning.network
    if start is None:
        raise ValueError("expected the card of the run")
    if start.schema != card.schema:
        what = changes(start.schema, card.schema)
        raise InputError(f"--from {run}: was trained with other attributes or classes ({what})")
    for what in ("features", "hidden", "shared_feature", "feature_layer", "image_size"):
        found, expected = getattr(start, what), getattr(card, what)
        if found != expected:
            other = f"{what.replace('_', ' ')} {found}, not {expected}"
            raise InputError(f"--from {run}: was trained with another {other}")
    if card.method == "lws" and start.recipe.cosine and not card.recipe.cosine:
        raise InputError(
            f"--from {run}: its classifier gives cosines, lws would scale other logits; choose --method crt"
        )
    known, own = network or {}, learner.model.state_dict()
    fresh = {name: own[name] for name in own.keys() - known.keys() if MARK in name}  # the run had none
    try:
        learner.model.load_state_dict(known | fresh)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"--from {run}: expected weights that fit their model card, got {reason}") from None
