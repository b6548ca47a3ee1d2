"""Figures of a trained model: on its own test images or on other data."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from longtail.data.classes import written_differently
from longtail.data.dataset import SPLITS, Dataset
from longtail.data.splits import SPLITS_FILE, NamedSplits, Splits
from longtail.errors import InputError
from longtail.evaluation.metrics import FrequencyBounds, Predictions
from longtail.evaluation.results import (
    RESULTS,
    DataInfo,
    MethodInfo,
    ModelInfo,
    Results,
    RunInfo,
    TrainingInfo,
    build_results,
)
from longtail.files import write_text
from longtail.methods.recipe import shown
from longtail.reporting.gallery import Gallery
from longtail.reporting.model_card import model_card
from longtail.reporting.page import render_report
from longtail.runs.beforehand import known_beforehand
from longtail.runs.data import Data, read_dataset
from longtail.runs.gallery import gallery_of
from longtail.runs.run import Run
from longtail.runs.trust import trust
from longtail.sampling.balance import imbalance_ratio
from longtail.schema import UNLABELLED, LabelSchema
from longtail.tables import count_table
from longtail.training.best import judged_epoch
from longtail.training.data_options import DataOptions
from longtail.training.faults import Evidence, chance, faults
from longtail.training.watcher import Watcher
from longtail.words import NOTHING, count, did_you_mean


def evaluate(
    path: Path,
    *,
    data: str | None = None,
    split: str = "test",
    options: DataOptions | None = None,
    decision: str | None = None,
    threshold: str | None = None,
    coverage: float | None = None,
    method: str | None = None,
    accelerator: str = "auto",
    output: Path | None = None,
    images: bool = True,
    watcher: Watcher | None = None,
) -> Results:
    """Evaluate a run's model and return its results.

    Without `data`, on a split of the run's own data; for the test split results.json, report.html and
    README.md of the run are written again. With `data`, on the images of another data set that are in its
    own split of that name, or on all of them where it has no splits, unless all are called as those of the
    run, which then has moved and has its own; classes are matched by name. With another
    `decision` than the run was trained for, or a `threshold` for an aim, the files of the run are named after
    it, and README.md stays. With a `coverage`, prediction sets are looked at too. Without `images`, or where
    the run was trained so, the report shows none.
    A run of a method of your own needs that named as `method`.

    Raises:
        InputError: when the run or the data cannot be used.
    """
    published = data is None and output is None and split == "test"
    if published and path.is_dir() and not os.access(path, os.W_OK):
        raise InputError(f"{path}: may not be written to; name a file for the results with --output")
    run = Run.open(
        path, accelerator, watcher, method=method, decision=decision, threshold=threshold, coverage=coverage
    )
    judged = _judged(run, data, split, options or DataOptions())
    if output is not None:
        RESULTS.write(output, judged.results)
    elif published:
        publish(run, judged, images)
    return judged.results


def evaluate_run(run: Run, data: str | None, split: str, options: DataOptions) -> Results:
    """The results of an opened run on a split of its own data, or of others; see `evaluate`.

    Raises:
        InputError: when the data cannot be used.
    """
    return _judged(run, data, split, options).results


@dataclass(frozen=True, eq=False)
class Judged:
    """Results of images, and what they were made of.

    Attributes:
        results: of the model on them.
        rows: (n,) of the data set.
        predictions: of these rows.
    """

    results: Results
    rows: NDArray[np.int64]
    predictions: Predictions


def _judged(run: Run, data: str | None, split: str, options: DataOptions) -> Judged:
    if split not in SPLITS:
        raise InputError(f"--split: expected one of {', '.join(SPLITS)}, got {split!r}")
    run.config  # noqa: B018  of the model that was opened, though a training may go on meanwhile
    run.epochs  # noqa: B018  as well
    found = _own_data(run) if data is None else _other_data(run, data, split, options)
    for note in found.dataset.notes:
        run.watcher.say(note)
    return judge(run, found.readable(run.watcher, (split,)), split, own=data is None)


def judge(run: Run, data: Data, split: str, *, own: bool = True) -> Judged:
    """The results of a model on one split of its own data, or of others, and what went wrong in its training.

    Raises:
        InputError: when no image is in it, or its scores are not finite.
    """
    rows = data.splits.of(split)
    if not len(rows):
        raise InputError(f"{data.dataset.name}: no image in the {split} split to evaluate on")
    name, told = data.dataset.images.name, partial(run.watcher.progress, "evaluating")
    plain = run.plain_scores(rows, data.loader, name, told)
    predictions = predictions_of(run, data.dataset, rows, run.ruling.calibrated(plain))
    known = known_beforehand(run)
    results = build_results(predictions, _run_info(run, data, split, known.linear))
    trusted = tuple(trust(run, predictions, plain, results.attributes))
    evidence = Evidence(
        run.epochs,
        chance(run.config, run.card.class_counts),
        data.dataset.class_counts(data.splits.val) if own else None,
        run.card.feature_layer == "neck" or run.card.fixed_features,
        run.planned,
        known.leak if own else None,
        run.card.without_effect,
    )
    results = structs.replace(results, faults=faults(results, evidence), attributes=trusted)
    return Judged(results, rows, predictions)


def predictions_of(
    run: Run, dataset: Dataset, rows: NDArray[np.int64], scores: NDArray[np.float64]
) -> Predictions:
    """Scores of some rows with all that they are judged by."""
    return Predictions(
        scores=scores,
        labels=dataset.labels[rows],
        schema=dataset.schema,
        train_counts=count_table(run.card.class_counts).long().numpy(),
        frequency=FrequencyBounds(run.config.many_above, run.config.few_below),
        groups=None if dataset.groups is None else dataset.groups[rows],
        thresholds={j: threshold for j, threshold in run.ruling.thresholds.items() if not threshold.kept},
    )


def publish(run: Run, judged: Judged, images: bool = True) -> None:
    """Write results.json, report.html and the README.md of a run.

    Results and report of a decision that is not its own are named after it, and have no README. Without
    `images`, or where the run was trained so, the report shows none.
    """
    results = judged.results
    decision = run.decided_by or None
    RESULTS.write(run.folder.results_by(decision), results)
    config = run.config
    facts = {
        "Trained on": config.data,
        "Epochs": str(config.planned_epochs),
        "Batch size": str(config.batch_size),
        "Learning rate": f"{config.peak_rate:g}",
        "Weight decay": f"{config.decay(run.card.images):g}",
        "Seed": str(config.seed),
        "Imbalance that training saw": _imbalance_seen(run),
    }
    title = f"{results.data.name}: {results.method.name}"
    gallery = _gallery(run, judged) if images and not config.no_images else None
    report = render_report(results, run.epochs, title=title, facts=facts, gallery=gallery)
    write_text(run.folder.report_by(decision), report)
    if decision is None:
        write_text(run.folder.readme, model_card(results, run.card, config))


def _gallery(run: Run, judged: Judged) -> Gallery | None:
    """The images of the report; an image that is gone since does not cost the figures."""
    try:
        return gallery_of(run, judged.rows, judged.predictions, judged.results)
    except InputError as error:
        run.watcher.say(f"the report shows no images: {error}")
        return None


def _run_info(run: Run, data: Data, split: str, linear: float | None) -> RunInfo:
    config, card = run.config, run.card
    images = {name: len(data.splits.of(name)) for name in SPLITS}
    return RunInfo(
        method=MethodInfo(config.method, shown(config.method, config.method_options)),
        model=ModelInfo(card.backbone, run.learner.model.num_parameters),
        data=DataInfo(data.dataset.name, images, card.image_size),
        seed=config.seed,
        split=split,
        decision=run.decision if run.aim is None else f"{run.decision}, thresholds for {run.aim}",
        caveat=run.caveat,
        training=_training_info(run, linear),
    )


def _imbalance_seen(run: Run) -> str:
    """Largest over smallest share of a class in what cross entropy was trained on, by attribute."""
    ratios = imbalance_ratio(run.learner.method.shares.cpu().numpy()).tolist()
    given = (NOTHING if math.isnan(ratio) else f"{ratio:.3g}" for ratio in ratios)
    return ", ".join(map(" ".join, zip(run.card.schema.names, given)))


def _training_info(run: Run, linear: float | None) -> TrainingInfo | None:
    epochs, judged = run.epochs, judged_epoch(run.config, run.epochs)
    if judged is None:
        return None
    seconds = sum(epoch.seconds for epoch in epochs)
    return TrainingInfo(
        epochs=len(epochs),
        judged_epoch=judged.epoch,
        seconds=seconds,
        seconds_per_epoch=seconds / len(epochs),
        images_per_second=sum(epoch.images_per_second * epoch.seconds for epoch in epochs) / seconds,
        linear=linear,
        step_shares={"input wait": sum(epoch.input_wait_share * epoch.seconds for epoch in epochs) / seconds},
    )


def _own_data(run: Run) -> Data:
    """The data that it was trained on; where they are gone, the error says how they are named anew."""
    try:
        return run.data
    except InputError as error:
        place = Path(run.config.data)
        if place.exists() or not place.is_absolute():
            raise
        raise InputError(f"{error} If they were moved: longtail evaluate {run.folder.path} PLACE") from None


def _other_data(run: Run, source: str, split: str, options: DataOptions) -> Data:
    """Another data set with the model's attributes and classes, and the rows of the split that is meant."""
    schema = run.card.schema
    dataset = _with_schema(read_dataset(source, options, known=schema), schema)
    rows = _rows_of(run, dataset, split)
    train, val, test = (rows if name == split else rows[:0] for name in SPLITS)
    options = replace(options, bits=options.bits or run.card.bits)
    return Data.of(dataset, Splits(train, val, test), run.card.image_size, options, run.watcher)


