"""Which images a run's report shows, and their small pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtail.data.dataset import Dataset
from longtail.evaluation.metrics import Predictions
from longtail.evaluation.mistakes import Wrong, rare_classes, surest_of_pairs, surest_of_rare_classes
from longtail.evaluation.results import AttributeResults, Results
from longtail.images.load import ImageLoader
from longtail.images.normalise import normalise
from longtail.images.thumbnails import as_heat, as_jpeg, thumbnail_size
from longtail.methods.options import DECISIONS
from longtail.models.activation import class_activation, has_maps
from longtail.reporting.gallery import Example, Gallery, Mistakes, Picture, Strip
from longtail.runs.mined import MINED, MinedImage
from longtail.runs.run import Run
from longtail.schema import UNLABELLED
from longtail.words import count, percent

MOST_IMAGES = 120
"""Images of mistakes in one report, shared out among its attributes."""

MOST_CLASSES, MOST_PAIRS, MOST_OF_ONE = 12, 6, 5
"""Rare classes, confused pairs, and images of each, of one attribute."""

MOST_MINED = 12
"""Hard positives, and hard negatives."""

MOST_BYTES = 1_000_000
"""Of all pictures together; in base64 they are a third larger, and the overlays are beside them."""

LEAST_PLACES = 4
"""Of a map that says where; a map of one place says nothing."""

_AT_ONCE = 32


@dataclass(frozen=True)
class Share:
    """What one attribute may show of a report: classes, pairs, and images of each."""

    classes: int
    pairs: int
    each: int

    @classmethod
    def of(cls, attributes: int) -> Share:
        """An equal one of each attribute; where they are very many, one image each.

        Example:
            >>> Share.of(1), Share.of(40)
            (Share(classes=12, pairs=6, each=5), Share(classes=2, pairs=1, each=1))
        """
        images = max(1, MOST_IMAGES // attributes)
        each = min(MOST_OF_ONE, max(1, images // 3))
        classes = min(MOST_CLASSES, max(1, 2 * images // 3 // each))
        return cls(classes, min(MOST_PAIRS, images // each - classes), each)


@dataclass(frozen=True)
class _Shown:
    """An image in one place: its row, its caption, and the attribute and class decided for."""

    row: int
    caption: str
    seen: tuple[int, int] | None = None


@dataclass(frozen=True)
class _Plan:
    """A strip before there are pictures."""

    title: str
    note: str
    images: list[_Shown]


def gallery_of(run: Run, rows: NDArray[np.int64], predictions: Predictions, results: Results) -> Gallery:
    """What a report shows of a run's own data.

    Args:
        run: with its data.
        rows: (n,) of the data set, that were evaluated.
        predictions: of these rows.
        results: of the predictions.

    Raises:
        InputError: when an image cannot be read any more.
    """
    share = Share.of(len(results.attributes))
    attributes = range(min(len(results.attributes), MOST_IMAGES))
    found = [_mistakes(j, rows, predictions, results.attributes[j], share) for j in attributes]
    mined = _mined(run)
    maker = _Maker(run, [plan for rare, pairs, _ in found for plan in (*rare, *pairs)] + mined)
    mistakes = [
        Mistakes(results.attributes[j].name, maker.strips(rare), maker.strips(pairs), left)
        for j, (rare, pairs, left) in enumerate(found)
        if rare or pairs
    ]
    strips = maker.strips(mined)
    return Gallery(maker.size, tuple(maker.pictures), tuple(mistakes), len(results.attributes), strips)


def _mistakes(
    column: int, rows: NDArray[np.int64], predictions: Predictions, attribute: AttributeResults, share: Share
) -> tuple[list[_Plan], list[_Plan], int]:
    """Rare classes, confused pairs, and how many rare classes with mistakes are left out."""
    scores, true = predictions.of_attribute(column)
    decided, own = predictions.decided(column), rows[predictions.labelled(column)]
    sure = np.take_along_axis(scores, decided[:, None], 1)[:, 0]
    counts, classes = predictions.train_counts[column, : len(attribute.classes)], attribute.classes

    def images(wrong: Wrong, named: bool) -> list[_Shown]:
        return [
            _Shown(
                int(own[i]),
                (f"taken for {classes[decided[i]].name}, " if named else "") + _score(float(sure[i])),
                (column, int(decided[i])),
            )
            for i in wrong.places
        ]

    rare = [
        _Plan(classes[w.true].name, _of_class(w, attribute), images(w, True))
        for w in surest_of_rare_classes(true, decided, sure, counts, share.classes, share.each)
    ]
    pairs = [
        _Plan(f"{classes[w.true].name} taken for {classes[k].name}", _of_pair(w, attribute), images(w, False))
        for w, k in surest_of_pairs(true, decided, sure, share.pairs, share.each)
    ]
    with_mistakes = len(set(true[true != decided].tolist()) & set(rare_classes(counts)))
    return rare, pairs, with_mistakes - len(rare)


def _score(share: float) -> str:
    return f"score {percent(share)}\N{NO-BREAK SPACE}%"


def _of_class(wrong: Wrong, attribute: AttributeResults) -> str:
    of = attribute.classes[wrong.true]
    trained = count(of.train_count, "training image")
    return f"{trained}; {wrong.images} of {count(of.test_count, 'test image')} wrong"


def _of_pair(wrong: Wrong, attribute: AttributeResults) -> str:
    of = attribute.classes[wrong.true]
    return f"{count(wrong.images, 'image')}, {percent(wrong.images / of.test_count)} % of the class"


def _mined(run: Run) -> list[_Plan]:
    """What its training mined most often; nothing where no such file is there."""
    if not run.folder.mined.exists():
        return []
    kept, data = MINED.read(run.folder.mined), run.data.dataset
    sides = kept.positives[:MOST_MINED], kept.negatives[:MOST_MINED]
    rows = _rows_of({image.id for side in sides for image in side}, data)
    titles = {
        "Hard positives": "images of a rare class that were farthest from the others of it",
        "Hard negatives": "images of other classes that were nearest to a rare class",
    }
    return [
        _Plan(title, note, [_one_mined(image, rows[image.id], data) for image in side if image.id in rows])
        for side, (title, note) in zip(sides, titles.items(), strict=True)
        if side
    ]


def _rows_of(ids: set[str], data: Dataset) -> dict[str, int]:
    return {name: row for row, name in enumerate(data.ids) if name in ids}


def _one_mined(image: MinedImage, row: int, data: Dataset) -> _Shown:
    pairs = f"in {image.times:,} pairs" if image.times > 1 else "in 1 pair"
    label = int(data.labels[row, 0])
    if data.schema.num_attributes > 1 or label == UNLABELLED:
        return _Shown(row, pairs)
    return _Shown(row, f"{data.schema.attributes[0].classes[label]}, {pairs}")


class _Maker:
    """Makes pictures of all images that are planned, each once; the last ones are left out where all together
    would be too large."""

    def __init__(self, run: Run, plans: Sequence[_Plan]) -> None:
        self.size = thumbnail_size(run.card.image_size)
        self.pictures: list[Picture] = []
        self._numbers: dict[int, int] = {}
        shown = [image for plan in plans for image in plan.images]
        self._read(run, list(dict.fromkeys(image.row for image in shown)))
        self._heat = _heat(run, [i for i in shown if i.seen is not None and i.row in self._numbers])

    def strips(self, plans: Sequence[_Plan]) -> tuple[Strip, ...]:
        """The strips of which there is a picture."""
        made = (Strip(plan.title, plan.note, tuple(map(self._example, self._kept(plan)))) for plan in plans)
        return tuple(strip for strip in made if strip.examples)

    def _kept(self, plan: _Plan) -> list[_Shown]:
        return [image for image in plan.images if image.row in self._numbers]

    def _example(self, image: _Shown) -> Example:
        return Example(self._numbers[image.row], image.caption, self._heat.get((image.row, image.seen)))

    def _read(self, run: Run, rows: list[int]) -> None:
        left, ids = MOST_BYTES, run.data.dataset.ids  # paths would tell of the folders of whoever trained it
        for own, images in _images(run, self.size, rows):
            for row, image in zip(own, images.permute(0, 2, 3, 1).numpy()):
                jpeg = as_jpeg(image)
                left -= len(jpeg)
                if left < 0:
                    return
                self._numbers[row] = len(self.pictures)
                self.pictures.append(Picture(jpeg, ids[row]))


def _images(run: Run, size: tuple[int, int], rows: list[int]) -> Iterator[tuple[list[int], Tensor]]:
    """Rows and their uint8 images in a size, a few at a time."""
    loader = ImageLoader(run.data.dataset, size, bits=run.card.bits, cache_bytes=0)
    groups = [rows[start : start + _AT_ONCE] for start in range(0, len(rows), _AT_ONCE)]
    for own, (images, _, _) in zip(groups, loader.batches(groups), strict=True):
        yield own, images


def _heat(run: Run, shown: Sequence[_Shown]) -> dict[tuple[int, tuple[int, int] | None], bytes]:
    """By row, attribute and class, where the network looked; nothing where no map of it says so."""
    model, card = run.learner.model, run.card
    if not has_maps(model) or not DECISIONS[run.decision].by_logits:
        return {}
    run.learner.eval()
    of_row: dict[int, list[tuple[int, int]]] = {}
    for image in shown:
        if image.seen is not None and image.seen not in of_row.setdefault(image.row, []):
            of_row[image.row].append(image.seen)
    found: dict[tuple[int, tuple[int, int] | None], bytes] = {}
    for own, images in _images(run, card.image_size, list(of_row)):
        pixels = normalise(images.to(run.fabric.device), card.mean, card.std)
        keys = [(row, seen) for row in own for seen in of_row[row]]
        of = torch.tensor([i for i, row in enumerate(own) for _ in of_row[row]], device=pixels.device)
        attributes, classes = torch.tensor([seen for _, seen in keys], device=pixels.device).unbind(1)
        maps = class_activation(model, pixels, of, attributes, classes).cpu().numpy()
        if maps[0].size < LEAST_PLACES:
            return {}
        found |= {key: as_heat(activation) for key, activation in zip(keys, maps, strict=True)}
    return found
