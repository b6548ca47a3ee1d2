"""A trained run -> a folder that timm, and the image-classification pipeline of transformers, load."""

from __future__ import annotations

import json
import warnings
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from longtail import __version__
from longtail.errors import InputError, first_line
from longtail.files import written_aside
from longtail.images.normalise import normalise
from longtail.methods.options import DECISIONS
from longtail.models.backbones import TIMM_PREFIX
from longtail.models.timm_models import arguments_of, created, described, imported, source_of
from longtail.runs.predict import notes_on
from longtail.runs.run import Run
from longtail.training.watcher import Watcher

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
FILES = (CONFIG_FILE, WEIGHTS_FILE)

MARK = "longtail_version"
"""Key of config.json, for which timm does not look, that tells our folders from others."""

LITE0 = "tf_efficientnet_lite0"
"""What timm calls our `lite0`."""

NEVER = -1e4
"""The logit of a class that is never decided for: its probability is 0, and all numbers stay finite."""

COMPARED = 16
"""Images of noise that timm's network and the run's decide on."""

NEAR = 1e-4
"""Largest difference of a probability between the two."""


@dataclass(frozen=True)
class TimmExport:
    """A folder that was written.

    Attributes:
        path: where it is.
        largest: largest difference of a probability between timm's network and the run.
    """

    path: Path
    largest: float


def export_timm(
    path: Path,
    output: Path,
    *,
    decision: str | None = None,
    method: str | None = None,
    watcher: Watcher | None = None,
) -> TimmExport:
    """Write a run as config.json and model.safetensors of timm, which loads them as "local-dir:FOLDER".

    What stands on the backbone becomes timm's own classifier, a linear layer; the decision by the prior goes
    into its bias, a temperature into both. The folder is loaded by timm and compared with the run before it
    is written.

    Args:
        path: folder of the run.
        output: folder to write to.
        decision, method, watcher: as of `export_onnx`.

    Raises:
        InputError: when the run cannot be used or is no such network, timm is not installed, timm's network
            decides otherwise, or the folder cannot be written.
    """
    run = Run.open(path, "cpu", watcher, method=method, decision=decision)
    for note in notes_on(run):
        run.watcher.say(note)
    if reason := refusal(run):
        raise InputError(f"--format timm: {reason}; --format onnx holds what timm cannot")
    _expect_free(output)
    imported(LITE0, "--format timm")
    files = _files(run)
    largest = _check(run, files)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--output {output}: cannot be written ({error.strerror})") from None
    for name, content in files.items():
        with written_aside(output / name) as aside:
            aside.write_bytes(content)
    return TimmExport(output, largest)


