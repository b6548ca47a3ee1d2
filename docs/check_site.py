"""Find links of a built site that lead nowhere, and files that a browser would fetch from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FETCHED = {("img", "src"), ("script", "src"), ("source", "src"), ("iframe", "src"), ("link", "href")}
"""What a browser fetches by itself; a link that a reader may follow leads to other sites too."""

NOT_FETCHED = {"canonical", "prev", "next"}
"""Kinds of `<link>` that are read and not fetched."""


@dataclass(frozen=True)
class Found:
    """What a check saw.

    Attributes:
        links: number of links and fetched files that lie in the site.
        problems: one line for each broken one.
    """

    links: int
    problems: list[str]


class _Reader(HTMLParser):
    """The links and anchors of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[tuple[str, bool]] = []
        self.anchors: set[str] = {"", "top"}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep them; the second of a pair says whether a browser fetches it."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        for name in ("href", "src"):
            fetched = (tag, name) in FETCHED and values.get("rel") not in NOT_FETCHED
            if name in values and (fetched or (tag, name) == ("a", "href")):
                self.links.append((values[name], fetched))


@cache
def _read(page: Path) -> _Reader:
    reader = _Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    return reader


def check(site: Path) -> Found:
    """Follow every link of every page below a folder."""
    _read.cache_clear()
    links, problems = 0, []
    for page in sorted(site.rglob("*.html")):
        for link, fetched in _read(page).links:
            parts = urlsplit(link)
            links += not parts.scheme
            problems += [
                f"{page.relative_to(site)}: {link}: {text}" for text in _problem(site, page, link, fetched)
            ]
    return Found(links, problems)


def _problem(site: Path, page: Path, link: str, fetched: bool) -> Iterator[str]:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        if fetched and parts.scheme != "data":
            yield "fetched from elsewhere"
        return
    start = site if parts.path.startswith("/") else page.parent
    target = (start / unquote(parts.path).lstrip("/")).resolve() if parts.path else page
    target = target / "index.html" if target.is_dir() else target
    if not target.is_file():
        yield "no such file"
    elif target.suffix == ".html" and unquote(parts.fragment) not in _read(target).anchors:
        yield "no such anchor"
