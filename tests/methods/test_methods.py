import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from longtail import ClassRectificationLoss
from longtail.data.dataset import Batch
from longtail.errors import InputError
from longtail.losses.contrastive import contrastive
from longtail.losses.cross_entropy import cross_entropy
from longtail.losses.histogram import histogram
from longtail.losses.triplet import triplet
from longtail.methods.options import CRLOptions, MethodOptions, MetricOptions
from longtail.methods.parts import check_decision, own_options, parts_of
from longtail.methods.rows import METHODS
from longtail.models.output import ModelOutput
from longtail.sampling.balance import joint_weights
from longtail.schema import LabelSchema

from .conftest import LABELS, SCHEMA, build

BINARY = LabelSchema(SCHEMA.attributes[:1])


def binary(output, batch, data):
    """The first attribute alone."""
    output = ModelOutput(output.logits[:, :1, :2], output.features[:, :1], output.vector)
    batch = Batch(batch.images, batch.labels[:, :1], batch.index)
    return output, batch, replace(data, schema=BINARY, labels=data.labels[:, :1])


@pytest.mark.parametrize(
    ("views", "epochs", "limit"), [(None, 20, 2), (0.0, 20, np.inf), (30.0, 20, 1.5), (6.0, 20, 1)]
)
def test_root_sampling_holds_images_back_that_a_training_would_see_too_often(views, epochs, limit, data):
    rates = build("crl", MethodOptions(views=views)).sampler(replace(data, epochs=epochs), 12, 0, 1).rates()
    free = joint_weights(data.labels[data.rows], data.schema.num_classes) ** 0.5
    free /= free.mean()
    assert free.max() > 1.5  # the case has images to hold back
    held = np.minimum(free, limit)
    np.testing.assert_allclose(rates, held / held.mean())


def first(batch, n):
    return Batch(batch.images[:n], batch.labels[:n], batch.index[:n], batch.task[:n])


@pytest.mark.parametrize("name", METHODS)
def test_every_listed_method_trains_and_decides(name, output, batch, data):
    if name == "asl":  # two classes
        output, batch, data = binary(output, batch, data)
    if name == "lmle":  # quintuplets
        output, batch = ModelOutput(*(part[:10] for part in output)), first(batch, 10)
    method = build(name, **({"schema": BINARY, "class_counts": [[84, 15]]} if name == "asl" else {}))
    method.sampler(data, 12, 0, 1)
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
    method = build("ce" if name == "asl" else name)
    sampler = method.sampler(data, 20, 0, processes)
    batches = sampler.batches(0)
    assert batches.shape[1] % processes == 0
    assert np.isin(batches, data.rows).all()


@pytest.mark.parametrize("weights", ["none", "exp-share", "inverse-frequency"])
def test_class_weights_are_those_of_their_name(output, batch, weights):
    method = build("ce", MethodOptions(class_weights=weights))
    if weights == "exp-share":
        factors = [[math.exp(-84 / 99), math.exp(-15 / 99), 1], [math.exp(-n / 99) for n in (60, 30, 9)]]
    else:
        factors = [[99 / 168, 99 / 30, 1], [99 / 180, 99 / 90, 99 / 27]]
    expected = cross_entropy(
        output.logits, batch.labels, None if weights == "none" else torch.tensor(factors)
    )
    torch.testing.assert_close(method.loss(output, batch).terms["ce"], expected)


def test_the_cost_sensitive_row_has_the_papers_weights():
    assert parts_of("cost-sensitive", MethodOptions()).class_weights == "exp-share"
    chosen = parts_of("cost-sensitive", MethodOptions(class_weights="inverse-frequency"))
    assert chosen.class_weights == "inverse-frequency"


def test_threshold_adjustment_divides_by_the_shares_in_training(output, data):
    method = build("threshold-adjustment")
    method.sampler(data, 12, 0, 1)
    divided = output.logits.softmax(2) / torch.tensor([[84 / 99, 15 / 99, 1], [60 / 99, 30 / 99, 9 / 99]])
    torch.testing.assert_close(method.scores(output), divided / divided.sum(2, keepdim=True))


def test_after_balanced_sampling_there_is_nothing_left_to_divide_by(data):
    method = build("over-sampling", MethodOptions(decision="prior"))
    method.sampler(data, 12, 0, 1)
    shares = method.shares
    plain = build("ce")
    plain.sampler(data, 12, 0, 1)
    assert (shares[:, 0] / shares[:, 1] < 1.5).all()
    assert (plain.shares[:, 0] / plain.shares[:, 1] > 1.9).all()
    assert len(method.notes) == 2
    assert method.notes[0].startswith("kind: the largest class is drawn ")
    assert "it has 5.6 times as many images" in method.notes[0]


