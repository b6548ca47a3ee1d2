"""Another decision rule for a trained model."""

from __future__ import annotations

from functools import partial

from lightning_fabric import Fabric

from longtail.data.loading import ImageLoader
from longtail.data.splits import Splits
from longtail.errors import InputError
from longtail.methods.base import EpochContext, TrainingData
from longtail.methods.build import build_decision
from longtail.methods.options import check_decision, parts_of
from longtail.runs.folder import RunFolder, read_json
from longtail.runs.preparation import normaliser, read_dataset
from longtail.training.checkpoint import ModelCard
from longtail.training.config import TrainConfig
from longtail.training.inference import extract_features
from longtail.training.learner import Learner


def decide_by(
    fabric: Fabric, learner: Learner, card: ModelCard, config: TrainConfig, decision: str, folder: RunFolder
) -> None:
    """Let a trained learner decide by another rule; one that needs training images reads them again.

    Raises:
        InputError: when the method has no use for the rule, or the training images are not there.
    """
    check_decision(config.method, decision)
    if decision == "clusters":
        own = parts_of(config.method, config.method_options).decision
        raise InputError(
            f"--decision clusters: the run was trained with --decision {own} and kept no clusters; train it "
            "without that flag"
        )
    rule = build_decision(decision, config.method_options, card.setting(learner.model))
    learner.method.decision = rule.to(fabric.device)
    if not rule.reads_training_images:
        return
    dataset = read_dataset(config.data, config.data_options)
    splits = Splits.from_dict(read_json(folder.splits), dataset.ids)
    loader = ImageLoader(dataset, card.image_size)
    features = partial(extract_features, fabric, learner, loader, normaliser(card))
    rule.prepare(TrainingData(dataset.schema, dataset.labels, splits.train), config.seed)
    rule.end_epoch(EpochContext(config.epochs, config.epochs, 0, learner.model, features))
