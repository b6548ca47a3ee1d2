"""A trained model with its folder: open it, then ask it for scores, features, data or epochs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from longtail.data.classes import changes
from longtail.data.splits import SPLITS_FILE
from longtail.decisions.thresholds import Aim
from longtail.errors import InputError
from longtail.evaluation.results import RESULTS
from longtail.features.vectors import FixedNetwork
from longtail.files import file_name
from longtail.images.load import Loader
from longtail.methods.caveats import caveat
from longtail.methods.context import EpochContext, TrainedRun
from longtail.methods.decisions import RULES, Decision
from longtail.methods.find import is_outside
from longtail.methods.recipe import check_decision
from longtail.models.backbones import COMPUTED_ONCE
from longtail.ranks import Processes
from longtail.runs.calibration import Calibration, Frequencies, load_calibrations
from longtail.runs.data import Data, read_dataset
from longtail.runs.device import one_process
from longtail.runs.folder import RunFolder
from longtail.runs.origin import relabelled
from longtail.runs.ruling import Ruling
from longtail.runs.unfinished import is_unfinished
from longtail.threads import Progress
from longtail.training.checkpoint import ModelCard, load_model
from longtail.training.config import CONFIG, TrainConfig
from longtail.training.inference import outputs_of
from longtail.training.learner import Learner
from longtail.training.record import EPOCHS, EpochRecord
from longtail.training.sealed import checksum_of
from longtail.training.watcher import Silent, Watcher
from longtail.words import count


def _model(folder: RunFolder, method: str | None) -> tuple[Learner, ModelCard]:
    """The model of a run; where it is damaged, the error names the other one that is kept beside it."""
    try:
        return load_model(folder.model, method)
    except InputError as error:
        other = next((file for file in (folder.best, folder.last) if _is_whole(file, method)), None)
        if other is None:
            raise
        also = f" and delete {folder.calibration.name}" if folder.calibration.exists() else ""
        raise InputError(
            f"{error}. {other.name} beside it is whole, the network of the {other.stem} epoch: to use that, "
            f"copy it over {folder.model.name}{also}"
        ) from None


def _is_whole(model: Path, method: str | None) -> bool:
    try:
        load_model(model, method)
    except InputError:
        return False
    return True


@dataclass(eq=False)
class Run:
    """A model and how it came to be. Configuration, data and epochs are read when they are asked for.

    Attributes:
        folder: where its files lie.
        fabric: the processes of its job, and the device.
        learner: the model and its method, on the device of `fabric`.
        card: what the model is.
        watcher: hears of images that are read.
        calibrations: what validation images said of the scores, by decision.
        mark: checksum of its model where that was read from the folder, None while it is trained.
        aim: what the thresholds of attributes of two classes are tuned for; None for the analytic ones.
        coverage: of prediction sets, None for none.
        own_decision: name of the rule that it was trained for.
        decision: name of the rule that it decides by.
    """

    folder: RunFolder
    fabric: Processes
    learner: Learner
    card: ModelCard
    watcher: Watcher
    calibrations: Mapping[str, Calibration] = field(default_factory=dict[str, Calibration])
    mark: str | None = None
    aim: Aim | None = field(default=None, init=False)
    coverage: float | None = field(default=None, init=False)
    own_decision: str = field(init=False)
    decision: str = field(init=False)

    def __post_init__(self) -> None:
        self.decision = self.own_decision = self.card.recipe.decision

    @classmethod
    def open(
        cls,
        path: Path,
        accelerator: str | None = "auto",
        watcher: Watcher | None = None,
        *,
        method: str | None = None,
        decision: str | None = None,
        threshold: str | None = None,
        coverage: float | None = None,
    ) -> Run:
        """The run in a folder, its model on the device.

        Args:
            path: the folder.
            accelerator: kind of device; None for that of its training.
            watcher: hears of images that are read.
            method: of the user's own that it was trained with; imported only if it is named.
            decision: see `decide_by`.
            threshold, coverage: see `aim_at`.

        Raises:
            InputError: when there is no usable model in it, its method is not named, or no such device; as
                `decide_by` and `aim_at` do.
        """
        folder = RunFolder(path)
        learner, card = _model(folder, method)
        mark = checksum_of(folder.model)
        known = load_calibrations(folder.calibration, mark, card.schema)
        fabric = one_process(accelerator or CONFIG.read(folder.config).accelerator)
        run = cls(folder, fabric, learner.to(fabric.device), card, watcher or Silent(), known, mark)
        run.decide_by(decision)
        run.aim_at(threshold, coverage)
        return run

    def expect_unchanged(self) -> None:
        """Refuse to mix an opened model with files of another training in its folder.

        Raises:
            InputError: when the model in the folder is another one by now.
        """
        file = self.folder.model
        if self.mark is not None and not (file.exists() and checksum_of(file) == self.mark):
            raise InputError(f"{self.folder.path}: was trained again since it was opened; open it anew")

    def decide_by(self, decision: str | None) -> None:
        """Decide by the rule of this name, None for its own; one that needs images of the run reads them.

        Raises:
            InputError: when the method has no use for the rule, or the images are not there.
        """
        if decision in (None, self.own_decision):
            return
        full = self.card.recipe
        check_decision(self.card.method, decision, full)
        rule = RULES[decision](full, self.card.setting(self.learner.model))
        rule.learn(self._trained)
        self.learner.method.decision = rule.to(self.fabric.device)
        self.decision = decision
        self._forget()

    def aim_at(self, threshold: str | None, coverage: float | None) -> None:
        """Decide attributes of two classes by thresholds for an aim, and give prediction sets.

        Args:
            threshold: see `Aim.of`; None for the analytic ones.
            coverage: share of images whose class is to be in their set, None for no sets.

        Raises:
            InputError: when one of them cannot be, or there was no validation image to ask.
        """
        self.aim = None if threshold is None else Aim.of(threshold)
        self.coverage = coverage
        self._forget()
        if coverage is not None and (isinstance(coverage, bool | str) or not 0 < coverage < 1):
            raise InputError(f"--coverage: expected a share above 0 and below 1, got {coverage!r}")
        asked = ["--threshold"] * (threshold is not None) + ["--coverage"] * (coverage is not None)
        if asked and self.calibration is None:
            raise InputError(f"{asked[0]}: {self._why_uncalibrated()}")
        if self.aim and all(self.frequencies.rare(j) is None for j in range(len(self.card.class_counts))):
            raise InputError("--threshold: is for attributes of two classes, and the model has none")

    def _why_uncalibrated(self) -> str:
        if self.calibrations:
            return f"is known for the decisions {', '.join(self.calibrations)}, not for {self.decision}"
        return (
            f"needs {self.folder.calibration}, which is not there; train with validation images (--val-share "
            "above 0), and keep the file beside the model"
        )

    @cached_property
    def ruling(self) -> Ruling:
        """How its scores become decisions and prediction sets, as long as nothing about that changes."""
        return Ruling.of(self.frequencies, self.calibration, self.aim, self.coverage)

    def know(self, calibrations: Mapping[str, Calibration]) -> None:
        """Take over what validation images said."""
        self.calibrations = calibrations
        self._forget()

    def _forget(self) -> None:
        """Drop the ruling of another decision, aim or coverage."""
        self.__dict__.pop("ruling", None)

    @property
    def decided_by(self) -> str:
        """How it decides, for names of files: empty as it was trained to."""
        own = self.decision == self.own_decision
        parts = [*([] if own else [self.decision]), *([file_name(str(self.aim))] if self.aim else [])]
        return "-".join(parts)

    @property
    def calibration(self) -> Calibration | None:
        """What validation images said of the scores that it decides by; None where they were not asked."""
        return self.calibrations.get(self.decision)

    @property
    def frequencies(self) -> Frequencies:
        """How frequent the classes are, and how frequent its scores take them to be."""
        return self.frequencies_by(self.learner.method.decision)

    def frequencies_by(self, rule: Decision) -> Frequencies:
        """The same for the scores of another rule."""
        assumed = rule.assumed(self.learner.method.shares).cpu()
        return Frequencies(self.card.schema, self.card.class_counts, assumed)

    @property
    def caveat(self) -> str | None:
        """Why its decision is only near to what it promises after such a training, or None."""
        card, shares = self.card, self.learner.method.shares.tolist()
        full, tagged = card.recipe, bool(card.identities or card.domains)
        return caveat(self.decision, card.method, full, shares, tagged)

    def _trained(self) -> TrainedRun:
        """The data that it was trained on, and what its network makes of them."""
        epochs = self.config.planned_epochs
        end = EpochContext(epochs, epochs, 0, self.learner.model, self.features)
        return TrainedRun(self.data.training(), self.data.splits.val, self.config.seed, end, self.logits)

    @cached_property
    def config(self) -> TrainConfig:
        """The recipe."""
        self.expect_unchanged()
        return replace(CONFIG.read(self.folder.config), method=self.card.method)

    @cached_property
    def data(self) -> Data:
        """What it was trained on, read again.

        Raises:
            InputError: when the data are not there, or are no longer those of the training.
        """
        self.expect_unchanged()
        options = self.config.data_options
        dataset = read_dataset(self.config.data, options)
        if dataset.schema != self.card.schema:
            what = changes(self.card.schema, dataset.schema)
            raise InputError(
                f"{dataset.name}: its attributes or classes are no longer those of the training ({what})"
            )
        if relabelled(self.folder, dataset):
            self.watcher.say(f"{dataset.name}: labels have changed since the training")
        splits = SPLITS_FILE.read(self.folder.splits).rows(dataset.ids, str(self.folder.splits))
        data = Data.of(dataset, splits, self.card.image_size, options, self.watcher)
        return self.on_vectors(data)

    def on_vectors(self, data: Data) -> Data:
        """Data with what the fixed part of this run's backbone makes of their images, where it has one."""
        card = self.card
        if card.tuning not in COMPUTED_ONCE:
            return data
        part, numbers = self.learner.model.fixed_part
        network = FixedNetwork(part, card.mean, card.std, card.image_size, bits=card.bits, name=card.backbone)
        return data.on_vectors(self.fabric, network, numbers)

    @cached_property
    def epochs(self) -> list[EpochRecord]:
        """What is known of each epoch of the training."""
        self.expect_unchanged()
        return EPOCHS.read_lines(self.folder.metrics)

    @property
    def planned(self) -> int | None:
        """Epochs of a training that is not finished; None of one that came to its end."""
        return self.config.planned_epochs if is_unfinished(self.folder) else None

    @property
    def unfinished(self) -> str | None:
        """What to say of a training that is not finished, or None."""
        if self.planned is None:
            return None
        path, epochs = self.folder.path, f"{len(self.epochs)} of {count(self.planned, 'epoch')}"
        further = (
            f"go on with it: longtail train --resume {path}"
            if self.folder.can_go_on
            else "it cannot go on, train again with --overwrite"
        )
        return f"{path}: its training is not finished ({epochs}); {further}"

    @property
    def uncalibrated(self) -> bool:
        """Whether its scores had a temperature when they were judged, which is no longer there."""
        if self.folder.calibration.exists() or not self.folder.results.exists():
            return False
        try:
            judged = RESULTS.read(self.folder.results)
        except InputError:
            return False
        return any(attribute.calibration for attribute in judged.attributes)

    def scores(
        self,
        rows: NDArray[np.int64],
        loader: Loader | None = None,
        name: Callable[[int], str] | None = None,
        on_progress: Progress | None = None,
    ) -> NDArray[np.float64]:
        """(n, J, K) scores of images, calibrated: rows of the run's own data, or of those of a loader.

        Raises:
            InputError: when a score is not finite, with the image's `name`, or that of a method of the user's
                own is beyond 0 to 1.
        """
        return self.ruling.calibrated(self.plain_scores(rows, loader, name, on_progress))

    def plain_scores(
        self,
        rows: NDArray[np.int64],
        loader: Loader | None = None,
        name: Callable[[int], str] | None = None,
        on_progress: Progress | None = None,
    ) -> Tensor:
        """(n, J, K) float32, the same as the method gives them."""
        give, loader = self.learner.scores, loader or self.data.loader
        found = outputs_of(self.fabric, self.learner, loader, give, rows, on_progress=on_progress)
        self.expect_scores(found, rows, name or self.data.dataset.images.name)
        return found

    def expect_scores(self, found: Tensor, rows: NDArray[np.int64], name: Callable[[int], str]) -> None:
        """Refuse scores (n, J, K) that are none: not finite, or beyond 0 to 1 by a method of the user's own.

        Raises:
            InputError: as `expect_finite`, and naming the method.
        """
        self.expect_finite(found, rows, name)
        if is_outside(self.card.method) and ((found < -1e-4) | (found > 1.0001)).any():
            raise InputError(
                f"{self.card.method}: its scores are expected to be from 0 to 1, got {found.min():.3g} to "
                f"{found.max():.3g}"
            )

    def expect_finite(self, found: Tensor, rows: NDArray[np.int64], name: Callable[[int], str]) -> None:
        """Refuse what the model gave for images, where a number is none.

        Raises:
            InputError: with the first such image's `name`.
        """
        wrong = (~found.isfinite()).flatten(1).any(1).nonzero().flatten().tolist()
        if wrong:
            raise InputError(
                f"{self.folder.model}: its scores of {name(int(rows[wrong[0]]))} are not finite "
                f"({len(wrong):,} of {len(rows):,} images); training diverged or the file is damaged: train "
                "again with a lower learning rate"
            )

    def features(self, rows: NDArray[np.int64], loader: Loader | None = None) -> Tensor:
        """(n, J or 1, D) float32 features of images, on the CPU; arguments as of `scores`."""
        return outputs_of(self.fabric, self.learner, loader or self.data.loader, self.learner.features, rows)

    def logits(self, rows: NDArray[np.int64]) -> Tensor:
        """(n, J, K) float32 logits of images of its own data, on the CPU."""
        return outputs_of(self.fabric, self.learner, self.data.loader, self.learner.logits, rows)
