"""The options of the methods and of their parts, for people and configuration files: no torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from longtail.errors import InputError
from longtail.methods.rows import DecisionName, LossName, MixingName, SamplerName, WeightsName
from longtail.models.backbones import FeatureLayer

LevelName = Literal["class", "instance"]
BalanceName = Literal["sum", "attributes", "tpami"]


@dataclass(frozen=True)
class CRLForm:
    """What tells the methods with the Class Rectification Loss apart; see `CRLOptions`."""

    level: LevelName
    balance: BalanceName
    weight: float


CRL_FORMS: Mapping[str, CRLForm] = {
    "crl": CRLForm("instance", "attributes", 0.15),
    "crl-iccv": CRLForm("class", "sum", 1.0),
    "crl-tpami": CRLForm("class", "tpami", 1.0),
}
"""By method; `CRLOptions` are laid over it."""


@dataclass(frozen=True)
class CRLOptions:
    """Class Rectification Loss."""

    level: LevelName | None = None
    """Mine hard pairs on predicted probabilities ("class") or on feature distances ("instance"); by default
    instance for crl, class for crl-iccv and crl-tpami."""

    comparison: Literal["relative", "absolute", "distribution"] = "relative"
    """Compare the pairs by triplet ranking, by contrast, or by their histograms."""

    kappa: int = 25
    """Hard positives and hard negatives that are mined for each minority class or image."""

    rho: float = 0.5
    """Share of a batch that its minority classes hold together at most."""

    margin: float | None = None
    """Margin of the comparison; by default 0.5, or 2 pi / classes with --crl.raw-features."""

    power: Literal[1, 2] = 1
    """Power of the positive distances in the absolute comparison."""

    raw_features: bool = False
    """Take distances between features as they are, not at unit length (instance level)."""

    nodes: int = 21
    """Nodes of the histograms of the distribution comparison."""

    balance: BalanceName | None = None
    """Add the loss to cross entropy ("sum", crl-iccv), once for each attribute ("attributes", crl), or mix
    the two by the imbalance of the training data ("tpami", crl-tpami)."""

    weight: float | None = None
    """Weight of the loss in the sum; by default 0.15 for crl, 1 for crl-iccv."""

    alpha: float | None = None
    """Share of the loss in the "tpami" mix; by default eta times the imbalance of the training data."""

    eta: float = 0.01
    """Factor from the imbalance in percent to alpha."""


@dataclass(frozen=True)
class MetricOptions:
    """Triplet, contrastive and histogram losses."""

    beside: bool = False
    """Train the network by cross entropy too; without it, only a linear classifier on top learns by that."""

    weight: float = 1.0
    """Weight of the loss beside cross entropy."""

    margin: float | None = None
    """Margin; by default 0.2 of squared distances (triplet) or 1 (contrastive), of unit vectors."""

    nodes: int = 201
    """Nodes of the histograms; the paper's released network has 201."""

    def __post_init__(self) -> None:
        _positive("--metric.weight", self.weight)
        if self.margin is not None:
            _positive("--metric.margin", self.margin)
        if self.nodes < 2:
            raise InputError(f"--metric.nodes: expected at least 2, got {self.nodes}")
        if self.weight != 1 and not self.beside:
            raise InputError("--metric.weight: is a weight beside cross entropy, add --metric.beside")


@dataclass(frozen=True)
class FocalOptions:
    """Focal loss."""

    gamma: float = 2.0
    """Power of (1 - p); 2 as in the paper, 0 is cross entropy."""

    def __post_init__(self) -> None:
        _not_negative("--focal.gamma", self.gamma)


@dataclass(frozen=True)
class AdjustmentOptions:
    """Logit adjustment and balanced softmax."""

    tau: float = 1.0
    """Factor of the log share; 1 as in both papers."""

    def __post_init__(self) -> None:
        _positive("--adjustment.tau", self.tau)


@dataclass(frozen=True)
class VSOptions:
    """Vector-scaling loss."""

    gamma: float = 0.3
    """Power of the relative class count that scales the logits; as in the released code."""

    tau: float = 1.0
    """Factor of the log share that shifts them; as in the released code."""

    def __post_init__(self) -> None:
        _not_negative("--vs.gamma", self.gamma)
        _not_negative("--vs.tau", self.tau)


@dataclass(frozen=True)
class LDAMOptions:
    """LDAM loss."""

    margin: float = 0.5
    """Largest margin, of cosines; as in the released code."""

    scale: float = 30.0
    """Factor of the cosines; as in the released code."""

    def __post_init__(self) -> None:
        _positive("--ldam.margin", self.margin)
        _positive("--ldam.scale", self.scale)


