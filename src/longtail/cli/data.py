"""`longtail data`."""

from __future__ import annotations

import textwrap

USAGE = "longtail data"

EXAMPLES = """
longtail data
longtail diagnose digits
longtail train digits --tail-ratio 50
"""

LAYOUTS = """
Data of your own:

  Folders by class           photos/cat/1.jpg, photos/dog/2.jpg
                             longtail train photos/

  with splits                photos/train/cat/1.jpg, photos/test/cat/9.jpg
                             longtail train photos/

  A manifest                 labels.csv (or .tsv, .parquet): a row an image, a
                             column that names the image, and a column for each
                             attribute; an empty cell is an unknown value
                                 image,colour,shape,split,group
                                 1.jpg,red,round,train,anna
                                 2.jpg,blue,,test,ben
                             longtail train photos/           (holds labels.csv)
                             longtail train labels.csv --images photos/
                             longtail train labels.csv --attributes colour

  A zip archive              of any of these, read without unpacking
                             longtail train photos.zip

The column `split` says train, val or test; images with the same `group` are
never on two sides of a split. Columns of other names: --image-column,
--split-column, --group-column. `longtail diagnose DATA` says what was found.
"""


def data() -> None:
    """List the built-in data sets, and the layouts of data that are understood."""
    from longtail.data.builtin import BUILTIN

    print("Built-in data sets:\n")
    for name, entry in BUILTIN.items():
        attributes = ", ".join(f"{a.name} ({len(a.classes)} classes)" for a in entry.attributes)
        size = f"{entry.images:,} images, {entry.layout}; {attributes}."
        lines = (f"{entry.description}.", size, entry.licence)
        head = f"  {name}".ljust(29)
        for line in lines:
            print(textwrap.fill(line, 80, initial_indent=head, subsequent_indent=" " * 29))
            head = " " * 29
        print()
    print(LAYOUTS.strip())
