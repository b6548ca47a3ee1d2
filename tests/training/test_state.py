import errno
import io
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from lightning_fabric.plugins.precision import MixedPrecision, Precision

from longtail.errors import InputError
from longtail.methods.choices import Choices
from longtail.training.feed import Feed, Layout
from longtail.training.meter import Meter
from longtail.training.state import SEAL, TrainingState, load_state, save_state

MODEL = torch.nn.Linear(2, 1)


def save_sealed(content: Any, path: Path) -> None:
    """A file whose checksum is right, whatever is in it."""
    file = io.BytesIO()
    torch.save(content, file)
    path.write_bytes(file.getvalue() + SEAL + sha256(file.getvalue()).digest())


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD(MODEL.parameters(), lr=0.1, momentum=0.9)


def state(layout: Layout | None = None) -> TrainingState:
    meter = Meter({"a": torch.ones(2)}, {"a": torch.ones(2)})
    return TrainingState.of(MODEL, optimizer(), feed(layout), meter, 3, 1, 0.5)


def feed(layout: Layout | None = None, precision: Precision | None = None, device: str = "cpu") -> Feed:
    strategy = SimpleNamespace(precision=precision or Precision())
    fabric = SimpleNamespace(device=torch.device(device), strategy=strategy)
    nothing = cast(Any, None)
    return Feed(cast(Any, fabric), nothing, nothing, "none", 0, (), (), layout)


@pytest.mark.parametrize("tasks", [None, np.array([[0, 1], [1, 0]])])
def test_a_state_comes_back_with_weights_means_random_numbers_and_the_batches_of_its_epoch(
    tmp_path: Path, tasks
):
    save_state(tmp_path / "s", state(Layout(3, np.array([[4, 5], [6, 7]]), tasks)))
    before, random = MODEL.weight.clone(), torch.rand(3)
    torch.nn.init.zeros_(MODEL.weight)
    again, fed = load_state(tmp_path / "s"), feed()
    meter = again.restore(MODEL, optimizer(), fed)
    assert (again.epoch, again.step, again.seconds) == (3, 1, 0.5)
    assert torch.equal(MODEL.weight, before)
    assert torch.equal(torch.rand(3), random)
    assert meter.means().loss == {"a": [1.0, 1.0]}
    assert fed.layout is not None
    assert (fed.layout.epoch, fed.layout.rows.tolist()) == (3, [[4, 5], [6, 7]])
    assert (fed.layout.tasks is None) == (tasks is None)
    assert tasks is None or np.array_equal(fed.layout.tasks, tasks)


def test_before_its_first_step_an_epoch_has_no_batches_to_keep():
    fed = feed()
    state().restore(MODEL, optimizer(), fed)
    assert fed.layout is None


def test_batches_of_an_epoch_that_is_over_are_not_kept():
    over = feed(Layout(3, np.array([[4, 5]]), None))
    assert TrainingState.of(MODEL, optimizer(), over, Meter(), 4, 0, 0.0).layout is None


def test_the_keys_of_the_file_are_these(tmp_path: Path):
    save_state(tmp_path / "s", state())
    assert list(torch.load(tmp_path / "s")) == [
        "learner", "optimizer", "rng", "meter", "epoch", "step", "seconds", "layout",
        "choices", "processes", "device_rng", "scale",
    ]  # fmt: skip


def test_a_state_of_another_version_is_refused_in_one_line(tmp_path: Path):
    save_sealed({"epoch": 1}, tmp_path / "s")
    with pytest.raises(InputError, match=r"s: not a state of this version of longtail; .* --overwrite"):
        load_state(tmp_path / "s")
    save_sealed([1], tmp_path / "s")
    with pytest.raises(InputError, match="s: not a state of this version of longtail"):
        load_state(tmp_path / "s")


def test_missing_empty_and_truncated_files_are_one_line(tmp_path: Path):
    path, whole = tmp_path / "m", tmp_path / "whole"
    with pytest.raises(InputError, match="m: no training to go on with"):
        load_state(path)
    save_state(whole, state())
    for size in (0, 5, whole.stat().st_size // 2):
        path.write_bytes(whole.read_bytes()[:size])
        with pytest.raises(InputError, match="m: damaged") as caught:
            load_state(path)
        assert "\n" not in str(caught.value)


def test_a_failed_write_keeps_the_file_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save_state(tmp_path / "s", state())

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match=r"s: cannot be written \(No space left on device\)"):
        save_state(tmp_path / "s", replace(state(), epoch=9))
    monkeypatch.undo()
    assert load_state(tmp_path / "s").epoch == 3
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


