"""The site holds every page, and its check finds broken links; links are also checked without its builder."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up, and one imports the other
    spec.loader.exec_module(module)
    return module


check_site = load("check_site")
make_site = load("make_site")
PAGES = [ROOT / source for source, _ in make_site.sources()]


def page(body: str) -> str:
    return f"<html><head></head><body>{body}</body></html>"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "guides").mkdir()
    (tmp_path / "index.html").write_text(
        page(
            '<a href="guides/one.html#there">1</a><a href="guides/">2</a>'
            '<a href="#top">3</a><a href="/x.txt">4</a>'
        )
    )
    (tmp_path / "guides/one.html").write_text(page('<h2 id="there">T</h2><a href="../index.html">up</a>'))
    (tmp_path / "guides/index.html").write_text(page('<img src="data:image/png;base64,AA">'))
    (tmp_path / "x.txt").write_text("x")
    return tmp_path


def test_a_sound_site_has_no_problem(site: Path):
    found = check_site.check(site)
    assert found.problems == []
    assert found.links == 5


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<a href="gone.html">x</a>', "gone.html: no such file"),
        ('<a href="one.html#gone">x</a>', "one.html#gone: no such anchor"),
        ('<a href="#gone">x</a>', "#gone: no such anchor"),
        ('<img src="gone.png">', "gone.png: no such file"),
        ('<script src="https://cdn.example/x.js"></script>', "fetched from elsewhere"),
        ('<link rel="stylesheet" href="//fonts.example/x.css">', "fetched from elsewhere"),
    ],
)
def test_a_broken_link_is_named_with_its_page(site: Path, body: str, problem: str):
    (site / "guides/bad.html").write_text(page(body))
    (found,) = check_site.check(site).problems
    assert found.startswith("guides/bad.html: ")
    assert found.endswith(problem)


def test_a_reader_may_follow_a_link_to_another_site(site: Path):
    (site / "out.html").write_text(page('<a href="https://example.org/">x</a>'))
    assert check_site.check(site).problems == []


def test_every_page_is_in_the_navigation():
    assert make_site.not_listed() == []
    listed = make_site.NAVIGATION.findall((ROOT / "mkdocs.yml").read_text("utf-8"))
    assert sorted(listed) == sorted(place for _, place in make_site.sources())


def test_staged_links_lead_to_staged_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(make_site, "PAGES", tmp_path)
    assert make_site.stage() == len(PAGES)
    seen = 0
    for staged in tmp_path.rglob("*.md"):
        for link in LINK.findall(FENCE.sub("", staged.read_text("utf-8"))):
            target = link.partition("#")[0]
            if target and "://" not in target:
                seen += 1
                assert (staged.parent / target).resolve().is_relative_to(tmp_path.resolve()), (
                    staged.name,
                    link,
                )
                assert (staged.parent / target).is_file(), (staged.name, link)
    assert seen > 60


def anchors(path: Path) -> set[str]:
    """Those that a repository's page gives its headings."""
    heads = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_of_the_repository_lead_somewhere(path: Path):
    for link in LINK.findall(FENCE.sub("", path.read_text("utf-8"))):
        if "://" not in link:
            name, _, anchor = link.partition("#")
            target = (path.parent / name).resolve() if name else path
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link
