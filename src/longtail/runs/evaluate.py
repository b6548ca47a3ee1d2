"""Figures of a trained model: on its own test images or on other data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from lightning_fabric import Fabric
from numpy.typing import NDArray

from longtail.data.dataset import SPLITS, Dataset
from longtail.data.splits import Splits
from longtail.errors import InputError
from longtail.evaluation.metrics import FrequencyBounds, Predictions
from longtail.evaluation.results import (
    DataInfo,
    MethodInfo,
    ModelInfo,
    Results,
    RunInfo,
    TrainingInfo,
    build_results,
    write_results,
)
from longtail.images.load import ImageLoader
from longtail.methods.recipe import check_decision, recipe
from longtail.reporting.html import write_report
from longtail.runs.decide import decide_by
from longtail.runs.device import launch
from longtail.runs.folder import RunFolder, read_json
from longtail.runs.preparation import leave_out_unreadable, normaliser, read_dataset, rows_of
from longtail.runs.watcher import Silent, Watcher
from longtail.sampling.balance import imbalance_ratio
from longtail.schema import UNLABELLED, LabelSchema
from longtail.training.checkpoint import ModelCard, load_model
from longtail.training.config import DataOptions, TrainConfig
from longtail.training.inference import predict_scores
from longtail.training.learner import Learner
from longtail.training.record import EPOCHS, EpochRecord


@dataclass(frozen=True, eq=False)
class Trained:
    """A model and how it came to be."""

    learner: Learner
    card: ModelCard
    config: TrainConfig
    epochs: Sequence[EpochRecord]
    decision: str


def evaluate(
    run: Path,
    *,
    data: str | None = None,
    split: str = "test",
    options: DataOptions | None = None,
    decision: str | None = None,
    method: str | None = None,
    accelerator: str = "auto",
    output: Path | None = None,
    watcher: Watcher | None = None,
) -> Results:
    """Evaluate a run's model and return its results.

    Without `data`, on a split of the run's own data; for the test split results.json and report.html
    of the run are written again. With `data`, on the images of another data set that are in its own
    split of that name, or on all of them where it has none; classes are matched by name. With another
    `decision` than the run was trained for, the files of the run are named after it.
    A run of a method of your own needs that named as `method`.

    Raises:
        InputError: when the run or the data cannot be used.
    """
    watcher = watcher or Silent()
    if split not in SPLITS:
        raise InputError(f"--split: expected one of {', '.join(SPLITS)}, got {split!r}")
    folder = RunFolder(run)
    learner, card = load_model(folder.model, method)
    config = replace(TrainConfig.from_dict(read_json(folder.config)), method=card.method)
    full = recipe(config.method, config.method_options)
    own = full.decision
    check_decision(config.method, decision or own, full)
    trained = Trained(learner, card, config, EPOCHS.read_lines(folder.metrics), decision or own)

    if data is None:
        options = config.data_options
        dataset = _expect_schema(read_dataset(config.data, options), card.schema)
        splits = Splits.from_dict(read_json(folder.splits), dataset.ids)
    else:
        options = options or DataOptions()
        dataset = _with_schema(read_dataset(data, options), card.schema)
        splits = _as_given(dataset, split)
    for note in dataset.notes:
        watcher.say(note)
    loader = ImageLoader(
        dataset,
        card.image_size,
        skip_unreadable=options.skip_unreadable,
        on_progress=partial(watcher.progress, "reading images"),
    )
    splits = leave_out_unreadable(splits, loader, watcher, (split,))
    fabric = launch(accelerator)
    learner.to(fabric.device)
    if trained.decision != own:
        decide_by(fabric, learner, card, config, trained.decision, folder)
    results = judge(fabric, trained, dataset, loader, splits, split, watcher)
    if output is not None:
        write_results(output, results)
    elif data is None and split == "test":
        publish(folder, trained, results, None if trained.decision == own else trained.decision)
    return results


def judge(
    fabric: Fabric,
    trained: Trained,
    dataset: Dataset,
    loader: ImageLoader,
    splits: Splits,
    split: str,
    watcher: Watcher,
) -> Results:
    """The results of one split.

    Raises:
        InputError: when no image is in it.
    """
    rows = rows_of(splits, split)
    if not len(rows):
        raise InputError(f"{dataset.name}: no image in the {split} split to evaluate on")
    scores = predict_scores(
        fabric,
        trained.learner,
        loader,
        rows,
        normaliser(trained.card),
        on_progress=partial(watcher.progress, "evaluating"),
    )
    predictions = predictions_of(trained, dataset, rows, scores)
    counts = {name: len(rows_of(splits, name)) for name in SPLITS}
    return build_results(predictions, _run_info(trained, dataset.name, counts, split))


def predictions_of(
    trained: Trained, dataset: Dataset, rows: NDArray[np.int64], scores: NDArray[np.float64]
) -> Predictions:
    """Scores of some rows with all that they are judged by."""
    config = trained.config
    return Predictions(
        scores=scores,
        labels=dataset.labels[rows],
        schema=dataset.schema,
        train_counts=_count_table(trained.card),
        frequency=FrequencyBounds(config.many_above, config.few_below),
        groups=None if dataset.groups is None else dataset.groups[rows],
    )


def publish(folder: RunFolder, trained: Trained, results: Results, decision: str | None = None) -> None:
    """Write results.json and report.html of a run, named after a decision that is not its own."""
    write_results(folder.results_by(decision), results)
    config = trained.config
    facts = {
        "Trained on": config.data,
        "Epochs": str(config.epochs),
        "Batch size": str(config.batch_size),
        "Learning rate": f"{config.peak_rate:g}",
        "Weight decay": f"{config.decay:g}",
        "Seed": str(config.seed),
        "Imbalance that training saw": _imbalance_seen(trained),
    }
    title = f"{results.data.name}: {results.method.name}"
    write_report(folder.report_by(decision), results, trained.epochs, title=title, facts=facts)


def _run_info(trained: Trained, name: str, counts: dict[str, int], split: str) -> RunInfo:
    config, card = trained.config, trained.card
    return RunInfo(
        method=MethodInfo(config.method, config.shown_options),
        model=ModelInfo(card.backbone, trained.learner.model.num_parameters),
        data=DataInfo(name, counts, card.image_size),
        seed=config.seed,
        split=split,
        decision=trained.decision,
        training=_training_info(trained.epochs),
    )


def _imbalance_seen(trained: Trained) -> str:
    """Largest over smallest share of a class in what cross entropy was trained on, by attribute."""
    ratios = imbalance_ratio(trained.learner.method.shares.cpu().numpy()).tolist()
    return ", ".join(f"{name} {ratio:.3g}" for name, ratio in zip(trained.card.schema.names, ratios))


def _training_info(epochs: Sequence[EpochRecord]) -> TrainingInfo | None:
    if not epochs:
        return None
    total = sum(epoch.seconds for epoch in epochs)
    images = sum(epoch.images_per_second * epoch.seconds for epoch in epochs)
    waited = sum(epoch.input_wait_share * epoch.seconds for epoch in epochs)
    return TrainingInfo(
        epochs=len(epochs),
        seconds=total,
        seconds_per_epoch=total / len(epochs),
        images_per_second=images / total,
        step_shares={"input wait": waited / total},
    )


def _count_table(card: ModelCard) -> NDArray[np.int64]:
    """(J, K), 0 for the classes that an attribute does not have."""
    table = np.zeros((card.schema.num_attributes, card.schema.max_classes), dtype=np.int64)
    for row, counts in zip(table, card.class_counts):
        row[: len(counts)] = counts
    return table


def _expect_schema(dataset: Dataset, schema: LabelSchema) -> Dataset:
    if dataset.schema != schema:
        raise InputError(f"{dataset.name}: its attributes or classes are no longer those of the training")
    return dataset


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
        raise InputError(
            f"{dataset.name}: {dataset.images.name(first)} has the {own.name} {unseen[0]!r}, which the model "
            f"never saw in training ({len(unseen)} such classes); leave those images out"
        )
    places = [classes.index(name) if name in classes else UNLABELLED for name in own.classes]
    table = np.array([*places, UNLABELLED])  # -1, unlabelled, looks up the last
    return table[column]


def _as_given(dataset: Dataset, split: str) -> Splits:
    """The named split of foreign data, or all of them."""
    rows = np.arange(len(dataset))
    if dataset.split is not None and (dataset.split == SPLITS.index(split)).any():
        rows = rows[dataset.split == SPLITS.index(split)]
    train, val, test = (rows if name == split else rows[:0] for name in SPLITS)
    return Splits(train, val, test)
