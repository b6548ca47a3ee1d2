"""What follows from how images look: near duplicates, and sizes that a network does not see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from longtail.diagnosing.examine import Diagnosis
from longtail.diagnosing.image_check import DuplicateSet
from longtail.words import count

SHRUNK = 4
"""From this many times the size of the model on, details of the images are lost."""

TINY = 32
"""Pixels of the short side below which a network for photos leaves less than one cell of an image."""


def near_across_splits(diagnosis: Diagnosis) -> Iterator[str]:
    """Nearly the image that was trained on is nearly as easy as that image itself."""
    found = [near for near in diagnosis.near or () if len(near.splits) > 1]
    if found:
        yield (
            f"In more than one of the given splits: images of {_size(found)}. On them, the figures measure "
            "memory: keep each group in one split."
        )


def near_to_be_split(diagnosis: Diagnosis) -> Iterator[str]:
    """Without given splits, near duplicates outside of one common group can end up on both sides."""
    if diagnosis.given_splits:
        return
    found = [near for near in diagnosis.near or () if near.groups is None or near.groups > 1]
    if found:
        common = "" if diagnosis.groups is None else "common "
        yield (
            f"Without a {common}group: {_size(found)}. A split can put them in training and test, and the "
            "figures measure memory: look at them with --pictures FILE, and train with "
            "--group-near-duplicates."
        )


def near_with_other_labels(diagnosis: Diagnosis) -> Iterator[str]:
    """One scene with two labels is a mistake, or shows how fine the difference is."""
    found = [near for near in diagnosis.near or () if near.conflicts]
    if found:
        yield (
            f"With different labels: {_size(found)}. They are mistakes, or the difference is hard to see: "
            "look at them with --pictures FILE."
        )


def shrunk_images(diagnosis: Diagnosis) -> Iterator[str]:
    """What is smaller than a pixel of the model's image is gone."""
    sizes, plan = _median_size(diagnosis), diagnosis.plan
    if sizes and plan and min(sizes) >= SHRUNK * plan.side:
        width, height = sizes
        yield (
            f"The median image has {width:,.0f}x{height:,.0f} pixels, and the network sees "
            f"{plan.side}: details smaller than {min(sizes) / plan.side:.0f} pixels are lost. If they "
            "matter, crop the images or set a larger --image-size."
        )


def tiny_images(diagnosis: Diagnosis) -> Iterator[str]:
    """Pretrained networks halve an image five times."""
    sizes = _median_size(diagnosis)
    if sizes and min(sizes) < TINY:
        width, height = sizes
        yield (
            f"The median image has {width:,.0f}x{height:,.0f} pixels: a network for photos would shrink it "
            "to less than one cell. With --freeze or --finetune a pretrained network sees it enlarged."
        )


def _size(near: Sequence[DuplicateSet]) -> str:
    """'3 groups of near duplicates (8 images)'."""
    images = count(sum(len(group.ids) for group in near), "image")
    return f"{count(len(near), 'group')} of near duplicates ({images})"


def _median_size(diagnosis: Diagnosis) -> tuple[float, float] | None:
    """Width and height."""
    check = diagnosis.image_check
    if check is None or check.width is None or check.height is None:
        return None
    return check.width.median, check.height.median
