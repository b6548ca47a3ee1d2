"""Every row of the comparison table, from the first epoch to a prediction."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from longtail.api.model import load
from longtail.errors import InputError, Interrupted
from longtail.evaluation.results import RESULTS
from longtail.methods.options import KNNOptions, LMLEOptions, MethodOptions, MetricOptions
from longtail.methods.recipe import recipe
from longtail.methods.rows import METHODS
from longtail.runs.evaluate import evaluate
from longtail.runs.train import plan, train
from longtail.training.checkpoint import load_model
from longtail.training.config import TrainConfig
from longtail.training.data_options import DataOptions

from .conftest import Listening, drawn

PICTURED = {"crl", "deepid2", "lmle", "mtct", "triplet"}
"""Methods whose page has its pictures too: their curves are those that others have not."""
SMALL = MethodOptions(knn=KNNOptions(k=5, references=60), lmle=LMLEOptions(cluster_size=10, k=3))


@pytest.fixture
def manifest(tmp_path):
    """96 images of two attributes, an eighth of them rare, in pairs across two domains."""
    folder = tmp_path / "clothes"
    folder.mkdir()
    random = np.random.default_rng(0)
    lines = ["image,colour,bright,identity,domain,match"]
    for i in range(96):
        colour, bright = ("red", "green", "blue")[0 if i % 8 else 1 + i // 8 % 2], i % 3 == 0
        pixel = random.integers(0, 60, (12, 12, 3))
        pixel[..., ("red", "green", "blue").index(colour)] += 120
        Image.fromarray((pixel + 60 * bright).astype(np.uint8)).save(folder / f"{i}.png")
        brightness = "" if i % 11 == 0 else "yes" if bright else "no"
        lines.append(f"{i}.png,{colour},{brightness},{i // 4},{('shop', 'street')[i % 2]},{i // 2}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def row(manifest, tmp_path):
    """The configuration of a row: two epochs of half a second."""

    def configuration(method, **changes):
        return TrainConfig(
            **{
                "data": str(manifest),
                "method": method,
                "backbone": "convnet",
                "epochs": 2,
                "batch_size": 20,
                "features": 8,
                "learning_rate": 0.02,
                "accelerator": "cpu",
                "output": str(tmp_path / method),
                "method_options": SMALL,
                # the asymmetric loss is for attributes of two classes
                "data_options": DataOptions(attributes=("bright",) if method == "asl" else ()),
                **changes,
            }
        )

    return configuration


class Stopper(Listening):
    """Presses Ctrl-C in the second step of the second epoch."""

    def step(self, epoch, step, steps, meter):
        if (epoch, step) == (1, 2 if steps > 2 else 1):
            os.kill(os.getpid(), signal.SIGINT)


def steps_of(run: Path):
    return [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def state(run: Path):
    return load_model(run / "model.safetensors")[0].state_dict()


@pytest.mark.parametrize(
    "method", [name for name, row in METHODS.items() if not (row.second_stage or row.solved)]
)
def test_a_row_trains_stops_goes_on_to_the_same_model_and_decides(row, manifest, tmp_path, method):
    config = row(method, epochs=3 if method == "down-sampling" else 2)  # which has one step an epoch
    with drawn(pictures=method in PICTURED):
        whole = train(replace(config, output=str(tmp_path / "whole")))
    with pytest.raises(Interrupted):
        train(config, watcher=Stopper())
    run = train(config, resume=True)
    expected = state(whole)
    assert all(torch.equal(value, expected[name]) for name, value in state(run).items())
    assert steps_of(run) == steps_of(whole)
    results = RESULTS.read(run / "results.json")
    assert results.mean == RESULTS.read(whole / "results.json").mean
    assert results.decision == recipe(method, SMALL).decision
    assert evaluate(run).mean == results.mean
    said = [prediction.labels for prediction in load(run).predict(manifest)]
    assert len(said) == 96
    assert {labels["bright"] for labels in said} <= {"no", "yes"}


@pytest.mark.parametrize(
    ("method", "decision"),
    [
        ("ce", "prior"),
        ("ce", "knn"),
        ("crl", "prior"),
        ("lmle", "argmax"),
        ("lmle", "knn"),
        ("triplet", "argmax"),
    ],
)
def test_a_trained_run_decides_otherwise_without_training(row, manifest, method, decision):
    run = train(row(method, epochs=1))
    before = (run / "results.json").read_text()
    results = evaluate(run, decision=decision)
    assert results.decision == decision
    assert (run / "results.json").read_text() == before
    assert RESULTS.read(run / f"results.{decision}.json") == results
    assert (run / f"report.{decision}.html").exists()
    assert len(load(run, decision=decision).predict(manifest / "1.png")) == 1
    train(row(method, epochs=1), overwrite=True)
    assert not (run / f"results.{decision}.json").exists()


def test_the_decision_of_training_is_the_one_evaluated_later(row):
    prior = train(row("ce", epochs=1, method_options=replace(SMALL, decision="prior")))
    assert RESULTS.read(prior / "results.json").decision == "prior"
    as_row = train(row("threshold-adjustment", epochs=1))
    assert RESULTS.read(as_row / "results.json").mean == RESULTS.read(prior / "results.json").mean


def test_neighbours_asked_for_later_are_those_of_training(row):
    trained = train(row("ce", epochs=1, method_options=replace(SMALL, decision="knn")))
    later = train(row("ce", epochs=1, output=str(trained) + "-later"))
    assert evaluate(later, decision="knn").mean == RESULTS.read(trained / "results.json").mean


def test_a_decision_that_makes_no_sense_is_refused(row):
    run = train(row("ce", epochs=1))
    with pytest.raises(InputError, match="--decision clusters: needs the clusters that lmle learns"):
        evaluate(run, decision="clusters")
    run = train(row("lmle", epochs=1, method_options=replace(SMALL, decision="knn")))
    with pytest.raises(InputError, match="was trained with --decision knn and kept no clusters"):
        evaluate(run, decision="clusters")


def test_parts_that_do_not_go_together_are_refused_before_anything_is_read(row):
    with pytest.raises(InputError, match="--sampler over: lmle draws its own batches"):
        row("lmle", data="nowhere", method_options=replace(SMALL, sampler="over"))


def test_a_sampler_says_what_imbalance_is_left(row):
    listening = Listening()
    train(row("over-sampling", epochs=1), watcher=listening)
    assert sum("the largest class is drawn" in line for line in listening.lines) == 2
    assert any(line.startswith("colour: the largest class is drawn") for line in plan(row("down-sampling")))


def test_deepid2_without_identities_says_so_and_trains(row, tmp_path):
    listening = Listening()
    config = row("deepid2", data="digits", data_options=DataOptions(tail_ratio=10), epochs=1)
    train(replace(config, output=str(tmp_path / "digits")), watcher=listening)
    assert any("no two training images show the same identity" in line for line in listening.lines)
    assert listening.records[0].loss.keys() == {"total", "ce"}


def test_deepid2_verifies_pairs_with_a_margin_that_follows_the_network(row):
    listening = Listening()
    train(row("deepid2"), watcher=listening)
    assert listening.records[0].loss.keys() == {"total", "ce", "identification", "verification"}
    assert all(record.mined["margin"] > 0 for record in listening.records)
    assert len({record.mined["margin"] for record in listening.records}) == 2


def test_mtct_learns_the_clean_domain_first_and_then_ranks_across(row):
    listening = Listening()
    train(row("mtct", epochs=4), watcher=listening)
    terms = [set(record.loss) - {"total"} for record in listening.records]
    assert terms == [{"ce"}, {"ce"}, {"ce", "ranking"}, {"ce", "ranking"}]


def test_mtct_without_domains_says_that_only_stage_one_runs(row):
    listening = Listening()
    config = row("mtct", data="digits", data_options=DataOptions(tail_ratio=10), epochs=1)
    train(config, watcher=listening)
    assert any("only stage 1 runs" in line for line in listening.lines)


def test_mtct_asks_which_domain_is_clean(row, manifest):
    text = (manifest / "labels.csv").read_text()
    (manifest / "labels.csv").write_text(text.replace("shop", "studio"))
    with pytest.raises(InputError, match=r"--mtct.clean-domain: expected one of studio, street"):
        train(row("mtct"))


def test_lmle_starts_with_cross_entropy_and_goes_on_with_quintuplets(row):
    listening = Listening()
    run = train(row("lmle", epochs=2), watcher=listening)
    terms = [set(record.loss) - {"total"} for record in listening.records]
    assert terms == [{"ce"}, {"ce", "quintuplet"}]
    clusters = load_model(run / "model.safetensors")[0].method.decision
    lengths = clusters.centroids.norm(dim=2)[clusters.classes >= 0]
    torch.testing.assert_close(lengths, torch.ones_like(lengths))


def test_a_metric_loss_beside_cross_entropy_shapes_the_network(row):
    listening = Listening()
    beside = replace(SMALL, metric=MetricOptions(beside=True))
    run = train(row("triplet", epochs=1, method_options=beside), watcher=listening)
    assert listening.records[0].loss.keys() == {"total", "ce", "triplet"}
    assert RESULTS.read(run / "results.json").decision == "argmax"


@pytest.mark.parametrize(("backbone", "method"), [("deepid2", "ce"), ("deepid2", "crl"), ("mtct", "crl")])
def test_the_papers_networks_train_with_any_method(row, backbone, method):
    run = train(row(method, backbone=backbone, epochs=1))
    results = RESULTS.read(run / "results.json")
    assert results.data.image_size == ((55, 47) if backbone == "deepid2" else (12, 12))


def test_a_shared_feature_serves_every_method(row):
    for method in ("triplet", "lmle", "crl"):
        assert train(row(method, shared_feature=True, epochs=1)).exists()
