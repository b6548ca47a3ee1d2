import math

import pytest
import torch

from longtail import ClassRectificationLoss
from longtail.data.dataset import Batch
from longtail.errors import InputError
from longtail.losses.cross_entropy import cross_entropy
from longtail.methods.build import build_method
from longtail.methods.options import METHODS, CRLOptions
from longtail.models.output import ModelOutput

COUNTS = [[90, 10], [60, 30, 10]]


@pytest.fixture
def output():
    logits = torch.randn(12, 2, 3)
    logits[:, 0, 2] = -math.inf
    return ModelOutput(logits.requires_grad_(), torch.randn(12, 2, 4, requires_grad=True))


@pytest.fixture
def batch():
    labels = torch.tensor([[0, 0]] * 6 + [[1, 1]] * 3 + [[0, 2]] * 2 + [[-1, -1]])
    return Batch(torch.zeros(12, 3, 8, 8), labels, torch.arange(12))


@pytest.mark.parametrize("name", METHODS)
def test_every_listed_method_trains_and_decides(name, output, batch):
    method = build_method(name, COUNTS, CRLOptions())
    losses = method.loss(output, batch)
    total = torch.stack(list(losses.terms.values())).sum()
    total.backward()
    assert total.isfinite()
    assert output.logits.grad is not None
    assert all(not value.requires_grad for value in losses.mined.values())
    scores = method.scores(output)
    assert scores.shape == (12, 2, 3)
    torch.testing.assert_close(scores.sum(2), torch.ones(12, 2))


def test_the_sum_is_the_posters(output, batch):
    terms = build_method("crl", COUNTS, CRLOptions(weight=3.0)).loss(output, batch).terms
    expected = ClassRectificationLoss()(output.logits, batch.labels)
    torch.testing.assert_close(terms["crl"], 3 * expected)
    torch.testing.assert_close(terms["ce"], cross_entropy(output.logits, batch.labels))


def test_the_mix_is_tpamis(output, batch):
    options = CRLOptions(level="instance", balance="tpami", eta=0.01, raw_features=True)
    terms = build_method("crl", COUNTS, options).loss(output, batch).terms
    omegas = [100 * 0.5 * (0.4 + 0.4), 100 * 0.5 * (0.6 - 1 / 3 + 1 / 3 - 0.3 + 1 / 3 - 0.1)]
    alpha = 0.01 * sum(omegas) / 2
    expected = ClassRectificationLoss(level="instance")(output.logits, batch.labels, output.features)
    torch.testing.assert_close(terms["crl"], alpha * expected)
    torch.testing.assert_close(terms["ce"], (1 - alpha) * cross_entropy(output.logits, batch.labels))


def test_a_batch_that_mines_nothing_has_no_active_share_and_counts_as_empty(output):
    labels = torch.zeros(12, 2, dtype=torch.int64)
    mined = (
        build_method("crl", COUNTS, CRLOptions())
        .loss(output, Batch(torch.zeros(12, 3, 8, 8), labels, torch.arange(12)))
        .mined
    )
    assert mined["empty_share"] == 1
    assert mined["active_share"].isnan()


@pytest.mark.parametrize(
    ("options", "counts", "message"),
    [
        (CRLOptions(kappa=0), COUNTS, "--crl.kappa: expected at least 1"),
        (CRLOptions(rho=1.5), COUNTS, "--crl.rho: "),
        (CRLOptions(weight=0), COUNTS, "--crl.weight: expected a positive"),
        (CRLOptions(alpha=0.5), COUNTS, "--crl.alpha: goes with --crl.balance tpami"),
        (CRLOptions(balance="tpami", weight=2), COUNTS, "--crl.weight: goes with --crl.balance sum"),
        (CRLOptions(balance="tpami", alpha=0.0), COUNTS, "--crl.alpha: expected a share above 0"),
        (CRLOptions(balance="tpami"), [[5, 5]], "--crl.alpha: the training data are balanced"),
    ],
)
def test_options_that_do_not_fit_name_their_flag(options, counts, message):
    with pytest.raises(InputError, match=message):
        build_method("crl", counts, options)


def test_an_unknown_method_is_refused_with_a_suggestion():
    with pytest.raises(InputError, match=r"--method: .*Did you mean 'crl'"):
        build_method("clr", COUNTS, CRLOptions())
