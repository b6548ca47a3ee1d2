"""Small files in exactly the formats of the published data sets."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CELEBA_COLUMNS = ("5_o_Clock_Shadow", "Bald", "Male", "Young")
CELEBA_NAMES = tuple(f"{i:06d}.jpg" for i in range(1, 13))
CELEBA_VALUES = np.random.default_rng(0).choice((-1, 1), (12, 4))
CELEBA_IDENTITIES = (2880, 2937, 2880, 9040, 9040, 10177, 1, 1, 1, 77, 78, 78)
CELEBA_PARTITION = (0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2)


def jpeg(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (18, 22), (shade, 255 - shade, 90)).save(file, "JPEG")
    return file.getvalue()


def celeba_lists() -> dict[str, str]:
    """Text of the three lists: the attributes as they are padded by the authors."""
    rows = zip(CELEBA_NAMES, CELEBA_VALUES.tolist(), strict=True)
    attributes = [str(len(CELEBA_NAMES)), " ".join(CELEBA_COLUMNS) + " "]
    attributes += [f"{name} {' '.join(f'{value:2d}' for value in values)}" for name, values in rows]
    identities = [f"{name} {who}" for name, who in zip(CELEBA_NAMES, CELEBA_IDENTITIES, strict=True)]
    partition = [f"{name} {part}" for name, part in zip(CELEBA_NAMES, CELEBA_PARTITION, strict=True)]
    texts = {
        "list_attr_celeba.txt": attributes,
        "identity_CelebA.txt": identities,
        "list_eval_partition.txt": partition,
    }
    return {name: "\n".join(lines) + "\n" for name, lines in texts.items()}


def write_celeba(root: Path, *, official_folders: bool = False, packed: bool = False) -> Path:
    """CelebA with 12 images and 4 attributes: flat or in Anno/, Eval/ and Img/, unpacked or as a zip."""
    places = dict.fromkeys(celeba_lists(), root)
    images = root
    if official_folders:
        places = {name: root / ("Eval" if "eval" in name else "Anno") for name in places}
        images = root / "Img"
    for name, text in celeba_lists().items():
        places[name].mkdir(parents=True, exist_ok=True)
        (places[name] / name).write_text(text)
    images.mkdir(parents=True, exist_ok=True)
    files = {name: jpeg(20 * i) for i, name in enumerate(CELEBA_NAMES)}
    if packed:
        with zipfile.ZipFile(images / "img_align_celeba.zip", "w") as archive:
            for name, data in files.items():
                archive.writestr(f"img_align_celeba/{name}", data)
        return root
    (images / "img_align_celeba").mkdir()
    for name, data in files.items():
        (images / "img_align_celeba" / name).write_bytes(data)
    return root


@dataclass(frozen=True)
class CifarBatch:
    """n images as (n, 3, 32, 32), their classes, and the superclasses of CIFAR-100."""

    images: np.ndarray
    labels: list[int]
    coarse: list[int]


def cifar_batches(sizes: list[int], classes: int) -> list[CifarBatch]:
    rng = np.random.default_rng(1)
    return [
        CifarBatch(
            rng.integers(0, 256, (n, 3, 32, 32), np.uint8),
            rng.integers(0, classes, n).tolist(),
            rng.integers(0, 20, n).tolist(),
        )
        for n in sizes
    ]


CIFAR10_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
CIFAR100_NAMES = [f"fine_{i:02d}" for i in range(100)]
CIFAR10 = cifar_batches([3, 2, 2, 2, 2, 4], 10)
"""Five training batches and the test batch."""

CIFAR100 = cifar_batches([7, 5], 100)
"""Training and test images."""


def python3_pickle(value: Any) -> bytes:
    return pickle.dumps(value, protocol=2)


def python2_pickle(value: Any) -> bytes:
    """What Python 2's cPickle wrote with protocol 2: texts are byte strings, arrays of numpy.core."""
    return b"\x80\x02" + _python2(value) + b"."


