from __future__ import annotations

import io
import re
from typing import Any, cast

import pytest
from msgspec import structs

from longtail.cli.progress import Bars, Lines, clock, display, epoch_line, loss_text, mined_text
from longtail.evaluation.metrics import Metrics
from longtail.training.meter import Means
from longtail.training.record import EpochRecord
from longtail.training.watcher import Silent

RECORD = EpochRecord(
    epoch=3,
    step=30,
    learning_rate=0.1,
    seconds=4.2,
    images_per_second=100.0,
    input_wait_share=0.0,
    loss={"total": 2.25, "ce": 2.0, "crl": 0.25},
    validation=Metrics(0.5, 0.9, None, None, None, None, 0.125),
)


class Stream(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """Time that goes on as the test says."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Meter:
    """Counts how often it is read."""

    def __init__(self, **mined: Any) -> None:
        self.read = 0
        self.mined = mined

    def means(self) -> Means:
        self.read += 1
        return Means({"total": 2.25, "ce": 2.0, "crl": 0.25}, self.mined)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    now = Clock()
    monkeypatch.setattr("longtail.cli.progress.time.monotonic", now)
    return now


def seen(stream: Stream) -> str:
    """What was written, without the codes that move and colour."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())


def step(watcher: Any, epoch: int, number: int, steps: int, meter: Meter) -> None:
    watcher.step(epoch, number, steps, cast(Any, meter))


def test_where_there_is_no_terminal_each_epoch_is_one_line():
    stream = io.StringIO()
    watcher = display(stream)
    watcher.begin(20)
    assert isinstance(watcher, Lines)
    meter = Meter()
    watcher.say("1 attribute")
    watcher.progress("reading images", 1, 10)
    step(watcher, 0, 1, 10, meter)
    watcher.epoch(RECORD)
    watcher.close()
    assert stream.getvalue() == f"1 attribute\n{epoch_line(RECORD, 20)}\n"
    assert meter.read == 0


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "dumb")
    assert type(display(Stream())) is Lines


def test_quiet_shows_nothing_even_on_a_terminal():
    assert isinstance(display(Stream(), quiet=True), Silent)


def test_an_epoch_is_said_in_one_line_of_80_columns():
    line = epoch_line(structs.replace(RECORD, seconds=123.4), 200)
    assert line == "epoch   3/200  loss 2.000 ce + 0.250 crl  balanced 50.0%, few 12.5%  123.4 s"
    assert len(line) <= 80


def test_an_epoch_without_validation_has_no_words_for_it():
    assert epoch_line(structs.replace(RECORD, validation=None), 20) == (
        "epoch  3/20  loss 2.000 ce + 0.250 crl  4.2 s"
    )


def test_the_meter_is_read_at_most_twice_a_second(now: Clock):
    watcher, meter = display(Stream()), Meter()
    watcher.begin(2)
    assert isinstance(watcher, Bars)
    for number in range(1, 1001):
        now.now += 0.01
        step(watcher, 0, number, 1000, meter)
    watcher.close()
    assert 15 <= meter.read <= 20


def test_the_bars_say_epoch_step_rate_time_left_losses_and_what_was_mined(now: Clock):
    stream = Stream()
    mined = {"anchors": 30.4, "positive_pairs": 300.0, "negative_pairs": 1234.0}
    watcher, meter = display(stream), Meter(**mined)
    watcher.begin(10)
    for number in (1, 2, 3):
        now.now += 2.0
        step(watcher, 4, number, 10, meter)
    watcher.close()
    picture = seen(stream)
    assert re.search(r"epoch .* 5/10 0:01:54 left", picture)
    assert re.search(r"step .* 3/10 0\.5 steps/s", picture)
    assert "loss 2.000 ce + 0.250 crl" in picture
    assert "mined in a batch: 30 anchors, 300 positive and 1,234 negative pairs" in picture
    assert max(len(line) for line in picture.splitlines()) <= 80


def test_epochs_and_sentences_stay_above_the_bars_and_the_bars_go_away(now: Clock):
    stream = Stream()
    watcher = display(stream)
    watcher.begin(10)
    now.now += 1
    step(watcher, 2, 1, 10, Meter())
    watcher.epoch(RECORD)
    watcher.say("done")
    watcher.close()
    assert epoch_line(RECORD, 10) in seen(stream)
    assert "done" in seen(stream)
    assert stream.getvalue().endswith("\x1b[?25h\r\x1b[1A\x1b[2K\x1b[1A\x1b[2K\x1b[1A\x1b[2K")


def test_a_task_has_a_bar_that_goes_away_at_its_end(now: Clock):
    stream = Stream()
    watcher = display(stream)
    watcher.progress("reading images", 1, 1000)
    assert stream.getvalue() == "", "what is over at once is not shown"
    now.now += 1
    watcher.progress("reading images", 500, 1000)
    assert re.search("reading images .* 500/1,000", seen(stream))
    watcher.progress("reading images", 1000, 1000)
    assert stream.getvalue().rstrip().endswith("\x1b[2K")
    watcher.close()


def test_a_loss_of_one_term_is_said_once_and_what_is_unknown_as_a_dash():
    assert loss_text({"total": 2.0, "ce": 2.0}) == "loss 2.000"
    assert loss_text({"total": None, "ce": 12.3456, "crl": None}) == "loss 12.3 ce + - crl"


def test_methods_that_do_not_mine_have_no_line_for_it():
    assert mined_text({}) == ""


def test_a_clock_shows_hours_minutes_and_seconds():
    assert [clock(seconds) for seconds in (0, 59.6, 3725.4, 360000)] == [
        "0:00:00",
        "0:01:00",
        "1:02:05",
        "100:00:00",
    ]
