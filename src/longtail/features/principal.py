"""Vectors in fewer numbers: their coordinates along the directions in which they differ most."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def principal(vectors: NDArray[np.floating], most: int) -> NDArray[np.float32]:
    """(n, D) -> (n, min(D, most)), centred, so that distances stay as near to those before as they can.

    Where D is no larger than `most` nothing is lost: a regression whose bias is free gives the same
    probabilities on both. Takes D² numbers beside the result.
    """
    mean = vectors.sum(0, dtype=np.float64) / max(len(vectors), 1)
    x = vectors.astype(np.float32) - mean.astype(np.float32)
    if x.shape[1] <= most:
        return x
    _, directions = np.linalg.eigh((x.T @ x).astype(np.float64))  # from the least variance on
    return x @ directions[:, : -most - 1 : -1].astype(np.float32)
