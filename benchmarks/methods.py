"""Train several methods on one data set with paired seeds, and tabulate what came out.

    python benchmarks/methods.py DATA --epochs 12 --seeds 3 [--parallel 2] [-- flags of longtail train]

Every method has the same splits, the same budget and its default settings; nothing is tuned. Each run
is a process with one thread; a run whose results are there already is not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from longtail.evaluation.intervals import paired_difference
from longtail.evaluation.results import read_results

METHODS = {
    "ce": ["--method", "ce"],
    "crl-class": ["--method", "crl", "--crl.level", "class"],
    "crl-instance": ["--method", "crl", "--crl.level", "instance"],
    "crl-instance-raw": ["--method", "crl", "--crl.level", "instance", "--crl.raw-features"],
}
FIGURES = ("class_balanced_accuracy", "few_recall", "accuracy", "macro_f1", "mean_average_precision")


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("data")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--methods", default="ce,crl-class,crl-instance")
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--name", help="of the result file; by default the data's")
    own = sys.argv[1:]
    own, flags = (own[: own.index("--")], own[own.index("--") + 1 :]) if "--" in own else (own, [])
    options = parser.parse_args(own, argparse.Namespace(flags=flags))
    name = options.name or Path(options.data).stem
    methods = options.methods.split(",")
    cells = [(method, seed) for seed in range(options.seeds) for method in methods]
    with ThreadPoolExecutor(options.parallel) as pool:
        done = list(pool.map(lambda cell: run(options, name, *cell), cells))
    results = {cell: read_results(path / "results.json") for cell, path in zip(cells, done)}
    options.results.mkdir(parents=True, exist_ok=True)
    summary = summarise(options, methods, results)
    (options.results / f"{name}.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(table(summary))


def run(options: argparse.Namespace, name: str, method: str, seed: int) -> Path:
    """Train one cell of the table in a process of its own."""
    folder = options.runs / f"{name}-{method}-{seed}"
    if (folder / "results.json").exists():
        return folder
    settings = ["--epochs", str(options.epochs), "--seed", str(seed), "--output", str(folder)]
    command = [sys.executable, "-m", "longtail", "train", options.data, *METHODS[method], *settings]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    log = subprocess.run(
        [*command, *options.flags, "--overwrite"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    print(f"{name} {method} seed {seed}: exit {log.returncode}", file=sys.stderr, flush=True)
    if log.returncode:
        raise SystemExit(log.stderr)
    return folder


def summarise(options: argparse.Namespace, methods: list[str], results: dict[tuple[str, int], dict]) -> dict:
    """Figures of every seed, means, and paired differences to the first method with 95 % intervals."""
    rows = {}
    for method in methods:
        cells = [results[method, seed] for seed in range(options.seeds)]
        row = {figure: [value_of(cell, figure) for cell in cells] for figure in FIGURES}
        row["seconds_per_epoch"] = [cell["training"]["seconds_per_epoch"] for cell in cells]
        base = rows.get(methods[0], row)
        row["difference"] = {
            figure: list(paired_difference(row[figure], base[figure]))
            for figure in FIGURES
            if method != methods[0] and options.seeds > 1 and None not in (*row[figure], *base[figure])
        }
        rows[method] = row
    first = results[methods[0], 0]
    return {
        "command": f"python benchmarks/methods.py {Path(options.data).name} --epochs {options.epochs} "
        f"--seeds {options.seeds} --methods {options.methods} -- {' '.join(options.flags)}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {options.parallel} runs at a time",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "data": first["data"],
        "model": first["model"],
        "epochs": options.epochs,
        "methods": rows,
    }


def value_of(result: dict, figure: str) -> float | None:
    found = result["mean"][figure]
    return None if found is None else found["value"]


def table(summary: dict) -> str:
    """The summary as Markdown."""
    lines = [f"| {summary['data']['name']} | " + " | ".join(FIGURES) + " | s/epoch |"]
    lines.append("|---" * (len(FIGURES) + 2) + "|")
    for method, row in summary["methods"].items():
        cells = [cell(row, figure) for figure in FIGURES]
        seconds = sum(row["seconds_per_epoch"]) / len(row["seconds_per_epoch"])
        lines.append(f"| {method} | " + " | ".join(cells) + f" | {seconds:.1f} |")
    return "\n".join(lines)


def cell(row: dict, figure: str) -> str:
    values = [value for value in row[figure] if value is not None]
    if not values:
        return "–"
    text = f"{100 * sum(values) / len(values):.1f}"
    if figure in row["difference"]:
        value, low, high = row["difference"][figure]
        text += f" ({100 * value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}])"
    return text


if __name__ == "__main__":
    main()
