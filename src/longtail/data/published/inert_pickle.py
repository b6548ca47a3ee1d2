"""Pickles of lists, texts, numbers and byte arrays, read without running anything they name."""

from __future__ import annotations

import io
import pickle
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from longtail.errors import InputError


def read_pickle(data: bytes, where: str) -> dict[str, Any]:
    """The dictionary in a pickle, its keys as text; its uint8 arrays through `as_bytes_array`.

    A pickle is a program: it names functions and has them called. Here every name that NumPy and
    Python 2 use for plain arrays stands for a class that only keeps what it is given, and any
    other name is refused. Python 2's texts come as bytes.

    Raises:
        InputError: when the pickle names anything else, is damaged, or holds no dictionary.

    Example:
        >>> read_pickle(pickle.dumps({b"labels": [3, 1]}, protocol=2), "batch")
        {'labels': [3, 1]}
    """
    try:
        found = _InertUnpickler(io.BytesIO(data), encoding="bytes").load()
    except _NamesMore as error:
        raise InputError(f"{where}: {error}; nothing in it was run; download it again") from None
    except Exception as error:  # a made-up program can fail in any way
        raise InputError(f"{where}: is damaged ({type(error).__name__}); download it again") from None
    if not isinstance(found, dict):
        raise InputError(f"{where}: expected a dictionary, got {type(found).__name__}")
    return {as_text(key): value for key, value in cast("dict[Any, Any]", found).items()}


def as_bytes_array(value: Any, where: str) -> NDArray[np.uint8]:
    """The uint8 array of any shape that was pickled.

    Raises:
        InputError: when the value is something else.
    """
    try:
        _, shape, dtype, fortran, raw = value.state
        if dtype.code not in ("u1", "|u1"):
            raise TypeError(dtype.code)
        return np.frombuffer(raw, np.uint8).reshape(shape, order="F" if fortran else "C")
    except (TypeError, ValueError, AttributeError):
        raise InputError(
            f"{where}: expected an array of bytes (uint8), got something else; download it again"
        ) from None


def as_text(value: Any) -> str:
    """A text of Python 2 or 3."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


class _Array:
    """Stands for numpy.ndarray: keeps version, shape, dtype, order and bytes."""

    state: Any = None

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _DType:
    """Stands for numpy.dtype: keeps its code."""

    def __init__(self, code: Any = "", *_: object) -> None:
        self.code = as_text(code)

    def __setstate__(self, state: Any) -> None:
        pass


class _Latin1(bytes):
    """Stands for _codecs.encode, with which Python 3 writes bytes for Python 2."""

    def __new__(cls, text: str, *_: object) -> bytes:
        return text.encode("latin1")

    def __setstate__(self, state: Any) -> None:
        pass


# A class with __setstate__ cannot be changed by a pickle that takes it for an object of its own.
_STANDS_FOR: dict[tuple[str, str], type] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _Latin1,
}


class _NamesMore(Exception):
    """A pickle names what is not in `_STANDS_FOR`."""


class _InertUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> type:
        found = _STANDS_FOR.get((module_name, global_name))
        if found is None:
            raise _NamesMore(f"names {f'{module_name}.{global_name}'[:80]!r}, which plain data do not need")
        return found
