"""What is recognised, and the one tensor contract that every package keeps.

==========  ==============================  =================================================
name        shape, type                     meaning
==========  ==============================  =================================================
labels      (N, J) int64                    class index of attribute j; -1 = unlabelled
logits      (N, J, K) float                 K = most classes of any attribute;
                                            -inf where attribute j has no class k
features    (N, J, D) or (N, 1, D) float    what the head sees; one vector per attribute,
                                            or one shared by all
==========  ==============================  =================================================

A problem with one label per image is J = 1. This module imports nothing heavy, so that the
command line can use it before torch is loaded; the checks take torch tensors and return them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

UNLABELLED = -1
"""The class index of an image whose value of an attribute is not known."""

_IGNORED_BY_TORCH = -100


@dataclass(frozen=True)
class Attribute:
    """One thing to recognise in an image: its name and the names of its classes.

    Raises:
        ValueError: when there is no class, or two classes share a name.
    """

    name: str
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.classes:
            raise ValueError(f"attribute {self.name!r}: expected at least one class, got none")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"attribute {self.name!r}: expected distinct class names")


@dataclass(frozen=True)
class LabelSchema:
    """The J attributes of a problem, in the order of the label columns.

    Raises:
        ValueError: when there is no attribute, or two attributes share a name.

    Example:
        >>> schema = LabelSchema.single("animal", ["cat", "dog"])
        >>> schema.num_attributes, schema.num_classes, schema.max_classes
        (1, (2,), 2)
    """

    attributes: tuple[Attribute, ...]

    def __post_init__(self) -> None:
        if not self.attributes:
            raise ValueError("expected at least one attribute, got none")
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"expected distinct attribute names, got {', '.join(self.names)}")

    @classmethod
    def single(cls, name: str, classes: Sequence[str]) -> LabelSchema:
        """The schema of a problem with one label per image."""
        return cls((Attribute(name, tuple(classes)),))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the attributes, in column order."""
        return tuple(attribute.name for attribute in self.attributes)

    @property
    def num_attributes(self) -> int:
        """J, columns of the labels."""
        return len(self.attributes)

    @property
    def num_classes(self) -> tuple[int, ...]:
        """|Z_j| for every attribute j."""
        return tuple(len(attribute.classes) for attribute in self.attributes)

    @property
    def max_classes(self) -> int:
        """K, the most classes of any attribute."""
        return max(self.num_classes)


def as_labels(labels: Tensor) -> Tensor:
    """Labels as (N, J) int64: accepts (N,) for J = 1, integers of other sizes, and torch's -100 for -1.

    Raises:
        TypeError: when the labels are not integers.
        ValueError: when they have another number of dimensions, or one is another negative number.
    """
    _expect_tensor("labels", labels)
    if labels.dtype.is_floating_point or labels.dtype.is_complex:
        raise TypeError(f"labels: expected integers (class indices, -1 = unlabelled), got {labels.dtype}")
    if labels.ndim not in (1, 2):
        raise ValueError(f"labels: expected shape (N,) or (N, J), got {tuple(labels.shape)}")
    labels = labels.long()
    labels = labels.masked_fill(labels == _IGNORED_BY_TORCH, UNLABELLED)
    labels = labels[:, None] if labels.ndim == 1 else labels
    _refuse_where(labels, labels < UNLABELLED, "class indices, or -1 or -100 for unlabelled")
    return labels


