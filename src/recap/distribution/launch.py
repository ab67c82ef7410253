"""Starts the processes that share a stage (torchrun's agent), and speaks for them when one dies."""

import logging
import os
import signal
import sys
from collections.abc import MutableMapping, Sequence

from recap.distribution.config import DistributedConfig
from recap.errors import InputError
from recap.guard.parent import PARENT


def launch(config: DistributedConfig, command: Sequence[str], environment: MutableMapping[str, str]) -> bool:
    """Run a stage in ``config.processes`` processes when it is not yet one of them.

    On several machines the same stage is started on each, with torchrun's own variables: PET_NNODES,
    PET_NODE_RANK, PET_MASTER_ADDR, PET_MASTER_PORT.

    Args:
        config: the group `distributed`.
        command: what this process runs, without the interpreter.
        environment: of this process, for those that it starts; TORCH_CPP_LOG_LEVEL is added, which a process
            reads when it loads torch, and which process theirs is.

    Returns:
        True when the processes have done the work; False when this process is to do it.

    Raises:
        InputError: the processes do not divide by the machines.
        SystemExit: a process ended early; one line has said which.
    """
    if config.processes == 1 or "WORLD_SIZE" in environment:
        return False
    machines = int(environment.get("PET_NNODES", "1"))
    if config.processes % machines:
        raise InputError(
            f"distributed.processes: expected a multiple of {machines} machines, received {config.processes}"
        )
    environment[PARENT] = str(os.getpid())
    # before torch is loaded: what its parts log about a lost process is no news beside the line below
    environment.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import launch_agent
    from torch.distributed.run import config_from_args, get_args_parser

    from recap.distribution.workers import PEER_LOST

    logging.disable()
    options = [f"--nproc-per-node={config.processes // machines}", "--max-restarts=0"]
    if machines == 1:
        options += ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
    arguments = get_args_parser().parse_args([*options, "--no-python", sys.executable, *command])
    settings, program, program_arguments = config_from_args(arguments)
    try:
        launch_agent(settings, program, program_arguments)
    except SignalException as received:
        sys.exit(128 + received.sigval)
    except ChildFailedError as error:
        # those that only lost another process are not the cause
        rank, failure = min(error.failures.items(), key=lambda item: item[1].exitcode == PEER_LOST)
        code = failure.exitcode
        if code in (2, 128 + signal.SIGINT, 128 + signal.SIGTERM):
            sys.exit(code)  # it has said why
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        if code == PEER_LOST:
            how = "lost a process on another machine"
        print(
            f"process {rank} of {config.processes}: {how}; the others were ended, run again to go on",
            file=sys.stderr,
        )
        sys.exit(1)
    return True
