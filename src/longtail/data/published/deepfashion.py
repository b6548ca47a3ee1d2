"""DeepFashion: clothes by category, and 20,000 of them by 26 attributes.

    ROOT/Anno/ (or Anno_coarse/)   list_category_cloth.txt, list_category_img.txt
    ROOT/Eval/                     list_eval_partition.txt
    ROOT/Anno_fine/                list_category_cloth.txt, list_attr_cloth.txt, and for each of
                                   train, val, test: SPLIT.txt, SPLIT_cate.txt, SPLIT_attr.txt
    ROOT/img/ (or Img/img/)        the images that the lists name as img/FOLDER/FILE.jpg

Source: Liu, Luo, Qiu, Wang and Tang, DeepFashion, CVPR 2016: Category and Attribute Prediction Benchmark.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longtail.data.annotations import (
    Rows,
    check_distinct,
    holds,
    images_below,
    read_counted_rows,
    read_rows,
    split_of,
)
from longtail.data.classes import describe_attributes, describe_split
from longtail.data.dataset import SPLITS, Dataset
from longtail.data.names import Names
from longtail.data.published.layouts import Layout
from longtail.data.stores import FileStore
from longtail.errors import InputError
from longtail.schema import Attribute, LabelSchema
from longtail.words import count, first_of

SOURCE = "http://mmlab.ie.cuhk.edu.hk/projects/DeepFashion.html"

_LICENCE = "non-commercial research and education only; the images belong to their owners"
_COARSE = ("Anno", "Anno_coarse")
_FINE = "Anno_fine"
_BINARY = {"0": 0, "1": 1}


def load_deepfashion(root: Path) -> Dataset:
    """All images with their category.

    The 1,000 binary attributes of list_attr_img.txt are not read: dense, they are 289,222 × 1,000
    labels (2.3 GB), nearly all of them negative.

    Raises:
        InputError: when a file or an image is not there, a line is not as expected, or an image is
            listed twice.
    """
    anno = next((root / name for name in _COARSE if (root / name).is_dir()), root / _COARSE[0])
    category = _category(anno)
    listed = read_counted_rows(anno / "list_category_img.txt", SOURCE)
    names, numbers = listed.pairs("an image and the number of its category")
    check_distinct((listed, names))
    labels = _numbered(listed, numbers, category)[:, None]
    split = split_of(read_counted_rows(root / "Eval" / "list_eval_partition.txt", SOURCE), names)
    notes = ("the 1,000 attributes of list_attr_img.txt are not read, only the category",)
    return _dataset("DeepFashion", root, (category,), listed, names, labels, split, notes)


def load_deepfashion_fine(root: Path) -> Dataset:
    """The 20,000 images annotated by hand, with their category and 26 binary attributes.

    Args:
        root: the folder, or its Anno_fine where the whole data set lies beside it.

    Raises:
        InputError: see `load_deepfashion`.
    """
    anno = root if holds(root, "train_cate.txt") else root / _FINE
    category = _category(anno)
    binary = _typed(anno / "list_attr_cloth.txt", "an attribute")
    parts = [_fine_part(anno, split, category, binary) for split in SPLITS]
    names = [name for listed, _ in parts for name in listed.texts]
    labels = np.concatenate([labels for _, labels in parts])
    split = np.repeat(np.arange(len(SPLITS), dtype=np.int8), [len(listed) for listed, _ in parts])
    attributes = (category, *(Attribute(name, ("no", "yes")) for name in binary))
    check_distinct(*((listed, listed.texts) for listed, _ in parts))
    return _dataset("DeepFashion-fine", anno.parent, attributes, parts[0][0], names, labels, split, ())


def _category(anno: Path) -> Attribute:
    """The 50 categories in the order of their numbers, 1 to 50."""
    return Attribute("category", tuple(_typed(anno / "list_category_cloth.txt", "a category")))


def _typed(path: Path, what: str) -> list[str]:
    """The distinct names in a list that gives each a type."""
    rows = read_counted_rows(path, SOURCE)
    names, _ = rows.pairs(f"{what} and its type")
    check_distinct((rows, names))
    return names


def _numbered(rows: Rows, numbers: Sequence[str], category: Attribute) -> NDArray[np.int64]:
    place = {str(code + 1): code for code in range(len(category.classes))}
    return rows.codes(numbers, place, f"a category from 1 to {len(category.classes)}")


def _fine_part(
    anno: Path, split: str, category: Attribute, binary: Sequence[str]
) -> tuple[Rows, NDArray[np.int64]]:
    """The images of one split, and (n, 1 + 26) labels."""
    listed = read_rows(anno / f"{split}.txt", SOURCE)
    listed = Rows(listed.path, [text.strip() for text in listed.texts])
    categories = _beside(listed, anno / f"{split}_cate.txt")
    flags = _beside(listed, anno / f"{split}_attr.txt")
    words = [text.split() for text in flags.texts]
    for row, found in enumerate(words):
        if len(found) != len(binary):
            raise flags.refuse(row, f"{len(binary)} numbers, 0 or 1")
    columns = [flags.codes(column, _BINARY, "numbers 0 or 1") for column in zip(*words)]
    numbers = [text.strip() for text in categories.texts]
    return listed, np.stack([_numbered(categories, numbers, category), *columns], 1)


def _beside(listed: Rows, path: Path) -> Rows:
    rows = read_rows(path, SOURCE)
    if len(rows) != len(listed):
        raise InputError(
            f"{path}: has {len(rows)} rows beside {len(listed)} images of {listed.path.name};"
            f" get both again, see {SOURCE}"
        )
    return rows


def _dataset(
    name: str,
    root: Path,
    attributes: tuple[Attribute, ...],
    listed: Rows,
    names: Sequence[str],
    labels: NDArray[np.int64],
    split: NDArray[np.int8],
    notes: tuple[str, ...],
) -> Dataset:
    place = _require_images(root, names)
    schema = LabelSchema(attributes)
    ids = Names(names)
    return Dataset(
        name=name,
        schema=schema,
        labels=labels,
        ids=ids,
        images=FileStore(place, ids),
        split=split,
        notes=(
            f"{count(len(names), 'image')} named by {listed.path.parent}",
            *describe_attributes(schema, labels),
            *describe_split("as published", split),
            *notes,
        ),
    )


def _require_images(root: Path, names: Sequence[str]) -> Path:
    """The folder that the lists' paths start from: img.zip is distributed in Img/."""
    place = root / "Img" if (root / "Img" / "img").is_dir() else root
    there = images_below(place)
    missing = [name for name in names if name not in there]
    if missing:
        raise InputError(
            f"{place}: expected image {first_of(missing)}, which is not there; unpack img.zip there,"
            f" see {SOURCE}"
        )
    return place


