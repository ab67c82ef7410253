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
        calls = record(folder)
        wrong = compare_operations(folder, calls) + compare_arrays(folder) + compare_runs(folder)
    print("\n".join(wrong) or "everything is portable")
    sys.exit(1 if wrong else 0)


def record(folder: Path) -> dict[str, list[str]]:
    """The calls of the stages under the committed settings and under others."""
    calls: dict[str, list[str]] = {}
    first = emulation.make_folder(folder / "here", emulation.FEW)
    emulation.run(first, "run_stages.py", "--calls", "calls.json", *emulation.STAGES)
    other = emulation.make_folder(folder / "more settings", emulation.FEW, MORE_SETTINGS)
    stages = [stage for stage in emulation.STAGES if stage not in ("sanity", "visualize", "report")]
    emulation.run(other, "run_stages.py", "--calls", "calls.json", *stages)
    for place in (first, other):
        for line, texts in json.loads((place / "calls.json").read_text(encoding="utf-8")).items():
            calls[line] = sorted({*calls.get(line, []), *texts})
    (folder / "calls.json").write_text(json.dumps(calls), encoding="utf-8")
    print(f"{len(calls)} operations, {sum(map(len, calls.values()))} calls", flush=True)
    return calls


def everywhere(folder: Path, script: str, *arguments: str) -> dict[str, dict[str, object]]:
    """What a script prints as JSON here and on the emulated processors, which run side by side."""
    place = folder / "here"
    found = {"here": json.loads(emulation.run(place, script, *arguments))}
    running = {
        name: emulation.start(place, script, *arguments, processor=name) for name in emulation.PROCESSORS
    }
    return found | {name: json.loads(emulation.finish(process)) for name, process in running.items()}


def compare_operations(folder: Path, calls: dict[str, list[str]]) -> list[str]:
    """Write the list of those that are the same everywhere; return the others."""
    file = str(folder / "calls.json")
    found = everywhere(folder, "recording.py", file, "2")
    alone = json.loads(emulation.run(folder / "here", "recording.py", file, "1"))
    lines, wrong = [], []
    for line in sorted(calls):
        if any(found[name][line] != found["here"][line] for name in emulation.PROCESSORS):
            wrong.append(f"not portable: {line}")
        else:
            lines.append(line + (BY_THREADS if alone[line] != found["here"][line] else ""))
    SHOWN.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
    return wrong


def compare_arrays(folder: Path) -> list[str]:
    """The calls of array_calls.py that differ."""
    found = everywhere(folder, "array_calls.py")
    here = found["here"]
    others = [found[name] for name in emulation.PROCESSORS]
    return [f"not portable: {name}" for name in here if any(other[name] != here[name] for other in others)]


def compare_runs(folder: Path) -> list[str]:
    """The outputs of narrow networks that differ."""
    names = ("this processor", *emulation.PROCESSORS)
    places = {name: emulation.make_folder(folder / name, emulation.FEW, emulation.NARROW) for name in names}
    running = [
        emulation.start(
            place,
            "run_stages.py",
            "--narrow",
            *emulation.STAGES,
            processor=name if name != names[0] else None,
        )
        for name, place in places.items()
    ]
    for process in running:
        emulation.finish(process)
    return [
        f"not the same: {file} on {name}"
        for name in emulation.PROCESSORS
        for file in emulation.different(places[names[0]], places[name])
    ]


if __name__ == "__main__":
    main()
