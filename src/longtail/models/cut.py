"""A backbone in two parts: what stays as it is, and the last stage, which learns."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from longtail.errors import InputError
from longtail.models.halves import halves_of
from longtail.models.lite0 import Lite0
from longtail.models.resnet import ResNet


@dataclass(frozen=True, eq=False)
class Cut:
    """The parts share their layers with the backbone: tail(stem(images)) are its vectors.

    Attributes:
        stem: images -> maps (N, *shape), or rows of numbers.
        tail: maps -> vectors.
        shape: of the map of one image.
    """

    stem: nn.Module
    tail: nn.Module
    shape: tuple[int, ...]

    def vectors(self, flat: Tensor) -> Tensor:
        """(N, numbers) maps in a row -> (N, B)."""
        maps = flat.unflatten(1, self.shape)
        channels_last = maps.dim() == 4
        return self.tail(maps.contiguous(memory_format=torch.channels_last) if channels_last else maps)


def cut(backbone: nn.Module, image: tuple[int, int, int], name: str) -> Cut:
    """A backbone cut before its last stage.

    Args:
        backbone: images -> vectors; `name` is for messages.
        image: channels, height and width.

    Raises:
        InputError: when it has no known last stage.
    """
    images = torch.zeros(1, *image, device=next(backbone.parameters()).device)
    backbone.eval()
    halves = backbone.halves(images) if isinstance(backbone, Lite0 | ResNet) else halves_of(backbone, images)
    if halves is None:
        raise InputError(
            f"--finetune last: {name} has no stage that could learn alone; --finetune all trains all of it"
        )
    with torch.no_grad():
        return Cut(*halves, tuple(halves[0](images).shape[1:]))


def fixed_part(backbone: nn.Module, vector: int, cut: Cut | None) -> tuple[nn.Module, int]:
    """What of a backbone stays as it is, images -> rows of numbers, and how many of them an image has.

    Args:
        backbone: images -> vectors of `vector` numbers.
        cut: its parts, where its last stage learns.
    """
    if cut is None:
        return backbone, vector
    maps = FlatMaps(cut)
    return maps, maps.numbers


class FlatMaps(nn.Module):
    """Images -> the maps of a stem, those of an image in one row, as a cache keeps them."""

    def __init__(self, cut: Cut) -> None:
        super().__init__()
        self.stem = cut.stem
        self.numbers = math.prod(cut.shape)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, numbers)."""
        return self.stem(images).flatten(1)