def _is_deepfashion(path: Path) -> bool:
    return any(holds(path / anno, "list_category_img.txt", "list_category_cloth.txt") for anno in _COARSE)


def _is_deepfashion_fine(path: Path) -> bool:
    files = ("train.txt", "train_cate.txt", "train_attr.txt")
    return holds(path, *files) or (holds(path / _FINE, *files) and not _is_deepfashion(path))


DEEPFASHION = Layout(
    name="DeepFashion",
    size="289,222 images: train 209,222, val 40,000, test 40,000",
    labels="category of clothes, 50 classes (46 occur)",
    licence=_LICENCE,
    source=SOURCE,
    expected=(
        "Anno/list_category_cloth.txt (or in Anno_coarse/)",
        "Anno/list_category_img.txt",
        "Eval/list_eval_partition.txt",
        "img/ (or Img/img/), unpacked from img.zip",
    ),
    recognises=_is_deepfashion,
    load=load_deepfashion,
)
"""The Category and Attribute Prediction Benchmark, its categories."""

DEEPFASHION_FINE = Layout(
    name="DeepFashion-fine",
    size="20,000 images: train 14,000, val 2,000, test 4,000",
    labels="category of clothes, 50 classes, and 26 binary attributes",
    licence=_LICENCE,
    source=SOURCE,
    expected=(
        "Anno_fine/list_category_cloth.txt",
        "Anno_fine/list_attr_cloth.txt",
        "Anno_fine/train.txt, train_cate.txt, train_attr.txt (and the same of val and test)",
        "img/ (or Img/img/), unpacked from img.zip",
    ),
    recognises=_is_deepfashion_fine,
    load=load_deepfashion_fine,
)
"""The part annotated by hand; where all of DeepFashion lies in one folder, give its Anno_fine."""
