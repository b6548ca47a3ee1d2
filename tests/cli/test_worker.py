"""Orders carried out in this process; tests/comparing/test_compare.py has a real worker."""

import os
from pathlib import Path

import pytest

from longtail.cli import worker
from longtail.cli.worker import carry_out
from longtail.comparing.workers import Order


def test_what_is_written_goes_to_the_log_of_the_order(tmp_path, monkeypatch, capfd):
    def says(arguments):
        os.write(1, f"out {arguments[0]}\n".encode())
        os.write(2, f"bad {arguments[0]}\n".encode())
        return 3

    monkeypatch.setattr(worker, "longtail", says)
    log = tmp_path / "a.log"
    assert [carry_out(Order((word,), str(log))).code for word in "xy"] == [3, 3]
    assert (log.read_text(), (tmp_path / "a.err").read_text()) == ("out x\nout y\n", "bad y\n")
    os.write(1, b"after\n")
    assert capfd.readouterr() == ("after\n", "")


def test_a_fault_of_ours_ends_the_order_with_its_traceback_and_not_the_process(tmp_path, monkeypatch, capsys):
    def broken(arguments):
        raise RuntimeError("no luck")

    monkeypatch.setattr(worker, "longtail", broken)
    assert carry_out(Order((), str(tmp_path / "a.log"))).code == 1
    assert capsys.readouterr().err.endswith("RuntimeError: no luck\n")


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is measured on Linux alone")
def test_the_peak_memory_is_that_of_one_order(tmp_path, monkeypatch):
    size = 2**28
    monkeypatch.setattr(worker, "longtail", lambda words: len(bytearray(int(words[0]))) and 0)
    big, small = (carry_out(Order((n,), str(tmp_path / "a.log"))) for n in (str(size), "8"))
    assert big.peak_memory_bytes - small.peak_memory_bytes > 0.9 * size
