"""Forms of cross entropy, class weights that begin late, and mixed images."""

import math
from dataclasses import replace

import pytest
import torch

from longtail.data.dataset import Batch
from longtail.errors import InputError
from longtail.losses.adjusted import adjusted_cross_entropy, log_prior, vector_scaling
from longtail.losses.balanced_contrastive import balanced_contrastive
from longtail.losses.class_weights import effective_number_weights
from longtail.losses.cross_entropy import cross_entropy
from longtail.losses.focal import focal
from longtail.losses.ldam import ldam, ldam_margins
from longtail.losses.mixing import mixed_cross_entropy, remix_share
from longtail.methods.options import (
    AdjustmentOptions,
    BCLOptions,
    CRLOptions,
    FocalOptions,
    LDAMOptions,
    MethodOptions,
    MixOptions,
    VSOptions,
)
from longtail.models.classifier import build_classifier

from .conftest import COUNTS, SCHEMA, build, epoch_of, observed


def ce(name, output, batch, options=None):
    return build(name, options or MethodOptions()).loss(output, batch).terms["ce"]


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


def test_class_weights_count_in_the_shares(data):
    method = build("ce", MethodOptions(class_weights="inverse-frequency"))
    observed(method, data)
    expected = torch.tensor([[1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3]])
    torch.testing.assert_close(method.shares, expected)


def test_focal_has_its_power(output, batch):
    options = MethodOptions(focal=FocalOptions(gamma=1.5))
    torch.testing.assert_close(ce("focal", output, batch, options), focal(output.logits, batch.labels, 1.5))
    assert ce("focal", output, batch) < cross_entropy(output.logits, batch.labels)


def test_balanced_softmax_is_logit_adjustment_with_a_factor_of_one(output, batch):
    expected = adjusted_cross_entropy(output.logits, batch.labels, log_prior(COUNTS))
    torch.testing.assert_close(ce("balanced-softmax", output, batch), expected)
    torch.testing.assert_close(ce("logit-adjustment", output, batch), expected)
    half = MethodOptions(adjustment=AdjustmentOptions(tau=0.5))
    expected = adjusted_cross_entropy(output.logits, batch.labels, log_prior(COUNTS, 0.5))
    torch.testing.assert_close(ce("logit-adjustment", output, batch, half), expected)


def test_vector_scaling_scales_and_shifts(output, batch):
    tables = vector_scaling(COUNTS, 0.2, 1.2)
    expected = adjusted_cross_entropy(output.logits, batch.labels, tables.shift, tables.scale)
    options = MethodOptions(vs=VSOptions(gamma=0.2, tau=1.2))
    torch.testing.assert_close(ce("vs", output, batch, options), expected)


def test_ldam_takes_margins_from_cosines_and_weighs_classes_late(output, batch):
    options = MethodOptions(ldam=LDAMOptions(margin=0.4, scale=20))
    method = build("ldam-drw", options)
    margins, weights = ldam_margins(COUNTS, 0.4), effective_number_weights(COUNTS)
    for epoch, expected in ((0, None), (7, None), (8, weights), (9, weights)):
        method.start_epoch(epoch_of(epoch, epochs=10))
        torch.testing.assert_close(
            method.loss(output, batch).terms["ce"],
            ldam(output.logits, batch.labels, margins, 20, expected),
        )
    torch.testing.assert_close(method.scores(output), (20 * output.logits).softmax(2))


def test_a_cosine_head_gives_cosines():
    model = build_classifier("convnet", SCHEMA, features=5, cosine=True).eval()
    output = model(torch.randn(4, 3, 8, 8))
    own = torch.nn.functional.normalize(output.features[:, 1], dim=1)
    weight = torch.nn.functional.normalize(model.head.weight[1], dim=0)
    torch.testing.assert_close(output.logits[:, 1], own @ weight)
    output.logits[:, 1].sum().backward()
    assert model.head.bias.grad is None


def test_the_effective_number_has_its_overlap(output, batch):
    options = MethodOptions(effective_beta=0.9)
    weights = effective_number_weights(COUNTS, 0.9)
    torch.testing.assert_close(
        ce("class-balanced", output, batch, options), cross_entropy(output.logits, batch.labels, weights)
    )


def test_what_a_loss_adjusts_is_not_left_to_the_prior(data, output):
    method = build("balanced-softmax", MethodOptions(decision="prior"))
    observed(method, data)
    torch.testing.assert_close(method.shares, torch.tensor([[1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3]]))
    torch.testing.assert_close(method.scores(output), output.logits.softmax(2))


@pytest.mark.parametrize("sampler", ["over", "root"])
def test_logit_adjustment_shifts_by_what_is_drawn(sampler, data, output, batch):
    method = build("balanced-softmax", MethodOptions(sampler=sampler))
    rates = observed(method, data).rates()
    labels = data.labels[data.rows]
    drawn = [[rates[labels[:, j] == c].sum() for c in range(k)] for j, k in enumerate((2, 3))]
    shift = torch.zeros(2, 3)
    for j, row in enumerate(drawn):
        for c, number in enumerate(row):
            shift[j, c] = math.log(number / sum(row))
    expected = cross_entropy(output.logits + shift, batch.labels)
    torch.testing.assert_close(method.loss(output, batch).terms["ce"], expected)
    uniform = torch.tensor([[1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3]])
    torch.testing.assert_close(method.shares, uniform)


