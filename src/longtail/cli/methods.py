"""`longtail methods`."""

from __future__ import annotations

import textwrap

from longtail.methods.rows import METHODS
from longtail.models.backbones import BACKBONES

USAGE = "longtail methods"

EXAMPLES = """
longtail methods
longtail train photos/ --method ce
"""


def methods() -> None:
    """List the methods to train with, and the backbones."""
    print(_table("Methods (--method)", {name: row.summary for name, row in METHODS.items()}))
    print()
    print(_table("Backbones (--backbone)", {**BACKBONES, "timm:NAME": "any backbone of timm, pretrained"}))


def _table(heading: str, entries: dict[str, str]) -> str:
    indent = max(map(len, entries)) + 4
    rows = [
        textwrap.fill(text, 80, initial_indent=f"  {name}".ljust(indent), subsequent_indent=" " * indent)
        for name, text in entries.items()
    ]
    return "\n".join([f"{heading}:", *rows])
