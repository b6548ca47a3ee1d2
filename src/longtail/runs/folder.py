"""The folder of a run: which files it holds, and how it is claimed."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from longtail.documents import Form, Part
from longtail.errors import InputError
from longtail.files import PART
from longtail.runs.lock import RunLock


class Cost(Part, frozen=True):
    """What the process of a training took; None where that is not known."""

    peak_memory_bytes: int | None


COST = Form(Cost, "costs of a run", "the cost.json of a run", "train the run again", indent=2)


class RunFolder:
    """Where a run keeps what it makes.

    config.json, splits.json, metrics.jsonl, model.safetensors, results.json, report.html, README.md;
    calibration.safetensors where there are validation images; mined.json of a method that mines;
    last.safetensors beside the network of the best epoch, or best.safetensors beside that of the last;
    origin.json, what the training began with; state.pt and, of the time before it, before.pt while it is not
    finished; results and report of other decisions and splits, named after them; model.onnx, or one named
    after its decision, where it was exported; cost.json where a comparison started the training;
    beforehand.json where something was known before the first step; the folder tensorboard where it was
    asked for.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.splits = path / "splits.json"
        self.metrics = path / "metrics.jsonl"
        self.model = path / "model.safetensors"
        self.calibration = path / "calibration.safetensors"
        self.best = path / "best.safetensors"
        self.last = path / "last.safetensors"
        self.origin = path / "origin.json"
        self.state = path / "state.pt"
        self.before = path / "before.pt"
        self.lock = path / ".lock"
        self.results = path / "results.json"
        self.report = path / "report.html"
        self.readme = path / "README.md"
        self.mined = path / "mined.json"
        self.beforehand = path / "beforehand.json"
        self.cost = path / "cost.json"
        self.tensorboard = path / "tensorboard"

    @property
    def files(self) -> tuple[Path, ...]:
        """Everything a run may write."""
        usual = (self.config, self.splits, self.metrics, self.model)
        more = (self.origin, self.calibration, self.beforehand, self.best, self.last, self.mined, self.cost)
        return (*usual, *more, *self.unfinished, *self.judged)

    @property
    def judged(self) -> tuple[Path, ...]:
        """What was made of the network as it was, by evaluating and exporting it."""
        patterns = ("results.*.json", "report.*.html", "model*.onnx")
        others = (file for pattern in patterns for file in self.path.glob(pattern))
        return self.results, self.report, self.readme, *others

    @property
    def unfinished(self) -> tuple[Path, ...]:
        """What is there only while the training is not finished."""
        return self.before, self.state  # in the order of their removal

    @property
    def can_go_on(self) -> bool:
        """Whether there is a state to go on from; a kill may have left the one before the newest alone."""
        return self.state.exists() or self.before.exists()

    def results_by(self, decision: str | None, split: str = "test") -> Path:
        """results.json; results.DECISION.json, results.SPLIT.DECISION.json where these are not the usual."""
        other = None if split == "test" else split
        return self.path / ".".join(filter(None, ("results", other, decision, "json")))

    def report_by(self, decision: str | None) -> Path:
        """report.html, or report.DECISION.html."""
        return self.report if decision is None else self.path / f"report.{decision}.html"

    def onnx_by(self, decision: str | None) -> Path:
        """model.onnx, or model.DECISION.onnx."""
        return self.path / ("model.onnx" if decision is None else f"model.{decision}.onnx")

    def check_free(self, overwrite: bool) -> None:
        """Refuse a place that may not be written, or that holds more than a run that may be overwritten.

        Raises:
            InputError: naming --overwrite, --resume and --output.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"--output {self.path}: expected a folder to write to, got a file")
        if not self.path.exists() or not any(map(self._is_foreign, self.path.iterdir())):
            self._check_writable()
            return
        if not self.config.exists():
            raise InputError(f"--output {self.path}: the folder holds other files; choose another --output")
        if not overwrite:
            raise InputError(
                f"--output {self.path}: a run is there already; --overwrite replaces it, --resume goes on "
                "with an unfinished one, another --output keeps both"
            )
        self._check_writable()

    def _check_writable(self) -> None:
        """Make a folder where the run's is going to be, and remove it: permissions alone do not tell."""
        path = self.path.absolute()
        there = next(place for place in (path, *path.parents) if place.exists())
        try:
            with TemporaryDirectory(prefix=".longtail-", dir=there):
                pass
        except OSError as error:
            raise InputError(
                f"--output {self.path}: cannot be written ({error.strerror}); choose another --output"
            ) from None

    def _is_foreign(self, file: Path) -> bool:
        """Whether it is more than a lock or a write left behind."""
        return file != self.lock and not _half_written(file)

    def claim(self, overwrite: bool, lock: RunLock) -> None:
        """Make the folder, take its lock, and remove the files of an earlier run.

        Raises:
            InputError: when it may not be written, or another training works there.
        """
        self.check_free(overwrite)
        asked = f"--output {self.path}"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.take(asked)
            self.check_free(overwrite)  # a training may have come to its end in between
            self.sweep()
            if self.config.exists():
                shutil.rmtree(self.tensorboard, ignore_errors=True)
            for file in reversed(self.files):  # config.json last: it tells that the folder is a run's
                file.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{asked}: cannot be written ({error.strerror})") from None

    def sweep(self) -> None:
        """Remove what writes left behind that were killed."""
        for file in filter(_half_written, self.path.iterdir()):
            file.unlink(missing_ok=True)


def _half_written(file: Path) -> bool:
    return file.name.startswith(".") and file.suffix == PART
