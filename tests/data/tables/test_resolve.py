from __future__ import annotations

from collections import Counter
from pathlib import Path
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.data.listing import Listing
from longtail.data.tables.resolve import ABSENT, AMBIGUOUS, Resolver, leaves_root


def resolver(*paths: str) -> Resolver:
    return Resolver(Listing(Path(), list(paths), [], Counter()))


@pytest.mark.parametrize(
    "text",
    [
        "7",
        "7.jpg",
        "b/7",
        "b/7.jpg",
        "images/b/7",
        "./images/b/7.jpg",
        "b\\7.jpg",
        "b//7.jpg",
        "b/./7",
        "images/../images//b/7.jpg",
        "././b/7",
        "b\\\\7.jpg",
        "images/b/sub/../7.jpg",
    ],
)
def test_an_image_is_named_by_its_path_or_the_end_of_it(text: str) -> None:
    assert resolver("images/a/8.jpg", "images/b/7.jpg").find(text) == 1


@pytest.mark.parametrize("text", ["7.png", "17", "a/7", "s/b/7.jpg", "7.JPG", "", "7."])
def test_what_is_only_similar_names_no_image(text: str) -> None:
    assert resolver("images/a/8.jpg", "images/b/7.jpg").find(text) == ABSENT


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_composed_and_decomposed_names_are_the_same(form: str) -> None:
    found = resolver(*(normalize(form, name) for name in ("é/ü.jpg", "é/o.jpg")))
    for text in ("é/ü.jpg", "ü", "ü.jpg", "é/ü"):
        assert [found.find(normalize(other, text)) for other in ("NFC", "NFD")] == [0, 0]


def test_of_two_forms_of_one_name_the_one_that_is_written_is_meant() -> None:
    found = resolver("\u00e9.jpg", "e\u0301.jpg")
    assert [found.find(text) for text in ("\u00e9.jpg", "e\u0301.jpg", "e\u0301")] == [0, 1, 1]


def test_a_text_may_begin_with_the_end_of_the_roots_path(tmp_path: Path) -> None:
    found = Resolver(Listing(tmp_path / "data" / "images", ["a/1.jpg", "2.jpg"], [], Counter()))
    texts = [
        "images/a/1.jpg",
        "data/images/2",
        f"{tmp_path}/data/images/2.jpg",
        "data/a/1.jpg",
        "/images/2.jpg",
    ]
    assert [found.find(text) for text in texts] == [0, 1, 1, ABSENT, ABSENT]


def test_an_id_may_hold_dots() -> None:
    assert resolver("v1.2.jpg", "v1.3.jpg").find("v1.3") == 1


def test_two_images_that_fit_are_not_guessed_between() -> None:
    found = resolver("a/1.jpg", "b/1.jpg", "b/2.jpg", "b/2.png")
    assert [found.find(text) for text in ("1", "b/1", "2", "2.png")] == [AMBIGUOUS, 1, AMBIGUOUS, 3]


def test_the_whole_path_wins_over_its_end() -> None:
    found = resolver("1.jpg", "sub/1.jpg", "sub/1.png")
    assert [found.find(text) for text in ("1.jpg", "1", "sub/1.jpg")] == [0, 0, 1]


def test_whole_paths_are_found_at_once() -> None:
    found = resolver("1.jpg", "sub/1.jpg", "sub/2.png")
    texts = ["sub/2.png", "1", "sub/1.jpg", "1.jpg", "2.png"]
    assert found.whole(texts).tolist() == [2, ABSENT, 1, 0, ABSENT]


PART = st.sampled_from(["a", "b", "1", "2", "a.b"])
PATH = st.builds(
    "{}.{}".format, st.lists(PART, min_size=1, max_size=3).map("/".join), st.sampled_from(["jpg", "png"])
)


@given(
    st.sets(PATH, min_size=1, max_size=6),
    st.one_of(PATH, st.lists(PART, min_size=1, max_size=3).map("/".join)),
)
def test_candidates_are_those_a_slow_search_finds(paths: set[str], text: str) -> None:
    ordered = sorted(paths)

    def forms(path: str) -> set[str]:
        ends = {path, *(path[i + 1 :] for i, letter in enumerate(path) if letter == "/")}
        return ends | {end[:-4] for end in ends}

    slow = [i for i, path in enumerate(ordered) if text in forms(path)]
    assert resolver(*ordered).candidates(text) == slow


def test_the_share_counts_texts_that_name_an_image() -> None:
    assert resolver("a/1.jpg", "b/1.jpg", "2.jpg").share(["1", "2", "3", "4"]) == 0.5
    assert resolver("1.jpg").share([]) == 0


@pytest.mark.parametrize(
    ("text", "leaves"),
    [
        ("../x.jpg", True), ("a/../../x.jpg", True), ("/x.jpg", True), ("C:/x.jpg", True),
        ("a..b.jpg", False), ("a/x.jpg", False), ("...", False),
    ],
)  # fmt: skip
def test_absolute_and_climbing_paths_leave_the_root(text: str, leaves: bool) -> None:
    assert leaves_root(text) is leaves


def test_paths_may_begin_with_the_folder_that_an_archive_keeps_everything_in() -> None:
    found = Listing(Path("x.zip"), ["cat/1.jpg", "dog/2.jpg"], [], Counter(), inside="export/photos")
    texts = ["photos/cat/1.jpg", "export/photos/dog/2", "x.zip/export/photos/cat/1.jpg", "export/cat/1.jpg"]
    assert [Resolver(found).find(text) for text in texts] == [0, 1, ABSENT, ABSENT]
