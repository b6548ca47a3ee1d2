"""The configurations of the published experiments."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from longtail.cli.parsing import Command
from longtail.models.classifier import build_classifier
from longtail.runs.train import plan
from longtail.schema import Attribute, LabelSchema
from longtail.training.config import TrainConfig

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.toml"))
SCHEMA = LabelSchema((Attribute("smile", ("no", "yes")), Attribute("hat", ("no", "yes"))))


def settings(path: Path, data: str) -> TrainConfig:
    return Command.named("train").bind([data, "--config", str(path)]).arguments["settings"]


def test_there_is_one_for_each_experiment():
    names = [path.stem for path in CONFIGS]
    assert names == [
        "celeba-deepid2",
        "cifar10-lt-resnet32",
        "cifar100-lt-resnet32",
        "cifar100-resnet32",
        "x-domain-mtct",
    ]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_each_is_a_configuration_that_says_what_is_reported_and_what_is_assumed(path):
    config = settings(path, "x")
    assert config.method == "crl-iccv"
    text = path.read_text()
    assert "Assumed" in text
    if "CRL(I)" in text:
        assert config.method_options.crl.level == "instance"
        assert config.method_options.crl.raw_features != ("Not as stated: distances" in text)
    assert "eproduced here" in text or "report no figure" in text
    size = config.size or (32, 32)
    model = build_classifier(config.backbone, SCHEMA, image_size=size, hidden=config.hidden or 0)
    assert model.num_parameters > 400_000


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_each_can_be_planned_on_a_folder_of_images(path, tmp_path):
    random = np.random.default_rng(0)
    for name, number in (("cat", 20), ("dog", 10)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(number):
            pixels = random.integers(0, 255, (60, 60, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.png")
    config = settings(path, str(tmp_path / "photos"))
    tail = config.data_options.tail_ratio and 3.0
    options = replace(config.data_options, tail_ratio=tail)
    small = replace(config, output=str(tmp_path / "run"), data_options=options)
    lines = plan(small)
    assert any(f"crl-iccv on {config.backbone}" in line for line in lines)
