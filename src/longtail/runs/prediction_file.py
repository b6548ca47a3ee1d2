"""Predictions on their way into a file: what is written stays when they stop, and they go on from there."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from signal import SIGTERM
from time import monotonic
from typing import BinaryIO

from msgspec import structs

from longtail.data.unlabelled import Block
from longtail.documents import Form, Part
from longtail.errors import InputError, Interrupted, Terminated
from longtail.files import PART, take_place, written_aside
from longtail.images.load import Unreadable
from longtail.runs.lock import RunLock
from longtail.runs.predict import Predicted
from longtail.runs.prediction_rows import FormName, Rows, to_parquet
from longtail.runs.run import Run
from longtail.training.sealed import checksum_of
from longtail.words import count

_PAUSE = 1.0  # least seconds between two notes of how far it is


class Asked(Part, frozen=True):
    """What makes the rows of a file what they are, beside the images.

    Attributes:
        model: checksum of the model.
        decision: by which rule.
        form: of the file.
        threshold: for which aim.
        coverage: of the sets.
        features: whether they are written.
    """

    model: str
    decision: str
    form: FormName
    threshold: str | None = None
    coverage: float | None = None
    features: bool = False

    @classmethod
    def of(cls, run: Run, form: FormName, *, features: bool) -> Asked:
        """What a run is asked."""
        aim = None if run.aim is None else str(run.aim)
        return cls(checksum_of(run.folder.model), run.decision, form, aim, run.coverage, features)


class Reached(Part, frozen=True):
    """How far an unfinished file is.

    Attributes:
        asked: what it holds.
        images: gone through, those that could not be read among them.
        unreadable: how many of them.
        names: digest of their names.
        bytes: of the unfinished file.
    """

    asked: Asked
    images: int = 0
    unreadable: int = 0
    names: str = ""
    bytes: int = 0


REACHED = Form(
    Reached, "notes of a prediction", "what longtail predict wrote", "leave --resume out", indent=0
)


class Tally:
    """What came of all images so far.

    Attributes:
        images: how many were gone through.
        unreadable: of them, those that have no row.
        first: an unreadable one, and what is wrong with it; None where there was none since this prediction
            began or went on.
    """

    def __init__(self) -> None:
        self.images = self.unreadable = 0
        self.first: Unreadable | None = None
        self._names = blake2b(digest_size=16)

    @property
    def names(self) -> str:
        """A digest of the names so far, in their order."""
        return self._names.hexdigest()

    def add(self, found: Predicted) -> None:
        """Count a block of images."""
        self._go_through(found.names)
        self.unreadable += len(found.unreadable)
        self.first = self.first or next(iter(found.unreadable), None)

    def behind(self, blocks: Iterable[Block], reached: Reached) -> Iterator[Block]:
        """The blocks behind the images that an unfinished file has reached; those are counted.

        Raises:
            InputError: at once when the first images are others.
        """
        blocks, rest = iter(blocks), list[Block]()
        while (ahead := reached.images - self.images) > 0 and (block := next(blocks, None)) is not None:
            self._go_through(block.names[:ahead])
            rest = [block.without(ahead)] if ahead < len(block) else []
        if (self.images, self.names) != (reached.images, reached.names or self.names):
            raise InputError(f"--resume: the images are not those that the prediction began with{_ANEW}")
        self.unreadable = reached.unreadable
        return chain(rest, blocks)

    def _go_through(self, names: Iterable[str]) -> None:
        for name in names:
            self.images += 1
            self._names.update(name.encode("utf-8", "surrogateescape") + b"\0")


_ANEW = "; leave --resume out to begin anew"


def write_stream(stream: BinaryIO, rows: Rows, found: Iterable[Predicted], place: Path) -> Tally:
    """Write predictions where nothing can be kept for later, each block at once; `place` is its name.

    Raises:
        InputError: when no image can be read, or a device is full.
    """
    tally = Tally()
    for piece in _pieces(rows, found, tally, rows.head()):
        with _writing(place):
            _write_all(stream, piece)
            stream.flush()
    return tally


def _write_all(file: BinaryIO, piece: bytes) -> None:
    """All of it: a file without a buffer may take a part."""
    left = memoryview(piece)
    while left:
        left = left[file.write(left) :]


def _pieces(rows: Rows, found: Iterable[Predicted], tally: Tally, head: bytes) -> Iterator[bytes]:
    """The bytes of every block; a head comes with the first row, or alone where there are no images."""
    for block in found:
        tally.add(block)
        piece = rows.of(block.predictions)
        yield head + piece if piece else b""
        head = b"" if piece else head
    if tally.images and tally.unreadable == tally.images:
        why = "" if tally.first is None else f"; {tally.first.name}: {tally.first.reason}"
        raise InputError(f"none of the {tally.images} images can be read{why}")
    yield head


class PredictionFile:
    """A file of predictions. Until it is whole, the rows stand in PATH.part and what is known of them in
    PATH.part.json; both stay when the prediction stops.

    Args:
        path: of the whole file.
        rows: its form.
        asked: what it holds.
        say: hears what happens to an unfinished file.
    """

    def __init__(self, path: Path, rows: Rows, asked: Asked, say: Callable[[str], None]) -> None:
        self.path, self.rows, self.asked, self.say = path, rows, asked, say
        self.part = path.with_name(path.name + PART)
        self.note = path.with_name(f"{self.part.name}.json")

    def write(
        self,
        blocks: Iterable[Block],
        predict: Callable[[Iterable[Block]], Iterator[Predicted]],
        *,
        resume: bool = False,
    ) -> Tally:
        """Write the predictions of blocks of images; an earlier file stays until they are whole.

        Args:
            blocks: all images.
            predict: what makes predictions of those that are left.
            resume: go on behind the last row of an unfinished file.

        Raises:
            InputError: when it cannot be resumed, another process writes it, or a prediction fails; then, and
                with `Interrupted`, the rows before are kept.
        """
        with RunLock(self.path.with_name(f".{self.path.name}.lock"), "prediction") as lock:
            lock.take(f"--output {self.path}")
            reached, tally = self._begun(resume), Tally()
            found = predict(tally.behind(blocks, reached))
            with _Part(self, reached) as part:
                for piece in _pieces(self.rows, found, tally, b"" if reached.bytes else self.rows.head()):
                    part.add(piece, tally)
                part.finish()
            return tally

    def _begun(self, resume: bool) -> Reached:
        """Where to begin: behind what is there, or with nothing."""
        fresh, there = Reached(self.asked), self.part.exists() and self.note.exists()
        if there and resume:
            reached = REACHED.read(self.note)
            self._expect_same(reached)
            self.say(f"goes on behind {count(reached.images, 'image')}, whose rows are in {self.part}")
            return reached
        if there:
            self.say(f"{self.part}: was unfinished, and begins anew; --resume goes on with such a file")
        elif resume:
            self.say(f"--resume: {self.part} is not there; begins with the first image")
        return fresh

    def _expect_same(self, reached: Reached) -> None:
        before, now = structs.asdict(reached.asked), structs.asdict(self.asked)
        other = next((name for name in now if before[name] != now[name]), None)
        if other is not None:
            raise InputError(f"--resume: {self.part} was begun with another {other}{_ANEW}")
        if self.part.stat().st_size < reached.bytes:
            raise InputError(f"--resume: {self.part} is shorter than {self.note} says{_ANEW}")


class _Part:
    """The unfinished file, opened; when the block fails it is kept with its note, or removed while empty."""

    def __init__(self, file: PredictionFile, reached: Reached) -> None:
        self._of = file
        self._reached = reached
        self._noted = monotonic()

    def __enter__(self) -> _Part:
        with _writing(self._of.path):
            self._file = self._of.part.open("r+b" if self._reached.bytes else "wb", buffering=0)
            self._file.truncate(self._reached.bytes)
            self._file.seek(self._reached.bytes)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._file.close()
        if error is None:
            return
        hint = self._kept()
        match error:
            case Terminated():
                raise Interrupted(f"stopped{hint}", SIGTERM) from None
            case KeyboardInterrupt():
                raise Interrupted(f"stopped{hint}") from None
            case InputError():
                raise InputError(f"{error}{hint}") from None
            case _:
                return

    def add(self, piece: bytes, tally: Tally) -> None:
        """Write the rows of a block, and about once a second how far it is."""
        with _writing(self._of.path):
            _write_all(self._file, piece)
        place = self._file.tell()
        self._reached = Reached(self._of.asked, tally.images, tally.unreadable, tally.names, place)
        if monotonic() - self._noted >= _PAUSE:
            REACHED.write(self._of.note, self._reached)
            self._noted = monotonic()

    def finish(self) -> None:
        """Put the whole file into its place."""
        path, part = self._of.path, self._of.part
        self._file.close()
        if self._of.asked.form == "parquet":
            with written_aside(path) as aside:
                to_parquet(part, aside)
        else:
            with _writing(path):
                take_place(part, path)
        for file in (self._of.note, part):
            file.unlink(missing_ok=True)

    def _kept(self) -> str:
        """What to say of the rows that are kept."""
        part, note = self._of.part, self._of.note
        if not self._reached.bytes:
            part.unlink(missing_ok=True)
            note.unlink(missing_ok=True)
            return ""
        with suppress(InputError):  # a full disk: the note before stands
            REACHED.write(note, self._reached)
        images = count(self._reached.images, "image")
        return f"; {part} keeps the rows of {images}, --resume goes on with them" if note.exists() else ""


@contextmanager
def _writing(path: Path) -> Generator[None]:
    """Says in one line why a file cannot be written."""
    try:
        yield
    except BrokenPipeError:
        raise  # whoever reads has enough
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None
