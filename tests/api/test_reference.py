"""docs/api.md is that of the docstrings, and its examples run one after the other."""

import importlib.util
import re
from pathlib import Path

import numpy

import longtail

ROOT = Path(__file__).parents[2]


def page():
    spec = importlib.util.spec_from_file_location("make_api", ROOT / "docs/make_api.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.render()


def test_the_reference_is_that_of_the_docstrings():
    assert (ROOT / "docs/api.md").read_text(encoding="utf-8") == page(), "run make docs"


def test_every_public_name_is_described():
    names = re.findall(r"^## longtail\.(\w+)$", page(), re.MULTILINE)
    assert sorted(names) == sorted(set(longtail.__all__) - {"__version__"})


def test_a_section_is_a_list_and_an_example_a_block():
    assert "- `coverage`: give prediction sets that hold the true class of this share of images." in page()
    assert '```python\nmodel = longtail.load("runs/first", decision="prior", coverage=0.9)\n```' in page()
    assert not re.search(r"^(Args|Attributes|Returns|Raises|Example)::?$", page(), re.MULTILINE)


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", page(), re.DOTALL)
    shared = {"longtail": longtail, "numpy": numpy}
    assert len(examples) > 5
    for example in examples:
        if "longtail.compare" not in example:  # minutes of processes; tests/api/test_jobs.py compares
            exec(example, shared)
    assert "class-balanced accuracy" in capsys.readouterr().out
