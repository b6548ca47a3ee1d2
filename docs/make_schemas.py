"""Write the JSON Schemas of the documents that other programs may read to docs/schemas."""

from __future__ import annotations

import json
from pathlib import Path

from longtail.comparing.document import COMPARISON
from longtail.evaluation.results import RESULTS

FOLDER = Path(__file__).resolve().parent / "schemas"
FORMS = {"results": RESULTS, "comparison": COMPARISON}


def main() -> None:
    """Write one file for each kind of document."""
    FOLDER.mkdir(exist_ok=True)
    for name in FORMS:
        (FOLDER / f"{name}.json").write_text(schema_text(name), encoding="utf-8")


def schema_text(name: str) -> str:
    """What the file of one kind of document holds."""
    return json.dumps(FORMS[name].schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main()
