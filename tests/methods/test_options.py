"""Ranges of the options, by the names of their flags."""

import json
import math
from dataclasses import asdict

import msgspec
import pytest

from longtail.decisions.thresholds import FEWEST_POSITIVES
from longtail.errors import InputError
from longtail.methods.options import (
    AdjustmentOptions,
    ASLOptions,
    BCLOptions,
    CRLOptions,
    DeepID2Options,
    FocalOptions,
    KNNOptions,
    LDAMOptions,
    LMLEOptions,
    MethodOptions,
    MetricOptions,
    MixOptions,
    MTCTOptions,
    VSOptions,
)
from longtail.sampling.balance import CAP
from longtail.training.config import TrainConfig


@pytest.mark.parametrize(
    "make",
    [
        lambda: MetricOptions(weight=2.0),
        lambda: MetricOptions(margin=0.0),
        lambda: MetricOptions(nodes=1),
    ],
)
def test_metric_options_out_of_range_name_their_flag(make):
    with pytest.raises(InputError, match=r"^--metric\."):
        make()


@pytest.mark.parametrize(
    ("make", "flag"),
    [
        (lambda: FocalOptions(gamma=-1.0), "--focal.gamma"),
        (lambda: AdjustmentOptions(tau=0.0), "--adjustment.tau"),
        (lambda: VSOptions(tau=math.nan), "--vs.tau"),
        (lambda: LDAMOptions(scale=0.0), "--ldam.scale"),
        (lambda: MixOptions(kappa=0.5), "--mix.kappa"),
        (lambda: ASLOptions(clip=1.0), "--asl.clip"),
        (lambda: BCLOptions(temperature=0.0), "--bcl.temperature"),
        (lambda: KNNOptions(k=0), "--knn.k"),
        (lambda: DeepID2Options(verification=-0.1), "--deepid2.verification"),
        (lambda: LMLEOptions(pool=0.0), "--lmle.pool"),
        (lambda: LMLEOptions(first_stage=1.0), "--lmle.first-stage"),
        (lambda: LMLEOptions(g1=math.nan), "--lmle.g1"),
        (lambda: LMLEOptions(g2=-0.1), "--lmle.g2"),
        (lambda: LMLEOptions(g1=2.0, g2=2.0), "--lmle.g1, g2, g3"),
        (lambda: LMLEOptions(g1=2.0, g2=1.0, g3=1.0), "--lmle.g1, g2, g3"),
        (lambda: MTCTOptions(alpha=0.0), "--mtct.alpha"),
        (lambda: MethodOptions(defer_weights=1.0), "--defer-weights"),
        (lambda: MethodOptions(effective_beta=1.0), "--effective-beta"),
        (lambda: MethodOptions(views=-1.0), "--views"),
    ],
)
def test_options_out_of_range_name_their_flag(make, flag):
    with pytest.raises(InputError, match=f"^{flag}: "):
        make()


def test_options_survive_json():
    options = MethodOptions(sampler="over", crl=CRLOptions(kappa=3), metric=MetricOptions(beside=True))
    assert msgspec.convert(json.loads(json.dumps(asdict(options))), MethodOptions) == options


def test_defaults_are_those_of_the_pages():
    assert asdict(DeepID2Options()) == {"identification": 1, "verification": 0.05, "window": 8192}
    stages = {"first_stage": 0.5, "cluster_size": 200, "k": 20, "pool": 0.5, "alone": False, "candidates": 50}
    assert asdict(LMLEOptions()) == {**stages, "g1": 0.05, "g2": 0.05, "g3": 0.2}
    crl = CRLOptions()
    assert (crl.kappa, crl.rho, crl.eta, crl.nodes) == (25, 0.5, 0.01, 21)
    assert TrainConfig("photos", method="ce", finetune="all").falling_rate == 0.75
    assert FEWEST_POSITIVES == {"balanced": 500, "f1": 10, "precision": 50, "recall": 50}
    assert CAP == 10