def test_class_weights_count_in_the_shares(data):
    method = build("ce", MethodOptions(class_weights="inverse-frequency"))
    method.sampler(data, 12, 0, 1)
    expected = torch.tensor([[1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3]])
    torch.testing.assert_close(method.shares, expected)


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
    assert parts_of("crl-iccv", options).sampler == "over"


def test_the_recommended_sum_counts_the_attributes(output, batch):
    form = CRLOptions(level="instance", margin=0.5)
    mined = build("crl-iccv", MethodOptions(crl=form)).loss(output, batch).terms["crl"]
    terms = build("crl").loss(output, batch).terms
    torch.testing.assert_close(terms["crl"], 0.15 * 2 * mined)
    double = build("crl", MethodOptions(crl=CRLOptions(weight=0.3))).loss(output, batch).terms
    torch.testing.assert_close(double["crl"], 2 * terms["crl"])
    plain = build("crl", MethodOptions(crl=CRLOptions(balance="sum", weight=1.0))).loss(output, batch).terms
    torch.testing.assert_close(plain["crl"], mined)


def test_the_mix_is_tpamis(output, batch):
    crl = CRLOptions(level="instance", balance="tpami", eta=0.01, raw_features=True)
    terms = build("crl-iccv", MethodOptions(crl=crl)).loss(output, batch).terms
    omegas = [
        100 * 0.5 * (84 / 99 - 15 / 99),
        100 / 3 * ((60 / 99 - 1 / 3) + abs(30 / 99 - 1 / 3) + (1 / 3 - 9 / 99)),
    ]
    from longtail import tpami_alpha

    alpha = tpami_alpha([[84, 15], [60, 30, 9]], 0.01)
    assert alpha > 0
    assert omegas[0] > 0
    expected = ClassRectificationLoss(level="instance")(output.logits, batch.labels, output.features)
    torch.testing.assert_close(terms["crl"], alpha * expected)
    torch.testing.assert_close(terms["ce"], (1 - alpha) * cross_entropy(output.logits, batch.labels))


def test_a_batch_that_mines_nothing_has_no_active_share_and_counts_as_empty(output):
    labels = torch.zeros(12, 2, dtype=torch.int64)
    mined = build("crl-iccv").loss(output, Batch(torch.zeros(12, 3, 8, 8), labels, torch.arange(12))).mined
    assert mined["empty_share"] == 1
    assert mined["active_share"].isnan()


@pytest.mark.parametrize(
    ("name", "loss"), [("triplet", triplet), ("contrastive", contrastive), ("histogram", histogram)]
)
def test_a_metric_loss_stands_beside_cross_entropy(name, loss, output, batch):
    options = MethodOptions(metric=MetricOptions(beside=True, weight=2.0))
    terms = build(name, options).loss(output, batch).terms
    torch.testing.assert_close(terms[name], 2 * loss(output.features, batch.labels))
    torch.testing.assert_close(terms["ce"], cross_entropy(output.logits, batch.labels))


@pytest.mark.parametrize("name", ["triplet", "contrastive", "histogram", "lmle"])
def test_a_metric_loss_alone_learns_points_and_a_probe(name):
    assert parts_of(name, MethodOptions()).feature_layer == "linear"
    beside = parts_of(name, MethodOptions(metric=MetricOptions(beside=True)))
    assert beside.detached == (name == "lmle")


def test_beside_cross_entropy_the_largest_probability_decides_alone_the_neighbours():
    assert parts_of("triplet", MethodOptions()).decision == "knn"
    assert parts_of("triplet", MethodOptions(metric=MetricOptions(beside=True))).decision == "argmax"
    assert parts_of("triplet", MethodOptions(decision="argmax")).decision == "argmax"


