"""A trained run -> an ONNX file, written only if it decides as the run does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from longtail import __version__
from longtail.exporting.decider import Decider
from longtail.exporting.onnx_file import FileCard, expect_packages, onnx_bytes
from longtail.exporting.parity import Parity, check_parity, sample_images
from longtail.files import written_aside
from longtail.methods.decisions import Neighbours
from longtail.runs.predict import notes_on
from longtail.runs.run import Run
from longtail.training.watcher import Watcher
from longtail.words import count


@dataclass(frozen=True)
class OnnxExport:
    """An ONNX file that was written.

    Attributes:
        path: where it is.
        size: in bytes.
        parity: how near it is to its run.
    """

    path: Path
    size: int
    parity: Parity


def export_onnx(
    path: Path,
    output: Path | None = None,
    *,
    decision: str | None = None,
    threshold: str | None = None,
    coverage: float | None = None,
    method: str | None = None,
    watcher: Watcher | None = None,
) -> OnnxExport:
    """Write a run as one ONNX file: images of any size in, probabilities and decisions out.

    Resizing, normalising, the network and the decision are inside. The file is compared with the run on 64
    images of random sizes, and written only if it decides all of them alike.

    Args:
        path: folder of the run.
        output: the file; by default model.onnx, or model.DECISION.onnx, in the folder of the run.
        decision: the rule to decide by, None for the run's own.
        threshold, coverage: see `Run.aim_at`.
        method: of the user's own that the run was trained with.
        watcher: hears what there is to say.

    Raises:
        InputError: when the run cannot be used or expressed in ONNX, the file decides otherwise, a package is
            missing, or the file cannot be written.
    """
    expect_packages()
    run = Run.open(
        path, "cpu", watcher, method=method, decision=decision, threshold=threshold, coverage=coverage
    )
    target = output or run.folder.onnx_by(run.decided_by or None)
    for note in notes_on(run):
        run.watcher.say(note)
    if isinstance(rule := run.learner.method.decision, Neighbours):
        voters = int((rule.reference_labels >= 0).any(1).sum())
        run.watcher.say(f"the file holds the features of {count(voters, 'training image')}, which vote")
    network = Decider(run.learner, run.card.image_size, run.ruling)
    content = onnx_bytes(network, _card_of(run), run.card.backbone)
    parity = check_parity(run, content, *sample_images(run))
    with written_aside(target) as aside:
        aside.write_bytes(content)
    return OnnxExport(target, len(content), parity)


def _card_of(run: Run) -> FileCard:
    return FileCard(
        schema_version=1,
        longtail_version=__version__,
        method=run.card.method,
        decision=run.decision,
        image_size=run.card.image_size,
        attributes=run.card.schema.attributes,
        threshold=None if run.aim is None else str(run.aim),
        thresholds={
            run.card.schema.names[j]: {run.card.schema.attributes[j].classes[one.rare]: one.value}
            for j, one in run.ruling.thresholds.items()
        },
        coverage=run.coverage,
    )
