"""`longtail methods`."""

from __future__ import annotations

from longtail.cli.page import section
from longtail.methods.options import DECISIONS
from longtail.methods.rows import METHODS
from longtail.models.backbones import BACKBONES

USAGE = "longtail methods"

EXAMPLES = """
longtail methods
longtail train photos/ --method ce
"""


def methods() -> None:
    """List the methods to train with, the decisions, and the backbones."""
    print(section("Methods (--method)", ((name, row.summary) for name, row in METHODS.items())))
    print()
    print(section("Decisions (--decision)", ((name, facts.summary) for name, facts in DECISIONS.items())))
    print()
    backbones = {
        **BACKBONES,
        "timm:NAME": "any backbone of timm, pretrained",
        "timm:local-dir:PATH": "one of timm in a folder with its config.json and weights; needs no network",
        "timm:hf-hub:OWNER/NAME": "one of timm in a repository of the Hugging Face hub",
    }
    print(section("Backbones (--backbone)", backbones.items()))
