"""What a learner says of many images: scores, features or logits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from longtail.images.load import Loader
from longtail.ranks import Processes, gather_ranks
from longtail.threads import Progress


@torch.no_grad()  # not inference_mode: what comes from here may take part in training
def outputs_of(
    fabric: Processes,
    network: nn.Module,
    loader: Loader,
    give: Callable[[Tensor], Tensor],
    rows: NDArray[np.int64],
    *,
    batch_size: int = 256,
    on_progress: Progress | None = None,
) -> Tensor:
    """(n, ...) float32 on the CPU: what `give` makes of the images in `rows`; processes share the work.

    Args:
        fabric: the processes that share the work.
        network: left in evaluation mode.
        loader: reads the images, or vectors in their place.
        give: uint8 images on the device -> a tensor with as many rows, for instance `learner.scores`.
        rows: (n,) int64, rows of the loader's data set.
        batch_size: images at a time in each process.
        on_progress: is told how many of how many images are done.
    """
    network.eval()
    own = np.resize(rows, -(-len(rows) // fabric.world_size) * fabric.world_size)[
        fabric.global_rank :: fabric.world_size
    ]
    parts: list[Tensor] = []
    done = 0
    batches = (own[start : start + batch_size].tolist() for start in range(0, len(own), batch_size))
    for images, _, _ in loader.batches(batches):
        with fabric.autocast():
            parts.append(give(images.to(fabric.device)).float())
        done += len(images)
        if on_progress is not None:
            on_progress(done, len(own))
    found = torch.cat(parts)
    if fabric.world_size > 1:  # else there may be other processes, which do not take part
        found = gather_ranks(found)  # in the order in which they were dealt
    return found[: len(rows)].cpu()
