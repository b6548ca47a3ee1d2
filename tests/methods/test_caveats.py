"""Which decisions are said to be only near to what they promise, and after which training."""

import pytest

from longtail.methods.caveats import caveat
from longtail.methods.options import ASLOptions, CRLOptions, MethodOptions, VSOptions
from longtail.methods.recipe import recipe

ONE, SEVERAL = [[0.9, 0.1]], [[0.9, 0.1], [0.5, 0.5]]


def of(decision, method, options=None, shares=None, tagged=True):
    return caveat(decision, method, recipe(method, options or MethodOptions()), shares or ONE, tagged)


@pytest.mark.parametrize(
    "method",
    ["ce", "over-sampling", "focal", "class-balanced", "ldam-drw", "balanced-softmax", "vs", "asl", "bcl"],
)
def test_against_the_prior_these_hold(method):
    assert of("prior", method) is None


@pytest.mark.parametrize(
    ("method", "options", "shares", "reason"),
    [
        ("mixup", MethodOptions(), ONE, "mixed images"),
        ("remix", MethodOptions(), ONE, "mixed images"),
        ("focal", MethodOptions(mixing="mixup"), ONE, "mixed images"),
        ("crl-iccv", MethodOptions(), ONE, "rectification at class level"),
        ("crl-tpami", MethodOptions(), ONE, "rectification at class level"),
        ("over-sampling", MethodOptions(), SEVERAL, "drawing by several attributes"),
        ("down-sampling", MethodOptions(), SEVERAL, "drawing by several attributes"),
        ("crl", MethodOptions(), SEVERAL, "drawing by several attributes"),
        ("deepid2", MethodOptions(), ONE, "batches are drawn by more than the class"),
        ("asl", MethodOptions(), [[0.03, 0.97]], "probabilities above 0.964"),
    ],
)
def test_against_the_prior_these_are_only_near(method, options, shares, reason):
    assert reason in of("prior", method, options, shares)
    assert of("argmax", method, options, shares) is None


def test_weights_in_place_of_a_sampler_hold_with_several_attributes():
    for method in ("ce", "class-balanced", "balanced-softmax"):
        assert of("prior", method, None, SEVERAL) is None


def test_without_identities_deepid2_draws_as_all_do():
    assert of("prior", "deepid2", tagged=False) is None


def test_at_instance_level_and_without_a_clip_there_is_no_caveat():
    assert of("prior", "crl-iccv", MethodOptions(crl=CRLOptions(level="instance"))) is None
    assert of("prior", "asl", MethodOptions(asl=ASLOptions(clip=0.0)), [[0.03, 0.97]]) is None


def test_the_largest_logit_of_vector_scaling_is_open_unless_nothing_is_scaled():
    assert "does not fix a constant" in of("argmax", "vs")
    assert of("argmax", "vs", MethodOptions(vs=VSOptions(gamma=0.0))) is None
