"""What a prediction leaves behind when it is stopped; resumed, its file is that of one without a stop."""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from signal import SIGINT, SIGTERM

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from longtail.data.unlabelled import Block
from longtail.errors import InputError, Interrupted, Terminated
from longtail.images.load import Unreadable
from longtail.runs import prediction_file
from longtail.runs.predict import Predicted, Prediction
from longtail.runs.prediction_file import Asked, PredictionFile, write_stream
from longtail.runs.prediction_rows import Columns, rows_of
from longtail.schema import LabelSchema

COLUMNS = Columns.of(LabelSchema.single("kind", ["a", "b"]))
ASKED = Asked("abc", "argmax", "csv")


class Named:
    """A store of images that are their names."""

    def __init__(self, names: list[str]):
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        return self.names[index]

    def read(self, index: int) -> bytes:
        return self.names[index].encode()


def blocks_of(names: list[str], size: int = 2) -> list[Block]:
    store = Named(names)
    return [Block(store, i, min(i + size, len(names))) for i in range(0, len(names), size)]


def predicted(blocks: Iterable[Block]) -> Iterator[Predicted]:
    """What a model says: 'bad' in a name is unreadable; other words of it stop the prediction."""
    for block in blocks:
        names = block.names
        for word, error in STOPS.items():
            if any(word in name for name in names):
                raise error
        good = [prediction(name) for name in names if "bad" not in name]
        bad = [Unreadable(i, name, "damaged") for i, name in enumerate(names) if "bad" in name]
        yield Predicted(names, good, bad)


STOPS = {
    "fail": InputError("no more"),
    "ctrl-c": KeyboardInterrupt(),
    "term": Terminated(),
    "bug": ZeroDivisionError(),
}


def prediction(name: str) -> Prediction:
    return Prediction(name, {"kind": "a"}, {"kind": {"a": 0.75, "b": 0.25}})


def file_at(path: Path, said: list[str] | None = None, asked: Asked = ASKED) -> PredictionFile:
    return PredictionFile(
        path, rows_of(asked.form, COLUMNS), asked, [].append if said is None else said.append
    )


def whole(names: list[str]) -> str:
    rows = rows_of("csv", COLUMNS)
    return (rows.head() + rows.of([prediction(name) for name in names if "bad" not in name])).decode()


NAMES = ["1", "2", "bad3", "4", "5", "6", "7"]


def test_a_whole_file_takes_its_place_and_leaves_nothing_beside(tmp_path: Path):
    path = tmp_path / "p.csv"
    path.write_text("earlier")
    tally = file_at(path).write(blocks_of(NAMES), predicted)
    assert path.read_text() == whole(NAMES)
    assert (tally.images, tally.unreadable, tally.first) == (7, 1, Unreadable(0, "bad3", "damaged"))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("word", "kind", "said"),
    [
        ("fail", InputError, "no more; "),
        ("ctrl-c", Interrupted, "stopped; "),
        ("term", Interrupted, "stopped; "),
        ("bug", ZeroDivisionError, None),
    ],
)
def test_a_stop_keeps_the_rows_before_it_and_a_resumed_file_is_that_of_no_stop(
    tmp_path: Path, word: str, kind: type[BaseException], said: str | None
):
    path = tmp_path / "p.csv"
    path.write_text("earlier")
    with pytest.raises(kind) as stop:
        file_at(path).write(blocks_of([*NAMES[:4], word, *NAMES[5:]]), predicted)
    if said:
        assert str(stop.value) == f"{said}{path}.part keeps the rows of 4 images, --resume goes on with them"
    if kind is Interrupted:
        assert stop.value.number == (SIGTERM if word == "term" else SIGINT)
    assert path.read_text() == "earlier"
    assert Path(f"{path}.part").read_text() == whole(NAMES[:4])
    lines: list[str] = []
    tally = file_at(path, lines).write(blocks_of(NAMES, 3), predicted, resume=True)
    assert lines == [f"goes on behind 4 images, whose rows are in {path}.part"]
    assert path.read_text() == whole(NAMES)
    assert (tally.images, tally.unreadable, tally.first) == (7, 1, None)
    assert list(tmp_path.iterdir()) == [path]


