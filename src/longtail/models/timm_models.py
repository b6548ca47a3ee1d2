"""Networks of timm: found by name, in a folder or on the hub, with what their weights expect.

A network that a config.json changes by arguments has them in its name, as in "vit_tiny?global_pool=avg":
the name alone builds it again.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
import torch
from msgspec import Struct
from torch import nn

from longtail.errors import InputError
from longtail.models.backbones import IN_FOLDER, ON_HUB, TIMM_PREFIX, Expected
from longtail.models.weights import CLASSIFIERS, Weights, read_tensors

FILES = ("model.safetensors", "pytorch_model.bin")
"""Names of the weights beside a config.json, in the order in which they are looked for."""

CHANNELS = 3

DECIDED = (
    "num_classes",
    "in_chans",
    "img_size",
    "pretrained",
    "pretrained_cfg",
    "checkpoint_path",
    "cache_dir",
)
"""Arguments of timm that are given here, and those of its loader; a config.json does not decide them."""

Fetch = Callable[[str], Path]
"""The name of a file beside a config.json -> where it lies on this machine."""


class _Pretrained(Struct):
    """What a config.json says of its weights."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    input_size: tuple[int, int, int]
    classifier: str | tuple[str, ...] = CLASSIFIERS


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
        expected: what its weights expect of images.
        classifiers: names of the layers on top of the backbone.
        source: what messages call it.
        fetch: brings the files beside its config.json; None where timm itself knows the weights.
    """

    name: str
    expected: Expected
    classifiers: tuple[str, ...]
    source: str
    fetch: Fetch | None = None

    def weights(self) -> Weights:
        """Its pretrained weights, from the folder, the hub, or timm's own place.

        Raises:
            InputError: when they cannot be had.
        """
        if self.fetch is None:
            tensors = _created(self.name, CHANNELS, pretrained=True).state_dict()
        else:
            tensors = read_tensors(_first(self.fetch, self.source), self.source)
        return Weights(tensors, self.source, self.expected.size, self.classifiers)


def find_model(backbone: str) -> TimmModel:
    """The network of a backbone's name that begins with "timm:".

    Raises:
        InputError: when timm is not installed or cannot be imported, has no such network, or the folder or
            the hub has no usable description of one.
    """
    source = f"--backbone {backbone}"
    if backbone.startswith(IN_FOLDER):
        return _described(partial(_in_folder, Path(backbone.removeprefix(IN_FOLDER))), source)
    if backbone.startswith(ON_HUB):
        return _described(partial(_on_hub, backbone.removeprefix(ON_HUB)), source)
    name = backbone.removeprefix(TIMM_PREFIX)
    architecture = name.partition("?")[0]
    found = _timm(architecture, source).get_pretrained_cfg(architecture)
    if found is None:
        raise InputError(f"{source}: timm does not say what this network expects of images; choose another")
    expected = _expected(found.mean, found.std, found.input_size, found.fixed_input_size, source)
    return TimmModel(name, expected, _names(found.classifier), source)


def build_model(
    name: str,
    channels: int = CHANNELS,
    image_size: tuple[int, int] | None = None,
    weights: Weights | None = None,
) -> tuple[nn.Module, int]:
    """A network by its name in timm: images -> vectors, and the size of a vector.

    Layers that depend on the size of the images are built for that of the weights, and brought to
    `image_size` when the weights are in them.

    Raises:
        InputError: as of `find_model`, when the weights are another network's, or it does not take
            images of that size.
    """
    own = find_model(TIMM_PREFIX + name).expected
    trunk, size = _created(name, channels, pretrained=False), own.size
    for wanted, fills in ((weights and weights.size, weights), (image_size, None)):
        if wanted is not None and wanted != size:
            size = wanted
            _bring_to(size, trunk, own, name)
        if fills is not None:
            fills.load_into(trunk, TIMM_PREFIX + name)
    return trunk, _vector_length(trunk, channels, size, name)


def _described(fetch: Fetch, source: str) -> TimmModel:
    """The network that a config.json describes."""
    try:
        content = fetch("config.json").read_bytes()
    except Exception as error:  # whatever the hub met: no network, no such repository, no room
        raise InputError(
            f"{source}: its config.json cannot be had ({_first_line(error)}); expected a folder or "
            "repository of a network that timm wrote"
        ) from None
    try:
        config = msgspec.json.decode(content, type=_Config)
    except msgspec.DecodeError as error:
        raise InputError(f"{source}: config.json does not describe a network of timm ({error})") from None
    known = _timm(config.architecture, source).get_pretrained_cfg(config.architecture)
    own = config.pretrained_cfg
    fixed = known is not None and known.fixed_input_size
    expected = _expected(own.mean, own.std, own.input_size, fixed, source)
    return TimmModel(_with_arguments(config), expected, _names(own.classifier), source, fetch)


def _with_arguments(config: _Config) -> str:
    """The name of the network, with the arguments if they make it another than timm has under its name."""
    arguments = {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in config.model_args.items()
        if name not in DECIDED and value is not None
    }
    full = f"{config.architecture}?{urlencode(arguments)}"
    plain, special = (_created(name, CHANNELS, pretrained=False) for name in (config.architecture, full))
    return config.architecture if _structure(plain) == _structure(special) else full


def _structure(network: nn.Module) -> list[tuple[object, ...]]:
    """Everything about a network but the values of its tensors: modules, their settings, shapes."""
    plain = (bool, int, float, str, tuple, type(None))
    shapes = [(name, tuple(tensor.shape)) for name, tensor in network.state_dict().items()]
    settings = [
        (name, type(module), {k: v for k, v in vars(module).items() if k[0] != "_" and isinstance(v, plain)})
        for name, module in network.named_modules()
    ]
    return [*shapes, *settings]


def _arguments(query: str) -> dict[str, Any]:
    """The arguments in a name: numbers, yes and no as JSON has them, everything else as text."""
    return {name: _value(value) for name, value in parse_qsl(query)}


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text, type=bool | int | float)
    except msgspec.DecodeError:
        return text


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
        except Exception as error:  # as above
            reasons.append(_first_line(error))
    raise InputError(f"{source}: neither {' nor '.join(FILES)} can be had ({reasons[0]})")


def _expected(mean: Any, std: Any, input_size: Any, fixed: bool, source: str) -> Expected:
    channels, height, width = input_size
    if channels != CHANNELS or len(mean) != CHANNELS or len(std) != CHANNELS:
        raise InputError(f"{source}: its weights are for images of {channels} channels, expected {CHANNELS}")
    return Expected(tuple(mean), tuple(std), (height, width), fixed)


def _names(classifier: Any) -> tuple[str, ...]:
    return (classifier,) if isinstance(classifier, str) else tuple(classifier or CLASSIFIERS)


def _timm(name: str, source: str) -> Any:
    """The package timm, which knows a network of that name.

    Raises:
        InputError: when it is not installed, cannot be imported, or has no such network.
    """
    build = torch.__version__.partition("+")[2]
    index = f" --index-url https://download.pytorch.org/whl/{build}" if build else ""
    try:
        import timm  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        first = f"pip install torch torchvision{index} && " if build == "cpu" else ""
        raise InputError(
            f"{source}: needs timm ({error}); install it with: {first}pip install 'longtail[timm]'"
        ) from None
    except (RuntimeError, OSError, AttributeError) as error:  # "operator torchvision::nms does not exist"
        raise InputError(
            f"{source}: torchvision does not fit torch {torch.__version__} ({_first_line(error)}); install "
            f"both from one place: pip install --force-reinstall torch torchvision{index}"
        ) from None
    if not timm.is_model(name):
        close = ", ".join(timm.list_models(f"*{name[:6]}*")[:3]) or "see timm.list_models()"
        raise InputError(f"{source}: timm has no such model {name!r}; close names: {close}")
    return timm


def _created(name: str, channels: int, pretrained: bool) -> Any:
    """The network of a name with its arguments, without a classifier."""
    source = f"--backbone {TIMM_PREFIX}{name}"
    architecture, _, query = name.partition("?")
    create, arguments = _timm(architecture, source).create_model, _arguments(query)
    if refused := arguments.keys() & {*DECIDED, *LOADING}:
        raise InputError(f"{source}: the argument {min(refused)} is given by longtail, leave it out")
    try:
        return create(architecture, pretrained=pretrained, num_classes=0, in_chans=channels, **arguments)
    except Exception as error:  # what arguments, or the download met: no network, no such file, no room
        if not pretrained:
            raise InputError(f"{source}: timm cannot build it ({_first_line(error)})") from None
        raise InputError(
            f"{source}: its weights cannot be had ({_first_line(error)}); connect once, name a file with "
            "--weights, or start without them: --from-scratch"
        ) from None


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
        reason = _first_line(error)
        raise InputError(
            f"--image-size: {TIMM_PREFIX}{name} does not take images of {height}x{width} ({reason})"
        ) from None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:120]
