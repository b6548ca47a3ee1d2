"""From a configuration to a training that can begin: data, model, and batches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from longtail.data.builtin import BUILTIN
from longtail.data.dataset import Dataset
from longtail.data.longtail import TailProfile, impose_on
from longtail.data.splits import SPLITS_FILE, Splits, split_dataset
from longtail.errors import InputError
from longtail.features.vectors import FixedNetwork
from longtail.images.augment import AUGMENTATIONS, MIRROR
from longtail.images.decode import suggest_size
from longtail.images.load import ImageLoader
from longtail.methods.find import class_of
from longtail.methods.recipe import recipe
from longtail.models.backbones import PRETRAINED, default_backbone, default_hidden, default_size, enlarged
from longtail.models.classifier import build_backbone, published_normalisation
from longtail.runs.data import Data, read_dataset
from longtail.runs.folder import RunFolder
from longtail.runs.run import Run
from longtail.training.checkpoint import ModelCard, load_network
from longtail.training.config import TrainConfig
from longtail.training.feed import Feed
from longtail.training.learner import Learner
from longtail.training.watcher import Watcher


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
    fabric: Fabric, config: TrainConfig, watcher: Watcher, splits_file: Path | None = None
) -> Data:
    """Read, split and check the data, and say what was found; a run that goes on has a splits.json.

    Where the backbone is frozen, the data are the vectors that it makes of the images.

    Raises:
        InputError: when the data cannot be used as they are.
    """
    dataset = read_dataset(config.data, config.data_options)
    for note in dataset.notes:
        watcher.say(note)
    if splits_file is None:
        splits = _split(dataset, config)
    else:
        splits = SPLITS_FILE.read(splits_file).rows(dataset.ids, str(splits_file))
    for note in splits.notes:
        watcher.say(note)
    size = config.size or default_size(config.named_backbone or "") or suggest_size(dataset.images)
    if config.frozen and config.size is None and config.start is None:
        size = enlarged(*size)
    data = Data.of(dataset, splits, size, config.data_options, watcher, config.workers)
    if config.frozen:
        data = data.on_vectors(fabric, *_fixed_network(config, size), mirrored=config.augment == MIRROR)
    data = data.readable(watcher)
    if len(data.splits.train) == 0:
        raise InputError(f"{config.data}: no image is left to train on")
    return data


def prepare_training(
    fabric: Fabric,
    config: TrainConfig,
    data: Data,
    folder: RunFolder,
    watcher: Watcher,
    *,
    fresh: bool = True,
) -> Training:
    """Build the model and lay out how it is fed; nothing is written to the folder.

    A model that is not `fresh` lacks the weights that a training begins with: those of a stopped training
    follow.

    Raises:
        InputError: when the method or the network cannot be used with the data, or do not fit the run that
            the training starts from.
    """
    weights, start = load_network(RunFolder(Path(config.start)).model) if config.start else (None, None)
    card = model_card(config, data, start)
    augmentation = augmentation_name(config, card.image_size)
    torch.manual_seed(config.seed)
    learner = card.build(pretrained=fresh and not config.from_scratch)
    if start is not None:
        _expect_same_network(card, start, config.start)
    if weights is not None and fresh:
        _load(weights, learner, config.start)
    learner.method.begin(learner.model)
    known = data.training(config.epochs)
    sampler = learner.method.draw(known, config.batch_size, config.seed, fabric.world_size)
    notes = learner.method.observe(known, sampler, config.seed)
    run = Run(folder, fabric, learner, card, watcher)
    run.config, run.data = config, data
    feed = Feed(fabric, data.loader, sampler, augmentation, config.seed, card.mean, card.std)
    height, width = card.image_size
    what = (
        f"{card.method} on {card.backbone}{' (frozen)' if card.frozen else ''}, "
        f"{learner.model.num_parameters:,} parameters, images of {height}x{width} pixels"
    )
    return Training(run, feed, (what, *notes))


def model_card(config: TrainConfig, data: Data, start: ModelCard | None = None) -> ModelCard:
    """What the model is going to be; its feature layer is that of the run it starts from, if it does."""
    own = recipe(config.method, config.method_options).feature_layer
    training = data.training(config.epochs)
    facts = class_of(config.method).facts(training)
    kept = start.backbone if start is not None and config.frozen else None
    backbone = config.named_backbone or kept or default_backbone(*data.loader.size)
    mean, std = _normalisation(config, data, backbone, start)
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
        feature_layer=start.feature_layer if start and not config.method_options.feature_layer else own,
        frozen=config.frozen,
    )


def _normalisation(
    config: TrainConfig, data: Data, backbone: str, start: ModelCard | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of the channels: what the weights were trained with, else measured."""
    if start is not None and config.frozen:
        return start.mean, start.std
    published = None if config.from_scratch or start is not None else published_normalisation(backbone)
    if published is not None:
        return published.mean, published.std
    if not isinstance(data.loader, ImageLoader):
        raise ValueError("expected published weights below vectors")
    return data.loader.normalisation(data.splits.train)


