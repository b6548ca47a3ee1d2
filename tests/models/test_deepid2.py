import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import conv2d, max_pool2d

from longtail.errors import InputError
from longtail.models.backbones import default_size
from longtail.models.deepid2 import DeepID2, LocallyConnected


def twin(layer, x, kernel, region):
    """A locally connected layer by a loop over positions."""
    height, width = x.shape[2] - kernel + 1, x.shape[3] - kernel + 1
    y = torch.zeros(len(x), layer.weight.shape[2], height, width, dtype=x.dtype)
    for p in range(height):
        for q in range(width):
            window = x[:, :, p : p + kernel, q : q + kernel]
            r, s = p // region[0], q // region[1]
            for o in range(y.shape[1]):
                y[:, o, p, q] = (window * layer.weight[r, s, o]).sum((1, 2, 3)) + layer.bias[r, s, o]
    return y


def made(in_channels, out_channels, kernel, size, region):
    layer = LocallyConnected(in_channels, out_channels, kernel, size, region).double()
    torch.nn.init.normal_(layer.bias)
    return layer


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    st.integers(0, 10_000),
    st.integers(1, 3),
    st.tuples(st.integers(0, 4), st.integers(0, 4)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.integers(0, 3),
)
def test_a_locally_connected_layer_equals_its_twin(seed, kernel, extra, region, n):
    torch.manual_seed(seed)
    size = (kernel + extra[0], kernel + extra[1])
    layer = made(2, 3, kernel, size, region)
    x = torch.randn(n, 2, *size, dtype=torch.float64)
    torch.testing.assert_close(layer(x), twin(layer, x, kernel, region))


def test_one_region_for_all_positions_is_an_ordinary_convolution():
    torch.manual_seed(0)
    layer = made(3, 4, 3, (7, 9), region=(5, 7))
    x = torch.randn(2, 3, 7, 9, dtype=torch.float64)
    torch.testing.assert_close(layer(x), conv2d(x, layer.weight[0, 0], layer.bias[0, 0]))


def test_gradients_of_a_locally_connected_layer_are_exact():
    torch.manual_seed(0)
    layer = made(2, 3, 2, (4, 5), region=(2, 3))
    x = torch.randn(2, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    names, parameters = zip(*layer.named_parameters(), strict=True)

    def call(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), x)

    assert torch.autograd.gradcheck(call, (x, *parameters))


@pytest.mark.parametrize("region", [(1, 1), (2, 2)])
def test_a_region_learns_only_from_its_own_positions(region):
    layer = made(1, 2, 3, (6, 6), region)
    layer(torch.randn(3, 1, 6, 6, dtype=torch.float64))[:, :, :1, :1].sum().backward()
    touched = layer.weight.grad.abs().sum((2, 3, 4, 5)) > 0
    assert touched.nonzero().tolist() == [[0, 0]]


def test_a_locally_connected_layer_keeps_the_variance_of_its_input():
    torch.manual_seed(0)
    layer = LocallyConnected(20, 30, 3, (12, 12), (2, 2))
    assert layer(torch.randn(50, 20, 12, 12)).var().item() == pytest.approx(2, rel=0.1)  # relu halves it


def test_a_locally_connected_layer_refuses_another_size():
    layer = LocallyConnected(2, 3, 3, (6, 6), (2, 2))
    with pytest.raises(ValueError, match=r"expected shape \(N, \*\(2, 6, 6\)\), got \(1, 2, 6, 7\)"):
        layer(torch.zeros(1, 2, 6, 7))


def counted(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_parameters_are_those_of_the_paper():
    network = DeepID2()
    assert counted(network.convolution1) == 980
    assert counted(network.convolution2) == 7_240
    assert counted(network.convolution3) == 433_200
    assert counted(network.convolution4) == 231_360
    assert counted(network.vector) == 345_760
    assert counted(network) == 1_018_540


def test_regions_can_be_read_as_two_by_two_of_them():
    assert counted(DeepID2(region=(5, 4)).convolution3) == 4 * (40 * 9 * 60 + 60)


def test_with_shared_weights_the_convolutions_have_their_ordinary_size():
    network = DeepID2(region=(10, 8))
    unshared_positions = 4 * 3
    fourth = counted(network.convolution4) // unshared_positions
    assert sum(map(counted, (network.convolution1, network.convolution2, network.convolution3))) + fourth == (
        49_160
    )


def shapes(network, images):
    seen = {}
    for name, module in network.named_children():
        module.register_forward_hook(
            lambda _, inputs, output, name=name: seen.update({name: (inputs[0].shape[1:], output.shape[1:])})
        )
    network(images)
    return seen


def test_the_planes_are_those_of_the_paper():
    assert shapes(DeepID2(), torch.randn(1, 3, 55, 47)) == {
        "convolution1": ((3, 55, 47), (20, 52, 44)),
        "convolution2": ((20, 26, 22), (40, 24, 20)),
        "convolution3": ((40, 12, 10), (60, 10, 8)),
        "convolution4": ((60, 5, 4), (80, 4, 3)),
        "vector": ((2160,), (160,)),
    }


def test_the_size_of_the_class_is_the_default_size():
    height, width = default_size("deepid2")
    assert DeepID2()(torch.randn(1, 3, height, width)).shape == (1, 160)


@pytest.mark.parametrize("size", [(31, 31), (31, 60), (39, 47), (64, 64), (57, 50)])
def test_other_sizes_that_fit_work(size):
    vector = DeepID2(1, size)(torch.randn(2, 1, *size))
    assert vector.shape == (2, 160)
    assert vector.min() == 0


@pytest.mark.parametrize("size", [(30, 47), (55, 30)])
def test_images_too_small_are_refused_by_their_flag(size):
    with pytest.raises(InputError, match=rf"^--image-size: .*at least 31x31, got {size[0]}x{size[1]}; "):
        DeepID2(3, size)


def test_the_vector_sees_both_of_the_last_convolutions():
    torch.manual_seed(0)
    network = DeepID2()
    images = torch.randn(4, 3, 55, 47)
    x = max_pool2d(network.convolution1(images).clamp(min=0), 2)
    x = max_pool2d(network.convolution2(x).clamp(min=0), 2)
    third = max_pool2d(network.convolution3(x).clamp(min=0), 2)
    fourth = network.convolution4(third).clamp(min=0)
    both = torch.cat((third.flatten(1), fourth.flatten(1)), 1)
    torch.testing.assert_close(network(images), network.vector(both).clamp(min=0))


def test_the_network_learns():
    torch.manual_seed(0)
    network = DeepID2(1, (31, 31))
    network = torch.nn.Sequential(network, torch.nn.Linear(160, 4))
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    images = torch.randn(16, 1, 31, 31)
    labels = torch.arange(16) % 4
    for _ in range(40):
        loss = torch.nn.functional.cross_entropy(network(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1


def test_the_network_works_under_automatic_mixed_precision():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        vector = DeepID2()(torch.randn(2, 3, 55, 47))
    assert vector.dtype == torch.bfloat16
    assert vector.isfinite().all()
