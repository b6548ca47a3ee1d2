"""`longtail export`."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from longtail.cli.progress import display
from longtail.cli.stdio import expect_no_input, expect_writable
from longtail.errors import InputError
from longtail.methods.options import DecisionName
from longtail.words import count

if TYPE_CHECKING:
    from longtail.exporting.export import OnnxExport
    from longtail.exporting.timm_folder import TimmExport

USAGE = "longtail export RUN [OPTIONS]"

EXAMPLES = """
longtail export runs/first
longtail export runs/first --output first.onnx --decision prior
longtail export runs/first --format timm --output first-timm/
"""


def export(
    run: Path,
    /,
    *,
    output: Annotated[Path | None, Parameter(metavar="PATH")] = None,
    format: Literal["onnx", "timm"] = "onnx",
    decision: DecisionName | None = None,
    threshold: Annotated[str | None, Parameter(metavar="AIM")] = None,
    coverage: float | None = None,
    method: str | None = None,
    quiet: bool = False,
) -> None:
    """Export a trained model as one file that decides like longtail predict.

    The ONNX file takes uint8 images of any size; resizing, normalising, the network, the decision and the
    names of the classes are inside. It is compared with the run on 64 images of the run's data in random
    sizes, and written only if it decides them all alike.

    Args:
        run: Folder of a run.
        output: File to write, by default model.onnx in the folder of the run; with --format timm a folder.
        format: onnx; or timm, config.json and weights that timm and transformers load, for networks of timm
            and lite0 that were trained whole, with one attribute.
        decision: Decide by this rule; by default as the run was trained to. "longtail methods" explains
            each.
        threshold: Decide attributes of two classes for this aim, see longtail evaluate; not for timm.
        coverage: Also output prediction sets that hold the true class of this share of images; not for timm.
        method: Your own method that the run was trained with, as module:Class or FILE.py:Class.
        quiet: Show nothing but errors.
    """
    if format == "timm" and (threshold is not None or coverage is not None):
        raise InputError("--format timm: cannot hold --threshold or --coverage; leave them out")
    if format == "timm" and output is None:
        raise InputError("--format timm: expected --output FOLDER with it")
    if format == "onnx" and output is not None:
        expect_writable(output, "--output", own="model*.onnx")
        expect_no_input(output, "--output")
    with closing(display(sys.stderr, quiet=quiet)) as watcher:
        if format == "timm" and output is not None:
            from longtail.exporting.timm_folder import export_timm

            told = _timm_lines(export_timm(run, output, decision=decision, method=method, watcher=watcher))
        else:
            from longtail.exporting.export import export_onnx

            rules = {"decision": decision, "threshold": threshold}
            found = export_onnx(run, output, **rules, coverage=coverage, method=method, watcher=watcher)
            told = _onnx_lines(found)
    if not quiet:
        print("\n".join(told))
    from longtail.runs.unfinished import expect_finished

    expect_finished(run)


def _onnx_lines(found: OnnxExport) -> list[str]:
    parity = found.parity
    kind = "images of the run's data" if parity.made_up is None else "random images"
    lines = [
        f"compared: {parity.images} {kind} in random sizes, all decided like longtail predict",
        f"probabilities differ by {parity.largest:.1e} at most",
        f"{parity.file_ms:.1f} ms per image, in torch {parity.torch_ms:.1f} (one by one, one thread)",
        f"file: {found.path} ({found.size / 1e6:.1f} MB)",
    ]
    if parity.ties:
        decisions = count(parity.ties, "decision")
        lines.insert(1, f"{decisions} between two classes of equal probability: either may be chosen")
    if parity.made_up is not None:
        lines.insert(0, f"images of the run's data cannot be read: {parity.made_up}")
    return lines


def _timm_lines(found: TimmExport) -> list[str]:
    return [
        f"compared: timm's probabilities differ by {found.largest:.1e} at most, on images of one size",
        "images of other shapes are decided nearly alike: timm scales and then cuts, longtail cuts first",
        f'folder: {found.path}; load it with timm.create_model("local-dir:{found.path}", pretrained=True)',
    ]