def _fixed_network(config: TrainConfig, size: tuple[int, int]) -> tuple[FixedNetwork, int]:
    """The network that is frozen, and the size of its vectors: published weights, or those of a run."""
    if config.start is not None:
        weights, card = load_network(RunFolder(Path(config.start)).model)
        trunk, vector = build_backbone(card.backbone, len(card.mean), False, card.image_size)
        prefix = "backbone."
        trunk.load_state_dict({k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)})
        return FixedNetwork(trunk, card.mean, card.std, size), vector
    backbone = config.named_backbone or PRETRAINED
    published = published_normalisation(backbone)
    if published is None:
        raise InputError(
            f"--freeze: {backbone} has no published weights; name a backbone that has, such as "
            f"--backbone {PRETRAINED}, or a trained run, --from RUN"
        )
    trunk, vector = build_backbone(backbone, len(published.mean), True, size)
    return FixedNetwork(trunk, published.mean, published.std, size), vector


def augmentation_name(config: TrainConfig, size: tuple[int, int]) -> str:
    """The preset to augment with: as asked, or by what is known of the images.

    Raises:
        InputError: when there is no preset of that name.
    """
    if config.frozen:
        return config.augment or "none"
    if config.augment is None:
        if config.data in BUILTIN:
            return "small-noflip"  # all of them are digits, and a mirrored digit is none
        return "small" if max(size) <= 64 else "photo"
    if config.augment not in AUGMENTATIONS:
        raise InputError(f"--augment: expected one of {', '.join(AUGMENTATIONS)}, got {config.augment!r}")
    return config.augment


def _split(dataset: Dataset, config: TrainConfig) -> Splits:
    """Train, val and test rows, with the imposed tail on the training rows."""
    options = config.data_options
    shares = (1 - options.val_share - options.test_share, options.val_share, options.test_share)
    splits = split_dataset(dataset, shares, config.seed)
    if options.tail_ratio is None:
        return splits
    profile = TailProfile(options.tail_profile, options.tail_ratio, largest=options.tail_largest)
    attribute = options.tail_attribute or dataset.schema.names[0]
    train, note = impose_on(dataset, splits.train, attribute, profile, config.seed)
    return replace(splits, train=train, notes=(*splits.notes, note))


def _expect_same_network(card: ModelCard, start: ModelCard, run: str | None) -> None:
    """Refuse to start from a run with another network, or other attributes or classes."""
    for what in ("backbone", "features", "hidden", "shared_feature", "feature_layer", "image_size", "schema"):
        found, expected = getattr(start, what), getattr(card, what)
        if found != expected:
            said = "" if what == "schema" else f" {found}, not {expected}"
            raise InputError(f"--from {run}: was trained with another {what.replace('_', ' ')}{said}")


def _load(weights: dict[str, Tensor], learner: Learner, run: str | None) -> None:
    try:
        learner.model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"--from {run}: expected weights that fit their model card, got {reason}") from None
