"""Keyword arguments of the jobs, the same as the flags: written by docs/make_options.py.

What each one means stands at the field of its name in `DataOptions`, `MethodOptions` and `TrainConfig`, and
in `longtail train --help-all`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict

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
    MetricOptions,
    MixOptions,
    MTCTOptions,
    VSOptions,
)


class DataArguments(TypedDict, total=False):
    """What to read, and how to split it."""

    images: str | Path | None
    image_column: str | Path | None
    attributes: Sequence[str]
    split_column: str | Path | None
    group_column: str | Path | None
    group_near_duplicates: bool
    identity_column: str | Path | None
    domain_column: str | Path | None
    match_column: str | Path | None
    val_share: float
    test_share: float
    tail_ratio: float | None
    tail_profile: Literal["exponential", "power-law"]
    tail_largest: int | None
    tail_attribute: str | Path | None
    bits: int | None
    skip_unreadable: bool
    skip_missing: bool


class Arguments(DataArguments, total=False):
    """A training."""

    sampler: Literal["shuffled", "over", "root", "under"] | None
    replicate: bool
    views: float | None
    class_weights: Literal["none", "exp-share", "inverse-frequency", "effective-number"] | None
    effective_beta: float
    defer_weights: float | None
    loss: Literal["softmax", "focal", "logit-adjusted", "vector-scaling", "ldam", "asymmetric"] | None
    mixing: Literal["none", "mixup", "remix"] | None
    feature_layer: Literal["rectified", "linear", "neck", "vector"] | None
    decision: Literal["argmax", "prior", "knn", "clusters", "tau-norm"] | None
    crl: CRLOptions | Mapping[str, object]
    focal: FocalOptions | Mapping[str, object]
    adjustment: AdjustmentOptions | Mapping[str, object]
    vs: VSOptions | Mapping[str, object]
    ldam: LDAMOptions | Mapping[str, object]
    asl: ASLOptions | Mapping[str, object]
    bcl: BCLOptions | Mapping[str, object]
    mix: MixOptions | Mapping[str, object]
    metric: MetricOptions | Mapping[str, object]
    knn: KNNOptions | Mapping[str, object]
    deepid2: DeepID2Options | Mapping[str, object]
    lmle: LMLEOptions | Mapping[str, object]
    mtct: MTCTOptions | Mapping[str, object]
    method: str | Path
    start: str | Path | None
    output: str | Path | None
    epochs: int | None
    steps: int | None
    keep: Literal["best", "last"] | None
    patience: int | None
    checkpoint_every: str | Path
    batch_size: int
    seed: int
    backbone: str | Path | None
    weights: str | Path | None
    from_scratch: bool
    freeze: bool
    finetune: Literal["last", "all", "adapters"] | None
    image_size: str | Path | None
    features: int
    hidden: int | None
    shared_feature: bool
    augment: Literal["none", "mirror", "small", "small-noflip", "photo", "photo-noflip"] | None
    optimizer: Literal["sgd", "adamw"] | None
    learning_rate: float | None
    layer_decay: float | None
    momentum: float
    weight_decay: float | None
    warmup: float
    clip_gradient: float | None
    log_to: Literal["tensorboard", "wandb", "mlflow", "trackio"] | None
    accelerator: Literal["auto", "cpu", "cuda", "mps"]
    devices: int
    precision: Literal["32", "bf16", "16"]
    workers: int
    many_above: int
    few_below: int
    no_images: bool
