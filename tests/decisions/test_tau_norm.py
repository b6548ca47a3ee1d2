import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.decisions.tau_norm import tau_normalised
from longtail.methods.decision import TauNorm, balanced_accuracy
from longtail.models.classifier import build_classifier
from longtail.models.output import ModelOutput
from longtail.schema import Attribute, LabelSchema

SCHEMA = LabelSchema((Attribute("kind", ("a", "b")), Attribute("size", ("s", "m", "l"))))


@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.integers(0, 999), st.floats(0, 1))
def test_the_class_vectors_are_divided_by_a_power_of_their_length(seed, tau):
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    f = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    b = torch.randn(1, 3, generator=generator, dtype=torch.float64)
    z = (f @ w.T + b)[:, None]
    found = tau_normalised(z, b, w.norm(dim=1)[None], torch.tensor(tau, dtype=torch.float64))
    for i in range(4):
        for k in range(3):
            length = math.sqrt(sum(x * x for x in w[k].tolist()))
            expected = sum(x * y for x, y in zip(w[k].tolist(), f[i].tolist())) / length**tau
            assert found[i, 0, k].item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_classes_that_an_attribute_lacks_stay_out():
    z = torch.tensor([[[1.0, -math.inf]]])
    assert tau_normalised(z, torch.zeros(1, 2), torch.ones(1, 2), torch.tensor(1.0))[0, 0, 1] == -math.inf


def test_balanced_accuracy_is_the_mean_recall_of_present_classes_and_attributes():
    logits = torch.tensor([[[3.0, 1, 0], [0, 1, 2]], [[0.0, 1, 0], [0, 1, 2]], [[3.0, 1, 0], [5, 1, 2]]])
    labels = torch.tensor([[0, 2], [0, -1], [1, 1]])  # recalls 1/2 and 0; 1 and 0
    assert balanced_accuracy(logits, labels).item() == pytest.approx((0.25 + 0.5) / 2)


def test_validation_images_choose_the_power():
    model = build_classifier("convnet", SCHEMA, features=2)
    with torch.no_grad():
        model.head.weight.copy_(torch.eye(2, 3).repeat(2, 1, 1))
        model.head.weight[0, :, 0] *= 4  # a long vector for the frequent class
        model.head.weight[1, :, 2] = 0.1
    rule = TauNorm(model.head)
    features = torch.tensor([[1.0, 2.0], [1.0, 0.5]])[:, None].expand(-1, 2, -1)
    logits = torch.einsum("njd,jdk->njk", features, model.head.weight.detach())
    logits[:, 0, 2] = -math.inf
    rule.choose(logits, torch.tensor([[1, -1], [0, -1]]))
    assert 0.5 < rule.tau.item() <= 0.7  # 4^τ must exceed 2 before class b wins its image, and no more
    chosen = rule.scores(ModelOutput(logits, features), torch.zeros(2, 3)).argmax(2)
    assert chosen[:, 0].tolist() == [1, 0]
