"""The network against a twin that reads the released checkpoint by its own names, one layer at a time."""

import math
from importlib.util import find_spec

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from longtail.errors import InputError
from longtail.models import lite0
from longtail.models.lite0 import Lite0, weights_file
from longtail.models.pretrained import of_lite0
from longtail.models.reading import VECTOR_LENGTH, Reading

released = pytest.mark.skipif(
    find_spec(lite0.PACKAGE) is None, reason="the extra pretrained is not installed"
)

KERNELS_AND_STRIDES = [(3, 1), (3, 2), (3, 1), (5, 2), (5, 1), (3, 2), (3, 1), (3, 1), (5, 1), (5, 1), (5, 1),
                       (5, 2), (5, 1), (5, 1), (5, 1), (3, 1)]  # fmt: skip


def same_convolution(x, weight, stride, groups=1):
    """A convolution whose output has ⌈size / stride⌉ pixels, by padding a canvas of zeros."""
    n, c, h, w = x.shape
    k = weight.shape[2]
    need = [max((math.ceil(s / stride) - 1) * stride + k - s, 0) for s in (h, w)]
    canvas = x.new_zeros(n, c, h + need[0], w + need[1])
    canvas[:, :, need[0] // 2 : need[0] // 2 + h, need[1] // 2 : need[1] // 2 + w] = x
    return F.conv2d(canvas, weight, stride=stride, groups=groups)


FIRST_OF_STAGES = (0, 1, 3, 5, 8, 11)


def seen(x, weights, name):
    """Mean and deviation of each channel over the places of a map, in units of its norm."""
    places = (x.flatten(2) - weights[f"{name}.bias"][:, None]) / weights[f"{name}.weight"][:, None]
    mean = places.sum(2) / places.shape[2]
    deviation = ((places - mean[:, :, None]) ** 2).sum(2) / places.shape[2]
    return [mean, (deviation + 1e-6).sqrt() - 0.5]


def twin(weights, images):
    def norm(x, name):
        mean, var = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
        scale, shift = weights[f"{name}.weight"], weights[f"{name}.bias"]
        column = (1, -1, 1, 1)
        x = (x - mean.view(column)) / (var.view(column) + 1e-3).sqrt()
        return x * scale.view(column) + shift.view(column)

    x = norm(same_convolution(images, weights["_conv_stem.weight"], 2), "_bn0")
    moments = seen(x, weights, "_bn0")
    x = x.clamp(0, 6)
    for i, (kernel, stride) in enumerate(KERNELS_AND_STRIDES):
        block, before = f"_blocks.{i}.", x
        if f"{block}_expand_conv.weight" in weights:
            x = norm(F.conv2d(x, weights[f"{block}_expand_conv.weight"]), f"{block}_bn0").clamp(0, 6)
        filters = weights[f"{block}_depthwise_conv.weight"]
        assert filters.shape[2] == kernel
        x = norm(same_convolution(x, filters, stride, groups=x.shape[1]), f"{block}_bn1").clamp(0, 6)
        x = norm(F.conv2d(x, weights[f"{block}_project_conv.weight"]), f"{block}_bn2")
        if i in FIRST_OF_STAGES:
            moments += seen(x, weights, f"{block}_bn2")
        if stride == 1 and x.shape[1] == before.shape[1]:
            x = x + before
    x = norm(F.conv2d(x, weights["_conv_head.weight"]), "_bn1").clamp(0, 6)
    mean, u = x.flatten(2).sum(2) / (x.shape[2] * x.shape[3]), torch.cat(moments, 1)
    length = mean.square().sum(1).sqrt() / u.square().sum(1).sqrt()
    return torch.cat([mean, length[:, None] * u], 1)


@pytest.fixture(scope="module")
def pretrained():
    network = Lite0().eval().double()
    of_lite0().load_into(network, "lite0")
    weights = torch.load(weights_file(), map_location="cpu", weights_only=True)
    return network, {name: tensor.double() for name, tensor in weights.items()}


@released
@pytest.mark.parametrize("size", [(64, 64), (33, 50), (7, 40)])
def test_it_computes_what_the_released_weights_say(pretrained, size):
    network, weights = pretrained
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    torch.testing.assert_close(network(images), twin(weights, images), rtol=1e-8, atol=1e-8)


@released
def test_a_grey_image_is_shown_in_all_three_channels(pretrained):
    network, _ = pretrained
    grey = torch.randn(2, 1, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(network(grey), network(grey.repeat(1, 3, 1, 1)))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (1, 7), (4, 2)])
def test_a_small_map_learns_as_with_a_plain_convolution(size, kernel, stride):
    layers = lite0._convolution(6, 6, kernel, stride, groups=6)[:-2]
    convolution = nn.Sequential(*layers).double()
    x = torch.randn(3, 6, *size, dtype=torch.double, requires_grad=True)
    weight = convolution[-1].weight
    found = convolution(x)
    expected = same_convolution(x, weight, stride, groups=6)
    with torch.no_grad():
        torch.testing.assert_close(convolution(x), found)
    torch.testing.assert_close(found, expected)
    gradient = torch.randn_like(found)
    torch.testing.assert_close(
        torch.autograd.grad(found, [x, weight], gradient),
        torch.autograd.grad(expected, [x, weight], gradient),
    )


def test_it_has_its_known_size():
    network = Lite0()
    assert sum(p.numel() for p in network.parameters()) + 1280 * 1000 + 1000 == 4_652_008
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 2272)


def test_an_image_of_one_colour_has_finite_vectors_and_gradients():
    network = Lite0().double()
    images = torch.full((2, 3, 32, 32), 0.3, dtype=torch.float64, requires_grad=True)
    network(images).sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in network.parameters())


def test_weights_that_are_not_installed_end_in_one_line(monkeypatch):
    monkeypatch.setattr(lite0, "PACKAGE", "no_such_package")
    with pytest.raises(InputError, match=r"longtail\[pretrained\]"):
        of_lite0()


def test_weights_of_another_network_are_refused(monkeypatch, tmp_path):
    torch.save({"_conv_stem.weight": torch.zeros(3)}, tmp_path / "other.pth")
    monkeypatch.setattr(lite0, "weights_file", lambda: tmp_path / "other.pth")
    with pytest.raises(InputError, match="expected the weights of EfficientNet-Lite0"):
        of_lite0()


@released
def test_no_look_is_what_rounding_leaves_of_a_channel_that_never_varies():
    """Some channels of the released stem are dead; in their own units they would look otherwise elsewhere."""
    network = Lite0().eval()
    of_lite0().load_into(network, "lite0")
    generator = torch.Generator().manual_seed(0)
    images = F.interpolate(torch.randn(24, 3, 9, 9, generator=generator), (64, 64), mode="bilinear")
    reading = Reading(network.looks)
    with torch.no_grad():
        vectors = network(images)
        reading.fit(vectors)
        found = reading(vectors)
        exact = reading.double()(network.double()(images.double()))
    apart = (found - exact).norm(dim=1) / VECTOR_LENGTH
    assert apart.max() < 2e-4


def test_its_norms_follow_slowly_as_in_the_release():
    norms = [m for m in Lite0().modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}


def test_under_mixed_precision_deviations_are_taken_in_full_precision():
    norm = nn.BatchNorm2d(4)
    maps = (torch.randn(2, 4, 9, 9) + 3).bfloat16()  # a square of it has 8 bits
    found, expected = lite0._moments(maps, norm), lite0._moments(maps.double(), norm.double())
    for own, exact in zip(found, expected):
        torch.testing.assert_close(own.double(), exact, rtol=1e-4, atol=1e-5)
