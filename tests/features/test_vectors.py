import torch

from longtail.features.vectors import FixedNetwork


def test_each_thing_that_changes_a_vector_changes_the_digest():
    network, half, other = torch.nn.Linear(2, 2), (0.5,) * 3, (0.4,) * 3
    usual = {"mean": half, "std": half, "size": (16, 16), "mirrored": False, "bits": 16}
    changes = [{"mean": other}, {"std": other}, {"size": (16, 17)}, {"mirrored": True}, {"bits": 12}]
    digests = {FixedNetwork(network, **usual | change).digest for change in ({}, *changes)}
    assert len(digests) == 6
