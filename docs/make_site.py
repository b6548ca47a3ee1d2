"""Build the site in build/site from README.md, the pages in docs/ and CONTRIBUTING.md, and check its links.

The pages are written to be read in the repository too. So they are copied to build/pages first, and a link
that leaves the site's own pages leads to a copy of the file, or to a list of the folder's files.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import check_site

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "build/pages"
SITE = ROOT / "build/site"

OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
}
"""Pages that do not lie in docs/, and their names in the site."""

NAVIGATION = re.compile(r": (\S+\.md)$", re.MULTILINE)
LINK = re.compile(r"(\]\()([^)#:\s]+)(#[^)\s]*)?(\))")


def sources() -> Iterator[tuple[str, str]]:
    """Path in the repository and path in the site of every page."""
    yield from OUTSIDE.items()
    for page in sorted((ROOT / "docs").rglob("*.md")):
        yield page.relative_to(ROOT).as_posix(), page.relative_to(ROOT / "docs").as_posix()


def stage() -> int:
    """Copy the pages and what they link to into build/pages; returns the number of pages."""
    shutil.rmtree(PAGES, ignore_errors=True)
    pages = dict(sources())
    places = dict(pages)
    for source, place in pages.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        _write(place, LINK.sub(lambda link, at=source: _moved(link, at, places), text))
    shutil.copy(ROOT / "docs/site.css", PAGES / "site.css")
    return len(pages)


def _moved(link: re.Match[str], source: str, places: dict[str, str]) -> str:
    """The link as the page of the site needs it."""
    target = os.path.normpath(PurePosixPath(source).parent / link[2])
    if target not in places:
        places[target] = _copied(target)
    below = "../" * places[source].count("/")
    return f"{link[1]}{below}{places[target]}{link[3] or ''}{link[4]}"


def _copied(target: str) -> str:
    """Where a file or folder of the repository lies in the site; a missing one is left to the check."""
    path, place = ROOT / target, target.removeprefix("docs/")
    if path.is_dir():
        names = sorted(entry.name for entry in path.iterdir() if entry.is_file())
        place = f"{place.replace('/', '-')}.md"
        _write(place, _listed(target, [(name, _copied(f"{target}/{name}")) for name in names]))
    elif path.is_file():
        (PAGES / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, PAGES / place)
    return place


def _listed(folder: str, files: list[tuple[str, str]]) -> str:
    """A page that lists the files of a folder."""
    return "\n".join([f"# {folder}\n", *(f"- [{name}]({place})" for name, place in files)])


def _write(place: str, text: str) -> None:
    (PAGES / place).parent.mkdir(parents=True, exist_ok=True)
    (PAGES / place).write_text(text, encoding="utf-8")


def not_listed() -> list[str]:
    """Pages that no reader would find."""
    listed = NAVIGATION.findall((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    return [f"{page}: not in the navigation of mkdocs.yml" for _, page in sources() if page not in listed]


def main() -> int:
    """Build; the exit code is 1 where a link is broken, a page is not listed, or the builder fails."""
    count = stage()
    program = Path(sys.executable).with_name("zensical")
    shutil.rmtree(SITE, ignore_errors=True)
    built = subprocess.run(
        [program, "build", "--clean", "--strict", "--config-file", ROOT / "mkdocs.yml"], cwd=ROOT
    )
    if built.returncode:
        return built.returncode
    found = check_site.check(SITE)
    problems = [*found.problems, *not_listed()]
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{SITE.relative_to(ROOT)}: {count} pages, {found.links} links, {len(problems)} problems")
    return int(bool(problems))


def requirements() -> list[str]:
    """The extra `docs`, without longtail itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["optional-dependencies"]["docs"]


if __name__ == "__main__":
    if "--requirements" in sys.argv:
        print(*requirements(), sep="\n")
    else:
        sys.exit(main())
