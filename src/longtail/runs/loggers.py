"""Where the figures of a training go beside its own files: TensorBoard, Weights & Biases, MLflow, Trackio.

metrics.jsonl stays the truth: a logger that fails is left out, and the training goes on.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

import msgspec

from longtail.errors import InputError, first_line
from longtail.evaluation.metrics import METRICS
from longtail.evaluation.results import Results
from longtail.runs.folder import RunFolder
from longtail.training.config import LoggerName, TrainConfig
from longtail.training.record import EpochRecord

PROJECT = "longtail"
"""Name of the project or experiment that runs are collected in."""

GIVEN = "logger"
"""How the object of a program is called."""

LONGEST = 250
"""Characters of a setting that a logger is given, and of its complaint that is shown."""


class Logger(Protocol):
    """What is told of a training: its settings once, figures after each epoch, and that it is over."""

    def configuration(self, settings: Mapping[str, str]) -> None:
        """The settings, by their names in config.json, those of tables with a dot."""
        ...

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Figures after so many steps: loss/total, validation/class_balanced_accuracy, test/accuracy …"""
        ...

    def finish(self) -> None:
        """Nothing follows; also of a training that was stopped."""
        ...


class TensorBoard:
    """Event files in the folder `tensorboard` of the run: `tensorboard --logdir runs` shows them."""

    def __init__(self, folder: RunFolder) -> None:
        self._writer: Any = import_module("torch.utils.tensorboard").SummaryWriter(str(folder.tensorboard))

    def configuration(self, settings: Mapping[str, str]) -> None:
        """A table among the texts."""
        rows = [f"| {name} | {value.replace('|', ' ')} |" for name, value in settings.items()]
        self._writer.add_text("settings", "\n".join(("| setting | value |", "|---|---|", *rows)))

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """A point of each curve, on the disk at once."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def finish(self) -> None:
        """Close the file."""
        self._writer.close()


class Tracked:
    """A run of wandb or trackio, whose calls are the same."""

    def __init__(self, module: str, folder: RunFolder) -> None:
        self._module: Any = import_module(module)
        self._name = folder.path.name

    def configuration(self, settings: Mapping[str, str]) -> None:
        """Begin the run, as its environment says: online, offline or disabled."""
        self._module.init(project=PROJECT, name=self._name, config=dict(settings))

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Figures of a step."""
        self._module.log(dict(figures), step=step)

    def finish(self) -> None:
        """End the run."""
        self._module.finish()


class MLflow:
    """A run of MLflow, at the tracking server that its environment names, or in its local store."""

    def __init__(self, folder: RunFolder) -> None:
        self._module: Any = import_module("mlflow")
        self._name = folder.path.name

    def configuration(self, settings: Mapping[str, str]) -> None:
        """Begin the run."""
        self._module.set_experiment(PROJECT)
        self._module.start_run(run_name=self._name)
        self._module.log_params(dict(settings))

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Figures of a step."""
        self._module.log_metrics(dict(figures), step=step)

    def finish(self) -> None:
        """End the run."""
        self._module.end_run()


LOGGERS: Mapping[LoggerName, Callable[[RunFolder], Logger]] = {
    "tensorboard": TensorBoard,
    "wandb": partial(Tracked, "wandb"),
    "trackio": partial(Tracked, "trackio"),
    "mlflow": MLflow,
}
"""By the name that `--log-to` takes, which is that of the package too."""


def expect_installed(name: LoggerName | None) -> None:
    """Refuse a logger whose package is not there.

    Raises:
        InputError: naming it.
    """
    if name is not None and find_spec(name) is None:
        raise InputError(f"--log-to {name}: needs the package {name}; pip install {name}")


def expect_logger(logger: object) -> None:
    """Refuse an object that cannot be told of a training.

    Raises:
        InputError: naming what it lacks.
    """
    for name in ("configuration", "log", "finish"):
        if isinstance(logger, type) or not callable(getattr(logger, name, None)):
            raise InputError(
                f"logger: expected an object with configuration, log and finish, got {logger!r:.60} without "
                f"a method {name}"
            )


class Logging:
    """The loggers of a run, none of which can stop it.

    Args:
        say: told once of each logger that fails.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._loggers: dict[str, Logger] = {}

    def open(self, config: TrainConfig, folder: RunFolder, given: Logger | None) -> None:
        """Begin: the one that the settings name, and one that a program gives."""
        name = config.log_to
        if name is not None:
            self._try(f"--log-to {name}", lambda: self._add(f"--log-to {name}", LOGGERS[name](folder)))
        if given is not None:
            self._add(GIVEN, given)
        self._tell(lambda logger: logger.configuration(settings_of(config)))

    def epoch(self, record: EpochRecord) -> None:
        """Figures of an epoch."""
        self._tell(lambda logger: logger.log(figures_of(record), record.step))

    def results(self, results: Results, step: int) -> None:
        """Figures of the images that judge the finished network."""
        known = ((name, results.mean.of(name)) for name in METRICS)
        found = {f"{results.split}/{name}": figure.value for name, figure in known if figure is not None}
        self._tell(lambda logger: logger.log(found, step))

    def close(self) -> None:
        """Nothing follows."""
        self._tell(lambda logger: logger.finish())

    def _add(self, name: str, logger: Logger) -> None:
        self._loggers[name] = logger

    def _tell(self, act: Callable[[Logger], None]) -> None:
        for name, logger in list(self._loggers.items()):
            self._try(name, lambda logger=logger: act(logger))

    def _try(self, name: str, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:
            self._loggers.pop(name, None)
            reason = first_line(error)
            line = f"{name}: failed ({reason}); the training goes on without it, metrics.jsonl has all"
            self._say(line)
            if name == GIVEN:  # a program may listen to nothing else
                warnings.warn(line, RuntimeWarning, stacklevel=2)


def settings_of(config: TrainConfig) -> dict[str, str]:
    """The settings as short texts, those of tables with a dot in the name."""
    return {
        name: "" if value is None else str(value)[:LONGEST]
        for name, value in flat(msgspec.to_builtins(config))
    }


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested tables, each with its keys joined by dots.

    Example:
        >>> list(flat({"epochs": 3, "crl": {"kappa": 5}}))
        [('epochs', 3), ('crl.kappa', 5)]
    """
    if not isinstance(value, dict):
        yield name, value
        return
    for key, inner in value.items():
        yield from flat(inner, f"{name}.{key}" if name else str(key))


def figures_of(record: EpochRecord) -> dict[str, float]:
    """The numbers of an epoch: of what is counted for each attribute, the mean."""
    validation = record.validation
    rows = {
        "learning_rate": record.learning_rate,
        "images_per_second": record.images_per_second,
        **{f"loss/{name}": value for name, value in record.loss.items()},
        **{f"mined/{name}": value for name, value in (record.mined or {}).items()},
        **({} if validation is None else {f"validation/{name}": validation.of(name) for name in METRICS}),
    }
    means = {name: _mean(value) for name, value in rows.items()}
    return {name: value for name, value in means.items() if value is not None}


def _mean(value: Any) -> float | None:
    if not isinstance(value, list):
        return value
    known = [x for x in map(_mean, value) if x is not None]
    return sum(known) / len(known) if known else None
