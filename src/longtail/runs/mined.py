"""mined.json: the images that a training chose most often as hard positives and hard negatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta
from torch import Tensor

from longtail.documents import Form, Part
from longtail.runs.run import Run

MOST = 50
"""Images that are kept of each side."""

Times = Annotated[int, Meta(ge=1)]


class MinedImage(Part, frozen=True):
    """An image by its name, and in how many pairs of the training it was."""

    id: str
    times: Times


class MinedImages(Part, frozen=True):
    """The images that were mined most often, most often first; fewer where fewer were mined at all."""

    positives: tuple[MinedImage, ...]
    negatives: tuple[MinedImage, ...]


MINED = Form(MinedImages, "mined images", "the mined.json of a run", "train again", indent=1)


def most_mined(times: Tensor, ids: Sequence[str], most: int = MOST) -> MinedImages:
    """Of the counts (2, N) of all images those that were mined most; of equals the first in the data."""
    return MinedImages(*(_most(row, ids, most) for row in times.cpu()))


def keep_mined(run: Run) -> None:
    """Write what a training mined to the folder of its run; nothing where its method mines nothing."""
    choices = run.learner.method.choices
    if choices is not None and run.fabric.is_global_zero:
        MINED.write(run.folder.mined, most_mined(choices.times, run.data.dataset.ids))


def _most(times: Tensor, ids: Sequence[str], most: int) -> tuple[MinedImage, ...]:
    order: list[int] = times.argsort(descending=True, stable=True)[:most].tolist()
    return tuple(MinedImage(ids[row], int(times[row])) for row in order if times[row])
