"""What the Class Rectification Loss costs, forward and backward, against what one would use instead.

    python benchmarks/loss.py [--threads 1] [--repeats 9] [--quick] [--shapes NAME,...] [--output FILE]
    python benchmarks/loss.py --scaling FILE.svg

In one run and by turns, on random scores and long-tailed random labels:

- ours: `ClassRectificationLoss`, at both levels, with each comparison;
- loops: the same loss by Python loops over attributes, minority classes and anchors; values are compared;
- pml ...: losses of pytorch-metric-learning where it is installed, one call an attribute, on the features;
- floor: less than any such loss can do. At instance level the product of the minority rows with the batch,
  from which distances follow; at class level softmax cross entropy. Forward and backward as well.

Shapes named gathered are what one of W processes does with the rows of all: at instance level it mines its
share of the anchors, beside which "all anchors" is timed, and no other rival; exchanges are not in it.
Loops and pml run beside the relative comparison only. What needs too much time or memory is not timed; the
results say so. Bytes are the most that tensors hold beyond the inputs. Nothing is judged: read the ratios.

With 8142 classes and 1024 images, the classes seen once fill up the minorities: nothing is mined there, and
loops have nothing to do, while ours takes its steps on tables of a fixed size.
"""

from __future__ import annotations

import argparse
import math
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import OURS, Json, case, peak_bytes, results, show, take_turns, write
from torch import Tensor
from torch.nn.functional import cross_entropy

from longtail import ClassRectificationLoss
from longtail.rectification.mining import minority_anchors
from longtail.rectification.profiling import COUNT_TOLERANCE, anchor_capacity, profile_minorities

try:
    from pytorch_metric_learning import losses, miners
except ImportError:
    losses = miners = None

KAPPA, RHO, MARGIN = 25, 0.5, 0.5
RATIO = 100
"""Images of the largest class to those of the smallest."""
LONGEST, LONGEST_QUICK = 20, 2
"""Seconds of a call, above which a rival is left out."""
LARGEST = 6e9
"""Bytes of a call, above which a rival is left out."""
LEVELS = ("class", "instance")
COMPARISONS = ("relative", "absolute", "distribution")


@dataclass(frozen=True)
class Shape:
    """N images, the classes of each of J attributes, D features, and how many processes share the anchors."""

    images: int
    classes: tuple[int, ...]
    dimensions: int = 64
    processes: int = 1


@dataclass(frozen=True)
class Part:
    """The first share of W, of a process that is told nothing by others."""

    processes: int
    rank: int = 0

    def totals(self, *parts: Tensor) -> list[Tensor]:
        return list(parts)

    def largest(self, value: Tensor) -> Tensor:
        return value


