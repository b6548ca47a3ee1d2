"""`longtail cache`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from longtail.errors import InputError

if TYPE_CHECKING:
    from longtail.features.cache import Entry

USAGE = "longtail cache [NAME...] [--clear]"

EXAMPLES = """
longtail cache
longtail cache 3f2a91c0 --clear
longtail cache --clear
"""

WIDTHS = (8, 30, 9, 8, 16)
"""Of the columns; with the spaces between them less than 80."""


def cache(*names: str, clear: bool = False) -> None:
    """List the image features that are cached on disk, or remove them.

    A frozen backbone sees each image once. Its features are cached in $LONGTAIL_CACHE, by default
    ~/.cache/longtail, and all commands share them. They may take $LONGTAIL_CACHE_BYTES, by default 20G.
    Beyond that, the least recently used are removed.

    Args:
        names: Entries to list or remove, by their names in the list; by default all.
        clear: Remove the entries.
    """
    from longtail.features.cache import cache_bound, cache_folder, entries, remove

    root, bound = cache_folder(), cache_bound()
    found = entries(root)
    chosen = _chosen(found, names)
    if clear:
        for entry in chosen:
            remove(root, entry)
        print(f"removed {_size(sum(entry.bytes for entry in chosen))} from {root}")
        return
    print(f"{root}: {_size(sum(entry.bytes for entry in found))} of at most {_size(bound)}")
    if chosen:
        print("\n" + _line("name", "network", "images", "size", "last used"))
    for entry in chosen:
        used = datetime.fromtimestamp(entry.used).strftime("%Y-%m-%d %H:%M")
        about = str(entry.about or "not known")
        print(_line(entry.name, about, f"{entry.images:,}", _size(entry.bytes), used))


def _chosen(found: list[Entry], names: tuple[str, ...]) -> list[Entry]:
    """The entries that are named; each name is the beginning of one."""
    for name in names:
        if sum(entry.maker.startswith(name) for entry in found) != 1:
            known = ", ".join(entry.name for entry in found) or "none, the cache is empty"
            raise InputError(f"{name}: expected the name of cached features ({known})")
    return [entry for entry in found if not names or any(map(entry.maker.startswith, names))]


def _line(name: str, about: str, images: str, size: str, used: str) -> str:
    first, second, *numbers, last = WIDTHS
    left = f"{name:{first}}  {about:{second}.{second}}"
    return f"{left}  {images:>{numbers[0]}}  {size:>{numbers[1]}}  {used:{last}}".rstrip()


def _size(number: int) -> str:
    """'3.1 MB', or '20 GB'."""
    for unit, size in (("GB", 2**30), ("MB", 2**20)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number / 2**10:.3g} KB"
