"""The portable arithmetic reaches every stage, whatever a user's environment says."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.imports import ROOT

from recap.core import arithmetic
from recap.errors import InputError
from recap.runtime.config import RuntimeConfig
from recap.runtime.setup import configure

HOSTILE = {
    "OMP_THREAD_LIMIT": "1",
    "OMP_DYNAMIC": "true",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "active",
    "GOMP_SPINCOUNT": "30000000",
    "KMP_AFFINITY": "disabled",
    "MKL_NUM_THREADS": "1",
    "MKL_CBWR": "AVX512",
    "MKL_DYNAMIC": "true",
    "DNNL_MAX_CPU_ISA": "SSE41",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    "DNNL_DEFAULT_FPMATH_MODE": "BF16",
    "OPENBLAS_CORETYPE": "Prescott",
    "OPENBLAS_NUM_THREADS": "7",
    "GOTO_NUM_THREADS": "3",
    "ATEN_CPU_CAPABILITY": "default",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3",
}
OF_A_CLUSTER = {
    "WORLD_SIZE": "1",
    "RANK": "0",
    "LOCAL_RANK": "0",
    "MASTER_ADDR": "nowhere",
    "MASTER_PORT": "1",
    "PET_NNODES": "2",
    "PET_NODE_RANK": "0",
    "PET_MASTER_PORT": "1",
    "PET_RDZV_BACKEND": "c10d",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-FMA:glibc.malloc.arena_max=1",
    "MALLOC_PERTURB_": "165",
    "PYTHONHASHSEED": "7",
}
AVX2 = "flags\t\t: fpu sse2 fma f16c avx2 bmi2\n"


def test_no_library_that_computes_is_loaded_before_the_variables_are_set() -> None:
    program = (
        "import os, pathlib, sys, recap.run_stage, recap.guard.stage\n"
        "from recap.core.arithmetic import steer_stage\n"
        "steer_stage('train', pathlib.Path('params.yaml'), os.environ)\n"
        "print({'h5py', 'numpy', 'pandas', 'scipy', 'sklearn', 'torch'} & {*sys.modules})"
    )
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_no_steering_variable_is_passed_on() -> None:
    kept = {
        "OMP_WAIT_POLICY": "active",
        "PATH": "/bin",
        "HOME": "/root",
        "PYTHONPATH": "src",
        "CUDA_VISIBLE_DEVICES": "0",
    }
    narrow, wide = ({"ONEDNN_MAX_CPU_ISA": widest} for widest in ("AVX2", "AVX512_CORE"))
    for portable, stage, own in (
        (True, "train", arithmetic.PORTABLE | wide),
        (True, "extract", arithmetic.PORTABLE | narrow),
        (True, "", arithmetic.PORTABLE | narrow),
        (False, "train", arithmetic.ALWAYS),
    ):
        assert arithmetic.variables(portable, kept | HOSTILE, stage) == kept | own


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "reason"),
    [
        ("x86_64", AVX2, None),
        ("x86_64", AVX2.replace("avx2", "avx"), "a processor without avx2"),
        ("x86_64", AVX2.replace("fma ", "").replace("bmi2", ""), "a processor without fma, bmi2"),
        ("aarch64", "Features : fp asimd\n", "an aarch64 processor"),
        ("x86_64", None, "which does not say"),
    ],
)
def test_what_cannot_compute_portably_is_told(
    machine: str, cpuinfo: str | None, reason: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        path.write_text(f"processor : 0\n{cpuinfo}bugs : none\n")
    monkeypatch.setattr(arithmetic, "PROCESSOR", path)
    monkeypatch.setattr("platform.machine", lambda: machine)
    found = arithmetic.unsupported()
    assert found is None if reason is None else reason in str(found)


def test_torch_that_was_not_told_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX512")
    with pytest.raises(InputError, match=r"runtime\.arithmetic: expected torch to be told AVX2.*AVX512"):
        configure(RuntimeConfig("portable", 2, "cpu"))


WITH_FEW_THREADS = """
from recap.errors import InputError
from recap.runtime.setup import configure
from recap.runtime.config import RuntimeConfig
try:
    configure(RuntimeConfig("native", 2, "cpu"))
    print("right")
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize("variable", [{}, {"OMP_THREAD_LIMIT": "1"}, {"OMP_DYNAMIC": "true"}])
def test_a_wrong_product_is_refused(variable: dict[str, str]) -> None:
    """With a limit below the threads that torch asks for, oneDNN leaves a part of the product unwritten."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    result = subprocess.run(
        [sys.executable, "-c", WITH_FEW_THREADS],
        env=environment | variable,
        capture_output=True,
        text=True,
        check=True,
    )
    refused = "the matrix product of this process: expected an error below 0.001" in result.stdout
    assert refused if "OMP_THREAD_LIMIT" in variable else refused or result.stdout == "right\n"


@pytest.mark.slow
def test_a_hostile_environment_changes_no_byte(
    make_stage_folder: Callable[..., Path],
    tmp_path: Path,
) -> None:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    small = {
        "data": {"scenes": {"train_images": 40, "validation_images": 8, "test_images": 8, "seed": 231}},
        "tokenize": {"min_count": 2},
        "reduce": {"components": 8},
        "backbone": {"crop_steps": 2, "steps": 2, "batch_size": 8},
    }
    weights = []
    stages = (["fetch"], ["tokenize"], ["backbone"], ["extract"], ["reduce"], ["train", "lstm"])
    for name, environment in (("plain", {}), ("hostile", HOSTILE | OF_A_CLUSTER)):
        folder = make_stage_folder(tmp_path / name, small)
        for stage in (*stages, ["evaluate", "lstm"]):
            result = subprocess.run(
                ["sh", "stages/run.sh", *stage],
                cwd=folder,
                env=os.environ | {"PATH": programs, "RECAP_TRACKING": "off"} | environment,
                capture_output=True,
                text=True,
            )
            assert result.returncode == 0, result.stderr
        files = (
            "models/backbone/weights.safetensors",
            "data/reduced/train.h5",
            "models/lstm/weights.safetensors",
            "reports/decoders/lstm/captions.json",
            "reports/decoders/lstm/per_image.json",
        )
        weights.append([(folder / file).read_bytes() for file in files])
    assert weights[0] == weights[1]
