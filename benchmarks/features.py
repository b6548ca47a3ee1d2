"""Vectors of a frozen network, and the regression on them, against what one writes down by hand.

    python benchmarks/features.py DATA [--images 512] [--size 128] [--threads 1] [--repeats 3] [--quick]
                                  [--output benchmarks/results/features.json]

DATA is what `longtail train` reads. Cases:

- vectors of images, decoding included: ours fills an empty cache on disk; the plain loop opens every image
  with Pillow, resizes it and gives batches of 64 to the same network
- the same vectors again: ours from the cache, the content of every image looked at; against `numpy.load`
- the regression with its three strengths on the vectors of all images: against scikit-learn's
  LogisticRegression with the same strengths, each to at most 1,000 iterations
- a step of the last blocks, forward and backward, on a batch of maps: against the same with torch's own
  convolutions

Accuracies of the regressions and images a second of CPU time are printed beside.
"""

from __future__ import annotations

import argparse
import copy
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measuring import OURS, case, peak_bytes, results, show, take_turns, write
from PIL import Image
from torch import nn

from longtail.data.dataset import Dataset
from longtail.data.splits import split_dataset
from longtail.features.linear import STRENGTHS, fit_linear
from longtail.features.vectors import BATCH, FixedNetwork, VectorLoader, open_cache
from longtail.images.load import ImageLoader
from longtail.models.backbones import EXPECTED
from longtail.models.lite0 import Lite0
from longtail.models.pretrained import of_lite0
from longtail.runs.data import read_dataset
from longtail.runs.device import launch
from longtail.training.data_options import DataOptions
from longtail.training.inference import outputs_of

PLAIN, SKLEARN, TORCH = "plain loop", "scikit-learn", "torch's convolutions"


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("data")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a quarter of the images, one turn")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.quick:
        options.images, options.repeats = options.images // 4, 1
    dataset = read_dataset(options.data, DataOptions())
    network = _network(options.size)
    rows = np.random.default_rng(0).permutation(len(dataset))[: options.images]
    with tempfile.TemporaryDirectory() as folder:
        cases = [
            *_vectors(dataset, network, rows, options.repeats, Path(folder)),
            _regression(dataset, network, options.repeats, Path(folder) / "all"),
            _step(options.size, options.repeats),
        ]
    command = (
        f"python benchmarks/features.py {Path(options.data).name} --images {options.images} "
        f"--size {options.size} --threads {options.threads} --repeats {options.repeats}"
    )
    document = results("features", command, cases, options.repeats)
    show(document)
    if options.output:
        write(options.output, document)


def _network(size: int) -> FixedNetwork:
    lite0 = Lite0()
    of_lite0().load_into(lite0, "lite0")
    return FixedNetwork(lite0, EXPECTED["lite0"].mean, EXPECTED["lite0"].std, (size, size))


def _loader(dataset: Dataset, network: FixedNetwork, cache: Path) -> VectorLoader:
    images = ImageLoader(dataset, network.size)
    fabric = launch("cpu")

    def compute(rows: np.ndarray) -> torch.Tensor:
        return outputs_of(fabric, network, images, network, rows, batch_size=BATCH)

    return VectorLoader(images, dataset, open_cache(cache, network, Lite0().out_features), compute)


def _vectors(
    dataset: Dataset, network: FixedNetwork, rows: np.ndarray, repeats: int, folder: Path
) -> list[dict[str, object]]:
    def ours() -> torch.Tensor:
        with tempfile.TemporaryDirectory(dir=folder) as empty:
            return _loader(dataset, network, Path(empty)).vectors(rows)

    def plain() -> torch.Tensor:
        return torch.cat([_plain(dataset, network, rows[i : i + BATCH]) for i in range(0, len(rows), BATCH)])

    cosine = torch.cosine_similarity(ours(), plain()).mean()
    print(f"mean cosine of the vectors of both: {cosine:.4f}")
    filled = folder / "filled"
    np.save(folder / "vectors.npy", _loader(dataset, network, filled).vectors(rows).half().numpy())
    contenders = {OURS: ours, PLAIN: plain}
    for name, run in contenders.items():
        print(f"{name}: {len(rows) / _cpu_seconds(run):.0f} images a second of CPU time")
    again = {
        OURS: lambda: _loader(dataset, network, filled).vectors(rows),
        "numpy.load": lambda: torch.from_numpy(np.load(folder / "vectors.npy")).float(),
    }
    what = f"{len(rows)} images of {network.size[0]} px"
    return [
        case(f"vectors, {what}", take_turns(contenders, repeats), bytes=_peaks(contenders)),
        case(f"vectors again, {what}", take_turns(again, repeats), bytes=_peaks(again)),
    ]