@settings(max_examples=25)
@given(st.lists(st.sampled_from(["a", "b", "bad", "c"]), min_size=1, max_size=12), st.data())
def test_wherever_it_stops_and_however_often_the_file_is_the_same(names: list[str], data: st.DataObject):
    import tempfile

    names = [f"{name}{i}" for i, name in enumerate(names)] + ["last"]
    with tempfile.TemporaryDirectory() as folder:
        path, resume = Path(folder) / "p.csv", False
        for _ in range(data.draw(st.integers(0, 3))):
            stop = data.draw(st.integers(0, len(names)))
            shown = [*names[:stop], "fail"]
            with pytest.raises(InputError):
                file_at(path).write(blocks_of(shown, data.draw(st.integers(1, 4))), predicted, resume=resume)
            with Path(f"{path}.part").open("ab") if Path(f"{path}.part").exists() else io.BytesIO() as part:
                part.write(b"half a ro")  # what a kill leaves
            resume = True
        tally = file_at(path).write(blocks_of(names, 3), predicted, resume=resume)
        assert path.read_text() == whole(names)
        assert tally.images == len(names)
        assert tally.unreadable == sum("bad" in name for name in names)


def test_a_parquet_file_goes_on_too(tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    path, asked = tmp_path / "p.parquet", Asked("abc", "argmax", "parquet")
    with pytest.raises(InputError, match="keeps the rows of 4 images"):
        file_at(path, asked=asked).write(blocks_of([*NAMES[:4], "fail"]), predicted)
    file_at(path, asked=asked).write(blocks_of(NAMES), predicted, resume=True)
    assert parquet.read_table(path)["image"].to_pylist() == [name for name in NAMES if "bad" not in name]
    assert list(tmp_path.iterdir()) == [path]


def stopped(path: Path) -> None:
    with pytest.raises(InputError):
        file_at(path).write(blocks_of([*NAMES[:4], "fail"]), predicted)


@pytest.mark.parametrize(
    "names",
    [
        ["0", *NAMES],
        [*NAMES[1:], "8"],
        [*NAMES[:2], *NAMES[3:], "8"],
        ["2", "1", *NAMES[2:]],
        ["bad1", *NAMES[1:]],
        NAMES[:3],
        [],
    ],
)
def test_other_images_are_refused_and_what_is_there_stays(tmp_path: Path, names: list[str]):
    path = tmp_path / "p.csv"
    stopped(path)
    with pytest.raises(InputError, match=r"^--resume: the images are not those .*; leave --resume out to "):
        file_at(path).write(blocks_of(names), predicted, resume=True)
    assert Path(f"{path}.part").read_text() == whole(NAMES[:4])
    file_at(path).write(blocks_of(NAMES), predicted, resume=True)
    assert path.read_text() == whole(NAMES)


@pytest.mark.parametrize(
    ("other", "word"),
    [
        ({"model": "abd"}, "model"),
        ({"decision": "prior"}, "decision"),
        ({"threshold": "f1"}, "threshold"),
        ({"coverage": 0.9}, "coverage"),
        ({"features": True}, "features"),
        ({"form": "jsonl"}, "form"),
    ],
)
def test_another_question_is_refused(tmp_path: Path, other: dict[str, object], word: str):
    path = tmp_path / "p.csv"
    stopped(path)
    with pytest.raises(InputError, match=rf"p\.csv\.part was begun with another {word}; leave --resume out"):
        file_at(path, asked=structs.replace(ASKED, **other)).write(blocks_of(NAMES), predicted, resume=True)


def test_a_part_that_lost_rows_and_a_damaged_note_are_one_line(tmp_path: Path):
    path = tmp_path / "p.csv"
    stopped(path)
    os.truncate(f"{path}.part", 10)
    with pytest.raises(InputError, match=r"p\.csv\.part is shorter than .*p\.csv\.part\.json says; leave"):
        file_at(path).write(blocks_of(NAMES), predicted, resume=True)
    Path(f"{path}.part.json").write_text("{")
    with pytest.raises(InputError, match=r"p\.csv\.part\.json: not JSON"):
        file_at(path).write(blocks_of(NAMES), predicted, resume=True)


def test_without_resume_it_begins_anew_and_says_so(tmp_path: Path):
    path, said = tmp_path / "p.csv", list[str]()
    stopped(path)
    file_at(path, said).write(blocks_of(["x"]), predicted)
    assert path.read_text() == whole(["x"])
    assert said == [f"{path}.part: was unfinished, and begins anew; --resume goes on with such a file"]


def test_resume_without_an_unfinished_file_begins_with_the_first_image(tmp_path: Path):
    path, said = tmp_path / "p.csv", list[str]()
    file_at(path, said).write(blocks_of(["x"]), predicted, resume=True)
    assert path.read_text() == whole(["x"])
    assert said == [f"--resume: {path}.part is not there; begins with the first image"]


def test_nothing_is_left_of_a_prediction_without_a_row(tmp_path: Path):
    for names, message in (
        (["fail"], "^no more$"),
        (["bad1", "bad2", "bad3"], "^none of the 3 images can be read; bad1"),
    ):
        with pytest.raises(InputError, match=message):
            file_at(tmp_path / "p.csv").write(blocks_of(names), predicted)
        assert list(tmp_path.iterdir()) == []


def test_no_images_at_all_are_a_header(tmp_path: Path):
    file_at(tmp_path / "p.csv").write([], predicted)
    assert (tmp_path / "p.csv").read_text() == whole([])


def test_two_predictions_do_not_write_one_file(tmp_path: Path):
    path = tmp_path / "p.csv"
    code = (
        "import sys, time; from pathlib import Path; from longtail.runs.lock import RunLock\n"
        "lock = RunLock(Path(sys.argv[1]), 'prediction'); lock.take('x'); print(flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / ".p.csv.lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(InputError, match=rf"p\.csv: is in use by a prediction \(process {other.pid} "):
            file_at(path).write(blocks_of(NAMES), predicted)
        other.kill()


def test_how_far_it_is_is_noted_on_the_way_for_a_kill_that_nothing_outlives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(prediction_file, "_PAUSE", 0.0)
    path, noted = tmp_path / "p.csv", []

    def looking(blocks: Iterable[Block]) -> Iterator[Predicted]:
        for found in predicted(blocks):
            yield found
            noted.append(json.loads(Path(f"{path}.part.json").read_text()))
            assert Path(f"{path}.part").stat().st_size == noted[-1]["bytes"]

    file_at(path).write(blocks_of(NAMES), looking)
    assert [note["images"] for note in noted] == [2, 4, 6, 7]


def test_a_disk_that_gets_full_is_one_line_and_keeps_what_is_whole(tmp_path: Path):
    path, many = tmp_path / "p.csv", [f"{i:060}" for i in range(100)]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(
            InputError, match=r"p\.csv: cannot be written \(File too large\); .* of 50 images"
        ):
            file_at(path).write(blocks_of(many), predicted)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    file_at(path).write(blocks_of(many), predicted, resume=True)
    assert path.read_text() == whole(many)


def test_a_stream_gets_each_block_at_once_and_the_header_with_the_first_row():
    stream = io.BytesIO()

    def looking() -> Iterator[Predicted]:
        seen = []
        for found in predicted(blocks_of(["bad1", "bad2", "3", "4", "5"])):
            yield found
            seen.append(stream.getvalue().count(b"\n"))
        assert seen == [0, 3, 4]

    tally = write_stream(stream, rows_of("csv", COLUMNS), looking(), Path("a"))
    assert stream.getvalue().decode() == whole(["3", "4", "5"])
    assert (tally.images, tally.unreadable) == (5, 2)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no such device here")
def test_a_device_that_is_full_is_named():
    with (
        Path("/dev/full").open("wb", buffering=0) as stream,
        pytest.raises(InputError, match=r"^/dev/full: cannot be written \(No space left on device\)$"),
    ):
        write_stream(stream, rows_of("csv", COLUMNS), predicted(blocks_of(["3", "4"])), Path("/dev/full"))
