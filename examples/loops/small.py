"""What the loops beside this file train: a small network, and images with a long tail from two sources."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from longtail.sampling.epochs import Sampler
from longtail.sampling.weighted import WeightedSampler, over_sampling

CLASSES, BATCH, EPOCHS = 4, 24, 2
Images = Dataset[tuple[Tensor, ...]]


def data() -> Images:
    """Images (3, 8, 8) and labels (1,) of a source, and of another one the half that may be used."""
    return ConcatDataset([_source(0, 48), Subset(_source(1, 60), range(0, 60, 2))])


def _source(seed: int, images: int) -> Images:
    random = torch.Generator().manual_seed(seed)
    labels = torch.multinomial(0.4 ** torch.arange(CLASSES), images, True, generator=random)
    pixels = torch.randn(images, 3, 8, 8, generator=random) + labels.view(-1, 1, 1, 1)
    labels[::9] = -1  # unlabelled
    return TensorDataset(pixels, labels.view(-1, 1))


def sampler(images: Images, processes: int) -> Sampler:
    """Rare classes are drawn more often; the batches are those of all processes together."""
    labels = np.stack([images[row][1].numpy() for row in range(len(images))])  # pyright: ignore[reportArgumentType]
    weights, draws = over_sampling(labels, [CLASSES], power=0.5)
    rows = np.arange(len(labels))
    return WeightedSampler(rows, labels, [CLASSES], weights, draws, BATCH, seed=0, processes=processes)


class Network(nn.Module):
    """Images -> logits (N, 1, K) and features (N, 1, D)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten())
        self.features, self.classify = nn.Linear(8 * 36, 16), nn.Linear(16, CLASSES)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(self.body(images)).unsqueeze(1)
        return self.classify(features), features
