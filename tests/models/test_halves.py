"""Networks that were not written to be cut, in two parts."""

import pytest
import torch
from torch import nn

from longtail.features.vectors import FixedNetwork
from longtail.models.cut import FlatMaps, cut
from longtail.models.halves import _equal, halves_of

from .vision import Block, Vision

IMAGE = (3, 16, 16)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Vision()


def test_a_transformer_is_cut_before_its_last_block(network):
    parts, images = cut(network, IMAGE, "timm:vision"), torch.randn(4, *IMAGE)
    assert parts.shape == (5, 8)
    torch.testing.assert_close(parts.vectors(parts.stem(images).flatten(1)), network(images))
    own = {id(p) for p in parts.tail.parameters()}
    last = (network.blocks[-1], network.norm, network.fc_norm)
    assert own == {id(p) for part in last for p in part.parameters()}
    rest = {id(p) for p in parts.stem.parameters()}
    assert own | rest == {id(p) for p in network.parameters()}
    assert not own & rest


def test_what_is_computed_once_depends_on_the_stem_alone(network):
    stem = FlatMaps(cut(network, IMAGE, "timm:vision"))

    def digest():
        return FixedNetwork(stem, (0.5,) * 3, (0.5,) * 3, (16, 16)).digest

    before = digest()
    with torch.no_grad():
        network.blocks[-1].norm1.bias += 1
        assert digest() == before
        network.blocks[0].norm1.bias += 1
        after = digest()
        assert after != before
        network.pos_embed += 1
    assert digest() not in (before, after)


def test_arguments_of_timm_count_though_the_weights_are_the_same(network):
    def digest(name):
        return FixedNetwork(network, (0.5,) * 3, (0.5,) * 3, (16, 16), name=name).digest

    assert digest("timm:resnet18") != digest("timm:resnet18?global_pool=max")
    assert digest("lite0") == digest("")


def test_a_network_whose_parts_do_not_make_the_whole_is_not_cut(network):
    class Odd(Vision):
        def forward(self, images):
            return super().forward(images) + images.mean()

    class Turned(Block):
        def forward(self, x, turn=None):
            return super().forward(x if turn is None else x * turn)

    class Rotary(Vision):
        def forward(self, images):
            self.blocks[-1].register_forward_pre_hook(lambda _, x: (*x, 1 + 1e-9))
            return super().forward(images)

    images = torch.zeros(1, *IMAGE)
    rotary = Rotary()
    rotary.blocks[-1] = Turned(8)
    assert halves_of(rotary.eval(), images) is None
    assert halves_of(Odd().eval(), images) is None
    assert halves_of(nn.Sequential(nn.Flatten()), images) is None


def test_parts_that_give_another_shape_are_not_the_whole():
    assert not _equal(nn.Identity(), nn.Identity(), torch.ones(1, 4), torch.ones(2, 4))


def test_a_last_stage_that_is_given_more_by_name_is_not_cut():
    class Turned(Block):
        def forward(self, x, *, turn=None):
            return super().forward(x if turn is None else x * turn)

    class Rotary(Vision):
        def forward(self, images):
            patches = self.patch_embed(images).flatten(2).mT
            x = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], 1) + self.pos_embed
            x = self.blocks[-1](self.blocks[:-1](x), turn=torch.tensor(1 + 1e-9))
            return self.forward_head(self.norm(x))

    rotary = Rotary()
    rotary.blocks[-1] = Turned(8)
    assert halves_of(rotary.eval(), torch.zeros(1, *IMAGE)) is None
