import pytest
import torch
from torch import nn

from longtail.models.mtct import NINTrunk


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return NINTrunk(3, (24, 40)).eval()


@pytest.fixture(scope="module")
def large():
    torch.manual_seed(0)
    return NINTrunk(3, (96, 96)).eval()


def planes(network, *size):
    """Height and width after every unit."""
    seen = []
    hooks = [
        unit.register_forward_hook(lambda _, __, output: seen.append((*output.shape[2:],)))
        for unit in network.units
    ]
    with torch.no_grad():
        assert network(torch.randn(1, 3, *size)).shape == (1, 512)
    for hook in hooks:
        hook.remove()
    return seen


def test_the_units_are_those_of_network_in_network(large):
    convolutions = [m for m in large.modules() if isinstance(m, nn.Conv2d)]
    assert [m.kernel_size[0] for m in convolutions] == [11, 1, 1, 5, 1, 1, 3, 1, 1, 3, 1, 1, 3, 1, 1]
    widths = [96] * 3 + [256] * 3 + [384] * 3 + [1024] * 3 + [512] * 3
    assert [m.out_channels for m in convolutions] == widths
    weights = sum(m.weight.numel() for m in convolutions)
    assert sum(p.numel() for p in large.parameters()) == weights + 2 * sum(widths) == 12_871_008


def test_photos_pass_the_planes_of_the_published_network(large):
    assert planes(large, 224, 224) == [(54, 54), (27, 27), (13, 13), (6, 6), (6, 6)]
    assert planes(large, 96, 96) == [(22, 22), (11, 11), (5, 5), (2, 2), (2, 2)]


def test_a_plane_of_one_row_is_not_halved(small):
    assert planes(small, 32, 32) == [(32, 32), (16, 16), (8, 8), (4, 4), (4, 4)]
    assert planes(small, 4, 40) == [(4, 40), (2, 20), (1, 10), (1, 10), (1, 10)]
    assert planes(small, 1, 1) == [(1, 1)] * 5


@pytest.mark.parametrize(
    ("size", "kernel", "stride"),
    [((96, 128), 11, 4), ((95, 200), 5, 2), ((48, 48), 5, 2), ((47, 300), 5, 1), ((300, 47), 5, 1)],
)
def test_the_shorter_side_chooses_the_first_convolution(size, kernel, stride):
    first = NINTrunk(1, size).units[0][0]
    assert (first.in_channels, first.kernel_size, first.stride) == (1, (kernel, kernel), (stride, stride))


def test_the_vector_is_a_mean_of_rectified_maps(small):
    images = torch.randn(2, 3, 24, 40)
    with torch.no_grad():
        vector = small(images)
        x = images
        for unit in small.units[:3]:
            x = nn.functional.max_pool2d(unit(x), 3, 2, ceil_mode=True)
        expected = small.units[4](small.units[3](x)).mean((2, 3))
    torch.testing.assert_close(vector, expected)
    assert vector.min() >= 0


def test_an_image_is_judged_alone(small):
    images = torch.randn(3, 3, 24, 40)
    order = torch.tensor([2, 0, 1])
    with torch.no_grad():
        torch.testing.assert_close(small(images)[order], small(images[order]))


def test_the_network_learns():
    torch.manual_seed(0)
    trunk = NINTrunk(1, (12, 12))
    network = nn.Sequential(trunk, nn.Linear(512, 2))
    optimiser = torch.optim.SGD(network.parameters(), lr=0.05)
    images = torch.randn(8, 1, 12, 12)
    labels = torch.arange(8) % 2
    losses = []
    for _ in range(6):
        loss = nn.functional.cross_entropy(network(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
