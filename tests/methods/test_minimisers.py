"""What minimises a loss exactly, and what decisions make of it: the table of docs/methods.md."""

import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.methods.options import (
    AdjustmentOptions,
    ASLOptions,
    FocalOptions,
    LDAMOptions,
    MethodOptions,
    VSOptions,
)

from .minimisers import THREE, TWO, criterion_in, method_in, minimiser, scores_of, told

FORMS = ["softmax", "focal", "logit-adjusted", "vector-scaling", "ldam", "asymmetric"]
WEIGHTED = [loss for loss in FORMS if loss != "asymmetric"]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "methods.md"


def even(world):
    return torch.full((len(world.counts),), 1 / len(world.counts), dtype=torch.float64)


def accuracies(world, options, drawn=None):
    """Balanced accuracy of the exact minimiser by its own decision and against the prior."""
    drawn = world.shares if drawn is None else drawn
    own, prior = (
        told(method_in(world, MethodOptions(**options, decision=d)), drawn) for d in ("argmax", "prior")
    )
    logits = minimiser(own.criterion, world.density * drawn)
    return [round(world.balanced_accuracy(scores_of(method, logits)), 3) for method in (own, prior)]


@pytest.mark.parametrize("loss", FORMS)
def test_the_table_of_the_page_is_what_exact_minimisers_give(loss):
    _, section = PAGE.read_text("utf-8").split("## What the scores of a loss mean\n")
    row = next(line for line in section.splitlines() if line.startswith(f"| `{loss}` |"))
    figures = [[float(number) for number in re.findall(r"\.\d{3}", cell)] for cell in row.split("|")[-3:-1]]
    worlds = [TWO] if loss == "asymmetric" else [TWO, THREE]
    found = [accuracies(world, {"loss": loss}) for world in worlds]
    assert figures == [list(column) for column in zip(*found)]
    assert figures[1] == [round(world.best(), 3) for world in worlds]


@pytest.mark.parametrize("loss", WEIGHTED)
def test_against_the_prior_weights_and_over_sampling_together_decide_as_bayes_does(loss):
    options = {"loss": loss, "class_weights": "inverse-frequency"}
    assert accuracies(THREE, options, even(THREE))[1] == pytest.approx(THREE.best(), abs=1e-3)


@pytest.mark.parametrize("weights", ["exp-share", "inverse-frequency"])
def test_what_is_adjusted_for_the_prior_is_not_corrected_twice_with_class_weights(weights):
    options = {"loss": "logit-adjusted", "class_weights": weights}
    assert accuracies(THREE, options)[0] == pytest.approx(THREE.best(), abs=1e-3)


def test_vector_scaling_shifts_by_what_is_drawn_too():
    options = {"loss": "vector-scaling", "vs": VSOptions(gamma=0)}
    assert accuracies(THREE, options, even(THREE))[0] == pytest.approx(THREE.best(), abs=1e-3)


CRITERIA = st.one_of(
    st.builds(lambda g: {"loss": "focal", "focal": FocalOptions(gamma=g)}, st.floats(0, 5)),
    st.builds(
        lambda t: {"loss": "logit-adjusted", "adjustment": AdjustmentOptions(tau=t)}, st.floats(0.1, 2)
    ),
    st.builds(
        lambda g, t: {"loss": "vector-scaling", "vs": VSOptions(gamma=g, tau=t)},
        st.floats(0, 1),
        st.floats(0, 2),
    ),
    st.builds(
        lambda m, s: {"loss": "ldam", "ldam": LDAMOptions(margin=m, scale=s)},
        st.floats(0.01, 1),
        st.floats(0.5, 10),
    ),
)


def stationary(world, options, logits, drawn):
    """Slope at the logits of the loss expected under the posterior that the logits are said to mean."""
    criterion = criterion_in(world, MethodOptions(**options), drawn)
    posterior = criterion.posterior(logits[:, None])[:, 0]
    seen = (posterior - criterion.seen(drawn[None]).log()).softmax(1)  # p(x | class) up to a factor of x
    mass = seen * drawn  # what is drawn; the weights come in with the loss
    mass = mass / mass.sum(1, keepdim=True)
    logits = logits.clone().requires_grad_()
    total = sum(
        (mass[i, k] * criterion.of(logits[i : i + 1, None], torch.tensor([[k]]), criterion.class_weights))
        for i in range(len(logits))
        for k in range(mass.shape[1])
    )
    (slope,) = torch.autograd.grad(total, logits)
    return slope


@settings(deadline=None, derandomize=True, max_examples=30)
@given(CRITERIA, st.sampled_from(["none", "inverse-frequency"]), st.integers(0, 999))
def test_logits_are_where_the_loss_of_their_posterior_is_flat(options, weights, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    drawn = torch.rand(3, generator=generator, dtype=torch.float64) + 0.05
    slope = stationary(THREE, options | {"class_weights": weights}, logits, drawn / drawn.sum())
    assert slope.abs().max() < 1e-6


@settings(deadline=None, derandomize=True, max_examples=20)
@given(st.floats(0, 3), st.floats(0, 6), st.sampled_from([0.0, 0.05, 0.3]), st.integers(0, 999))
def test_the_same_of_the_asymmetric_loss_wherever_a_negative_costs_something(pos, neg, clip, seed):
    generator = torch.Generator().manual_seed(seed)
    present = clip + (1 - clip) * (0.02 + 0.96 * torch.rand(4, generator=generator, dtype=torch.float64))
    logits = torch.stack([(1 - present).log(), present.log()], 1)
    options = {"loss": "asymmetric", "asl": ASLOptions(pos, neg, clip)}
    assert stationary(TWO, options, logits, TWO.shares).abs().max() < 1e-6
