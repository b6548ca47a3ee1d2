import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.decisions.tau_norm import tau_normalised
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
