"""HTML pages that can be opened anywhere, without a network: no scripts, fonts or pictures from elsewhere."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from importlib import resources
from typing import Any

from longtail.words import shown


def render(template: str, values: Mapping[str, Any], package: str = "longtail.reporting") -> str:
    """A template of a package with its values; the pages share `page.html` and what it includes."""
    import jinja2

    def source(name: str) -> str:
        folder = resources.files(package if name == template else "longtail.reporting")
        return folder.joinpath(name).read_text(encoding="utf-8")

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["shown"] = shown
    environment.filters["base64"] = _base64
    return environment.get_template(template).render(values)


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")
