"""The options of the methods and of their parts, for people and configuration files: no torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from longtail.errors import InputError
from longtail.models.backbones import FeatureLayer
from longtail.settings import (
    AT_LEAST_ONE,
    AT_LEAST_TWO,
    INNER_SHARE,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    Range,
    Settings,
)

SamplerName = Literal["shuffled", "over", "root", "under"]
WeightsName = Literal["none", "exp-share", "inverse-frequency", "effective-number"]
LossName = Literal["softmax", "focal", "logit-adjusted", "vector-scaling", "ldam", "asymmetric"]
MixingName = Literal["none", "mixup", "remix"]
DecisionName = Literal["argmax", "prior", "knn", "clusters", "tau-norm"]


@dataclass(frozen=True)
class LossFacts:
    """What goes with a form of cross entropy.

    Attributes:
        table: field of `MethodOptions` with its options, or None.
        takes_weights: whether classes can be weighed in it.
        mixes_by_label: whether each label of a mixed image can have a share of its own.
        cosine: whether its logits are cosines, between features and class vectors of unit length.
    """

    table: str | None = None
    takes_weights: bool = True
    mixes_by_label: bool = False
    cosine: bool = False


LOSSES: Mapping[str, LossFacts] = {
    "softmax": LossFacts(mixes_by_label=True),
    "focal": LossFacts("focal"),
    "logit-adjusted": LossFacts("adjustment"),
    "vector-scaling": LossFacts("vs"),
    "ldam": LossFacts("ldam", cosine=True),
    "asymmetric": LossFacts("asl", takes_weights=False),
}
"""The forms of cross entropy; their classes stand in `longtail.methods.criteria`."""


@dataclass(frozen=True)
class DecisionFacts:
    """What goes with a decision.

    Attributes:
        summary, table: a sentence for people; the field of `MethodOptions` with its options, or None.
        learned: whether training makes what it decides by: only methods that read `table` do.
        afterwards: whether it is chosen on validation images, once the network is trained.
        lengths: whether it reads the lengths of the class vectors, which cosines do not have.
    """

    summary: str
    table: str | None = None
    learned: bool = False
    afterwards: bool = False
    lengths: bool = False

    @property
    def by_logits(self) -> bool:
        """Whether the classifier decides; the others have options, and keep images or clusters."""
        return self.table is None

    @property
    def at_any_time(self) -> bool:
        """Whether it can be chosen for a trained network, without the data."""
        return self.by_logits and not self.afterwards


DECISIONS: Mapping[str, DecisionFacts] = {
    "argmax": DecisionFacts("the largest score of the loss itself; vs leaves open which that is"),
    "prior": DecisionFacts(
        "probabilities divided by training shares; docs/methods.md says where it is exact"
    ),
    "knn": DecisionFacts("the nearest training images vote", "knn"),
    "clusters": DecisionFacts("the nearest clusters of lmle decide", "lmle", learned=True),
    "tau-norm": DecisionFacts(
        "class vectors rescaled, by a factor chosen on the validation images", afterwards=True, lengths=True
    ),
}
"""The decisions; their classes stand in `longtail.methods.decisions`."""


@dataclass(frozen=True)
class CRLOptions(Settings, prefix="crl."):
    """Class Rectification Loss."""

    level: Literal["class", "instance"] | None = None
    """Mine hard pairs on predicted probabilities ("class") or on feature distances ("instance"); by default
    instance for crl, class for crl-iccv and crl-tpami. The papers' instance level uses raw features: add
    --crl.raw-features."""

    comparison: Literal["relative", "absolute", "distribution", "log-odds"] = "relative"
    """Compare the pairs by triplet ranking, contrast, their histograms, or (class level) log-odds."""

    kappa: Annotated[int, AT_LEAST_ONE] = 25
    """Number of hard positives and of hard negatives per minority class or image."""

    rho: Annotated[float, INNER_SHARE] = 0.5
    """Largest share of a batch that its minority classes hold together."""

    margin: Annotated[float | None, POSITIVE] = None
    """Margin of the comparison; by default 0.5, 1 of log-odds, or the papers' 2 pi / classes with
    --crl.raw-features."""

    power: Literal[1, 2] = 1
    """Power of the positive distances in the absolute comparison."""

    raw_features: bool = False
    """Compare features without bringing them to unit length (instance level), as in the papers. Training can
    collapse at the default learning rate; the run warns if it does."""

    nodes: Annotated[int, AT_LEAST_TWO] = 21
    """Nodes of the histograms of the distribution comparison."""

    scope: Literal["global", "local"] = "global"
    """Mine in the batch of all processes ("global"), or in the part of each ("local"); see
    docs/scaling.md."""

    balance: Literal["sum", "attributes", "tpami"] | None = None
    """Add the loss to cross entropy ("sum", crl-iccv), add it once per attribute ("attributes", crl), or mix
    the two by the imbalance of the training data ("tpami", crl-tpami)."""

    weight: Annotated[float | None, POSITIVE] = None
    """Weight of the loss in the sum; by default 0.15 for crl, 1 for crl-iccv."""

    alpha: Annotated[float | None, Range("a share above 0 and up to 1", 0, 1, without_low=True)] = None
    """Share of the loss in the "tpami" mix; by default eta times the imbalance of the training data."""

    eta: Annotated[float, POSITIVE] = 0.01
    """Factor from the imbalance in percent to alpha."""


@dataclass(frozen=True)
class MetricOptions(Settings, prefix="metric."):
    """Triplet, contrastive and histogram losses."""

    beside: bool = False
    """Also train the network by cross entropy; without this flag, cross entropy trains only a linear
    classifier."""

    weight: Annotated[float, POSITIVE] = 1.0
    """Weight of the loss beside cross entropy."""

    margin: Annotated[float | None, POSITIVE] = None
    """Margin between unit vectors; by default 0.2 of squared distances (triplet) or 1 (contrastive)."""

    nodes: Annotated[int, AT_LEAST_TWO] = 201
    """Nodes of the histograms; the paper's released network has 201."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight != 1 and not self.beside:
            raise InputError("--metric.weight: is a weight beside cross entropy, add --metric.beside")


