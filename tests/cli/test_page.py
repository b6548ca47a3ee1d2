from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from longtail.cli.app import COMMANDS
from longtail.cli.page import EVERYDAY
from longtail.cli.parsing import Command
from longtail.methods.options import MethodOptions
from longtail.training.config import CONFIG, TrainConfig
from longtail.training.data_options import DataOptions

from .conftest import Run


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize(
    "arguments",
    [[], ["--help"], *([name, flag] for name in COMMANDS for flag in ("--help", "--help-all"))],
)
def test_a_page_fits_into_80_columns(run: Run, arguments: list[str]):
    ended = run(*arguments)
    assert (ended.code, ended.err) == (0, "")
    assert max(map(len, ended.out.splitlines())) <= 80
    assert not any(line.endswith(" ") for line in ended.out.splitlines())


@pytest.fixture
def examples_exist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The runs and the file that the examples name."""
    monkeypatch.chdir(tmp_path)
    Path("experiment.toml").write_text('data = "photos"\n')
    for name in ("first", "ce-seed0", "ce-seed1", "crl-seed0", "crl-seed1"):
        Path("runs", name).mkdir(parents=True)
        CONFIG.write(Path("runs", name, "config.json"), TrainConfig("photos"))


@pytest.mark.usefixtures("examples_exist")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_has_usage_summary_and_examples_that_can_be_typed(run: Run, name: str):
    page = run(name, "-h").out
    assert page.startswith(f"Usage: longtail {name}")
    examples = re.findall(r"^  (longtail .*)$", page.partition("Examples:\n")[2], re.MULTILINE)
    assert 2 <= len(examples) <= 5
    for example in examples:
        words = example.partition(" > ")[0].split()[1:]
        Command.named(words[0]).bind(words[1:])


def test_the_first_page_lists_every_command(run: Run):
    listed = re.findall(r"^  (\w+) ", run("--help").out.partition("Commands:")[2], re.MULTILINE)
    assert listed[: len(COMMANDS)] == [*COMMANDS]
    assert run().out == run("-h").out == run("--help").out


@pytest.mark.parametrize("name", COMMANDS)
def test_the_first_page_says_of_a_command_what_its_own_page_says_first(run: Run, name: str):
    assert f"\n\n{COMMANDS[name]}" in run(name, "--help").out.replace("\n", " ").replace("  ", "\n\n")


TABLES = {
    name: kind
    for name, kind in get_type_hints(MethodOptions).items()
    if isinstance(kind, type) and is_dataclass(kind)
}


@pytest.fixture(scope="module")
def printed() -> list[str]:
    return []


@pytest.fixture
def all_flags(run: Run, printed: list[str]) -> str:
    """The page with all flags of train as one line; it is printed once."""
    if not printed:
        printed.append(" ".join(run("train", "--help-all").out.split()))
    return printed[0]


@pytest.mark.parametrize(
    ("cls", "prefix", "left"),
    [
        (TrainConfig, "--", {"data", "start", "data_options", "method_options"}),
        (MethodOptions, "--", set(TABLES)),
        *((part, f"--{name}.", set[str]()) for name, part in TABLES.items()),
        (DataOptions, "--", set[str]()),
    ],
)
def test_every_setting_is_shown_with_its_text_and_its_default(
    all_flags: str, cls: type[Any], prefix: str, left: set[str]
):
    for field in fields(cls):
        if field.name in left:
            continue
        flag = prefix + field.name.replace("_", "-")
        shown = re.search(rf"{re.escape(flag)}( [A-Z.]+)? [A-Z0-9a-z].*?(?= --|$)", all_flags)
        assert shown, flag
        assert len(shown[0]) > len(flag) + 20, f"{flag} has no text"
        silent = field.default is None or field.default is False or field.default == ()
        assert (f"[default: {field.default}]" in shown[0]) != silent


def test_only_data_stand_without_a_flag(run: Run):
    page = run("train", "--help").out
    arguments = page.partition("Arguments:\n")[2].partition("\n\n")[0]
    assert re.findall(r"^  (\S+)", arguments, re.MULTILINE) == ["DATA"]
    assert "--data" not in page


def test_negative_forms_are_not_shown(run: Run):
    assert "--no-" not in run("train", "--help-all").out.replace("--no-images", "")  # that is its name


def flags(page: str) -> list[str]:
    return re.findall(r"^  (--[\w.-]+)", page, re.MULTILINE)


@pytest.mark.parametrize("name", ["train", "compare"])
def test_the_short_page_has_the_flags_of_everyday_use_and_names_the_long_one(run: Run, name: str):
    short, long = run(name, "--help").out, run(name, "--help-all").out
    assert 25 <= len(flags(short)) <= 40
    assert not any("." in flag for flag in flags(short))
    assert set(flags(short)) - {"--help-all"} < set(flags(long))
    assert f" --help-all Show {len(flags(long)) - len(flags(short)) + 1} more flags." in " ".join(
        short.split()
    )
    assert "--help-all" not in long


def test_every_everyday_setting_is_a_setting():
    known = {field.name for cls in (TrainConfig, DataOptions, MethodOptions) for field in fields(cls)}
    assert known >= EVERYDAY


def test_devices_and_the_run_stand_last_and_what_is_compared_first(run: Run):
    headings = re.findall(r"^(\w[\w ]+):$", run("compare", "--help-all").out, re.MULTILINE)
    assert headings[:3] == ["Arguments", "Comparison", "Training"]
    assert headings[-3:] == ["Devices and report", "Run", "Examples"]
    assert "Class Rectification Loss" in headings


def test_choices_are_shown(all_flags: str):
    assert "[auto, cpu, cuda, mps] [default: auto]" in all_flags
    assert "[relative, absolute, distribution, log-odds] [default: relative]" in all_flags


def test_headings_are_bold_on_a_terminal_alone(run: Run, monkeypatch: pytest.MonkeyPatch):
    assert "\x1b" not in run("--help").out
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert run("--help").out.startswith("\x1b[1mUsage:\x1b[0m")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run("--help").out


def test_help_for_a_command_that_is_not_there_is_a_mistake(run: Run):
    assert run("trian", "--help").mistake.endswith("got 'trian'. Did you mean 'train'?")
