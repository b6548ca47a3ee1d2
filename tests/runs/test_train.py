import json
import math
import os
import signal
import tarfile
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from longtail.api.model import load
from longtail.errors import InputError, Interrupted
from longtail.evaluation.results import RESULTS
from longtail.images.load import ImageLoader
from longtail.methods.options import CRLOptions, MethodOptions
from longtail.runs import data
from longtail.runs.evaluate import _other_data, evaluate
from longtail.runs.places import output_of
from longtail.runs.resuming import resumed_config, standing
from longtail.runs.run import Run
from longtail.runs.train import plan, train
from longtail.training.checkpoint import load_model
from longtail.training.config import CONFIG
from longtail.training.data_options import DataOptions
from longtail.training.record import EPOCHS
from longtail.training.watcher import Silent

from .conftest import drawn, small


def weights(run: Path):
    return load_model(run / "model.safetensors")[0].state_dict()


def without_times(records):
    timed = ("seconds", "images_per_second", "input_wait_share")
    return [{key: value for key, value in record.items() if key not in timed} for record in records]


def lines_of(run: Path):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run of a training that nothing stopped, to be read only."""
    return train(small(tmp_path_factory.mktemp("whole") / "run"))


@drawn()
def test_a_run_leaves_all_that_is_needed_to_use_and_to_understand_it(config, watcher):
    run = train(config, watcher=watcher)
    names = {path.name for path in run.iterdir()}
    assert names == {
        "config.json",
        "splits.json",
        "metrics.jsonl",
        "model.safetensors",
        "best.safetensors",
        "results.json",
        "report.html",
        "README.md",
        "calibration.safetensors",
        "mined.json",
        "origin.json",
    }
    results = RESULTS.read(run / "results.json")
    assert results.model.backbone == "convnet"
    assert results.split == "test"
    assert [c.train_count for c in results.attributes[0].classes] == sorted(
        (c.train_count for c in results.attributes[0].classes), reverse=True
    )
    assert results.data.images["train"] == sum(c.train_count for c in results.attributes[0].classes)
    assert EPOCHS.read_lines(run / "metrics.jsonl") == watcher.records
    assert list(watcher.records[0].loss) == ["total", "ce", "crl"]
    assert len(watcher.records[0].mined["kept_share"][0]) == 10
    assert any("parameters" in line for line in watcher.lines)
    assert evaluate(run).mean == results.mean


def test_the_same_seed_gives_the_same_model_and_another_seed_another(config, whole, tmp_path):
    first, again = weights(whole), weights(train(config))
    other = weights(train(replace(config, seed=1, output=str(tmp_path / "other"))))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


class Stopper(Silent):
    """Presses Ctrl-C in the middle of an epoch."""

    def __init__(self, inner, epoch, step):
        self.say, self.progress, self.epoch = inner.say, inner.progress, inner.epoch
        self.place = (epoch, step)

    def step(self, epoch, step, steps, meter):
        if (epoch, step) == self.place:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("place", [(0, 2), (1, 1), (1, 3)])
def test_a_training_that_was_interrupted_goes_on_to_the_same_model(config, whole, tmp_path, watcher, place):
    with pytest.raises(Interrupted, match=r"longtail train --resume .*run"):
        train(config, watcher=Stopper(watcher, *place))
    run = Path(config.output)
    assert weights(run)  # usable already
    assert not (run / "results.json").exists()

    assert replace(resumed_config(run), keep=None) == config
    moved = run.rename(tmp_path / "moved")
    run = train(replace(resumed_config(moved), output=str(moved)), resume=True)
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(run).items())
    assert without_times(lines_of(run)) == without_times(lines_of(whole))
    assert (run / "mined.json").read_bytes() == (whole / "mined.json").read_bytes()
    assert not (run / "state.pt").exists()
    assert (run / "report.html").exists()


@pytest.fixture
def decoding_anew(monkeypatch):
    """Images are decoded for every batch."""
    monkeypatch.setattr(data, "ImageLoader", partial(ImageLoader, cache_bytes=0))


def test_crops_cut_while_decoding_are_those_cut_from_kept_images(config, tmp_path, request):
    config = replace(config, augment="photo")
    kept = weights(train(replace(config, output=str(tmp_path / "kept"))))
    request.getfixturevalue("decoding_anew")  # digits are stored in the model's size: the same pixels
    anew = weights(train(config))
    assert all(torch.equal(kept[name], anew[name]) for name in kept)


@pytest.mark.usefixtures("decoding_anew")
def test_a_training_that_crops_while_decoding_goes_on_to_the_same_model(config, tmp_path, watcher):
    config = replace(config, augment="photo")
    whole = weights(train(replace(config, output=str(tmp_path / "whole"))))
    with pytest.raises(Interrupted):
        train(config, watcher=Stopper(watcher, 1, 3))
    run = weights(train(config, resume=True))
    assert all(torch.equal(value, whole[name]) for name, value in run.items())


def test_an_epoch_logged_after_the_last_saved_state_is_not_logged_twice(config, watcher):
    with pytest.raises(Interrupted):
        train(config, watcher=Stopper(watcher, 1, 1))
    run = Path(config.output)
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({**lines_of(run)[0], "epoch": 2}) + "\n")  # as if killed between log and state
    train(config, resume=True)
    assert [line["epoch"] for line in lines_of(run)] == [1, 2]


def test_a_run_whose_settings_were_left_open_goes_on_with_those_that_were_chosen(config, watcher):
    left = replace(config, method="auto", epochs=None, steps=20)
    with pytest.raises(Interrupted):
        train(left, watcher=Stopper(watcher, 1, 1))
    (note,) = (line for line in watcher.lines if line.startswith("chosen"))
    assert note == "chosen: --method crl; to change: --method"
    run = train(left, resume=True)
    kept = CONFIG.read(run / "config.json")
    assert (kept.method, kept.steps, kept.keep) == ("crl", None, "last")
    assert kept.epochs == len(lines_of(run)) == math.ceil(20 / lines_of(run)[0]["step"])


def test_another_length_in_steps_is_another_setting_as_one_in_epochs_is(config, watcher):
    left = replace(config, epochs=None, steps=20)
    with pytest.raises(Interrupted):
        train(left, watcher=Stopper(watcher, 2, 1))
    with pytest.raises(InputError, match=r"keeps its own settings \(epochs: \d+, not \d+\)"):
        train(replace(left, steps=200), resume=True)
    run = train(left, resume=True)
    assert standing(left) == "finished"
    assert standing(replace(left, steps=None)) == "finished"
    with pytest.raises(InputError, match=r"other settings \(epochs: \d+, not \d+\); --overwrite"):
        standing(replace(left, steps=200))
    CONFIG.write(run / "config.json", replace(CONFIG.read(run / "config.json"), method="lmle"))
    assert standing(replace(left, method="lmle", steps=200)) == "finished", "its epochs differ in length"


def test_a_finished_run_cannot_be_resumed_and_a_missing_one_neither(config, whole, tmp_path):
    with pytest.raises(InputError, match="its training came to its end"):
        train(replace(config, output=str(whole)), resume=True)
    with pytest.raises(InputError, match="expected the folder of a run"):
        resumed_config(tmp_path / "nowhere")
    with pytest.raises(InputError, match="its training came to its end"):
        resumed_config(whole)


def test_a_resumed_run_keeps_its_settings(config, watcher):
    with pytest.raises(Interrupted):
        train(config, watcher=Stopper(watcher, 0, 1))
    with pytest.raises(InputError, match="keeps its own settings"):
        train(replace(config, epochs=9), resume=True)


def test_a_run_is_never_overwritten_without_being_told(config, tmp_path):
    train(config)
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match="--overwrite replaces it"):
        train(replace(config, seed=5))
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before
    (tmp_path / "run" / "cost.json").write_text("{}")  # of a comparison: it is not that of the new run
    train(replace(config, seed=5), overwrite=True)
    assert not (tmp_path / "run" / "cost.json").exists()
    assert (tmp_path / "run" / "model.safetensors").read_bytes() != before


def test_a_folder_with_other_files_is_left_alone(config, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="holds other files"):
        train(config, overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="got a file"):
        train(replace(config, output=str(tmp_path / "file")))


def test_a_loss_that_is_no_longer_finite_stops_the_training_with_advice(config):
    with pytest.raises(InputError, match=r"no longer finite \(ce = nan.*--learning-rate"):
        train(replace(config, learning_rate=1e30, warmup=0.0))


def test_a_device_without_enough_memory_is_told_in_one_line(config, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory\nby much")

    monkeypatch.setattr("longtail.runs.train.fit", full)
    with pytest.raises(InputError, match="--batch-size 64: the device ran out of memory"):
        train(config)


def test_cross_entropy_mines_nothing(config, watcher):
    train(replace(config, method="ce"), watcher=watcher)
    assert list(watcher.records[0].loss) == ["total", "ce"]
    assert list(watcher.records[0].mined) == ["feature_spread"]


@pytest.mark.parametrize("level", ["class", "instance"])
@pytest.mark.parametrize("comparison", ["relative", "absolute", "distribution"])
def test_many_attributes_train_with_every_form(config, level, comparison):
    crl = CRLOptions(level=level, comparison=comparison)
    plain = replace(config, data="digits-attributes", epochs=1, data_options=DataOptions())
    run = train(replace(plain, method_options=MethodOptions(crl=crl)))
    assert len(RESULTS.read(run / "results.json").attributes) == 3


def test_mixed_precision_trains_nearly_as_full_precision_does(config, folder, tmp_path):
    given = replace(config, data=str(folder), data_options=DataOptions(), epochs=1, shared_feature=True)
    full, mixed = (train(replace(given, precision=p, output=str(tmp_path / p))) for p in ("32", "bf16"))
    assert all(value.isfinite().all() for value in weights(mixed).values())
    losses = [lines_of(run)[0]["loss"]["total"] for run in (full, mixed)]
    assert 0 < abs(losses[1] / losses[0] - 1) < 0.05


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"backbone": "resnet33"}, "--backbone: expected one of convnet"),
        (
            {"method_options": MethodOptions(crl=CRLOptions(level="instance", comparison="log-odds"))},
            "--crl.comparison log-odds: .*--crl.level class",
        ),
        ({"data_options": DataOptions(tail_ratio=5, tail_attribute="digt")}, "Did you mean 'digit'"),
        ({"data_options": DataOptions(attributes=("digit",))}, "--attributes"),
    ],
)
def test_a_wrong_setting_is_said_before_the_folder_is_touched(config, tmp_path, wrong, message):
    with pytest.raises(InputError, match=message):
        train(replace(config, **wrong))
    assert list(tmp_path.iterdir()) == []


def test_a_device_or_precision_that_is_not_there_is_one_line(config):
    with pytest.raises(InputError, match="--precision 16: not on this device"):
        train(replace(config, precision="16"))
    with pytest.raises(InputError, match="--accelerator mps --devices 1: not on this machine"):
        train(replace(config, accelerator="mps"))


def test_a_plan_says_what_would_happen_and_writes_nothing(config, tmp_path):
    lines = plan(config)
    assert any("2 epochs of" in line for line in lines)
    assert "a forward and a backward pass of the first batch went well" in lines
    assert any(config.output in line for line in lines)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_decodes_a_sample_and_a_batch_only(config, decoded):
    plan(replace(config, batch_size=8))
    assert 0 < len(set(decoded)) <= 64 + 8


def test_a_plan_says_what_would_be_left_out(config, folder, watcher):
    (folder / "red" / "red3.png").write_bytes(b"no image")
    options = DataOptions(skip_unreadable=True)
    plan(replace(config, data=str(folder), batch_size=8, data_options=options), watcher=watcher)
    assert any(line.startswith("left out ") and "red3.png" in line for line in watcher.lines)


def test_a_plan_says_of_the_model_what_its_training_says(config, watcher):
    lines = plan(replace(config, method="ce", method_options=MethodOptions(sampler="over")))
    train(replace(config, method="ce", method_options=MethodOptions(sampler="over")), watcher=watcher)
    said = [line for line in lines if "parameters" in line or "times as often" in line]
    assert len(said) == 2
    assert set(said) <= set(watcher.lines)


def test_a_plan_refuses_what_its_training_refuses(config, tmp_path, monkeypatch):
    run = train(replace(config, method="ce", epochs=1))
    config = replace(config, output=str(tmp_path / "second"))
    second = replace(config, method="crt", start=str(run), backbone="resnet32")
    for job in (plan, train):
        with pytest.raises(InputError, match=r"--from .*run: was trained with another backbone convnet, not"):
            job(second)
        with pytest.raises(InputError, match="--precision 16: not on this device"):
            job(replace(config, precision="16"))

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory\nby much")

    monkeypatch.setattr("longtail.training.learner.Learner.output", full)
    for job in (plan, train):
        with pytest.raises(InputError, match="--batch-size 64: the device ran out of memory"):
            job(config)


@pytest.mark.parametrize("job", [plan, train])
def test_a_place_that_may_not_be_written_is_said_before_the_work(config, tmp_path, job, watcher):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"--output .*/a/run: cannot be written \(Not a directory\)"):
        job(replace(config, output=str(tmp_path / "notes.txt" / "a" / "run")), watcher=watcher)
    assert watcher.lines == []
    with pytest.raises(InputError, match=r"--output /proc/run: cannot be written \("):
        job(replace(config, output="/proc/run"))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_plan_refuses_a_loss_that_is_not_finite(config, monkeypatch):
    def broken(learner, *_):
        return {"ce": learner.model.head.weight.sum() * math.nan}, {}

    monkeypatch.setattr("longtail.training.learner.Learner.forward", broken)
    with pytest.raises(InputError, match=r"epoch 1, step 1: the loss is no longer finite \(ce = nan"):
        plan(config)


def test_a_folder_of_images_by_class_trains(config, folder):
    run = train(replace(config, data=str(folder), data_options=DataOptions()))
    results = RESULTS.read(run / "results.json")
    assert [c.name for c in results.attributes[0].classes] == ["blue", "green", "red"]
    assert results.data.image_size == (10, 12)


def test_an_unreadable_image_stops_or_is_left_out_and_listed(config, folder, watcher):
    (folder / "red" / "broken.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"broken\.png.*--skip-unreadable"):
        train(replace(config, data=str(folder), data_options=DataOptions()))
    assert not Path(config.output).exists()
    skipping = replace(config, data=str(folder), data_options=DataOptions(skip_unreadable=True))
    run = train(skipping, watcher=watcher)
    assert any("broken.png" in line for line in watcher.lines)
    splits = json.loads((run / "splits.json").read_text())
    assert not any("broken" in name for part in ("train", "val", "test") for name in splits[part])
    assert evaluate(run).mean == RESULTS.read(run / "results.json").mean


def test_a_name_that_no_file_of_a_run_could_hold_is_said_before_the_work(config, folder):
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    first = next(folder.rglob("*.png"))
    try:
        first.rename(first.with_name(name))
    except OSError:
        pytest.skip("this file system has names in UTF-8 alone")
    with pytest.raises(InputError, match=r"caf\\udce9.png': the name of this image is not UTF-8"):
        train(replace(config, data=str(folder)))
    assert not Path(output_of(config)).exists()


def test_without_images_for_a_test_the_validation_images_judge(config, watcher):
    options = DataOptions(val_share=0.2, test_share=0.0, tail_ratio=20)
    run = train(replace(config, data_options=options), watcher=watcher)
    assert RESULTS.read(run / "results.json").split == "val"
    bare = replace(config, data_options=replace(options, val_share=0.0))
    run = train(bare, overwrite=True, watcher=watcher)
    assert not (run / "results.json").exists()
    assert any("not evaluated" in line for line in watcher.lines)


def test_a_starving_model_is_told_of_once(config, watcher, monkeypatch):
    monkeypatch.setattr("longtail.runs.journal.MOST_WAIT", -1.0)
    train(replace(config, epochs=2), watcher=watcher)
    assert len([line for line in watcher.lines if "waiting for images; more --workers may help" in line]) == 1


def test_a_run_on_shards_can_be_used_from_any_folder(config, tmp_path, monkeypatch):
    for shard in range(2):
        with tarfile.open(tmp_path / f"s-{shard}.tar", "w") as archive:
            for i in range(30):
                image = BytesIO()
                Image.new("RGB", (8, 8), (100 * (i % 2), i, 0)).save(image, "PNG")
                for name, data in ((f"{i}.png", image.getvalue()), (f"{i}.cls", b"%d" % (i % 2))):
                    entry = tarfile.TarInfo(name)
                    entry.size = len(data)
                    archive.addfile(entry, BytesIO(data))
    monkeypatch.chdir(tmp_path)
    given = replace(config, data="s-{0..1}.tar", epochs=1, batch_size=8, data_options=DataOptions())
    run = train(given)
    monkeypatch.chdir("/")
    assert evaluate(run).data.name == "s"
    assert output_of(replace(given, output=None)) == "runs/s-crl-seed0"


def test_values_of_12_bits_are_said_and_scaled_wherever_the_model_is_used(config, tmp_path, watcher):
    for i in range(30):
        place = tmp_path / "narrow" / "ab"[i % 2] / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(i).integers(0, 4096, (8, 8))
        Image.fromarray(values.astype(np.uint16)).save(place)
    given = replace(config, data=str(tmp_path / "narrow"), epochs=1, batch_size=8, data_options=DataOptions())
    plan(given, watcher=watcher)
    assert any("no value above 4095" in line and "pass --bits 12" in line for line in watcher.lines)
    watcher.lines.clear()
    run = Run.open(train(replace(given, data_options=DataOptions(bits=12)), watcher=watcher), "cpu")
    assert not any("--bits" in line for line in watcher.lines)
    rows = np.arange(len(run.data.dataset))
    images, _, _ = next(run.data.loader.batches([rows]))
    assert images.max() > 240
    names = [run.data.dataset.images.name(row) for row in rows.tolist()]
    found = [
        [*p.probabilities["label"].values()] for p in load(run.folder.path, accelerator="cpu").predict(names)
    ]
    np.testing.assert_allclose(found, run.scores(rows)[:, 0], atol=1e-6)
    other = _other_data(run, str(tmp_path / "narrow"), "test", DataOptions())
    assert torch.equal(next(other.loader.batches([rows]))[0], images)
