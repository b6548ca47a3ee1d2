"""LMLE: what its quintuplets are made of, which images they come from, and what learns from them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from longtail.losses.quintuplet import quintuplet
from longtail.methods import lmle
from longtail.methods.decisions import cluster_table
from longtail.methods.options import LMLEOptions, MethodOptions

from .conftest import LABELS, SETTING, build, epoch_of, first, model, observed

TASK = torch.tensor([0, 1, 0, 1, 0, -1, 0, 1, 0, 1])
"""Attributes of two quintuplets, place after place; the second has no third image."""


def quintuplets_of(output, batch):
    output, batch = first(len(TASK), output, batch)
    return output, replace(batch, task=TASK)


def second_stage(options, data, epochs=(2, 3), lengths=1):
    """Its sampler when these epochs have begun, and the rows whose features it asked for."""
    method, asked = build("lmle", MethodOptions(lmle=options)), []
    points = lengths * torch.randn(100, 2, 4, generator=torch.Generator().manual_seed(0))
    sampler = observed(method, data)
    for epoch in epochs:
        method.start_epoch(epoch_of(epoch, features=lambda rows: asked.append(rows) or points[rows]))
    return sampler, asked


def test_a_quintuplet_is_compared_in_the_feature_of_its_attribute(output, batch):
    method = build("lmle", MethodOptions(lmle=LMLEOptions(g1=0.1, g2=0.4, g3=1.5)))
    f = output.features
    places = torch.stack([torch.stack([f[2 * k, 0], f[2 * k + 1, 1]]) for k in range(5)])
    expected = quintuplet(places, (TASK >= 0).view(5, 2), (0.1, 0.4, 1.5))
    found = method.loss(*quintuplets_of(output, batch)).terms["quintuplet"]
    torch.testing.assert_close(found, expected)
    assert found > 0


def test_quintuplets_are_of_the_classes_of_their_own_attribute(data):
    sampler, _ = second_stage(LMLEOptions(cluster_size=10, candidates=0), data, epochs=(2,))
    checked = 0
    for rows, tasks in zip(sampler.batches(2), sampler.tasks(2)):
        for places, task in zip(rows.reshape(5, -1).T, tasks.reshape(5, -1).T):
            y = LABELS[places, task[0]]
            assert (y[:4] == y[0])[task[:4] >= 0].all()
            assert task[4] < 0 or y[4] not in (y[0], -1)
            checked += (task >= 0).all()
    assert checked > 5


def test_a_pool_is_the_anchors_and_a_part_of_the_images_that_is_drawn_anew(data):
    sampler, asked = second_stage(LMLEOptions(pool=0.3), data)
    pools = [{*rows.tolist()} for rows in asked]
    anchors = [{*sampler.second.anchors(epoch)[1].tolist()} for epoch in (2, 3)]
    for pool, own in zip(pools, anchors, strict=True):
        assert own <= pool
        assert len(pool) <= 30 + len(own)
    parts = [pool - set.union(*anchors) for pool in pools]
    assert parts[0] != parts[1]


def test_anchors_are_compared_with_as_many_candidates_as_were_asked_for(data, monkeypatch):
    seen, whole = [], lmle.mine
    mine = lambda features, *rest: seen.append(len(features)) or whole(features, *rest)  # noqa: E731
    monkeypatch.setattr(lmle, "mine", mine)
    second_stage(LMLEOptions(candidates=7), data)
    assert all(7 <= candidates <= 7 + lmle.ANCHORS for candidates in seen)


@pytest.mark.parametrize(("alone", "epoch", "taught"), [(False, 2, True), (True, 1, True), (True, 2, False)])
def test_cross_entropy_teaches_the_features_unless_quintuplets_are_to_do_it_alone(
    alone, epoch, taught, data, batch
):
    options = LMLEOptions(alone=alone, g1=1.0, g2=1.0, g3=1.0)
    method, network = build("lmle", MethodOptions(lmle=options)), model()
    observed(method, data)
    method.start_epoch(epoch_of(epoch, network, features=lambda rows: torch.randn(len(rows), 2, 4)))
    losses = method.loss(*quintuplets_of(network(batch.images), batch)).terms
    weight = network.head.feature.weight
    (by_entropy,) = torch.autograd.grad(losses["ce"], weight, retain_graph=True, allow_unused=True)
    (by_quintuplets,) = torch.autograd.grad(losses["quintuplet"], weight)
    assert (by_entropy is not None) == taught
    assert by_quintuplets.any()


def test_the_first_stage_and_the_voting_clusters_are_as_asked_for(data):
    method = build("lmle", MethodOptions(lmle=LMLEOptions(k=3, first_stage=0.25)))
    assert method.decision.k == 3
    assert [observed(method, replace(data, epochs=epochs)).switch for epochs in (4, 12)] == [1, 3]


def test_a_rare_class_has_the_clusters_of_the_images_that_the_pool_keeps_of_it():
    assert cluster_table(LMLEOptions(pool=0.1, cluster_size=5), SETTING) == [[4, 3], [4, 4, 2]]


def test_a_pool_is_of_training_images_and_keeps_those_of_rare_classes(data):
    data = replace(data, rows=np.arange(1, 100, 2))
    _, asked = second_stage(LMLEOptions(pool=0.5), data)
    for rows in asked:
        assert np.isin(rows, data.rows).all()
        assert np.isin(np.arange(85, 99, 2), rows).all()  # all of the second class of the first attribute


def test_the_length_of_features_does_not_matter_to_quintuplets(data):
    lengths = 2.0 ** (torch.arange(100) % 7)[:, None, None]  # exact
    one, other = (second_stage(LMLEOptions(cluster_size=10), data, (2,), n)[0] for n in (1, lengths))
    assert (one.batches(2) == other.batches(2)).all()


def test_one_feature_may_serve_all_attributes(data, output, batch):
    method = build("lmle", vectors=1)
    observed(method, data)
    points = torch.randn(100, 1, 4)
    method.start_epoch(epoch_of(2, features=lambda rows: points[rows]))
    output, batch = quintuplets_of(output, batch)
    shared = output._replace(features=output.features[:, :1])
    for_each = output._replace(features=output.features[:, :1].expand(-1, 2, -1))
    found, expected = (method.loss(given, batch).terms["quintuplet"] for given in (shared, for_each))
    torch.testing.assert_close(found, expected)
