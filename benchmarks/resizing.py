"""How much a pretrained network's vectors depend on how its images were resized.

    python benchmarks/resizing.py DATA.zip ... [--images 64]

The middles of images are brought to 64, 128 and 224 pixels, bilinearly as the decoder does and bicubically as
many published weights were trained, both antialiased. Read the cosine of an image's two vectors of `lite0`,
beside that of two different images.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from longtail.images.normalise import normalise
from longtail.models.backbones import EXPECTED
from longtail.models.lite0 import Lite0
from longtail.models.pretrained import of_lite0

SIZES = (64, 128, 224)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--images", type=int, default=64)
    options = parser.parse_args()
    network = Lite0().eval()
    of_lite0().load_into(network, "lite0")
    for archive in options.data:
        images = _middles(archive, options.images)
        for size in SIZES:
            bilinear, bicubic = (_vectors(network, images, size, mode) for mode in ("bilinear", "bicubic"))
            same = (bilinear * bicubic).sum(1)
            others = (bilinear @ bilinear.T)[~torch.eye(len(images), dtype=torch.bool)]
            nearest = (bicubic @ bilinear.T).argmax(1).eq(torch.arange(len(images))).float().mean()
            print(
                f"{archive.name}, {size} pixels: cosine {same.mean():.3f}, least {same.min():.3f}; of two "
                f"images {others.mean():.3f}; the nearest vector is that of the same image in {nearest:.0%}"
            )


def _middles(archive: Path, number: int) -> list[Tensor]:
    """(1, 3, S, S) uint8 of images spread over an archive."""
    with zipfile.ZipFile(archive) as file:
        names = sorted(name for name in file.namelist() if name.lower().endswith((".jpg", ".png")))
        chosen = [names[i] for i in np.linspace(0, len(names) - 1, number).astype(int)]
        return [_middle(Image.open(io.BytesIO(file.read(name)))) for name in chosen]


def _middle(image: Image.Image) -> Tensor:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    pixels = np.array(image.convert("RGB").crop((left, top, left + side, top + side)))
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]


@torch.no_grad()
def _vectors(network: Lite0, images: list[Tensor], size: int, mode: str) -> Tensor:
    """(n, 1280) at unit length."""
    resized = torch.cat([F.interpolate(image, (size, size), mode=mode, antialias=True) for image in images])
    expected = EXPECTED["lite0"]
    return F.normalize(network(normalise(resized, expected.mean, expected.std)))


if __name__ == "__main__":
    main()
