"""A trained model with its folder: open it, then ask it for scores, features, data or epochs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from longtail.data.splits import SPLITS_FILE
from longtail.errors import InputError
from longtail.features.vectors import FixedNetwork
from longtail.images.load import Loader, Progress
from longtail.methods.caveats import caveat
from longtail.methods.context import EpochContext, TrainedRun
from longtail.methods.decisions import RULES
from longtail.methods.recipe import check_decision, recipe
from longtail.models.backbones import COMPUTED_ONCE
from longtail.runs.data import Data, read_dataset
from longtail.runs.device import launch
from longtail.runs.folder import RunFolder
from longtail.training.best import is_over
from longtail.training.checkpoint import ModelCard, load_model
from longtail.training.config import CONFIG, TrainConfig
from longtail.training.inference import outputs_of
from longtail.training.learner import Learner
from longtail.training.record import EPOCHS, EpochRecord
from longtail.training.watcher import Silent, Watcher


@dataclass(eq=False)
class Run:
    """A model and how it came to be. Configuration, data and epochs are read when they are asked for.

    Attributes:
        folder: where its files lie.
        fabric: launched.
        learner: the model and its method, on the device of `fabric`.
        card: what the model is.
        watcher: hears of images that are read.
        own_decision: name of the rule that it was trained for.
        decision: name of the rule that it decides by.
    """

    folder: RunFolder
    fabric: Fabric
    learner: Learner
    card: ModelCard
    watcher: Watcher
    own_decision: str = field(init=False)
    decision: str = field(init=False)

    def __post_init__(self) -> None:
        self.decision = self.own_decision = recipe(self.card.method, self.card.method_options).decision

    @classmethod
    def open(
        cls,
        path: Path,
        accelerator: str | None = "auto",
        watcher: Watcher | None = None,
        *,
        method: str | None = None,
    ) -> Run:
        """The run in a folder, its model on the device; `accelerator` None is that of its training.

        A method of the user's own that it was trained with is imported only if it is named as `method`.

        Raises:
            InputError: when there is no usable model in it, its method is not named, or no such device.
        """
        folder = RunFolder(path)
        learner, card = load_model(folder.model, method)
        fabric = launch(accelerator or CONFIG.read(folder.config).accelerator)
        return cls(folder, fabric, learner.to(fabric.device), card, watcher or Silent())

    def decide_by(self, decision: str | None) -> None:
        """Decide by the rule of this name, None for its own; one that needs images of the run reads them.

        Raises:
            InputError: when the method has no use for the rule, or the images are not there.
        """
        if decision in (None, self.own_decision):
            return
        full = recipe(self.card.method, self.card.method_options)
        check_decision(self.card.method, decision, full)
        rule = RULES[decision](full, self.card.setting(self.learner.model))
        rule.learn(self._trained)
        self.learner.method.decision = rule.to(self.fabric.device)
        self.decision = decision

    @property
    def caveat(self) -> str | None:
        """Why its decision is only near to what it promises after such a training, or None."""
        card, shares = self.card, self.learner.method.shares.tolist()
        full, tagged = recipe(card.method, card.method_options), bool(card.identities or card.domains)
        return caveat(self.decision, card.method, full, shares, tagged)

    def _trained(self) -> TrainedRun:
        """The data that it was trained on, and what its network makes of them."""
        epochs = self.config.planned_epochs
        end = EpochContext(epochs, epochs, 0, self.learner.model, self.features)
        return TrainedRun(self.data.training(), self.data.splits.val, self.config.seed, end, self.logits)

    @cached_property
    def config(self) -> TrainConfig:
        """The recipe."""
        return replace(CONFIG.read(self.folder.config), method=self.card.method)

    @cached_property
    def data(self) -> Data:
        """What it was trained on, read again.

        Raises:
            InputError: when the data are not there, or are no longer those of the training.
        """
        options = self.config.data_options
        dataset = read_dataset(self.config.data, options)
        if dataset.schema != self.card.schema:
            raise InputError(f"{dataset.name}: its attributes or classes are no longer those of the training")
        splits = SPLITS_FILE.read(self.folder.splits).rows(dataset.ids, str(self.folder.splits))
        data = Data.of(dataset, splits, self.card.image_size, options, self.watcher)
        return self.on_vectors(data)

    def on_vectors(self, data: Data) -> Data:
        """Data with what the fixed part of this run's backbone makes of their images, where it has one."""
        card = self.card
        if card.tuning not in COMPUTED_ONCE:
            return data
        part, numbers = self.learner.model.fixed_part
        return data.on_vectors(self.fabric, FixedNetwork(part, card.mean, card.std, card.image_size), numbers)

    @cached_property
    def epochs(self) -> list[EpochRecord]:
        """What is known of each epoch of the training."""
        return EPOCHS.read_lines(self.folder.metrics)

    @property
    def planned(self) -> int | None:
        """Epochs of a training that is not finished; None of one that came to its end."""
        going = self.folder.can_go_on and not is_over(self.config, self.epochs)
        return self.config.planned_epochs if going else None

    def scores(
        self,
        rows: NDArray[np.int64],
        loader: Loader | None = None,
        name: Callable[[int], str] | None = None,
        on_progress: Progress | None = None,
    ) -> NDArray[np.float64]:
        """(n, J, K) scores of images: rows of the run's own data, or of those of a loader.

        Raises:
            InputError: when a score is not finite, with the image's `name`.
        """
        give, loader = self.learner.scores, loader or self.data.loader
        found = outputs_of(self.fabric, self.learner, loader, give, rows, on_progress=on_progress)
        wrong = (~found.isfinite()).flatten(1).any(1).nonzero().flatten().tolist()
        if wrong:
            first = (name or self.data.dataset.images.name)(int(rows[wrong[0]]))
            raise InputError(
                f"{self.folder.model}: its scores of {first} are not finite ({len(wrong)} of {len(rows)} "
                "images); training diverged or the file is damaged: train again with a lower learning rate"
            )
        return found.double().numpy()

    def features(self, rows: NDArray[np.int64], loader: Loader | None = None) -> Tensor:
        """(n, J or 1, D) float32 features of images, on the CPU; arguments as of `scores`."""
        return outputs_of(self.fabric, self.learner, loader or self.data.loader, self.learner.features, rows)

    def logits(self, rows: NDArray[np.int64]) -> Tensor:
        """(n, J, K) float32 logits of images of its own data, on the CPU."""
        return outputs_of(self.fabric, self.learner, self.data.loader, self.learner.logits, rows)