def _python2(value: Any) -> bytes:
    if isinstance(value, np.ndarray):
        dtype = b"cnumpy\ndtype\n" + _tuple(b"u1", 0, 1) + b"R" + _tuple(3, b"|", None, None, None, -1, -1, 0)
        state = b"(K\x01" + _tuple(*value.shape) + dtype + b"b\x89" + _python2(value.tobytes()) + b"t"
        start = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + _tuple(0) + _python2(b"b")
        return start + b"tR" + state + b"b"
    if isinstance(value, dict):
        return b"}(" + b"".join(_python2(k) + _python2(v) for k, v in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(_python2, value)) + b"e"
    if isinstance(value, bytes):
        return b"T" + struct.pack("<i", len(value)) + value
    return b"N" if value is None else b"J" + struct.pack("<i", value)


def _tuple(*values: Any) -> bytes:
    return b"(" + b"".join(map(_python2, values)) + b"t"


def cifar10_python(dump: Callable[[Any], bytes] = python2_pickle) -> dict[str, bytes]:
    """Content of every file of cifar-10-batches-py/."""
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    files = {
        name: dump(
            {
                b"batch_label": b"training batch 1 of 5",
                b"labels": batch.labels,
                b"data": batch.images.reshape(-1, 3072),
                b"filenames": [b"image_s_%06d.png" % i for i in range(len(batch.labels))],
            }
        )
        for name, batch in zip(names, CIFAR10, strict=True)
    }
    meta = {
        b"num_cases_per_batch": 10000,
        b"label_names": [n.encode() for n in CIFAR10_NAMES],
        b"num_vis": 3072,
    }
    return {**files, "batches.meta": dump(meta), "readme.html": b"<html></html>"}


def cifar10_binary() -> dict[str, bytes]:
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    files = {
        name: b"".join(
            bytes([label]) + image.tobytes() for label, image in zip(batch.labels, batch.images, strict=True)
        )
        for name, batch in zip(names, CIFAR10, strict=True)
    }
    return {**files, "batches.meta.txt": "\n".join([*CIFAR10_NAMES, "", ""]).encode()}


def cifar100_python(dump: Callable[[Any], bytes] = python2_pickle) -> dict[str, bytes]:
    files = {
        name: dump(
            {
                b"filenames": [b"x.png"] * len(batch.labels),
                b"batch_label": b"training batch 1 of 1",
                b"fine_labels": batch.labels,
                b"coarse_labels": batch.coarse,
                b"data": batch.images.reshape(-1, 3072),
            }
        )
        for name, batch in zip(["train", "test"], CIFAR100, strict=True)
    }
    names = [name.encode() for name in CIFAR100_NAMES]
    meta = {b"fine_label_names": names, b"coarse_label_names": [b"coarse_%d" % i for i in range(20)]}
    return {**files, "meta": dump(meta)}


def cifar100_binary() -> dict[str, bytes]:
    files = {
        name: b"".join(
            bytes([coarse, label]) + image.tobytes()
            for coarse, label, image in zip(batch.coarse, batch.labels, batch.images, strict=True)
        )
        for name, batch in zip(["train.bin", "test.bin"], CIFAR100, strict=True)
    }
    coarse = "\n".join(f"coarse_{i}" for i in range(20)).encode()
    return {
        **files,
        "fine_label_names.txt": "\n".join(CIFAR100_NAMES).encode() + b"\n",
        "coarse_label_names.txt": coarse,
    }


def write_folder(root: Path, files: dict[str, bytes]) -> Path:
    root.mkdir(parents=True)
    for name, data in files.items():
        (root / name).write_bytes(data)
    return root


def write_archive(path: Path, folder: str, files: dict[str, bytes]) -> Path:
    """A .tar.gz with its members in an order that is not the alphabet's, as the published ones are."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name in sorted(files, reverse=True):
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(files[name])
            archive.addfile(member, io.BytesIO(files[name]))
    return path
