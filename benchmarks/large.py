"""Whole commands on large data: seconds of CPU time and memory, each in a process of its own.

    python benchmarks/large.py [--rows 200000 1000000] [--read 20000]

Rows: a manifest of a distinct image per row, 100 classes with a long tail, in a zip archive and beside a
folder; `train --dry-run` and `diagnose --labels-only`. Read: so many JPEG files in random order from a zip
archive and from ten tar archives with their classes, in turns: images per second.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import numpy as np
from PIL import Image

from longtail.data.dataset import ImageStore
from longtail.data.sources import open_dataset


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[200_000, 1_000_000])
    parser.add_argument("--read", type=int, default=20_000)
    options = parser.parse_args()
    for rows in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            for source in manifests(Path(folder), rows):
                measure(f"{rows:,} rows, {source.name}", "train", str(source), "--dry-run", "--quiet")
                measure(f"{rows:,} rows, {source.name}", "diagnose", str(source), "--labels-only", "--quiet")

    if options.read:
        with tempfile.TemporaryDirectory() as folder:
            read_archives(Path(folder), options.read)


def read_archives(folder: Path, number: int) -> None:
    """Seconds to open, and images per second, of both kinds of archives; the median of 5 turns."""
    draw = np.random.default_rng(0)
    photo = BytesIO()
    Image.fromarray(draw.integers(90, 150, (96, 96, 3), np.uint8)).save(photo, "JPEG", quality=80)
    with ZipFile(folder / "x.zip", "w") as packed:
        for i in range(number):
            packed.writestr(f"{i % 2}/{i:06}.jpg", photo.getvalue())
    for shard in range(10):
        with tarfile.open(folder / f"x-{shard}.tar", "w") as archive:
            for i in range(shard, number, 10):
                for name, data in ((f"{i:06}.jpg", photo.getvalue()), (f"{i:06}.cls", b"%d" % (i % 2))):
                    entry = tarfile.TarInfo(name)
                    entry.size = len(data)
                    archive.addfile(entry, BytesIO(data))
    order, speeds = draw.permutation(number).tolist(), defaultdict[str, list[float]](list)
    stores: dict[str, ImageStore] = {}
    for name, source in (("zip", folder / "x.zip"), ("tar", folder / "x-{0..9}.tar")):
        began = time.process_time()
        stores[name] = open_dataset(str(source)).images
        print(f"{name}: {number:,} images opened in {time.process_time() - began:.2f} s of CPU time")
    for name, store in [*stores.items()] * 5:
        began = time.perf_counter()
        for row in order:
            store.read(row)
        speeds[name].append(number / (time.perf_counter() - began))
    size = f"images of {len(photo.getvalue())} bytes a second"
    print("; ".join(f"{n}: {statistics.median(s):,.0f} {size}" for n, s in speeds.items()))


def measure(what: str, *arguments: str) -> None:
    """One line: CPU seconds and most memory of a command."""
    script = (
        "import resource, subprocess, sys; "
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
        "used = resource.getrusage(resource.RUSAGE_CHILDREN); "
        "print(used.ru_utime + used.ru_stime, used.ru_maxrss)"
    )
    command = [sys.executable, "-c", script, sys.executable, "-m", "longtail", *arguments]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, kilobytes = map(float, ended.stdout.split())
    print(f"{what}: {arguments[0]} {seconds:.1f} s of CPU time, {kilobytes / 1024:.0f} MiB", flush=True)


def manifests(folder: Path, rows: int) -> Iterator[Path]:
    """An archive, then a folder, with labels.csv and as many images as rows."""
    image, names = png(), [f"images/{row % 1000:03}/{row:07}.png" for row in range(rows)]
    table = "\n".join(["image,label,split", *lines(names)])
    archive, plain = folder / "large.zip", folder / "large"
    with ZipFile(archive, "w") as packed:
        packed.writestr("labels.csv", table)
        for name in names:
            packed.writestr(ZipInfo(name), image)
    yield archive
    for number in range(min(rows, 1000)):
        (plain / f"images/{number:03}").mkdir(parents=True)
    (plain / "labels.csv").write_text(table, encoding="utf-8")
    for name in names:
        (plain / name).write_bytes(image)
    yield plain


def lines(names: list[str]) -> Iterator[str]:
    draw = random.Random(0)
    for name in names:
        split = draw.choices(["train", "val", "test"], [7, 1, 2])[0]
        yield f"{name},class {int(draw.paretovariate(0.4)) % 100},{split}"


def png() -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    return buffer.getvalue()


if __name__ == "__main__":
    main()