@dataclass(frozen=True)
class ASLOptions:
    """Asymmetric loss; the defaults are those of the released training script."""

    gamma_pos: float = 0.0
    """Power of (1 - p) where the class is there."""

    gamma_neg: float = 4.0
    """Power of p where it is not."""

    clip: float = 0.05
    """What is taken off p where the class is not there."""

    def __post_init__(self) -> None:
        _not_negative("--asl.gamma-pos", self.gamma_pos)
        _not_negative("--asl.gamma-neg", self.gamma_neg)
        if not 0 <= self.clip < 1:
            raise InputError(f"--asl.clip: expected a number from 0 up to but without 1, got {self.clip}")


@dataclass(frozen=True)
class BCLOptions:
    """Balanced contrastive loss."""

    weight: float = 1.0
    """Weight of the loss beside cross entropy; a guess."""

    temperature: float = 0.1
    """Temperature of the similarities; as in the released code."""

    def __post_init__(self) -> None:
        _positive("--bcl.weight", self.weight)
        _positive("--bcl.temperature", self.temperature)


@dataclass(frozen=True)
class MixOptions:
    """Mixed images."""

    alpha: float = 1.0
    """Both parameters of the Beta distribution of the shares; 1 draws them evenly."""

    kappa: float = 3.0
    """Remix: how many times as many images a class has before the other takes the label."""

    tau: float = 0.5
    """Remix: the share below which the frequent class gives its label up."""

    def __post_init__(self) -> None:
        _positive("--mix.alpha", self.alpha)
        if self.kappa < 1:
            raise InputError(f"--mix.kappa: expected at least 1, got {self.kappa}")
        _not_negative("--mix.tau", self.tau)


@dataclass(frozen=True)
class KNNOptions:
    """Decision by nearest neighbours."""

    k: int = 20
    """Nearest training images that vote."""

    references: int = 10_000
    """Training images that are kept to vote; some of every class."""

    def __post_init__(self) -> None:
        for name, value in (("k", self.k), ("references", self.references)):
            if value < 1:
                raise InputError(f"--knn.{name}: expected at least 1, got {value}")


@dataclass(frozen=True)
class DeepID2Options:
    """DeepID2's losses on identities."""

    identification: float = 1.0
    """Weight of the identification loss, a softmax over all identities; 1 as in the paper."""

    verification: float = 0.05
    """Weight of the verification loss on pairs; 0.05 as the paper is remembered."""

    window: int = 8192
    """Recent pairs that the margin is taken from; the paper is remembered with about 200,000."""

    def __post_init__(self) -> None:
        for name, value in (("identification", self.identification), ("verification", self.verification)):
            if value < 0:
                raise InputError(f"--deepid2.{name}: expected 0 or more, got {value}")
        if self.window < 1:
            raise InputError(f"--deepid2.window: expected at least 1, got {self.window}")


@dataclass(frozen=True)
class LMLEOptions:
    """LMLE.

    The paper's own values of most of these are not known; see the documentation of each.
    """

    first_stage: float = 0.5
    """Share of the epochs in which cross entropy trains the features that are first clustered; a guess."""

    cluster_size: int = 200
    """Images of a cluster; every class of 4 images or more has at least two clusters."""

    k: int = 20
    """Nearest clusters that decide."""

    pool: float = 0.5
    """Share of the training images that quintuplets are mined from; half of them, as in the paper."""

    alone: bool = False
    """Train the second stage by quintuplets alone, as the paper does; by default cross entropy goes on."""

    candidates: int = 50
    """Images of that pool that an anchor is compared with, drawn at random; 0 for all of them."""

    g1: float = 0.05
    """Margin between an image's own cluster and the next one of its class, of squared distances."""

    g2: float = 0.05
    """Margin between the nearest and the farthest image of the other clusters of its class."""

    g3: float = 0.2
    """Margin between its class and the nearest image of another."""

    def __post_init__(self) -> None:
        for name, value in (("cluster-size", self.cluster_size), ("k", self.k)):
            if value < 1:
                raise InputError(f"--lmle.{name}: expected at least 1, got {value}")
        if not 0 < self.first_stage < 1:
            raise InputError(f"--lmle.first-stage: expected a share between 0 and 1, got {self.first_stage}")
        if not 0 < self.pool <= 1:
            raise InputError(f"--lmle.pool: expected a share above 0 and up to 1, got {self.pool}")
        if self.candidates < 0:
            raise InputError(f"--lmle.candidates: expected 0 or more, got {self.candidates}")
        margins = (self.g1, self.g2, self.g3)
        if min(margins) < 0 or sum(margins) >= 4:
            raise InputError(
                f"--lmle.g1, g2, g3: expected numbers from 0 up, together below 4, got {margins}"
            )


