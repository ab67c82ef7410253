"""Starts the processes that share a stage (torchrun's agent), and reports when one dies."""

import io
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import MutableMapping, Sequence
from contextlib import ExitStack, redirect_stderr

from recap.core.environment import whole_number
from recap.errors import InputError
from recap.runtime.config import DistributedConfig
from recap.runtime.parent import PARENT


def launch(config: DistributedConfig, command: Sequence[str], environment: MutableMapping[str, str]) -> bool:
    """Run a stage in ``config.processes`` processes when it is not yet one of them.

    On one machine the processes find each other by a file that only this user can read, and talk over the
    loopback interface. On several the same stage is started on each, with torchrun's own variables:
    PET_NNODES, PET_NODE_RANK, PET_MASTER_ADDR, PET_MASTER_PORT. Nothing that is received is unpickled.

    Args:
        config: the group `distributed`.
        command: what this process runs, without the interpreter.
        environment: of this process; what those that it starts need is added.

    Returns:
        True when the processes have done the work; False when this process is to do it.

    Raises:
        InputError: a variable holds no such number, or the processes do not divide by the machines.
        SystemExit: a process ended early; one line on stderr names it.
    """
    if config.processes == 1 or "WORLD_SIZE" in environment:
        return False
    machines = whole_number(environment, "PET_NNODES", 1, config.processes, 1)
    whole_number(environment, "PET_NODE_RANK", 0, machines - 1, 0)
    whole_number(environment, "PET_MASTER_PORT", 1, 2**16 - 1, 29500)
    if config.processes % machines:
        raise InputError(
            f"distributed.processes: expected a multiple of {machines} machines, received {config.processes}"
        )
    environment[PARENT] = str(os.getpid())
    # before torch is loaded: what its parts log about a lost process repeats the line below
    environment.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import launch_agent
    from torch.distributed.run import config_from_args, get_args_parser

    from recap.runtime.workers import PEER_LOST, STORE

    logging.disable()
    options = [f"--nproc-per-node={config.processes // machines}", "--max-restarts=0"]
    # torchrun's other backend, c10d, unpickles what is in its store
    options += ["--rdzv-backend=static", "--no-python"]
    errors = io.StringIO()
    try:
        with redirect_stderr(errors):
            arguments = get_args_parser().parse_args([*options, sys.executable, *command])
            settings, program, program_arguments = config_from_args(arguments)
    except (SystemExit, ValueError) as error:  # of a variable that torchrun reads
        reason = (errors.getvalue().strip() or str(error)).splitlines()[-1]
        names = ", ".join(sorted(name for name in environment if name.startswith("PET_")))
        raise InputError(f"{names}: expected what torchrun reads, received others: {reason}") from None
    try:
        with ExitStack() as stack:
            if machines == 1:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="recap-processes-"))
                environment[STORE] = f"{folder}/store"
                environment["GLOO_SOCKET_IFNAME"] = environment["NCCL_SOCKET_IFNAME"] = _loopback()
                settings.rdzv_backend = _register_local_rendezvous()
            launch_agent(settings, program, program_arguments)
    except SignalException as received:
        sys.exit(128 + received.sigval)
    except ChildFailedError as error:
        # a process that only lost another one is not the cause
        rank, failure = min(error.failures.items(), key=lambda item: item[1].exitcode == PEER_LOST)
        code = failure.exitcode
        if code in (2, 128 + signal.SIGINT, 128 + signal.SIGTERM):
            sys.exit(code)  # the process has printed the reason
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        if code == PEER_LOST:
            how = "lost a process on another machine"
        print(
            f"process {rank} of {config.processes}: {how}; the others were ended, run again to go on",
            file=sys.stderr,
        )
        sys.exit(1)
    return True


def _loopback() -> str:
    """Return the name of the interface that no other machine reaches."""
    names = [name for _, name in socket.if_nameindex()]
    return "lo0" if "lo0" in names else "lo"


def _register_local_rendezvous() -> str:
    """Register a rendezvous of one agent with torchrun, which needs no port; return its name."""
    from torch.distributed import HashStore
    from torch.distributed.elastic.rendezvous import (
        RendezvousHandler,
        RendezvousInfo,
        RendezvousParameters,
        RendezvousStoreInfo,
        rendezvous_handler_registry,
    )

    class LocalRendezvous(RendezvousHandler):
        use_agent_store = False

        def __init__(self, parameters: RendezvousParameters) -> None:
            self.run = parameters.run_id

        def get_backend(self) -> str:
            return "local"

        def next_rendezvous(self) -> RendezvousInfo:
            return RendezvousInfo(HashStore(), 0, 1, RendezvousStoreInfo("localhost", 0))

        def is_closed(self) -> bool:
            return False

        def set_closed(self) -> None:
            pass

        def num_nodes_waiting(self) -> int:
            return 0

        def get_run_id(self) -> str:
            return self.run

        def shutdown(self) -> bool:
            return True

    rendezvous_handler_registry.register("local", LocalRendezvous)
    return "local"
