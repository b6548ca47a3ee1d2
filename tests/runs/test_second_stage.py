"""Second stages on a finished run."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from longtail.errors import InputError
from longtail.methods.options import MethodOptions
from longtail.runs.evaluate import evaluate
from longtail.runs.train import train
from longtail.training.checkpoint import load_model
from longtail.training.data_options import DataOptions
from longtail.training.sealed import write_sealed

from .conftest import small


@pytest.fixture(scope="module", params=["ce"])
def trained(tmp_path_factory, request):
    config = replace(small(tmp_path_factory.mktemp("first") / "first"), method=request.param, epochs=1)
    return config, train(config)


@pytest.fixture
def first(trained, tmp_path):
    """A trained run in a place of its own, to be changed."""
    config, run = trained
    return config, shutil.copytree(run, tmp_path / "first")


def network(run):
    return load_model(run / "model.safetensors")[0].model.state_dict()


@pytest.mark.parametrize("trained", ["ce", "crl"], indirect=True)
@pytest.mark.parametrize("method", ["crt", "lws"])
def test_only_the_last_layer_or_its_factors_change(first, tmp_path, method):
    config, run = first
    second = replace(config, method=method, start=str(run), output=str(tmp_path / method), epochs=2)
    before, after = network(run), network(train(second))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == ({"head.weight", "head.bias"} if method == "crt" else set())
    learner = load_model(tmp_path / method / "model.safetensors")[0]
    if method == "lws":
        assert not torch.equal(learner.method.scale.detach(), torch.ones(1, 10))


def test_a_second_stage_needs_a_run(first):
    config, _ = first
    with pytest.raises(InputError, match="--method crt: goes on from a trained run, name it with --from RUN"):
        replace(config, method="crt")


def test_another_network_or_other_classes_are_refused(first, tmp_path):
    config, run = first
    start = replace(config, method="crt", start=str(run), output=str(tmp_path / "second"))
    with pytest.raises(InputError, match=r"--from .*first: was trained with another features 8, not 16"):
        train(replace(start, features=16))
    with pytest.raises(InputError, match=r"--from .* other attributes or classes \(new: parity and loop\)"):
        train(replace(start, data="digits-attributes"))
    assert not (tmp_path / "second").exists()


def test_a_start_without_all_weights_is_refused(first, tmp_path):
    config, run = first
    path = run / "model.safetensors"
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    weights = load_file(path)
    del weights["model.head.bias"]
    write_sealed(path, weights, {name: text for name, text in metadata.items() if name != "sha256"})
    with pytest.raises(
        InputError, match=r'--from .*first: expected weights that fit .*"head.bias"'
    ) as caught:
        train(replace(config, method="crt", start=str(run), output=str(tmp_path / "second")))
    assert "\n" not in str(caught.value)


def test_another_feature_layer_than_the_first_stage_had_is_refused(first, tmp_path):
    config, run = first
    options = MethodOptions(feature_layer="neck")
    second = replace(config, method="crt", start=str(run), method_options=options, output=str(tmp_path / "x"))
    with pytest.raises(InputError, match="was trained with another feature layer rectified, not neck"):
        train(second)


def test_any_method_can_start_from_a_trained_network(first, tmp_path):
    config, run = first
    again = replace(
        config, start=str(run), output=str(tmp_path / "again"), learning_rate=1e-9, weight_decay=0
    )
    before, after = network(run), network(train(again))
    torch.testing.assert_close(before["head.weight"], after["head.weight"])


def test_no_image_is_tested_on_that_the_first_stage_was_trained_on(first, tmp_path):
    config, run = first
    known = json.loads((run / "splits.json").read_text())
    other = replace(config, method="crt", start=str(run), seed=7, output=str(tmp_path / "second"))
    found = json.loads(
        (
            train(replace(other, data_options=replace(config.data_options, val_share=0.3))) / "splits.json"
        ).read_text()
    )
    for split in ("train", "val", "test"):
        assert set(known[split]) <= set(found[split])
    assert found["notes"][0].startswith("splits of ")


def test_images_under_other_names_are_split_anew_and_that_is_said(first, tmp_path, watcher):
    config, run = first
    again = replace(config, start=str(run), output=str(tmp_path / "again"), epochs=1)
    (run / "splits.json").unlink()
    train(again, watcher=watcher)
    told = next(
        line for line in watcher.lines if line.startswith(f"--from {run}: {run / 'splits.json'} is missing")
    )
    assert "so the images are split anew" in told


def test_another_tail_than_the_first_stage_had_is_refused(first, tmp_path):
    config, run = first
    tail = replace(config.data_options, tail_ratio=7.0)
    again = replace(config, start=str(run), data_options=tail, output=str(tmp_path / "again"))
    with pytest.raises(InputError, match=r"--tail-ratio: --from .*, which was trained with .*; leave it out"):
        train(again)


def test_a_start_that_is_not_finished_is_told(first, tmp_path, watcher):
    config, run = first
    (run / "metrics.jsonl").write_text("")
    train(replace(config, start=str(run), output=str(tmp_path / "again")), watcher=watcher)
    assert f"--from {run}: its training is not finished" in watcher.lines


def test_a_classifier_of_cosines_is_not_scaled_by_lws(first, tmp_path):
    config, _ = first
    cosines = train(replace(config, method="ldam-drw", output=str(tmp_path / "ldam")))
    with pytest.raises(InputError, match="ldam: its classifier gives cosines, lws would scale other logits"):
        train(replace(config, method="lws", start=str(cosines), output=str(tmp_path / "second")))


def test_tau_norm_is_chosen_on_validation_images_of_any_trained_run(first):
    _, run = first
    results = evaluate(run, decision="tau-norm")
    assert results.decision == "tau-norm"
    assert (run / "results.tau-norm.json").exists()


def test_tau_norm_is_no_decision_to_train_with(first):
    config, _ = first
    with pytest.raises(
        InputError, match="--decision tau-norm: is chosen on validation images after training"
    ):
        replace(config, method_options=MethodOptions(decision="tau-norm"))


def test_tau_norm_is_refused_where_class_vectors_have_no_length_to_divide_by(first, tmp_path):
    config, run = first
    cosines = train(replace(config, method="ldam-drw", output=str(tmp_path / "ldam")))
    with pytest.raises(InputError, match="the class vectors of ldam have no length"):
        evaluate(cosines, decision="tau-norm")
    scaled = train(replace(config, method="lws", start=str(run), output=str(tmp_path / "lws")))
    with pytest.raises(InputError, match="lws has a learned factor for each class already"):
        evaluate(scaled, decision="tau-norm")


def test_tau_norm_without_validation_images_is_refused(first, tmp_path):
    config, _ = first
    bare = replace(
        config, output=str(tmp_path / "bare"), data_options=DataOptions(tail_ratio=20, val_share=0.0)
    )
    with pytest.raises(InputError, match=r"--decision tau-norm: .* the run has none"):
        evaluate(train(bare), decision="tau-norm")
