"""Writes src/longtail/api/options.py: what Python callers may pass, from the classes that define it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from longtail.methods.options import MethodOptions
from longtail.training.config import TrainConfig
from longtail.training.data_options import DataOptions

PLACE = Path(__file__).parents[1] / "src/longtail/api/options.py"

HEAD = '''"""Keyword arguments of the jobs, the same as the flags: written by docs/make_options.py.

What each one means stands at the field of its name in `DataOptions`, `MethodOptions` and `TrainConfig`, and
in `longtail train --help-all`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict

from longtail.methods.options import (
{imports}
)
'''

CLASSES = (
    ("DataArguments", (DataOptions,), "What to read, and how to split it."),
    ("Arguments(DataArguments", (MethodOptions, TrainConfig), "A training."),
)


def render() -> str:
    """The module."""
    tables = {_name(hint) for _, hint in _hints(MethodOptions) if is_dataclass(hint)}
    parts = [HEAD.format(imports="\n".join(f"    {name}," for name in sorted(tables, key=str.lower)))]
    for name, sources, doc in CLASSES:
        head = f"class {name}, total=False):" if "(" in name else f"class {name}(TypedDict, total=False):"
        parts += ["", head, f'    """{doc}"""\n', *_lines(sources)]
        parts += [""]
    return "\n".join(parts[:-1]) + "\n"


def _lines(sources: tuple[Any, ...]) -> Iterator[str]:
    for source in sources:
        for name, hint in _hints(source):
            if name not in ("data", "data_options", "method_options"):
                yield f"    {name}: {_text(hint)}"


def _hints(source: Any) -> Iterator[tuple[str, Any]]:
    hints = get_type_hints(source)
    return ((f.name, hints[f.name]) for f in fields(source))


def _text(hint: Any) -> str:
    """The type as it is written; a text may also be a path, and a tuple any sequence."""
    if is_dataclass(hint):
        return f"{_name(hint)} | Mapping[str, object]"
    if get_origin(hint) in (Union, UnionType):
        return " | ".join(map(_text, get_args(hint)))
    if get_origin(hint) is Literal:
        return f"Literal[{', '.join(map(json.dumps, get_args(hint)))}]"
    special = {type(None): "None", tuple[str, ...]: "Sequence[str]", str: "str | Path"}
    return special.get(hint) or _name(hint)


def _name(hint: Any) -> str:
    return hint.__name__


if __name__ == "__main__":
    PLACE.write_text(render(), encoding="utf-8")