def _rows_of(run: Run, dataset: Dataset, split: str) -> NDArray[np.int64]:
    """The rows of a split: by the run, where the data are its own, else by the data, else all of them."""
    folder, options = run.folder, run.config.data_options
    known = SPLITS_FILE.read(folder.splits) if folder.splits.exists() else NamedSplits([], [], [])
    names, ids = {*known.train, *known.val, *known.test}, {*dataset.ids}
    some_left_out = options.tail_ratio is not None or options.skip_unreadable
    if names == ids or (names and names < ids and some_left_out):
        run.watcher.say(f"{dataset.name}: its images are called as those of the run, whose splits count")
        return known.rows(dataset.ids, str(folder.splits)).of(split)
    rows = np.arange(len(dataset))
    if dataset.split is not None:
        rows = rows[dataset.split == SPLITS.index(split)]
        if not len(rows):
            raise InputError(f"{dataset.name}: its splits have no {split} image; name another with --split")
    if split != "train" and (seen := len({*known.train} & {dataset.ids[row] for row in rows.tolist()})):
        run.watcher.say(
            f"{dataset.name}: {seen:,} of {len(rows):,} images are called as images that the run was trained "
            "on; if they are the same, these figures are too good"
        )
    return rows


def _with_schema(dataset: Dataset, schema: LabelSchema) -> Dataset:
    """Other data with the model's attributes and classes.

    Raises:
        InputError: when an attribute is missing, or a class was never seen in training.
    """
    labels = np.full((len(dataset), schema.num_attributes), UNLABELLED, dtype=np.int64)
    for column, attribute in enumerate(schema.attributes):
        if attribute.name in dataset.schema.names:
            source = dataset.schema.names.index(attribute.name)
        elif schema.num_attributes == dataset.schema.num_attributes == 1:
            source = 0  # one label on both sides, under another name
            taken = f"{dataset.schema.names[0]} is taken for {attribute.name}, as the run calls it"
            dataset = replace(dataset, notes=(*dataset.notes, taken))
        else:
            found = ", ".join(dataset.schema.names)
            raise InputError(f"{dataset.name}: expected the attribute {attribute.name!r}, found {found}")
        labels[:, column] = _translated(dataset, source, attribute.classes)
    return replace(dataset, schema=schema, labels=labels)


def _translated(dataset: Dataset, source: int, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """One label column, from the data's class indices to the model's."""
    own = dataset.schema.attributes[source]
    column = dataset.labels[:, source]
    used = {own.classes[index] for index in np.unique(column[column != UNLABELLED])}
    unseen = sorted(used - set(classes))
    if unseen:
        first = int(np.flatnonzero(column == own.classes.index(unseen[0]))[0])
        such, near = count(len(unseen), "such class", "such classes"), _near(unseen[0], classes)
        raise InputError(
            f"{dataset.name}: {dataset.images.name(first)} has the {own.name} {unseen[0]!r}, which the "
            f"model never saw in training ({such}); rename the class, or leave those images out"
            f"{near and '.' + near}"
        )
    places = [classes.index(name) if name in classes else UNLABELLED for name in own.classes]
    return np.array([*places, UNLABELLED])[column]  # -1, unlabelled, looks up the last


def _near(name: str, classes: tuple[str, ...]) -> str:
    """The class that may be meant by a name, and what they differ in where a reader would not see it."""
    for known in classes:
        for (_, other), how in written_differently([name, known]):
            return f" The model's {other} differs only in {how}"
    return did_you_mean(name, classes)
