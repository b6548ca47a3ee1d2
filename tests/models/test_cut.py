"""Backbones in two parts, against the backbones as a whole."""

import math

import pytest
import torch

from longtail.errors import InputError
from longtail.models.convnet import ConvNet
from longtail.models.cut import cut, fixed_part
from longtail.models.lite0 import Lite0
from longtail.models.resnet import resnet18, resnet32

BACKBONES = [
    (Lite0, (3, 64, 64), (992 + 192 * 2 * 2,)),
    (Lite0, (1, 33, 50), (992 + 192 * 2 * 2,)),
    (resnet18, (3, 64, 32), (256, 4, 2)),
    (resnet32, (3, 16, 16), (32, 8, 8)),
]


@pytest.mark.parametrize(("build", "image", "shape"), BACKBONES)
def test_the_parts_one_after_the_other_are_the_whole(build, image, shape):
    backbone = build().eval()
    parts = cut(backbone, image, "any")
    flat_maps, numbers = fixed_part(backbone, 0, parts)
    backbone.double()  # the layout of the maps changes the order of sums
    images = torch.randn(3, *image, dtype=torch.double)
    flat = flat_maps(images)
    assert parts.shape == shape
    assert flat.shape == (3, numbers) == (3, math.prod(shape))
    torch.testing.assert_close(parts.vectors(flat), backbone(images))


def test_the_parts_share_their_weights_with_the_whole():
    backbone = Lite0()
    parts = cut(backbone, (3, 32, 32), "lite0")
    own = {id(parameter) for part in (parts.stem, parts.tail) for parameter in part.parameters()}
    assert own == {id(parameter) for parameter in backbone.parameters()}


def test_a_whole_backbone_stays_where_the_head_alone_learns():
    backbone = Lite0()
    assert fixed_part(backbone, 2272, None) == (backbone, 2272)


def test_a_backbone_without_a_last_stage_is_refused():
    with pytest.raises(InputError, match=r"--finetune last: convnet has no stage .*--finetune all"):
        cut(ConvNet(), (3, 32, 32), "convnet")