@dataclass(frozen=True)
class MTCTOptions:
    """Multi-Task Curriculum Transfer."""

    clean_domain: str | None = None
    """Domain that is learned first; by default the one called shop, or clean."""

    first_stage: float = 0.5
    """Share of the epochs in which only the clean domain is learned; a guess, the paper's is not known."""

    weight: float = 1.0
    """Weight of the cross-domain ranking; a guess."""

    alpha: float = 1.0
    """Degrees of freedom of the ranking's Student kernel, of unit vectors; a guess."""

    def __post_init__(self) -> None:
        if not 0 < self.first_stage < 1:
            raise InputError(f"--mtct.first-stage: expected a share between 0 and 1, got {self.first_stage}")
        _positive("--mtct.weight", self.weight)
        _positive("--mtct.alpha", self.alpha)


@dataclass(frozen=True)
class MethodOptions:
    """What a method is made of, where the user says otherwise than its row, and its own options."""

    sampler: SamplerName | None = None
    """How batches are drawn: all images shuffled, rare classes as often as others (over), half way to that
    (root), or of frequent classes only a part (under)."""

    replicate: bool = False
    """Over-sampling makes an epoch as long as if every class had the size of the largest."""

    views: float | None = None
    """From how many draws in the whole training on root sampling holds an image back; by default 40, 0 for
    the square root whatever the length."""

    class_weights: WeightsName | None = None
    """What classes weigh in cross entropy: nothing, exp(-share), 1 / share, or 1 / effective number."""

    effective_beta: float = 0.9999
    """Overlap of images in the effective number of a class; the paper tries 0.9 to 0.9999."""

    defer_weights: float | None = None
    """Share of the epochs before class weights begin."""

    loss: LossName | None = None
    """Form of cross entropy: plain, focal, adjusted by the class shares, with margins, or asymmetric."""

    mixing: MixingName | None = None
    """Mix pairs of images and their labels."""

    feature_layer: FeatureLayer | None = None
    """Features of an attribute are cut off below zero (rectified), or not (linear), or not and
    batch-normalised before the classifier (neck)."""

    decision: DecisionName | None = None
    """How to decide: by the largest score, against the shares in training, by neighbours or clusters."""

    crl: CRLOptions = field(default_factory=CRLOptions)

    focal: FocalOptions = field(default_factory=FocalOptions)

    adjustment: AdjustmentOptions = field(default_factory=AdjustmentOptions)

    vs: VSOptions = field(default_factory=VSOptions)

    ldam: LDAMOptions = field(default_factory=LDAMOptions)

    asl: ASLOptions = field(default_factory=ASLOptions)

    bcl: BCLOptions = field(default_factory=BCLOptions)

    mix: MixOptions = field(default_factory=MixOptions)

    metric: MetricOptions = field(default_factory=MetricOptions)

    knn: KNNOptions = field(default_factory=KNNOptions)

    deepid2: DeepID2Options = field(default_factory=DeepID2Options)

    lmle: LMLEOptions = field(default_factory=LMLEOptions)

    mtct: MTCTOptions = field(default_factory=MTCTOptions)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MethodOptions:
        """The options of which `dataclasses.asdict` made a dict, perhaps by way of JSON."""
        nested = {name: kind(**data[name]) for name, kind in TABLES.items()}
        return cls(**{**data, **nested})


TABLES: Mapping[str, type[Any]] = {
    "crl": CRLOptions,
    "focal": FocalOptions,
    "adjustment": AdjustmentOptions,
    "vs": VSOptions,
    "ldam": LDAMOptions,
    "asl": ASLOptions,
    "bcl": BCLOptions,
    "mix": MixOptions,
    "metric": MetricOptions,
    "knn": KNNOptions,
    "deepid2": DeepID2Options,
    "lmle": LMLEOptions,
    "mtct": MTCTOptions,
}
"""The fields of `MethodOptions` that are options of one method or part."""


def _not_negative(flag: str, value: float) -> None:
    if not value >= 0:
        raise InputError(f"{flag}: expected 0 or more, got {value}")


def _positive(flag: str, value: float) -> None:
    if not value > 0:
        raise InputError(f"{flag}: expected a positive number, got {value}")
