"""Images as Python programs have them: paths, Pillow images, arrays, tensors, lists and iterators."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from longtail.data.unlabelled import BLOCK, Block, ManifestReading, blocks_of, open_images
from longtail.errors import InputError
from longtail.images.decode import pixels_of
from longtail.training.watcher import Watcher

if TYPE_CHECKING:
    from PIL.Image import Image

OneImage: TypeAlias = "str | Path | Image | NDArray[np.uint8] | Tensor"
"""An image; a path may also be a folder or a zip archive, an array or a tensor several images of one size."""

Images: TypeAlias = "OneImage | Iterable[OneImage]"


class GivenStore:
    """Images in memory, (H, W, C) uint8 of any size, with names."""

    def __init__(self, images: Sequence[NDArray[np.uint8]], names: Sequence[str]) -> None:
        self._images = images
        self._names = names

    def __len__(self) -> int:
        return len(self._images)

    def name(self, index: int) -> str:
        """As given."""
        return self._names[index]

    def read(self, index: int) -> NDArray[np.uint8]:
        """As given."""
        return self._images[index]


def image_blocks(images: Images, watcher: Watcher, bits: int) -> Iterator[Block]:
    """The images in the order given, those that follow each other together.

    Values of 16 bits use `bits` of them.

    Raises:
        InputError: when one is no image that is known.
    """
    for are_paths, group in groupby(enumerate(_several(images)), key=_is_path):
        if are_paths:
            yield from open_images([str(path) for _, path in group], ManifestReading(), watcher.say)
            continue
        arrays, names = list[NDArray[np.uint8]](), list[str]()
        for place, image in group:
            for name, array in _arrays(image, f"image {place}", bits):
                arrays.append(array)
                names.append(name)
                if len(arrays) == BLOCK:
                    yield from blocks_of(GivenStore(arrays, names))
                    arrays, names = [], []
        if arrays:
            yield from blocks_of(GivenStore(arrays, names))


def _several(images: object) -> Iterable[object]:
    if isinstance(images, str | Path | np.ndarray | Tensor) or not isinstance(images, Iterable):
        return [images]
    return cast(Iterable[object], images)


def _is_path(numbered: tuple[int, object]) -> bool:
    return isinstance(numbered[1], str | Path)


def _arrays(image: object, name: str, bits: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """One image, or the images of an array, as (H, W, C) uint8."""
    if hasattr(image, "getexif"):
        yield getattr(image, "filename", "") or name, pixels_of(image, name, bits=bits)  # pyright: ignore[reportArgumentType]
        return
    if isinstance(image, Tensor):  # channels first, as torch has them
        array = image.detach().cpu().numpy()
        array = np.moveaxis(array, -3, -1) if array.ndim >= 3 else array
    elif isinstance(image, np.ndarray):
        array = image
    else:
        raise InputError(
            f"{name}: expected a path, a Pillow image, an array or a tensor, got {type(image).__name__}"
        )
    if array.dtype != np.uint8:
        raise InputError(f"{name}: expected pixels as uint8 from 0 to 255, got {array.dtype}")
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim not in (3, 4) or array.shape[-1] not in (1, 3, 4) or not array.size:
        expected = "(C, H, W) or (N, C, H, W)" if isinstance(image, Tensor) else "(H, W, C) or (N, H, W, C)"
        raise InputError(f"{name}: expected {expected} with 1, 3 or 4 channels, got {tuple(image.shape)}")
    many = array if array.ndim == 4 else array[None]
    for place, one in enumerate(many):
        yield f"{name}[{place}]" if array.ndim == 4 else name, np.ascontiguousarray(one)
