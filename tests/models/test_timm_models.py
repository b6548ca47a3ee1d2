import sys

import pytest
import torch

from longtail.errors import InputError
from longtail.models.timm_models import build_model, created, described
from longtail.models.timm_sources import find_model


def test_a_network_is_built_without_its_classifier_and_its_vectors_are_measured(timm):
    trunk, size = build_model("tiny")
    assert timm.created == [("tiny", False, 0, 3, {})]
    assert size == 6  # not the 4 of its last map
    assert trunk.training
    assert trunk(torch.randn(2, 3, 9, 12)).shape == (2, 6)
    assert build_model("tiny", channels=1)[0](torch.randn(2, 1, 9, 9)).shape == (2, 6)


def test_what_its_weights_expect_is_what_timm_says(timm):
    said = described("placed")
    assert said.expected.mean == (0.4, 0.5, 0.6)
    assert said.expected.std == (0.2, 0.3, 0.4)
    assert (said.expected.size, said.expected.fixed) == ((32, 32), True)
    assert said.classifiers == ("head",)


def test_arguments_in_a_name_reach_timm_with_their_types(timm):
    timm.NETWORKS = {"tiny": lambda in_chans, num_classes, **rest: timm.is_model}
    created("tiny?pool=max&rate=0.5&deep=true&blocks=3")
    assert timm.created[-1][-1] == {"pool": "max", "rate": 0.5, "deep": True, "blocks": 3}


@pytest.mark.parametrize("argument", ["num_classes", "img_size", "checkpoint_path", "pretrained"])
def test_an_argument_that_is_not_the_networks_is_refused(timm, argument):
    with pytest.raises(InputError, match=f"--backbone timm:tiny.*: {argument} is given by longtail"):
        created(f"tiny?{argument}=1")
    assert timm.created == []


def test_an_argument_that_the_network_does_not_have_is_one_line(timm):
    with pytest.raises(InputError, match=r"^--backbone timm:tiny\?deep=3: timm cannot build it \(.*'deep'"):
        created("tiny?deep=3")


def test_what_a_network_knows_of_places_is_resampled_when_its_weights_are_in_it(timm):
    weights = find_model("timm:placed").weights()
    trunk, _ = build_model("placed", image_size=(16, 48), weights=weights)
    expected = torch.nn.functional.interpolate(weights.tensors["places"], [2, 6], mode="bilinear")
    torch.testing.assert_close(trunk.places, torch.nn.Parameter(expected))
    assert trunk(torch.randn(2, 3, 16, 48)).shape == (2, 5)
    same, _ = build_model("placed", image_size=(32, 32), weights=weights)
    assert torch.equal(same.places, weights.tensors["places"])


def test_a_size_that_a_network_cannot_take_is_one_line(timm):
    with pytest.raises(InputError, match="--image-size: timm:stiff takes images of 32x32 only; leave"):
        build_model("stiff", image_size=(64, 64))
    build_model("stiff", image_size=(32, 32))
    with pytest.raises(InputError, match=r"^--image-size: timm:tiny does not take images of 2x2 \([^\n]*\)$"):
        build_model("tiny", image_size=(2, 2))


def test_a_name_that_is_not_known_is_one_line_with_close_ones(timm):
    with pytest.raises(InputError, match=r"--backbone timm:tinny: timm has no such model; close names: tiny"):
        build_model("tinny")


@pytest.mark.parametrize("failure", [OSError("no route\nmore"), RuntimeError("No weights"), KeyError()])
def test_weights_that_cannot_be_had_are_one_line(timm, failure):
    timm.failure = failure
    with pytest.raises(InputError, match=r"its weights cannot be had \([^\n]*\); [^\n]*--from-scratch$"):
        find_model("timm:tiny").weights()


def test_timm_is_asked_for_in_one_line_where_it_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setattr(torch, "__version__", "2.9.0+cu130")
    with pytest.raises(InputError, match=r"needs timm .*install it with: pip install 'longtail\[timm\]'$"):
        described("tiny")


def test_beside_a_torch_for_cpus_a_torchvision_from_the_same_place_comes_first(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setattr(torch, "__version__", "2.9.0+cpu")
    first = r"pip install 'longtail\[timm\]'; first torchvision, from where torch 2\.9\.0\+cpu came from$"
    with pytest.raises(InputError, match=first):
        described("tiny")


def test_a_torchvision_that_does_not_fit_is_one_line_that_says_what_to_install(monkeypatch, tmp_path):
    broken = 'raise RuntimeError("operator torchvision::nms does not exist\\nmore")'
    (tmp_path / "timm.py").write_text(broken)
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(torch, "__version__", "2.9.0+cpu")
    reason = r"torchvision does not fit torch 2\.9\.0\+cpu \(operator torchvision::nms "
    line = rf"{reason}[^\n]*--force-reinstall torch torchvision$"
    with pytest.raises(InputError, match=line):
        described("tiny")
