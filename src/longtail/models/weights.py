"""Weights of a backbone from a file: read without running code, and loaded whole or not at all."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from longtail.errors import InputError

WRAPPERS = ("module.", "_orig_mod.", "model.", "backbone.")
"""What names begin with when the backbone was part of something larger, the outermost first."""

CLASSIFIERS = ("fc", "classifier", "head", "head_dist")
"""Usual names of the layer that makes classes of vectors."""

_DAMAGE = (
    *(SafetensorError, UnpicklingError, RuntimeError, EOFError, LookupError, ValueError, struct.error),
    *(AssertionError, AttributeError, OverflowError, TypeError),
)
"""What readers raise on files that are cut short or changed."""

_CONTAINERS = ("state_dict", "model")
"""Keys of a training's checkpoint below which its weights lie."""


@dataclass(frozen=True, eq=False)
class Weights:
    """Tensors of a backbone.

    Attributes:
        tensors: by name; those of a classifier on top may be among them.
        source: what messages call them, a flag and its value.
        size: (height, width) of the images that they were trained with, None where it does not matter.
        classifiers: names of the layers that are left out.
    """

    tensors: Mapping[str, Tensor]
    source: str
    size: tuple[int, int] | None = None
    classifiers: tuple[str, ...] = CLASSIFIERS

    def load_into(self, trunk: nn.Module, backbone: str) -> None:
        """Give a backbone these weights.

        Raises:
            InputError: when one of its tensors is missing, has another shape or is not finite, or there are
                tensors that it has no place for, other than those of a classifier.
        """
        own = trunk.state_dict()
        found = _unwrapped(self.tensors, own)
        # Files of old versions of torch lack the counts of batches, which nothing is computed from.
        expected = [name for name in own if name in found or not name.endswith("num_batches_tracked")]
        for name in expected:
            fault = _fault(name, found.get(name), own[name])
            if fault is not None:
                raise InputError(f"{self.source}: not the weights of {backbone}, {fault}")
        tops = tuple(f"{name.partition('.')[0]}." for name in self.classifiers)  # with a norm below them
        rest = next((name for name in found if name not in own and not name.startswith(tops)), None)
        if rest is not None:
            raise InputError(f"{self.source}: not the weights of {backbone}, which has no {rest}")
        trunk.load_state_dict({name: found.get(name, tensor) for name, tensor in own.items()})


def read_tensors(path: Path, source: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a state dict that torch saved; no code in it is run.

    Raises:
        InputError: when the file is missing, damaged, or holds something else; it begins with `source`.
    """
    if path.is_dir():
        raise InputError(f"{source}: expected a file of weights, got a folder")
    try:
        found = load_file(path) if path.suffix == ".safetensors" else _unpickled(path)
    except FileNotFoundError:
        raise InputError(f"{source}: there is no such file") from None
    except (*_DAMAGE, OSError):
        raise InputError(
            f"{source}: damaged, or neither safetensors nor a state dict of torch; nothing in it was run"
        ) from None
    tensors = _tensors(found)
    if not tensors:
        raise InputError(f"{source}: expected the tensors of a network by name, found none")
    return tensors


def _unpickled(path: Path) -> Any:
    with warnings.catch_warnings(action="ignore"):  # about pickles of other programs; they are refused
        return torch.load(path, map_location="cpu", weights_only=True)


def _tensors(found: Any) -> dict[str, Tensor]:
    """The tensors by name in what was read, or in the part of it that holds them."""
    if not isinstance(found, dict):
        return {}
    parts = cast("dict[Any, Any]", found)
    inner = next((parts[key] for key in _CONTAINERS if isinstance(parts.get(key), dict)), None)
    if inner is not None:
        return _tensors(inner)
    return {str(name): tensor for name, tensor in parts.items() if isinstance(tensor, Tensor)}


def _unwrapped(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same under the names that the backbone itself has for them."""
    found = dict(tensors)
    for wrapper in WRAPPERS:
        if not own.keys() & found.keys():
            found = {name.removeprefix(wrapper): tensor for name, tensor in found.items()}
    return found


def _fault(name: str, found: Tensor | None, own: Tensor) -> str | None:
    """What is wrong with a tensor of the file, if anything."""
    if found is None:
        return f"{name} {tuple(own.shape)} is missing"
    if found.shape != own.shape:
        return f"{name}: expected {tuple(own.shape)}, got {tuple(found.shape)}"
    if not bool(found.isfinite().all()):
        return f"{name} holds values that are not finite"
    return None
