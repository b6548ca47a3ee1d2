"""Whether an exported file decides as `longtail predict` does, on images of many sizes."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from longtail.data.dataset import Dataset, ImageStore
from longtail.data.names import Names
from longtail.data.stores import ArrayStore
from longtail.errors import InputError
from longtail.exporting.onnx_file import Found, Runner
from longtail.images.decode import Pixels, decode, image_size
from longtail.images.load import ImageLoader
from longtail.runs.ruling import Ruling
from longtail.runs.run import Run
from longtail.schema import UNLABELLED

BATCHES = (1, 2, 3, 5, 5) * 4
"""Images of one size that are compared at a time; 64 in all."""

SMALLEST, LARGEST = 16, 512
"""Pixels of the sides that images are given, drawn evenly on a logarithmic scale."""

TIE = 1e-4
"""Two probabilities that are so near are one, and either of their classes may be decided for."""

FAR = 0.01
"""With probabilities that differ by more, it is another model, even where it decides alike."""

Batch = NDArray[np.uint8]


@dataclass(frozen=True)
class Parity:
    """How near an exported file is to its run.

    Attributes:
        images: that were compared.
        made_up: why they are made up, None where they are images of the run's data.
        ties: decisions that differ between two probabilities that are `TIE` apart at most.
        largest: largest difference of a probability.
        torch_ms, file_ms: milliseconds an image, resizing included, one at a time in one thread.
    """

    images: int
    made_up: str | None
    ties: int
    largest: float
    torch_ms: float
    file_ms: float


def check_parity(run: Run, content: bytes, images: list[Batch], made_up: str | None) -> Parity:
    """Compare a file with its run.

    Args:
        run: with the decision that was exported.
        content: the file.
        images: batches (N, H, W, 3), each of a size of its own.
        made_up: see `Parity`.

    Raises:
        InputError: when the file decides otherwise or its probabilities are others, or scores are not finite.
    """
    runner = Runner(content)
    found = [_differences(run.ruling, library_scores(run, batch), runner(batch)) for batch in images]
    wrong, ties, largest = (np.array(part) for part in zip(*found, strict=True))
    total = sum(map(len, images))
    if wrong.any() or not largest.max() <= FAR:
        raise InputError(
            f"{run.folder.path}: not exported, the file decides {wrong.sum()} of {total} images otherwise "
            f"than longtail predict, and probabilities differ by up to {largest.max():.2g}; try another "
            "version of onnxruntime or torch"
        )
    one = [batch[:1] for batch in images]
    with _one_thread():
        slow, fast = (
            _milliseconds(lambda batch: _plain(run, batch), one),
            _milliseconds(Runner(content, threads=1), one),
        )
    return Parity(total, made_up, int(ties.sum()), float(largest.max()), slow, fast)


def library_scores(run: Run, images: Batch) -> NDArray[np.float64]:
    """(N, J, K) scores as `predict` makes them."""
    store = ArrayStore(images, Names(map(str, range(len(images)))))
    labels = np.full((len(images), run.card.schema.num_attributes), UNLABELLED)
    dataset = Dataset("images", run.card.schema, labels, store.names, store)
    return run.scores(np.arange(len(images)), ImageLoader(dataset, run.card.image_size), store.name)


def sample_images(run: Run) -> tuple[list[Batch], str | None]:
    """Images of the run's own data in random sizes; made-up ones, and the reason, where there are none."""
    random = np.random.default_rng(0)
    try:
        own = _readable(run.data.dataset.images, sum(BATCHES), run.card.bits)
        images, reason = chain([next(own)], own), None
    except InputError as error:
        images, reason = _made_up(random), str(error)
    return [
        np.stack([_resized(next(images), size) for _ in range(number)])
        for number, size in ((number, _size(random)) for number in BATCHES)
    ], reason


def _differences(ruling: Ruling, library: NDArray[np.float64], found: Found) -> tuple[int, int, float]:
    """Images that are decided otherwise, decisions that are near to both, and the largest difference."""
    own = ruling.decisions(library)
    differs = own != found.decision
    tied = differs & (_margins(ruling, library, own, found.decision) <= TIE)
    wrong = (differs & ~tied).any(1)
    members = ruling.members(library)
    if members is not None:
        wrong |= ((members != found.members) & ~_borderline(ruling, library)).any((1, 2))
    return int(wrong.sum()), int(tied.sum()), float(np.abs(library - found.probabilities).max())


def _margins(
    ruling: Ruling, scores: NDArray[np.float64], own: NDArray[np.intp], other: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(N, J) how far scores are from deciding otherwise."""
    at_own, at_other = (np.take_along_axis(scores, k[..., None], 2)[..., 0] for k in (own, other))
    found = at_own - at_other
    for j, threshold in ruling.thresholds.items():
        found[:, j] = np.abs(scores[:, j, threshold.rare] - threshold.value)
    return found


def _borderline(ruling: Ruling, scores: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N, J, K) classes that are nearly in a set, or nearly not, and those decided for."""
    typical = ruling.frequencies.typicality(torch.from_numpy(scores)).numpy()
    least = np.array(ruling.smallest_typical)[:, None]
    near = np.abs(typical - least) <= FAR * np.abs(least)
    np.put_along_axis(near, ruling.decisions(scores)[..., None], True, 2)
    return near


def _readable(store: ImageStore, number: int, bits: int) -> Iterator[Pixels]:
    """Whole images from all over a store, again and again; one at a time, as photos of cameras are large.

    Raises:
        InputError: when none of them can be read.
    """
    rows = np.unique(np.linspace(0, len(store) - 1, min(number, len(store))).astype(int)).tolist()
    failure = "there are no images"
    while rows:
        for row in tuple(rows):
            try:
                image = _whole(store, row, bits)
            except (InputError, OSError) as error:
                failure = str(error)
                rows.remove(row)
            else:
                yield image
    raise InputError(failure)


def _whole(store: ImageStore, row: int, bits: int) -> Pixels:
    data, name = store.read(row), store.name(row)
    return decode(data, name, image_size(data, name), bits=bits)


def _made_up(random: np.random.Generator) -> Iterator[Pixels]:
    """Coloured noise that is coarse in some images and fine in others."""
    while True:
        side = int(random.integers(2, 64))
        yield random.integers(0, 256, (side, side, 3), dtype=np.uint8)


def _size(random: np.random.Generator) -> tuple[int, int]:
    height, width = np.exp(random.uniform(np.log(SMALLEST), np.log(LARGEST), 2)).astype(int).tolist()
    return height, width


def _resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
    return F.interpolate(image, size, mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()


@torch.no_grad()
def _plain(run: Run, images: Batch) -> None:
    """What a program in Python would do with one decoded image."""
    pixels = torch.from_numpy(decode(images[0], "", run.card.image_size)).permute(2, 0, 1)[None]
    run.learner.scores(pixels.to(run.fabric.device))


def _milliseconds(work: Callable[[Batch], object], batches: list[Batch]) -> float:
    """Mean of the batches, each after it was done once."""
    spent = 0.0
    for batch in batches:
        work(batch)
        start = time.perf_counter()
        work(batch)
        spent += time.perf_counter() - start
    return 1000 * spent / len(batches)


@contextmanager
def _one_thread() -> Generator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
