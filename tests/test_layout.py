"""The shape of the package: what is public, and that rooms import only downwards."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import longtail

ROOT = Path(longtail.__file__).parent
FLOORS = [
    {
        "documents",
        "errors",
        "files",
        "norms",
        "ranks",
        "schema",
        "settings",
        "tables",
        "tensors",
        "threads",
        "words",
    },
    {"rectification"},
    {"losses"},
    {"decisions"},
    {"sampling"},
    {"models"},
    {"data"},
    {"images"},
    {"features"},
    {"methods"},
    {"evaluation"},
    {"training"},
    {"reporting"},
    {"diagnosing"},
    {"runs"},
    {"comparing"},
    {"exporting"},
    {"cli"},
    {"api"},
]
HEIGHT = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}


def imported_rooms(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names] + [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from (name.split(".")[1] for name in names if name.startswith("longtail.") and name.count("."))


@pytest.mark.parametrize("file", sorted(ROOT.rglob("*.py")), ids=lambda file: str(file.relative_to(ROOT)))
def test_a_room_imports_only_downwards(file):
    room = file.relative_to(ROOT).parts[0].removesuffix(".py")
    if room in ("__init__", "__main__"):
        return
    assert room in HEIGHT, "a new room: give it a floor here and in CONTRIBUTING.md"
    above = {other for other in imported_rooms(file) if HEIGHT.get(other, -1) > HEIGHT[room]}
    assert not above


def test_the_public_names_are_these():
    assert sorted(longtail.__all__) == [
        "ClassRectificationLoss",
        "InputError",
        "Interrupted",
        "Model",
        "Rectification",
        "__version__",
        "balanced_loss",
        "compare",
        "diagnose",
        "from_binary",
        "gather_ranks",
        "load",
        "one_batch",
        "resume",
        "table",
        "tpami_alpha",
        "train",
        "training_imbalance",
    ]
    assert all(getattr(longtail, name) is not None for name in longtail.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        longtail.nothing  # noqa: B018


def modules_after(statement):
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_importing_the_package_is_light():
    heavy = {"torch", "numpy", "sklearn", "matplotlib", "PIL", "lightning_fabric", "cyclopts"}
    assert not heavy & set(modules_after("import longtail"))


def test_rectification_can_be_lifted_out_alone():
    own = {name for name in modules_after("import longtail.rectification") if name.startswith("longtail.")}
    assert {name.split(".")[1] for name in own} == {"rectification", "schema", "tensors"}
