"""Where a network of timm and its weights come from: timm itself, a folder, or a repository of the hub."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import msgspec
from msgspec import Struct
from torch import nn

from longtail.errors import InputError, first_line
from longtail.models.backbones import IN_FOLDER, ON_HUB, TIMM_PREFIX
from longtail.models.timm_models import (
    DECIDED,
    Described,
    created,
    described,
    imported,
    source_of,
)
from longtail.models.weights import CLASSIFIERS, Weights, read_tensors

FILES = ("model.safetensors", "pytorch_model.bin")
"""Names of the weights beside a config.json, in the order in which they are looked for."""

Fetch = Callable[[str], Path]
"""The name of a file beside a config.json -> where it lies on this machine."""


class _Pretrained(Struct):
    """What a config.json says of its weights."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    input_size: tuple[int, int, int]
    classifier: str | tuple[str, ...] | None = CLASSIFIERS


class _Config(Struct):
    """A config.json, as far as it is read."""

    architecture: str
    pretrained_cfg: _Pretrained
    model_args: dict[str, str | bool | int | float | list[int] | None] = {}


@dataclass(frozen=True)
class TimmModel:
    """A network of timm whose weights are not read yet.

    Attributes:
        name: of the network in timm, with its arguments, from which it can be built again.
        described: what is said of its weights.
        source: what messages call it.
        fetch: brings the files beside its config.json; None where timm itself knows the weights.
    """

    name: str
    described: Described
    source: str
    fetch: Fetch | None = None

    def weights(self) -> Weights:
        """Its pretrained weights, from the folder, the hub, or timm's own place.

        Raises:
            InputError: when they cannot be had.
        """
        if self.fetch is None:
            tensors = created(self.name, pretrained=True).state_dict()
        else:
            tensors = read_tensors(_first(self.fetch, self.source), self.source)
        return Weights(tensors, self.source, self.described.expected.size, self.described.classifiers)


def find_model(backbone: str) -> TimmModel:
    """The network of a backbone's name that begins with "timm:".

    Raises:
        InputError: when timm is not installed or cannot be imported, has no such network, or the folder or
            the hub has no usable description of one.
    """
    if backbone.startswith(IN_FOLDER):
        return _by_config(partial(_in_folder, Path(backbone.removeprefix(IN_FOLDER))), backbone)
    if backbone.startswith(ON_HUB):
        return _by_config(partial(_on_hub, backbone.removeprefix(ON_HUB)), backbone)
    name = backbone.removeprefix(TIMM_PREFIX)
    return TimmModel(name, described(name), source_of(name))


def _by_config(fetch: Fetch, backbone: str) -> TimmModel:
    """The network that a config.json describes."""
    source = f"--backbone {backbone}"
    try:
        content = fetch("config.json").read_bytes()
    except Exception as error:  # whatever the hub met: no network, no such repository, no room
        raise InputError(
            f"{source}: its config.json cannot be had ({first_line(error)}); expected a folder, or while "
            "connected a repository, of a network that timm wrote"
        ) from None
    try:
        config = msgspec.json.decode(content, type=_Config)
    except msgspec.DecodeError as error:
        raise InputError(f"{source}: config.json does not describe a network of timm ({error})") from None
    known = imported(config.architecture, source).get_pretrained_cfg(config.architecture)
    fixed = known is not None and bool(known.fixed_input_size)
    said = Described.of(config.pretrained_cfg, fixed, source)
    return TimmModel(_with_arguments(config), said, source, fetch)


def _with_arguments(config: _Config) -> str:
    """The name of the network, with the arguments if they make it another than timm has under its name."""
    arguments = {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in config.model_args.items()
        if name not in DECIDED and value is not None
    }
    if not arguments:
        return config.architecture
    full = f"{config.architecture}?{urlencode(arguments)}"
    plain, special = map(created, (config.architecture, full))
    return config.architecture if _structure(plain) == _structure(special) else full


def _structure(network: nn.Module) -> list[tuple[object, ...]]:
    """Everything about a network but the values of its tensors: shapes, modules and their settings."""
    plain = (bool, int, float, str, tuple, type(None))
    shapes = [(name, tuple(tensor.shape)) for name, tensor in network.state_dict().items()]
    settings = [
        (name, type(module), {k: v for k, v in vars(module).items() if k[0] != "_" and isinstance(v, plain)})
        for name, module in network.named_modules()
    ]
    return [*shapes, *settings]


def _in_folder(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}")
    return path


def _on_hub(repository: str, name: str) -> Path:
    from huggingface_hub import hf_hub_download  # pyright: ignore[reportMissingImports]

    owner_and_name, _, revision = repository.partition("@")
    return Path(hf_hub_download(owner_and_name, name, revision=revision or None))


def _first(fetch: Fetch, source: str) -> Path:
    """The file of weights that is there."""
    reasons: list[str] = []
    for name in FILES:
        try:
            return fetch(name)
        except Exception as error:  # whatever the hub met
            reasons.append(first_line(error))
    raise InputError(f"{source}: neither {' nor '.join(FILES)} can be had ({reasons[0]})")
