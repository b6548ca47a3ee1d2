"""The rows of the comparison table: the methods by name, and what each is made of. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from longtail.models.backbones import FeatureLayer

SamplerName = Literal["shuffled", "over", "root", "under"]
WeightsName = Literal["none", "exp-share", "inverse-frequency", "effective-number"]
LossName = Literal["softmax", "focal", "logit-adjusted", "vector-scaling", "ldam", "asymmetric"]
MixingName = Literal["none", "mixup", "remix"]
DecisionName = Literal["argmax", "prior", "knn", "clusters", "tau-norm"]

OWN = "own"
"""Stands for a sampler that belongs to one method."""


@dataclass(frozen=True)
class Row:
    """A row of the comparison table: what it is made of unless the user says otherwise.

    Attributes:
        summary: one sentence for people.
        objective: which class of `longtail.methods` it is.
        sampler: how batches are drawn.
        class_weights: what each class weighs in cross entropy.
        defer_weights: share of the epochs before the weights begin.
        loss: the form of cross entropy.
        mixing: whether images are mixed.
        feature_layer: what follows the linear layer that makes the features; see `AttributeHead`.
        decision: how it decides.
        weight_decay: of SGD.
        backbone: its network, where the paper brings one.
        second_stage: whether it goes on from a trained run.
    """

    summary: str
    objective: str
    sampler: str = "shuffled"
    class_weights: WeightsName = "none"
    defer_weights: float = 0.0
    loss: LossName = "softmax"
    mixing: MixingName = "none"
    feature_layer: FeatureLayer = "rectified"
    decision: DecisionName = "argmax"
    weight_decay: float = 5e-4
    backbone: str | None = None
    second_stage: bool = False


METHODS: Mapping[str, Row] = {
    "ce": Row("cross entropy on shuffled batches, the baseline", "cross-entropy"),
    "over-sampling": Row(
        "cross entropy; images of rare classes are drawn more often", "cross-entropy", sampler="over"
    ),
    "down-sampling": Row(
        "cross entropy; of frequent classes only a new part is drawn in each epoch",
        "cross-entropy",
        sampler="under",
    ),
    "cost-sensitive": Row(
        "cross entropy that weighs classes, by exp(-share) unless --class-weights says otherwise",
        "cross-entropy",
        class_weights="exp-share",
    ),
    "threshold-adjustment": Row(
        "cross entropy; the decision divides by the share of each class in training",
        "cross-entropy",
        decision="prior",
    ),
    "triplet": Row(
        "triplet loss on all triplets of a batch, then kNN", "triplet", decision="knn", feature_layer="linear"
    ),
    "contrastive": Row(
        "contrastive loss on all pairs of a batch, then kNN",
        "contrastive",
        decision="knn",
        feature_layer="linear",
    ),
    "histogram": Row(
        "histogram loss on all pairs of a batch, then kNN",
        "histogram",
        decision="knn",
        feature_layer="linear",
    ),
    "deepid2": Row(
        "DeepID2: cross entropy, identification, and verification of pairs (column identity or group)",
        "deepid2",
        sampler=OWN,
        backbone="deepid2",
    ),
    "lmle": Row(
        "LMLE: cross entropy, then quintuplets of clusters in each class; the nearest clusters decide",
        "lmle",
        sampler=OWN,
        decision="clusters",
        feature_layer="linear",
    ),
    "mtct": Row(
        "MTCT: clean domain first, then both with cross-domain ranking (columns domain and match)",
        "mtct",
        sampler=OWN,
        backbone="mtct",
    ),
    "crl": Row(
        "recommended: Class Rectification at instance level on square-root sampled batches, beside "
        "logit-adjusted cross entropy",
        "crl",
        sampler="root",
        loss="logit-adjusted",
        feature_layer="neck",
        weight_decay=2e-3,
    ),
    "crl-iccv": Row("cross entropy and the Class Rectification Loss, as the ICCV paper has it", "crl"),
    "crl-tpami": Row("the two mixed by the imbalance of the training data, as TPAMI has it", "crl"),
    "focal": Row("focal loss", "cross-entropy", loss="focal"),
    "class-balanced": Row(
        "cross entropy that weighs classes by their effective number of images",
        "cross-entropy",
        class_weights="effective-number",
    ),
    "ldam-drw": Row(
        "LDAM: larger margins for rare classes; class weights in the last fifth of the epochs",
        "cross-entropy",
        class_weights="effective-number",
        defer_weights=0.8,
        loss="ldam",
    ),
    "balanced-softmax": Row(
        "cross entropy of logits shifted by the log of the class counts",
        "cross-entropy",
        loss="logit-adjusted",
    ),
    "logit-adjustment": Row(
        "the same with a factor, --adjustment.tau", "cross-entropy", loss="logit-adjusted"
    ),
    "vs": Row(
        "vector scaling: cross entropy of logits scaled and shifted by class",
        "cross-entropy",
        loss="vector-scaling",
    ),
    "asl": Row(
        "asymmetric loss, for attributes of two classes (no, yes)", "cross-entropy", loss="asymmetric"
    ),
    "mixup": Row("cross entropy on pairs of images mixed together", "cross-entropy", mixing="mixup"),
    "remix": Row("mixup whose labels lean to the rarer class", "cross-entropy", mixing="remix"),
    "crt": Row(
        "second stage (--from RUN): a new classifier on balanced batches, the features stay",
        "crt",
        sampler="over",
        second_stage=True,
    ),
    "lws": Row(
        "second stage (--from RUN): a learned factor for each class, the network stays",
        "lws",
        sampler="over",
        second_stage=True,
    ),
    "bcl": Row("balanced contrastive loss beside logit-adjusted cross entropy", "bcl", loss="logit-adjusted"),
}
"""The rows of the comparison table by the name that `--method` takes."""

METRIC = ("triplet", "contrastive", "histogram")
"""Objectives that learn distances, alone or beside cross entropy."""
