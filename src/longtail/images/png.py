"""What a PNG says beside its pixels."""

from __future__ import annotations

from collections.abc import Sequence

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_WORDS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")  # texts, and the colour profile, which is not applied
_LONG = 2**20  # bytes: Pillow takes no longer text


def without_words(data: bytes, keep: Sequence[bytes]) -> bytes:
    """A PNG without its texts and colour profile; those that are short and hold a mark of `keep` stay.

    Pillow unpacks all of them and refuses the image where they are long, as prompts and edits often are.
    Other files are given back as they are.
    """
    if not data.startswith(_SIGNATURE) or not any(kind in data for kind in _WORDS):
        return data
    kept, start = [_SIGNATURE], len(_SIGNATURE)
    while start < len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4])  # length, kind, content, checksum
        chunk = data[start:end]
        marked = len(chunk) < _LONG and any(mark in chunk for mark in keep)
        if marked or chunk[4:8] not in _WORDS:
            kept.append(chunk)
        start = end
    return b"".join(kept)
