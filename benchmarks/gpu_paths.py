"""What a GPU computes beside what the CPU computes: losses, captured graphs, augmentation, norms.

    python benchmarks/gpu_paths.py [--device cuda]
    python benchmarks/gpu_paths.py --bars LOSS.json STEP_SHARE.json

One line for each check: the largest difference and what it may be. With --bars, the results of loss.py and
step_share.py are held against what is asked of a GPU. The exit code is 1 where something misses.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.functional import batch_norm

from longtail import ClassRectificationLoss
from longtail.images.augment import AUGMENTATIONS, augment_and_normalise
from longtail.norms import whole_batch_norm

FORMS = [
    (level, form) for level in ("class", "instance") for form in ("relative", "absolute", "distribution")
]
IMAGES, CLASSES, FEATURES = 256, 20, 64
BARS = (("instance level, relative", "floor", 3.0), ("class level, relative", "floor", 4.0))
"""Part of a case's name, what it is held against, and how many times as long it may take."""
STEP = 1.03
"""A step with rectification beside one with cross entropy."""

Check = tuple[str, float, float]
"""What was compared, the largest difference, and what it may be."""


def main() -> int:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--bars", nargs=2, type=Path, metavar="FILE")
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    found = bars(*options.bars) if options.bars else checks(options.device)
    missed = 0
    for name, value, most in found:
        missed += (within := value <= most) is False
        print(f"{'ok  ' if within else 'MISS'} {name}: {value:.3g} (at most {most:g})", flush=True)
    return bool(missed)


def bars(losses: Path, steps: Path) -> Iterator[Check]:
    """How many times as long ours takes as what it is held against."""
    cases = json.loads(losses.read_text())["cases"]
    for part, other, most in BARS:
        for found in cases:
            if part in found["name"]:
                yield f"{found['name']} / {other}", 1 / found["ratios"][other], most
    for found in json.loads(steps.read_text())["cases"]:
        (ratio,) = found["ratios"].values()
        yield f"step of {found['name']} / cross entropy", 1 / ratio, STEP


def checks(device: str) -> Iterator[Check]:
    """The device beside the CPU."""
    for level, form in FORMS:
        yield f"{level} level, {form}: gradients", apart(rectified(level, form, device), level, form), 1e-5
        in_half = rectified(level, form, device, torch.bfloat16)
        yield f"{level} level, {form}: bf16", apart(in_half, level, form, torch.bfloat16), 1e-2
    if device == "cuda":
        for level, form in FORMS:
            yield f"{level} level, {form}: captured graph, replayed", captured(level, form), 1e-6
        yield from norms()
    else:
        print("no GPU: graphs and norms of several processes are left out")
    for name in AUGMENTATIONS:
        yield f"augmentation {name}, images in [-2, 2]", augmented(name, device), 1e-3


def batch(seed: int, device: str, kind: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, long-tailed labels with a few missing, features."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.multinomial(0.8 ** torch.arange(CLASSES), IMAGES, True, generator=random)
    labels[::17] = -1
    scores, features = (torch.randn(IMAGES, width, generator=random) for width in (CLASSES, FEATURES))
    return scores.to(device, kind), labels.to(device), features.to(device, kind)


def rectified(
    level: str, form: str, device: str, kind: torch.dtype = torch.float32, seed: int = 0, wide: bool = False
) -> list[Tensor]:
    """Loss and gradients; `wide`: in float32, of numbers that were rounded to the kind."""
    scores, labels, features = batch(seed, device, kind)
    if wide:
        scores, features = scores.float(), features.float()
    crl = ClassRectificationLoss(level=level, comparison=form)  # pyright: ignore[reportArgumentType]
    inputs = scores.requires_grad_(), features.requires_grad_()
    loss = crl(scores, labels, features)
    grads = torch.autograd.grad(loss, inputs, allow_unused=True)
    return [loss.detach(), *(grad for grad in grads if grad is not None)]


def apart(found: list[Tensor], level: str, form: str, kind: torch.dtype = torch.float32) -> float:
    """The largest difference from the CPU in float32, of each tensor in its own size."""
    return largest(found, rectified(level, form, "cpu", kind, wide=True))


def largest(found: list[Tensor], expected: list[Tensor]) -> float:
    """max |a - b| / max |b|, over pairs."""
    pairs = [
        (a.detach().cpu().double(), b.detach().cpu().double()) for a, b in zip(found, expected, strict=True)
    ]
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-9)) for a, b in pairs)


def captured(level: str, form: str) -> float:
    """A graph captured on one batch and replayed on another, beside that one computed directly."""
    crl = ClassRectificationLoss(level=level, comparison=form)  # pyright: ignore[reportArgumentType]
    scores, labels, features = batch(0, "cuda")
    inputs = scores.requires_grad_(), features.requires_grad_()

    def step() -> list[Tensor]:
        loss = crl(scores, labels, features)
        grads = torch.autograd.grad(loss, inputs, allow_unused=True)
        return [loss, *(grad for grad in grads if grad is not None)]

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = step()
    with torch.no_grad():
        for held, new in zip((scores, labels, features), batch(1, "cuda")):
            held.copy_(new)
    graph.replay()
    torch.cuda.synchronize()
    return largest(found, rectified(level, form, "cuda", seed=1))


def norms() -> Iterator[Check]:
    """Batch normalisation by the kernels for several processes, with one process."""
    dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=1)
    try:
        for layout in (torch.contiguous_format, torch.channels_last):
            value = largest(normed(whole_batch_norm, layout), normed(batch_norm, layout))
            yield f"norm of several processes, {str(layout).removeprefix('torch.')}", value, 1e-5
    finally:
        dist.destroy_process_group()


def normed(norm: Callable[..., Tensor], layout: torch.memory_format) -> list[Tensor]:
    """Output, gradient, running mean and variance."""
    random = torch.Generator().manual_seed(0)
    images = torch.randn(32, 8, 6, 6, generator=random).cuda().to(memory_format=layout).requires_grad_()
    mean, var = torch.zeros(8, device="cuda"), torch.ones(8, device="cuda")
    out = norm(
        images, mean, var, torch.ones(8, device="cuda"), torch.zeros(8, device="cuda"), True, 0.1, 1e-5
    )
    (grad,) = torch.autograd.grad(out.square().mul(images).sum(), images)
    return [out, grad, mean, var]


def augmented(name: str, device: str) -> float:
    """The same random changes on the device and on the CPU."""
    images = torch.randint(
        0, 256, (64, 3, 48, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )

    def on(place: str) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        return augment_and_normalise(images.to(place), name, generator, (0.5,) * 3, (0.25,) * 3).cpu()

    return float((on(device) - on("cpu")).abs().max())


if __name__ == "__main__":
    sys.exit(main())
