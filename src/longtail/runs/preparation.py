"""From a configuration to data that can be trained on: read, split, give a tail, decode, measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtail.data.builtin import BUILTIN
from longtail.data.dataset import SPLITS, Dataset
from longtail.data.longtail import TailProfile, impose_on
from longtail.data.sources import open_dataset
from longtail.data.splits import Splits, split_dataset
from longtail.errors import InputError
from longtail.images.augment import AUGMENTATIONS, augment_and_normalise, crops, draw_parts
from longtail.images.decode import suggest_size
from longtail.images.load import ImageLoader
from longtail.images.normalise import normalise
from longtail.methods.context import TrainingData
from longtail.methods.find import class_of
from longtail.methods.recipe import recipe
from longtail.models.backbones import default_backbone, default_hidden, default_size
from longtail.runs.folder import read_json
from longtail.runs.watcher import Watcher
from longtail.training.checkpoint import ModelCard
from longtail.training.config import DataOptions, TrainConfig
from longtail.training.fit import Place


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything that is decided before the first step.

    Attributes:
        dataset: as found.
        splits: rows of train, val and test; the tail is imposed, unreadable images are left out.
        loader: reads images at `size`.
        size: (height, width).
        training: what a method may know.
    """

    dataset: Dataset
    splits: Splits
    loader: ImageLoader
    size: tuple[int, int]
    training: TrainingData


def read_dataset(data: str, options: DataOptions) -> Dataset:
    """The data set that the options describe."""
    return open_dataset(
        data,
        images=options.images,
        image_column=options.image_column,
        attributes=options.attributes,
        split_column=options.split_column,
        group_column=options.group_column,
        identity_column=options.identity_column,
        domain_column=options.domain_column,
        match_column=options.match_column,
        skip_missing=options.skip_missing,
    )


def split(dataset: Dataset, config: TrainConfig) -> Splits:
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


def prepare(config: TrainConfig, watcher: Watcher, saved_splits: Path | None = None) -> Prepared:
    """Read, split and check the data, and say what was found.

    Args:
        config: what to read.
        watcher: is told.
        saved_splits: splits.json of a run that goes on.

    Raises:
        InputError: when the data cannot be used as they are.
    """
    dataset = read_dataset(config.data, config.data_options)
    for note in dataset.notes:
        watcher.say(note)
    if saved_splits is None:
        splits = split(dataset, config)
    else:
        splits = Splits.from_dict(read_json(saved_splits), dataset.ids, str(saved_splits))
    for note in splits.notes:
        watcher.say(note)
    size = config.size or default_size(config.named_backbone or "") or suggest_size(dataset.images)
    loader = ImageLoader(
        dataset,
        size,
        workers=config.workers,
        skip_unreadable=config.data_options.skip_unreadable,
        on_progress=partial(watcher.progress, "reading images"),
    )
    splits = leave_out_unreadable(splits, loader, watcher)
    if len(splits.train) == 0:
        raise InputError(f"{config.data}: no image is left to train on")
    training = TrainingData(
        dataset.schema,
        dataset.labels,
        splits.train,
        config.epochs,
        dataset.groups if dataset.identities is None else dataset.identities,
        dataset.domains,
        dataset.matches,
    )
    return Prepared(dataset, splits, loader, size, training)


def leave_out_unreadable(
    splits: Splits, loader: ImageLoader, watcher: Watcher, names: Sequence[str] = SPLITS
) -> Splits:
    """The splits, those of `names` without images that cannot be read, which are said by name."""
    parts = {name: loader.readable(rows_of(splits, name)) for name in names}
    for _, name, reason in loader.unreadable:
        watcher.say(f"left out {name}: {reason}")
    if loader.unreadable:
        watcher.say(f"{len(loader.unreadable)} unreadable images left out")
    return replace(splits, **parts)


def model_card(config: TrainConfig, prepared: Prepared, start: ModelCard | None = None) -> ModelCard:
    """What the model is going to be; its feature layer is that of the run it starts from, if it does."""
    facts = class_of(config.method).facts(prepared.training)
    own = recipe(config.method, config.method_options).feature_layer
    mean, std = prepared.loader.normalisation(prepared.splits.train)
    backbone = config.named_backbone or default_backbone(*prepared.size)
    return ModelCard(
        schema=prepared.dataset.schema,
        class_counts=prepared.training.class_counts,
        images=len(prepared.training.rows),
        backbone=backbone,
        features=config.features,
        hidden=default_hidden(backbone) if config.hidden is None else config.hidden,
        shared_feature=config.shared_feature,
        image_size=prepared.size,
        mean=mean,
        std=std,
        method=config.method,
        method_options=config.method_options,
        identities=facts.identities,
        domains=facts.domains,
        feature_layer=start.feature_layer if start and not config.method_options.feature_layer else own,
    )


def augmentation_name(config: TrainConfig, size: tuple[int, int]) -> str:
    """The preset to augment with: as asked, or by what is known of the images.

    Raises:
        InputError: when there is no preset of that name.
    """
    if config.augment is None:
        if config.data in BUILTIN:
            return "small-noflip"  # all of them are digits, and a mirrored digit is none
        return "small" if max(size) <= 64 else "photo"
    if config.augment not in AUGMENTATIONS:
        raise InputError(f"--augment: expected one of {', '.join(AUGMENTATIONS)}, got {config.augment!r}")
    return config.augment


def rows_of(splits: Splits, name: str) -> NDArray[np.int64]:
    """Rows of the split of that name."""
    return {"train": splits.train, "val": splits.val, "test": splits.test}[name]


def normaliser(card: ModelCard) -> Callable[[Tensor], Tensor]:
    """uint8 images -> normalised images."""
    return partial(normalise, mean=card.mean, std=card.std)


def augmentation(
    card: ModelCard, preset: str, seed: int, loader: ImageLoader
) -> tuple[Callable[[Place, int], Tensor] | None, Callable[[Tensor, Place], Tensor]]:
    """`Feed.parts` and `Feed.prepare`: where images are decoded for every batch, the loader crops them."""
    cropped = crops(preset) and not loader.cached

    def seeded(place: Place) -> torch.Generator:
        number = np.random.SeedSequence((seed, *place)).generate_state(1, np.uint64)[0] >> 1
        return torch.Generator().manual_seed(int(number))

    def parts(place: Place, images: int) -> Tensor:
        return draw_parts((images, 3, *card.image_size), seeded(place))

    def prepare(images: Tensor, place: Place) -> Tensor:
        return augment_and_normalise(images, preset, seeded(place), card.mean, card.std, cropped=cropped)

    return (parts if cropped else None), prepare
