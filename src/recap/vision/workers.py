"""Processes that torchrun starts to share the work of a stage."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

import torch.distributed

from recap.vision.feature_shards import ALONE, Worker

LONGEST_WAIT = timedelta(days=7)  # the slowest process decides


@contextmanager
def join_workers(environment: Mapping[str, str]) -> Iterator[Worker]:
    """Which process this is: alone, or one of those that torchrun started.

    Args:
        environment: of the process; torchrun sets WORLD_SIZE and RANK in it.
    """
    if int(environment.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    torch.distributed.init_process_group("gloo", timeout=LONGEST_WAIT)
    try:
        rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
        yield Worker(rank, ranks, torch.distributed.barrier)
    finally:
        torch.distributed.destroy_process_group()
