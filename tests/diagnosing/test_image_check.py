"""Every image read once: what is missing, damaged, and the same."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from longtail.data.dataset import Dataset
from longtail.diagnosing.image_check import (
    Conflict,
    Spread,
    check_images,
    find_duplicates,
    image_format,
)
from longtail.schema import Attribute, LabelSchema
from longtail.threads import BLOCK

Item = bytes | NDArray[np.uint8] | Exception


class Store:
    """Images of a list; an exception in it is raised when it is read."""

    def __init__(self, items: list[Item]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def name(self, index: int) -> str:
        return f"images/{index}.png"

    def read(self, index: int) -> bytes | NDArray[np.uint8]:
        item = self.items[index]
        if isinstance(item, Exception):
            raise item
        return item


SCHEMA = LabelSchema((Attribute("animal", ("cat", "dog", "eel")), Attribute("wild", ("no", "yes"))))


def dataset(
    items: list[Item],
    labels: list[list[int]] | None = None,
    *,
    ids: list[str] | None = None,
    groups: list[int] | None = None,
    split: list[int] | None = None,
) -> Dataset:
    return Dataset(
        name="pets",
        schema=SCHEMA,
        labels=np.array(labels or [[0, 0]] * len(items), np.int64).reshape(len(items), 2),
        ids=ids or [f"i{k}" for k in range(len(items))],
        images=Store(items),
        groups=None if groups is None else np.array(groups, np.int64),
        split=None if split is None else np.array(split, np.int8),
    )


def picture(seed: int, height: int = 4, width: int = 6) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(pixels: NDArray[np.uint8], format: str = "PNG", **options: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, **options)
    return file.getvalue()


def test_missing_and_unreadable_images_are_told_apart_and_named_with_the_reason():
    items: list[Item] = [
        encoded(picture(0)),
        FileNotFoundError(2, "No such file or directory", "images/1.png"),
        PermissionError(13, "Permission denied", "images/2.png"),
        b"",
        b"no image at all",
        encoded(picture(1, 40, 40), "JPEG")[:-200],
    ]
    check = check_images(dataset(items))
    assert check.checked == 6
    assert [(p.id, p.name, p.reason) for p in check.missing] == [
        ("i1", "images/1.png", "No such file or directory")
    ]
    assert [p.id for p in check.unreadable] == ["i2", "i3", "i4", "i5"]
    assert check.unreadable[0].reason == "Permission denied"
    assert "empty" in check.unreadable[1].reason
    assert all(p.reason and p.name not in p.reason for p in check.unreadable)


def test_an_error_without_words_still_has_a_reason():
    assert check_images(dataset([OSError()])).unreadable[0].reason == "OSError"


def test_sizes_are_those_of_the_readable_images():
    items: list[Item] = [picture(0, 4, 6), picture(1, 10, 8), picture(2, 5, 30), b"damaged"]
    check = check_images(dataset(items))
    assert (check.height, check.width) == (Spread(4, 5.0, 10), Spread(6, 8.0, 30))


def test_without_a_readable_image_there_are_no_sizes():
    check = check_images(dataset([b"damaged"]))
    assert (check.height, check.width, check.formats) == (None, None, ())


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WebP"])
def test_formats_are_recognised_by_content(format: str):
    assert image_format(encoded(picture(0), format)) == format


def test_formats_are_counted_the_most_frequent_first():
    items: list[Item] = [picture(0), encoded(picture(1)), encoded(picture(2)), encoded(picture(3), "BMP")]
    assert check_images(dataset(items)).formats == (("PNG", 2), ("BMP", 1), ("array", 1))


def test_the_same_pixels_are_duplicates_in_whatever_lossless_file():
    pixels = picture(0)
    items: list[Item] = [
        encoded(pixels, compress_level=0),
        encoded(picture(1)),
        encoded(pixels, compress_level=9),
        encoded(pixels, "BMP"),
        pixels,
    ]
    (found,) = check_images(dataset(items)).duplicates
    assert found.ids == ("i0", "i2", "i3", "i4")
    assert found.pairs == len(list(combinations(found.ids, 2)))


def test_the_same_bytes_in_another_shape_are_no_duplicates():
    pixels = picture(0, 4, 6)
    assert check_images(dataset([pixels, pixels.reshape(6, 4, 3)])).duplicates == ()


def test_damaged_images_are_no_duplicates_of_each_other():
    assert check_images(dataset([b"damaged", b"damaged"])).duplicates == ()


def test_conflicting_labels_are_listed_per_attribute_in_the_order_of_the_ids():
    a, b = picture(0), picture(1)
    labels = [[1, 0], [2, 1], [0, 0], [2, 1]]
    check = check_images(dataset([a, b, a, b], labels, ids=["z", "m", "c", "n"]))
    agreeing, conflicting = check.duplicates[1], check.duplicates[0]
    assert conflicting.ids == ("c", "z")
    assert conflicting.conflicts == (Conflict("animal", ("cat", "dog")),)
    assert (agreeing.ids, agreeing.conflicts) == (("m", "n"), ())
    assert check.conflicting == (conflicting,)


def test_an_unlabelled_image_contradicts_nothing_but_is_shown_beside_those_that_do():
    a = picture(0)
    assert not check_images(dataset([a, a], [[0, 1], [-1, 1]])).conflicting
    (found,) = check_images(dataset([a, a, a], [[0, 1], [-1, 1], [2, 1]])).conflicting
    assert found.conflicts == (Conflict("animal", ("cat", None, "eel")),)


def test_duplicates_across_splits_and_groups_are_found():
    a, b, c = picture(0), picture(1), picture(2)
    items: list[Item] = [a, a, b, b, c, c]
    check = check_images(dataset(items, groups=[0, 1, 2, 2, 3, 3], split=[0, 0, 0, 2, 0, -1]))
    assert [d.ids for d in check.across_groups] == [("i0", "i1")]
    assert [(d.ids, d.splits) for d in check.across_splits] == [(("i2", "i3"), ("train", "test"))]


def test_without_groups_or_splits_nothing_is_across_them():
    check = check_images(dataset([picture(0), picture(0)]))
    assert (check.duplicates[0].groups, check.duplicates[0].splits) == (None, ())
    assert check.across_groups == check.across_splits == ()


@given(st.lists(st.tuples(st.sampled_from([b"", b"a", b"b", b"c"]), st.integers(-1, 2)), max_size=9))
def test_duplicates_and_conflicts_are_those_of_a_comparison_of_all_pairs(rows: list[tuple[bytes, int]]):
    digests, labels = [d for d, _ in rows], [[label, 0] for _, label in rows]
    found = find_duplicates(dataset([picture(0)] * len(rows), labels), digests)
    same = [
        (i, j) for i, j in combinations(range(len(rows)), 2) if digests[i] == digests[j] and digests[i] != b""
    ]
    assert sum(d.pairs for d in found) == len(same)
    assert {pair for d in found for pair in combinations(d.ids, 2)} == {(f"i{i}", f"i{j}") for i, j in same}
    different = {
        digests[i] for i, j in same if -1 not in (rows[i][1], rows[j][1]) and rows[i][1] != rows[j][1]
    }
    assert sum(bool(d.conflicts) for d in found) == len(different)


def test_progress_is_reported_up_to_the_last_image():
    told: list[tuple[int, int]] = []
    total = BLOCK + 3
    check_images(dataset([picture(0)] * total), lambda done, of: told.append((done, of)))
    assert told == [(BLOCK, total), (total, total)]


def test_what_is_raised_in_the_caller_ends_the_check():
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_images(dataset([picture(0)] * (3 * BLOCK)), stop)


def test_other_errors_are_not_taken_for_damaged_images():
    with pytest.raises(RuntimeError, match="a fault of ours"):
        check_images(dataset([RuntimeError("a fault of ours")]))


def test_values_of_12_bits_in_a_file_of_16_are_almost_black() -> None:
    files: list[Item] = []
    for largest in (1023, 4095, 65535):
        buffer = io.BytesIO()
        Image.fromarray(np.linspace(0, largest, 24).reshape(4, 6).astype(np.uint16)).save(buffer, "PNG")
        files.append(buffer.getvalue())
    found = check_images(dataset(files))
    assert (found.almost_black, found.bits) == (2, 16)
    assert [check_images(dataset(files[:n])).bits for n in (1, 2)] == [10, 12]


def test_bits_are_those_of_training_images() -> None:
    files: list[Item] = []
    for largest in (1023, 4095):
        buffer = io.BytesIO()
        Image.fromarray(np.full((2, 2), largest, np.uint16)).save(buffer, "PNG")
        files.append(buffer.getvalue())
    test = replace(dataset(files), split=np.array([0, 2], np.int8))
    assert check_images(test).bits == 10
    nothing_for_training = replace(test, split=np.array([2, 2], np.int8))
    assert check_images(nothing_for_training).bits == 12, "of all, as everything else is counted then"
    told = check_images(test, bits=12)
    assert (told.bits, told.almost_black) == (0, 0)
