from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.data.dataset import Dataset
from longtail.data.published.darn import ATTRIBUTES, XDOMAIN
from longtail.errors import InputError

NINE = "12 20 56 6 27 10 25 7 16"
SHOP = f"shop/a.jpg {NINE} g1\nshop/b.jpg 1 0 -1 1 1 1 1 1 2 g1\nshop/c.jpg 2 2 2 2 2 2 2 2 2 g2\n"
STREET = "street/d.jpg 3 3 3 3 3 3 3 3 3 g1\nstreet/e.jpg 4 4 4 4 4 4 4 4 4\n"


def written(root: Path, files: dict[str, str], images: str = "abcde") -> Path:
    for name, text in files.items():
        (root / name).write_text(text)
    for letter in images:
        path = root / ("shop" if letter in "abc" else "street") / f"{letter}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(letter.encode())
    return root


def opened(root: Path, shop: str = SHOP, street: str = STREET, images: str = "abcde", **more: str) -> Dataset:
    files = {"shop.txt": shop, "street.txt": street} | {f"{name}.txt": text for name, text in more.items()}
    return XDOMAIN.load(written(root, files, images))


def refused(root: Path, **files: str) -> str:
    with pytest.raises(InputError) as caught:
        opened(root, **files)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_both_domains_are_one_data_set(tmp_path: Path) -> None:
    data = opened(tmp_path)
    assert XDOMAIN.recognises(tmp_path)
    assert data.schema.num_classes == (12, 20, 56, 6, 27, 10, 25, 7, 16)
    assert data.schema.names == tuple(ATTRIBUTES)
    assert sum(data.schema.num_classes) == 179
    assert data.schema.attributes[0].classes[:2] == ("1", "2")
    assert list(data.ids) == ["shop/a.jpg", "shop/b.jpg", "shop/c.jpg", "street/d.jpg", "street/e.jpg"]
    assert [data.images.read(i) for i in range(5)] == [b"a", b"b", b"c", b"d", b"e"]
    assert data.labels[0].tolist() == [11, 19, 55, 5, 26, 9, 24, 6, 15]
    assert data.labels[1].tolist() == [0, -1, -1, 0, 0, 0, 0, 0, 1]
    assert data.labels[4].tolist() == [3] * 9
    assert data.labels.dtype == np.int64
    assert data.domains is not None
    assert data.domains.names == ("shop", "street")
    assert data.domains.codes.tolist() == [0, 0, 0, 1, 1]
    assert data.domains.codes.dtype == np.int64
    assert data.split is None
    assert data.notes[0] == "3 shop and 2 street images, 1 garment in both"
    assert "category: 1 image not labelled (empty)" in data.notes


def test_only_garments_of_both_domains_match_but_every_garment_is_a_group(tmp_path: Path) -> None:
    data = opened(tmp_path)
    assert data.matches is not None
    assert data.groups is not None
    a, b, c, d, e = data.matches.tolist()
    assert (a, b, c, e) == (d, d, -1, -1)
    assert d >= 0
    groups = data.groups.tolist()
    assert groups[0] == groups[1] == groups[3]
    assert len(set(groups)) == 3
    assert (data.matches.dtype, data.groups.dtype) == (np.int64, np.int64)


def test_without_garments_there_are_neither_matches_nor_groups(tmp_path: Path) -> None:
    data = opened(tmp_path, shop=f"shop/a.jpg {NINE}\n", street=f"street/d.jpg {NINE} 0\n")
    assert (data.matches, data.groups) == (None, None)
    assert data.notes[0] == "1 shop and 1 street images, 0 garments in both"


def test_rows_whose_image_is_not_there_are_left_out_and_counted(tmp_path: Path) -> None:
    data = opened(tmp_path, images="bce", split="shop/a.jpg test\nshop/b.jpg train\nstreet/e.jpg val\n")
    assert list(data.ids) == ["shop/b.jpg", "shop/c.jpg", "street/e.jpg"]
    assert data.labels[:, 0].tolist() == [0, 1, 3]
    assert [data.images.read(i) for i in range(3)] == [b"b", b"c", b"e"]
    assert data.domains is not None
    assert data.domains.codes.tolist() == [0, 0, 1]
    assert data.matches is not None
    assert data.matches.tolist() == [-1, -1, -1]
    assert data.split is not None
    assert data.split.tolist() == [0, -1, 1]
    assert "2 rows left out, image not there" in data.notes
    assert "1 image in no split" in data.notes


