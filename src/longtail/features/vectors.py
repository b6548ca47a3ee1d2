"""The vectors of images in place of the images: from the cache, or computed once and kept there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import repeat
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from longtail.data.dataset import Dataset
from longtail.features.cache import FeatureCache, Maker, digest_of, trim
from longtail.images.load import HostBatch, ImageLoader, Rows, Unreadable
from longtail.images.normalise import normalise
from longtail.models.backbones import TIMM_PREFIX
from longtail.ranks import in_all_ranks
from longtail.settings import MOST_BITS
from longtail.threads import each

PIECE, SMALL_PIECE = 2048, 256
"""Images whose vectors are computed, and then kept, at a time: what a stop can lose; and of few images."""

BATCH = 64
"""Images that the network sees at a time: more are no faster on a CPU, and take more memory."""

METHOD = "3"
"""Changes with how an image becomes a vector, so that older ones do not count."""

UNKNOWN = -1
"""Place of a vector that was not looked for."""

Compute = Callable[[NDArray[np.int64]], Tensor]
"""Rows of a data set -> (n, B) vectors of their images, on the CPU."""


class FixedNetwork(nn.Module):
    """A network that stays as it is: uint8 images -> vectors.

    Args:
        backbone: normalised images -> (N, B).
        mean, std: that it expects, of pixels in [0, 1].
        size: (height, width) of the images.
        mirrored: whether it is shown them mirrored left to right.
        bits: that the values of images of 16 bits use.
        name: of the backbone, where arguments in it change what the same weights compute.
    """

    def __init__(
        self,
        backbone: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        size: tuple[int, int],
        mirrored: bool = False,
        bits: int = MOST_BITS,
        name: str = "",
    ) -> None:
        super().__init__()
        self.backbone = backbone.to(memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]
        self.mean, self.std, self.size, self.mirrored = tuple(mean), tuple(std), size, mirrored
        self.bits, self.name = bits, name

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) uint8 -> (N, B), in float32 whatever the precision of the training."""
        with torch.autocast(images.device.type, enabled=False):
            shown = images.flip(-1) if self.mirrored else images
            return self.backbone(normalise(shown, self.mean, self.std))

    def of_mirrored(self) -> FixedNetwork:
        """The same network, shown mirrored images."""
        return FixedNetwork(self.backbone, self.mean, self.std, self.size, True, self.bits, self.name)

    @property
    def maker(self) -> Maker:
        """What it is, for people."""
        published: object = getattr(self.backbone, "pretrained_cfg", None)  # of timm
        name = published.get("architecture") if isinstance(published, dict) else None
        made = datetime.now(UTC).isoformat(timespec="seconds")
        return Maker(str(name or type(self.backbone).__name__), self.size, self.mirrored, made)

    @property
    def digest(self) -> str:
        """Of everything that a vector depends on, but the image."""
        seen = (METHOD, self.mean, self.std, self.size, *["mirrored"] * self.mirrored)
        seen = seen if self.bits == MOST_BITS else (*seen, self.bits)
        seen = (*seen, self.name) if self.name.startswith(TIMM_PREFIX) else seen
        hashed = blake2b(repr(seen).encode(), digest_size=16)
        for name, tensor in sorted(self.backbone.state_dict().items()):
            hashed.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            hashed.update(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return hashed.hexdigest()


class VectorLoader:
    """Gives vectors and labels of any rows, with the face of `ImageLoader`.

    An image is decoded only if the cache has no vector of exactly this file. Memory: tables of digests, about
    500 bytes per image; the vectors stay on disk and are read a batch at a time.

    Args:
        images: decodes the images that have no vector yet.
        dataset: whose images they are.
        cache: of the network's vectors.
        compute: what the network makes of images.
        write: whether computed vectors are kept on disk; one process does that for all.
        shared: whether several processes of one job look for the same rows, and compute missing vectors
            together. Jobs that fill a cache at once begin in different places, and leave out what others
            have kept meanwhile.
        mirror: gives the vectors of the mirrored images, where a training sees those too.
    """

    cached = True
    """Nothing is decoded, so there is nothing to crop."""

    def __init__(
        self,
        images: ImageLoader,
        dataset: Dataset,
        cache: FeatureCache,
        compute: Compute,
        write: bool = True,
        mirror: VectorLoader | None = None,
        shared: bool = False,
    ) -> None:
        self._images = images
        self._dataset = dataset
        self._cache = cache
        self._compute = compute
        self._write, self._shared = write, shared
        self._digests: dict[int, bytes] = {}
        self._places = np.full((len(dataset), 2), UNKNOWN)
        self.mirror = mirror
        self.wait_seconds = 0.0

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images behind the vectors."""
        return self._images.size

    @property
    def unreadable(self) -> list[Unreadable]:
        """See `ImageLoader`."""
        return self._images.unreadable

    def readable(self, indices: Rows) -> NDArray[np.int64]:
        """The rows whose images can be decoded, in the order given; afterwards all of them have vectors."""
        found = self.decodable(indices)
        # where there is none, the images say why
        return found if len(found) else self._images.readable(indices)

    def decodable(self, indices: Rows) -> NDArray[np.int64]:
        """The same as `readable`, but there may be none; see `ImageLoader`."""
        rows = np.asarray(indices, np.int64)
        known = self._known(rows)
        new = self._images.decodable(rows[~known])
        self._expect_digests(new)
        alike = np.unique([self._digests[row] for row in new.tolist()], return_index=True)[1]
        first = new[np.sort(alike)]  # of images that are equal
        self._fill(first)
        found = rows[known | np.isin(rows, new)]
        self._places[found] = self._cache.places([self._digests[row] for row in found.tolist()])
        return found

    def batches(
        self, batch_indices: Iterable[Rows], parts: Iterable[Tensor] | None = None
    ) -> Iterator[HostBatch]:
        """One batch of vectors for every group of rows, in order; float32 (N, B) in place of images.

        What `parts` are of images, here says which images are mirrored: (N,) bool for each batch.
        """
        for indices, mirrored in zip(batch_indices, repeat(None) if parts is None else parts):
            rows = np.asarray(indices, np.int64)
            vectors = self.vectors(rows) if mirrored is None else self._views(rows, mirrored)
            yield vectors, torch.from_numpy(self._dataset.labels[rows]), torch.from_numpy(rows)

    def vectors(self, rows: NDArray[np.int64]) -> Tensor:
        """(n, B) float32 of images that `readable` has seen, or sees now.

        Raises:
            KeyError: when an image has no vector, because it cannot be decoded.
        """
        if (self._places[rows] == UNKNOWN).any() and len(self.readable(rows)) < len(rows):
            raise KeyError("an image that cannot be decoded")
        return torch.from_numpy(self._cache.at(self._places[rows])).float()  # faster than NumPy's

    def _views(self, rows: NDArray[np.int64], mirrored: Tensor) -> Tensor:
        if self.mirror is None:
            raise ValueError("parts: there are no vectors of mirrored images")
        found, other = self.vectors(rows), mirrored.numpy()
        found[mirrored] = self.mirror.vectors(rows[other])
        return found

    def _known(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which rows have a vector; the content of all of them is looked at once."""
        new = [row for row in rows.tolist() if row not in self._digests]
        for row, digest in zip(new, each(lambda place: self._digest(new[place]), len(new)), strict=True):
            if digest is not None:
                self._digests[row] = digest
        known = np.array([self._digests.get(row, b"") in self._cache for row in rows.tolist()], np.bool_)
        # other machines may have other caches, and another job may fill one right now
        return in_all_ranks(torch.from_numpy(known)).numpy() if self._shared else known

    def _digest(self, row: int) -> bytes | None:
        try:
            return digest_of(self._dataset.images.read(row))
        except OSError:
            return None  # the decoder says what is wrong with it

    def _expect_digests(self, rows: NDArray[np.int64]) -> None:
        """Have the decoder, which looks at no image before it is asked for, say why a file cannot be read."""
        lost = np.array([row for row in rows.tolist() if row not in self._digests], np.int64)
        if len(lost):
            for _ in self._images.batches([lost]):
                self._known(lost)  # it can be read by now

    def _fill(self, rows: NDArray[np.int64]) -> None:
        piece = min(PIECE, max(SMALL_PIECE, len(rows) // 16))
        pieces = [rows[start : start + piece] for start in range(0, len(rows), piece)]
        if self._shared or not pieces:
            for own in pieces:
                self._keep(own)
            return
        turn = os.getpid() % len(pieces)
        for own in (*pieces[turn:], *pieces[:turn]):
            self._cache.refresh()
            new = self._cache.missing([self._digests[row] for row in own.tolist()])
            if len(new):
                self._keep(own[new])

    def _keep(self, rows: NDArray[np.int64]) -> None:
        vectors = self._compute(rows).numpy()
        digests = [self._digests[row] for row in rows.tolist()]
        new = self._cache.missing(digests)
        if len(new):
            self._cache.add([digests[i] for i in new.tolist()], vectors[new], write=self._write)


def open_cache(root: Path, network: FixedNetwork, size: int, trimmed: bool = True) -> FeatureCache:
    """The cache of a network's vectors of `size` numbers; older ones make room where it grew too large.

    Of several processes that open it, one removes them: `trimmed`.
    """
    cache = FeatureCache(root, network.digest, size, network.maker)
    if trimmed:
        trim(root)
    return cache
