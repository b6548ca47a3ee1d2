"""How long the library and its command line take to answer, against torch alone.

    python benchmarks/startup.py [--threads 1] [--repeats 11] [--quick]
                                 [--output benchmarks/results/startup.json]

Everything runs in a fresh process; turns are interleaved. Read `import longtail` and the loss against
`import torch`: the library itself imports torch only when something that needs it is asked for.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import torch
from measuring import OURS, case, results, show, take_turns, write

PYTHON = {
    OURS: "import longtail",
    "the loss": "from longtail import ClassRectificationLoss",
    "torch": "import torch",
    "python": "pass",
}
COMMANDS = {
    OURS: ["--help"],
    "train --help": ["train", "--help"],
    "--version": ["--version"],
}


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--quick", action="store_true", help="3 turns")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    repeats = 3 if options.quick else options.repeats
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    imported = _times(
        {name: [sys.executable, "-c", code] for name, code in PYTHON.items()}, environment, repeats
    )
    answered = _times({name: [*_command(), *words] for name, words in COMMANDS.items()}, environment, repeats)
    cases = [case("import longtail", imported), case("longtail --help", answered)]
    document = results(
        "startup",
        f"python benchmarks/startup.py --threads {options.threads} --repeats {repeats}",
        cases,
        repeats,
    )
    show(document)
    for found in cases:
        for name, seconds in found["seconds"].items():
            print(f"  {found['name']}, {name}: {seconds['median']:.3f} s")
    if options.output:
        write(options.output, document)


def _command() -> list[str]:
    """The script beside this Python, as a user starts it; the module where it is not there."""
    script = Path(sys.executable).with_name("longtail")
    return [str(script)] if script.exists() else [sys.executable, "-m", "longtail"]


def _times(
    commands: dict[str, list[str]], environment: dict[str, str], repeats: int
) -> dict[str, list[float]]:
    run = partial(subprocess.run, check=True, stdout=subprocess.DEVNULL, env=environment)
    return take_turns({name: partial(run, command) for name, command in commands.items()}, repeats)


if __name__ == "__main__":
    main()
