"""One HTML page from results.json and metrics.jsonl, to be opened anywhere, without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from longtail.evaluation.results import Results
from longtail.files import write_text
from longtail.reporting.page import page_values
from longtail.training.record import EpochRecord
from longtail.words import shown


def write_report(
    path: Path,
    results: Results,
    epochs: Sequence[EpochRecord],
    *,
    title: str,
    facts: Mapping[str, str] | None = None,
) -> None:
    """Write the page of `render_report` beside `path`, then rename it into place.

    Raises:
        InputError: when the file cannot be written, and as `render_report` does.
    """
    write_text(path, render_report(results, epochs, title=title, facts=facts))


def render_report(
    results: Results,
    epochs: Sequence[EpochRecord],
    *,
    title: str,
    facts: Mapping[str, str] | None = None,
) -> str:
    """The report of one run as one HTML page: no scripts, fonts or pictures from elsewhere.

    The page is a function of its arguments: the same input gives the same text.

    Args:
        results: what was measured.
        epochs: of its training, empty where the model was not trained here.
        title: heading of the page.
        facts: further lines for the foot of the page, for instance the command that was run.

    Raises:
        InputError: when the lines of metrics.jsonl belong to other classes than results.json.
    """
    return render("report.html", page_values(results, epochs, title, facts or {}))


def render(template: str, values: Mapping[str, Any], package: str = "longtail.reporting") -> str:
    """A template of a package with its values; the pages share `page.css`, `page.js` and `parts.html`."""
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
    return environment.get_template(template).render(values)
