import errno
import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from longtail.errors import InputError
from longtail.methods.options import CRLOptions, MethodOptions
from longtail.schema import Attribute, LabelSchema
from longtail.training.checkpoint import ModelCard, load_model, load_state, save_model, save_state

CARD = ModelCard(
    schema=LabelSchema((Attribute("kind", ("a", "b", "c")), Attribute("new", ("no", "yes")))),
    class_counts=[[9, 3, 1], [10, 3]],
    images=13,
    backbone="convnet",
    features=8,
    hidden=0,
    shared_feature=False,
    image_size=(8, 16),
    mean=(0.5, 0.4, 0.3),
    std=(0.2, 0.2, 0.1),
    method="crl",
    method_options=MethodOptions(crl=CRLOptions(level="instance", balance="tpami")),
)


def test_a_model_comes_back_with_its_card_and_the_same_scores(tmp_path):
    learner = CARD.build()
    learner.train()(torch.randn(6, 3, 8, 16), torch.randint(0, 2, (6, 2)), torch.arange(6))  # moves the norms
    save_model(tmp_path / "m", learner, CARD)
    again, card = load_model(tmp_path / "m")
    assert card == CARD
    images = torch.randn(4, 3, 8, 16)
    assert torch.equal(again.scores(images), learner.eval().scores(images))
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


class Hostile:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


@pytest.mark.parametrize("load", [load_model, load_state])
def test_a_pickle_is_never_run(tmp_path, load):
    mark = tmp_path / "ran"
    (tmp_path / "m").write_bytes(pickle.dumps(Hostile(mark)))
    torch.save({"x": Hostile(mark)}, tmp_path / "n")
    for name in ("m", "n"):
        with pytest.raises(InputError, match=f"{name}: "):
            load(tmp_path / name)
    assert not mark.exists()
    pickle.loads((tmp_path / "m").read_bytes()).close()
    assert mark.exists()  # it would have


@pytest.mark.parametrize("load", [load_model, load_state])
def test_missing_empty_and_truncated_files_are_one_line(tmp_path, load):
    path = tmp_path / "m"
    with pytest.raises(InputError, match="m: "):
        load(path)
    whole = tmp_path / "whole"
    if load is load_model:
        save_model(whole, CARD.build(), CARD)
    else:
        save_state(whole, {"x": torch.zeros(1000)})
    for size in (0, 5, whole.stat().st_size // 2):
        path.write_bytes(whole.read_bytes()[:size])
        with pytest.raises(InputError, match=r"m: .*") as caught:
            load(path)
        assert "\n" not in str(caught.value)


def card_file(path, **changes):
    metadata = {"format": "longtail-model", "format_version": "2", "card": json.dumps(CARD.to_dict())}
    save_file(
        {k: v.contiguous() for k, v in CARD.build().state_dict().items()}, path, {**metadata, **changes}
    )
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "expected a model that longtail wrote"),
        ({"format_version": "1"}, "expected model format 2, got 1"),
        ({"card": "{"}, "fit their model card"),
        ({"card": "{}"}, "fit their model card"),
        ({"card": json.dumps({**CARD.to_dict(), "features": 9})}, "fit their model card"),
    ],
)
def test_another_format_or_card_is_refused(tmp_path, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        load_model(card_file(tmp_path / "m", **changes))
    assert "\n" not in str(caught.value)


def test_a_state_holds_nested_tensors_and_numbers(tmp_path):
    state = {
        "epoch": 3,
        "meter": ({"a": torch.ones(2)}, {}),
        "optimizer": {"state": {0: {"m": torch.ones(1)}}},
    }
    save_state(tmp_path / "s", state)
    again = load_state(tmp_path / "s")
    assert again["epoch"] == 3
    assert torch.equal(again["meter"][0]["a"], torch.ones(2))


def test_a_failed_write_keeps_the_file_that_was_there(tmp_path, monkeypatch):
    save_state(tmp_path / "s", {"epoch": 1})

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match=r"s: cannot be written \(No space left on device\)"):
        save_state(tmp_path / "s", {"epoch": 2})
    monkeypatch.undo()
    assert load_state(tmp_path / "s") == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["s"]
