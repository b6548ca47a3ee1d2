"""Help must come at once: nothing heavy may be imported for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Noise = Callable[..., list[str]]

HEAVY = {
    "torch",
    "numpy",
    "sklearn",
    "scipy",
    "matplotlib",
    "lightning_fabric",
    "PIL",
    "rich",
    "yaml",
    "jinja2",
}

SCRIPT = """
import sys
from longtail.cli import main
assert main({arguments!r}) == 0
print("MODULES", *{{name.partition(".")[0] for name in sys.modules}})
"""

BARE = 'import sys; print(*{name.partition(".")[0] for name in sys.modules})'
"""What the environment itself loads, as hooks of editable installs."""


def test_to_look_at_data_needs_no_engine_of_trainings(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").touch()
    assert "lightning_fabric" not in loaded(["diagnose", str(tmp_path), "--labels-only"])


def loaded(arguments: list[str]) -> set[str]:
    script = SCRIPT.format(arguments=arguments)
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    return set(output.partition("MODULES")[2].split())


@pytest.mark.parametrize("arguments", [["train", "--help"], ["compare", "--help-all"], ["methods"]])
def test_help_imports_nothing_heavy(arguments: list[str]):
    assert "longtail" in loaded(arguments)
    assert not loaded(arguments) & HEAVY


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], []])
def test_what_needs_no_command_imports_none(arguments: list[str]):
    known = {*sys.stdlib_module_names, "longtail", "__main__"}
    before = subprocess.run([sys.executable, "-c", BARE], capture_output=True, text=True, check=True).stdout
    assert not loaded(arguments) - known - set(before.split())


def test_a_prediction_imports_what_its_network_needs(untrained: Callable[..., Path], noise: Noise):
    (image,) = noise("a.png")
    found = loaded(["predict", str(untrained(kind=("a", "b"))), image, "--accelerator", "cpu", "--quiet"])
    assert "torch" in found
    assert not found & {"lightning_fabric", "sympy", "scipy", "sklearn", "matplotlib", "jinja2", "pyarrow"}


def test_python_dash_m_is_the_program():
    ended = subprocess.run(
        [sys.executable, "-m", "longtail", "--version"], capture_output=True, text=True, check=True
    )
    assert ended.stdout == "longtail 0.1.0\n"


def test_a_reader_that_leaves_early_is_no_error():
    code = "import sys, time; time.sleep(0.3); from longtail.cli import main; sys.exit(main(['methods']))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr as stream:
        assert stream.read() == b""
    assert process.wait() == 141
