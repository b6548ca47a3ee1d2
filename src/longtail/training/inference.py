"""What a learner says of many images: scores, or features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from longtail.images.load import ImageLoader
from longtail.ranks import gather_ranks
from longtail.training.learner import Learner


def predict_scores(
    fabric: Fabric,
    learner: Learner,
    loader: ImageLoader,
    rows: NDArray[np.int64],
    normalise: Callable[[Tensor], Tensor],
    on_progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float64]:
    """(n, J, K) scores of the images in `rows`, in their order; arguments as of `outputs_of`."""
    scores = outputs_of(fabric, learner, loader, rows, normalise, learner.scores, on_progress=on_progress)
    return scores.double().numpy()


def extract_features(
    fabric: Fabric,
    learner: Learner,
    loader: ImageLoader,
    normalise: Callable[[Tensor], Tensor],
    rows: NDArray[np.int64],
) -> Tensor:
    """(n, J or 1, D) float32 features of the images in `rows`, on the CPU; arguments as of `outputs_of`."""
    return outputs_of(fabric, learner, loader, rows, normalise, lambda images: learner.model(images).features)


@torch.no_grad()  # not inference_mode: what comes from here may take part in training
def outputs_of(
    fabric: Fabric,
    learner: Learner,
    loader: ImageLoader,
    rows: NDArray[np.int64],
    normalise: Callable[[Tensor], Tensor],
    give: Callable[[Tensor], Tensor],
    *,
    batch_size: int = 256,
    on_progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """(n, ...) float32 on the CPU: what `give` makes of the images in `rows`; processes share the work.

    Args:
        fabric: launched.
        learner: left in evaluation mode.
        loader: reads the images.
        rows: (n,) int64, rows of the loader's data set.
        normalise: uint8 images on the device -> float images.
        give: normalised images -> a tensor with as many rows.
        batch_size: images at a time in each process.
        on_progress: is told how many of how many images are done.
    """
    learner.eval()
    own = np.resize(rows, -(-len(rows) // fabric.world_size) * fabric.world_size)[
        fabric.global_rank :: fabric.world_size
    ]
    parts: list[Tensor] = []
    done = 0
    batches = (own[start : start + batch_size].tolist() for start in range(0, len(own), batch_size))
    for images, _, _ in loader.batches(batches):
        with fabric.autocast():
            parts.append(give(normalise(images.to(fabric.device))).float())
        done += len(images)
        if on_progress is not None:
            on_progress(done, len(own))
    together = gather_ranks(torch.cat(parts)).unflatten(0, (fabric.world_size, -1))
    # process r holds rows r, r + W, r + 2W, …
    return together.transpose(0, 1).flatten(0, 1)[: len(rows)].cpu()