@dataclass(frozen=True)
class FocalOptions(Settings, prefix="focal."):
    """Focal loss."""

    gamma: Annotated[float, NOT_NEGATIVE] = 2.0
    """Power of (1 - p); 2 as in the paper, 0 is cross entropy."""


@dataclass(frozen=True)
class AdjustmentOptions(Settings, prefix="adjustment."):
    """Logit adjustment and balanced softmax."""

    tau: Annotated[float, POSITIVE] = 1.0
    """Factor of the log share; 1 as in both papers."""


@dataclass(frozen=True)
class VSOptions(Settings, prefix="vs."):
    """Vector-scaling loss."""

    gamma: Annotated[float, NOT_NEGATIVE] = 0.3
    """Power of the relative class count that scales the logits; as in the released code."""

    tau: Annotated[float, NOT_NEGATIVE] = 1.0
    """Factor of the log share that shifts them; as in the released code."""


@dataclass(frozen=True)
class LDAMOptions(Settings, prefix="ldam."):
    """LDAM loss."""

    margin: Annotated[float, POSITIVE] = 0.5
    """Largest margin, of cosines; as in the released code."""

    scale: Annotated[float, POSITIVE] = 30.0
    """Factor of the cosines; as in the released code."""


@dataclass(frozen=True)
class ASLOptions(Settings, prefix="asl."):
    """Asymmetric loss; the defaults are those of the released training script."""

    gamma_pos: Annotated[float, NOT_NEGATIVE] = 0.0
    """Power of (1 - p) if the class is present."""

    gamma_neg: Annotated[float, NOT_NEGATIVE] = 4.0
    """Power of p if it is absent."""

    clip: Annotated[float, SHARE] = 0.05
    """Amount subtracted from p if the class is absent."""


@dataclass(frozen=True)
class BCLOptions(Settings, prefix="bcl."):
    """Balanced contrastive loss."""

    weight: Annotated[float, POSITIVE] = 1.0
    """Weight of the loss beside cross entropy; our choice."""

    temperature: Annotated[float, POSITIVE] = 0.1
    """Temperature of the similarities; as in the released code."""


@dataclass(frozen=True)
class MixOptions(Settings, prefix="mix."):
    """Mixed images."""

    alpha: Annotated[float, POSITIVE] = 1.0
    """Both parameters of the Beta distribution of the shares; 1 draws them evenly."""

    kappa: Annotated[float, AT_LEAST_ONE] = 3.0
    """Remix: ratio of class counts from which the rarer class can take the label."""

    tau: Annotated[float, NOT_NEGATIVE] = 0.5
    """Remix: share of the mixture below which the frequent class loses its label."""


@dataclass(frozen=True)
class KNNOptions(Settings, prefix="knn."):
    """Decision by nearest neighbours."""

    k: Annotated[int, AT_LEAST_ONE] = 20
    """Number of nearest training images that vote."""

    references: Annotated[int, AT_LEAST_ONE] = 10_000
    """Number of training images that are kept to vote; some of every class."""


