"""A method of the user's own, from its file to a comparison; the file is that of docs/methods.md."""

import os
import re
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from longtail.api.model import load
from longtail.cli import main
from longtail.comparing.document import COMPARISON
from longtail.comparing.join import join
from longtail.errors import InputError, Interrupted
from longtail.evaluation.results import RESULTS
from longtail.methods import find
from longtail.models import lite0
from longtail.runs.evaluate import evaluate
from longtail.runs.places import output_of
from longtail.runs.resuming import resumed_config
from longtail.runs.train import plan, train
from longtail.training.checkpoint import load_model
from longtail.training.config import CONFIG, TrainConfig
from longtail.training.data_options import DataOptions

from .conftest import Listening, drawn

DOCS = Path(__file__).parents[2] / "docs" / "methods.md"
OWN = "own.py:SmallFeatures"

HEAD = "from longtail.methods.base import Method\nfrom longtail.methods.context import Losses\n"


@pytest.fixture
def forget(monkeypatch):
    """Begins a process anew, in which nothing was named."""

    def clear():
        monkeypatch.setattr(find, "_allowed", {})

    clear()
    return clear


@pytest.fixture
def own(tmp_path, monkeypatch, forget):
    """A training with the method of the documentation, in a file that counts how often it is imported."""
    monkeypatch.chdir(tmp_path)
    (found,) = re.findall(r"```python\n(# own\.py\n.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    counting = "\n\nwith open('imports', 'a') as file:\n    file.write('x')\n"
    Path("own.py").write_text(found + counting)
    return TrainConfig(
        data="digits",
        method=OWN,
        backbone="convnet",
        epochs=2,
        features=8,
        accelerator="cpu",
        output="run",
        data_options=DataOptions(tail_ratio=20),
    )


def imports() -> int:
    return len(Path("imports").read_text()) if Path("imports").exists() else 0


class Stopper(Listening):
    """Presses Ctrl-C in the second step of the second epoch."""

    def step(self, epoch, step, steps, meter):
        if (epoch, step) == (1, 2):
            os.kill(os.getpid(), signal.SIGINT)


def test_it_trains_stops_goes_on_to_the_same_model_and_decides(own, forget):
    listening = Listening()
    with drawn():
        whole = train(replace(own, output="whole"), watcher=listening)
    assert any("the largest class is drawn" in line for line in listening.lines)  # as its row samples
    assert listening.records[0].loss.keys() == {"total", "ce", "size"}
    with pytest.raises(Interrupted, match=rf"--resume run --method {re.escape(OWN)}$"):
        train(own, watcher=Stopper())
    forget()
    run = train(resumed_config(Path("run"), OWN), resume=True)
    weights = [load_model(folder / "model.safetensors")[0].state_dict() for folder in (whole, run)]
    assert all(torch.equal(value, weights[0][name]) for name, value in weights[1].items())
    results = RESULTS.read(run / "results.json")
    assert results.mean == RESULTS.read(whole / "results.json").mean
    assert results.method.name == OWN
    assert results.method.options["sampler"] == "root"
    forget()
    assert evaluate(run, method=OWN).mean == results.mean
    assert evaluate(run, method=OWN, decision="prior").decision == "prior"


def test_its_run_is_named_after_it(own):
    named = output_of(replace(own, method="mine/own.py:SmallFeatures", output=None))
    assert named == "runs/digits-mine-own.py-SmallFeatures-seed0"


def test_a_run_never_imports_it_unless_it_is_named(own, forget):
    run = train(own)
    forget()
    before = imports()
    asks = rf"^{re.escape(OWN)}: is a method of your own.*; add --method {re.escape(OWN)}$"
    for ask in (
        lambda: evaluate(run),
        lambda: load(run),
        lambda: load_model(run / "model.safetensors"),
    ):
        with pytest.raises(InputError, match=asks):
            ask()
    (run / "state.pt").touch()
    with pytest.raises(InputError, match=asks):
        resumed_config(run)
    assert CONFIG.read(run / "config.json").method == OWN
    assert imports() == before
    Path("own.py").rename("moved.py")
    assert evaluate(run, method="moved.py:SmallFeatures").method.name == "moved.py:SmallFeatures"


def test_its_network_can_be_gone_on_from_without_it(own, forget):
    run = train(own)
    forget()
    Path("own.py").unlink()
    second = replace(own, method="crt", start=str(run), output="second", epochs=1)
    assert RESULTS.read(train(second) / "results.json").method.name == "crt"


SMALL = ["--epochs", "1", "--backbone", "convnet", "--features", "8", "--accelerator", "cpu", "--quiet"]


def test_the_command_line_names_it(own, forget, capsys):
    train_it = ["train", "digits", "--output", "run", *SMALL]
    assert main([*train_it, "--method", OWN, "--crl.level", "class"]) == 2
    assert f"--crl.level: has no effect with --method {OWN}" in capsys.readouterr().err
    assert main([*train_it, "--method", OWN]) == 0
    forget()
    before = imports()
    Path("settings.toml").write_text(f'method = "{OWN}"\n')
    image = Path("image.png")
    torch_image(image)
    for words in (
        ["evaluate", "run"],
        ["predict", "run", str(image)],
        ["train", "digits", "--config", "settings.toml"],
        ["train", "digits", "--config", "run/config.json"],
    ):
        assert main([*words, "--quiet"]) == 2
        assert "add --method own.py:SmallFeatures" in capsys.readouterr().err
    assert imports() == before
    assert main(["evaluate", "run", "--method", OWN, "--quiet"]) == 0
    assert main(["predict", "run", str(image), "--method", OWN, "--quiet"]) == 0
    assert "image.png" in capsys.readouterr().out


def torch_image(path: Path):
    from PIL import Image

    Image.new("L", (8, 8), 200).save(path)


def test_it_is_compared_and_its_cells_are_told_its_name(own, folder, monkeypatch, capsys):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))  # of the process of the cells
    monkeypatch.setattr(lite0, "PACKAGE", "no_such_package")  # for no row beside it, which is a process more
    words = ["compare", str(folder), "--methods", f"{OWN}+knn", "--seeds", "1", "--output", "all", *SMALL]
    assert (main(words), capsys.readouterr().err) == (0, "")
    results = RESULTS.read(Path("all/runs/own.py-SmallFeatures+knn-seed0/results.json"))
    assert (results.method.name, results.decision) == (OWN, "knn")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def loss(self, output, batch): return Losses({})", "A.loss: expected Losses with at least one"),
        ("def loss(self, output, batch): return {'ce': 1.0}", "A.loss: expected Losses with at least one"),
        ("def loss(self, output, batch): return Losses({'ce': 1.0})", "A.loss: .* as the term 'ce'"),
        ("def loss(self, output, batch): return Losses({'ce': output.logits})", "A.loss: .* the term 'ce'"),
        (
            "def loss(self, output, batch): return Losses({'total': self.cross_entropy(output, batch)})",
            "A.loss: a term is called 'total', as their sum is; call it otherwise",
        ),
        (
            "def loss(self, output, batch): return Losses({'ce': output.logits.detach()[0, 0, 0]})",
            "A.loss: no term depends on the network",
        ),
        (
            "def loss(self, output, batch):\n"
            "        return Losses({'ce': self.cross_entropy(output, batch)}, {'seen': 1.0})",
            "A.loss: expected a tensor as what was mined, 'seen'",
        ),
        (
            "def __init__(self): pass\n    def loss(self, output, batch): pass",
            r"bad.py:A: is made of \(options, setting, model\), and too many positional arguments",
        ),
    ],
)
def test_what_a_method_gives_wrongly_is_said_in_one_line(own, body, message):
    Path("bad.py").write_text(f"{HEAD}class A(Method):\n    {body}\n")
    find.allow("bad.py:A")
    for job in (train, plan):
        with pytest.raises(InputError, match=message):
            job(replace(own, method="bad.py:A", output=job.__name__))


