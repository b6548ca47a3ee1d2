"""Many strings in little memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import overload

import numpy as np
from numpy.typing import NDArray

_BLOCK = 4096
"""Strings that are encoded at a time: those of a million at once take as much as all that is kept."""


class Names(Sequence[str]):
    """An unchanging sequence of strings, kept as one block of bytes and N + 1 offsets.

    A list of 200,000 Python strings is 200,000 objects, and every worker process that touches one
    copies its page. Here a name costs its UTF-8 bytes and 4 more. File names that are no valid
    UTF-8 survive (surrogateescape, as `os.listdir` gives them).

    Example:
        >>> names = Names(["cat/1.jpg", "dog/é.jpg"])
        >>> names[1], len(names), list(names[:1])
        ('dog/é.jpg', 2, ['cat/1.jpg'])
    """

    def __init__(self, strings: Iterable[str]) -> None:
        blocks, lengths, todo = bytearray(), array("q"), iter(strings)
        while block := [string.encode("utf-8", "surrogateescape") for string in islice(todo, _BLOCK)]:
            blocks += b"".join(block)
            lengths.extend(map(len, block))
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.array(lengths, np.int64))])
        self._bytes = bytes(blocks)
        self._ends: NDArray[np.unsignedinteger] = ends.astype(np.uint32 if ends[-1] < 2**32 else np.uint64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Names: ...
    def __getitem__(self, index: int | slice) -> str | Names:
        if isinstance(index, slice):
            return Names(self[place] for place in range(*index.indices(len(self))))
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f"expected an index below {len(self)}, got {index}")
        return _decode(self._bytes[self._ends[position] : self._ends[position + 1]])

    def __iter__(self) -> Iterator[str]:
        for start, end in pairwise(self._ends.tolist()):
            yield _decode(self._bytes[start:end])


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
