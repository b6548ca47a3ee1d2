"""What a trained model says of new images, a block of them at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtail.data.dataset import Dataset
from longtail.data.unlabelled import Block
from longtail.errors import InputError
from longtail.images.load import ImageLoader, Unreadable
from longtail.runs.run import Run
from longtail.schema import UNLABELLED
from longtail.training.inference import outputs_of


@dataclass(frozen=True)
class Prediction:
    """What the model says of one image.

    Attributes:
        image: its path, or the archive and the member's name.
        labels: for each attribute the class decided for.
        probabilities: for each attribute the score of every class.
        sets: for each attribute the classes of its prediction set, the most probable first; None without
            a coverage.
        features: (J or 1, D) float32, what the head sees; None where they are not asked for.
    """

    image: str
    labels: dict[str, str]
    probabilities: dict[str, dict[str, float]]
    sets: dict[str, tuple[str, ...]] | None = None
    features: NDArray[np.float32] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Predicted:
    """What came of a block of images.

    Attributes:
        names: of all its images.
        predictions: of those that can be read, in their order.
        unreadable: the others, with what is wrong with each.
    """

    names: list[str]
    predictions: list[Prediction]
    unreadable: list[Unreadable]


def notes_on(run: Run) -> list[str]:
    """What to know of a run before its predictions: an unfinished training, thresholds that are not tuned."""
    kept = [
        f"{run.card.schema.names[j]}: decided at probability ½, not for {run.aim} ({threshold.kept})"
        for j, threshold in run.ruling.thresholds.items()
        if threshold.kept
    ]
    lost = (
        [f"{run.folder.calibration}: is gone; scores are as the network gives them"]
        if run.uncalibrated
        else []
    )
    return [*([run.unfinished] if run.unfinished else []), *lost, *kept]


def predict(run: Run, blocks: Iterable[Block], *, skip_unreadable: bool = False) -> Iterator[Prediction]:
    """Classify images in their order, by the run's decision, thresholds and coverage.

    Args:
        run: opened.
        blocks: see `longtail.data.unlabelled.open_images`.
        skip_unreadable: leave images that cannot be read out.

    Raises:
        InputError: when an image cannot be read and is not to be skipped, or scores are not finite.
    """
    for found in predict_blocks(run, blocks):
        if found.unreadable and not skip_unreadable:
            _, name, reason = found.unreadable[0]
            raise InputError(f"{name}: {reason}; repair or remove it, or leave such images out")
        yield from found.predictions


def predict_blocks(run: Run, blocks: Iterable[Block], *, features: bool = False) -> Iterator[Predicted]:
    """Classify blocks of images; those that cannot be read are named beside them, and to the run's watcher.

    Raises:
        InputError: when scores are not finite.
    """
    for block in blocks:
        names = block.names
        loader = loader_of(run, block, names, skip_unreadable=True)
        rows = loader.decodable(np.arange(len(block)))
        predictions = _predictions(run, names, loader, rows, features) if len(rows) else []
        for _, name, reason in loader.unreadable:
            run.watcher.say(f"left out {name}: {reason}")
        yield Predicted(names, predictions, loader.unreadable)
        run.watcher.progress("predicting", block.stop, len(block.store))


def loader_of(run: Run, block: Block, names: list[str], *, skip_unreadable: bool) -> ImageLoader:
    """Decodes each image of a block once, for a run: all of them are kept, whatever their size."""
    schema, size = run.card.schema, run.card.image_size
    labels = np.full((len(block), schema.num_attributes), UNLABELLED, dtype=np.int64)
    dataset = Dataset("images", schema, labels, names, block)
    return ImageLoader(dataset, size, bits=run.card.bits, skip_unreadable=skip_unreadable, cache_bytes=_ALL)


_ALL = 2**62  # bytes


def _predictions(
    run: Run, names: list[str], loader: ImageLoader, rows: NDArray[np.int64], features: bool
) -> list[Prediction]:
    """Of the rows of a loader that can be read."""
    attributes = run.card.schema.attributes
    name = names.__getitem__
    scores, vectors = (
        _scores_and_features(run, rows, loader, name) if features else (run.scores(rows, loader, name), None)
    )
    decided, members = run.ruling.decisions(scores), run.ruling.members(scores)
    found: list[Prediction] = []
    for i, row in enumerate(rows.tolist()):
        labels = {a.name: a.classes[j] for a, j in zip(attributes, decided[i].tolist())}
        own = {a.name: dict(zip(a.classes, values)) for a, values in zip(attributes, scores[i].tolist())}
        sets = None if members is None else _sets(own, members[i])
        found.append(Prediction(names[row], labels, own, sets, None if vectors is None else vectors[i]))
    return found


def _scores_and_features(
    run: Run, rows: NDArray[np.int64], loader: ImageLoader, name: Callable[[int], str]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """The scores and the features of a run, for which its network is asked once."""
    learner, shape = run.learner, (run.card.schema.num_attributes, run.card.schema.max_classes)

    def give(images: Tensor) -> Tensor:
        output = learner.output(images)
        parts = (learner.method.scores(output), output.features)
        return torch.cat([part.float().flatten(1) for part in parts], 1)

    found = outputs_of(run.fabric, learner, loader, give, rows)
    run.expect_finite(found, rows, name)
    scores, features = found.tensor_split([shape[0] * shape[1]], 1)
    scores, vectors = scores.unflatten(1, shape), features.unflatten(1, (learner.model.head.vectors, -1))
    run.expect_scores(scores, rows, name)
    return run.ruling.calibrated(scores), vectors.numpy()


def _sets(
    probabilities: dict[str, dict[str, float]], members: NDArray[np.bool_]
) -> dict[str, tuple[str, ...]]:
    """The prediction set of each attribute of an image, by (J, K) which classes are in it."""
    sets: dict[str, tuple[str, ...]] = {}
    for (name, values), own in zip(probabilities.items(), members.tolist()):
        inside = [label for label, is_in in zip(values, own) if is_in]
        sets[name] = tuple(sorted(inside, key=values.__getitem__, reverse=True))
    return sets
