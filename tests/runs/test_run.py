from dataclasses import replace

import pytest
import torch

from longtail.errors import InputError
from longtail.images.normalise import normalise
from longtail.runs.run import Run
from longtail.runs.train import train
from longtail.training.data_options import DataOptions


@pytest.fixture
def run(config):
    return Run.open(train(replace(config, epochs=1)), "cpu")


def test_it_has_the_recipe_the_data_and_the_epochs_of_the_training(run, config):
    assert run.config == replace(config, epochs=1, keep="last")
    assert [record.epoch for record in run.epochs] == [1]
    assert run.data.training().class_counts == run.card.class_counts
    assert run.decision == run.own_decision == "argmax"


def test_scores_and_features_are_those_of_its_model_in_the_order_of_the_rows(run):
    rows = run.data.splits.test[[5, 2, 5]]
    ((images, _, _),) = run.data.loader.batches([rows])
    with torch.no_grad():
        output = run.learner.eval().model(normalise(images, run.card.mean, run.card.std))
        expected = run.learner.method.scores(output)
    assert torch.equal(run.plain_scores(rows), expected)
    assert torch.equal(run.features(rows), output.features)


def test_a_folder_without_a_model_is_one_line(tmp_path):
    with pytest.raises(InputError, match="no such file; expected a run folder with a trained model in it"):
        Run.open(tmp_path)


def test_data_with_other_classes_than_in_training_are_refused(config, folder):
    path = train(replace(config, data=str(folder), data_options=DataOptions(), epochs=1))
    for image in (folder / "blue").iterdir():
        image.unlink()
    with pytest.raises(InputError, match="its attributes or classes are no longer those of the training"):
        _ = Run.open(path, "cpu").data
