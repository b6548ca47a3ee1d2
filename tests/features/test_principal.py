import numpy as np
import pytest

from longtail.features.linear import fit_linear
from longtail.features.principal import principal


def test_the_numbers_are_those_of_a_singular_value_decomposition():
    x = np.random.default_rng(0).normal(size=(50, 8)) * np.arange(1, 9)
    u, s, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    found = principal(x, 3)
    np.testing.assert_allclose(np.abs(found), np.abs(u[:, :3] * s[:3]), rtol=1e-3, atol=1e-3)


def test_where_all_numbers_are_kept_a_regression_gives_the_same_probabilities():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(40, 4)), np.arange(40) % 3
    x += np.eye(4)[y]
    logits = []
    for seen in (x, principal(x, 4)):
        fit = fit_linear(seen, y, 3, (seen[:0], y[:0]), (1.0,))
        z = seen @ fit.weight + fit.bias
        logits.append(z - z.mean(1, keepdims=True))
    np.testing.assert_allclose(logits[0], logits[1], atol=5e-3)


@pytest.mark.parametrize("shape", [(0, 4), (1, 4), (3, 4), (3, 2)])
def test_few_images_or_numbers_are_no_fault(shape):
    found = principal(np.ones(shape, np.float32), 3)
    assert found.shape == (shape[0], min(shape[1], 3))
    assert not found.any()