def test_the_shift_counts_class_weights_from_the_epoch_on_in_which_they_count(output, batch):
    options = MethodOptions(class_weights="inverse-frequency", defer_weights=0.5)
    method = build("balanced-softmax", options)
    weights = method.criterion.class_weights
    for epoch, expected in (
        (1, (log_prior(COUNTS), None)),
        (2, (log_prior(COUNTS) + weights.log(), weights)),
    ):
        method.start_epoch(epoch_of(epoch, epochs=4))
        shift, weighed = expected
        ce = adjusted_cross_entropy(output.logits, batch.labels, shift, class_weights=weighed)
        torch.testing.assert_close(method.loss(output, batch).terms["ce"], ce)


@pytest.mark.parametrize(("epochs", "share"), [(1, 0.8), (2, 0.9), (10, 0.99)])
def test_deferred_weights_count_in_the_last_epoch_at_least(epochs, share):
    method = build("class-balanced", MethodOptions(defer_weights=share))
    method.start_epoch(epoch_of(epochs - 1, epochs=epochs))
    assert method.criterion.weighted


def test_class_weights_and_what_a_loss_adjusts_leave_nothing_to_the_prior(data):
    for loss in ("logit-adjusted", "vector-scaling"):
        method = build("ce", MethodOptions(loss=loss, class_weights="exp-share", sampler="root"))
        observed(method, data)
        uniform = torch.tensor([[1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3]])
        torch.testing.assert_close(method.shares, uniform)


def test_rectification_goes_with_any_form_of_cross_entropy(output, batch):
    options = MethodOptions(loss="logit-adjusted", crl=CRLOptions(weight=2.0))
    terms = build("crl-iccv", options).loss(output, batch).terms
    torch.testing.assert_close(terms["ce"], ce("balanced-softmax", output, batch))
    torch.testing.assert_close(terms["crl"], 2 * build("crl-iccv").loss(output, batch).terms["crl"])


def test_bcl_stands_beside_logit_adjusted_cross_entropy(output, batch):
    method = build("bcl", MethodOptions(bcl=BCLOptions(weight=2.0, temperature=0.5)))
    terms = method.loss(output, batch).terms
    present = torch.tensor([[True, True, False], [True, True, True]])
    expected = balanced_contrastive(output.features, batch.labels, method.prototypes, present, 0.5)
    torch.testing.assert_close(terms["bcl"], 2 * expected)
    torch.testing.assert_close(terms["ce"], ce("balanced-softmax", output, batch))
    terms["bcl"].backward()
    assert method.prototypes.grad is not None


def test_mixup_mixes_each_image_with_another_and_their_labels_alike(batch):
    mixed = build("mixup").mix(batch)
    share = mixed.share[0]
    assert (mixed.share == share).all()
    partners = (mixed.images - share * batch.images) / (1 - share)
    order = torch.cdist(partners, batch.images).argmin(1)
    assert sorted(order.tolist()) == list(range(12))
    assert torch.equal(mixed.partner, batch.labels[order])


def test_the_shares_of_mixed_images_have_the_spread_that_was_asked_for(batch):
    method = build("mixup", MethodOptions(mix=MixOptions(alpha=1000.0)))
    assert all(abs(method.mix(batch).share[0] - 0.5) < 0.1 for _ in range(20))


@pytest.mark.parametrize(("loss", "form"), [("focal", focal), ("softmax", cross_entropy)])
def test_a_mixed_image_costs_its_share_at_either_label_with_the_weights_of_both(loss, form, output, batch):
    method = build("mixup", MethodOptions(loss=loss, class_weights="inverse-frequency"))
    mixed, weights = method.mix(batch), method.criterion.class_weights
    known = (batch.labels >= 0) & (mixed.partner >= 0)  # else both labels count different images
    labels, partner = (given.where(known, -1) for given in (batch.labels, mixed.partner))
    own, other = (form(output.logits, given, class_weights=weights) for given in (labels, partner))
    share = mixed.share[0]
    found = method.loss(output, replace(mixed, labels=labels, partner=partner)).terms["ce"]
    torch.testing.assert_close(found, share * own + (1 - share) * other)


def test_remix_gives_the_label_to_the_rarer_class(output, batch):
    method = build("remix", MethodOptions(mix=MixOptions(kappa=2.0, tau=0.7)))
    mixup = build("mixup")
    torch.manual_seed(1)
    mixed = method.mix(batch)
    torch.manual_seed(1)
    plain = mixup.mix(batch)
    table = torch.tensor([[84.0, 15, 0], [60, 30, 9]])
    expected = remix_share(plain.share, batch.labels, mixed.partner, table, 2.0, 0.7)
    torch.testing.assert_close(mixed.share, expected)
    assert mixed.share.shape == (12, 2)
    assert len(mixed.share.unique()) > 1
    torch.testing.assert_close(
        method.loss(output, mixed).terms["ce"],
        mixed_cross_entropy(output.logits, batch.labels, mixed.partner, mixed.share),
    )


def test_without_mixing_the_batch_is_untouched(batch):
    assert build("ce").mix(batch) is batch
    assert isinstance(build("crl").mix(batch), Batch)


def test_the_asymmetric_loss_is_refused_for_more_than_two_classes():
    with pytest.raises(InputError, match="--loss asymmetric: is for attributes of two classes, size has 3"):
        build("asl")
