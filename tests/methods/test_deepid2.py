"""DeepID2: the weights of its losses, the pairs that count, and its margin."""

from dataclasses import replace

import numpy as np
import torch

from longtail.losses.cross_entropy import cross_entropy
from longtail.losses.verification import best_margin, verification
from longtail.methods.deepid2 import DeepID2
from longtail.methods.options import DeepID2Options, MethodOptions

from .conftest import build, observed

INDEX = torch.tensor([0, 2, 4, 6, 8, 10, 1, 3, 20, 22, 9, 12])
"""Six pairs, place i and i + 6 of the batch; rows 2 i and 2 i + 1 show the same."""

SAME = torch.tensor([True, True, False, False, True, False])


def test_both_losses_have_their_weights_and_a_pair_with_an_unknown_identity_is_left_out(data, output, batch):
    identities = data.identities.copy()
    identities[2] = -1
    options = DeepID2Options(identification=0.5, verification=2.0)
    method = build("deepid2", MethodOptions(deepid2=options))
    observed(method, replace(data, identities=identities))
    terms = method.loss(output, replace(batch, index=INDEX)).terms
    valid = torch.tensor([True, False, True, True, True, True])
    first, second = output.vector.chunk(2)
    margin = best_margin((first - second).norm(dim=1), SAME & valid, valid)
    expected = verification(first, second, SAME & valid, valid, margin)
    torch.testing.assert_close(terms["verification"], 2 * expected)
    told = cross_entropy(method.classifier(output.vector), torch.from_numpy(identities)[INDEX])
    torch.testing.assert_close(terms["identification"], 0.5 * told)


def test_the_margin_is_that_of_as_many_recent_pairs_as_the_window_holds(data, output, batch):
    method = build("deepid2", MethodOptions(deepid2=DeepID2Options(window=10)))
    observed(method, data)
    distances = []
    for scale in (1.0, 10.0, 100.0):
        vector = scale * output.vector.detach()
        found = method.loss(output._replace(vector=vector), replace(batch, index=INDEX)).mined["margin"]
        distances.append((vector[:6] - vector[6:]).norm(dim=1))
    recent = torch.cat(distances)[-10:], SAME.repeat(3)[-10:], torch.ones(10, dtype=torch.bool)
    torch.testing.assert_close(found, best_margin(*recent))


def test_identities_are_those_of_the_training_images_and_count_where_two_show_the_same(data):
    assert DeepID2.facts(data).identities == 50
    assert DeepID2.facts(replace(data, rows=np.arange(10))).identities == 5
    assert DeepID2.facts(replace(data, rows=np.arange(0, 100, 2))).identities == 0
    assert DeepID2.facts(replace(data, identities=None)).identities == 0
