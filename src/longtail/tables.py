"""Tables over attributes and classes, (J, K): made once from class counts, read at the labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from longtail.schema import LabelSchema


def count_table(counts: Sequence[Sequence[float]], least: int = 0) -> Tensor:
    """Ragged class counts as one table.

    Args:
        counts: for each of J attributes the training images of each of its classes.
        least: what a class with fewer images is counted as.

    Returns:
        (J, K) float64, 0 beyond an attribute's own classes.

    Raises:
        ValueError: when a count is negative, or there are no attributes with a row each.

    Example:
        >>> count_table([[3, 0], [5]], least=1)
        tensor([[3., 1.],
                [5., 0.]], dtype=torch.float64)
    """
    if len(counts) == 0 or any(np.ndim(row) == 0 for row in counts):
        raise ValueError("counts: expected a row of class counts for every attribute; [[90, 10]] for one")
    if any(not count >= 0 for row in counts for count in row):
        raise ValueError("counts: expected numbers of images, got a negative number or NaN")
    width = max(len(row) for row in counts)
    rows = [[*(max(count, least) for count in row), *[0] * (width - len(row))] for row in counts]
    return torch.tensor(rows, dtype=torch.float64)


def present_classes(schema: LabelSchema) -> Tensor:
    """(J, K) bool, whether the attribute has the class.

    Example:
        >>> from longtail.schema import Attribute
        >>> present_classes(LabelSchema((Attribute("a", ("x",)), Attribute("b", ("x", "y")))))
        tensor([[ True, False],
                [ True,  True]])
    """
    return torch.arange(schema.max_classes) < torch.tensor(schema.num_classes)[:, None]


def expect_table(name: str, table: Tensor, attributes: int, classes: int) -> Tensor:
    """The table as it is; ValueError when its shape is not (J, K)."""
    if table.shape != (attributes, classes):
        expected = (attributes, classes)
        raise ValueError(f"{name}: expected shape {expected}, got {tuple(table.shape)}")
    return table


def at_labels(table: Tensor, labels: Tensor) -> Tensor:
    """The entry of each label; that of class 0 where unlabelled.

    Args:
        table: (J, K).
        labels: (N, J) int64, -1 = unlabelled.

    Returns:
        (N, J).

    Example:
        >>> at_labels(torch.tensor([[5, 6], [7, 8]]), torch.tensor([[0, 1], [1, -1]]))
        tensor([[5, 8],
                [6, 7]])
    """
    return table.gather(1, labels.clamp(min=0).t()).t()


def weighed(costs: Tensor, logits: Tensor, labels: Tensor, class_weights: Tensor | None) -> Tensor:
    """Costs (N, J) of (N, J, K) logits times the weights (J, K) of their labels; None weighs all alike."""
    if class_weights is None:
        return costs
    weights = expect_table("class_weights", class_weights, *logits.shape[1:])
    return costs * at_labels(weights.to(costs.dtype), labels)
