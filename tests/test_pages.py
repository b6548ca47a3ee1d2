"""Every code block of the pages runs, or is at least understood by what it is written for.

A block that cannot run has the comment `<!-- not run: REASON -->` on the line before it.
"""

from __future__ import annotations

import csv
import re
import shlex
import shutil
import tomllib
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import TensorDataset

from longtail.cli import main
from longtail.cli.app import COMMANDS
from longtail.cli.parsing import Command
from longtail.training import defaults

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
FENCE = re.compile(r"(?:^<!-- not run: ([^\n]+) -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")

ELSEWHERE = {
    "README.md": (2, "tests/test_readme.py"),
    "docs/deploy.md": (2, "tests/exporting/test_docs.py"),
    "docs/methods.md": (1, "tests/runs/test_own_method.py"),
    "docs/api.md": (None, "tests/api/test_reference.py"),
}
"""Pages whose blocks of Python run in another test, and how many there are; docs/api.md is generated."""

GENERATED = ("docs/api.md", "docs/commands.md")
"""Pages whose blocks of text the program writes; other tests compare them with what it writes now."""


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        page: path from the root.
        language: as it is marked.
        text: without the fences.
        reason: why it does not run, None where it does.
    """

    page: str
    language: str
    text: str
    reason: str | None

    def __str__(self) -> str:
        return f"{self.page}: {self.text.strip().partition(chr(10))[0][:50]}"


def read(page: Path) -> list[Block]:
    found = FENCE.findall(page.read_text(encoding="utf-8"))
    name = page.relative_to(ROOT).as_posix()
    return [Block(name, language, text, reason or None) for reason, language, text in found]


BLOCKS = [block for page in PAGES for block in read(page)]
RUN = [block for block in BLOCKS if block.reason is None]
EXECUTED = [block for block in RUN if block.language == "python" and block.page not in ELSEWHERE]


def commands(block: Block) -> list[list[str]]:
    """Lines of a shell, as words, without comments; a line that ends with \\ goes on."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


LINES = [(block, words) for block in RUN if block.language == "sh" for words in commands(block)]
QUICK = [words for block, words in LINES if block.page == "docs/quickstart.md" and words[1] != "compare"]
"""The lines that are run as they stand; the one that compares takes processes of its own."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data and the runs that the pages name."""
    place = tmp_path_factory.mktemp("pages")
    (place / "configs").symlink_to(ROOT / "configs")
    for folder in ("photos/cat", "photos/dog", "new-photos"):
        (place / folder).mkdir(parents=True)
        for i in range(8):
            Image.new("RGB", (32, 32), (i * 20, 200 if folder.endswith("dog") else 60, 90)).save(
                place / folder / f"{i}.jpg"
            )
    table = [
        f"{a}/{i}.jpg,{a},{c},{s},{i}"
        for a in ("cat", "dog")
        for i, c, s in zip(range(8), "rb" * 4, "xxyy" * 2)
    ]
    for name in ("labels.csv", "suspects/labels.csv"):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text("\n".join(["image,animal,colour,shape,group", *table]) + "\n")
    (toml,) = (block.text for block in RUN if block.language == "toml")
    (place / "experiment.toml").write_text(toml)
    (place / "runs/paper").mkdir(parents=True)
    shutil.copy(ROOT / "benchmarks/results/comparison-clothing-30.json", place / "runs/paper/comparison.json")
    (own,) = (block.text for block in RUN if block.page == "docs/methods.md" and block.language == "python")
    (place / "own.py").write_text(own)
    return place


@pytest.fixture(scope="module")
def said(place: Path) -> dict[str, int]:
    """The quick start, run line by line: exit codes; its run is that of all other pages."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        return {" ".join(words): main(words[1:]) for words in QUICK}


def test_the_quick_start_runs(said: dict[str, int], place: Path):
    assert len(said) >= 3
    assert set(said.values()) == {0}
    assert (place / "runs/first/report.html").exists()


@pytest.mark.parametrize("block", EXECUTED, ids=str)
@pytest.mark.usefixtures("said")
def test_python_runs(block: Block, place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(place)
    if block.page == "docs/scaling.md":
        with one_process(place):
            exec(compile(block.text, block.page, "exec"), {"network": Network(), "data": data()})
    else:
        exec(compile(block.text, block.page, "exec"), {})


class Network(nn.Module):
    """The reader's own network: images -> logits (N, J, K), features (N, J, D)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(48, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.body(images.flatten(1))[:, None]
        return self.head(features), features


def data() -> TensorDataset:
    labels = torch.arange(128)[:, None] % 8 % 3
    return TensorDataset(torch.randn(128, 3, 4, 4), labels)


