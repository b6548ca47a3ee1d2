"""Networks of timm by name.

A name may hold arguments, as in "vit_tiny_patch16_224?global_pool=avg": numbers, true and false as JSON has
them, everything else as text.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import torch
from torch import nn

from longtail.errors import InputError, first_line
from longtail.models.backbones import TIMM_PREFIX, Expected
from longtail.models.weights import CLASSIFIERS, Weights

CHANNELS = 3
"""Of the images that pretrained weights are for."""

DECIDED = ("num_classes", "in_chans", "img_size")
"""Arguments of timm's networks that are given here."""

LOADING = ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir")
"""Arguments of timm that say where weights come from; no name decides them."""


@dataclass(frozen=True)
class Described:
    """What is said of pretrained weights.

    Attributes:
        expected: of images.
        classifiers: names of the layers on top of the backbone.
    """

    expected: Expected
    classifiers: tuple[str, ...]

    @classmethod
    def of(cls, said: Any, fixed: bool, source: str) -> Described:
        """From timm's words, which have the same names in Python and in a config.json.

        Raises:
            InputError: when the weights are for images of other than three channels.
        """
        channels, height, width = said.input_size
        if {channels, len(said.mean), len(said.std)} != {CHANNELS}:
            raise InputError(f"{source}: its weights are for {channels} channels, expected {CHANNELS}")
        names = (said.classifier,) if isinstance(said.classifier, str) else said.classifier
        expected = Expected(tuple(said.mean), tuple(said.std), (height, width), fixed)
        return cls(expected, tuple(names or CLASSIFIERS))


def described(name: str) -> Described:
    """What timm says of the weights that it has for a network.

    Raises:
        InputError: when timm is not installed or cannot be imported, or has no such network.
    """
    source, architecture = source_of(name), name.partition("?")[0]
    said = imported(architecture, source).get_pretrained_cfg(architecture)
    if said is None:
        raise InputError(f"{source}: timm does not say what this network expects of images; choose another")
    return Described.of(said, bool(said.fixed_input_size), source)


def build_model(
    name: str,
    channels: int = CHANNELS,
    image_size: tuple[int, int] | None = None,
    weights: Weights | None = None,
) -> tuple[nn.Module, int]:
    """A network by its name: images -> vectors, and the size of a vector.

    Layers that depend on the size of the images are built for that of the weights, and brought to
    `image_size` when the weights are in them.

    Raises:
        InputError: as of `described`, when the weights are another network's, or it does not take
            images of that size.
    """
    own = described(name).expected
    trunk, size = created(name, channels), own.size
    for wanted, fills in ((weights and weights.size, weights), (image_size, None)):
        if wanted is not None and wanted != size:
            size = wanted
            _bring_to(size, trunk, own, name)
        if fills is not None:
            fills.load_into(trunk, TIMM_PREFIX + name)
    return trunk, _vector_length(trunk, channels, size, name)


def created(name: str, channels: int = CHANNELS, pretrained: bool = False) -> nn.Module:
    """The network of a name without a classifier, with random weights or timm's own.

    Raises:
        InputError: as of `described`, and when the arguments do not fit it or its weights cannot be had.
    """
    source = source_of(name)
    architecture, _, query = name.partition("?")
    create, arguments = imported(architecture, source).create_model, arguments_of(query, source)
    try:
        return create(architecture, pretrained=pretrained, num_classes=0, in_chans=channels, **arguments)
    except Exception as error:  # what arguments, or the download met: no network, no such file, no room
        if not pretrained:
            raise InputError(f"{source}: timm cannot build it ({first_line(error)})") from None
        raise InputError(
            f"{source}: its weights cannot be had ({first_line(error)}); connect once, name a file with "
            "--weights, or start without them: --from-scratch"
        ) from None


def imported(architecture: str, source: str) -> Any:
    """The package timm, which knows a network of that name; messages begin with `source`.

    Raises:
        InputError: when it is not installed, cannot be imported, or has no such network.
    """
    build = torch.__version__.partition("+")[2]
    try:
        import timm  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        first = (
            f"; first torchvision, from where torch {torch.__version__} came from" if build == "cpu" else ""
        )
        raise InputError(
            f"{source}: needs timm ({error}); install it with: pip install 'longtail[timm]'{first}"
        ) from None
    except (RuntimeError, OSError, AttributeError) as error:  # "operator torchvision::nms does not exist"
        raise InputError(
            f"{source}: torchvision does not fit torch {torch.__version__} ({first_line(error)}); install "
            "both anew from one package index: pip install --force-reinstall torch torchvision"
        ) from None
    if not timm.is_model(architecture):
        close = ", ".join(timm.list_models(f"*{architecture[:6]}*")[:3]) or "see timm.list_models()"
        raise InputError(f"{source}: timm has no such model; close names: {close}")
    return timm


def source_of(name: str) -> str:
    """What messages call a network that is asked for by name."""
    return f"--backbone {TIMM_PREFIX}{name}"


def arguments_of(query: str, source: str) -> dict[str, Any]:
    """The arguments in a network's name, behind its question mark; messages begin with `source`.

    Raises:
        InputError: when one of them is not for a name to decide.
    """
    found = {name: _value(value) for name, value in parse_qsl(query)}
    if refused := found.keys() & {*DECIDED, *LOADING}:
        raise InputError(f"{source}: {min(refused)} is given by longtail, leave it out")
    return found


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text, type=bool | int | float)
    except msgspec.DecodeError:
        return text


def _bring_to(size: tuple[int, int], trunk: Any, own: Expected, name: str) -> None:
    """Change layers that depend on the size of the images; timm resamples what they know of places."""
    if not own.fixed:
        return
    if not hasattr(trunk, "set_input_size"):
        height, width = own.size
        raise InputError(
            f"--image-size: {TIMM_PREFIX}{name} takes images of {height}x{width} only; leave the flag out"
        )
    with _one_line(size, name):
        trunk.set_input_size(img_size=size)


def _vector_length(trunk: nn.Module, channels: int, size: tuple[int, int], name: str) -> int:
    """How long a vector is; networks with layers behind the pooling do not say it in one way."""
    with _one_line(size, name), torch.no_grad():
        vectors = trunk.eval()(torch.zeros(1, channels, *size))
    trunk.train()
    return int(vectors.shape[1])


@contextmanager
def _one_line(size: tuple[int, int], name: str) -> Generator[None]:
    """Says that a network does not take images of that size; timm's own warnings are not for the user."""
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except (RuntimeError, ValueError, AssertionError, LookupError) as error:
        height, width = size
        raise InputError(
            f"--image-size: {TIMM_PREFIX}{name} does not take images of {height}x{width} "
            f"({first_line(error)})"
        ) from None