def from_binary(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The usual form of many attributes, a logit and a target of 0 or 1 for each, under the tensor contract.

        softmax(0, z) = (1 - σ(z), σ(z)),  so that cross entropy is binary cross entropy with logits

    Args:
        logits: z, (N, J) float.
        targets: (N, J) of 0 and 1, bool, integer or float; -1 or -100, in float also NaN, for unlabelled.

    Returns:
        logits (N, J, 2) and labels (N, J) int64, -1 = unlabelled.

    Raises:
        ValueError: when shapes differ, or a target is another number.

    Example:
        >>> import torch
        >>> from_binary(torch.tensor([[0.5, -1.0]]), torch.tensor([[1.0, float("nan")]]))
        (tensor([[[ 0.0000,  0.5000],
                 [ 0.0000, -1.0000]]]), tensor([[ 1, -1]]))
    """
    import torch

    _expect_tensor("logits", logits)
    _expect_tensor("targets", targets)
    if logits.ndim != 2 or logits.shape != targets.shape:
        shapes = f"{tuple(logits.shape)} and {tuple(targets.shape)}"
        raise ValueError(f"from_binary: expected logits and targets of one shape (N, J), got {shapes}")
    if targets.dtype.is_floating_point:
        targets = targets.masked_fill(targets.isnan(), UNLABELLED)
    else:
        targets = targets.long()  # in 8 bits without a sign 255 is -1
    wrong = (targets != 0) & (targets != 1) & (targets != UNLABELLED) & (targets != _IGNORED_BY_TORCH)
    _refuse_where(targets, wrong, "0, 1, or -1 or -100 for unlabelled", "targets")
    labels = as_labels(targets.long())
    return torch.stack([torch.zeros_like(logits), logits], 2), labels


def expect_classes(labels: Tensor, classes: int) -> None:
    """Refuse labels (N, J) that are no index below `classes`.

    Raises:
        ValueError: when there is one.
    """
    _refuse_where(labels, labels >= classes, f"class indices below {classes}, -1 for unlabelled")


def _refuse_where(labels: Tensor, wrong: Tensor, expected: str, name: str = "labels") -> None:
    import torch

    # On another device the answer would have to be waited for; a tensor of a tracer has no values.
    if labels.device.type != "cpu" or type(labels) is not torch.Tensor or torch.compiler.is_compiling():
        return
    if wrong.any():
        image, attribute = wrong.nonzero()[0].tolist()
        value = labels[image, attribute].item()
        got = f"{value:.6g}" if isinstance(value, float) else value
        raise ValueError(f"{name}: expected {expected}, got {got} at image {image}, attribute {attribute}")


def _expect_tensor(name: str, value: object) -> None:
    import torch

    if not torch.is_tensor(value):
        raise TypeError(f"{name}: expected a tensor, got {type(value).__name__}")


def as_logits(logits: Tensor, labels: Tensor) -> Tensor:
    """Logits as (N, J, K) beside labels (N, J): accepts (N, K) for J = 1.

    Raises:
        TypeError: when the logits are not floating point.
        ValueError: when the shapes do not fit, or a label is no index below K. (A label of a class that its
            attribute lacks, where logits are -inf, has an infinite loss.)
    """
    _expect_tensor("logits", logits)
    if not logits.dtype.is_floating_point:
        raise TypeError(f"logits: expected floating point, got {logits.dtype}")
    if logits.ndim == 2:
        logits = logits[:, None, :]
    if logits.ndim != 3 or logits.shape[:2] != labels.shape:
        n, j = labels.shape
        raise ValueError(
            f"logits: expected shape ({n}, {j}, K) beside labels ({n}, {j}), got {tuple(logits.shape)}"
        )
    expect_classes(labels, logits.shape[2])
    return logits


def as_features(features: Tensor, labels: Tensor) -> Tensor:
    """Features as (N, J, D) or (N, 1, D) beside labels (N, J): accepts (N, D) for a shared vector.

    Raises:
        TypeError: when the features are not floating point.
        ValueError: when the shapes do not fit.
    """
    _expect_tensor("features", features)
    if not features.dtype.is_floating_point:
        raise TypeError(f"features: expected floating point, got {features.dtype}")
    given = features
    if features.ndim == 2:
        features = features[:, None, :]
    n, j = labels.shape
    if features.ndim != 3 or features.shape[0] != n or features.shape[1] not in (1, j):
        shared = f"({n}, D)" if j == 1 else f"({n}, {j}, D) or ({n}, 1, D)"
        raise ValueError(f"features: expected shape {shared}, got {tuple(given.shape)}")
    return features
