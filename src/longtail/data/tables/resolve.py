"""From what a manifest writes to the image it means."""

from __future__ import annotations

from collections.abc import Iterable

from longtail.data.listing import Listing, is_image

ABSENT = -1
AMBIGUOUS = -2


class Resolver:
    """Finds the image that a text names: a path, or an id without folder or ending.

    An image fits when the text is its path below the root, the end of that path after a slash, or
    either without the image's ending. The whole path wins, with its ending before without. An
    absolute path is one below the root when it starts with the root's own.

    Args:
        found: the images.

    Example: 'b/7' and '7.jpg' both name 'images/b/7.jpg', as long as no other image fits.
    """

    def __init__(self, found: Listing) -> None:
        self._images = found.images
        self._roots = {f"{found.root.absolute().as_posix()}/", f"{found.root.resolve().as_posix()}/"}
        self._first: dict[str, int] = {}
        self._more: dict[str, list[int]] = {}
        for position, path in enumerate(found.images):
            stem = _stem(path[path.rfind("/") + 1 :])
            if self._first.setdefault(stem, position) != position:
                self._more.setdefault(stem, []).append(position)

    def find(self, text: str) -> int:
        """Position in `found.images`, or ABSENT, or AMBIGUOUS."""
        if text in self._first and text not in self._more and "/" not in text and not is_image(text):
            return self._first[text]  # an id that names one image: most of a large manifest
        fits = self.candidates(text)
        if len(fits) < 2:
            return fits[0] if fits else ABSENT
        text = self.below_root(text)
        paths = [self._images[position] for position in fits]
        for form in (paths, [_stem(path) for path in paths]):
            if form.count(text) == 1:
                return fits[form.index(text)]
        return AMBIGUOUS

    def candidates(self, text: str) -> list[int]:
        """Positions of all images that fit the text."""
        text = self.below_root(text)
        stem = _stem(text)
        name = stem[stem.rfind("/") + 1 :]
        if name not in self._first:
            return []
        places = [self._first[name], *self._more.get(name, ())]
        paths = [self._images[place] for place in places]
        tails = paths if stem != text else [_stem(path) for path in paths]
        return [place for place, tail in zip(places, tails) if tail == text or tail.endswith("/" + text)]

    def below_root(self, text: str) -> str:
        """The text with forward slashes, and without the root's own path before it."""
        text = text.replace("\\", "/").removeprefix("./")
        if text.startswith("/"):
            for root in self._roots:
                text = text.removeprefix(root)
        return text

    def share(self, texts: Iterable[str]) -> float:
        """The share of texts that name an image."""
        hits = [bool(self.candidates(text)) for text in texts]
        return sum(hits) / max(len(hits), 1)


def leaves_root(text: str) -> bool:
    """Whether a path with forward slashes is absolute, or climbs with '..'."""
    return text.startswith("/") or text[1:3] == ":/" or (".." in text and ".." in text.split("/"))


def _stem(path: str) -> str:
    return path[: path.rfind(".")] if is_image(path) else path
