import ast
import importlib
import importlib.util
import json
import sys
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "benchmarks"
DOCUMENTS = [path for path in sorted((BENCHMARKS / "results").glob("*.json")) if "cases" in path.read_text()]


@pytest.fixture
def benchmarks(monkeypatch):
    """The benchmarks can be imported, as when one of them runs."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield
    for name in ("bench", "diagnosis", "labels", "loss", "measuring"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("benchmarks")
def test_results_have_their_form_and_are_written_whole(tmp_path):
    import measuring

    times = {"ours": [1.0, 2.0, 3.0], "theirs": [2.0, 8.0, 9.0]}
    document = measuring.results("loss", "python x", [measuring.case("a", times, bytes={"ours": 7})], 3)
    measuring.write(tmp_path / "new" / "x.json", document)
    assert json.loads((tmp_path / "new" / "x.json").read_text()) == document
    (case,) = document["cases"]
    assert case["ratios"] == {"theirs": 3.0}  # the median of the turns' own ratios: 2, 4, 3
    assert case["seconds"]["ours"] == {"lower": 1.5, "median": 2.0, "upper": 2.5}
    with pytest.raises(msgspec.ValidationError, match="missing required field `machine`"):
        measuring.write(tmp_path / "x.json", {k: v for k, v in document.items() if k != "machine"})
    assert not (tmp_path / "x.json").exists()


@pytest.mark.usefixtures("benchmarks")
@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_committed_results_have_the_form(path):
    import measuring

    msgspec.json.decode(path.read_bytes(), type=measuring.Document)


@pytest.mark.usefixtures("benchmarks")
def test_peak_memory_is_what_tensors_hold_at_a_time():
    import measuring
    import torch

    def run():
        first = torch.ones(1000, 1000)
        del first
        return torch.ones(500, 1000) * 2

    assert 4_000_000 <= measuring.peak_bytes(run) < 4_100_000


@pytest.mark.usefixtures("benchmarks")
@pytest.mark.parametrize(
    "name", ["celeba-128", "celeba-256", "x-domain", "cifar-100-lt-1024", "imagenet-lt", "memory"]
)
def test_the_loss_needs_no_more_memory_than_it_states(name):
    import loss as benchmark

    from longtail import ClassRectificationLoss

    def step(crl, batch):
        crl(batch.logits, batch.labels, batch.features).backward()

    batch = benchmark.Batch(benchmark.SHAPES[name], "cpu")
    (n, j, k), d, a = batch.logits.shape, batch.features.shape[2], batch.anchors.row.shape[1]
    instance = max(12 * a * n * j + 4 * n * j * d, 4 * a * n * j + 20 * n * j * d)
    of_class = 48 * a * j * benchmark.KAPPA + 16 * n * j * k
    to_sort_in = 1_500_000
    for level, comparison, tables in (
        ("instance", "relative", instance),
        ("class", "absolute", of_class),
        ("class", "relative", 16 * n * j * k),  # holds no table of pairs on a CPU
    ):
        crl = ClassRectificationLoss(level=level, comparison=comparison, kappa=benchmark.KAPPA)
        held = benchmark.bytes_beyond(batch, partial(step, crl, batch))
        assert held <= tables + to_sort_in
        assert held >= (0.5 * tables if comparison == "absolute" or level == "instance" else n * j * k)


@pytest.mark.usefixtures("benchmarks")
def test_the_verdict_names_what_changed():
    import bench

    def document(**ratios):
        return {"cases": [{"name": "a", "ratios": ratios}]}

    before = document(loops=100.0, floor=0.5, pml=10.0, gone=1.0)
    lines = bench.verdict(before, document(loops=60.0, floor=0.52, pml=20.0, new=3.0))
    assert lines == [
        "slower: a: loops takes 60 x ours, was 100 x",
        "faster: a: pml takes 20 x ours, was 10 x",
        "1 of 3 ratios within 0.75 to 1.33",
    ]


@pytest.mark.usefixtures("benchmarks")
def test_rules_for_wrong_labels_are_judged_by_those_that_were_planted():
    import labels as benchmark

    rng = np.random.default_rng(0)
    true = np.repeat([0, 1, 2], [200, 100, 20])
    vectors = (np.eye(3)[true] + 0.1 * rng.normal(size=(320, 3))).astype(np.float32)
    problem = benchmark.Problem(vectors, true, np.arange(320), 3)
    clean = benchmark.judged(problem, true, 0)
    for kind in benchmark.KINDS:
        labels = benchmark.planted(problem, clean, kind, 0.05, 0)
        assert (labels != true).sum() == 16
        rows = benchmark.trial(problem, clean, kind, 0.05, 0)
        assert rows.keys() == benchmark.RULES.keys()
        assert min(rows["margin_½"][:2]) > 90  # they are far from their class
        assert max(rows["listed"][2:]) < 1
        assert rows["confident joint"][1] > 90
    order, wrong = rng.random(50), rng.random(50) < 0.2
    above = [order >= order[i] for i in np.flatnonzero(wrong)]
    expected = np.mean([wrong[own].mean() for own in above])
    assert benchmark.average_precision(order, wrong) == pytest.approx(expected)


@pytest.mark.usefixtures("benchmarks")
def test_the_diagnosis_counts_batches_and_pulls(tmp_path, monkeypatch):
    import diagnosis

    monkeypatch.setattr(diagnosis, "in_the_plane", lambda features: features[:, :2])  # t-SNE takes a second
    output = tmp_path / "found.json"
    flags = ["--image-size", "8", "--epochs", "1", "--tail-ratio", "20"]
    flags += ["--output", str(output), "--pictures", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["diagnosis.py", "digits", *flags])
    diagnosis.main()
    assert "NaN" not in output.read_text()  # which is not JSON
    found = json.loads(output.read_text())
    for name, watched in found["watched"].items():
        shares = zip(*watched["batches"].values())
        assert all(sum(own) == pytest.approx(1, abs=1e-3) for own in shares)
        pulls = [v for row in watched["gradient"]["crl"] for v in row if v is not None]
        assert (max(pulls) > 0) == (name != "cross entropy")
    assert len(list(tmp_path.glob("*.png"))) == 3


SCRIPTS = [
    path for folder in ("benchmarks", "docs", "examples") for path in sorted((ROOT / folder).glob("*.py"))
]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_takes_from_the_package_what_is_there(path):
    """Scripts outside of the package are not type-checked, and most are run by hand."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "longtail":
            module = importlib.import_module(node.module)
            for name in (alias.name for alias in node.names):
                inner = hasattr(module, "__path__") and importlib.util.find_spec(f"{node.module}.{name}")
                assert hasattr(module, name) or inner, (
                    f"{path.name}, line {node.lineno}: {node.module} has no {name}"
                )
