from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

import pytest

from longtail.cli.app import build_app
from longtail.methods.options import MethodOptions
from longtail.training.config import DataOptions, TrainConfig

from .conftest import Run

COMMANDS = ["train", "compare", "evaluate", "predict", "diagnose", "methods", "data"]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("arguments", [[], ["--help"], *([name, "--help"] for name in COMMANDS)])
def test_a_page_fits_into_80_columns(run: Run, arguments: list[str]):
    ended = run(*arguments)
    assert (ended.code, ended.err) == (0, "")
    assert max(map(len, ended.out.splitlines())) <= 80
    assert not any(line.endswith(" ") for line in ended.out.splitlines())


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_has_usage_summary_and_examples_that_can_be_typed(run: Run, name: str):
    page = run(name, "-h").out
    assert page.startswith(f"Usage: longtail {name}")
    examples = re.findall(r"^  (longtail .*)$", page.partition("Examples:\n")[2], re.MULTILINE)
    assert 2 <= len(examples) <= 5
    for example in examples:
        words = example.partition(" > ")[0].split()[1:]
        build_app().parse_args(words, exit_on_error=False, print_error=False)


def test_the_first_page_lists_every_command(run: Run):
    listed = re.findall(r"^  (\w+) ", run("--help").out.partition("Commands:")[2], re.MULTILINE)
    assert listed[: len(COMMANDS)] == COMMANDS == list(build_app())
    assert run().out == run("-h").out == run("--help").out


TABLES = {
    name: kind
    for name, kind in get_type_hints(MethodOptions).items()
    if isinstance(kind, type) and is_dataclass(kind)
}


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
    run: Run, cls: type[Any], prefix: str, left: set[str]
):
    page = " ".join(run("train", "--help").out.split())
    for field in fields(cls):
        if field.name in left:
            continue
        flag = prefix + field.name.replace("_", "-")
        shown = re.search(rf"{re.escape(flag)}( [A-Z.]+)? [A-Z0-9a-z].*?(?= --|$)", page)
        assert shown, flag
        assert len(shown[0]) > len(flag) + 20, f"{flag} has no text"
        silent = field.default is None or field.default is False or field.default == ()
        assert (f"[default: {field.default}]" in shown[0]) != silent


def test_only_data_stand_without_a_flag(run: Run):
    page = run("train", "--help").out
    arguments = page.partition("Arguments:\n")[2].partition("\n\n")[0]
    assert re.findall(r"^  (\S+)", arguments, re.MULTILINE) == ["DATA"]
    assert "--data" not in page


def test_negative_forms_are_understood_but_not_shown(run: Run):
    assert "--no-" not in run("train", "--help").out
    words = ["train", "photos", "--no-skip-unreadable", "--no-shared-feature"]
    _, bound, _ = build_app().parse_args(words, exit_on_error=False, print_error=False)
    given = bound.arguments["flags"].given()
    assert given == {"shared_feature": False, "data_options": {"skip_unreadable": False}}


def test_choices_are_shown(run: Run):
    page = " ".join(run("train", "--help").out.split())
    assert "[auto, cpu, cuda, mps] [default: auto]" in page
    assert "[relative, absolute, distribution] [default: relative]" in page


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