SHAPES = {
    "celeba-128": Shape(128, (2,) * 40),
    "celeba-256": Shape(256, (2,) * 40),
    "celeba-1024": Shape(1024, (2,) * 40),
    "x-domain": Shape(256, (55, 38, 27, 18, 16, 13, 10, 7, 6)),
    "cifar-100-lt-128": Shape(128, (100,)),
    "cifar-100-lt-1024": Shape(1024, (100,)),
    "imagenet-lt": Shape(1024, (1000,), 2048),
    "inaturalist": Shape(1024, (8142,)),
    "memory": Shape(1024, (10,)),
}
GATHERED = {
    f"{name}-gathered-{w}": Shape(128 * w, classes, processes=w)
    for name, classes in (("celeba", (2,) * 40), ("imagenet", (1000,)))
    for w in (1, 2, 4, 8, 64)
}
"""Batches of 128 images from each of W processes; measured only when they are named."""
QUICK = ("celeba-256", "cifar-100-lt-128")
BY_IMAGES = [Shape(2**power, (10,)) for power in range(6, 14)]
BY_ATTRIBUTES = [Shape(256, (10,) * 2**power) for power in range(7)]


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, help="turns of every contender (9, with --quick 3)")
    parser.add_argument("--quick", action="store_true", help="two shapes, only the relative comparison")
    parser.add_argument("--shapes", help=f"some of {', '.join(SHAPES | GATHERED)}, with commas between")
    parser.add_argument("--scaling", type=Path, help="measure and draw growth with N and J instead")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    names = options.shapes.split(",") if options.shapes else list(QUICK if options.quick else SHAPES)
    if unknown := set(names) - set(SHAPES | GATHERED):
        parser.error(
            f"--shapes: expected some of {', '.join(SHAPES | GATHERED)}, got {', '.join(sorted(unknown))}"
        )
    repeats = options.repeats or (3 if options.quick else 9)
    comparisons = COMPARISONS[:1] if options.quick else COMPARISONS
    longest = LONGEST_QUICK if options.quick else LONGEST
    torch.set_num_threads(options.threads)

    cases: list[Json] = []
    if options.scaling:
        for shape in dict.fromkeys([*BY_IMAGES, *BY_ATTRIBUTES]):
            batch = Batch(shape, options.device)
            cases += [measure(batch, scaling_name(shape, v), v, "relative", repeats) for v in LEVELS]
        draw(options.scaling, {found["name"]: found["seconds"] for found in cases})
    else:
        if losses is None:
            print("pytorch-metric-learning is not installed: left out")
        for name in names:
            batch = Batch((SHAPES | GATHERED)[name], options.device)
            cases += [
                measure(batch, f"{name}, {level} level, {comparison}", level, comparison, repeats, longest)
                for level in LEVELS
                for comparison in comparisons
            ]
    chosen = f" --scaling {options.scaling.name}" if options.scaling else f" --shapes {','.join(names)}"
    quick = " --quick" if options.quick else ""
    common = f"--threads {options.threads} --repeats {repeats} --device {options.device}"
    document = results("loss", f"python benchmarks/loss.py {common}{quick}{chosen}", cases, repeats)
    show(document)
    for found in cases:
        for contender, reason in found.get("failed", {}).items():
            print(f"{found['name']}: {contender} not timed, {reason}")
    if options.output:
        write(options.output, document)


class Batch:
    """Random scores and long-tailed random labels, and the gradients of the scores.

    Of two classes, one has between 2 % (the first attribute) and 50 % (the last) of the images; more classes
    fall off from the first to the last by the ratio.
    """

    def __init__(self, shape: Shape, device: str) -> None:
        self.shape = shape
        n, classes = shape.images, shape.classes
        random = torch.Generator().manual_seed(0)
        logits = torch.randn(n, len(classes), max(classes), generator=random)
        for j, k in enumerate(classes):
            logits[:, j, k:] = -math.inf  # classes that the attribute lacks
        features = torch.randn(n, len(classes), shape.dimensions, generator=random)
        generator = np.random.default_rng(0)
        rare = np.geomspace(0.02, 0.5, len(classes))
        tails = [RATIO ** (-np.arange(k) / (k - 1)) for k in classes]
        shares = [
            np.array([1 - share, share]) if k == 2 else tail / tail.sum()
            for k, share, tail in zip(classes, rare, tails)
        ]
        labels = np.stack([generator.choice(len(share), n, p=share) for share in shares], 1)
        self.labels = torch.from_numpy(labels).to(device)
        self.logits = logits.to(device).requires_grad_()
        self.features = features.to(device).requires_grad_()
        by_attribute = self.labels.t()
        profile = profile_minorities(self.labels, max(classes), RHO)
        self.share = Part(shape.processes)
        self.anchors = minority_anchors(by_attribute, profile, anchor_capacity(n, RHO), self.share)

    def clear(self) -> None:
        """Forget the gradients."""
        self.logits.grad = self.features.grad = None


