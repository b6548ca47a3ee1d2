"""The rows of the comparison table: the methods by name, and what each is made of. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from longtail.methods.options import CRLOptions, MethodOptions

Draws = Literal["in proportion", "alike"]
Compares = Literal["features", "vectors"]


@dataclass(frozen=True)
class Row:
    """A row of the comparison table: what it is made of unless the user says otherwise.

    Attributes:
        summary: one sentence for people.
        path: its class, imported when a method is made: "module:Class" in `longtail.methods`.
        options: what it fixes, of what is None unless the user says it; all else is as in `Recipe`.
        alone: what it fixes beside that, unless --metric.beside is given.
        reads: fields of `MethodOptions` with options of its own.
        draws: how often classes come in batches that it draws itself, "in proportion" to the data or
            "alike"; None where a sampler draws them.
        compares: what of the images it compares, so that none can be mixed of two: what the classifier
            reads, or the backbone's vectors below it; see `compared`.
        refuses: decisions that make no sense, with the reason.
        weight_decay: of SGD.
        backbone: its network, where the paper brings one.
        second_stage: whether it goes on from a trained run.
        solved: whether `Method.solve` trains it at once, in place of steps, on the vectors of a frozen
            backbone.
    """

    summary: str
    path: str = "cross_entropy:CrossEntropy"
    options: MethodOptions = field(default_factory=MethodOptions)
    alone: MethodOptions = field(default_factory=MethodOptions)
    reads: tuple[str, ...] = ()
    draws: Draws | None = None
    compares: Compares | None = None
    refuses: Mapping[str, str] = field(default_factory=dict[str, str])
    weight_decay: float = 5e-4
    backbone: str | None = None
    second_stage: bool = False
    solved: bool = False

    def __post_init__(self) -> None:
        for name, words in (("draws", get_args(Draws)), ("compares", get_args(Compares))):
            if getattr(self, name) not in (None, *words):
                raise ValueError(f"{name}: expected one of {words} or None, got {getattr(self, name)!r}")


def _metric(summary: str, path: str) -> Row:
    """Alone, the features are points and the classifier on them only a probe, so neighbours decide."""
    points = MethodOptions(feature_layer="linear", decision="knn")
    return Row(summary, path, alone=points, reads=("metric",), compares="features")


LINEAR = "linear"
"""What all others have to beat."""

METHODS: Mapping[str, Row] = {
    "ce": Row("cross entropy on shuffled batches, the baseline"),
    "over-sampling": Row(
        "cross entropy; images of rare classes are drawn more often", options=MethodOptions(sampler="over")
    ),
    "down-sampling": Row(
        "cross entropy; each epoch draws a new part of the frequent classes",
        options=MethodOptions(sampler="under"),
    ),
    "cost-sensitive": Row(
        "cross entropy that weighs classes, by exp(-share) unless --class-weights says otherwise",
        options=MethodOptions(class_weights="exp-share"),
    ),
    "threshold-adjustment": Row(
        "cross entropy; the decision divides by the share of each class in training",
        options=MethodOptions(decision="prior"),
    ),
    "triplet": _metric("triplet loss on all triplets of a batch, then kNN", "metric:Triplet"),
    "contrastive": _metric("contrastive loss on all pairs of a batch, then kNN", "metric:Contrastive"),
    "histogram": _metric("histogram loss on all pairs of a batch, then kNN", "metric:Histogram"),
    "deepid2": Row(
        "DeepID2: cross entropy, identification, and verification of pairs (column identity or group)",
        "deepid2:DeepID2",
        reads=("deepid2",),
        draws="in proportion",
        compares="vectors",
        backbone="deepid2",
    ),
    "lmle": Row(
        "LMLE: cross entropy, then quintuplets of clusters in each class; the nearest clusters decide",
        "lmle:LMLE",
        MethodOptions(decision="clusters", feature_layer="linear"),
        reads=("lmle",),
        draws="alike",
        compares="features",
        refuses={"prior": "lmle trains on every class alike, there is no prior to divide by"},
    ),
    "mtct": Row(
        "MTCT: clean domain first, then both with cross-domain ranking (columns domain and match)",
        "mtct:MTCT",
        reads=("mtct",),
        draws="in proportion",
        compares="vectors",
        backbone="mtct",
    ),
    "crl": Row(
        "our recipe from scratch: square-root sampled batches, logit-adjusted cross entropy, a neck, and "
        "Class Rectification at instance level",
        "class_rectification:ClassRectification",
        MethodOptions(
            sampler="root",
            loss="logit-adjusted",
            feature_layer="neck",
            crl=CRLOptions(level="instance", balance="attributes", weight=0.15),
        ),
        reads=("crl",),
        compares="features",
        weight_decay=2e-3,
    ),
    "crl-iccv": Row(
        "cross entropy and the Class Rectification Loss as on the ICCV poster; at instance level on features "
        "of unit length, unlike there, unless --crl.raw-features",
        "class_rectification:ClassRectification",
        reads=("crl",),
        compares="features",
    ),
    "crl-tpami": Row(
        "the two mixed by the imbalance of the training data, as in TPAMI; at instance level as crl-iccv",
        "class_rectification:ClassRectification",
        MethodOptions(crl=CRLOptions(balance="tpami")),
        reads=("crl",),
        compares="features",
    ),
    "focal": Row("focal loss", options=MethodOptions(loss="focal")),
    "class-balanced": Row(
        "cross entropy that weighs classes by their effective number of images",
        options=MethodOptions(class_weights="effective-number"),
    ),
    "ldam-drw": Row(
        "LDAM: larger margins for rare classes; class weights in the last fifth of the epochs",
        options=MethodOptions(class_weights="effective-number", defer_weights=0.8, loss="ldam"),
    ),
    "balanced-softmax": Row(
        "cross entropy of logits shifted by the log of the class counts",
        options=MethodOptions(loss="logit-adjusted"),
    ),
    "logit-adjustment": Row(
        "the same with a factor, --adjustment.tau", options=MethodOptions(loss="logit-adjusted")
    ),
    "vs": Row(
        "vector scaling: cross entropy of logits scaled and shifted by class",
        options=MethodOptions(loss="vector-scaling"),
    ),
    "asl": Row(
        "asymmetric loss, for attributes of two classes (no, yes)", options=MethodOptions(loss="asymmetric")
    ),
    "mixup": Row("cross entropy on pairs of images mixed together", options=MethodOptions(mixing="mixup")),
    "remix": Row("mixup whose labels lean to the rarer class", options=MethodOptions(mixing="remix")),
    "crt": Row(
        "second stage (--from RUN): a new classifier on balanced batches, the features stay",
        "cross_entropy:ClassifierRetraining",
        MethodOptions(sampler="over"),
        second_stage=True,
    ),
    "lws": Row(
        "second stage (--from RUN): a learned factor for each class, the network stays",
        "cross_entropy:LearnableWeightScaling",
        MethodOptions(sampler="over"),
        refuses={"tau-norm": "lws has a learned factor for each class already"},
        second_stage=True,
    ),
    "bcl": Row(
        "balanced contrastive loss beside logit-adjusted cross entropy",
        "balanced_contrastive:BalancedContrastive",
        MethodOptions(loss="logit-adjusted"),
        reads=("bcl",),
        compares="features",
    ),
    LINEAR: Row(
        "logistic regression on features of a frozen backbone, divided by the prior: the baseline to beat",
        "linear:Linear",
        MethodOptions(feature_layer="vector", decision="prior"),
        refuses={"tau-norm": "linear solves for differences of classes, whose lengths say nothing"},
        solved=True,
    ),
}
"""The rows of the comparison table by the name that `--method` takes."""
