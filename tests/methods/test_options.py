"""Ranges of the options, by the names of their flags."""

import json
import math
from dataclasses import asdict

import msgspec
import pytest

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
        (lambda: LMLEOptions(g1=2.0, g2=2.0), "--lmle.g1, g2, g3"),
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
