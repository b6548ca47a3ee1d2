"""Two processes compute the vectors of a frozen network once, whatever each finds in its cache."""

from datetime import timedelta

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from longtail.data.sources import open_dataset
from longtail.data.splits import split_dataset
from longtail.features.vectors import FixedNetwork
from longtail.ranks import in_all_ranks
from longtail.runs.data import Data
from longtail.runs.device import OneProcess
from longtail.training.config import DataOptions
from longtail.training.watcher import Silent

from ..together import free_port, together
from .conftest import of_colours

WORLD, NUMBERS = 2, 5


class Seen(nn.Sequential):
    """A network that counts the images that it is shown."""

    def __init__(self):
        torch.manual_seed(0)
        super().__init__(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, NUMBERS))
        self.images = 0

    def forward(self, images):
        self.images += len(images)
        return super().forward(images)


class Process(OneProcess):
    """One of two."""

    def __init__(self, rank):
        super().__init__(torch.device("cpu"))
        object.__setattr__(self, "global_rank", rank)
        object.__setattr__(self, "is_global_zero", rank == 0)

    world_size = WORLD


def looked(folder, cache, process, *names, rehearsed=False):
    """Vectors of all images of the splits of these names, and how many images the network was shown."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LONGTAIL_CACHE", str(cache))
        dataset = open_dataset(str(folder))
        splits = split_dataset(dataset, (0.6, 0.2, 0.2), 0)
        data = Data.of(dataset, splits, (8, 8), DataOptions(), Silent(), rehearsed=rehearsed)
        network = FixedNetwork(Seen(), (0.5,) * 3, (0.2,) * 3, (8, 8))
        data = data.on_vectors(process, network, NUMBERS)
        if rehearsed:  # each process reads its own batch: their sizes differ here
            rows = data.splits.train[: 3 + process.global_rank]
            return data.loader.vectors(rows), network.backbone.images
        data = data.readable(Silent(), names)
        rows = np.concatenate([data.splits.of(name) for name in names])
        return data.loader.vectors(rows), network.backbone.images


def worker(rank, port, folder):
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", address, timedelta(minutes=1), WORLD, rank)
    images, process = folder / "colours", Process(rank)
    found = {
        # no machine sees what the other one keeps: the second has nothing, the first one split
        "own": looked(images, folder / f"own{rank}", process, "train", "val"),
        "again": looked(images, folder / f"own{rank}", process, "train", "val"),
        "one": looked(images, folder / "one", process, "train", "val", "test"),
        "rehearsed": looked(images, folder / "none", process, rehearsed=True),
        "in all": in_all_ranks(torch.tensor([True, rank == 0, rank == 1, False])),
    }
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def of_two(tmp_path_factory):
    """The folder they worked in, and what each of two processes found."""
    folder = tmp_path_factory.mktemp("of-two")
    of_colours(folder / "colours")
    looked(folder / "colours", folder / "own0", OneProcess(torch.device("cpu")), "val")
    together(worker, free_port(), folder)
    return folder, [torch.load(folder / f"{rank}.pt") for rank in range(WORLD)]


def alone(folder, *names):
    return looked(folder / "colours", folder / "alone", OneProcess(torch.device("cpu")), *names)


@pytest.mark.parametrize(("name", "splits"), [("own", ("train", "val")), ("one", ("train", "val", "test"))])
def test_two_processes_have_the_vectors_of_one(of_two, name, splits):
    folder, found = of_two
    expected, _ = alone(folder, *splits)
    assert len(expected) > 20
    for rank in range(WORLD):
        torch.testing.assert_close(found[rank][name][0], expected, rtol=1e-3, atol=1e-3)


def test_each_image_is_shown_to_one_of_them(of_two):
    _, found = of_two
    images = len(found[0]["one"][0])
    shown = [found[rank]["one"][1] for rank in range(WORLD)]
    assert images <= sum(shown) <= images + 3  # a split of an odd size is filled up


def test_the_first_process_keeps_them_once(of_two):
    folder, found = of_two
    kept = [np.load(file) for file in (folder / "one").rglob("*.digests.npy")]
    assert len(np.concatenate(kept)) == len(found[0]["one"][0])
    assert not list((folder / "own1").rglob("*.npy"))


def test_a_cache_that_one_of_them_lacks_is_computed_again(of_two):
    _, found = of_two
    assert all(found[rank]["again"][1] > 0 for rank in range(WORLD))


def test_in_a_rehearsal_each_computes_its_own(of_two):
    folder, found = of_two
    expected, _ = alone(folder, "train")
    for rank in range(WORLD):
        vectors, shown = found[rank]["rehearsed"]
        assert shown == len(vectors) == 3 + rank
        torch.testing.assert_close(vectors, expected[: 3 + rank], rtol=1e-3, atol=1e-3)
    assert not list((folder / "none").rglob("*.npy"))


def test_what_is_true_in_all_processes(of_two):
    for found in of_two[1]:
        assert found["in all"].tolist() == [True, False, False, False]
    assert in_all_ranks(torch.tensor([True, False])).tolist() == [True, False]


def test_a_job_leaves_out_what_another_has_kept_meanwhile(of_two, tmp_path, monkeypatch):
    monkeypatch.setattr("longtail.features.vectors.SMALL_PIECE", 8)
    monkeypatch.setenv("LONGTAIL_CACHE", str(tmp_path))
    dataset = open_dataset(str(of_two[0] / "colours"))
    splits, shown = split_dataset(dataset, (0.6, 0.2, 0.2), 0), []

    class Slow(Seen):
        def forward(self, images):
            shown.append(len(images))
            if len(shown) == 1:  # while the first piece is looked at, another job does all
                other.readable(Silent())
            return super().forward(images)

    def job(network):
        data = Data.of(dataset, splits, (8, 8), DataOptions(), Silent())
        fixed = FixedNetwork(network, (0.5,) * 3, (0.2,) * 3, (8, 8))
        return data.on_vectors(OneProcess(torch.device("cpu")), fixed, NUMBERS)

    other, one = job(Seen()), job(Slow())
    one.readable(Silent())
    assert len(dataset) > 3 * 8
    assert len(shown) == 1  # a job begins with a piece of its own, which may be the last and smaller
    torch.testing.assert_close(one.loader.vectors(splits.train), other.loader.vectors(splits.train))
