import math

import pytest
import torch

from longtail.errors import InputError
from longtail.models.backbones import BACKBONES, default_backbone, default_hidden, default_size
from longtail.models.classifier import build_classifier
from longtail.schema import Attribute, LabelSchema

SCHEMA = LabelSchema((Attribute("kind", ("a", "b", "c", "d")), Attribute("new", ("no", "yes"))))


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize(("shared", "vectors"), [(False, 2), (True, 1)])
def test_every_backbone_keeps_the_tensor_contract(backbone, shared, vectors):
    size = default_size(backbone) or (24, 40)
    hidden = default_hidden(backbone)
    model = build_classifier(
        backbone, SCHEMA, features=16, shared_feature=shared, image_size=size, hidden=hidden
    )
    output = model(torch.randn(3, 3, *size))
    assert output.logits.shape == (3, 2, 4)
    assert output.features.shape == (3, vectors, 16)
    assert output.vector.shape == (3, model.backbone.out_features)
    assert output.logits[:, 1, 2:].eq(-math.inf).all()
    assert output.logits[:, 0].isfinite().all()
    output.logits[:, 1, :2].sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_resnet32_is_the_true_one():
    ten = LabelSchema.single("class", [str(i) for i in range(10)])
    backbone = build_classifier("resnet32", ten).backbone
    with_ten_classes = sum(p.numel() for p in backbone.parameters()) + 64 * 10 + 10
    assert with_ten_classes == 464_154  # the 0.46 M of He et al. 2016, table 6
    convolutions = [m for m in backbone.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 31  # and one linear layer
    assert backbone(torch.randn(2, 3, 32, 32)).shape == (2, 64)


def test_resnet18_has_its_known_size():
    thousand = LabelSchema.single("class", [str(i) for i in range(1000)])
    backbone = build_classifier("resnet18", thousand).backbone
    assert sum(p.numel() for p in backbone.parameters()) + 512 * 1000 + 1000 == 11_689_512


def test_the_head_is_one_linear_classifier_for_each_attribute():
    model = build_classifier("convnet", SCHEMA, features=5).eval()
    output = model(torch.randn(6, 3, 8, 8))
    for j, classes in enumerate(SCHEMA.num_classes):
        expected = output.features[:, j] @ model.head.weight[j] + model.head.bias[j]
        torch.testing.assert_close(output.logits[:, j, :classes], expected[:, :classes])


def test_the_vector_is_what_the_backbone_gives():
    model = build_classifier("convnet", SCHEMA).eval()
    images = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(model(images).vector, model.backbone(images))


def test_the_options_of_the_head_are_passed_on():
    model = build_classifier("convnet", SCHEMA, hidden=7, layer="linear")
    assert model.head.hidden.out_features == 2 * 7
    assert model.head.layer == "linear"


def test_a_backbone_made_for_a_size_gets_it_by_default_and_others_take_any():
    assert [b for b in BACKBONES if default_size(b)] == ["deepid2"]
    height, width = default_size("deepid2")
    model = build_classifier("deepid2", SCHEMA)
    assert model(torch.randn(1, 3, height, width)).logits.shape == (1, 2, 4)


def test_only_mtct_has_hidden_layers_by_default():
    assert {b: default_hidden(b) for b in BACKBONES if default_hidden(b)} == {"mtct": 256}


def test_the_image_size_reaches_the_backbone():
    assert build_classifier("mtct", SCHEMA, image_size=(40, 60)).backbone.units[0][0].stride == (1, 1)
    assert build_classifier("mtct", SCHEMA).backbone.units[0][0].stride == (4, 4)


def test_parameters_are_counted():
    model = build_classifier("convnet", SCHEMA)
    assert model.num_parameters == sum(p.numel() for p in model.parameters())


def test_the_backbone_follows_the_size_of_the_images():
    assert default_backbone(24, 40) == "resnet32"
    assert default_backbone(64, 64) == "resnet32"
    assert default_backbone(65, 30) == "resnet18"


def test_an_unknown_backbone_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"--backbone: expected one of convnet, .*got 'resnet33'"):
        build_classifier("resnet33", SCHEMA)


def test_a_timm_backbone_is_built_by_name_and_its_vectors_reach_the_head(timm):
    model = build_classifier("timm:tiny", SCHEMA)
    assert model.head.in_features == 6
    assert model(torch.randn(2, 3, 8, 8)).logits.shape == (2, 2, 4)


def test_the_small_network_halves_its_map_down_to_one_pixel():
    network = build_classifier("convnet", SCHEMA).eval().backbone
    for size, left in (((8, 8), (1, 1)), ((32, 17), (2, 1))):
        assert network.mapped(torch.zeros(1, 3, *size))[1].shape[2:] == left
