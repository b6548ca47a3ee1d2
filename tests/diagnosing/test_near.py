"""Near duplicates in a diagnosis: groups, what follows, the page, and JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from longtail.data.dataset import Dataset
from longtail.diagnosing import near
from longtail.diagnosing.advise import advise
from longtail.diagnosing.examine import Diagnosis, diagnose
from longtail.diagnosing.image_check import Conflict, DuplicateSet, Spread
from longtail.diagnosing.near_page import MOST_GROUPS, MOST_IMAGES, render_near
from longtail.diagnosing.show import render, to_dict
from longtail.schema import Attribute, LabelSchema

Scene = Callable[..., NDArray[np.uint8]]


class Store:
    """Images in a list."""

    def __init__(self, images: list[NDArray[np.uint8]]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        return f"{index}.png"

    def read(self, index: int) -> NDArray[np.uint8]:
        return self.images[index]


@pytest.fixture(autouse=True)
def cache(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGTAIL_CACHE", str(tmp_path / "cache"))


def dataset(images: list[NDArray[np.uint8]], labels: list[int] | None = None, **rest: Any) -> Dataset:
    schema = LabelSchema((Attribute("kind", ("<cat>", "dog")),))
    found = np.array(labels or [k % 2 for k in range(len(images))], np.int64)[:, None]
    return Dataset("made", schema, found, [f"i{k:03}" for k in range(len(images))], Store(images), **rest)


def shown(found: Diagnosis) -> str:
    out = io.StringIO()
    Console(file=out, width=80).print(render(found))
    return out.getvalue()


def said(found: Diagnosis, rule: str) -> list[str]:
    return [piece.text for piece in advise(found) if piece.rule == rule]


def test_groups_are_found_and_identical_images_alone_make_none(scene: Scene):
    images = [scene(0), scene(0, 0.7), scene(1), scene(1), scene(2), scene(2), scene(2, 0.8)]
    found = diagnose(dataset(images, [0, 0, 0, 0, 1, 1, 0]))
    assert found.near is not None
    assert [group.ids for group in found.near] == [("i000", "i001"), ("i004", "i005", "i006")]
    assert [bool(group.conflicts) for group in found.near] == [False, True]
    text = shown(found)
    assert "near duplicates  2 groups (5 images), 1 with different labels" in text
    assert max(map(len, text.splitlines())) <= 80


def test_none_are_said_to_be_none_and_too_many_to_be_looked_for(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
):
    data = dataset([scene(0), scene(1)])
    assert "near duplicates  none" in shown(diagnose(data))
    monkeypatch.setattr(near, "MOST_COMPARED", 1)
    found = diagnose(data)
    assert found.near is None
    assert "not looked for" in shown(found)
    assert diagnose(data, check_images=False).near is None


def test_without_groups_a_flag_is_advised_and_with_common_ones_it_is_not(scene: Scene):
    images = [scene(0), scene(0, 0.7), scene(1), scene(1, 0.7)]
    (text,) = said(diagnose(dataset(images)), "near_to_be_split")
    assert text.startswith("Without a group: 2 groups of near duplicates (4 images). A split can put them")
    assert "--group-near-duplicates" in text
    groups = np.array([0, 0, 1, 2], np.int64)
    (text,) = said(diagnose(dataset(images, groups=groups)), "near_to_be_split")
    assert text.startswith("Without a common group: 1 group of near duplicates (2 images)")
    together = np.array([0, 0, 1, 1], np.int64)
    assert not said(diagnose(dataset(images, groups=together)), "near_to_be_split")


def test_given_splits_that_share_a_group_are_said(scene: Scene):
    images = [scene(0), scene(0, 0.7), scene(1), scene(1, 0.7)]
    found = diagnose(dataset(images, split=np.array([0, 2, 0, 0], np.int8)))
    (text,) = said(found, "near_across_splits")
    assert text.startswith("In more than one of the given splits: images of 1 group of near duplicates")
    assert not said(found, "near_to_be_split")
    assert "1 across splits" in shown(found)


def test_different_labels_are_said(scene: Scene):
    images = [scene(0), scene(0, 0.7), scene(1), scene(1, 0.7)]
    (text,) = said(diagnose(dataset(images, [0, 1, 1, 1])), "near_with_other_labels")
    assert text.startswith("With different labels: 1 group of near duplicates (2 images).")
    assert not said(diagnose(dataset(images, [0, 0, 1, 1])), "near_with_other_labels")


@pytest.mark.parametrize(
    ("width", "height", "rule"),
    [(4000, 3000, "shrunk_images"), (511, 4000, ""), (24, 40, "tiny_images"), (32, 32, ""), (128, 128, "")],
)
def test_sizes_that_a_network_does_not_see_are_said(scene: Scene, width: int, height: int, rule: str):
    found = diagnose(dataset([scene(0), scene(1)]))
    assert found.image_check is not None
    assert found.plan is not None
    check = replace(found.image_check, width=Spread(1, width, 9999), height=Spread(1, height, 9999))
    found = replace(found, image_check=check, plan=replace(found.plan, side=128))
    rules = {"shrunk_images", "tiny_images"} & {piece.rule for piece in advise(found)}
    assert rules == ({rule} if rule else set())


def test_json_holds_the_groups_and_the_plan(scene: Scene):
    data = dataset([scene(0), scene(0, 0.7), scene(1)], [0, 0, 1])
    found = json.loads(json.dumps(to_dict(diagnose(data))))
    assert found["near"] == [{"ids": ["i000", "i001"], "conflicts": [], "groups": None, "splits": []}]
    assert sum(found["plan"]["split_sizes"]) == 3
    assert np.sum(found["plan"]["class_images"], axis=(0, 2)).tolist() == [2, 1]


def group(*ids: str, **rest: Any) -> DuplicateSet:
    return DuplicateSet(ids, rest.get("conflicts", ()), rest.get("groups"), rest.get("splits", ()))


def test_the_page_shows_pictures_and_what_is_left_out(scene: Scene):
    images = [scene(0, 1 - k / 100) for k in range(8)] + [scene(k // 2) for k in range(2, 104)]
    data = dataset(images)
    pairs = [group(f"i{k:03}", f"i{k + 1:03}") for k in range(8, 110, 2)]
    page = render_near(data, [group(*data.ids[:8]), *pairs], {"command": "longtail diagnose <x>"})
    assert page.count("<img src=") == MOST_IMAGES + 2 * (MOST_GROUPS - 1)
    assert "2 images more" in page
    assert "2 groups more not shown." in page
    assert "&lt;cat&gt;" in page
    assert "longtail diagnose &lt;x&gt;" in page
    assert len(page) < 1_000_000


def test_the_page_begins_with_different_labels_then_splits_then_size(scene: Scene):
    data = dataset([scene(k) for k in range(9)])
    groups = [
        group("i000", "i001"),
        group("i002", "i003", "i004"),
        group("i007", "i008", splits=("train", "test")),
        group("i005", "i006", conflicts=(Conflict("kind", ("dog", "<cat>")),)),
    ]
    page = render_near(data, groups, {})
    firsts = [page.index(f"<small>{name}") for name in ("i005", "i007", "i002", "i000")]
    assert firsts == sorted(firsts)
    assert "2 images, different kind<" in page
    assert "2 images, in train, test<" in page


def test_a_page_of_nothing_says_so(scene: Scene):
    assert "None were found." in render_near(dataset([scene(0)]), [], {})
