import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longtail.losses.quintuplet import quintuplet

from .cases import mean, repeatable, seeds

MARGINS = (0.05, 0.1, 0.3)


def quintuplets(count: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(5, count, 3, generator=generator, dtype=torch.float64) * 4
    return embeddings, torch.rand(5, count, generator=generator) < 0.75


def twin(embeddings, valid, margins) -> float:
    """One row after the other, one hinge after the other."""
    rows = []
    for b in range(embeddings.shape[1]):
        x, *others = [[v / math.hypot(*row) for v in row] for row in embeddings[:, b].tolist()]
        anchor, p1, p2, p3, n = valid[:, b].tolist()
        d1, d2, d3, dn = (math.dist(x, y) ** 2 for y in others)
        hinges = []
        if anchor and p1 and p2:
            hinges.append(max(0.0, margins[0] + d1 - d2))
        if anchor and p2 and p3:
            hinges.append(max(0.0, margins[1] + d2 - d3))
        if anchor and p3 and n:
            hinges.append(max(0.0, margins[2] + d3 - dn))
        if anchor and p1 and n and not p2 and not p3:
            hinges.append(max(0.0, margins[2] + d1 - dn))
        if hinges:
            rows.append(sum(hinges))
    return mean(rows)


@repeatable
@given(st.integers(0, 12), seeds)
def test_it_is_the_mean_over_the_rows_that_have_a_hinge(count: int, seed: int):
    embeddings, valid = quintuplets(count, seed)
    loss = float(quintuplet(embeddings, valid, MARGINS))
    assert loss == pytest.approx(twin(embeddings, valid, MARGINS), abs=1e-12)


@pytest.mark.parametrize("pattern", range(32))
def test_every_pattern_of_missing_images_is_that_of_the_twin(pattern: int):
    embeddings, _ = quintuplets(6, 7)
    valid = torch.tensor([[bool(pattern >> k & 1)] for k in range(5)]).expand(5, 6)
    loss = float(quintuplet(embeddings, valid, MARGINS))
    assert loss == pytest.approx(twin(embeddings, valid, MARGINS), abs=1e-12)


def circle(degrees: list[float]) -> torch.Tensor:
    angles = torch.tensor(degrees, dtype=torch.float64) * math.pi / 180
    return torch.stack([angles.cos(), angles.sin()], 1)[:, None]


def existing(*missing: int) -> torch.Tensor:
    return torch.tensor([[k not in missing] for k in range(5)])


def test_a_perfectly_ordered_embedding_costs_nothing():
    embeddings = circle([0, 10, 30, 50, 90]) * 7  # squared distances 0.03, 0.27, 0.71, 2
    assert float(quintuplet(embeddings, existing())) == 0


def test_a_collapsed_embedding_costs_the_three_default_margins():
    embeddings = torch.ones(5, 2, 3, requires_grad=True)
    loss = quintuplet(embeddings, existing().expand(5, 2))
    loss.backward()
    assert loss.item() == pytest.approx(0.05 + 0.05 + 0.2)
    assert embeddings.grad is not None
    assert embeddings.grad.isfinite().all()


def test_a_class_of_one_cluster_is_compared_as_a_triplet():
    # p+ at 60 degrees, squared distance 1; n at 90, 2: third margin 1.5
    loss = quintuplet(circle([0, 60, 5, 5, 90]), existing(2, 3), (9.0, 9.0, 1.5))
    assert float(loss) == pytest.approx(1.5 + 1 - 2)
    assert float(quintuplet(circle([0, 60, 5, 5, 90]), existing(1, 2, 3))) == 0


def test_rows_without_a_hinge_do_not_thin_the_mean():
    row, alone = torch.ones(5, 1, 2), existing(1, 2, 3, 4)
    both = quintuplet(torch.cat([row, row], 1), torch.cat([existing(), alone], 1))
    torch.testing.assert_close(both, quintuplet(row, existing()))


def test_without_any_hinge_it_is_zero_and_connected():
    embeddings = torch.randn(5, 3, 2, requires_grad=True)
    loss = quintuplet(embeddings, torch.zeros(5, 3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert embeddings.grad is not None
    assert not embeddings.grad.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_embeddings_are_compared_in_full_precision(dtype: torch.dtype):
    embeddings = quintuplets(4, 3)[0].to(dtype)
    valid = torch.ones(5, 4, dtype=torch.bool)
    loss = quintuplet(embeddings, valid)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, quintuplet(embeddings.double(), valid).float())


@pytest.mark.parametrize(
    ("embeddings", "valid"), [((4, 2, 3), (4, 2)), ((5, 2), (5, 2)), ((5, 2, 3), (5, 3))]
)
def test_shapes_that_do_not_fit_are_refused(embeddings, valid):
    with pytest.raises(ValueError, match=r"expected shapes \(5, B, D\) and \(5, B\)"):
        quintuplet(torch.ones(embeddings), torch.ones(valid, dtype=torch.bool))


def test_gradient():
    embeddings, valid = quintuplets(6, 5)
    assert torch.autograd.gradcheck(lambda x: quintuplet(x, valid, MARGINS), embeddings.requires_grad_())
