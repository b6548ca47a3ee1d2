"""Everything that decides how a training goes; no torch here, so that help and checks are instant."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import Annotated, Literal

from longtail.documents import Form
from longtail.errors import InputError
from longtail.methods.find import is_known, is_outside, row_of
from longtail.methods.options import MethodOptions
from longtail.methods.recipe import Recipe, recipe, stacked
from longtail.methods.rows import Row
from longtail.models.backbones import (
    COMPUTED_ONCE,
    PRETRAINED,
    STRENGTH,
    VECTOR_LENGTH,
    Tuning,
    default_learning_rate,
)
from longtail.settings import (
    AT_LEAST_ONE,
    FEW_BELOW,
    MANY_ABOVE,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    Range,
    Settings,
    seconds_of,
)
from longtail.training.data_options import DataOptions

ADAMW_RATE = 1e-3
ADAMW_DECAY = 0.05
LAYER_DECAY = 0.75
"""Of fine-tuning, unless the user says otherwise; docs/decisions.md."""

MOST_DECAY = 0.5
"""Of a head on frozen vectors of a handful of images: with more, steps of its rate no longer shrink it."""

FROZEN_RATE = 0.3
"""Learning rate of a head on frozen vectors, unless the user says otherwise; docs/decisions.md."""

STACKED_RATE = 0.1
"""The same for two linear layers in a row, which diverge at more; docs/decisions.md."""

SEED = Range("a whole number from 0 up to 2^63 - 1", 0, 2**63 - 1)

LoggerName = Literal["tensorboard", "wandb", "mlflow", "trackio"]

AUTO = "auto"
"""In place of a method: the data decide, see `longtail.training.defaults`."""

ON_VECTORS = ("none", "mirror")
"""Augmentations of images that are looked at once."""

OptimizerName = Literal["sgd", "adamw"]

Augmentation = Literal["none", "mirror", "small", "small-noflip", "photo", "photo-noflip"]

Accelerator = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True)
class TrainConfig(Settings):
    """One training run."""

    data: str
    """A folder of images per class, a manifest (CSV, TSV or Parquet), a zip or tar archive, or a built-in
    name; `longtail data` says more."""

    _: KW_ONLY

    method: str = AUTO
    """Method to train, from `longtail methods`, or your own as module:Class or FILE.py:Class; auto chooses by
    the data."""

    start: str | None = None
    """Start from the trained network of a run, with its data, splits and settings, but not its method and the
    options of that. --seed and the shares then split only images that are new."""

    output: str | None = None
    """Folder of the run; by default runs/DATA-METHOD-seedSEED, without METHOD if none is named."""

    epochs: Annotated[int | None, AT_LEAST_ONE] = None
    """Passes over the training images; by default from a budget in steps, which --dry-run shows."""

    steps: Annotated[int | None, AT_LEAST_ONE] = None
    """Length of the training in steps, in place of --epochs."""

    keep: Literal["best", "last"] | None = None
    """Epoch whose network is used: the best on the validation images, or the last; by default best, if there
    are enough validation images to tell. The other network is kept beside it."""

    patience: Annotated[int | None, AT_LEAST_ONE] = None
    """Stop after this many epochs without a better one on the validation images."""

    checkpoint_every: str = "1m"
    """Time between checkpoints, such as 30s, 10m or 2h; a kill loses no more than that."""

    batch_size: Annotated[int, AT_LEAST_ONE] = 128
    """Number of images per step, of all processes together."""

    seed: Annotated[int, SEED] = 0
    """Seed of splits, initial weights, order and augmentation."""

    backbone: str | None = None
    """Backbone, from `longtail methods`, such as timm:NAME; by default by the method or the image size."""

    weights: str | None = None
    """File with weights of the backbone (safetensors or a torch state dict) instead of published ones."""

    from_scratch: bool = False
    """Start from random weights, even if pretrained weights are installed."""

    freeze: bool = False
    """Keep the backbone fixed and train only the head; image features are computed once and cached on
    disk."""

    finetune: Literal["last", "all", "adapters"] | None = None
    """Part of a pretrained backbone to train: its last stage, whose input is computed once and cached; all of
    it; or adapters beside the layers of a transformer. By default last, if the images are photos and
    pretrained weights are installed."""

    image_size: str | None = None
    """Image size in pixels, such as 128 or 96x64 (height first); by default the size that the backbone is
    made for, or that of the images, at most 128, and with a pretrained network at least 64."""

    features: Annotated[int, AT_LEAST_ONE] = 64
    """Size of the feature vector before each classifier."""

    hidden: Annotated[int | None, NOT_NEGATIVE] = None
    """Size of the layer before the feature vector of each attribute, 0 for none; by default by the
    backbone."""

    shared_feature: bool = False
    """One feature vector for all attributes instead of one per attribute."""

    augment: Augmentation | None = None
    """Augmentation; by default by the image size, with --freeze none."""

    optimizer: OptimizerName | None = None
    """Optimizer; adamw leaves norms and biases without decay. By default sgd, in fine-tuning adamw."""

    learning_rate: Annotated[float | None, POSITIVE] = None
    """Peak learning rate; by default 0.1, on frozen vectors 0.3 (0.1 under --feature-layer linear), with the
    backbone deepid2 0.01, with adamw 0.001."""

    layer_decay: Annotated[float | None, SHARE] = None
    """Learning rate of a layer as a share of that of the layer above, in fine-tuning; by default 0.75."""

    momentum: Annotated[float, SHARE] = 0.9
    """Momentum of SGD, or the first β of AdamW."""

    weight_decay: Annotated[float | None, NOT_NEGATIVE] = None
    """Weight decay; by default 0.0005, with the method crl 0.002, on frozen vectors 10 over the number of
    training images, with adamw 0.05."""

    warmup: Annotated[float, SHARE] = 0.05
    """Share of the training in which the learning rate rises from zero; after it, the rate falls by a
    cosine."""

    clip_gradient: Annotated[float | None, POSITIVE] = None
    """Largest norm of the gradient; a larger gradient is scaled down to it."""

    log_to: LoggerName | None = None
    """Also send the figures to a logger, whose package must be installed; metrics.jsonl always has them."""

    accelerator: Accelerator = "auto"
    """Kind of device."""

    devices: Annotated[int, AT_LEAST_ONE] = 1
    """Number of processes, each with its own device."""

    precision: Literal["32", "bf16", "16"] = "32"
    """Precision of the network: 32 bits, or mixed with bfloat16 or float16. Losses stay in 32 bits."""

    workers: Annotated[int, NOT_NEGATIVE] = 0
    """Number of processes that decode images, if the decoded images do not fit in memory."""

    many_above: Annotated[int, NOT_NEGATIVE] = MANY_ABOVE
    """Classes with more training images than this are called many."""

    few_below: Annotated[int, NOT_NEGATIVE] = FEW_BELOW
    """Classes with fewer training images than this are called few."""

    no_images: bool = False
    """Leave images out of the report, if they are confidential."""

    data_options: DataOptions = field(default_factory=DataOptions)

    method_options: MethodOptions = field(default_factory=MethodOptions)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_method()
        if self.few_below > self.many_above + 1:
            raise InputError(
                "--few-below: expected at most --many-above + 1, so that no class is in both groups"
            )
        if self.epochs is not None and self.steps is not None:
            raise InputError("--steps: decides the epochs; leave out --epochs")
        if self.weights is not None and (self.from_scratch or self.start is not None):
            other = "--from-scratch" if self.from_scratch else "--from"
            raise InputError(f"--weights: does not go with {other}, the backbone begins with one of them")
        self._check_tuning()
        self.size  # noqa: B018  a wrong --image-size too, not after the data are read
        self.checkpoint_seconds  # noqa: B018  as well

    def _check_method(self) -> None:
        """Say now what does not go together; of a class of the user's own, once it is there."""
        if self.method == AUTO or (is_outside(self.method) and not is_known(self.method)):
            return
        if self.row.second_stage and self.start is None:
            raise InputError(f"--method {self.method}: goes on from a trained run, name it with --from RUN")
        self.recipe  # noqa: B018

    def _check_tuning(self) -> None:
        """Say what does not go with a backbone that is known."""
        if self.freeze and self.finetune:
            raise InputError("--finetune: trains the backbone that --freeze keeps fixed; leave one out")
        solved = not is_outside(self.method) and self.row.solved
        if self.finetune and solved:
            raise InputError(
                f"--finetune: {self.method} is solved on the vectors of a backbone that stays; choose a "
                "method that takes steps, such as --method balanced-softmax"
            )
        layer = self.method_options.feature_layer
        if solved and layer not in (None, "vector"):
            raise InputError(
                f"--feature-layer {layer}: {self.method} is solved on the vectors of a backbone, without a "
                "layer that would have to learn; leave it out"
            )
        if self.layer_decay is not None and not self.finetune:
            raise InputError("--layer-decay: goes with --finetune; without it all layers have one rate")
        asked = "--freeze" if self.freeze else f"--finetune {self.finetune}" if self.finetune else ""
        flag = asked or (f"--method {self.method}" if solved else "")
        if flag and self.method == "mtct":  # ranks images of two domains by the whole backbone
            raise InputError(f"{flag}: mtct trains a backbone of its own from the start; leave it out")
        if flag and self.from_scratch:
            raise InputError(f"{flag}: keeps pretrained weights; leave out --from-scratch")
        if flag and self.tuning in COMPUTED_ONCE and self.augment not in (None, *ON_VECTORS):
            raise InputError(
                f"--augment {self.augment}: with {flag} an image is looked at once; expected none, or mirror "
                "to look at its mirror image too"
            )

    @property
    def row(self) -> Row:
        """The row of the method; an empty one while that is open."""
        return Row("chosen by the data") if self.method == AUTO else row_of(self.method)

    @property
    def recipe(self) -> Recipe:
        """What the method is made of, with nothing left open."""
        return recipe(self.method, self.method_options)

    @property
    def planned_epochs(self) -> int:
        """`epochs`, once they are decided."""
        if self.epochs is None:
            raise ValueError("expected a configuration with nothing left open")
        return self.epochs

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) of `image_size`, None where it is left to the data."""
        if self.image_size is None:
            return None
        parts = self.image_size.lower().split("x")
        if len(parts) > 2 or not all(part.isdecimal() and 1 <= int(part) <= 4096 for part in parts):
            raise InputError(
                f"--image-size: expected pixels as 128 or 96x64 (at most 4096), got {self.image_size!r}"
            )
        return int(parts[0]), int(parts[-1])

    @property
    def checkpoint_seconds(self) -> float:
        """`checkpoint_every` as a number."""
        return seconds_of("--checkpoint-every", self.checkpoint_every)

    @property
    def named_backbone(self) -> str | None:
        """The backbone that the user or the method asks for, None where the images decide."""
        known = PRETRAINED if self.tuning and self.start is None and self.weights is None else None
        return self.backbone or self.row.backbone or known

    @property
    def peak_rate(self) -> float:
        """`learning_rate`, or what suits optimizer and backbone."""
        if self.learning_rate is not None:
            return self.learning_rate
        if self.descent == "adamw":
            return ADAMW_RATE
        if self.frozen:
            return STACKED_RATE if stacked(self.method, self.recipe) else FROZEN_RATE
        return default_learning_rate(self.named_backbone)

    def decay(self, images: int) -> float:
        """`weight_decay`, or what suits optimizer and method.

        A head on frozen vectors x of n images decays as a regression of strength C does, ‖x‖² / (C n), unless
        it reads directions alone.
        """
        if self.weight_decay is not None:
            return self.weight_decay
        if self.descent == "adamw":
            return ADAMW_DECAY
        if self.frozen and not self.recipe.cosine:
            return min(VECTOR_LENGTH**2 / (STRENGTH * images), MOST_DECAY)
        return self.row.weight_decay

    @property
    def falling_rate(self) -> float:
        """`layer_decay`, or the usual one."""
        return LAYER_DECAY if self.layer_decay is None else self.layer_decay

    @property
    def descent(self) -> OptimizerName:
        """`optimizer`, or what suits the training."""
        return self.optimizer or ("adamw" if self.finetune else "sgd")

    @property
    def tuning(self) -> Tuning | None:
        """What learns of a backbone that is known: on request, or because the method is for vectors."""
        return "head" if self.freeze or self.row.solved else self.finetune

    @property
    def frozen(self) -> bool:
        """Whether the backbone stays as it is."""
        return self.tuning == "head"


CONFIG = Form(
    TrainConfig, "settings of a run", "the folder of a run with its config.json", "train again", indent=2
)
"""config.json of a run."""
