"""Write the help of every command as one Markdown page to standard output."""

from __future__ import annotations

import os

os.environ["COLUMNS"] = "100"

from longtail.cli.app import build_app
from longtail.cli.page import help_page

app = build_app()
print("# Commands\n\nMade by `make docs` from the program's own help.")
for command in (None, *app):
    print(f"\n## longtail {command or ''}".rstrip())
    print(f"\n```text\n{help_page(app, command).rstrip()}\n```")
