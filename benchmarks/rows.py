"""Every row of the comparison table on one data set: trained, killed, resumed, evaluated, used to predict.

    python benchmarks/rows.py DATA --epochs 3 [--rows ce,lmle] [--parallel 2] [-- flags of longtail train]

A row's training is killed (SIGKILL) after its first epoch and resumed; then it is evaluated by its own
decision and, where that makes sense, against the prior, and it classifies a few of the images. Small
budgets and one seed: this shows that rows work and what they cost, not which one is better.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zipfile import ZipFile

import torch

from longtail.evaluation.results import RESULTS, Results

LEVELS = ("class", "instance")
COMPARISONS = ("relative", "absolute", "distribution")
ROWS = {
    "ce": "--method ce",
    "over-sampling": "--method over-sampling",
    "down-sampling": "--method down-sampling",
    "cost-sensitive": "--method cost-sensitive",
    "cost-sensitive, inverse frequency": "--method cost-sensitive --class-weights inverse-frequency",
    "threshold-adjustment": "--method threshold-adjustment",
    "triplet": "--method triplet",
    "triplet, linear": "--method triplet --decision argmax",
    "contrastive": "--method contrastive",
    "histogram": "--method histogram",
    "triplet beside ce": "--method triplet --metric.beside",
    "contrastive beside ce": "--method contrastive --metric.beside",
    "histogram beside ce": "--method histogram --metric.beside",
    "lmle": "--method lmle",
    "deepid2": "--method deepid2 --backbone deepid2 --image-size 55x47",
    "ce on deepid2": "--method ce --backbone deepid2 --image-size 55x47",
    "mtct, convnet": "--method mtct --backbone convnet",
    **{
        f"crl {level} {comparison}": f"--method crl-iccv --crl.level {level} --crl.comparison {comparison}"
        for level in LEVELS
        for comparison in COMPARISONS
    },
    "crl instance on deepid2": "--method crl-iccv --crl.level instance --backbone deepid2 --image-size 55x47",
    "crl instance on mtct": "--method crl-iccv --crl.level instance --backbone mtct",
    "crl instance on resnet32": "--method crl-iccv --crl.level instance --backbone resnet32",
    "focal": "--method focal",
    "class-balanced": "--method class-balanced",
    "ldam-drw": "--method ldam-drw",
    "balanced-softmax": "--method balanced-softmax",
    "vs": "--method vs",
    "mixup": "--method mixup",
    "remix": "--method remix",
    "bcl": "--method bcl",
    "crl class over-sampled": "--method crl-iccv --sampler over",
    "crl class, inverse frequency": "--method crl-iccv --class-weights inverse-frequency",
}
IMAGES = 5


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rows", default=";".join(ROWS), help="names separated by semicolons")
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs/rows"))
    parser.add_argument("--output", type=Path)
    own = sys.argv[1:]
    own, flags = (own[: own.index("--")], own[own.index("--") + 1 :]) if "--" in own else (own, [])
    options = parser.parse_args(own, argparse.Namespace(flags=flags))
    names = options.rows.split(";")
    with ThreadPoolExecutor(options.parallel) as pool:
        rows = dict(zip(names, pool.map(lambda name: cell(options, name), names)))
    content = {
        "command": f"python benchmarks/rows.py {options.data.name} --epochs {options.epochs} -- "
        + " ".join(flags),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {options.parallel} runs at a time",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "rows": rows,
    }
    output = options.output or Path("benchmarks/results") / f"rows-{options.data.stem}.json"
    output.write_text(json.dumps(content, indent=2) + "\n")
    print(table(rows))


def cell(options: argparse.Namespace, name: str) -> dict:
    """What one row did."""
    run = options.runs / f"{options.data.stem}-{name.replace(' ', '-').replace(',', '')}"
    epochs, own = run / "metrics.jsonl", ROWS[name].split()
    pairs = zip(options.flags[::2], options.flags[1::2], strict=True)
    flags = [*own, *(word for pair in pairs if pair[0] not in own for word in pair)]  # a row's own win
    if not (run / "results.json").exists():
        command = ["train", str(options.data), *flags, "--epochs", str(options.epochs), "--output", str(run)]
        training = subprocess.Popen(longtail(*command, "--overwrite", "--quiet"), env=environment())
        while training.poll() is None and not epochs.exists():
            time.sleep(0.2)
        training.send_signal(signal.SIGKILL)
        training.wait()
        subprocess.run(longtail("train", "--resume", str(run), "--quiet"), env=environment(), check=True)
    results = RESULTS.read(run / "results.json")
    evaluated = called(longtail("evaluate", str(run), "--output", str(run / "again.json"), "--quiet"))
    prior = run / "prior.json"
    called(longtail("evaluate", str(run), "--decision", "prior", "--output", str(prior), "--quiet"))
    predicted = called(longtail("predict", str(run), *some_images(options.data, run), "--quiet"))
    row = {
        "flags": ROWS[name],
        "decision": results.decision,
        **{figure: value_of(results, figure) for figure in FIGURES},
        "against_the_prior": value_of(RESULTS.read(prior), FIGURES[0]) if prior.exists() else None,
        "evaluated_again": evaluated and RESULTS.read(run / "again.json").mean == results.mean,
        "predicted": predicted,
        "epochs": results.training.epochs,
        "seconds_per_epoch": results.training.seconds_per_epoch,
        "parameters": results.model.parameters,
    }
    print(f"{options.data.stem} {name}: {row}", file=sys.stderr, flush=True)
    return row


FIGURES = ("class_balanced_accuracy", "macro_f1", "mean_average_precision")


def some_images(data: Path, run: Path) -> list[str]:
    """A few images of the archive, as files."""
    with ZipFile(data) as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")][:IMAGES]
        return [archive.extract(name, run / "images") for name in names]


def longtail(*words: str) -> list[str]:
    return [sys.executable, "-m", "longtail", *words]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def called(command: list[str]) -> bool:
    done = subprocess.run(command, env=environment(), capture_output=True, check=False)
    return done.returncode == 0


def value_of(results: Results, figure: str) -> float | None:
    found = results.mean.of(figure)
    return None if found is None else found.value


def table(rows: dict[str, dict]) -> str:
    """The rows as Markdown."""
    lines = ["| row | decision | class-balanced accuracy, % | against the prior | macro F1 | mAP | s/epoch |"]
    lines.append("|---|---|---|---|---|---|---|")
    for name, row in rows.items():
        figures = (row[FIGURES[0]], row["against_the_prior"], *(row[figure] for figure in FIGURES[1:]))
        cells = " | ".join("–" if value is None else f"{100 * value:.1f}" for value in figures)
        lines.append(f"| {name} | {row['decision']} | {cells} | {row['seconds_per_epoch']:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