def test_a_term_of_one_number_may_have_any_shape(own):
    body = "return Losses({'ce': self.cross_entropy(output, batch), 'x': output.features.mean().reshape(1)})"
    Path("wide.py").write_text(
        f"{HEAD}class A(Method):\n    def loss(self, output, batch):\n        {body}\n"
    )
    find.allow("wide.py:A")
    train(replace(own, method="wide.py:A", epochs=1))
    assert (Path("run") / "results.json").exists()


def test_scores_beyond_0_to_1_are_not_taken_for_a_network_that_diverged(own):
    body = "    def scores(self, output):\n        return output.logits\n"
    Path("far.py").write_text(
        f"{HEAD}class A(Method):\n    def loss(self, output, batch):\n"
        f"        return Losses({{'ce': self.cross_entropy(output, batch)}})\n\n{body}"
    )
    find.allow("far.py:A")
    with pytest.raises(InputError, match=r"^far.py:A: its scores are expected to be from 0 to 1, got -"):
        train(replace(own, method="far.py:A", epochs=1))


def test_runs_of_ones_own_method_are_joined_without_importing_it(own, forget, monkeypatch):
    runs = [train(replace(own, seed=seed, epochs=1, output=f"own{seed}")) for seed in (0, 1)]
    before = imports()
    forget()
    folder = join([path.absolute() for path in runs], Path("joined"))
    document = COMPARISON.read(folder / "comparison.json")
    assert [method.name for method in document.methods] == [OWN]
    assert document.features is None
    assert imports() == before
