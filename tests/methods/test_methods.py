import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from longtail import ClassRectificationLoss
from longtail.data.dataset import Batch
from longtail.errors import InputError
from longtail.losses.cross_entropy import cross_entropy
from longtail.losses.pairs import contrastive, histogram, triplet
from longtail.methods import class_rectification
from longtail.methods.options import CRLOptions, MethodOptions, MetricOptions
from longtail.methods.recipe import recipe
from longtail.methods.rows import METHODS
from longtail.models.output import ModelOutput
from longtail.sampling.balance import joint_weights
from longtail.schema import LabelSchema

from .conftest import COUNTS, SCHEMA, build, first, model, observed

BINARY = LabelSchema(SCHEMA.attributes[:1])


def built(name):
    """A method of the table; the asymmetric loss is for attributes of two classes."""
    return build(name, **({"schema": BINARY, "class_counts": COUNTS[:1]} if name == "asl" else {}))


def binary(data):
    """The first attribute alone."""
    return replace(data, schema=BINARY, labels=data.labels[:, :1])


@pytest.mark.parametrize(
    ("views", "epochs", "limit"), [(None, 20, 2), (0.0, 20, np.inf), (30.0, 20, 1.5), (6.0, 20, 1)]
)
def test_root_sampling_holds_images_back_that_a_training_would_see_too_often(views, epochs, limit, data):
    rates = observed(build("crl", MethodOptions(views=views)), replace(data, epochs=epochs)).rates()
    free = joint_weights(data.labels[data.rows], data.schema.num_classes) ** 0.5
    free /= free.mean()
    assert free.max() > 1.5  # the case has images to hold back
    held = np.minimum(free, limit)
    np.testing.assert_allclose(rates, held / held.mean())


@pytest.mark.parametrize("name", METHODS)
def test_every_listed_method_trains_and_decides(name, output, batch, data):
    if name == "asl":
        data, batch = binary(data), replace(batch, labels=batch.labels[:, :1])
        output = ModelOutput(output.logits[:, :1, :2], output.features[:, :1], output.vector)
    if name == "lmle":  # quintuplets
        output, batch = first(10, output, batch)
    method = built(name)
    observed(method, data)
    losses = method.loss(output, method.mix(batch))
    total = torch.stack(list(losses.terms.values())).sum()
    total.backward()
    assert total.isfinite()
    assert total.requires_grad
    assert all(not value.requires_grad for value in losses.mined.values())
    scores = method.scores(output)
    assert scores.shape == output.logits.shape
    assert scores.isfinite().all()
    assert ((scores >= 0) & (scores <= 1)).all()


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("processes", [1, 2])
def test_every_method_draws_whole_batches_of_training_rows(name, data, processes):
    data = replace(binary(data) if name == "asl" else data, rows=np.flatnonzero(np.arange(100) % 5))
    batches = built(name).draw(data, 21, 0, processes).batches(0)
    assert batches.shape[1] % processes == 0
    assert np.isin(batches, data.rows).all()


def test_after_balanced_sampling_there_is_nothing_left_to_divide_by(data):
    method = build("over-sampling", MethodOptions(decision="prior"))
    said = method.observe(data, method.draw(data, 12, 0, 1), 0)
    shares = method.shares
    plain = build("ce")
    observed(plain, data)
    assert (shares[:, 0] / shares[:, 1] < 1.5).all()
    assert (plain.shares[:, 0] / plain.shares[:, 1] > 1.9).all()
    assert len(said) == 2
    assert said[0].startswith("kind: the largest class is drawn ")
    assert "it has 5.6 times as many images" in said[0]


def test_a_replicated_epoch_is_longer(data):
    options = (MethodOptions(replicate=replicate) for replicate in (False, True))
    kept, replicated = (build("over-sampling", given).draw(data, 12, 0, 1).batches(0) for given in options)
    assert len(kept) < len(replicated)


def test_an_attribute_without_a_label_in_training_is_not_said_to_be_drawn(data):
    labels = data.labels.copy()
    labels[data.rows, 1] = -1
    method, data = build("over-sampling"), replace(data, labels=labels)
    (said,) = method.observe(data, method.draw(data, 12, 0, 1), 0)
    assert said.startswith("kind: the largest class is drawn ")
    assert not method.shares[1].any(), "0, and not undefined"


def test_the_sum_is_the_posters(output, batch):
    terms = build("crl-iccv", MethodOptions(crl=CRLOptions(weight=3.0))).loss(output, batch).terms
    expected = ClassRectificationLoss()(output.logits, batch.labels)
    torch.testing.assert_close(terms["crl"], 3 * expected)
    torch.testing.assert_close(terms["ce"], cross_entropy(output.logits, batch.labels))


def test_rectification_goes_with_weights_and_samplers(output, batch):
    options = MethodOptions(sampler="over", class_weights="inverse-frequency")
    terms = build("crl-iccv", options).loss(output, batch).terms
    weighted = build("ce", options).loss(output, batch).terms
    torch.testing.assert_close(terms["ce"], weighted["ce"])
    torch.testing.assert_close(terms["crl"], build("crl-iccv").loss(output, batch).terms["crl"])
    assert recipe("crl-iccv", options).sampler == "over"


def test_the_recommended_sum_counts_the_attributes(output, batch):
    one = ClassRectificationLoss(level="instance", normalize=True)
    mined = one(output.logits, batch.labels, output.features)
    terms = build("crl").loss(output, batch).terms
    torch.testing.assert_close(terms["crl"], 0.15 * 2 * mined)
    double = build("crl", MethodOptions(crl=CRLOptions(weight=0.3))).loss(output, batch).terms
    torch.testing.assert_close(double["crl"], 2 * terms["crl"])
    plain = build("crl", MethodOptions(crl=CRLOptions(balance="sum", weight=1.0))).loss(output, batch).terms
    torch.testing.assert_close(plain["crl"], mined)


