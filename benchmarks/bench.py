"""The suite in its quick form, and a verdict against the committed results.

    python benchmarks/bench.py [--only loss,startup] [--output FOLDER]

Writes a document for each benchmark, in the form of `measuring.Document`. Then every ratio (how many times as
long as ours another takes) is held against the committed one of benchmarks/results: seconds differ from
machine to machine, ratios less. A ratio that fell below three quarters says that ours has become slower.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from measuring import OURS

HERE = Path(__file__).resolve().parent
SUITE = ("startup", "loss", "step_share", "input")
CHANGED = 0.75
"""A ratio below this share of the committed one is slower, above its inverse faster."""


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--only", help=f"some of {', '.join(SUITE)}, with commas between")
    parser.add_argument("--output", type=Path, default=Path("build/bench"))
    options = parser.parse_args()
    chosen = options.only.split(",") if options.only else list(SUITE)
    if unknown := set(chosen) - set(SUITE):
        parser.error(f"--only: expected some of {', '.join(SUITE)}, got {', '.join(sorted(unknown))}")
    lines: list[str] = []
    for name in chosen:
        print(f"\n{name}", flush=True)
        path = options.output / f"{name}.json"
        subprocess.run([sys.executable, HERE / f"{name}.py", "--quick", "--output", path], check=True)
        committed = HERE / "results" / f"{name}.json"
        if committed.exists():
            found = verdict(json.loads(committed.read_text()), json.loads(path.read_text()))
            lines += [f"{name}: {line}" for line in found]
        else:
            lines.append(f"{name}: nothing committed to compare with")
    print("\nagainst the committed results")
    print("\n".join(lines))


def verdict(committed: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """A line for every ratio that changed, and one for all that did not.

    Args:
        committed: the earlier document.
        found: the new one; cases and contenders that only one of them has are left out.
    """
    before = {(c["name"], other): ratio for c in committed["cases"] for other, ratio in c["ratios"].items()}
    after = {(c["name"], other): ratio for c in found["cases"] for other, ratio in c["ratios"].items()}
    both = [key for key in after if key in before]
    lines: list[str] = []
    for name, other in both:
        old, new = before[name, other], after[name, other]
        if not CHANGED <= new / old <= 1 / CHANGED:
            word = "slower" if new < old else "faster"
            lines.append(f"{word}: {name}: {other} takes {new:.3g} x {OURS}, was {old:.3g} x")
    return [*lines, f"{len(both) - len(lines)} of {len(both)} ratios within {CHANGED:g} to {1 / CHANGED:.3g}"]


if __name__ == "__main__":
    main()
