"""From what a manifest writes to the image it means."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import cached_property
from itertools import chain, islice
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from longtail.data.listing import Listing, is_image

ABSENT = -1
AMBIGUOUS = -2
_MOST_COMPARED = 20_000  # names, letter by letter: about a second


class Resolver:
    """Finds the image that a text names: a path, or an id without folder or ending.

    An image fits when the text is its path below the root, the end of that path after a slash, or
    either without the image's ending. The whole path wins, with its ending before without. A text that
    no image fits may begin with the root's own path or the end of it. Composed and decomposed
    characters are the same, and so are a/b, a//b, a/./b and a\\b.

    Args:
        found: the images.

    Example: 'b/7' and '7.jpg' both name 'images/b/7.jpg', as long as no other image fits.
    """

    def __init__(self, found: Listing) -> None:
        self._listed = found.images
        self._of_depth: dict[int, dict[str, int | list[int]]] = {}
        self._whole = {path: place for place, path in enumerate(found.images)}
        places = (found.root.absolute().as_posix(), found.root.resolve().as_posix(), found.inside)
        roots = {_composed(place) for place in places if place}
        self._roots = {root[start:] + "/" for root in roots for start in _starts(root)}

    @cached_property
    def _images(self) -> list[str]:
        return list(map(_composed, self._listed))

    def _places(self, depth: int) -> dict[str, int | list[int]]:
        """By the last `depth` folders and the name without ending: the image, or all of them.

        Made when asked for, as whole paths do without; of each depth once, so that many images of one name
        in as many folders are found as fast as others.
        """
        if depth not in self._of_depth:
            places: dict[str, int | list[int]] = {}
            for position, path in enumerate(self._images):
                names = _stem(path).rsplit("/", depth + 1)
                if len(names) <= depth:
                    continue
                tail = "/".join(names[-depth - 1 :])
                found = places.setdefault(tail, position)
                if isinstance(found, list):
                    found.append(position)
                elif found != position:
                    places[tail] = [found, position]
            self._of_depth[depth] = places
        return self._of_depth[depth]

    def whole(self, texts: Iterable[str]) -> NDArray[np.int64]:
        """Position in `found.images` of each text that is a whole path there, else ABSENT."""
        return np.fromiter((self._whole.get(text, ABSENT) for text in texts), np.int64)

    def find(self, text: str) -> int:
        """Position in `found.images`, or ABSENT, or AMBIGUOUS."""
        if text in self._whole:
            return self._whole[text]
        if not is_image(text) and "/" not in text:
            place = self._places(0).get(text)
            if isinstance(place, int):
                return place  # an id that names one image: most of a large manifest
        reading, fits = self._read(text)
        if len(fits) < 2:
            return fits[0] if fits else ABSENT
        listed, paths = ([images[place] for place in fits] for images in (self._listed, self._images))
        for form, names in ((text, listed), (reading, paths)):
            for given in (names, [_stem(name) for name in names]):
                if given.count(form) == 1:
                    return fits[given.index(form)]
        return AMBIGUOUS

    def candidates(self, text: str) -> list[int]:
        """Positions of all images that fit the text."""
        return self._read(text)[1]

    def below_root(self, text: str) -> str:
        """The text as a path with forward slashes, and without the root's own path before it."""
        text = _one_form(text)
        return next(self._without_root(text), text) if text.startswith("/") else text

    def nearest(self, text: str) -> str:
        """The image whose name is most like that of a text which names none; '' where none is like it."""
        name = _composed(text.strip()).replace("\\", "/").rpartition("/")[2].partition("?")[0].casefold()
        names = {stem.strip().casefold(): stem for stem in self._places(0)}
        near = get_close_matches(_stem(name), islice(names, _MOST_COMPARED), n=1)
        alike = [stem for stem in (_stem(name), name.rpartition(".")[0], *near) if stem in names]
        return self._listed[self._named(names[alike[0]])[0]] if alike else ""

    def _named(self, tail: str) -> list[int]:
        """Positions of the images whose paths without endings end with these folders and this name."""
        places = self._places(tail.count("/")).get(tail, [])
        return places if isinstance(places, list) else [places]

    def _read(self, text: str) -> tuple[str, list[int]]:
        """The first reading of a text that images fit, and where those are."""
        text = _one_form(text)
        readings = ((reading, self._fitting(reading)) for reading in chain([text], self._without_root(text)))
        return next((read for read in readings if read[1]), (text, []))

    def _without_root(self, text: str) -> Iterator[str]:
        """The text without each end of the root's path that it begins with, the longest first."""
        ends = (root for root in self._roots if text.startswith(root))
        return (text[len(root) :] for root in sorted(ends, key=len, reverse=True))

    def _fitting(self, text: str) -> list[int]:
        stem = _stem(text)
        places = self._named(stem)
        if stem == text:
            return places
        return [place for place in places if f"/{self._images[place]}".endswith(f"/{text}")]

    def share(self, texts: Iterable[str]) -> float:
        """The share of texts that name an image."""
        hits = [text in self._whole or bool(self.candidates(text)) for text in texts]
        return sum(hits) / max(len(hits), 1)


def leaves_root(text: str) -> bool:
    """Whether a path with forward slashes is absolute, or climbs with '..'."""
    return text.startswith("/") or text[1:3] == ":/" or (".." in text and ".." in text.split("/"))


def _stem(path: str) -> str:
    return path[: path.rfind(".")] if is_image(path) else path


def _one_form(text: str) -> str:
    """A path with forward slashes, no step that leads nowhere, and composed characters."""
    text = _composed(text.replace("\\", "/"))
    if "//" in text or "./" in text:
        text = posixpath.normpath(text)
        return text[1:] if text.startswith("//") else text  # POSIX gives two slashes a meaning of their own
    return text


def _composed(text: str) -> str:
    return text if text.isascii() else normalize("NFC", text)


def _starts(root: str) -> list[int]:
    """Where each end of a path begins: the whole one first."""
    return [0, *(place + 1 for place, letter in enumerate(root) if letter == "/" and root[place + 1 :])]