def test_the_mix_is_tpamis(output, batch):
    crl = CRLOptions(level="instance", balance="tpami", eta=0.01, raw_features=True)
    terms = build("crl-iccv", MethodOptions(crl=crl)).loss(output, batch).terms
    kind = 50 * (84 - 15) / 99  # percent of the images that would have to change class
    size = 50 * ((60 - 33) + (33 - 30) + (33 - 9)) / 99
    alpha = 0.01 * (kind + size) / 2
    expected = ClassRectificationLoss(level="instance")(output.logits, batch.labels, output.features)
    torch.testing.assert_close(terms["crl"], alpha * expected)
    torch.testing.assert_close(terms["ce"], (1 - alpha) * cross_entropy(output.logits, batch.labels))


@pytest.mark.parametrize(
    "form",
    [
        CRLOptions("instance", "absolute", power=2, margin=0.8),
        CRLOptions("instance", "distribution", nodes=7),
        CRLOptions("class", "log-odds", margin=0.3),
        CRLOptions("class", kappa=1, rho=0.3),
    ],
)
def test_the_options_of_rectification_reach_it(form, output, batch):
    found = build("crl-iccv", MethodOptions(crl=form)).loss(output, batch)
    one = ClassRectificationLoss(
        form.level,
        form.comparison,
        form.kappa,
        form.rho,
        form.margin,
        form.power,
        normalize=True,
        nodes=form.nodes,
    )
    expected = one.rectify(output.logits, batch.labels, output.features)
    torch.testing.assert_close(found.terms["crl"], expected.loss)
    assert expected.loss > 0
    assert torch.equal(found.mined["skipped_share"], expected.classes_skipped.float())


def test_where_all_features_are_one_the_loss_is_the_margin(output, batch):
    same = output._replace(features=torch.ones(12, 2, 4))
    assert build("crl").loss(same, batch).mined["margin_share"] == pytest.approx(1)


def test_a_batch_that_mines_nothing_has_no_active_share_and_counts_as_empty(output):
    labels = torch.zeros(12, 2, dtype=torch.int64)
    mined = build("crl-iccv").loss(output, Batch(torch.zeros(12, 3, 8, 8), labels, torch.arange(12))).mined
    assert mined["empty_share"] == 1
    assert mined["active_share"].isnan()
    assert mined["margin_share"].isnan()


def test_the_loss_is_held_against_the_margin_only_where_there_is_one(output, batch):
    for margin in (None, 0.7):
        crl = CRLOptions("instance", raw_features=True, margin=margin)
        found = build("crl-iccv", MethodOptions(crl=crl)).loss(output, batch)
        expected = math.nan if margin is None else found.terms["crl"] / margin
        torch.testing.assert_close(found.mined["margin_share"], torch.as_tensor(expected), equal_nan=True)


@pytest.mark.parametrize(
    ("name", "loss"), [("triplet", triplet), ("contrastive", contrastive), ("histogram", histogram)]
)
def test_a_metric_loss_stands_beside_cross_entropy(name, loss, output, batch):
    options = MethodOptions(metric=MetricOptions(beside=True, weight=2.0))
    terms = build(name, options).loss(output, batch).terms
    torch.testing.assert_close(terms[name], 2 * loss(output.features, batch.labels))
    torch.testing.assert_close(terms["ce"], cross_entropy(output.logits, batch.labels))


@pytest.mark.parametrize(
    ("name", "loss", "option"),
    [
        ("triplet", triplet, {"margin": 0.7}),
        ("contrastive", contrastive, {"margin": 1.7}),
        ("histogram", histogram, {"nodes": 11}),
    ],
)
def test_margin_and_nodes_reach_the_metric_losses(name, loss, option, output, batch):
    terms = build(name, MethodOptions(metric=MetricOptions(**option))).loss(output, batch).terms
    torch.testing.assert_close(terms[name], loss(output.features, batch.labels, **option))


def test_balanced_data_leave_the_mix_without_a_weight():
    options = MethodOptions(crl=CRLOptions(balance="tpami"))
    with pytest.raises(InputError, match=r"--crl.alpha: the training data are balanced"):
        build("crl-iccv", options, class_counts=[[5, 5], [3, 3, 3]])


def test_an_unknown_method_is_refused_with_a_suggestion():
    with pytest.raises(InputError, match=r"--method: .*Did you mean 'crl'"):
        build("crll")


@pytest.mark.parametrize("name", ["triplet", "contrastive", "histogram"])
@pytest.mark.parametrize("beside", [False, True])
def test_a_metric_loss_alone_cuts_the_classifier_off(name, beside):
    trained = model()
    build(name, MethodOptions(metric=MetricOptions(beside=beside))).begin(trained)
    assert trained.head.detached is not beside


@pytest.mark.parametrize(
    ("scope", "level", "gathered"),
    [
        ("global", "instance", ["gather_ranks", "gather_for_share"]),  # labels, features
        ("global", "class", ["gather_ranks", "gather_ranks"]),  # labels, logits
        ("local", "instance", []),
    ],
)
def test_rectification_mines_in_the_batch_of_all_processes_unless_told_otherwise(
    output, batch, monkeypatch, scope, level, gathered
):
    calls = []
    for name in ("gather_ranks", "gather_for_share"):
        gather = lambda rows, name=name: calls.append(name) or rows  # noqa: E731
        monkeypatch.setattr(class_rectification, name, gather)
    losses = build("crl", MethodOptions(crl=CRLOptions(level, scope=scope))).loss(output, batch)
    assert calls == gathered
    assert losses.mined["anchors"] > 0
