"""A trained model in Python."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import numpy as np
import torch
from numpy.typing import NDArray

from longtail.api.images import Images, image_blocks
from longtail.api.options import DataArguments
from longtail.api.settings import data_settings
from longtail.api.shown import Table, table
from longtail.api.watching import watching
from longtail.errors import InputError
from longtail.evaluation.results import RESULTS, Results
from longtail.files import place_of
from longtail.images.load import ImageLoader
from longtail.methods.find import is_outside
from longtail.runs.evaluate import evaluate_run
from longtail.runs.predict import Prediction, loader_of, notes_on, predict
from longtail.runs.run import Run
from longtail.schema import LabelSchema

if TYPE_CHECKING:
    from longtail.exporting.export import OnnxExport


class Model:
    """A trained model: it classifies images, and knows how well.

    Made by `longtail.load`, or by `longtail.train`.

    Example::

        model = longtail.load("runs/first")
        image = numpy.zeros((8, 8, 3), numpy.uint8)  # or a path, a folder, a Pillow image, a list of them
        for prediction in model.predict(image):
            print(prediction.labels, prediction.probabilities)
        print(model.probabilities(image).shape, model.features(image).shape)
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    @property
    def folder(self) -> Path:
        """The folder of its run."""
        return self._run.folder.path

    @property
    def report(self) -> Path:
        """The page of its run."""
        return self._run.folder.report_by(self._run.decided_by or None)

    @property
    def schema(self) -> LabelSchema:
        """Attributes and their classes."""
        return self._run.card.schema

    @property
    def method(self) -> str:
        """Name of the method that trained it."""
        return self._run.card.method

    @property
    def decision(self) -> str:
        """Name of the rule that it decides by."""
        return self._run.decision

    @property
    def notes(self) -> list[str]:
        """What to know before it is used: an unfinished training, thresholds that could not be tuned."""
        return notes_on(self._run)

    @cached_property
    def results(self) -> Results:
        """What it achieved on the test images at the end of its training."""
        self._run.expect_unchanged()
        return RESULTS.read(self._run.folder.results)

    def table(self) -> Table:
        """`results` as a table."""
        return table(self.results)

    def predict(self, images: Images, *, skip_unreadable: bool = False) -> list[Prediction]:
        """Classify images.

        Args:
            images: a path of a file, folder, archive or manifest; a Pillow image; an array (H, W, C) or
                (N, H, W, C), or a tensor (C, H, W) or (N, C, H, W), uint8; or a list or iterator of them.
            skip_unreadable: leave files out that cannot be read.

        Raises:
            InputError: when an image cannot be used.
        """
        return list(self.predictions(images, skip_unreadable=skip_unreadable))

    def predictions(self, images: Images, *, skip_unreadable: bool = False) -> Iterator[Prediction]:
        """The same one by one, as they are made; for more images than fit in memory."""
        blocks = image_blocks(images, self._run.watcher, self._run.card.bits)
        return predict(self._run, blocks, skip_unreadable=skip_unreadable)

    def probabilities(self, images: Images) -> NDArray[np.float64]:
        """(N, J, K) calibrated scores of images given as to `predict`; (N, K) where there is one attribute.

        Attributes and classes are in the order of `schema`; beyond the classes of an attribute
        they are 0.
        """
        scores = np.concatenate([self._run.scores(*seen) for seen in self._looks(images)])
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def features(self, images: Images) -> NDArray[np.float32]:
        """(N, J, D) features of images given as to `predict`; (N, D) where attributes share one vector."""
        found = torch.cat([self._run.features(*seen) for seen in self._looks(images)]).numpy()
        return found[:, 0] if found.shape[1] == 1 else found

    def _looks(self, images: Images) -> Iterator[tuple[NDArray[np.int64], ImageLoader]]:
        """For each block of images the first arguments of `Run.scores`."""
        block = None
        for block in image_blocks(images, self._run.watcher, self._run.card.bits):
            loader = loader_of(self._run, block, block.names, skip_unreadable=False)
            yield loader.readable(np.arange(len(block))), loader
        if block is None:
            raise InputError("images: expected at least one")

    def evaluate(
        self, data: str | Path | None = None, *, split: str = "test", **source: Unpack[DataArguments]
    ) -> Results:
        """What it achieves on images with labels; nothing is written.

        Args:
            data: read as for a training; by default the data that it was trained on.
            split: which images of them.
            source: how to read `data`.

        Raises:
            InputError: when the data cannot be used.
        """
        given = None if data is None else str(data)
        return evaluate_run(self._run, given, split, data_settings(**source))

    def export(self, output: str | Path | None = None) -> OnnxExport:
        """Write it as one ONNX file that decides as it does, with its thresholds and prediction sets.

        Args:
            output: the file; by default model.onnx in the folder of the run.

        Returns:
            Where the file is, and how near it is to the model.

        Raises:
            InputError: when it cannot be expressed in ONNX, decides otherwise, or a package is missing.
        """
        from longtail.exporting.export import export_onnx

        run = self._run
        run.expect_unchanged()
        return export_onnx(
            run.folder.path,
            None if output is None else place_of(str(output)),
            decision=run.decision,
            threshold=None if run.aim is None else str(run.aim),
            coverage=run.coverage,
            method=run.card.method if is_outside(run.card.method) else None,
            watcher=run.watcher,
        )

    def __repr__(self) -> str:
        names = ", ".join(f"{a.name} ({len(a.classes)} classes)" for a in self.schema.attributes[:5])
        more = ", …" if len(self.schema.attributes) > 5 else ""
        return f"<longtail.Model {self.folder}: {self.method}, {names}{more}>"


def load(
    path: str | Path,
    *,
    decision: str | None = None,
    threshold: str | None = None,
    coverage: float | None = None,
    method: str | None = None,
    accelerator: str = "auto",
    progress: bool = False,
) -> Model:
    """The model in the folder of a run.

    Args:
        path: the folder.
        decision: decide by this rule; by default as it was trained to.
        threshold: decide attributes of two classes for this aim, see `longtail evaluate --help`; where it
            could not be tuned, `Model.notes` says so.
        coverage: give prediction sets that hold the true class of this share of images.
        method: method of your own that it was trained with.
        accelerator: kind of device.
        progress: show how far it is, on standard error.

    Raises:
        InputError: when there is no usable model in it.

    Example::

        model = longtail.load("runs/first", decision="prior", coverage=0.9)
    """
    folder, watcher = place_of(str(path)), watching(progress)
    run = Run.open(
        folder, accelerator, watcher, method=method, decision=decision, threshold=threshold, coverage=coverage
    )
    return Model(run)
