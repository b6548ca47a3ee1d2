from __future__ import annotations

import io
import itertools
import multiprocessing
import os
import pickle
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from longtail.data.dataset import Dataset
from longtail.errors import InputError
from longtail.images.decode import decode
from longtail.images.load import ImageLoader
from longtail.schema import Attribute, LabelSchema

SIZE = (8, 12)
STREAMED = {"cache_bytes": 0}


class OneFile:
    """Encoded images behind each other in one file that is opened once and read by position."""

    def __init__(self, path: Path, files: list[bytes]) -> None:
        path.write_bytes(b"".join(files))
        self.path = path
        self.ends = list(itertools.accumulate(map(len, files)))
        self.handle = None

    def __len__(self) -> int:
        return len(self.ends)

    def name(self, index: int) -> str:
        return f"photos/{index}.png"

    def read(self, index: int) -> bytes:
        if self.handle is None:
            self.handle = os.open(self.path, os.O_RDONLY)
        start = self.ends[index - 1] if index else 0
        return os.pread(self.handle, self.ends[index] - start, start)

    def __getstate__(self):
        return self.__dict__ | {"handle": None}


class Virtual:
    """Any number of images that exist only when they are read."""

    def __init__(self, n: int, missing: frozenset[int] = frozenset()) -> None:
        self.n = n
        self.missing = missing
        self.reads: list[int] = []

    def __len__(self) -> int:
        return self.n

    def name(self, index: int) -> str:
        return f"{index}.raw"

    def read(self, index: int) -> np.ndarray:
        self.reads.append(index)
        if index in self.missing:
            raise FileNotFoundError(2, "No such file or directory", self.name(index))
        return np.full((*SIZE, 3), index % 256, np.uint8)


class WhoReads(Virtual):
    """Images whose pixels tell which process read them, and whether its store was opened there."""

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.opened_by: int | None = os.getpid()

    def __getstate__(self):
        return self.__dict__ | {"opened_by": None}

    def read(self, index: int) -> np.ndarray:
        self.opened_by = self.opened_by or os.getpid()
        here = self.opened_by == os.getpid()
        return np.array([here, *os.getpid().to_bytes(7)], np.uint8)[:, None].repeat(12, 1)[..., None]


def dataset_of(store) -> Dataset:
    n = len(store)
    schema = LabelSchema((Attribute("a", ("x", "y")), Attribute("b", ("x", "y", "z"))))
    labels = np.stack([np.arange(n) % 2, np.arange(n) % 4 - 1], axis=1)
    return Dataset("test", schema, labels, [str(k) for k in range(n)], store)