@contextmanager
def one_process(place: Path) -> Generator[None]:
    """A group of one process."""
    torch.distributed.init_process_group("gloo", f"file://{place / 'group'}", rank=0, world_size=1)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
@pytest.mark.usefixtures("said")
def test_shell_lines_are_understood(page: Path, place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(place)
    for block, words in LINES:
        if ROOT / block.page == page:
            expect_understood(words)


def expect_understood(words: list[str]) -> None:
    """A command of ours binds to its function; a target, an extra and a file exist."""
    if words[0] in ("torchrun", "srun"):  # what they start is a command of ours
        words = words[words.index("longtail") :]
    if words[0] == "longtail":
        Command.named(words[1]).bind(words[2:])
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE), words
    elif words[:2] == ["pip", "install"]:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
            "optional-dependencies"
        ]
        assert set(re.findall(r"\w+", words[2].partition("[")[2])) <= set(extras), words
    else:
        raise AssertionError(f"not understood: {words}")


DRY = [
    words
    for _, words in LINES
    if words[:2] == ["longtail", "train"]
    and not any(word.startswith(("timm:", "--resume", "--devices", "net.")) for word in words)
    and not set(words) & {"cifar-10-python.tar.gz"}
]


def test_trainings_can_begin(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(place)
    monkeypatch.setattr(defaults, "MOST_EPOCHS", 1)
    for words in dict.fromkeys(map(tuple, DRY)):
        arguments = [*words[1:], *(["--dry-run"] if "--dry-run" not in words else [])]
        output = [] if "--output" in words else ["--output", "runs/none"]
        assert main([*arguments, *output, "--overwrite"]) == 0, (words, capsys.readouterr().err)


def test_settings_and_tables_are_read(place: Path):
    for block in RUN:
        if block.language == "toml":
            assert tomllib.loads(block.text)
        if block.language == "csv":
            (head, *rows) = csv.reader(block.text.splitlines())
            assert all(len(row) == len(head) for row in rows)


@cache
def flags(name: str) -> frozenset[str]:
    return frozenset(name for argument in Command.named(name).arguments() for name in argument.names)


def wrong_flags(span: str) -> list[str]:
    """Flags of a `longtail …` or `--flag …` in the text that no command has."""
    words = span.split()
    named = [words[1]] if words[0] == "longtail" and len(words) > 1 else [*COMMANDS]
    known = {"--help", "--help-all", "--version"}.union(*(flags(name) for name in named if name in COMMANDS))
    typed = [word.partition("=")[0].rstrip(".,") for word in words if re.match(r"--[a-z]", word)]
    return [flag for flag in typed if flag not in known]


def test_flags_in_the_text_exist():
    seen = 0
    for page in PAGES:
        text = FENCE.sub("", page.read_text(encoding="utf-8"))
        spans = [span for span in SPAN.findall(text) if span.startswith(("longtail ", "--"))]
        seen += len(spans)
        wrong = {span: flags for span in spans if (flags := wrong_flags(span))}
        assert not wrong or page.parent.name == "benchmarks", page.name
    assert seen > 200


def test_a_flag_that_is_gone_is_found():
    assert wrong_flags("longtail predict runs/first --epochs 3") == ["--epochs"]
    assert wrong_flags("--no-such-flag") == ["--no-such-flag"]
    assert wrong_flags("longtail train --epochs 3") == []


def test_no_block_is_left_out():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        fences = len(re.findall(r"^\s*```", text, re.MULTILINE))
        assert fences == 2 * len(read(page)), f"{page.name}: a fence that does not begin its line"
        assert not re.search(r"^    longtail ", FENCE.sub("", text), re.MULTILINE), f"{page.name}: not fenced"
    assert {block.language for block in BLOCKS} <= {"python", "pycon", "sh", "toml", "csv", "text"}
    assert {block.page for block in BLOCKS if block.language in ("text", "pycon")} <= {*GENERATED}


def test_pages_that_run_elsewhere_have_the_blocks_that_run_there():
    for page, (count, test) in ELSEWHERE.items():
        here = [block for block in RUN if block.page == page and block.language == "python"]
        assert count in (None, len(here)), f"{page}: {len(here)} blocks, {test} runs {count}"
        assert Path(page).name in (ROOT / test).read_text(encoding="utf-8")


def test_the_count_of_blocks():
    counts = Counter(block.language for block in RUN)
    marked = [str(block) for block in BLOCKS if block.reason]
    figures = {
        **counts,
        "executed here": len(EXECUTED),
        "shell lines": len(LINES),
        "dry runs": len(DRY),
        "marked": marked,
    }
    print(figures)
    assert len(EXECUTED) >= 5
    assert counts["python"] >= 18
    assert len(LINES) >= 45
    assert len(DRY) >= 15
    assert len(marked) == 3
