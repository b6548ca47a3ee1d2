"""`longtail diagnose`."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from longtail.cli.parsing import READING
from longtail.cli.progress import display
from longtail.cli.stdio import expect_writable, show, writing
from longtail.training.config import DataOptions

USAGE = "longtail diagnose DATA [OPTIONS]"

EXAMPLES = """
longtail diagnose photos/
longtail diagnose labels.csv --attributes colour shape --batch-size 256
longtail diagnose photos.zip --labels-only --json diagnosis.json
"""

_AS_FOUND = DataOptions()


def diagnose(
    data: str,
    /,
    *,
    source: Annotated[DataOptions, Parameter(name="*", parse=READING)] = _AS_FOUND,
    batch_size: int = 128,
    rho: float = 0.5,
    labels_only: bool = False,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
    quiet: bool = False,
) -> None:
    """Report on a data set before you train on it.

    Counts classes, simulates which of them the Class Rectification Loss would rectify in a batch, looks
    for unreadable and duplicate images and for groups on two sides of a split, and gives advice.

    Args:
        data: A folder, manifest, archive or built-in name, as for training.
        batch_size: Images in a simulated batch.
        rho: Share of a batch that its minority classes hold together at most.
        labels_only: Do not read the images.
        json_file: Also write all findings to this file, as JSON.
        quiet: Show the diagnosis alone.
    """
    if json_file is not None:
        expect_writable(json_file, "--json")
    from longtail.diagnosing.examine import diagnose as examine
    from longtail.diagnosing.show import render, to_dict
    from longtail.runs.data import read_dataset

    with closing(display(sys.stderr, quiet=quiet)) as watcher:
        found = examine(
            read_dataset(data, source),
            batch_size=batch_size,
            rho=rho,
            check_images=not labels_only,
            bits=source.bits,
            on_progress=partial(watcher.progress, "reading images"),
        )
    show(render(found))
    if json_file is not None:
        with writing(json_file) as file:
            json.dump(to_dict(found), file, indent=2, ensure_ascii=False)
            file.write("\n")
