"""Safetensors files with a checksum of all that is in them; equal contents have equal bytes."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from longtail.errors import InputError, first_line
from longtail.files import written_aside

CHECKSUM = "sha256"
"""Key of the metadata that holds the checksum of everything else in the file."""


def write_sealed(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors and texts as one file."""
    with written_aside(path) as aside:
        aside.write_bytes(_serialised(tensors, metadata))


def read_sealed(path: Path, missing: str, remedy: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What `write_sealed` wrote.

    Raises:
        InputError: when the file is not there, with what is `missing`, or is damaged, with the `remedy`.
    """
    content = read_content(path, missing)
    try:
        found = unpacked(path, content)
    except InputError as error:
        raise InputError(f"{error}; {remedy}") from None
    if not is_whole(content):
        raise InputError(f"{path}: damaged, its checksum is wrong; {remedy}")
    return found


def read_content(path: Path, missing: str) -> bytes:
    """The bytes of a file.

    Raises:
        InputError: when it cannot be read; when it is not there, with what is `missing`.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {missing}") from None
    except OSError as error:
        raise InputError(f"{path}: not a readable safetensors file ({error.strerror})") from None


def unpacked(path: Path, content: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and texts of a file, whether it has a checksum or not.

    Raises:
        InputError: when it is no such file.
    """
    try:
        return load(content), _header(content).get("__metadata__", {})
    except (SafetensorError, ValueError, KeyError, RecursionError) as error:
        raise InputError(f"{path}: not a readable safetensors file ({first_line(error)})") from None


def checksum_of(path: Path) -> str:
    """The checksum that a file names as its own; empty where it has none."""
    with safe_open(path, framework="pt") as file:
        return (file.metadata() or {}).get(CHECKSUM, "")


def is_whole(content: bytes) -> bool:
    """Whether the checksum in a file is that of the file."""
    header = _header(content)
    return header.get("__metadata__", {}).pop(CHECKSUM, None) == _checksum(header, content)


def _serialised(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """A safetensors file. The library sorts tensors, but writes metadata in an order that changes."""
    content = save(tensors, metadata)
    header = _header(content)
    header["__metadata__"] = dict(sorted(metadata.items()))
    header["__metadata__"][CHECKSUM] = _checksum(header, content)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at multiples of 8
    return len(text).to_bytes(8, "little") + text + memoryview(content)[_start(content) :]


def _start(content: bytes) -> int:
    """Where the numbers begin."""
    return 8 + int.from_bytes(content[:8], "little")


def _header(content: bytes) -> dict[str, Any]:
    return json.loads(content[8 : _start(content)])


def _checksum(header: dict[str, Any], content: bytes) -> str:
    """SHA-256 of a header without checksum and of the numbers that follow it."""
    found = sha256(json.dumps(header, separators=(",", ":")).encode())
    found.update(memoryview(content)[_start(content) :])
    return found.hexdigest()
