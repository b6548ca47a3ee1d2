"""Images into the model: seconds of a batch of 128, decoded, augmented and normalised, against torchvision.

    python benchmarks/input.py [--threads 1] [--repeats 7] [--images 2000] [--rows 200000] [--photos ZIP]
                               [--quick] [--output benchmarks/results/input.json]

Ours is what training does: `ImageLoader` gives uint8 batches, which are augmented and normalised as a whole.
The others are torchvision as it is commonly written down: `ImageFolder` and a `DataLoader`, every image
changed by itself, as a Pillow image (transforms) or as a tensor (`decode_image`, transforms v2). They are
set to what our presets do:

    photo   RandomResizedCrop (35 to 100 % of the area), RandomHorizontalFlip, ColorJitter (0.2)
    small   RandomCrop (an eighth of the sides as padding, by reflection), RandomHorizontalFlip

Two differences stay. Ours first takes the largest rectangle of the model's aspect, and crops from it in
whole pixels. And "colours kept" leaves ColorJitter out, as many recipes do: it does less than ours. Ours
decodes anew in every epoch unless a contender says "cached", which is the second epoch. Memory that is
freed is kept for the next batch, as training on a CPU does it; here that serves all contenders.

The last cases open a manifest of many images and end with its first batch; "all before training" also
splits, suggests a size and measures the normalisation.
"""

from __future__ import annotations

import argparse
import csv
import gc
import os
import tempfile
import tracemalloc
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

import numpy as np
import torch
from measuring import OURS, Json, ResidentPeak, case, resident_bytes, results, show, take_turns, write
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader

from longtail.data.listing import is_image
from longtail.data.sources import open_dataset
from longtail.data.splits import split_dataset
from longtail.images.augment import augment_and_normalise, crops, draw_parts
from longtail.images.changes import CROP_AREA, CROP_RATIO, JITTER
from longtail.images.load import ImageLoader
from longtail.images.sizes import suggest_size
from longtail.runs.device import keep_freed_memory

try:
    from torchvision import transforms
    from torchvision.datasets import ImageFolder
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.transforms import v2

    MISSING = ""
except (ImportError, RuntimeError) as error:  # the latter where it was built for another torch
    MISSING = str(error)

BATCH = 128
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
KEPT = 2**40  # bytes: whatever the number of images


class Kind(NamedTuple):
    """Files of one kind, and what they are trained as; sizes are (height, width)."""

    stored: tuple[int, int]
    ending: str
    mode: str
    size: tuple[int, int]
    preset: str


KINDS = {
    "JPEG 218x178 to 128x128": Kind((218, 178), "jpg", "RGB", (128, 128), "photo"),
    "JPEG 218x178 to 224x224": Kind((218, 178), "jpg", "RGB", (224, 224), "photo"),
    "JPEG 32x32": Kind((32, 32), "jpg", "RGB", (32, 32), "small"),
    "PNG 32x32": Kind((32, 32), "png", "RGB", (32, 32), "small"),
    "grey JPEG 40x24": Kind((40, 24), "jpg", "L", (40, 24), "small"),
}
LISTED = Kind((48, 48), "jpg", "L", (48, 48), "small")  # of the manifest: small, as there are many
DISTINCT = 200  # images that the manifest's files repeat


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--images", type=int, default=2000, help="files of each kind")
    parser.add_argument("--rows", type=int, default=200_000, help="of the manifest")
    parser.add_argument("--photos", type=Path, help="zip of images to take instead of drawn patterns")
    parser.add_argument(
        "--quick", action="store_true", help="3 turns of 256 files, a manifest of 20,000 rows"
    )
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    if options.quick:
        options.repeats, options.images, options.rows = 3, 2 * BATCH, 20_000
    if min(options.images, options.rows) < BATCH:
        parser.error(f"--images and --rows: expected at least {BATCH}, one batch")
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    if MISSING:
        print(f"torchvision is left out: {MISSING}")
    cases: list[Json] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, kind in KINDS.items():
            place = Path(folder) / name.replace(" ", "-")
            place.mkdir()
            # Two classes, since a data set of one is refused; which image is which does not matter.
            for number, data in enumerate(encoded(kind, options.images, options.photos)):
                target = place / "ab"[number % 2] / f"{number}.{kind.ending}"
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(data)
            cases += batch_cases(name, place, kind, options.repeats)
        images = list(encoded(LISTED, DISTINCT, options.photos))
        for name, source in manifests(Path(folder), images, options.rows).items():
            cases.append(manifest_case(name, source, options.rows, options.repeats))
    command = f"python benchmarks/input.py --threads {options.threads} --repeats {options.repeats}"
    command += f" --images {options.images} --rows {options.rows}"
    command += f" --photos {options.photos.name}" if options.photos else ""
    document = results("input", command, cases, options.repeats)
    show(document)
    if options.output:
        write(options.output, document)


