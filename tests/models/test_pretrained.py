from importlib.util import find_spec

import pytest
import torch

from longtail.errors import InputError
from longtail.models import lite0
from longtail.models.classifier import build_backbone
from longtail.models.pretrained import find_pretrained

from ..conftest import Tiny

released = pytest.mark.skipif(
    find_spec(lite0.PACKAGE) is None, reason="the extra pretrained is not installed"
)


@released
def test_lite0_has_weights_of_its_own_and_takes_the_file_of_their_release():
    found = find_pretrained("lite0")
    assert found.expected.mean == (127 / 255,) * 3
    own = found.read().tensors
    taken = found.take(lite0.published_tensors(), "--weights f").tensors
    assert own.keys() == lite0.Lite0().state_dict().keys()
    assert all(torch.equal(own[name], taken[name]) for name in own)


def test_lite0_takes_its_weights_by_their_names_here_too():
    tensors = lite0.Lite0().state_dict()
    trunk, _ = build_backbone("lite0", weights=find_pretrained("lite0").take(tensors, "f"))
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in trunk.state_dict().items())


def test_other_backbones_of_our_own_have_none():
    assert find_pretrained("convnet").read is None
    assert find_pretrained("convnet").expected is None


def test_a_place_of_timm_becomes_a_name_that_builds_the_network_again(timm, described):
    found = find_pretrained(f"timm:local-dir:{described('tiny-a', Tiny(3, 7, 'max'), pool='max')}")
    assert found.backbone == "timm:tiny?pool=max"
    assert find_pretrained(found.backbone).backbone == found.backbone


def test_the_classifier_that_timm_names_is_left_out_and_nothing_else(timm):
    found = find_pretrained("timm:tiny")
    tensors = Tiny(3, 9).state_dict()
    build_backbone("timm:tiny", weights=found.take(tensors, "f"))
    with pytest.raises(InputError, match=r"has no head\.weight"):
        build_backbone("timm:tiny", weights=found.take(tensors | {"head.weight": torch.ones(1)}, "f"))
