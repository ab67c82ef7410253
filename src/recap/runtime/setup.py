"""The switches that make the same lock file give the same bits; arithmetic, threads and device are params."""

from typing import TYPE_CHECKING, Any

from recap.core.arithmetic import unsupported
from recap.errors import InputError

if TYPE_CHECKING:
    from recap.runtime.config import RuntimeConfig


def configure(config: "RuntimeConfig") -> Any:
    """Set the deterministic switches before the first operation; returns the ``torch.device`` to compute on.

    Raises:
        InputError: there is no such device, torch was loaded without the variables of
            ``recap.core.arithmetic``, or products come out wrong.
    """
    import torch

    if config.arithmetic == "portable" and unsupported() is None:
        capability = torch.backends.cpu.get_cpu_capability()
        if capability != "AVX2":
            raise InputError(
                "runtime.arithmetic: expected torch to be told AVX2, as stages/run.sh does, "
                f"received its instruction set {capability}"
            )
        from recap.runtime.kernels import install

        install()
    if config.device == "cuda" and not torch.cuda.is_available():
        raise InputError("runtime.device: expected a device of this machine, received 'cuda'")
    torch.set_num_threads(config.threads)
    # MKL's vector functions look for the processor at their first call; threads that do it side by side may
    # disagree, and then a part of the first result has other last bits
    torch.tanh(torch.zeros(1))
    # as use_deterministic_algorithms does, which imports torch's compiler too, and that takes a second
    torch.set_deterministic_debug_mode("error")
    # filling every new tensor only helps to find reads of unwritten memory; the tests compare bytes instead
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    check_product()
    return torch.device(config.device)


def has_bfloat16() -> bool:
    """Tell whether this process multiplies bfloat16; without AVX-512 oneDNN has no LSTM for it."""
    import torch

    return torch.backends.cpu.get_cpu_capability() == "AVX512"


def check_product() -> None:
    """Compare a product with the same in float64: where OpenMP gives too few threads, oneDNN's is wrong.

    Raises:
        InputError: it is wrong.
    """
    import torch

    from recap.runtime.linear import product

    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(rows, 256, generator=generator) for rows in (128, 1024))
    error = float((product(x, weight).double() - x.double() @ weight.double().t()).abs().max())
    if not error < 1e-3:
        raise InputError(
            f"the matrix product of this process: expected an error below 0.001, received {error:.3g}; "
            "unset variables that steer OpenMP, such as OMP_THREAD_LIMIT and OMP_DYNAMIC"
        )
