"""Another decision rule for a trained model."""

from __future__ import annotations

from functools import partial

import torch
from lightning_fabric import Fabric
from torch import Tensor

from longtail.data.dataset import Dataset
from longtail.data.splits import Splits
from longtail.errors import InputError
from longtail.images.load import ImageLoader
from longtail.methods.base import EpochContext, TrainingData
from longtail.methods.build import build_decision
from longtail.methods.decision import TauNorm
from longtail.methods.parts import check_decision, parts_of
from longtail.runs.folder import RunFolder, read_json
from longtail.runs.preparation import normaliser, read_dataset
from longtail.training.checkpoint import ModelCard
from longtail.training.config import TrainConfig
from longtail.training.inference import extract_features, outputs_of
from longtail.training.learner import Learner


def decide_by(
    fabric: Fabric, learner: Learner, card: ModelCard, config: TrainConfig, decision: str, folder: RunFolder
) -> None:
    """Let a trained learner decide by another rule; one that needs training images reads them again.

    Raises:
        InputError: when the method has no use for the rule, or the training images are not there.
    """
    check_decision(config.method, decision, config.method_options)
    if decision == "clusters":
        own = parts_of(config.method, config.method_options).decision
        raise InputError(
            f"--decision clusters: the run was trained with --decision {own} and kept no clusters; train it "
            "without that flag"
        )
    if decision == "tau-norm":
        learner.method.decision = _tau_norm(fabric, learner, card, config, folder)
        return
    rule = build_decision(decision, config.method_options, card.setting(learner.model))
    learner.method.decision = rule.to(fabric.device)
    if not rule.reads_training_images:
        return
    dataset, splits, loader = _data_of(card, config, folder)
    features = partial(extract_features, fabric, learner, loader, normaliser(card))
    rule.prepare(TrainingData(dataset.schema, dataset.labels, splits.train), config.seed)
    rule.end_epoch(EpochContext(config.epochs, config.epochs, 0, learner.model, features))


def _tau_norm(
    fabric: Fabric, learner: Learner, card: ModelCard, config: TrainConfig, folder: RunFolder
) -> TauNorm:
    """The rule with the power that the run's validation images choose."""
    dataset, splits, loader = _data_of(card, config, folder)
    if not len(splits.val):
        raise InputError("--decision tau-norm: is chosen on validation images, and the run has none")
    rule = TauNorm(learner.model.head).to(fabric.device)

    def logits(images: Tensor) -> Tensor:
        return learner.model(images).logits

    found = outputs_of(fabric, learner, loader, splits.val, normaliser(card), logits)
    rule.cpu().choose(found, torch.from_numpy(dataset.labels[splits.val]))
    return rule.to(fabric.device)


def _data_of(card: ModelCard, config: TrainConfig, folder: RunFolder) -> tuple[Dataset, Splits, ImageLoader]:
    """The data that a run was trained on."""
    dataset = read_dataset(config.data, config.data_options)
    splits = Splits.from_dict(read_json(folder.splits), dataset.ids)
    return dataset, splits, ImageLoader(dataset, card.image_size)
