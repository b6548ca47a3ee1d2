"""Cross entropy beside `crl`, the recipe of this library, on handwritten digits with a long tail.

    python examples/demo.py [--epochs 30]

The digits come with scikit-learn; of the largest class 100 images are trained on, of the smallest 4.
Both methods have the same images, network, steps and seed. Takes about half a minute on two cores.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path

from rich.console import Console

from longtail.cli.progress import display
from longtail.comparing.document import COMPARISON
from longtail.comparing.join import join
from longtail.comparing.tables import terminal_table
from longtail.evaluation.results import RESULTS
from longtail.reporting.terminal import results_table
from longtail.runs.train import train
from longtail.training.config import TrainConfig
from longtail.training.data_options import DataOptions


def main() -> None:
    """Train both, show what each achieves on every class and how they compare, say where the pages are."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--output", default="runs/demo")
    options = parser.parse_args()

    runs = [train_with(method, options.epochs, f"{options.output}-{method}") for method in ("ce", "crl")]
    folder = join(runs, Path(f"{options.output}-comparison"))
    console = Console()
    for run in runs:
        console.print(results_table(RESULTS.read(run / "results.json")), "")
    console.print(terminal_table(COMPARISON.read(folder / "comparison.json")))
    for page in (*(run / "report.html" for run in runs), folder / "comparison.html"):
        print(f"report: {page}")


def train_with(method: str, epochs: int, output: str) -> Path:
    """Train with one method and return the folder of the run."""
    config = TrainConfig(
        data="digits",
        method=method,
        backbone="convnet",
        epochs=epochs,
        batch_size=64,
        output=output,
        data_options=DataOptions(tail_ratio=25, tail_largest=100),
    )
    print(f"\n{method}")
    with closing(display(sys.stdout)) as watcher:
        return train(config, overwrite=True, watcher=watcher)


if __name__ == "__main__":
    main()