@dataclass(frozen=True)
class DeepID2Options(Settings, prefix="deepid2."):
    """DeepID2's losses on identities."""

    identification: Annotated[float, NOT_NEGATIVE] = 1.0
    """Weight of the identification loss, a softmax over all identities; 1 as in the paper."""

    verification: Annotated[float, NOT_NEGATIVE] = 0.05
    """Weight of the verification loss on pairs; 0.05 as in the paper, from memory."""

    window: Annotated[int, AT_LEAST_ONE] = 8192
    """Number of recent pairs that the margin is computed from; about 200,000 in the paper, from memory."""


@dataclass(frozen=True)
class LMLEOptions(Settings, prefix="lmle."):
    """LMLE.

    The paper's own values of most of these are not known; see the documentation of each.
    """

    first_stage: Annotated[float, INNER_SHARE] = 0.5
    """Share of the epochs in which cross entropy trains features before the first clustering; our choice."""

    cluster_size: Annotated[int, AT_LEAST_ONE] = 200
    """Number of images per cluster; every class of 4 images or more has at least two clusters."""

    k: Annotated[int, AT_LEAST_ONE] = 20
    """Number of nearest clusters that decide."""

    pool: Annotated[float, Range("a share above 0 and up to 1", 0, 1, without_low=True)] = 0.5
    """Share of the training images that quintuplets are mined from; half, as in the paper."""

    alone: bool = False
    """Train the second stage by quintuplets alone, as in the paper; by default cross entropy continues."""

    candidates: Annotated[int, NOT_NEGATIVE] = 50
    """Number of random images of that pool that an anchor is compared with; 0 for all."""

    g1: Annotated[float, NOT_NEGATIVE] = 0.05
    """Margin between an image's own cluster and the next one of its class, of squared distances."""

    g2: Annotated[float, NOT_NEGATIVE] = 0.05
    """Margin between the nearest and the farthest image of the other clusters of its class."""

    g3: Annotated[float, NOT_NEGATIVE] = 0.2
    """Margin between its class and the nearest image of another."""

    def __post_init__(self) -> None:
        super().__post_init__()
        together = self.g1 + self.g2 + self.g3
        if together >= 4:
            raise InputError(f"--lmle.g1, g2, g3: expected numbers together below 4, got {together:g}")


@dataclass(frozen=True)
class MTCTOptions(Settings, prefix="mtct."):
    """Multi-Task Curriculum Transfer."""

    clean_domain: str | None = None
    """Domain to train on first; by default the one called shop, or clean."""

    first_stage: Annotated[float, INNER_SHARE] = 0.5
    """Share of the epochs that train on the clean domain only; our choice, the paper's value is unknown."""

    weight: Annotated[float, POSITIVE] = 1.0
    """Weight of the cross-domain ranking; our choice."""

    alpha: Annotated[float, POSITIVE] = 1.0
    """Degrees of freedom of the ranking's Student kernel on unit vectors; our choice."""


@dataclass(frozen=True)
class MethodOptions(Settings):
    """What a method is made of, where the user says otherwise than its row, and its own options."""

    sampler: SamplerName | None = None
    """How batches are drawn: all images shuffled; rare classes as often as others (over); half way to that
    (root); or only a part of the frequent classes (under). With several attributes prefer root to over."""

    replicate: bool = False
    """Make an over-sampled epoch as long as if every class had the size of the largest."""

    views: Annotated[float | None, Range("a number from 0 up", 0, without_high=True)] = None
    """Approximate limit of draws per image in the whole training, under root sampling; by default 40, 0 for
    no limit."""

    class_weights: WeightsName | None = None
    """Class weights in cross entropy: none, exp(-share), 1 / share, or 1 / effective number."""

    effective_beta: Annotated[float, Range("a number from 0 up to 1", 0, 1, without_high=True)] = 0.9999
    """Overlap of images in the effective number of a class; the paper tries 0.9 to 0.9999."""

    defer_weights: Annotated[float | None, Range("a share from 0 up to 1", 0, 1, without_high=True)] = None
    """Share of the epochs before class weights take effect."""

    loss: LossName | None = None
    """Form of cross entropy: plain, focal, adjusted by the class shares, with margins, or asymmetric."""

    mixing: MixingName | None = None
    """Mix pairs of images and their labels."""

    feature_layer: FeatureLayer | None = None
    """Last layer before the classifier: a ReLU (rectified), none (linear), or batch normalisation (neck);
    vector takes the features of a pretrained backbone directly."""

    decision: DecisionName | None = None
    """Decision rule: largest score, probabilities divided by the training shares, neighbours or clusters."""

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