def measure(
    batch: Batch, name: str, level: str, comparison: str, repeats: int, longest: float | None = None
) -> Json:
    """Time ours and the floor, and for the relative comparison rivals that take no longer than `longest`."""
    crl = ClassRectificationLoss(level=level, comparison=comparison, kappa=KAPPA, rho=RHO)

    def step(loss: Callable[[], Tensor]) -> Callable[[], None]:
        def run() -> None:
            batch.clear()
            loss().backward()

        return run

    rows = batch.logits, batch.labels, batch.features
    share = batch.share if level == "instance" else Part(1)

    def ours() -> Tensor:
        return crl.rectify(*rows, share=share).loss

    contenders = {OURS: step(ours), "floor": lambda: floor(batch, level)}
    if share.processes > 1:
        contenders["all anchors"] = step(lambda: crl(*rows))
    for run in contenders.values():
        run()  # what only a first call does is no part of its time
    held = {name: bytes_beyond(batch, run) for name, run in contenders.items() if name != "floor"}
    failed: dict[str, str] = {}
    if longest is not None and comparison == "relative" and batch.shape.processes == 1:
        if loops_seconds(batch, level) > longest:
            failed["loops"] = f"more than {longest} s a call"
        else:
            torch.testing.assert_close(loops(batch, level), ours(), rtol=1e-4, atol=1e-6)
            contenders["loops"] = step(lambda: loops(batch, level))
        for rival, loss in metric_learning().items():
            run = step(lambda loss=loss: one_an_attribute(loss, batch))
            if reason := too_much(run, longest):
                failed[rival] = reason
            else:
                contenders[rival] = run
                held[rival] = bytes_beyond(batch, run)
    facts: dict[str, Any] = {"bytes": held, **({"failed": failed} if failed else {})}
    found = case(name, take_turns(contenders, repeats), **facts)
    batch.clear()
    print(f"measured {name}", file=sys.stderr, flush=True)
    return found


def bytes_beyond(batch: Batch, run: Callable[[], None]) -> int:
    """Peak of a call on inputs without gradients: older gradients, freed within, would lower it."""
    batch.clear()
    return peak_bytes(run)


def floor(batch: Batch, level: str) -> None:
    """Forward and backward of less than the loss has to do."""
    batch.clear()
    if level == "class":
        rows = batch.logits.flatten(0, 1)
        (cross_entropy(rows, batch.labels.flatten(), reduction="sum") / batch.shape.images).backward()
    else:
        features = batch.features.transpose(0, 1)  # (J, N, D)
        index = batch.anchors.row[:, :, None].expand(-1, -1, features.shape[2])
        products = features.gather(1, index) @ features.transpose(1, 2)  # (J, A, N)
        products.backward(torch.ones_like(products))


def loops(batch: Batch, level: str, most: int | None = None) -> Tensor:
    """The relative comparison, one anchor after the other; of the first anchors only if `most` is given.

    1/|T| Σ max(0, m_j + d(a,+) - d(a,-)) over each anchor with each of its positives and negatives.
    """
    scores = batch.logits.softmax(2) if level == "class" else batch.features
    total, triplets = 0 * scores.sum(), 0
    for margin, positive, negative in islice(mined(batch, scores, level), most):
        hinges = (margin + positive[:, None] - negative[None, :]).clamp(min=0)
        total = total + hinges.sum()
        triplets += hinges.numel()
    return total / max(1, triplets)


def mined(batch: Batch, scores: Tensor, level: str) -> Iterator[tuple[float, Tensor, Tensor]]:
    """Margin and distances to the hardest positives and negatives of every anchor of every attribute."""
    pairs = class_pairs if level == "class" else instance_pairs
    for own, labels, classes in zip(scores.unbind(1), batch.labels.unbind(1), batch.shape.classes):
        margin = MARGIN if level == "class" else 2 * math.pi / classes
        for minority in minorities(labels):
            same = (labels == minority).nonzero().flatten()
            other = ((labels != minority) & (labels >= 0)).nonzero().flatten()
            for positive, negative in pairs(own, minority, same, other):
                yield margin, positive, negative


def minorities(labels: Tensor) -> list[int]:
    """Classes with two images or more among the smallest that together hold at most ρn."""
    counts = Counter(label for label in labels.tolist() if label >= 0)
    limit = RHO * counts.total() + COUNT_TOLERANCE
    together, kept = 0, []
    for minority in sorted(counts, key=lambda c: (counts[c], c)):
        together += counts[minority]
        if together <= limit and counts[minority] >= 2:
            kept.append(minority)
    return kept


