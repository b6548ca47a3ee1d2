"""Seconds of a training epoch with LMLE against CRL and cross entropy, at equal images.

    python benchmarks/lmle_time.py DATA [--repeats 3] [--output FILE] [-- flags of longtail train]

Methods take turns, each in a process with one thread; of every training the second epoch counts, in which
LMLE clusters, mines and trains on quintuplets. An epoch reads as many images with every method.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

METHODS = {
    "ce": ["--method", "ce"],
    "crl class": ["--method", "crl-iccv", "--crl.level", "class"],
    "crl instance": ["--method", "crl-iccv", "--crl.level", "instance"],
    "lmle": ["--method", "lmle"],
    "lmle, whole pool": ["--method", "lmle", "--lmle.candidates", "0"],
}


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path)
    own = sys.argv[1:]
    own, flags = (own[: own.index("--")], own[own.index("--") + 1 :]) if "--" in own else (own, [])
    options = parser.parse_args(own)
    seconds: dict[str, list[float]] = {name: [] for name in METHODS}
    for _ in range(options.repeats):
        for name, method in METHODS.items():
            seconds[name].append(second_epoch(options.data, [*method, *flags]))
            print(f"{name}: {seconds[name][-1]:.1f} s", file=sys.stderr, flush=True)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    slowest_crl = max(medians["crl class"], medians["crl instance"])
    content = {
        "command": f"python benchmarks/lmle_time.py {options.data.name} --repeats {options.repeats} -- "
        + " ".join(flags),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "seconds": seconds,
        "times_as_long_as_crl": {name: value / slowest_crl for name, value in medians.items()},
    }
    print(json.dumps(content["times_as_long_as_crl"], indent=2))
    if options.output:
        options.output.write_text(json.dumps(content, indent=2) + "\n")


def second_epoch(data: Path, flags: list[str]) -> float:
    """Seconds of the second of two epochs."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["train", str(data), *flags, "--epochs", "2", "--output", f"{folder}/run", "--quiet"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-m", "longtail", *command], check=True, env=environment)
        lines = (Path(folder) / "run" / "metrics.jsonl").read_text().splitlines()
        return json.loads(lines[1])["seconds"]


if __name__ == "__main__":
    main()
