"""Whole trainings of `longtail train` against a plain PyTorch loop, on the same images, splits and epochs.

    python benchmarks/plain_loop.py DATA [--label COLUMN] [--epochs 2] [--threads 1] [--repeats 3] [--quick]
                                    [--reach 0.35] [--output benchmarks/results/plain_loop.json]

DATA is a zip archive or a folder with labels.csv (columns id and labels) and images/ID.jpg.

The plain loop is what one writes down by hand: a `DataLoader` that opens every file with Pillow in every
epoch, random crop and flip, the same ConvNet under a linear layer, cross entropy, SGD with momentum and a
cosine. It has no validation, intervals, report or checkpoints, and no change of colours. Ours is the command
as it is, by cross entropy ("ours"), CRL, over-sampling and LMLE. Every training is a process of its own.

There are two cases: the last epoch, and the whole process, with the largest resident memory of each.
Accuracies are printed only: with few epochs they say that both loops learn, not which method is better.

With --reach there is one more: each is trained anew for 1, 2, 3, 4 and 6 epochs until a training ends with
that class-balanced accuracy on the test images; its process is what is timed, once.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

import numpy as np
import torch
from measuring import OURS, case, results, show, write
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from longtail.data.sources import open_dataset
from longtail.data.splits import split_dataset
from longtail.data.tables.roles import ColumnChoice
from longtail.evaluation.results import RESULTS
from longtail.images.sizes import suggest_size
from longtail.models.convnet import ConvNet

METHODS = {OURS: "ce", "crl": "crl", "over-sampling": "over-sampling", "lmle": "lmle"}
PLAIN = "plain loop"
BATCH = 128
LENGTHS = (1, 2, 3, 4, 6)
"""Epochs that are tried to reach an accuracy."""


class Training(NamedTuple):
    """What came out of a process.

    Attributes:
        epoch: seconds of the last one.
        whole: seconds of the process.
        peak: bytes, its largest resident memory.
        accuracy: class-balanced, on the test images.
        wait: share of the last epoch in which the model waited for images, None where that is not measured.
    """

    epoch: float
    whole: float
    peak: int
    accuracy: float
    wait: float | None = None


Run = Callable[[int], Training]


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--label", help="column of labels.csv; by default the first after id and group")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one turn, one epoch")
    parser.add_argument("--reach", type=float, help="class-balanced accuracy (a share) to train up to")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--plan", type=Path, help=argparse.SUPPRESS)  # of the plain loop's own process
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.plan:
        plain_loop(json.loads(options.plan.read_text(encoding="utf-8")))
        return
    if options.quick:
        options.epochs = options.repeats = 1
    with tempfile.TemporaryDirectory() as folder:
        run = contenders(options, Path(folder))
        found = trainings(run, options.epochs, options.repeats)
        reached = reaching(run, options.reach) if options.reach else {}
    seconds = {"an epoch": "epoch", "a whole training": "whole"}
    peaks = {name: max(turn.peak for turn in turns) for name, turns in found.items()}
    cases = [
        case(
            f"{title}, {options.data.stem}, {options.epochs} epochs",
            {name: [getattr(turn, which) for turn in turns] for name, turns in found.items()},
            bytes=peaks,
        )
        for title, which in seconds.items()
    ]
    if reached and reached[OURS][1].accuracy >= options.reach:  # a case needs ours to compare with
        times = {name: [turn.whole] for name, (_, turn) in reached.items() if turn.accuracy >= options.reach}
        short = {
            name: f"{turn.accuracy:.3f} after {epochs} epochs, {turn.whole:.0f} s"
            for name, (epochs, turn) in reached.items()
            if name not in times
        }
        title = f"to {options.reach:g} class-balanced accuracy, {options.data.stem}"
        peaks_then = {name: reached[name][1].peak for name in times}
        cases.append(case(title, times, bytes=peaks_then, **({"failed": short} if short else {})))
    command = f"python benchmarks/plain_loop.py {options.data.name} --epochs {options.epochs}"
    command += f" --threads {options.threads} --repeats {options.repeats}"
    command += f" --label {options.label}" if options.label else ""
    command += f" --reach {options.reach:g}" if options.reach else ""
    document = results("plain_loop", command, cases, options.repeats)
    show(document)
    for name, turns in found.items():
        last = turns[-1]
        waits = "" if last.wait is None else f", waits for images {last.wait:.2%} of an epoch"
        peak = f"{peaks[name] / 2**20:.0f} MiB"
        print(f"  {name}: class-balanced accuracy {last.accuracy:.3f}, peak {peak}{waits}")
    for name, (epochs, turn) in reached.items():
        print(f"  {name}: {turn.accuracy:.3f} with {epochs} epochs, {turn.whole:.0f} s")
    if options.output:
        write(options.output, document)


def trainings(run: dict[str, Run], epochs: int, repeats: int) -> dict[str, list[Training]]:
    """Every contender in turn, `repeats` times. None warms up: a training is long, and a process forgets."""
    found: dict[str, list[Training]] = {name: [] for name in run}
    for _ in range(repeats):
        for name, turns in found.items():
            turns.append(run[name](epochs))
            print(f"{name}: epoch {turns[-1].epoch:.1f} s, whole {turns[-1].whole:.1f} s", file=sys.stderr)
    return found


def reaching(run: dict[str, Run], accuracy: float) -> dict[str, tuple[int, Training]]:
    """The shortest training of each contender that ends with the accuracy, else its longest."""
    found: dict[str, tuple[int, Training]] = {}
    for name in run:
        for epochs in LENGTHS:
            found[name] = epochs, run[name](epochs)
            turn = found[name][1]
            print(f"{name}: {epochs} epochs, {turn.accuracy:.3f}, {turn.whole:.1f} s", file=sys.stderr)
            if turn.accuracy >= accuracy:
                break
    return found


def contenders(options: argparse.Namespace, folder: Path) -> dict[str, Run]:
    """From the number of epochs to a training, by name."""
    plain = unpacked(options.data, folder)
    label = options.label or label_column(plain)
    dataset = open_dataset(str(options.data), ColumnChoice(attributes=(label,)))
    splits = split_dataset(dataset)
    size = suggest_size(dataset.images)
    plan = {
        "data": str(plain),
        "label": label,
        "size": size,
        "train": [dataset.ids[row] for row in splits.train.tolist()],
        "test": [dataset.ids[row] for row in splits.test.tolist()],
        "result": str(folder / "plain.json"),
    }
    found: dict[str, Run] = {
        name: partial(run_ours, options, method, label, size, folder / "run")
        for name, method in METHODS.items()
    }
    return {**found, PLAIN: partial(run_plain, options, folder, plan)}


def unpacked(data: Path, folder: Path) -> Path:
    """The folder that the plain loop reads."""
    if data.is_dir():
        return data
    with ZipFile(data) as archive:
        archive.extractall(folder / "data")
    return folder / "data"


def label_column(folder: Path) -> str:
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        return next(name for name in next(csv.reader(file)) if name not in ("id", "group"))


def run_ours(
    options: argparse.Namespace, method: str, label: str, size: tuple[int, int], run: Path, epochs: int
) -> Training:
    """One training by the command line."""
    words = ["-m", "longtail", "train", str(options.data), "--attributes", label, "--method", method]
    words += [
        "--backbone",
        "convnet",
        "--image-size",
        f"{size[0]}x{size[1]}",
        "--epochs",
        str(epochs),
    ]
    words += [
        "--batch-size",
        str(BATCH),
        "--accelerator",
        "cpu",
        "--output",
        str(run),
        "--overwrite",
        "--quiet",
    ]
    whole, peak = timed(words, options.threads)
    last = json.loads((run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    accuracy = RESULTS.read(run / "results.json").mean.class_balanced_accuracy.value
    return Training(last["seconds"], whole, peak, accuracy, last["input_wait_share"])


def run_plain(options: argparse.Namespace, folder: Path, plan: dict, epochs: int) -> Training:
    """One training by the loop below."""
    (folder / "plan.json").write_text(json.dumps({**plan, "epochs": epochs}), encoding="utf-8")
    words = [__file__, str(options.data), "--plan", str(folder / "plan.json")]
    whole, peak = timed([*words, "--threads", str(options.threads)], options.threads)
    result = json.loads((folder / "plain.json").read_text(encoding="utf-8"))
    return Training(result["seconds"][-1], whole, peak, result["accuracy"])


def timed(words: list[str], threads: int) -> tuple[float, int]:
    """Seconds and largest resident memory of a Python process."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, *words], env={**os.environ, "OMP_NUM_THREADS": str(threads)})
    # The figure of this one child alone; that of all children would be the largest so far. Linux lets a
    # child begin with the peak of its parent: nothing large may be held here (ours trains with more).
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)}: exit {process.returncode}")
    # kilobytes, but bytes on a Mac
    return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


