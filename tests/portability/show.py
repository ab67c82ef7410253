"""Shows which operations are portable, and writes them to operations.txt: `make portable`.

Runs the stages small, here and on an emulated Intel and an emulated AMD processor, and compares every output;
calls each torch operation that they called again, and each call of array_calls.py, on all of them and on one
thread and two. Needs Debian's qemu-user; takes about an hour on two cores.
"""

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.portability import emulation
from tests.portability.test_portability import MORE_SETTINGS, SHOWN

HEAD = """\
# Operations of torch that give the same bits on processors of Intel and AMD, as `make portable` showed.
# Behind some: the number of threads changes the bits.
"""
BY_THREADS = "  # by threads"


def main() -> None:
    if not emulation.is_here():
        sys.exit(f"make portable: expected {emulation.EMULATOR} (apt-get install qemu-user), found none")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        record(folder)
        wrong = compare_operations(folder) + compare_products(folder)
        wrong += compare_arrays(folder) + compare_runs(folder)
    print("\n".join(wrong) or "everything is portable")
    sys.exit(1 if wrong else 0)


def record(folder: Path) -> None:
    """Write the calls of the stages, under the committed settings and under others, by their arithmetic."""
    first = emulation.make_folder(folder / "here", emulation.FEW)
    other = emulation.make_folder(folder / "more settings", emulation.FEW, MORE_SETTINGS)
    for place, without in ((first, ()), (other, ("sanity", "visualize", "report"))):
        for stage in emulation.STAGES:
            if stage not in without:
                emulation.run_stages(place, "--calls", str(folder / file_of(stage)), stage)


def file_of(stage: str) -> str:
    """The file of the calls that stages of the same arithmetic make."""
    return "convolving.json" if emulation.convolves(stage) else "multiplying.json"


def everywhere(folder: Path, script: str, *arguments: str, stage: str = "") -> dict[str, dict[str, object]]:
    """What a script prints as JSON here and on the emulated processors, which run side by side."""
    place = folder / "here"
    found = {"here": json.loads(emulation.run(place, script, *arguments, stage=stage))}
    running = {
        name: emulation.start(place, script, *arguments, processor=name, stage=stage)
        for name in emulation.PROCESSORS
    }
    return found | {name: json.loads(emulation.finish(process)) for name, process in running.items()}


def compare_operations(folder: Path) -> list[str]:
    """Write the list of those that are the same everywhere; return the others."""
    called, wrong, by_threads = set(), set(), set()
    for stage in ("extract", "train"):
        file = str(folder / file_of(stage))
        found = everywhere(folder, "recording.py", file, "2", stage=stage)
        alone = json.loads(emulation.run(folder / "here", "recording.py", file, "1", stage=stage))
        called |= alone.keys()
        for line, own in found["here"].items():
            if any(found[name][line] != own for name in emulation.PROCESSORS):
                wrong.add(line)
            if alone[line] != own:
                by_threads.add(line)
    print(f"{len(called)} operations, {len(wrong)} not portable", flush=True)
    lines = [line + (BY_THREADS if line in by_threads else "") for line in sorted(called - wrong)]
    SHOWN.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
    return [f"not portable: {line}" for line in sorted(wrong)]


def compare_products(folder: Path) -> list[str]:
    """The sizes of products that differ."""
    found = everywhere(folder, "products.py", stage="train")
    return [
        f"not portable: a product of {sizes}"
        for sizes, own in found["here"].items()
        if any(found[name][sizes] != own for name in emulation.PROCESSORS)
    ]


def compare_arrays(folder: Path) -> list[str]:
    """The calls of array_calls.py that differ."""
    found = everywhere(folder, "array_calls.py")
    here = found["here"]
    others = [found[name] for name in emulation.PROCESSORS]
    return [f"not portable: {name}" for name in here if any(other[name] != here[name] for other in others)]


def compare_runs(folder: Path) -> list[str]:
    """The outputs of narrow networks that differ."""
    places = {
        name: emulation.make_folder(folder / name, emulation.FEW, emulation.NARROW)
        for name in ("this processor", *emulation.PROCESSORS)
    }
    running = [
        emulation.start(places[name], "run_stages.py", "--narrow", *emulation.STAGES, processor=name)
        for name in emulation.PROCESSORS
    ]
    emulation.run_stages(places["this processor"], "--narrow", *emulation.STAGES)
    for process in running:
        emulation.finish(process)
    return [
        f"not the same: {file} on {name}"
        for name in emulation.PROCESSORS
        for file in emulation.different(places["this processor"], places[name])
    ]


if __name__ == "__main__":
    main()
