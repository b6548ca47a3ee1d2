"""Forms of cross entropy, class weights that begin late, and mixed images."""

import math

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
from longtail.methods.context import EpochContext
from longtail.methods.options import (
    AdjustmentOptions,
    CRLOptions,
    FocalOptions,
    LDAMOptions,
    MethodOptions,
    MixOptions,
    VSOptions,
)
from longtail.models.classifier import build_classifier

from .conftest import COUNTS, SCHEMA, build, observed


def ce(name, output, batch, options=None):
    return build(name, options or MethodOptions()).loss(output, batch).terms["ce"]


def context(epoch, epochs):
    return EpochContext(epoch, epochs, 0, build_classifier("convnet", SCHEMA), lambda _: torch.zeros(0))


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
        method.start_epoch(context(epoch, 10))
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
        method.start_epoch(context(epoch, 4))
        shift, weighed = expected
        ce = adjusted_cross_entropy(output.logits, batch.labels, shift, class_weights=weighed)
        torch.testing.assert_close(method.loss(output, batch).terms["ce"], ce)


@pytest.mark.parametrize(("epochs", "share"), [(1, 0.8), (2, 0.9), (10, 0.99)])
def test_deferred_weights_count_in_the_last_epoch_at_least(epochs, share):
    method = build("class-balanced", MethodOptions(defer_weights=share))
    method.start_epoch(context(epochs - 1, epochs))
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
    method = build("bcl")
    terms = method.loss(output, batch).terms
    present = torch.tensor([[True, True, False], [True, True, True]])
    expected = balanced_contrastive(output.features, batch.labels, method.prototypes, present, 0.1)
    torch.testing.assert_close(terms["bcl"], expected)
    torch.testing.assert_close(terms["ce"], ce("balanced-softmax", output, batch))
    terms["bcl"].backward()
    assert method.prototypes.grad is not None


def test_mixup_mixes_each_image_with_another_and_their_labels_alike(output, batch):
    method = build("mixup", MethodOptions(mix=MixOptions(alpha=0.4)))
    torch.manual_seed(3)
    mixed = method.mix(batch)
    torch.manual_seed(3)
    again = method.mix(batch)
    assert torch.equal(mixed.images, again.images)
    share = mixed.share[0]
    assert (mixed.share == share).all()
    partners = (mixed.images - share * batch.images) / (1 - share)
    order = torch.cdist(partners, batch.images).argmin(1)
    assert sorted(order.tolist()) == list(range(12))
    assert torch.equal(mixed.partner, batch.labels[order])
    torch.testing.assert_close(
        method.loss(output, mixed).terms["ce"],
        mixed_cross_entropy(output.logits, batch.labels, mixed.partner, mixed.share),
    )


def test_other_losses_are_mixed_by_the_same_share(output, batch):
    method = build("mixup", MethodOptions(loss="focal"))
    mixed = method.mix(batch)
    own, other = focal(output.logits, batch.labels), focal(output.logits, mixed.partner)
    expected = mixed.share[0] * own + (1 - mixed.share[0]) * other
    torch.testing.assert_close(method.loss(output, mixed).terms["ce"], expected)


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
    assert method.loss(output, mixed).terms["ce"].isfinite()


def test_without_mixing_the_batch_is_untouched(batch):
    assert build("ce").mix(batch) is batch
    assert isinstance(build("crl").mix(batch), Batch)


def test_the_asymmetric_loss_is_refused_for_more_than_two_classes():
    with pytest.raises(InputError, match="--loss asymmetric: is for attributes of two classes, size has 3"):
        build("asl")
