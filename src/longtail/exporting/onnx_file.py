"""A network that decides as one ONNX file, which says itself what it recognises."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from longtail.documents import Form, Part
from longtail.errors import InputError, first_line
from longtail.schema import Attribute

NEEDED = ("onnx", "onnxscript", "onnxruntime")
"""Packages of the extra `export`."""

KEY = "longtail"
"""Key of the file's metadata whose value is a `FileCard` as JSON."""

INPUT, PROBABILITIES, DECISION, MEMBERS = "images", "probabilities", "decision", "set"

LARGEST = 2**31 - 2**20
"""Bytes of weights in one file; the format ends at 2 GiB."""


class FileCard(Part, frozen=True):
    """What the file recognises and by what it decides.

    Attributes:
        attributes: in the order of the second dimension of the outputs, their classes in that of the third.
        image_size: (height, width) that the file brings images to.
        threshold: aim of the thresholds of attributes of two classes; null where the largest score decides.
        coverage: of the prediction sets; null where there are none.
        thresholds: for each attribute that is decided by one, the class and its score; 0.5 where there were
            too few validation images to tune it.
    """

    schema_version: Literal[1]
    longtail_version: str
    method: str
    decision: str
    image_size: tuple[int, int]
    attributes: tuple[Attribute, ...]
    threshold: str | None = None
    coverage: float | None = None
    thresholds: dict[str, dict[str, float]] = msgspec.field(default_factory=dict[str, dict[str, float]])


CARD = Form(FileCard, "card of an exported model", "a file of longtail export", "export again", indent=0)


def expect_packages() -> None:
    """Refuse to begin without what writes and runs such files.

    Raises:
        InputError: with what to install.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise InputError(
            f"--format onnx: needs {', '.join(missing)}; install with: pip install 'longtail[export]'"
        )


def onnx_bytes(decider: nn.Module, card: FileCard, network: str) -> bytes:
    """The file of a network that decides; equal ones have equal bytes.

    Args:
        decider: a `Decider` on the CPU, or what has the same input and outputs.
        card: goes into its metadata.
        network: what messages call it.

    Raises:
        InputError: when ONNX, or torch's exporter, has no operator for a part of it, or it is too large.
    """
    import onnx

    weights = sum(t.numel() * t.element_size() for t in decider.state_dict().values())
    if weights > LARGEST:
        raise InputError(f"--format onnx: {network} has {weights / 2**30:.1f} GiB of weights, a file holds 2")
    # An example of one image would fix their number.
    example = torch.zeros(2, 50, 60, 3, dtype=torch.uint8)
    try:
        with _quiet(), torch.no_grad():
            program: Any = torch.onnx.export(
                decider.eval(),
                (example,),
                dynamo=True,
                input_names=[INPUT],
                output_names=[PROBABILITIES, DECISION, *([] if card.coverage is None else [MEMBERS])],
                dynamic_shapes={INPUT: {0: "N", 1: "H", 2: "W"}},
                external_data=False,
                verbose=False,
            )
            model = program.model_proto
    except Exception as error:  # whatever torch meets in a network that it was not made for
        raise InputError(f"--format onnx: torch cannot export {network} ({_reason(error)})") from None
    _forget_sources(model.graph)
    model.producer_name, model.producer_version = "longtail", card.longtail_version
    onnx.helper.set_model_props(model, {KEY: CARD.encode(card)})
    return model.SerializeToString(deterministic=True)


@dataclass(frozen=True, eq=False)
class Found:
    """What a file says of N images.

    Attributes:
        probabilities: (N, J, K) float32.
        decision: (N, J) int64.
        members: (N, J, K) bool, the prediction sets; None where there are none.
    """

    probabilities: NDArray[np.float32]
    decision: NDArray[np.int64]
    members: NDArray[np.bool_] | None = None


class Runner:
    """Runs such a file as onnxruntime does on a CPU.

    Args:
        content: the file.
        threads: for one operator; 0 leaves it to onnxruntime.

    Raises:
        InputError: when onnxruntime does not take the file.
    """

    def __init__(self, content: bytes, threads: int = 0) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
        except Exception as error:  # its errors have no type of their own
            raise InputError(f"--format onnx: onnxruntime refuses the file ({_reason(error)})") from None

    def __call__(self, images: NDArray[np.uint8]) -> Found:
        """What the file says of images (N, H, W, 3)."""
        given: Any = self._session.run(None, {INPUT: images})
        return Found(*map(np.asarray, given))


def _forget_sources(graph: Any) -> None:
    """Take out lines of our source files, which torch leaves at every operator."""
    for part in (*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def _reason(error: BaseException) -> str:
    """The first line of what began it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)


@contextmanager
def _quiet() -> Generator[None]:
    """What the exporter remarks on its way is for those who make exporters."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.setLevel(level)
