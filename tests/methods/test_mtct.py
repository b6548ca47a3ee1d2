"""MTCT: the clean domain first, then a ranking against the network that it left."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from longtail.losses.tste import tste
from longtail.methods.options import MethodOptions, MTCTOptions

from .conftest import build, epoch_of, model, observed


@pytest.fixture
def method():
    options = MTCTOptions(first_stage=0.25, weight=3.0, alpha=2.0)
    return build("mtct", MethodOptions(mtct=options))


def test_batches_are_of_the_clean_domain_and_then_begin_with_images_of_the_other(method, data):
    sampler, domain = observed(method, data), data.domains.codes
    assert sampler.switch == 1
    assert (domain[sampler.batches(0)] == 0).all()
    anchors, positives, negatives, _ = sampler.batches(1).reshape(-1, 4, sampler.second.block).swapaxes(0, 1)
    assert (domain[anchors] == 1).all()
    assert (domain[[*positives, *negatives]] == 0).all()


def test_the_ranking_is_against_the_network_as_the_clean_stage_left_it(method, data, output, batch):
    clean, later = model(), model()
    observed(method, data)
    for epoch, network, step in ((0, model(), 0), (1, clean, 0), (1, later, 3), (2, later, 0)):
        method.start_epoch(epoch_of(epoch, network, step=step))
    assert not method.train().source.training
    with torch.no_grad():
        positive, negative = (normalize(clean.backbone(batch.images[a : a + 3]), dim=1) for a in (3, 6))
    expected = tste(normalize(output.vector[:3], dim=1), positive, negative, 2.0)
    torch.testing.assert_close(method.loss(output, batch).terms["ranking"], 3 * expected)


@pytest.mark.parametrize(
    "matches",
    [np.where(np.arange(100) == 0, 7, -1), np.full(100, 5)],
    ids=["of no street image", "all of one thing"],
)
def test_matches_that_tell_nothing_apart_leave_the_second_stage_without_a_ranking(method, data, matches):
    data = replace(data, matches=matches)
    said = method.observe(data, method.draw(data, 12, 0, 1), 0)
    assert said[0].endswith("stage 2 does not rank")
    assert not method.ranked