def refusal(run: Run) -> str | None:
    """Why timm has no network that decides as this run does, or None."""
    card, head, full = run.card, run.learner.model.head, run.learner.method.options
    attributes = card.schema.num_attributes
    reasons = {
        f"is for networks of timm and lite0, the run's is {card.backbone}": _timm_name(card.backbone) is None,
        f"timm's networks decide on one attribute, the run has {attributes}": attributes > 1,
        f"timm's networks cannot decide by {run.decision}, only by argmax or prior": not DECISIONS[
            run.decision
        ].at_any_time,
        "vectors of a frozen or fine-tuned backbone are brought to one length, which no layer of timm "
        "does": card.tuning is not None,
        "there is a relu between the vectors and the classifier, and timm's classifier is linear; train with "
        "--feature-layer linear or neck": head.hidden is not None or head.layer == "rectified",
        f"the logits of the {full.loss} loss are cosines, timm's are not": head.cosine,
        f"the {full.loss} loss makes probabilities of logits otherwise than by softmax": run.decision
        == "prior"
        and full.loss in ("focal", "asymmetric"),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def classifier_of(run: Run) -> tuple[Tensor, Tensor]:
    """Weight (K, B) and bias (K,) that make logits, decision included, of the backbone's vectors.

    The head is affine in the vectors: its values at 0 and at the unit vectors are all there is to it.
    """
    method, head = run.learner.method, deepcopy(run.learner.model.head).double()
    points = torch.cat([torch.zeros(1, head.in_features), torch.eye(head.in_features)]).double()
    with torch.no_grad():
        logits = head(points).logits[:, 0]
        by_prior = run.decision == "prior"
        logits = (method.criterion.posterior if by_prior else method.criterion.own)(logits)
    bias = logits[0]
    weight = (logits[1:] - bias).T
    if by_prior and bool((method.shares > 0).any()):
        shares = method.shares[0].double()
        bias = torch.where(shares > 0, bias - shares.log(), NEVER)
    temperature = 1.0 if (known := run.ruling.temperature) is None else float(known[0])
    return (weight / temperature).float().contiguous(), (bias / temperature).float()


def _timm_name(backbone: str) -> str | None:
    """What timm calls a backbone, with arguments; None where it is none of timm's."""
    if backbone.startswith(TIMM_PREFIX):
        return backbone.removeprefix(TIMM_PREFIX)
    return LITE0 if backbone == "lite0" else None


def _expect_free(output: Path) -> None:
    """Refuse a place with other files, and one with a model that did not come from here."""
    if output.exists() and not output.is_dir():
        raise InputError(f"--output {output}: expected a folder to write to, got a file")
    other = next((file.name for file in output.glob("*") if file.name not in FILES), None)
    if other is not None:
        raise InputError(f"--output {output}: the folder holds other files ({other}); choose another one")
    config = output / CONFIG_FILE
    ours = config.is_file() and MARK in config.read_text("utf-8", errors="replace")
    if not ours and any((output / name).exists() for name in FILES):
        raise InputError(f"--output {output}: the folder holds another model; choose another one")


def _files(run: Run) -> dict[str, bytes]:
    """The files of the folder by name."""
    name = _timm_name(run.card.backbone) or ""
    (top, *_) = described(name).classifiers
    weight, bias = classifier_of(run)
    tensors = _named_by_timm(run, name)
    tensors |= {f"{top}.weight": weight, f"{top}.bias": bias}
    config = json.dumps(_config(run, name, top), indent=1, ensure_ascii=False) + "\n"
    return {CONFIG_FILE: config.encode(), WEIGHTS_FILE: save(tensors, {"format": "pt"})}


def _named_by_timm(run: Run, name: str) -> dict[str, Tensor]:
    own = {key: tensor.contiguous() for key, tensor in run.learner.model.backbone.state_dict().items()}
    if name != LITE0 or run.card.backbone != "lite0":
        return own
    return dict(zip(created(LITE0).state_dict(), own.values(), strict=True))  # in the order of their use


def _config(run: Run, name: str, top: str) -> dict[str, Any]:
    """What timm reads; it takes the number of classes from the top level alone."""
    card, expected = run.card, described(name).expected
    architecture, _, query = name.partition("?")
    (attribute,) = card.schema.attributes
    first = getattr(
        imported(architecture, source_of(name)).get_pretrained_cfg(architecture), "first_conv", None
    )
    arguments = arguments_of(query, source_of(name))
    if expected.fixed and card.image_size != expected.size:
        arguments["img_size"] = list(card.image_size)
    return {
        "architecture": architecture.partition(".")[0],  # without the tag of its weights
        "num_classes": len(attribute.classes),
        "num_features": run.learner.model.head.in_features,
        "label_names": list(attribute.classes),
        MARK: __version__,
        **({"model_args": arguments} if arguments else {}),
        "pretrained_cfg": {
            "input_size": [len(card.mean), *card.image_size],
            "fixed_input_size": expected.fixed,
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "crop_mode": "center",
            "mean": list(card.mean),
            "std": list(card.std),
            "num_classes": len(attribute.classes),
            "first_conv": first,
            "classifier": top,
        },
    }


def _check(run: Run, files: dict[str, bytes]) -> float:
    """Largest difference of a probability between what timm makes of the folder and the run.

    Raises:
        InputError: when it is no rounding.
    """
    name = _timm_name(run.card.backbone) or ""
    timm = imported(name.partition("?")[0], source_of(name))
    shape = COMPARED, 3, *run.card.image_size
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"), torch.no_grad():
        for file, content in files.items():
            Path(folder, file).write_bytes(content)
        network = _loaded(timm, folder)
        found = network(normalise(images, run.card.mean, run.card.std)).softmax(1).double().numpy()
        largest = float(np.abs(found - run.ruling.calibrated(run.learner.scores(images))[:, 0]).max())
    if not largest <= NEAR:
        raise InputError(
            f"{run.folder.path}: not exported, probabilities of timm's network differ by {largest:.2g} from "
            "those of the run; use --format onnx"
        )
    return largest


def _loaded(timm: Any, folder: str) -> nn.Module:
    try:
        return timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    except Exception as error:  # older versions know no folders, and say so in many ways
        raise InputError(
            f"--format timm: timm {timm.__version__} does not load it ({first_line(error)}); take a newer "
            "one: pip install -U timm"
        ) from None
