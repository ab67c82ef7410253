"""The messages between processes that share a stage's work (torch.distributed: gloo, on GPUs NCCL)."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed
from torch import Tensor

from recap.core.environment import whole_number
from recap.errors import InputError
from recap.runtime.parent import end_with_parent

LONGEST_WAIT = timedelta(days=7)  # for the slowest process
PEER_LOST = 75
"""Exit code of a process that lost another one, which is the cause."""
SECONDS_TO_SPEAK = 10.0
MOST_PROCESSES, LARGEST_PORT = 2**20, 2**16 - 1
STORE = "RECAP_PROCESSES"
"""The variable with the file by which the processes of one machine find each other."""


class Worker:
    """One of ``ranks`` processes that share work; this class is one that works alone."""

    rank = 0
    ranks = 1

    def wait(self) -> None:
        """Wait until all processes have come here."""

    def add(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over all processes, the same bits in each."""

    def broadcast(self, content: bytes) -> bytes:
        """Return the content of the first process."""
        return content

    def largest(self, number: int) -> int:
        """Return the largest of all processes' numbers."""
        return number


ALONE = Worker()


class PeerLostError(Exception):
    """Another process ended before its time."""


class ProcessGroup(Worker):
    """One of several processes; all must make the same calls in the same order."""

    def __init__(self, device: torch.device) -> None:
        self.rank = torch.distributed.get_rank()
        self.ranks = torch.distributed.get_world_size()
        self.device = device

    def wait(self) -> None:
        _reach(torch.distributed.barrier)

    def add(self, tensor: Tensor) -> None:
        _reach(lambda: torch.distributed.all_reduce(tensor))

    def broadcast(self, content: bytes) -> bytes:
        size = torch.tensor([len(content)], device=self.device)
        _reach(lambda: torch.distributed.broadcast(size, 0))
        buffer = torch.empty(int(size), dtype=torch.uint8)
        if self.rank == 0:
            buffer = torch.frombuffer(bytearray(content or b"\0"), dtype=torch.uint8)[: len(content)]
        buffer = buffer.to(self.device)
        _reach(lambda: torch.distributed.broadcast(buffer, 0))
        return content if self.rank == 0 else buffer.cpu().numpy().tobytes()

    def largest(self, number: int) -> int:
        values = torch.tensor([number], device=self.device)
        _reach(lambda: torch.distributed.all_reduce(values, torch.distributed.ReduceOp.MAX))
        return int(values)


@contextmanager
def join_workers(processes: int, device: torch.device, environment: Mapping[str, str]) -> Iterator[Worker]:
    """Yield the worker that this process is: alone, or one of those that torchrun or ``launch`` started.

    Args:
        processes: how many there should be.
        device: where they compute; of several GPUs each takes that of its local rank.
        environment: of the process; torchrun sets WORLD_SIZE, RANK and LOCAL_RANK in it.

    Raises:
        InputError: there are more or fewer processes, or a variable holds no such number.
    """
    there = whole_number(environment, "WORLD_SIZE", 1, MOST_PROCESSES, 1)
    if there != processes:
        raise InputError(
            f"distributed.processes: expected the number of processes, {there}, received {processes}"
        )
    if processes == 1:
        yield ALONE
        return
    gpus = torch.cuda.device_count() if device.type == "cuda" else processes
    local_rank = whole_number(environment, "LOCAL_RANK", 0, gpus - 1, 0)
    rank = whole_number(environment, "RANK", 0, processes - 1)
    if STORE not in environment:  # torch reads it
        whole_number(environment, "MASTER_PORT", 0, LARGEST_PORT)
    end_with_parent(environment)
    if device.type == "cuda":
        torch.cuda.set_device(local_rank)
    try:
        backend = "nccl" if device.type == "cuda" else "gloo"
        store = None
        if STORE in environment:
            store = torch.distributed.FileStore(environment[STORE], processes)
        _reach(
            lambda: torch.distributed.init_process_group(
                backend,
                timeout=LONGEST_WAIT,
                store=store,
                rank=rank if store else -1,
                world_size=processes if store else -1,
            )
        )
        yield ProcessGroup(device)
        _reach(torch.distributed.destroy_process_group)
    except PeerLostError:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(PEER_LOST)  # at its exit torch would wait for processes that are gone
    except InputError:
        if local_rank == 0:
            raise
        time.sleep(SECONDS_TO_SPEAK)  # the first process prints the same mistake, and its end ends this one
        raise


def _reach(act: Callable[[], object]) -> None:
    try:
        act()
    except RuntimeError as error:  # the distributed errors of torch and those of gloo
        raise PeerLostError(str(error)) from None
