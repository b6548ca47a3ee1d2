"""Damaged files, and what the command line makes of them: a part of `faults.py`."""

from __future__ import annotations

import io
import json
import random
import shutil
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtail.cli import main
from longtail.errors import InputError
from longtail.training.checkpoint import load_model
from longtail.training.state import load_state

ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**63, 1e308, -1e308, 1e-320, float("nan"), float("inf"),
    "", "\udc80", "\0", "é" * 999, [], {}, [[]], {"": {}}, "nan", "1e999",
)  # fmt: skip
"""Values in place of others in a document."""

DEEP = 100_000
"""Levels of the deepest nesting."""


def flipped(content: bytes, chance: random.Random) -> bytes:
    """One bit."""
    place = chance.randrange(len(content) * 8)
    return b"".join(
        (content[: place // 8], bytes([content[place // 8] ^ 1 << place % 8]), content[place // 8 + 1 :])
    )


def cut(content: bytes, chance: random.Random) -> bytes:
    """The end is missing."""
    return content[: chance.randrange(len(content))]


def spliced(content: bytes, chance: random.Random) -> bytes:
    """A piece is missing, doubled, zero or noise."""
    start, length = chance.randrange(len(content)), chance.choice((1, 2, 8, 64, 512))
    piece = content[start : start + length]
    other = chance.choice((b"", piece * 2, bytes(len(piece)), chance.randbytes(len(piece)), b"\xff\xfe"))
    return content[:start] + other + content[start + length :]


def nested(content: bytes, chance: random.Random) -> bytes:
    """Brackets deeper than any parser's stack, somewhere."""
    start = chance.choice((0, chance.randrange(len(content))))
    opening, closing = chance.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"a = [", b"]"), (b"- ", b"")))
    depth = chance.choice((500, 2000, DEEP))
    return content[:start] + opening * depth + closing * depth + content[start:]


def odd_value(content: bytes, chance: random.Random) -> bytes:
    """Another value at a random place of a JSON document, or of a line of one."""
    lines = content.splitlines() if b"\n{" in content else [content]
    number = chance.randrange(len(lines))
    document = json.loads(lines[number])
    place = document
    for _ in range(chance.randrange(1, 5)):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = chance.choice(keys)
        if not isinstance(place[key], (dict, list)) or chance.random() < 0.4:
            place[key] = chance.choice(ODD)
            break
        place = place[key]
    lines[number] = json.dumps(document).encode()
    return b"\n".join(lines)


Mutation = Callable[[bytes, random.Random], bytes]

BYTES: tuple[Mutation, ...] = (flipped, cut, spliced)
TEXTS: tuple[Mutation, ...] = (flipped, cut, spliced, nested)
DOCUMENTS: tuple[Mutation, ...] = (flipped, cut, spliced, nested, odd_value, odd_value)


@dataclass(frozen=True)
class Target:
    """A file that is damaged, and what reads it.

    Attributes:
        file: that is damaged, in a copy of the run's folder or beside it.
        read: raises `InputError`, or returns the exit code of a command.
        mutations: that make sense for it.
        sealed: whether every change must be refused.
    """

    file: Path
    read: Callable[[Path], int]
    mutations: Sequence[Mutation]
    sealed: bool = False


def command(*words: str) -> int:
    """The exit code of a command line in this process; what it writes is dropped."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return main(list(words))


def targets(run: Path, unfinished: Path, table: Path, images: Path, settings: Sequence[Path]) -> list[Target]:
    """All files that the program reads, with the command that reads each."""

    def evaluated(path: Path) -> int:
        return command("evaluate", str(path.parent), "--output", str(run.parent / "again.json"), "--quiet")

    def reported(path: Path) -> int:
        return command("evaluate", str(path.parent), "--quiet")

    def planned(path: Path) -> int:
        return command("train", str(path), "--images", str(images), *PLAN)

    def configured(path: Path) -> int:
        return command("train", "--config", str(path), *PLAN)

    def joined(path: Path) -> int:
        return command("compare", str(path.parent), "--output", str(run.parent / "joined"), "--quiet")

    def resumed(path: Path) -> int:
        return command("train", "--resume", str(path.parent), "--quiet")

    return [
        Target(run / "model.safetensors", lambda path: bool(load_model(path)) - 1, BYTES, sealed=True),
        Target(unfinished / "state.pt", lambda path: bool(load_state(path)) - 1, BYTES, sealed=True),
        Target(unfinished / "origin.json", resumed, DOCUMENTS),
        Target(run / "config.json", evaluated, DOCUMENTS),
        Target(run / "splits.json", evaluated, DOCUMENTS),
        Target(run / "metrics.jsonl", reported, DOCUMENTS),
        Target(run / "results.json", joined, DOCUMENTS),
        *(Target(path, configured, (*TEXTS, nested)) for path in settings),
        Target(table, planned, TEXTS),
        Target(table.with_suffix(".parquet"), planned, BYTES),
    ]


PLAN = ("--dry-run", "--method", "ce", "--backbone", "convnet", "--epochs", "1", "--quiet")


def damage(target: Target, times: int, chance: random.Random) -> tuple[Counter[str], list[str]]:
    """Damage a file so many times: how each ended, and what should not have happened."""
    found: Counter[str] = Counter()
    faults: list[str] = []
    content, folder = target.file.read_bytes(), target.file.parent
    copy = folder.with_name(f"{folder.name}-damaged")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    whole, _ = outcome(target, copy / target.file.name)
    if whole not in ("accepted", "unnoticed"):
        faults.append(f"{target.file.name}: {whole} before it was damaged")
    for number in range(times):
        mutation = target.mutations[number % len(target.mutations)]
        damaged = mutation(content, chance)
        if damaged == content:
            continue
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        (copy / target.file.name).write_bytes(damaged)
        ended, fault = outcome(target, copy / target.file.name)
        found[ended] += 1
        if fault:
            faults.append(f"{target.file.name}, {mutation.__name__} {number}: {fault}")
    shutil.rmtree(copy, ignore_errors=True)
    return found, faults


def outcome(target: Target, path: Path) -> tuple[str, str | None]:
    """How the reader ended: refused, accepted, passed unnoticed, or with a traceback."""
    try:
        code = target.read(path)
    except InputError:
        return "refused", None
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = next((frame for frame in reversed(frames) if "longtail" in frame.filename), frames[-1])
        place = f"{Path(own.filename).name}:{own.lineno}"
        return "traceback", f"{type(error).__name__}: {str(error)[:100]} ({place})"
    with suppress(KeyError):
        return {2: "refused", 1: "refused"}[code], None
    return ("unnoticed", "was read as if it were whole") if target.sealed else ("accepted", None)
