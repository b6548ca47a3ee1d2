"""`longtail diagnose`."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from longtail.cli.parsing import READING
from longtail.cli.progress import display
from longtail.cli.stdio import command_line, expect_writable, show, writing
from longtail.errors import InputError
from longtail.training.data_options import DataOptions

if TYPE_CHECKING:
    from longtail.data.dataset import Dataset
    from longtail.diagnosing.examine import Diagnosis
    from longtail.runs.suspects import LabelFolder
    from longtail.training.watcher import Watcher

USAGE = "longtail diagnose DATA [OPTIONS]"

EXAMPLES = """
longtail diagnose photos/
longtail diagnose labels.csv --attributes colour shape --batch-size 256
longtail diagnose photos.zip --labels-only --json diagnosis.json
longtail diagnose photos/ --labels suspects/
longtail diagnose photos/ --pictures near.html
"""

_AS_FOUND = DataOptions()


def diagnose(
    data: str,
    /,
    *,
    source: Annotated[DataOptions, Parameter(name="*", parse=READING)] = _AS_FOUND,
    batch_size: int = 128,
    rho: float = 0.5,
    labels: Path | None = None,
    labels_only: bool = False,
    pictures: Path | None = None,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
    quiet: bool = False,
) -> None:
    """Report on a data set before you train on it.

    Counts classes, simulates which of them the Class Rectification Loss would rectify in a batch, looks
    for unreadable images, duplicates, near duplicates and groups on two sides of a split, describes the
    training that `longtail train` would do, and gives advice. With --labels, lists images whose label may be
    wrong.

    Args:
        data: A folder, manifest, archive or built-in name, as for training.
        batch_size: Number of images per simulated batch.
        rho: Largest share of a batch that its minority classes hold together.
        labels: Also judge every label by a pretrained network, and write the suspect ones to this folder: a
            page with pictures (labels.html) and a table to edit (labels.csv).
        labels_only: Do not read the images.
        pictures: Also write the groups of near duplicates to this HTML page, as small pictures.
        json_file: Also write all findings to this file, as JSON.
        quiet: Show only the diagnosis.
    """
    for flag, file, ending in (("--json", json_file, ".json"), ("--pictures", pictures, ".html")):
        if file is not None:
            expect_writable(file, flag)
            _expect_own(file, flag, ending, data, source)
    if source.group_near_duplicates and labels_only:
        raise InputError("--group-near-duplicates: needs the images; leave --labels-only out")
    if pictures is not None and labels_only:
        raise InputError("--pictures: needs the images; leave --labels-only out")
    if labels is not None and labels_only:
        raise InputError("--labels: needs the images; leave --labels-only out")
    from longtail.diagnosing.examine import diagnose as examine
    from longtail.diagnosing.show import render, to_dict
    from longtail.runs.data import read_dataset

    folder = None if labels is None else _label_folder(labels, data)
    with closing(display(sys.stderr, quiet=quiet)) as watcher:
        dataset = read_dataset(data, source, watcher=watcher)
        if pictures is not None:
            _expect_few(dataset)
        found = examine(
            dataset,
            batch_size=batch_size,
            rho=rho,
            check_images=not labels_only,
            bits=source.bits,
            on_progress=partial(watcher.progress, "reading images"),
        )
        show(render(found))
        if pictures is not None:
            _write_pictures(pictures, dataset, found, source)
        written = to_dict(found)
        if folder is not None:
            written["label_check"] = _check_labels(folder, data, dataset, found, source, watcher)
    if json_file is not None:
        with writing(json_file) as file:
            json.dump(written, file, indent=2, ensure_ascii=False)
            file.write("\n")


def _expect_own(file: Path, flag: str, ending: str, data: str, source: DataOptions) -> None:
    """Refuse to write over the data, or over a file of another kind."""
    place = file.resolve()
    for kept in filter(None, (data, source.images)):
        if place == (there := Path(kept).resolve()) or (there.is_dir() and there in place.parents):
            raise InputError(f"{flag} {file}: is part of the data; choose another place")
    if file.is_file() and file.suffix.lower() != ending:
        raise InputError(f"{flag} {file}: is there, and is no {ending} file; choose another name")


def _label_folder(path: Path, data: str) -> LabelFolder:
    from longtail.runs.suspects import LabelFolder

    folder = LabelFolder(path)
    folder.expect_room(data)
    return folder


def _check_labels(
    folder: LabelFolder,
    data: str,
    dataset: Dataset,
    found: Diagnosis,
    source: DataOptions,
    watcher: Watcher,
) -> dict[str, Any]:
    """Judge the labels, write and show what was found, and give it for JSON."""
    from longtail.diagnosing.label_show import render, to_dict
    from longtail.runs.suspects import find_suspects

    duplicates = found.image_check.duplicates if found.image_check else ()
    check = find_suspects(dataset, duplicates, watcher, source.value_bits)
    again = folder.read_again(data, source.images)
    origin = {"command": command_line()} | ({"to train on corrected labels": again} if again else {})
    folder.write(dataset, check, origin, source.value_bits)
    show(render(check, str(folder.page), again))
    return to_dict(check)


def _expect_few(dataset: Dataset) -> None:
    """Refuse pictures of near duplicates that would not be looked for."""
    from longtail.diagnosing.near import MOST_COMPARED

    if len(dataset) > MOST_COMPARED:
        raise InputError(
            f"--pictures: near duplicates are looked for among at most {MOST_COMPARED:,} images, got "
            f"{len(dataset):,}; leave it out"
        )


def _write_pictures(file: Path, dataset: Dataset, found: Diagnosis, source: DataOptions) -> None:
    from longtail.diagnosing.near_page import render_near

    origin = {"command": command_line()}
    with writing(file) as page:
        page.write(render_near(dataset, found.near or (), origin, source.value_bits))