def test_margin_and_nodes_reach_the_metric_losses(output, batch):
    wide = MethodOptions(metric=MetricOptions(margin=0.7))
    torch.testing.assert_close(
        build("triplet", wide).loss(output, batch).terms["triplet"],
        triplet(output.features, batch.labels, margin=0.7),
    )
    few = MethodOptions(metric=MetricOptions(nodes=11))
    torch.testing.assert_close(
        build("histogram", few).loss(output, batch).terms["histogram"],
        histogram(output.features, batch.labels, nodes=11),
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (CRLOptions(kappa=0), "--crl.kappa: expected at least 1"),
        (CRLOptions(rho=1.5), "--crl.rho: "),
        (CRLOptions(weight=0), "--crl.weight: expected a positive"),
        (CRLOptions(alpha=0.5), "--crl.alpha: goes with --crl.balance tpami"),
        (CRLOptions(balance="tpami", weight=2), "--crl.weight: goes with --crl.balance sum"),
        (CRLOptions(balance="tpami", alpha=0.0), "--crl.alpha: expected a share above 0"),
    ],
)
def test_options_that_do_not_fit_name_their_flag(options, message):
    with pytest.raises(InputError, match=message):
        build("crl-iccv", MethodOptions(crl=options))


def test_balanced_data_leave_the_mix_without_a_weight():
    options = MethodOptions(crl=CRLOptions(balance="tpami"))
    with pytest.raises(InputError, match=r"--crl.alpha: the training data are balanced"):
        build("crl-iccv", options, class_counts=[[5, 5], [3, 3, 3]])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lmle", MethodOptions(sampler="over"), "--sampler over: lmle draws its own batches"),
        ("deepid2", MethodOptions(sampler="under"), "--sampler under: deepid2 draws its own"),
        ("mtct", MethodOptions(sampler="shuffled"), "--sampler shuffled: mtct draws its own"),
        ("ce", MethodOptions(replicate=True), "--replicate: goes with over-sampling"),
        ("ce", MethodOptions(views=40), "--views: goes with root sampling, add --sampler root"),
        ("crl", MethodOptions(views=-1.0), "--views: expected a number from 0 up, got -1"),
        ("ce", MethodOptions(decision="clusters"), "--decision clusters: needs the clusters that lmle"),
        ("lmle", MethodOptions(decision="prior"), "--decision prior: lmle trains on every class alike"),
    ],
)
def test_parts_that_do_not_go_together_are_refused_with_the_reason(name, options, message):
    with pytest.raises(InputError, match=message):
        parts_of(name, options)


@pytest.mark.parametrize("decision", ["argmax", "prior", "knn"])
@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("lmle", "asl")])
def test_any_training_goes_with_any_decision_but_clusters(name, decision):
    check_decision(name, decision, MethodOptions())
    assert build(name, MethodOptions(decision=decision)).parts.decision == decision


@pytest.mark.parametrize(
    "make",
    [
        lambda: MetricOptions(weight=2.0),
        lambda: MetricOptions(margin=0.0),
        lambda: MetricOptions(nodes=1),
    ],
)
def test_metric_options_out_of_range_name_their_flag(make):
    with pytest.raises(InputError, match=r"^--metric\."):
        make()


def test_an_unknown_method_is_refused_with_a_suggestion():
    with pytest.raises(InputError, match=r"--method: .*Did you mean 'crl'"):
        build("crll")


def test_the_options_shown_are_those_of_the_method():
    shown = own_options("triplet", MethodOptions(sampler="over", metric=MetricOptions(margin=0.3)))
    assert shown["sampler"] == "over"
    assert shown["margin"] == 0.3
    assert shown["k"] == 20
    assert "kappa" not in shown
    assert own_options("ce", MethodOptions()) == {
        "sampler": "shuffled",
        "class_weights": "none",
        "loss": "softmax",
    }


def test_options_survive_json():
    import json
    from dataclasses import asdict

    options = MethodOptions(sampler="over", crl=CRLOptions(kappa=3), metric=MetricOptions(beside=True))
    assert MethodOptions.from_dict(json.loads(json.dumps(asdict(options)))) == options


def test_the_knn_keeps_the_features_of_training_images(data, output):
    from longtail.methods.base import EpochContext

    method = build("ce", MethodOptions(decision="knn"))
    method.sampler(data, 12, 0, 1)
    points = torch.nn.functional.one_hot(torch.from_numpy(LABELS.clip(min=0)), 4).float() * 5
    context = EpochContext(0, 1, 0, torch.nn.Identity(), lambda rows: points[torch.from_numpy(rows)])
    method.end_epoch(context)
    asked = output._replace(features=points[:12])
    chosen = method.scores(asked).argmax(2)
    assert (chosen == torch.from_numpy(LABELS[:12])).all()
    assert torch.equal(method.decision.references.norm(dim=2)[:99], torch.ones(99, 2))
    assert (method.decision.reference_labels[99] == -1).all()  # the image without a label has no vote
