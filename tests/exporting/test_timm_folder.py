"""Which runs timm has a network for, and that its network then says the same."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import longtail
from longtail.errors import InputError
from longtail.exporting import timm_folder
from longtail.exporting.timm_folder import classifier_of, export_timm
from longtail.images.normalise import normalise
from longtail.runs.run import Run
from longtail.training.checkpoint import ModelCard

from .runs import ONE, TWO, calibration, card, write_run


def neck(backbone: str = "lite0", **changes: object) -> ModelCard:
    """A card whose head timm has."""
    known = {"schema": ONE, "method": "crl", "image_size": (32, 32)}
    return card(backbone, **(known | changes))


def opened(folder: Path, of: ModelCard) -> Run:
    return Run.open(write_run(folder / "run", of), "cpu")


@pytest.mark.parametrize(
    ("of", "decision", "reason"),
    [
        (neck("convnet"), None, "is for networks of timm and lite0, the run's is convnet;"),
        (neck(schema=TWO), None, "timm's networks decide on one attribute, the run has 2;"),
        (neck(decision="knn"), None, "timm's networks cannot decide by knn, only by argmax or prior;"),
        (neck(tuning="head"), None, "vectors of a frozen or fine-tuned backbone are brought to one length,"),
        (neck(method="ce"), None, "there is a relu between the vectors and the classifier,"),
        (neck(hidden=4), None, "there is a relu between the vectors and the classifier,"),
        (neck(loss="ldam"), None, "the logits of the ldam loss are cosines, timm's are not;"),
        (
            neck(loss="focal"),
            "prior",
            "the focal loss makes probabilities of logits otherwise than by softmax;",
        ),
    ],
)
def test_what_timm_cannot_express_is_refused_with_the_reason(
    tmp_path: Path, of: ModelCard, decision: str | None, reason: str
):
    run = write_run(tmp_path / "run", of)
    with pytest.raises(InputError) as refused:
        export_timm(run, tmp_path / "timm", decision=decision)
    assert str(refused.value).startswith(f"--format timm: {reason}")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "timm").exists()


def test_without_timm_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(InputError, match=r"^--format timm: needs timm \(.*\); install it with: pip install"):
        export_timm(write_run(tmp_path / "run", neck()), tmp_path / "timm")


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path):
    (tmp_path / "timm").mkdir()
    (tmp_path / "timm" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"the folder holds other files \(notes\.txt\); choose another one$"):
        export_timm(write_run(tmp_path / "run", neck()), tmp_path / "timm")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_model_that_was_not_exported_is_left_alone(tmp_path: Path, name: str):
    (tmp_path / "timm").mkdir()
    (tmp_path / "timm" / name).write_text('{"architecture": "resnet18"}')
    with pytest.raises(InputError, match=r"the folder holds another model; choose another one$"):
        export_timm(write_run(tmp_path / "run", neck()), tmp_path / "timm")


@pytest.mark.parametrize("decision", ["argmax", "prior"])
@pytest.mark.parametrize("loss", ["softmax", "logit-adjusted", "vector-scaling"])
@pytest.mark.parametrize("layer", ["linear", "neck", "vector"])
def test_the_head_and_the_decision_become_one_linear_layer(tmp_path: Path, layer, loss, decision):
    run = opened(tmp_path, neck("convnet", feature_layer=layer, loss=loss))
    run.decide_by(decision)
    run.know({decision: calibration(1.7)})
    weight, bias = classifier_of(run)
    vectors = torch.randn(20, 128)
    with torch.no_grad():
        scores = run.learner.method.scores(run.learner.model.head(vectors))
    scores = torch.from_numpy(run.ruling.calibrated(scores))[:, 0].float()
    found = torch.nn.functional.linear(vectors, weight, bias).softmax(1)
    torch.testing.assert_close(found, scores, atol=1e-5, rtol=1e-4)
    assert scores.std(0).min() > 1e-3


def test_a_class_without_training_images_has_no_probability(tmp_path: Path):
    run = opened(tmp_path, neck("convnet"))
    run.decide_by("prior")
    run.learner.method.shares.copy_(torch.tensor([[0.6, 0.4, 0.0]]))
    _, bias = classifier_of(run)
    assert bias.isfinite().all()
    assert bias[2] <= -1e4


@pytest.fixture(scope="module")
def real():
    with warnings.catch_warnings(action="ignore"):
        try:
            import timm
        except (ImportError, RuntimeError) as error:  # a torchvision that does not fit
            pytest.skip(f"timm is not usable here ({error})")
    return timm


BACKBONES = [
    ("lite0", (48, 40)),
    ("timm:resnet10t", (64, 48)),
    ("timm:vit_tiny_patch16_224?global_pool=avg", (64, 96)),
    ("timm:vit_tiny_patch16_224", (224, 224)),
    ("timm:mobilenetv3_small_050.lamb_in1k", (64, 64)),
]


@pytest.mark.parametrize(("backbone", "size"), BACKBONES, ids=[name for name, _ in BACKBONES])
def test_timm_loads_the_folder_and_says_the_same(real, tmp_path: Path, backbone: str, size: tuple[int, int]):
    run = opened(tmp_path, neck(backbone, image_size=size, decision="prior"))
    found = export_timm(run.folder.path, tmp_path / "timm")
    assert found.largest <= 1e-4
    network = real.create_model(f"local-dir:{tmp_path / 'timm'}", pretrained=True).eval()
    images = torch.randint(0, 256, (9, 3, *size), dtype=torch.uint8)
    said = real.data.resolve_model_data_config(network)
    assert (*said["input_size"], said["crop_pct"], said["interpolation"]) == (3, *size, 1.0, "bilinear")
    with torch.no_grad():
        scores = network(normalise(images, said["mean"], said["std"])).softmax(1)
        torch.testing.assert_close(scores, run.learner.scores(images)[:, 0], atol=1e-4, rtol=1e-3)
    assert scores.std(0).max() > 0.005
    config = json.loads((tmp_path / "timm" / "config.json").read_text())
    assert config["label_names"] == ["a", "b", "c"]
    assert "num_classes" not in config.get("model_args", {})
    export_timm(run.folder.path, tmp_path / "timm")  # over itself


def test_a_timm_that_does_not_load_folders_is_one_line(real, tmp_path: Path, monkeypatch):
    def create_model(name: str, **arguments: object) -> torch.nn.Module:
        if name.startswith("local-dir:"):
            raise AssertionError
        return original(name, **arguments)

    original = real.create_model
    monkeypatch.setattr(real, "create_model", create_model)
    with pytest.raises(InputError, match=r"^--format timm: timm [\d.]+ does not load it \(.*\); .* -U timm$"):
        export_timm(write_run(tmp_path / "run", neck()), tmp_path / "timm")


def test_a_network_that_says_something_else_is_not_written(real, tmp_path: Path, monkeypatch):
    wrong = lambda run: tuple(2 * part for part in classifier_of(run))  # noqa: E731
    monkeypatch.setattr(timm_folder, "classifier_of", wrong)
    with pytest.raises(InputError, match=r"not exported, probabilities of timm's network differ by 0\.\d"):
        export_timm(write_run(tmp_path / "run", neck()), tmp_path / "timm")
    assert not (tmp_path / "timm").exists()


def test_the_pipeline_of_transformers_says_the_same(real, tmp_path: Path):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    run = write_run(tmp_path / "run", neck(image_size=(48, 48)))
    export_timm(run, tmp_path / "timm")
    pixels = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    pipeline = transformers.pipeline("image-classification", model=str(tmp_path / "timm"))
    said = {entry["label"]: entry["score"] for entry in pipeline(str(tmp_path / "a.png"))}
    (prediction,) = longtail.load(run).predict(tmp_path / "a.png")
    assert said == pytest.approx(prediction.probabilities["kind"], abs=1e-4)


def test_weights_are_named_as_timm_names_them(real, tmp_path: Path):
    export_timm(write_run(tmp_path / "run", neck()), tmp_path / "timm")
    own = real.create_model("tf_efficientnet_lite0", num_classes=3).state_dict()
    assert {*load_file(tmp_path / "timm" / "model.safetensors")} == {*own}
