"""Whole jobs in Python: train, compare, diagnose."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Unpack

from longtail.api.model import Model, load
from longtail.api.options import Arguments, DataArguments
from longtail.api.settings import data_settings, flags_of, settings
from longtail.api.shown import Table, table
from longtail.api.watching import watching
from longtail.comparing import compare as comparing
from longtail.comparing.cells import Comparison, Engine, default_folder, labels_of
from longtail.comparing.document import COMPARISON, FILE, PAGE, ComparisonDocument
from longtail.diagnosing import examine
from longtail.diagnosing.advise import Advice, advise
from longtail.diagnosing.examine import Diagnosis
from longtail.diagnosing.labels import LabelCheck, Suspect
from longtail.files import place_of
from longtail.methods.find import allow, is_outside
from longtail.runs import train as training
from longtail.runs.data import read_dataset
from longtail.runs.loggers import Logger, expect_logger
from longtail.runs.resuming import resumed_config
from longtail.runs.suspects import find_suspects
from longtail.training.defaults import possible, refuse_idle
from longtail.training.watcher import Silent


def train(
    data: str | Path,
    *,
    overwrite: bool = False,
    progress: bool = False,
    logger: Logger | None = None,
    **options: Unpack[Arguments],
) -> Model:
    """Train on a data set, evaluate on its test images, write a report, and return the model.

    Args:
        data: as for `longtail train`: a folder, manifest, zip archive or built-in name.
        overwrite: replace a run that is there already.
        progress: show how far it is and what is decided, on standard error.
        logger: an object with `configuration(settings)`, `log(figures, step)` and `finish()`.
        options: the flags of `longtail train` by their names with underscores; the options of a method as a
            table, crl={"level": "class"}.

    Raises:
        InputError: when something cannot be used.
        Interrupted: when a signal stopped it; `resume` goes on.

    Example::

        model = longtail.train("digits", tail_ratio=20.0, epochs=2, output="runs/first")
        print(model.table())
    """
    allow(str(options.get("method", "")))  # what a run to start from holds is not named by the user
    config = settings(data, **options)
    refuse_idle(flags_of(options), possible(config), f"--method {config.method}")
    if logger is not None:
        expect_logger(logger)
    with closing(watching(progress)) as watcher:
        folder = training.train(config, overwrite=overwrite, watcher=watcher, logger=logger)
    return load(folder, method=config.method if is_outside(config.method) else None)


def resume(run: str | Path, *, method: str | None = None, progress: bool = False) -> Model:
    """Resume a training that was stopped.

    Args:
        run: its folder.
        method: method of your own that it is trained with.
        progress: as of `train`.

    Raises:
        InputError: when there is nothing to go on with.

    Example::

        try:
            model = longtail.resume("runs/first")
        except longtail.InputError as error:
            print(error)  # nothing to go on with, its training came to its end
    """
    folder = place_of(str(run))
    config = replace(resumed_config(folder, method), output=str(folder))
    with closing(watching(progress)) as watcher:
        training.train(config, resume=True, watcher=watcher)
    return load(folder, method=method)


@dataclass(frozen=True)
class Compared:
    """A comparison.

    Attributes:
        folder: where it lies.
    """

    folder: Path

    @cached_property
    def document(self) -> ComparisonDocument:
        """All of its figures."""
        return COMPARISON.read(self.folder / FILE)

    @property
    def page(self) -> Path:
        """Its page."""
        return self.folder / PAGE

    def table(self) -> Table:
        """Methods with figures, intervals and differences."""
        return table(self.document)

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()  # pyright: ignore[reportPrivateUsage]


def compare(
    data: str | Path,
    *,
    methods: str | Sequence[str] = ("ce", "balanced-softmax", "crl"),
    seeds: int = 5,
    baseline: str | None = None,
    tune: int | None = None,
    budget: float | None = None,
    parallel: int | None = None,
    engine: Engine = "local",
    overwrite: bool = False,
    progress: bool = False,
    **options: Unpack[Arguments],
) -> Compared:
    """Train several methods on the same data with paired seeds, and compare them.

    Trainings run in processes of their own. If interrupted, the same call resumes.

    Args:
        data: as of `train`.
        methods, seeds, baseline, tune, budget, parallel, engine, overwrite: as of `longtail compare`.
        progress: as of `train`.
        options: as of `train`; output is the folder of the comparison.

    Raises:
        InputError: when something cannot be used, or every training failed.
        Interrupted: when a signal stopped it.

    Example::

        found = longtail.compare("digits", methods=["ce", "crl"], seeds=2, tail_ratio=20.0, epochs=2)
        print(found.table())
    """
    labels = labels_of(methods if isinstance(methods, str) else ",".join(methods))
    base = settings(data, **options)
    if budget is not None:  # in place of the length of a run that they start from
        base = replace(base, epochs=options.get("epochs"), steps=options.get("steps"))
    folder = Path(base.output) if base.output else default_folder(base.data)
    comparison = Comparison(
        base,
        labels,
        folder,
        seeds=seeds,
        baseline=baseline,
        parallel=parallel,
        tune=tune,
        budget=budget,
        overwrite=overwrite,
        engine=engine,
        command="longtail.compare",
    )
    configs = [entry.config for entry in comparison.entries().values()]
    refuse_idle(flags_of(options), configs, f"--methods {','.join(labels)}")
    with closing(watching(progress)) as watcher:
        comparing.compare(comparing.with_linear(comparison, watcher), watcher=watcher)
    return Compared(folder)


@dataclass(frozen=True)
class Diagnosed:
    """What a data set holds.

    Attributes:
        found: counts, batches, images, duplicates.
        labels: how suspect each label is; None where that was not asked for.
    """

    found: Diagnosis
    labels: LabelCheck | None = None

    @property
    def advice(self) -> tuple[Advice, ...]:
        """What to mind before training, the most serious first."""
        return advise(self.found)

    @property
    def suspects(self) -> tuple[Suspect, ...]:
        """Images whose label may be wrong, the most suspect of an attribute first."""
        return () if self.labels is None else self.labels.suspects

    def table(self) -> Table:
        """All of it, without the suspects."""
        return table(self.found)

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()  # pyright: ignore[reportPrivateUsage]


def diagnose(
    data: str | Path,
    *,
    batch_size: int = 128,
    rho: float = 0.5,
    check_images: bool = True,
    check_labels: bool = False,
    **source: Unpack[DataArguments],
) -> Diagnosed:
    """What a data set holds, and what to mind before training on it.

    Args:
        data: as of `train`.
        batch_size: images in a simulated batch.
        rho: share of a batch that its minority classes hold together at most.
        check_images: read the images too.
        check_labels: judge every label by the pretrained network; its `suspects` are for a person to look at.
        source: how to read the data.

    Raises:
        InputError: when the data cannot be used, or labels are to be judged and the network is not installed.

    Example::

        for advice in longtail.diagnose("digits", check_images=False).advice:
            print(advice.text)
    """
    options = data_settings(**source)
    dataset = read_dataset(str(data), options)
    found = examine.diagnose(
        dataset,
        batch_size=batch_size,
        rho=rho,
        check_images=check_images,
        bits=options.bits,
    )
    if not check_labels:
        return Diagnosed(found)
    duplicates = () if found.image_check is None else found.image_check.duplicates
    return Diagnosed(found, find_suspects(dataset, duplicates, Silent(), options.value_bits))