# --- batches --------------------------------------------------------------------------------------


def batch_cases(name: str, place: Path, kind: Kind, repeats: int) -> list[Json]:
    """A case on one core without workers, and one on all cores with two."""
    dataset = open_dataset(str(place))
    steps = len(dataset) // BATCH
    stored = sum(len(dataset.images.read(row)) for row in range(len(dataset))) // len(dataset)
    cached = ours(ImageLoader(dataset, kind.size, cache_bytes=KEPT), len(dataset), kind)

    def measure(setting: str, workers: int) -> Json:
        streamed = ImageLoader(dataset, kind.size, cache_bytes=0, workers=workers)
        contenders = {OURS: ours(streamed, len(dataset), kind), "ours, cached": cached}
        epochs = take_turns({**contenders, **theirs(place, kind, workers)}, repeats)
        times = {contender: [seconds / steps for seconds in turns] for contender, turns in epochs.items()}
        found = case(f"{name}, {setting}", times, bytes={"file": stored})
        speeds = [f"{n} {BATCH / seconds['median']:,.0f}" for n, seconds in found["seconds"].items()]
        print(f"{found['name']}: images a second: {'; '.join(speeds)}", flush=True)
        return found

    with one_core():
        alone = measure("one core", 0)
    return [alone, measure("two workers", 2)]


