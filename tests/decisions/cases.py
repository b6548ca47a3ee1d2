"""Random problems for the decision rules."""

import torch


def unit_vectors(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return vectors / vectors.norm(dim=-1, keepdim=True)


def random_labels(seed, *shape, classes, lowest=-1):
    return torch.randint(lowest, classes, shape, generator=torch.Generator().manual_seed(seed))


def squared_distance(a, b):
    return sum((x - y) ** 2 for x, y in zip(a.tolist(), b.tolist()))