def random_png(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (*rng.integers(6, 30, 2), 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def store(tmp_path) -> OneFile:
    return OneFile(tmp_path / "images.bin", [random_png(seed) for seed in range(30)])


@pytest.fixture
def damaged(tmp_path) -> OneFile:
    files = [random_png(seed) for seed in range(30)]
    files[7], files[21] = b"", files[21][:60]
    return OneFile(tmp_path / "images.bin", files)


GROUPS = [[3, 1, 29], [0, 0, 5, 5, 2], list(range(30)), [17]]


def collected(loader: ImageLoader, groups=GROUPS) -> list[tuple[torch.Tensor, ...]]:
    return list(loader.batches(groups))


def test_a_batch_holds_the_images_labels_and_rows_asked_for_in_order(store):
    dataset = dataset_of(store)
    for group, (images, labels, index) in zip(GROUPS, collected(ImageLoader(dataset, SIZE)), strict=True):
        assert index.tolist() == group
        assert index.dtype == labels.dtype == torch.int64
        assert labels.tolist() == dataset.labels[group].tolist()
        assert images.dtype == torch.uint8
        for row, image in zip(group, images, strict=True):
            expected = decode(store.read(row), "a", SIZE)
            assert np.array_equal(image.permute(1, 2, 0).numpy(), expected)


def test_cached_threaded_and_streamed_batches_are_the_same_bytes(store):
    cached, threaded, streamed = (
        collected(ImageLoader(dataset_of(store), SIZE, **options))
        for options in ({}, STREAMED, {**STREAMED, "workers": 2})
    )
    assert cached[0][0].shape == (3, 3, *SIZE)
    for batches in zip(cached, threaded, streamed, strict=True):
        for parts in zip(*batches, strict=True):
            assert torch.equal(parts[0], parts[1])
            assert torch.equal(parts[0], parts[2])


@pytest.mark.parametrize("workers", [0, 2])
def test_of_each_image_the_part_asked_for_is_decoded(store, workers):
    parts = [torch.randint(0, 4, (len(group), 4)) + torch.tensor([0, 0, 1, 1]) for group in GROUPS]
    loader = ImageLoader(dataset_of(store), SIZE, workers=workers, **STREAMED)
    for group, own, (images, _, index) in zip(GROUPS, parts, loader.batches(GROUPS, parts), strict=True):
        assert index.tolist() == group
        for row, part, image in zip(group, own.tolist(), images, strict=True):
            expected = decode(store.read(row), "a", SIZE, part=tuple(part))
            assert np.array_equal(image.permute(1, 2, 0).numpy(), expected)


def test_of_images_that_are_kept_no_part_can_be_asked_for(store):
    with pytest.raises(ValueError, match="kept whole"):
        next(ImageLoader(dataset_of(store), SIZE).batches([[0]], [torch.tensor([[0, 0, 4, 4]])]))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_decode_in_processes_of_their_own_whatever_starts_them(method, monkeypatch):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    monkeypatch.syspath_prepend(Path(__file__).parents[2])  # a spawned process imports this file by its name
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(method, force=True)
    try:
        loader = ImageLoader(dataset_of(WhoReads(8)), SIZE, workers=1, **STREAMED)
        pixels = torch.cat([images for images, _, _ in loader.batches([[0, 1], [2, 3]])])[:, 0, :, 0]
    finally:
        multiprocessing.set_start_method(before, force=True)
    assert (pixels[:, 0] == 1).all(), "the store was opened in another process"
    readers = {int.from_bytes(bytes(column[1:].tolist())) for column in pixels}
    assert len(readers) == 1
    assert os.getpid() not in readers


def test_workers_live_on_from_one_epoch_to_the_next():
    loader = ImageLoader(dataset_of(WhoReads(8)), SIZE, workers=1, **STREAMED)
    first, second = (next(iter(collected(loader, [[0]])))[0] for _ in range(2))
    assert torch.equal(first, second)


def test_two_iterations_at_once_do_not_disturb_each_other(store):
    loader = ImageLoader(dataset_of(store), SIZE, workers=1, **STREAMED)
    groups = [[k] for k in range(6)]
    collected(loader, groups)  # leaves idle workers behind, which only one of the two may take
    pairs = zip(loader.batches(groups), loader.batches(groups[::-1]), strict=True)
    assert [(a[2].item(), b[2].item()) for a, b in pairs] == [(k, 5 - k) for k in range(6)]


def test_an_iteration_left_half_way_does_not_disturb_the_next(store):
    loader = ImageLoader(dataset_of(store), SIZE, workers=1, **STREAMED)
    next(loader.batches([[k] for k in range(10)]))
    assert [index.tolist() for _, _, index in loader.batches([[4], [2]])] == [[4], [2]]


def test_streaming_takes_nothing_from_the_global_random_numbers(store):
    state = torch.get_rng_state()
    collected(ImageLoader(dataset_of(store), SIZE, workers=1, **STREAMED))
    assert torch.equal(torch.get_rng_state(), state)


def test_images_are_kept_only_where_all_of_them_fit():
    need = 10 * 3 * SIZE[0] * SIZE[1]
    assert ImageLoader(dataset_of(Virtual(10)), SIZE, cache_bytes=need).cached
    assert not ImageLoader(dataset_of(Virtual(10)), SIZE, cache_bytes=need - 1).cached


def test_a_kept_image_is_read_once_and_one_never_asked_for_is_not_read():
    store = Virtual(10)
    loader = ImageLoader(dataset_of(store), SIZE)
    collected(loader, [[1, 2, 2], [2, 3], [1, 3]])
    assert sorted(store.reads) == [1, 2, 3]


def test_a_batch_is_the_callers_to_change(store):
    loader = ImageLoader(dataset_of(store), SIZE)
    first = collected(loader)[0][0]
    kept = first.clone()
    first.zero_()
    assert torch.equal(collected(loader)[0][0], kept)


@pytest.mark.parametrize("workers", [0, 1])
def test_the_first_of_very_many_images_are_not_waited_for(workers):
    store = Virtual(200_000)
    loader = ImageLoader(dataset_of(store), SIZE, workers=workers, **STREAMED)
    taken = []

    def groups():
        for start in range(0, len(store), 4):
            taken.append(start)
            yield range(start, start + 4)

    rows = loader.readable(np.arange(len(store)))
    images, _, _ = next(loader.batches(groups()))
    assert images[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert len(rows) == len(store)
    assert len(taken) <= 4
    assert len(store.reads) <= 4


def test_a_dataset_without_pickling_its_labels_reaches_the_workers():
    # What is sent to a worker holds the store, not the tables beside it.
    store = Virtual(8)
    loader = ImageLoader(dataset_of(store), SIZE, workers=1, **STREAMED)
    assert len(pickle.dumps(loader._decoder)) < 2000


def test_groups_may_be_arrays_tensors_or_ranges(store):
    loader = ImageLoader(dataset_of(store), SIZE)
    groups = [np.array([1, 2]), torch.tensor([3]), range(2)]
    assert [index.tolist() for _, _, index in loader.batches(groups)] == [[1, 2], [3], [0, 1]]


# --- unreadable images ----------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, STREAMED, {**STREAMED, "workers": 1}])
def test_an_unreadable_image_stops_with_one_line_that_says_which_what_and_what_to_do(damaged, options):
    loader = ImageLoader(dataset_of(damaged), SIZE, **options)
    batches = loader.batches([[1, 2], [6, 7, 8]])
    assert next(batches)[2].tolist() == [1, 2]
    with pytest.raises(InputError) as caught:
        next(batches)
    message = str(caught.value)
    assert message.startswith("photos/7.png: the file is empty")
    assert "--skip-unreadable" in message
    assert message.isprintable()
    assert type(caught.value) is InputError


def test_a_missing_file_is_named_with_the_systems_reason():
    loader = ImageLoader(dataset_of(Virtual(5, frozenset([3]))), SIZE)
    with pytest.raises(InputError, match=r"^3\.raw: cannot be read \(No such file or directory\); "):
        collected(loader, [[3]])


def test_without_skipping_the_first_unreadable_image_that_is_kept_stops_the_check(damaged):
    with pytest.raises(InputError, match=r"^photos/7\.png: .*--skip-unreadable"):
        ImageLoader(dataset_of(damaged), SIZE).readable(range(30))


@pytest.mark.parametrize("options", [{}, STREAMED])
def test_skipping_lists_each_unreadable_image_once_and_keeps_the_others_in_order(damaged, options):
    loader = ImageLoader(dataset_of(damaged), SIZE, skip_unreadable=True, **options)
    assert loader.readable([21, 9, 7, 3]).tolist() == [9, 3]
    assert loader.readable(np.array([8, 7, 8])).tolist() == [8, 8]
    assert [(row, name) for row, name, _ in loader.unreadable] == [(7, "photos/7.png"), (21, "photos/21.png")]
    assert "empty" in loader.unreadable[0].reason
    assert "photos" not in loader.unreadable[0].reason


def test_what_is_left_after_skipping_can_be_loaded(damaged):
    loader = ImageLoader(dataset_of(damaged), SIZE, skip_unreadable=True, workers=1, **STREAMED)
    rows = loader.readable(range(30))
    assert len(rows) == 28
    assert (
        torch.cat([index for _, _, index in loader.batches(np.array_split(rows, 4))]).tolist()
        == rows.tolist()
    )


def test_an_unreadable_image_in_a_batch_stops_even_when_skipping(damaged):
    loader = ImageLoader(dataset_of(damaged), SIZE, skip_unreadable=True)
    with pytest.raises(InputError, match=r"^photos/7\.png: .*not checked beforehand"):
        collected(loader, [[7]])


def test_nothing_but_unreadable_images_is_refused(damaged):
    loader = ImageLoader(dataset_of(damaged), SIZE, skip_unreadable=True)
    with pytest.raises(InputError, match=r"none of the 2 images can be read; photos/21\.png: "):
        loader.readable([7, 21])
    assert loader.readable([]).tolist() == []


def test_checked_images_are_not_checked_again():
    store = Virtual(10)
    loader = ImageLoader(dataset_of(store), SIZE, skip_unreadable=True, **STREAMED)
    loader.readable(range(6))
    loader.readable(range(10))
    assert sorted(store.reads) == list(range(10))


def test_the_check_tells_how_far_it_is():
    told: list[tuple[int, int]] = []
    loader = ImageLoader(dataset_of(Virtual(100)), SIZE, on_progress=lambda *step: told.append(step))
    loader.readable(range(100))
    assert told == sorted(told)
    assert told[-1] == (100, 100)
    assert len(told) > 1
    assert {total for _, total in told} == {100}


def test_no_worker_outlives_an_error_or_an_iteration_left_half_way(damaged):
    before = set(multiprocessing.active_children())
    loader = ImageLoader(dataset_of(damaged), SIZE, workers=1, **STREAMED)
    with pytest.raises(InputError) as caught:
        collected(loader, [[7], [8], [9]])
    assert caught.tb is not None  # the frames are still there
    for _ in loader.batches([[k] for k in range(20)]):
        break
    assert set(multiprocessing.active_children()) == before


# --- measuring ------------------------------------------------------------------------------------


def test_the_time_a_consumer_waits_is_counted_and_the_time_it_works_is_not(monkeypatch):
    clock = [0.0]

    class Slow(Virtual):
        def read(self, index: int) -> np.ndarray:
            clock[0] += 1
            return super().read(index)

    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    loader = ImageLoader(dataset_of(Slow(4)), SIZE, **STREAMED)
    for _ in loader.batches([[0], [1], [2]]):
        clock[0] += 100
    assert loader.wait_seconds == 3


def test_normalisation_is_measured_on_the_rows_given():
    loader = ImageLoader(dataset_of(Virtual(200)), SIZE)
    mean, std = loader.normalisation([0, 100])
    assert np.allclose(mean, 50 / 255)
    assert np.allclose(std, 50 / 255)


def test_normalisation_looks_at_a_sample_from_first_to_last():
    store = Virtual(200)
    ImageLoader(dataset_of(store), SIZE).normalisation(range(200), sample=3)
    assert sorted(store.reads) == [0, 99, 199]
