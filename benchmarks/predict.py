"""Predictions of new images: images a second beside the bare network, and seconds to the first prediction.

    python benchmarks/predict.py [--images 512] [--stored 500x375] [--size 224] [--threads 1] [--repeats 5]
                                 [--quick] [--output benchmarks/results/predict.json]

Ours is what `longtail predict new/ --output p.csv` does: files are read, decoded, scored and written. The
others have the same network and files: a plain loop (Pillow decodes and resizes, an image at a time, batches
of 64), the exported file in onnxruntime on images that Pillow decodes (where the extra export is installed),
and the network alone on batches that lie in memory. All run on the CPU.

The second case starts processes: `longtail predict` of one image against `import torch`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from measuring import OURS, Json, case, results, show, take_turns, write
from PIL import Image

from longtail.data.unlabelled import ManifestReading, open_images
from longtail.exporting.decider import Decider
from longtail.exporting.onnx_file import NEEDED, FileCard, Runner, onnx_bytes
from longtail.methods.options import MethodOptions
from longtail.runs.predict import predict_blocks
from longtail.runs.prediction_file import Asked, PredictionFile
from longtail.runs.prediction_rows import Columns, rows_of
from longtail.runs.run import Run
from longtail.schema import LabelSchema
from longtail.training.checkpoint import ModelCard, weights_of, write_model

BATCH = 64
CLASSES = 20


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--stored", default="500x375", help="width and height of the files")
    parser.add_argument("--size", type=int, default=224, help="that the network sees")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="64 images, 3 turns")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    images, repeats = (64, 3) if options.quick else (options.images, options.repeats)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = _run(folder / "run", options.size)
        _write_images(folder / "new", images, options.stored)
        cases = [
            _throughput(run, folder, f"{images} JPEG {options.stored} to {options.size}", repeats),
            _startup(folder, options.threads, repeats),
        ]
    command = (
        f"python benchmarks/predict.py --images {images} --stored {options.stored} --size {options.size}"
    )
    command += f" --threads {options.threads} --repeats {repeats}"
    document = results("predict", command, cases, repeats)
    show(document)
    if options.output:
        write(options.output, document)


def _run(folder: Path, size: int) -> Run:
    """A run that nothing was trained in: what it says does not matter."""
    schema = LabelSchema.single("label", [f"class {i}" for i in range(CLASSES)])
    card = ModelCard(
        schema=schema,
        class_counts=[[10] * CLASSES],
        images=10 * CLASSES,
        backbone="lite0",
        features=64,
        hidden=0,
        shared_feature=False,
        image_size=(size, size),
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        method="ce",
        method_options=MethodOptions(),
    )
    folder.mkdir()
    write_model(folder / "model.safetensors", weights_of(card.build()), card)
    return Run.open(folder, "cpu")


def _write_images(folder: Path, images: int, stored: str) -> None:
    """Smooth noise, which takes about as many bytes as a photo."""
    width, height = map(int, stored.split("x"))
    folder.mkdir()
    for number in range(images):
        noise = np.random.default_rng(number).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
        Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).save(
            folder / f"{number}.jpg"
        )


def _throughput(run: Run, folder: Path, what: str, repeats: int) -> Json:
    paths = sorted((folder / "new").iterdir())
    contenders = {
        OURS: partial(_ours, run, folder),
        "plain loop": partial(_plain, run, paths),
        "network alone": _network_alone(run, len(paths)),
    }
    if all(map(find_spec, NEEDED)):
        contenders["onnxruntime"] = _exported(run, paths, torch.get_num_threads())
    times = take_turns(contenders, repeats)
    found = case(what, times)
    speeds = [f"{name} {len(paths) / seconds['median']:,.1f}" for name, seconds in found["seconds"].items()]
    print(f"{what}: images a second: {'; '.join(speeds)}", flush=True)
    return found


def _ours(run: Run, folder: Path) -> None:
    blocks = open_images([str(folder / "new")], ManifestReading(), lambda _: None)
    asked = Asked.of(run, "csv", features=False)
    rows = rows_of("csv", Columns.of(run.card.schema))
    PredictionFile(folder / "p.csv", rows, asked, print).write(blocks, partial(predict_blocks, run))


@torch.inference_mode()
def _plain(run: Run, paths: list[Path]) -> list[int]:
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (run.card.mean, run.card.std))
    found: list[int] = []
    for start in range(0, len(paths), BATCH):
        batch = [_pixels(path, run.card.image_size) for path in paths[start : start + BATCH]]
        logits = run.learner.model((torch.stack(batch) / 255 - mean) / std).logits
        found += logits[:, 0].softmax(1).argmax(1).tolist()
    return found


def _exported(run: Run, paths: list[Path], threads: int) -> Callable[[], None]:
    """The file of `longtail export`: resizing and decision are inside, images come one by one."""
    card = FileCard(1, "0", "ce", "argmax", run.card.image_size, run.card.schema.attributes)
    runner = Runner(onnx_bytes(Decider(run.learner, card.image_size, run.ruling), card, "lite0"), threads)

    def exported() -> None:
        for path in paths:
            with Image.open(path) as opened:
                runner(np.asarray(opened.convert("RGB"))[None])

    return exported


def _pixels(path: Path, size: tuple[int, int]) -> torch.Tensor:
    """The middle of an image, its short side scaled."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    scale = max(size[0] / image.height, size[1] / image.width)
    width, height = round(image.width * scale), round(image.height * scale)
    left, top = (width - size[1]) // 2, (height - size[0]) // 2
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    image = image.crop((left, top, left + size[1], top + size[0]))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float()


def _network_alone(run: Run, images: int) -> Callable[[], None]:
    batch = torch.rand(BATCH, 3, *run.card.image_size)

    @torch.inference_mode()
    def alone() -> None:
        for start in range(0, images, BATCH):
            run.learner.model(batch[: images - start])

    return alone


def _startup(folder: Path, threads: int, repeats: int) -> Json:
    (image, *_) = sorted((folder / "new").iterdir())
    predict = [sys.executable, "-m", "longtail", "predict", str(folder / "run"), str(image), "--quiet"]
    commands = {
        OURS: [*predict, "--accelerator", "cpu"],
        "import torch": [sys.executable, "-c", "import torch"],
    }
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    start = partial(subprocess.run, check=True, stdout=subprocess.DEVNULL, env=environment)
    times = take_turns({name: partial(start, command) for name, command in commands.items()}, repeats)
    found = case("first prediction", times)
    for name, seconds in found["seconds"].items():
        print(f"  first prediction, {name}: {seconds['median']:.3f} s")
    return found


if __name__ == "__main__":
    main()
