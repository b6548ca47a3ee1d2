"""Another decision rule for a trained model."""

from __future__ import annotations

from functools import partial

from lightning_fabric import Fabric
from torch import Tensor

from longtail.data.splits import Splits
from longtail.images.load import ImageLoader
from longtail.methods.context import EpochContext, TrainedRun, TrainingData
from longtail.methods.decisions import RULES
from longtail.methods.recipe import check_decision, recipe
from longtail.runs.folder import RunFolder, read_json
from longtail.runs.preparation import normaliser, read_dataset
from longtail.training.checkpoint import ModelCard
from longtail.training.config import TrainConfig
from longtail.training.inference import extract_features, outputs_of
from longtail.training.learner import Learner


def decide_by(
    fabric: Fabric,
    learner: Learner,
    card: ModelCard,
    config: TrainConfig,
    decision: str,
    folder: RunFolder,
) -> None:
    """Let a trained learner decide by another rule; one that needs images of the run reads them again.

    Raises:
        InputError: when the method has no use for the rule, or the images are not there.
    """
    full = recipe(config.method, config.method_options)
    check_decision(config.method, decision, full)
    rule = RULES[decision](full, card.setting(learner.model))
    rule.learn(partial(_trained_run, fabric, learner, card, config, folder))
    learner.method.decision = rule.to(fabric.device)


def _trained_run(
    fabric: Fabric, learner: Learner, card: ModelCard, config: TrainConfig, folder: RunFolder
) -> TrainedRun:
    """The data that a run was trained on, and what its network makes of them."""
    dataset = read_dataset(config.data, config.data_options)
    splits = Splits.from_dict(read_json(folder.splits), dataset.ids)
    loader = ImageLoader(dataset, card.image_size)
    normalised = normaliser(card)

    def logits(images: Tensor) -> Tensor:
        return learner.model(images).logits

    features = partial(extract_features, fabric, learner, loader, normalised)
    return TrainedRun(
        TrainingData(dataset.schema, dataset.labels, splits.train),
        splits.val,
        config.seed,
        EpochContext(config.epochs, config.epochs, 0, learner.model, features),
        lambda rows: outputs_of(fabric, learner, loader, rows, normalised, logits),
    )
