from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from msgspec import structs

from longtail.evaluation.results import Fault, Results
from longtail.methods.options import MethodOptions
from longtail.reporting.model_card import model_card, started_from
from longtail.schema import Attribute, LabelSchema
from longtail.training.checkpoint import ModelCard
from longtail.training.config import TrainConfig

ATTRIBUTES = (("colour", ("red", "blue|green", "<b>pale</b>")), ("kids", ("no", "yes")))
CONFIG = TrainConfig(data="/home/me/clothing", method="crl", backbone="lite0", epochs=1)
CARD = ModelCard(
    schema=LabelSchema(tuple(Attribute(*attribute) for attribute in ATTRIBUTES)),
    class_counts=[[1, 1, 1], [1, 1]],
    images=1,
    backbone="lite0",
    features=4,
    hidden=0,
    shared_feature=False,
    image_size=(96, 64),
    mean=(0.5,) * 3,
    std=(0.5,) * 3,
    method="crl",
    method_options=MethodOptions(),
    tuning="last",
)


@pytest.fixture
def results(results_of: Callable[..., Results]) -> Results:
    return results_of(ATTRIBUTES)


def test_it_says_what_the_model_is_and_how_it_decides(results: Results):
    lines = model_card(results, CARD, CONFIG).splitlines()
    assert lines[0] == "# clothing, crl"
    for line in (
        "| Trained on | clothing; images: 5,000 train, 600 val, 1,200 test |",
        "| Recognises | colour (3 classes), kids (2 classes) |",
        "| Takes | images, cut to their middle and brought to 96x64 pixels |",
        "| Network | lite0, 464,154 parameters; its last stage was fine-tuned |",
        "| Began from | the published weights of lite0; licence Apache-2.0 |",
        "| Decides by | argmax: the largest score of the loss itself |",
    ):
        assert line in lines


def test_every_class_has_its_images_and_its_recall_with_the_interval(results: Results):
    lines = model_card(results, CARD, CONFIG).splitlines()
    for attribute in results.attributes:
        assert f"### {attribute.name}" in lines
    rarest = min(results.attributes[1].classes, key=lambda c: c.train_count)
    (row,) = (line for line in lines if line.startswith(f"| {rarest.name} |"))
    assert rarest.recall is not None
    assert rarest.recall_low is not None
    assert rarest.recall_high is not None
    cells = [f"{rarest.train_count}", f"{rarest.test_count}", f"{100 * rarest.recall:.0f}"]
    cells.append(f"{100 * rarest.recall_low:.0f} to {100 * rarest.recall_high:.0f}")
    assert row == f"| {rarest.name} | {' | '.join(cells)} |"


def test_names_of_classes_do_not_break_its_tables(results: Results):
    text = model_card(results, CARD, CONFIG)
    assert r"| blue\|green |" in text
    assert r"| \<b\>pale\</b\> |" in text


def test_faults_and_cautions_are_its_limits(results: Results):
    fault = Fault("collapsed", "the features have collapsed")
    text = model_card(structs.replace(results, faults=(fault,), caveat="it may not hold"), CARD, CONFIG)
    limits = text.partition("## Limits")[2].partition("## Use")[0]
    assert "- The features have collapsed.\n" in limits
    assert "- Decision argmax: it may not hold.\n" in limits


def test_it_is_the_same_whenever_it_is_written_and_tells_no_folder(results: Results):
    later = structs.replace(results, created="2030-01-01T00:00:00+00:00")
    text = model_card(results, CARD, CONFIG)
    assert text == model_card(later, CARD, CONFIG)
    assert "/home/me" not in text


@pytest.mark.parametrize(
    ("card", "config", "words"),
    [
        ({}, {}, "the published weights of lite0; licence Apache-2.0"),
        ({}, {"from_scratch": True}, "random weights"),
        ({"backbone": "resnet18"}, {}, "random weights"),
        ({"backbone": "timm:resnet18"}, {}, "timm:resnet18; their licence is not recorded here, look it up"),
        ({}, {"weights": "/a/b/net.safetensors"}, "the backbone in net.safetensors, of unknown licence"),
        ({}, {"start": "/a/runs/first"}, "the network of the run first; see its own card"),
    ],
)
def test_it_says_what_the_weights_began_from(card, config, words: str):
    assert started_from(replace(CARD, **card), replace(CONFIG, **config)).endswith(words)
