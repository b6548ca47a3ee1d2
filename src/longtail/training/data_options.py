"""What to read and how to split it; no torch here, so that help and checks are instant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from longtail.errors import InputError
from longtail.settings import AT_LEAST_ONE, IMAGE_BITS, MOST_BITS, SHARE, Settings


@dataclass(frozen=True)
class DataOptions(Settings):
    """What to read, and how to split it. What is left out is found by looking."""

    images: str | None = None
    """Folder or archive with the images of a manifest; by default beside the manifest."""

    image_column: str | None = None
    """Column of a manifest that names the image: a path, or a name without its ending."""

    attributes: tuple[str, ...] = ()
    """Columns of a manifest to recognise."""

    split_column: str | None = None
    """Column of a manifest that says train, val or test."""

    group_column: str | None = None
    """Column of a manifest whose values must not be on two sides of a split."""

    group_near_duplicates: bool = False
    """Find near duplicates, such as exposures of one scene, and keep them on one side of a split, together
    with the given groups."""

    identity_column: str | None = None
    """Column of a manifest that says who or what an image shows; by default identity, else the groups."""

    domain_column: str | None = None
    """Column of a manifest that says where an image comes from, such as shop or street; by default domain."""

    match_column: str | None = None
    """Column of a manifest with one value for the same thing in two domains; by default match."""

    val_share: Annotated[float, SHARE] = 0.1
    """Share of the images for validation, if the data have no validation split."""

    test_share: Annotated[float, SHARE] = 0.2
    """Share of the images for the final test, if the data have no test split."""

    tail_ratio: Annotated[float | None, AT_LEAST_ONE] = None
    """Impose a long tail on the training images: largest class / smallest class."""

    tail_profile: Literal["exponential", "power-law"] = "exponential"
    """Shape of the imposed tail."""

    tail_largest: Annotated[int | None, AT_LEAST_ONE] = None
    """Number of images of the largest class under an imposed tail; by default all."""

    tail_attribute: str | None = None
    """Attribute that the tail is imposed on; by default the first."""

    bits: Annotated[int | None, IMAGE_BITS] = None
    """Bits that grey 16-bit images use, such as 12 if the largest value is 4095; by default 16, in evaluate
    those of the model."""

    skip_unreadable: bool = False
    """Leave out unreadable images, counted and listed, instead of stopping at the first."""

    skip_missing: bool = False
    """Leave out rows of a manifest whose image does not exist, counted and listed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.val_share + self.test_share >= 1:
            raise InputError("--val-share and --test-share: expected to leave a part for training")
        for name, usual in {
            "tail_profile": "exponential",
            "tail_largest": None,
            "tail_attribute": None,
        }.items():
            if self.tail_ratio is None and getattr(self, name) != usual:
                raise InputError(f"--{name.replace('_', '-')}: shapes a long tail, add --tail-ratio")

    @property
    def value_bits(self) -> int:
        """`bits`, or all of them."""
        return self.bits or MOST_BITS
