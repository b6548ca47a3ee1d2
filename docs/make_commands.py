"""Write the help of every command as one Markdown page to standard output."""

from __future__ import annotations

import os

os.environ["COLUMNS"] = "100"

from longtail.cli.app import COMMANDS
from longtail.cli.page import command_page, program_page
from longtail.cli.parsing import Command

pages = {"": program_page(COMMANDS)}
pages |= {name: command_page(Command.named(name), everything=True) for name in COMMANDS}
print("# Commands\n\nMade by `make docs` from the program's own help (`--help-all`).")
for name, page in pages.items():
    print(f"\n## longtail {name}".rstrip())
    print(f"\n```text\n{page.rstrip()}\n```")
