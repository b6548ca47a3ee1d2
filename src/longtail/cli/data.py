"""`longtail data`."""

from __future__ import annotations

from longtail.cli.page import row

USAGE = "longtail data"

EXAMPLES = """
longtail data
longtail diagnose digits
longtail train digits --tail-ratio 50
"""

PUBLISHED = """
Published data sets, in their original file formats. Give the folder or the
archive, for instance: longtail train cifar-10-python.tar.gz
"""

LAYOUTS = """
Data of your own:

  Folders by class           photos/cat/1.jpg, photos/dog/2.jpg
                             longtail train photos/

  with splits                photos/train/cat/1.jpg, photos/test/cat/9.jpg
                             longtail train photos/

  A manifest                 labels.csv (or .tsv, .parquet): a row per image, a
                             column that names the image, and a column for each
                             attribute; an empty cell is an unknown value
                                 image,colour,shape,split,group
                                 1.jpg,red,round,train,anna
                                 2.jpg,blue,,test,ben
                             longtail train photos/           (holds labels.csv)
                             longtail train labels.csv --images photos/
                             longtail train labels.csv --attributes colour

  Lists                      a path and a class in every line, as those of
                             ImageNet-LT and Places-LT; lists called alike but
                             for train, val and test are read together
                             longtail train ImageNet_LT_train.txt --images data/

  A zip or tar archive       of folders or a manifest, read without unpacking
                             longtail train photos.zip

  Tar archives               as WebDataset packs them, read without unpacking:
                             1.jpg beside 1.cls (or 1.txt) with its class, or
                             1.json, whose fields are like columns; a folder of
                             shards, one, or a pattern. Shards with train, val
                             or test in their names are splits
                             longtail train 'shards/train-{000..099}.tar'
                             longtail train shards/ --attributes colour

  Hugging Face               any image data set of the hub, a folder that
                             `save_to_disk` made, or a downloaded one
                             (data/train-00000-of-00002.parquet)
                             longtail train hf:OWNER/NAME
                             longtail train hf:OWNER/NAME:CONFIG

The column `split`, or another whose cells do, says train, val or test (also
training, valid, validation, dev, testing); images with the same `group` are
never on two sides of a split; --group-near-duplicates finds images of one scene
and groups them. `identity` (else `group`) says who or what an
image shows, for deepid2; `domain` (shop, street) and `match` (the same thing in
both) are for mtct. Columns of other names: --image-column, --split-column,
--group-column, --identity-column, --domain-column, --match-column.
`longtail diagnose DATA` says what was found.
"""


def data() -> None:
    """List the built-in data sets and the supported data layouts."""
    from longtail.data.builtin import BUILTIN
    from longtail.data.published.official import OFFICIAL

    print("Built-in data sets:\n")
    for name, entry in BUILTIN.items():
        attributes = ", ".join(f"{a.name} ({len(a.classes)} classes)" for a in entry.attributes)
        size = f"{entry.images:,} images, {entry.layout}; {attributes}."
        _print_entry(name, f"{entry.description}.", size, entry.licence)
    print(PUBLISHED.strip() + "\n")
    for layout in OFFICIAL:
        facts = (layout.size, layout.labels, f"Licence: {layout.licence}", layout.source)
        _print_entry(layout.name, *facts, "Expected:", *(f"  {line}" for line in layout.expected))
    print(LAYOUTS.strip())


def _print_entry(name: str, *lines: str) -> None:
    for label, line in zip((name, *[""] * len(lines)), lines):
        print(row(label, line))
    print()
