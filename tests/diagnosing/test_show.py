"""A diagnosis in the terminal and as a dict."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.console import Console

from longtail.data.dataset import Dataset
from longtail.diagnosing.examine import Diagnosis, diagnose
from longtail.diagnosing.show import MOST_LISTED, render, to_dict
from longtail.schema import Attribute, LabelSchema

Image = NDArray[np.uint8] | bytes | None


class Store:
    """Images in a list, None where the file is missing."""

    def __init__(self, images: list[Image]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        return f"images/{index}.png"

    def read(self, index: int) -> NDArray[np.uint8] | bytes:
        image = self.images[index]
        if image is None:
            raise FileNotFoundError(2, "No such file or directory")
        return image


def shade(value: int) -> Image:
    return np.full((2, 3, 3), value, np.uint8)


def dataset(labels: NDArray[np.int64], names: list[list[str]], images: list[Image], **rest: Any) -> Dataset:
    schema = LabelSchema(tuple(Attribute(head, tuple(classes)) for head, *classes in names))
    ids = rest.pop("ids", [f"i{k}" for k in range(len(labels))])
    return Dataset("made", schema, labels, ids, Store(images), **rest)


def many_classes(classes: int, attributes: int = 1, **rest: Any) -> Diagnosis:
    """Class k has k + 1 images, so the last class is the largest."""
    labels = np.repeat(np.arange(classes), np.arange(1, classes + 1))[:, None].repeat(attributes, 1)
    names = [[f"attribute {j}", *(f"class {k}" for k in range(classes))] for j in range(attributes)]
    return diagnose(dataset(labels, names, [], **rest), check_images=False)


def pets() -> Diagnosis:
    """Small data with everything that can be wrong."""
    labels = np.array([[0, 0], [1, 0], [1, -1], [2, 1], [0, 1], [0, 0]], np.int64)
    images = [shade(1), shade(1), shade(2), b"damaged", None, shade(2)]
    split = np.array([0, 0, 2, 0, -1, 0], np.int8)
    names = [["animal", "cat", "dog", "eel"], ["wild", "no", "yes"]]
    groups = np.array([0, 1, 1, 2, 2, 3])
    return diagnose(
        dataset(labels, names, images, split=split, groups=groups, notes=("found",)), batch_size=2
    )


def printed(diagnosis: Diagnosis, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(render(diagnosis))
    text = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    return "\n".join(line.rstrip() for line in text.splitlines())


def words(text: str) -> str:
    return " ".join(text.split())


def test_of_many_classes_the_largest_and_the_rarest_are_shown_and_the_rest_counted():
    text = printed(many_classes(61))
    shown = [
        line.split()[1] for line in text.splitlines() if line.startswith("class ") and "images" not in line
    ]
    assert shown == ["60", "59", "58", *map(str, range(11, -1, -1))]
    assert "… 46 more" in text


def test_few_classes_are_all_shown():
    text = printed(many_classes(5))
    assert all(f"class {k}" in text for k in range(5))
    assert "more" not in text.split("Classes")[1].split("What follows")[0]


def test_with_forty_attributes_one_line_each_shows_the_rarest_class():
    text = printed(many_classes(2, attributes=40)).split("The rarest classes")[1].split("\n\n")[0]
    rows = [line for line in text.splitlines() if line.startswith("attribute ")]
    assert [line.split()[1] for line in rows[1:]] == [str(j) for j in range(40)]
    assert all("class 0" in line for line in rows[1:])


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_is_wider_than_the_terminal(width: int):
    names = [
        ["a very long attribute name", *(f"ein sehr langer Klassenname {k} 漢字漢字漢字" for k in range(30))]
    ] * 1
    names.append(["another", "no", "yes"])
    labels = np.stack([np.arange(3000) % 30, np.arange(3000) % 2], 1)
    split = (np.arange(3000) % 3).astype(np.int8)
    images = [shade(k % 200) for k in range(3000)]
    ids = [f"a/rather/long/folder/with/an/image/of/the/number/{k:09d}.png" for k in range(3000)]
    data = dataset(labels, names, images, split=split, groups=np.arange(3000) % 1500, ids=ids)
    text = printed(diagnose(data), width)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert all(heading in text for heading in ("train", "val", "test", "pair", "alone", "major", "absent"))


def test_names_are_shown_as_they_are_not_as_markup_or_control_characters():
    names = [["[bold]kind[/bold]", "[red]", ":smile:", "[/]"]]
    labels = np.array([[0], [1], [2], [0]])
    data = dataset(labels, names, [shade(1), shade(1), b"", None], ids=["[a]", "b\x1b[2J", "[/c]", "d"])
    text = printed(diagnose(data))
    assert all(name in text for name in ("[bold]kind[/bold]", "[red]", ":smile:", "[/]", "[a] = b", "[/c]"))
    assert "\x1b" not in text


def test_problems_are_listed_with_their_reason():
    text = printed(pets())
    assert "i4  No such file or directory" in text
    assert "i3  " in text
    assert "i0 = i1" in text
    assert "animal: cat / dog" in text
    assert "i2 = i5" in text
    assert "train, test" in text
    assert (
        "2 sets of identical images (2 pairs), 2 with different labels, 2 across groups, 1 across splits"
        in (words(text))
    )


def test_long_lists_are_cut_and_the_rest_counted():
    labels = np.zeros((MOST_LISTED + 5, 1), np.int64)
    text = printed(diagnose(dataset(labels, [["kind", "only"]], [None] * len(labels))))
    assert text.count("No such file") == MOST_LISTED
    assert "… and 5 more" in text


def test_of_a_large_set_of_identical_images_the_first_ids_and_each_label_once_are_shown():
    labels = np.arange(9)[:, None] % 2
    text = words(printed(diagnose(dataset(labels, [["kind", "x", "y"]], [shade(1)] * 9))))
    assert "i0 = i1 = i2 = i3 = … 5 more kind: x / y" in text


def test_advice_of_one_rule_on_many_attributes_is_cut_and_the_rest_counted():
    text = printed(many_classes(2, attributes=8))
    assert text.count("has a single image") == 3
    assert "… and 5 more like this" in text


def test_columns_without_anything_to_tell_are_left_out():
    alone = printed(many_classes(3, groups=np.arange(6)))
    assert "groups " not in alone.split("Classes, the largest first")[1]
    shared = printed(many_classes(3, groups=np.arange(6) // 2))
    assert "groups " in shared.split("Classes, the largest first")[1]
    split = np.array([-1, -1, -1, 2, 2, -1], np.int8)
    heading = printed(many_classes(3, split=split)).split("Classes, the largest first")[1].splitlines()[1]
    assert heading.split()[:3] == ["class", "train", "test"]


def test_the_dict_survives_json_and_holds_all_classes_and_problems():
    diagnosis = pets()
    data = to_dict(diagnosis)
    loaded = json.loads(json.dumps(data, allow_nan=False))
    assert [c["name"] for c in loaded["attributes"][0]["classes"]] == ["cat", "dog", "eel"]
    assert [c["images"] for c in loaded["attributes"][0]["classes"]] == [3, 2, 1]
    assert loaded["attributes"][0]["absent_from"] == {"train": [], "test": ["cat", "eel"]}
    assert loaded["attributes"][1]["unlabelled"] == 1
    assert len(loaded["attributes"][0]["batches"][0]["kept"]) == 3
    assert loaded["image_check"]["formats"] == {"array": 4}
    assert loaded["image_check"]["missing"] == [
        {"id": "i4", "name": "images/4.png", "reason": "No such file or directory"}
    ]
    assert loaded["image_check"]["duplicates"][0] == {
        "ids": ["i0", "i1"],
        "conflicts": [{"attribute": "animal", "labels": ["cat", "dog"]}],
        "groups": 2,
        "splits": ["train"],
    }
    assert {piece["rule"] for piece in loaded["advice"]} >= {"unusable_images", "contradicting_duplicates"}
    assert loaded["splits"] == ["train", "val", "test"]
    assert loaded["split_sizes"] == [4, 0, 1]


def test_the_dict_is_not_cut_where_the_terminal_is():
    whole = to_dict(many_classes(61, attributes=5))
    assert [len(a["classes"]) for a in whole["attributes"]] == [61] * 5
    assert sum(piece["rule"] == "single_image" for piece in whole["advice"]) == 5


def test_without_image_check_nothing_is_said_of_images():
    diagnosis = many_classes(3)
    assert to_dict(diagnosis)["image_check"] is None
    assert "duplicates" not in printed(diagnosis)


def test_figures_in_the_terminal_are_those_of_the_dict():
    diagnosis = many_classes(12)
    attribute = to_dict(diagnosis)["attributes"][0]
    (line,) = [line for line in printed(diagnosis).splitlines() if line.startswith("class 3 ")]
    batches = attribute["batches"][0]
    shares = [100 * batches[name][3] for name in ("kept", "skipped", "majority", "absent")]
    assert line.replace("< 1", "<1").split()[2:] == [
        "4",
        *(f"{s:.0f}" if s == 0 or s >= 0.5 else "<1" for s in shares),
    ]
