"""How a trained model decides."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from longtail.methods.criteria import Softmax
from longtail.methods.decisions import TauNorm, balanced_accuracy
from longtail.methods.options import KNNOptions, MethodOptions
from longtail.methods.recipe import Recipe
from longtail.models.classifier import build_classifier
from longtail.models.output import ModelOutput

from .conftest import LABELS, SCHEMA, SETTING, build, epoch_of, observed


def test_the_knn_keeps_the_features_of_training_images(data, output):
    method = build("ce", MethodOptions(decision="knn"))
    observed(method, data)
    points = torch.nn.functional.one_hot(torch.from_numpy(LABELS.clip(min=0)), 4).float() * 5
    method.end_epoch(epoch_of(0, features=lambda rows: points[torch.from_numpy(rows)]))
    asked = output._replace(features=points[:12])
    chosen = method.scores(asked).argmax(2)
    assert (chosen == torch.from_numpy(LABELS[:12])).all()
    assert torch.equal(method.decision.references.norm(dim=2)[:99], torch.ones(99, 2))
    assert (method.decision.reference_labels[99] == -1).all()  # the image without a label has no vote


def test_every_class_keeps_as_many_images_as_vote(data):
    method = build("ce", MethodOptions(decision="knn", knn=KNNOptions(k=3, references=20)))
    observed(method, data)
    assert method.decision.k == 3
    kept = method.decision.reference_labels
    assert all((kept[:, j] == c).sum() >= 3 for j, size in enumerate((2, 3)) for c in range(size))


def test_threshold_adjustment_divides_by_the_shares_in_training(output, data):
    method = build("threshold-adjustment")
    observed(method, data)
    divided = output.logits.softmax(2) / torch.tensor([[84 / 99, 15 / 99, 1], [60 / 99, 30 / 99, 9 / 99]])
    torch.testing.assert_close(method.scores(output), divided / divided.sum(2, keepdim=True))


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
    rule = TauNorm(Recipe(), SETTING)
    features = torch.tensor([[1.0, 2.0], [1.0, 0.5]])[:, None].expand(-1, 2, -1)
    logits = torch.einsum("njd,jdk->njk", features, model.head.weight.detach())
    logits[:, 0, 2] = -math.inf
    rule.choose(model.head, logits, torch.tensor([[1, -1], [0, -1]]))
    assert 0.5 < rule.tau.item() <= 0.7  # 4^τ must exceed 2 before class b wins its image, and no more
    plain = Softmax(Recipe(), SETTING)
    chosen = rule.scores(ModelOutput(logits, features, features[:, 0]), plain, torch.zeros(2, 3)).argmax(2)
    assert chosen[:, 0].tolist() == [1, 0]


def test_without_a_power_the_class_vectors_decide_without_their_bias():
    model = build_classifier("convnet", SCHEMA, features=2)
    torch.nn.init.normal_(model.head.bias, std=9.0)
    features = torch.randn(6, 2, 2)
    plain = torch.einsum("njd,jdk->njk", features, model.head.weight.detach())
    logits = plain + model.head.bias.detach().squeeze(1)
    rule = TauNorm(Recipe(), SETTING)
    rule.choose(model.head, logits, torch.zeros(6, 2, dtype=torch.int64))
    rule.tau.fill_(0.0)
    output = ModelOutput(logits, features, features[:, 0])
    found = rule.scores(output, Softmax(Recipe(), SETTING), torch.zeros(2, 3))
    torch.testing.assert_close(found, plain.softmax(2))


def test_only_images_of_the_training_vote_with_labels_of_their_own(data):
    data = replace(data, rows=np.arange(1, 100, 2))
    method = build("ce", MethodOptions(decision="knn"))
    observed(method, data)
    voters = method.decision.rows
    assert np.isin(voters, data.rows).all()
    assert (method.decision.reference_labels[: len(voters)].numpy() == LABELS[voters]).all()


def test_the_length_of_a_feature_does_not_matter_to_its_neighbours(data, output):
    method = build("ce", MethodOptions(decision="knn"))
    observed(method, data)
    points, asked = torch.randn(100, 2, 4), torch.randn(12, 2, 4)
    method.end_epoch(epoch_of(0, features=lambda rows: points[rows]))
    short, long = (method.scores(output._replace(features=size * asked)) for size in (0.125, 8.0))
    torch.testing.assert_close(short, long)