def ours(loader: ImageLoader, images: int, kind: Kind) -> Callable[[], None]:
    """An epoch of ours."""
    generator = torch.Generator().manual_seed(0)

    def seeded(step: int) -> torch.Generator:
        return torch.Generator().manual_seed(step)

    cropped = crops(kind.preset) and not loader.cached

    def epoch() -> None:
        order = torch.randperm(images, generator=generator).numpy()
        rows = order[: images // BATCH * BATCH].reshape(-1, BATCH)
        shape = (BATCH, 3, *kind.size)
        parts = (draw_parts(shape, seeded(step)) for step in range(len(rows))) if cropped else None
        for step, (batch, _, _) in enumerate(loader.batches(rows, parts)):
            ready = augment_and_normalise(batch, kind.preset, seeded(step), MEAN, STD, cropped=cropped)
            check(ready, kind)

    return epoch


def theirs(place: Path, kind: Kind, workers: int) -> dict[str, Callable[[], None]]:
    """Epochs of torchvision; none where it is not installed."""
    if MISSING:
        return {}
    photo = kind.preset == "photo"
    height, width = kind.size
    read = partial(decode_image, mode=ImageReadMode.RGB)

    def steps(kit, colours: bool) -> list[Callable]:
        """Random changes from transforms or from v2, which have the same names."""
        if not photo:
            padding = (width // 8, height // 8)
            crop = kit.RandomCrop(kind.size, padding=padding, padding_mode="reflect")
            return [crop, kit.RandomHorizontalFlip()]
        crop = kit.RandomResizedCrop(kind.size, scale=CROP_AREA, ratio=CROP_RATIO)
        jitter = [kit.ColorJitter(JITTER, JITTER, JITTER)] if colours else []
        return [crop, kit.RandomHorizontalFlip(), *jitter]

    def pillow(colours: bool) -> ImageFolder:
        last = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
        return ImageFolder(str(place), transforms.Compose([*steps(transforms, colours), *last]))

    def tensors(colours: bool) -> ImageFolder:
        last = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
        return ImageFolder(str(place), v2.Compose([*steps(v2, colours), *last]), loader=read)

    folders = {"torchvision, Pillow": pillow(photo), "torchvision, tensors": tensors(photo)}
    if photo:
        folders["torchvision, Pillow, colours kept"] = pillow(False)
        folders["torchvision, tensors, colours kept"] = tensors(False)
    found = {}
    for name, folder in folders.items():
        loader = DataLoader(
            folder, BATCH, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
        )
        found[name] = partial(loaded, loader, kind)
    return found


def loaded(loader: DataLoader, kind: Kind) -> None:
    for images, _ in loader:
        check(images, kind)


def check(images: Tensor, kind: Kind) -> None:
    """Every contender gives the same form."""
    assert images.shape == (BATCH, 3, *kind.size), images.shape
    assert images.dtype == torch.float32


@contextmanager
def one_core() -> Generator[None, None, None]:
    """This process, and the threads it starts, on one core (Linux; elsewhere on all)."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


# --- manifests ------------------------------------------------------------------------------------


def manifests(folder: Path, images: list[bytes], rows: int) -> dict[str, Path]:
    """A folder and an archive with as many files as rows, and what they are called."""
    names = [f"images/{row:06}.jpg" for row in range(rows)]
    plain, archive = folder / "manifest", folder / "manifest.zip"
    (plain / "images").mkdir(parents=True)
    with (plain / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image", "label"])
        table.writerows((name, f"class {row % 10}") for row, name in enumerate(names))
    with ZipFile(archive, "w") as packed:
        packed.write(plain / "labels.csv", "labels.csv")
        for row, name in enumerate(names):
            packed.writestr(name, images[row % len(images)])
            if row < len(images):
                (plain / name).write_bytes(images[row])
            else:  # another name for the same file: no room is needed, and a directory is as long
                os.link(plain / names[row % len(images)], plain / name)
    return {"folder": plain, "archive": archive}


def manifest_case(name: str, source: Path, rows: int, repeats: int) -> Json:
    """Seconds until the first batch, and memory."""
    times = take_turns(
        {OURS: partial(first_batch, source), "all before training": partial(before_training, source)}, repeats
    )
    # In a process of its own: here, memory that earlier cases gave back would be taken again unseen.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        found = pool.submit(index_bytes, source).result()
    print(f"{name}: bytes an image: {', '.join(f'{n} {size / rows:.0f}' for n, size in found.items())}")
    return case(f"first batch of {rows:,} rows, {name}", times, bytes=found)


def first_batch(source: Path) -> None:
    loader = ImageLoader(open_dataset(str(source)), LISTED.size, cache_bytes=0)
    next(loader.batches([range(BATCH)]))


def before_training(source: Path) -> None:
    dataset = open_dataset(str(source))
    train = split_dataset(dataset).train
    loader = ImageLoader(dataset, suggest_size(dataset.images), cache_bytes=0)
    loader.normalisation(train)
    next(loader.batches([train[:BATCH]]))


def index_bytes(source: Path) -> dict[str, int]:
    """Memory of an open data set: what is held by it, by how much the process has grown, and its peak."""
    with ResidentPeak() as peak:
        before = resident_bytes()
        dataset = open_dataset(str(source))
        gc.collect()
        resident = resident_bytes() - before
    del dataset
    gc.collect()
    tracemalloc.start()
    dataset = open_dataset(str(source))
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    assert len(dataset) > 0
    return {"index": held, "resident": resident, "peak": peak.bytes}


# --- files ----------------------------------------------------------------------------------------


def encoded(kind: Kind, number: int, photos: Path | None) -> Iterator[bytes]:
    """Images of one kind, at quality 90."""
    height, width = kind.stored
    for image in patterns(height, width, number) if photos is None else pictures(photos, number):
        buffer = BytesIO()
        fitted = ImageOps.fit(image.convert(kind.mode), (width, height))
        fitted.save(buffer, {"jpg": "JPEG", "png": "PNG"}[kind.ending], quality=90)
        yield buffer.getvalue()


def pictures(path: Path, number: int) -> Iterator[Image.Image]:
    """Images of an archive, again from the start where it has too few."""
    with ZipFile(path) as archive:
        names = [name for name in archive.namelist() if is_image(name)]
        for name in islice(cycle(names), number):
            yield Image.open(BytesIO(archive.read(name)))


def patterns(height: int, width: int, number: int) -> Iterator[Image.Image]:
    """A gradient under a few waves, each with its own colours: about as many bytes as a photo of the size."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width][..., None]
    for _ in range(number):
        pixels = (
            128 + random.uniform(-60, 60, 3) * (y / height - 0.5) + random.uniform(-60, 60, 3) * x / width
        )
        for _ in range(8):
            down, right = random.uniform(-1, 1, 2)  # up to one sixth of a turn a pixel
            pixels = pixels + random.uniform(-20, 20, 3) * np.sin(down * y + right * x)
        yield Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


if __name__ == "__main__":
    main()
