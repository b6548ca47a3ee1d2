"""Suspect labels in the terminal and for JSON."""

from __future__ import annotations

import io
import json

from rich.cells import cell_len
from rich.console import Console

from longtail.diagnosing.label_show import MOST_SUSPECTS, render, to_dict

from .label_data import doubted, shades


def text(check, width=80):
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(render(check, "out/labels.html", "longtail train out/labels.csv"))
    return captured.get()


def test_classes_and_the_first_suspects_are_shown_and_where_all_are():
    dataset = shades(40)
    shown = text(doubted(dataset, 2, 5))
    assert "out/labels.html" in shown
    assert "longtail train out/labels.csv" in " ".join(shown.split())
    assert "1 image could not be read" in shown
    assert shown.index("image 2") < shown.index("image 5")
    assert "Nothing was changed" in " ".join(shown.split())


def test_it_fits_eighty_columns_whatever_the_names():
    dataset = shades(
        60, ("an attribute with a long name " * 3, "b"), ids=["名" * 60 + str(i) for i in range(60)]
    )
    shown = text(doubted(dataset, *range(50)))
    assert max(cell_len(line.rstrip()) for line in shown.splitlines()) <= 80
    assert shown.count("…") > MOST_SUSPECTS


def test_images_with_contradicting_twins_are_counted_because_they_are_listed_elsewhere():
    dataset = shades(40)
    shown = text(doubted(dataset, 5, 2, 8, twins={5: (2,), 2: (5,)}))
    assert "2 images first in the list are identical to one with another label" in " ".join(shown.split())
    assert "image 8" in shown
    assert "image 5" not in shown


def test_without_a_suspect_no_list_is_shown():
    dataset = shades(40)
    assert "Most suspect" not in text(doubted(dataset))
    assert "Most suspect" in text(doubted(dataset, 1))


def test_everything_can_be_had_as_json():
    dataset = shades(40)
    found = json.loads(json.dumps(to_dict(doubted(dataset, 5, twins={5: (7,)})), allow_nan=False))
    assert found["unreadable"] == 1
    assert found["attributes"][0]["suspects"] == [
        {
            "id": "image 5",
            "given": "odd",
            "suggested": "even",
            "suspicion": 0.7974,
            "identical_to": ["image 7"],
        }
    ]