def test_tabs_allow_empty_fields_and_spaces_in_paths(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "a b.jpg").write_bytes(b"")
    data = opened(tmp_path, shop="./shop/a b.jpg\t" + "\t".join(["", "5", *"1111111"]) + "\t\n")
    assert data.ids[0] == "shop/a b.jpg"
    assert data.labels[0].tolist() == [-1, 4, 0, 0, 0, 0, 0, 0, 0]


def test_values_get_their_names(tmp_path: Path) -> None:
    values = "category\t2\tLeather coat\nsleeve shape\t1\t1\ncategory\t1\tT-shirt\n"
    schema = opened(tmp_path, values=values).schema
    assert schema.attributes[1].classes[:3] == ("T-shirt", "Leather coat", "3")
    assert schema.attributes[8].classes[:2] == ("1", "2")


def test_a_data_set_can_be_pickled(tmp_path: Path) -> None:
    data = pickle.loads(pickle.dumps(opened(tmp_path)))
    assert (data.images.read(3), data.ids[3]) == (b"d", "street/d.jpg")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (
            "shop",
            f"{SHOP}shop/f.jpg 1 2 3\n",
            "shop.txt, line 4: expected a path, nine numbers, and optionally",
        ),
        ("shop", f"{SHOP}shop/f.jpg {NINE} g h\n", "shop.txt, line 4: expected a path, nine numbers"),
        (
            "shop",
            f"shop/a.jpg 13{NINE[2:]}\n",
            "line 1: expected as opening (number 1 after the path) 1 to 12, or",
        ),
        (
            "shop",
            f"shop/a.jpg {NINE[:-2]}17\n",
            "as sleeve shape (number 9 after the path) 1 to 16, or 0 or -1",
        ),
        (
            "shop",
            f"shop/a.jpg {NINE[:-2]}-2\n",
            "as sleeve shape (number 9 after the path) 1 to 16, or 0 or -1",
        ),
        (
            "street",
            f"{STREET}shop/b.jpg {NINE}\n",
            "street.txt, line 3: names shop/b.jpg again, after shop.txt, line 2",
        ),
        ("values", "cut\t1\tx\n", "values.txt, line 1: expected opening, category, colour"),
        ("values", "print\t28\tx\n", "values.txt, line 1: expected a number from 1 to 27 for print"),
        (
            "values",
            "print\t1\tx\nprint\t2\tx\n",
            "values.txt, line 2: expected a name that no other value of print has",
        ),
        (
            "values",
            "print\t1\n",
            "values.txt, line 1: expected attribute, number and name, separated by tabs",
        ),
        (
            "split",
            "shop/a.jpg train\nshop/b.jpg extra\n",
            "split.txt, line 2: expected an image and train, val or test",
        ),
        ("street", "", "street.txt: is empty"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, file: str, text: str, message: str) -> None:
    assert message in refused(tmp_path, **{file: text})


def test_a_missing_list_or_missing_images_say_where_to_get_them(tmp_path: Path) -> None:
    written(tmp_path, {"shop.txt": SHOP}, "")
    assert not XDOMAIN.recognises(tmp_path)
    with pytest.raises(InputError, match=r"street\.txt: cannot be read .*" + XDOMAIN.source):
        XDOMAIN.load(tmp_path)
    written(tmp_path, {"street.txt": STREET}, "")
    with pytest.raises(InputError, match=r"of 5 listed images none is there, expected shop/a\.jpg"):
        XDOMAIN.load(tmp_path)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["", "0", "p", "q", "r"])), min_size=2, max_size=9))
def test_matches_and_groups_are_those_of_comparing_every_two_images(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[bool, str]]
) -> None:
    root = tmp_path_factory.mktemp("darn")
    rows = sorted([*rows, (False, ""), (True, "")], key=lambda row: row[0])  # shop.txt comes first
    for street in (False, True):
        lines = [f"{i}.jpg {NINE} {g}\n" for i, (side, g) in enumerate(rows) if side == street]
        (root / ("street.txt" if street else "shop.txt")).write_text("".join(lines))
    for i in range(len(rows)):
        (root / f"{i}.jpg").write_bytes(b"")
    data = XDOMAIN.load(root)
    known = [g not in ("", "0") for _, g in rows]
    if not any(known):
        assert (data.matches, data.groups) == (None, None)
        return
    assert data.matches is not None
    assert data.groups is not None
    for i, (_, one) in enumerate(rows):
        in_both = known[i] and len({side for side, g in rows if g == one}) == 2
        assert (data.matches[i] >= 0) == in_both
        for j, (_, other) in enumerate(rows):
            same = i == j or (known[i] and one == other)
            assert (data.groups[i] == data.groups[j]) == same
            if in_both:
                assert (data.matches[i] == data.matches[j]) == same
