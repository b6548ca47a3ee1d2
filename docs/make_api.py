"""Write docs/api.md: every public name with its signature and its docstring."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import longtail

WIDTH = 100

PLACE = Path(__file__).parent / "api.md"

HEAD = """# Python

Made by `make docs` from the docstrings. `import longtail` is light: torch is loaded when a name needs it.
Keyword arguments of jobs are the flags of `longtail train` ([commands](commands.md)), with underscores;
`--from RUN` is `start=RUN`.
A mistake raises `longtail.InputError` with the line that the command prints. No function ends the program.
"""

ORDER = ("train", "load", "Model", "compare", "diagnose", "resume", "table")
"""Names that come first; the others follow by the alphabet."""


SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Example)::?\n", re.MULTILINE)
"""Head of a part of a docstring."""


def render() -> str:
    """The page."""
    others = sorted(name for name in longtail.__all__ if name not in ORDER and name != "__version__")
    return "\n".join([HEAD, *(part for name in (*ORDER, *others) for part in _section(name))])


def _section(name: str) -> Iterator[str]:
    found = getattr(longtail, name)
    yield f"## longtail.{name}\n"
    yield from _described(name, found)
    if inspect.isclass(found) and not issubclass(found, Exception):
        for member, value in vars(found).items():
            if not member.startswith("_") and value.__doc__ and (callable(value) or _is_property(value)):
                yield f"### {name}.{member}\n"
                yield from _described(f"{name}.{member}", value)


def _is_property(value: Any) -> bool:
    return isinstance(value, property) or hasattr(value, "attrname")


def _described(name: str, found: Any) -> Iterator[str]:
    """How it is called, and its docstring as Markdown."""
    if callable(found) and not (inspect.isclass(found) and issubclass(found, Exception)):
        yield f"```text\n{_call(name, inspect.signature(found))}\n```\n"
    text = inspect.cleandoc(found.__doc__ or "")
    parts = SECTION.split(text)
    yield f"{parts[0].strip()}\n"
    for head, body in zip(parts[1::2], parts[2::2], strict=True):
        inside, after = _indented(body)
        yield from _example(inside) if head == "Example" else _list(head, inside)
        if after:
            yield f"{after}\n"


def _indented(body: str) -> tuple[str, str]:
    """What belongs to a section, without its indentation, and the paragraphs after it."""
    found = re.match(r"(?:(?: {4}.*)?\n?)*", body)
    inside = found[0] if found else ""
    return dedent(inside).strip("\n"), body[len(inside) :].strip()


def _example(code: str) -> Iterator[str]:
    yield f"```{'pycon' if code.startswith('>>>') else 'python'}\n{code}\n```\n"


def _list(head: str, inside: str) -> Iterator[str]:
    """Arguments, attributes or errors, one an item; anything else as a sentence."""
    yield f"**{'Arguments' if head == 'Args' else head}**\n"
    items = re.split(r"\n(?! )", inside)
    named = [re.match(r"([\w, ]+): (.*)", item, re.DOTALL) for item in items]
    if not all(named):
        yield f"{inside}\n"
    else:
        yield "\n".join(f"- `{item[1]}`: {' '.join(item[2].split())}" for item in named if item) + "\n"


def _call(name: str, signature: inspect.Signature) -> str:
    """How it is called, an argument a line where one line would be too long."""
    text = re.sub(r"ForwardRef\(('[^']*')[^)]*\)", r"\1", str(signature))  # what is not quoted is a default
    text = re.sub(r"(: |-> )'([^']*)'", r"\1\2", re.sub(r"longtail\.[a-z_.]+\.", "", text))
    if len(name) + len(text) <= WIDTH:
        return f"{name}{text}"
    inside, _, result = text[1:].rpartition(")")
    arguments = re.split(r", (?![^\[(]*[\])])", inside)
    return "\n".join([f"{name}(", *(f"    {one}," for one in arguments), f"){result}"])


if __name__ == "__main__":
    PLACE.write_text(render(), encoding="utf-8")