@torch.no_grad()
def _plain(dataset: Dataset, network: FixedNetwork, rows: np.ndarray) -> torch.Tensor:
    images = [_opened(dataset, int(row), network.size) for row in rows]
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()
    return network.backbone((pixels - 127) / 128)


def _opened(dataset: Dataset, row: int, size: tuple[int, int]) -> np.ndarray:
    content = dataset.images.read(row)
    found = Image.open(io.BytesIO(content)) if isinstance(content, bytes) else Image.fromarray(content)
    return np.asarray(found.convert("RGB").resize(size[::-1], Image.Resampling.BILINEAR))


def _regression(dataset: Dataset, network: FixedNetwork, repeats: int, cache: Path) -> dict[str, object]:
    """The first attribute of the data set, chosen on validation images."""
    splits = split_dataset(dataset, (0.7, 0.1, 0.2), 0)
    loader = _loader(dataset, network, cache)
    x = {name: loader.vectors(splits.of(name)).numpy() for name in ("train", "val", "test")}
    x = {name: vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for name, vectors in x.items()}
    y = {name: dataset.labels[splits.of(name), 0] for name in x}
    size = dataset.schema.num_classes[0]
    counts = np.bincount(y["train"][y["train"] >= 0], minlength=size)
    prior = np.log(np.maximum(counts, 1) / counts.sum())

    def balanced(weight: np.ndarray, bias: np.ndarray, name: str) -> float:
        chosen, truth = (x[name] @ weight + bias - prior).argmax(1), y[name]
        return float(np.mean([(chosen == truth)[truth == c].mean() for c in np.unique(truth[truth >= 0])]))

    def ours() -> tuple[np.ndarray, np.ndarray]:
        fit = fit_linear(x["train"], y["train"], size, (x["val"], y["val"]))
        return fit.weight, fit.bias

    def other() -> tuple[np.ndarray, np.ndarray]:
        return max((_fitted(x["train"], y["train"], c) for c in STRENGTHS), key=lambda f: balanced(*f, "val"))

    contenders = {OURS: ours, SKLEARN: other}
    for name, run in contenders.items():
        seconds = _cpu_seconds(run)
        print(f"{name}: {seconds:.1f} s of CPU time, balanced on test images {balanced(*run(), 'test'):.4f}")
    n, width = x["train"].shape
    what = f"regression, {n} images, {width} numbers, {size} classes"
    return case(what, take_turns(contenders, repeats), bytes=_peaks(contenders))


def _step(size: int, repeats: int) -> dict[str, object]:
    lite0 = Lite0()
    of_lite0().load_into(lite0, "lite0")
    lite0.eval()
    early, late = lite0.halves(torch.zeros(1, 3, size, size))
    with torch.no_grad():
        maps = early(torch.rand(BATCH, 3, size, size))
    plain = copy.deepcopy(late)
    for module in plain.modules():
        if isinstance(module, nn.Conv2d):
            module.__class__ = nn.Conv2d

    def stepping(part: nn.Module) -> Callable[[], None]:
        return lambda: part(maps).sum().backward()

    times = take_turns({OURS: stepping(late), TORCH: stepping(plain)}, repeats)
    return case(f"step of the last blocks, {BATCH} images of {size} px", times)


def _fitted(x: np.ndarray, y: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, max_iter=1000).fit(x[y >= 0].astype(np.float64), y[y >= 0])
    return model.coef_.T, model.intercept_


def _cpu_seconds(run: Callable[[], object]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def _peaks(contenders: dict[str, Callable[[], object]]) -> dict[str, int]:
    return {name: peak_bytes(run) for name, run in contenders.items()}


if __name__ == "__main__":
    main()
