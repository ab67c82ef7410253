"""What stages compute is portable: each operation was shown to be, and whole runs on other processors are."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.imports import all_imports
from tests.pipeline.test_dependencies import WITHOUT_EFFECT
from tests.portability import array_calls, emulation

HERE = Path(__file__).parent
MORE_SETTINGS = {
    "reduce": {"whiten": True, "concepts": 4},
    "train": {
        "keep": "last",
        "average_decay": 0.9,
        "self_critical": {"epochs": 1, "images": 4, "claim": 0.5},
    },
    "decoders": {
        "rnn": {"wordvec_dim": 64, "hidden_dim": 64},
        "transformer": {"memory_tokens": 1},
    },
    "evaluate": {
        "decoding": {
            "search": "consensus",
            "candidates": 3,
            "pseudo_references": 3,
            "neighbours": 3,
            "temperature": 0.9,
        }
    },
}
"""Settings that reach code which the committed params leave alone."""
SHOWN = HERE / "operations.txt"


def small(folder: Path, *changes: dict[str, Any]) -> Path:
    return emulation.make_folder(folder, emulation.FEW, emulation.NARROW, *changes)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the stages ran on this machine's processor."""
    folder = small(tmp_path_factory.mktemp("native") / "run")
    emulation.run_stages(folder, "--narrow", "--operations", "operations.json", *emulation.STAGES)
    return folder


def unknown_operations(folder: Path) -> list[str]:
    called = json.loads((folder / "operations.json").read_text(encoding="utf-8"))
    lines = SHOWN.read_text(encoding="utf-8").splitlines()
    shown = {line.partition("  #")[0] for line in lines}
    return [
        f"add to {SHOWN.name}, once `make portable` has shown it: {line}"
        for line in called
        if line not in shown
    ]


@pytest.mark.slow
def test_stages_call_what_was_shown_to_be_portable(here: Path) -> None:
    assert not unknown_operations(here)


@pytest.mark.slow
def test_other_settings_call_what_was_shown_to_be_portable(tmp_path: Path) -> None:
    folder = small(tmp_path / "run", MORE_SETTINGS)
    stages = [stage for stage in emulation.STAGES if stage not in ("sanity", "visualize", "report")]
    emulation.run_stages(folder, "--narrow", "--operations", "operations.json", *stages)
    assert not unknown_operations(folder)


def test_numpy_is_asked_for_nothing_that_was_not_shown() -> None:
    scripts = (emulation.ROOT / "stages").glob("*.py")
    files = {path for script in scripts for path in all_imports(script, WITHOUT_EFFECT)}
    called = array_calls.calls_in(files)
    assert len(called) > 50
    assert called - array_calls.SHOWN.keys() - array_calls.ROUNDS_NOTHING == set(), "add to array_calls.py"


@pytest.mark.parametrize("sizes", [(), ("--large",)])
def test_products_are_the_same_with_and_without_avx512(sizes: tuple[str, ...], tmp_path: Path) -> None:
    folder = emulation.make_folder(tmp_path / "run")
    wide = emulation.run(folder, "products.py", *sizes, stage="train")
    assert json.loads(wide) == json.loads(emulation.run(folder, "products.py", *sizes))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("processor", emulation.PROCESSORS)
@pytest.mark.skipif(not emulation.is_here(), reason="needs qemu-x86_64 (apt-get install qemu-user)")
def test_emulated_processors_multiply_to_the_same_bits(processor: str, tmp_path: Path) -> None:
    folder = emulation.make_folder(tmp_path / "run")
    emulated = emulation.finish(emulation.start(folder, "products.py", processor=processor))
    assert json.loads(emulated) == json.loads(emulation.run(folder, "products.py", stage="train"))


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.skipif(not emulation.is_here(), reason="needs qemu-x86_64 (apt-get install qemu-user)")
def test_emulated_processors_write_the_same_bytes(here: Path, tmp_path: Path) -> None:
    folders = {name: small(tmp_path / name) for name in emulation.PROCESSORS}
    runs = [
        emulation.start(folder, "run_stages.py", "--narrow", *emulation.STAGES, processor=name)
        for name, folder in folders.items()
    ]
    for process in runs:
        emulation.finish(process)
    for folder in folders.values():
        assert emulation.different(here, folder) == []
    assert len(emulation.digests(here)) > 80
