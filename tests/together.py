"""Processes that compute together; to begin one costs little, since another has imported torch for them."""

import multiprocessing
import socket
import sys

import torch.multiprocessing as mp

multiprocessing.set_forkserver_preload(["torch.distributed", "lightning_fabric"])
METHOD = "forkserver" if sys.platform == "linux" else "spawn"


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def together(worker, *arguments, processes=2):
    """Call worker(rank, *arguments) in each of the processes; what one of them raises is raised here."""
    mp.start_processes(worker, arguments, nprocs=processes, start_method=METHOD)
