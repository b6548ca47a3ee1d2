import logging
import subprocess
import sys

import pytest

from longtail.errors import InputError
from longtail.runs import device

FAULTS = """
import resource
import torch
from longtail.runs.device import launch

def faults():
    for _ in range(3):
        torch.ones(2**24).sum()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(2**24).sum()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

anew = faults()
launch("cpu")
print(anew, faults())
"""
"""How often the system hands out a page for tensors of 64 MB, one after the other, before and after."""


@pytest.mark.skipif(sys.platform != "linux", reason="the system's own memory is left as it is")
def test_memory_that_tensors_give_back_is_kept_for_the_next_ones():
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    given_anew, kept = map(int, done.stdout.split())
    if given_anew < 1000:
        pytest.skip("this C library keeps it anyway")
    assert kept < given_anew / 4  # a piece may have to grow once or twice


def test_a_c_library_without_the_setting_is_left_alone(monkeypatch):
    monkeypatch.setattr(device.sys, "platform", "linux")
    monkeypatch.setattr(device.ctypes, "CDLL", lambda _: object())
    device.keep_freed_memory()


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_on_other_systems_no_c_library_is_asked_for(platform, monkeypatch):
    monkeypatch.setattr(device.sys, "platform", platform)
    monkeypatch.setattr(device.ctypes, "CDLL", lambda _: pytest.fail("asked for the C library"))
    device.keep_freed_memory()


def test_a_process_alone_computes_on_the_device_that_a_training_takes():
    assert device.one_process().device == device.launch().device
    assert device.one_process("cpu").device.type == "cpu"


def test_a_device_that_is_not_there_is_refused_with_those_that_are(monkeypatch):
    monkeypatch.setattr(device.torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"^--accelerator cuda: not on this machine, expected .* cpu$"):
        device.one_process("cuda")


def test_nothing_is_remarked_of_the_precision_and_what_others_log_stays(monkeypatch):
    import lightning_fabric  # noqa: F401  # its logger has a level from here on

    logger, remarks = logging.getLogger("lightning_fabric"), list[str]()
    monkeypatch.setattr(logger, "handlers", [Keeping(remarks)])
    device.launch("cpu", precision="bf16")
    assert remarks == []
    logger.info("a remark of somebody else's Fabric")
    assert len(remarks) == 1


class Keeping(logging.Handler):
    def __init__(self, kept):
        super().__init__()
        self.kept = kept

    def emit(self, record):
        self.kept.append(record.getMessage())