# --- the plain loop -------------------------------------------------------------------------------


class Files(TorchDataset[tuple[torch.Tensor, int]]):
    """Images of labels.csv, opened when they are asked for."""

    def __init__(self, folder: Path, rows: list[tuple[str, int]], size: tuple[int, int], train: bool) -> None:
        self.folder = folder
        self.rows = rows
        self.size = size
        self.train = train

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        name, label = self.rows[index]
        height, width = self.size
        with Image.open(self.folder / f"{name}.jpg") as file:
            image = file.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
        pixels = np.asarray(image)
        if self.train:
            pixels = self._changed(pixels)
        tensor = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
        return (tensor.float() / 255 - 0.5) / 0.25, label

    def _changed(self, pixels: np.ndarray) -> np.ndarray:
        """A crop of the padded image, mirrored or not: cheaper than the crops of our preset for photos."""
        height, width = self.size
        down, right = height // 8, width // 8
        padded = np.pad(pixels, ((down, down), (right, right), (0, 0)), mode="reflect")
        top, left, mirrored = (int(torch.randint(0, n, ())) for n in (2 * down + 1, 2 * right + 1, 2))
        pixels = padded[top : top + height, left : left + width]
        return pixels[:, ::-1] if mirrored else pixels


def plain_loop(plan: dict) -> None:
    """Train and test; seconds of the epochs and the class-balanced accuracy go to the file of the plan."""
    torch.manual_seed(0)
    folder = Path(plan["data"])
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        labels = {row["id"]: row[plan["label"]] for row in csv.DictReader(file)}
    classes = sorted(set(labels.values()))
    place = {name: index for index, name in enumerate(classes)}

    def loader(ids: list[str], train: bool) -> DataLoader:
        rows = [(name, place[labels[name]]) for name in ids]
        files = Files(folder / "images", rows, tuple(plan["size"]), train)
        return DataLoader(files, BATCH, shuffle=train, drop_last=train)

    train = loader(plan["train"], True)
    model = nn.Sequential(ConvNet(), nn.Linear(ConvNet.out_features, len(classes)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, plan["epochs"] * len(train))
    criterion = nn.CrossEntropyLoss()
    seconds = []
    for _ in range(plan["epochs"]):
        began = time.perf_counter()
        model.train()
        for images, targets in train:
            loss = criterion(model(images), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        seconds.append(time.perf_counter() - began)
    model.eval()
    right, all_ = np.zeros(len(classes)), np.zeros(len(classes))
    with torch.no_grad():
        for images, targets in loader(plan["test"], False):
            hits = model(images).argmax(1) == targets
            np.add.at(all_, targets.numpy(), 1)
            np.add.at(right, targets.numpy(), hits.numpy())
    accuracy = float((right[all_ > 0] / all_[all_ > 0]).mean())
    Path(plan["result"]).write_text(json.dumps({"seconds": seconds, "accuracy": accuracy}), encoding="utf-8")


if __name__ == "__main__":
    main()
