"""What a report shows of the images themselves; the pictures are made elsewhere."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Picture:
    """A small picture; it may be shown several times and is kept once.

    Attributes:
        jpeg: an encoded JPEG.
        name: of the image.
    """

    jpeg: bytes
    name: str


@dataclass(frozen=True)
class Example:
    """One place where a picture is shown.

    Attributes:
        picture: its number in the gallery.
        caption: what is said of it.
        heat: a PNG of where the network looked, to be laid over the picture; None where that is not known.
    """

    picture: int
    caption: str
    heat: bytes | None = None


@dataclass(frozen=True)
class Strip:
    """Examples side by side, with a title and a remark on what they are examples of."""

    title: str
    note: str
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Mistakes:
    """What was recognised wrongly of one attribute.

    Attributes:
        attribute: its name.
        rare: strips of the surest mistakes, one for each rare class.
        pairs: strips of the most confused pairs.
        left: rare classes with mistakes that are not shown.
    """

    attribute: str
    rare: tuple[Strip, ...]
    pairs: tuple[Strip, ...]
    left: int = 0


@dataclass(frozen=True)
class Gallery:
    """All pictures of a report.

    Attributes:
        size: (height, width) of every picture.
        pictures: each once.
        mistakes: one for each attribute that is shown.
        attributes: how many attributes there are.
        mined: what was mined most often in training; none of a method that does not mine.
    """

    size: tuple[int, int]
    pictures: tuple[Picture, ...]
    mistakes: tuple[Mistakes, ...] = ()
    attributes: int = 1
    mined: tuple[Strip, ...] = ()

    @property
    def strips(self) -> list[Strip]:
        """All strips, in the order of the page."""
        return [*(strip for m in self.mistakes for strip in (*m.rare, *m.pairs)), *self.mined]

    @property
    def heated(self) -> bool:
        """Whether it shows where the network looked."""
        return any(example.heat for strip in self.strips for example in strip.examples)
