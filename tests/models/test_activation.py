"""Class activation maps against plain loops over places and channels."""

from __future__ import annotations

import pytest
import torch

from longtail.models.activation import class_activation, has_maps
from longtail.models.classifier import build_classifier
from longtail.schema import Attribute, LabelSchema

SCHEMA = LabelSchema((Attribute("a", ("x", "y", "z")), Attribute("b", ("no", "yes"))))
IMAGES = torch.randn(3, 3, 32, 48, generator=torch.Generator().manual_seed(0))
OF, ATTRIBUTES, CLASSES = torch.tensor([0, 2, 2]), torch.tensor([0, 0, 1]), torch.tensor([2, 0, 1])


def made(backbone="convnet", **how):
    torch.manual_seed(1)
    return build_classifier(backbone, SCHEMA, features=5, **how).eval()


def by_loops(model, maps):
    """Class vector times map, place by place, in double precision."""
    found = torch.zeros(len(maps), *maps.shape[2:], dtype=torch.float64)
    for n, (j, k) in enumerate(zip(ATTRIBUTES.tolist(), CLASSES.tolist())):
        weight = model.head.weight[j, :, k].tolist()
        for h in range(maps.shape[2]):
            for w in range(maps.shape[3]):
                values = maps[n, :, h, w].tolist()
                found[n, h, w] = max(0.0, sum(v * x for v, x in zip(weight, values)))
    return found / found.amax((1, 2), keepdim=True).clamp(min=1e-30)


@pytest.mark.parametrize("tuned", [False, True])
def test_on_the_vector_it_is_the_class_vector_times_the_map(tuned):
    model = made(layer="vector")
    if tuned:
        model.tune("head")
    with torch.no_grad():
        expected = by_loops(model, model.backbone.mapped(IMAGES)[1][OF])
    found = class_activation(model, IMAGES, OF, ATTRIBUTES, CLASSES)
    assert found.shape == (3, 2, 3)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)
    assert found.amax() == 1


def test_below_a_rectified_layer_the_weights_are_what_the_logit_gains_from_each_number_of_the_vector():
    model = made().double()
    images = IMAGES.double()
    with torch.no_grad():
        maps = model.backbone.mapped(images)[1][OF]
        for n, (j, k) in enumerate(zip(ATTRIBUTES.tolist(), CLASSES.tolist())):
            v, step = maps[n].mean((1, 2)), 1e-6
            moved = torch.stack([v, v]).repeat_interleave(len(v), 0)
            moved += step * torch.cat([torch.eye(len(v)), -torch.eye(len(v))])
            up, down = model.head(moved).logits[:, j, k].split(len(v))
            expected = torch.einsum("b,bhw->hw", (up - down) / (2 * step), maps[n]).clamp(min=0)
            found = class_activation(model, images, *(x[n : n + 1] for x in (OF, ATTRIBUTES, CLASSES)))[0]
            torch.testing.assert_close(
                found, expected / expected.max().clamp(min=1e-30), rtol=1e-3, atol=1e-4
            )


def test_a_place_that_speaks_against_the_class_is_zero_even_where_all_do():
    model = made(layer="vector")
    with torch.no_grad():
        model.head.weight.fill_(-1.0)
    assert class_activation(model, IMAGES, OF, ATTRIBUTES, CLASSES).amax() == 0


def test_images_do_not_see_each_other_and_no_gradient_stays():
    model = made()
    whole = class_activation(model, IMAGES, OF, ATTRIBUTES, CLASSES)
    alone = class_activation(model, IMAGES[2:], torch.tensor([0]), ATTRIBUTES[1:2], CLASSES[1:2])
    torch.testing.assert_close(whole[1:2], alone)
    assert not whole.requires_grad
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("backbone", ["convnet", "resnet32", "lite0"])
def test_the_vector_of_these_networks_begins_with_the_mean_over_their_map(backbone):
    model = made(backbone)
    assert has_maps(model)
    with torch.no_grad():
        vectors, maps = model.backbone.mapped(IMAGES)
        torch.testing.assert_close(vectors[:, : maps.shape[1]], maps.mean((2, 3)))
        assert torch.equal(vectors, model.backbone(IMAGES))
    assert class_activation(model, IMAGES, OF, ATTRIBUTES, CLASSES).isfinite().all()


def test_a_network_without_such_a_map_is_refused():
    model = made("mtct", image_size=(32, 48))
    assert not has_maps(model)
    with pytest.raises(ValueError, match="the mean over a map"):
        class_activation(model, IMAGES, OF, ATTRIBUTES, CLASSES)
