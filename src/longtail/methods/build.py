"""From a method's name and options to the method."""

from __future__ import annotations

from collections.abc import Sequence

from longtail.data.hints import did_you_mean
from longtail.errors import InputError
from longtail.methods.base import Method
from longtail.methods.class_rectification import ClassRectification
from longtail.methods.cross_entropy import CrossEntropy
from longtail.methods.options import METHODS, CRLOptions


def build_method(name: str, class_counts: Sequence[Sequence[int]], crl: CRLOptions) -> Method:
    """The method of a name of `METHODS`.

    Args:
        name: of the method.
        class_counts: for each attribute the training images of each class.
        crl: options of "crl".

    Raises:
        InputError: when the name is unknown or the options do not fit.
    """
    if name == "ce":
        return CrossEntropy()
    if name == "crl":
        return ClassRectification(crl, class_counts)
    raise InputError(
        f"--method: expected one of {', '.join(METHODS)}, got {name!r}.{did_you_mean(name, METHODS)}"
    )