@pytest.mark.parametrize("content", [b"abcabc" * 50, b"", b"PK\x03\x04" + b"\0" * 40])
def test_what_is_no_state_is_refused_in_one_line(tmp_path: Path, content):
    (tmp_path / "s").write_bytes(content)
    with pytest.raises(InputError, match="damaged, or not a state") as caught:
        load_state(tmp_path / "s")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [{"epoch": -1}, {"epoch": None}, {"step": "a"}, {"step": 10**9}, {"layout": 3}],
)
def test_a_place_that_no_training_has_is_refused(tmp_path: Path, changes):
    content = vars(state(Layout(3, np.array([[4, 5], [6, 7]]), None))) | changes
    save_sealed(content, tmp_path / "s")
    with pytest.raises(InputError, match=r"damaged .*start again with --overwrite"):
        load_state(tmp_path / "s")


@pytest.mark.parametrize("field", ["learner", "optimizer", "rng", "meter"])
@pytest.mark.parametrize("value", [None, "text", {"a": 1}])
def test_a_state_of_another_training_is_refused(field, value):
    with pytest.raises(InputError, match="the state is not that of this training"):
        replace(state(), **{field: value}).restore(MODEL, optimizer(), feed())


def test_one_flipped_bit_anywhere_is_noticed(tmp_path: Path):
    save_state(tmp_path / "s", state())
    content = (tmp_path / "s").read_bytes()
    for place in range(0, len(content), max(1, len(content) // 150)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        (tmp_path / "s").write_bytes(damaged)
        with pytest.raises(InputError, match="s: damaged"):
            load_state(tmp_path / "s")


def test_the_state_that_was_there_is_kept_as_the_one_before(tmp_path: Path):
    for epoch in (1, 2, 3):
        save_state(tmp_path / "s", replace(state(), epoch=epoch), tmp_path / "before")
    assert [load_state(tmp_path / name).epoch for name in ("s", "before")] == [3, 2]


def test_a_state_holds_what_was_mined_so_far(tmp_path: Path):
    choices = Choices(3)
    choices.times += 2
    kept = TrainingState.of(MODEL, optimizer(), feed(), Meter(), 3, 1, 0.5, choices)
    save_state(tmp_path / "s", kept)
    times = load_state(tmp_path / "s").choices
    assert times is not None
    assert torch.equal(times, choices.times)
    lacking = {name: value for name, value in vars(kept).items() if name != "choices"}
    for other in (lacking, {**vars(kept), "more": 1}):
        save_sealed(other, tmp_path / "other")
        with pytest.raises(InputError, match="not a state of this version"):
            load_state(tmp_path / "other")


def test_for_other_images_an_epoch_begins_again_and_nothing_is_known_of_its_rows():
    choices, layout = Choices(3), Layout(3, np.array([[4, 5]]), None)
    kept = TrainingState.of(MODEL, optimizer(), feed(layout), Meter(), 3, 1, 0.5, choices)
    other = kept.for_other_rows()
    assert (other.epoch, other.step, other.seconds, other.meter) == (3, 0, 0.0, ({}, {}))
    assert other.layout is other.choices is None
    assert other.learner is kept.learner


def half() -> MixedPrecision:
    """16 bits, with a scale that doubles with each step."""
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=1)
    return MixedPrecision("16-mixed", device="cpu", scaler=scaler)


def test_in_16_bits_the_scale_of_gradients_goes_on_where_it_was(tmp_path: Path):
    before, after, taken = half(), half(), optimizer()
    for _ in range(3):
        before.backward(MODEL(torch.ones(1, 2)).sum(), MODEL)
        before.optimizer_step(taken)
    save_state(tmp_path / "s", TrainingState.of(MODEL, taken, feed(None, before), Meter(), 3, 1, 0.5))
    load_state(tmp_path / "s").restore(MODEL, optimizer(), feed(None, after))
    assert after.state_dict() == before.state_dict()
    assert after.state_dict()["scale"] == 64
    load_state(tmp_path / "s").restore(MODEL, optimizer(), feed())  # another precision has no scale


def test_the_random_numbers_of_a_gpu_go_on_where_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    own = torch.Generator()
    module = SimpleNamespace(get_rng_state=own.get_state, set_rng_state=own.set_state)
    monkeypatch.setattr(torch, "get_device_module", {torch.device("cuda"): module}.__getitem__)
    on_gpu = feed(None, device="cuda")
    save_state(tmp_path / "s", TrainingState.of(MODEL, optimizer(), on_gpu, Meter(), 3, 1, 0.5))
    random = torch.rand(3, generator=own)
    load_state(tmp_path / "s").restore(MODEL, optimizer(), on_gpu)
    assert torch.equal(torch.rand(3, generator=own), random)
    load_state(tmp_path / "s").restore(MODEL, optimizer(), feed())  # a CPU has none but torch's own
    load_state(tmp_path / "s").restore(MODEL, optimizer(), on_gpu)