def class_pairs(
    scores: Tensor, minority: int, same: Tensor, other: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Of every image of the class: |p_a - p_+| and p_a - p_-, mined once a class on its probability p."""
    p = scores[:, minority]
    lowest = same[p[same].topk(min(KAPPA, len(same)), largest=False).indices]
    highest = other[p[other].topk(min(KAPPA, len(other))).indices]
    for anchor in same.tolist():
        positive = lowest[lowest != anchor]
        yield (p[anchor] - p[positive]).abs(), p[anchor] - p[highest]


def instance_pairs(
    scores: Tensor, _minority: int, same: Tensor, other: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Of every image of the class: distances to the farthest of its class and the nearest of others."""
    for anchor in same.tolist():
        distance = torch.linalg.vector_norm(scores - scores[anchor], dim=1)
        mates = distance[same[same != anchor]]
        farthest = mates.topk(min(KAPPA, len(mates))).values
        yield farthest, distance[other].topk(min(KAPPA, len(other)), largest=False).values


def loops_seconds(batch: Batch, level: str) -> float:
    """Seconds that loops would take, from their first anchors."""
    anchors = int(batch.anchors.mask.sum())
    few = min(anchors, 50)
    batch.clear()
    began = time.perf_counter()
    loops(batch, level, few).backward()
    return (time.perf_counter() - began) * anchors / max(1, few)


def metric_learning() -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """Losses of pytorch-metric-learning as they come, from features (N, D) and labels (N,)."""
    if losses is None or miners is None:
        return {}
    triplet = losses.TripletMarginLoss()
    hard, violating = miners.BatchHardMiner(), miners.TripletMarginMiner()
    return {
        "pml triplet hard": lambda x, y: triplet(x, y, hard(x, y)),
        "pml triplet margin miner": lambda x, y: triplet(x, y, violating(x, y)),
        "pml contrastive": losses.ContrastiveLoss(),
    }


def one_an_attribute(loss: Callable[[Tensor, Tensor], Tensor], batch: Batch) -> Tensor:
    """The sum over attributes, each on its labelled images."""
    attributes = zip(batch.features.unbind(1), batch.labels.unbind(1))
    return torch.stack([loss(own[labels >= 0], labels[labels >= 0]) for own, labels in attributes]).sum()


def too_much(run: Callable[[], None], longest: float) -> str | None:
    """Why a call is not to be timed, after trying it."""
    try:
        with torch.enable_grad(), limits(longest):  # gradients are on again wherever the call was stopped
            run()
    except TimeoutError:
        return f"more than {longest} s a call"
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        return f"more than {LARGEST / 1e9:.0f} GB a call"
    return None


@contextmanager
def limits(longest: float) -> Iterator[None]:
    """Within, TimeoutError after the longest time, and only so much more memory to be had (Linux)."""

    def stop(*_: object) -> None:
        raise TimeoutError

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    now = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5]) * resource.getpagesize()
    before = signal.signal(signal.SIGALRM, stop)
    if not torch.cuda.is_available():  # its driver maps far more than is used
        resource.setrlimit(resource.RLIMIT_DATA, (now + int(LARGEST), hard))
    signal.setitimer(signal.ITIMER_REAL, longest)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def scaling_name(shape: Shape, level: str) -> str:
    return f"N {shape.images}, J {len(shape.classes)}, {level} level"


def draw(path: Path, seconds: dict[str, Json]) -> None:
    """Milliseconds of ours and the floor against N and against J, on logarithmic axes."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
    sweeps = (
        (BY_IMAGES, [s.images for s in BY_IMAGES], "images N (J 1, K 10, D 64)"),
        (BY_ATTRIBUTES, [len(s.classes) for s in BY_ATTRIBUTES], "attributes J (N 256, K 10, D 64)"),
    )
    for axis, (shapes, sizes, label) in zip(axes, sweeps):
        for level, colour in zip(LEVELS, ("C0", "C1")):
            for contender, line in ((OURS, "-o"), ("floor", "--")):
                medians = [seconds[scaling_name(s, level)][contender]["median"] for s in shapes]
                times = [1000 * median for median in medians]
                axis.plot(sizes, times, line, color=colour, markersize=3, label=f"{contender}, {level} level")
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xlabel(label)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("milliseconds, forward and backward")
    axes[0].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


if __name__ == "__main__":
    main()
