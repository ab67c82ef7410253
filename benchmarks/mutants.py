"""How much of a change in the core modules the tests notice: seeded mutants, and the share that is killed.

A mutant is a module with one place changed: a comparison, a sign, a number, a condition turned round, a
statement taken out. It is killed when a test of its group fails, or takes far longer than before. It runs in
a copy of the checkout; slow tests and those that need ../shared are left out.

    python benchmarks/mutants.py [--groups decoders ...] [--each 20] [--seed 0] [--minutes 60] [--list]
"""

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path("src/recap")
SLOWER = 3  # how many times the seconds of the tests on the unchanged code a mutant may take
FREE_SECONDS = 30


@dataclass(frozen=True)
class Group:
    """Modules, below src/recap, and the tests that shall notice what becomes of them."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


GROUPS = {
    "decoders": Group(
        (
            "decoders/decoder",
            "decoders/recurrent",
            "decoders/transformer",
            "decoders/dropout",
            "decoders/build",
        ),
        (
            "tests/decoders/test_build.py",
            "tests/decoders/test_dropout.py",
            "tests/decoders/test_loss_options.py",
            "tests/decoders/test_decoders.py",
        ),
    ),
    "kernels": Group(
        ("decoders/recurrence", "decoders/dropped_attention", "runtime/linear"),
        (
            "tests/decoders/test_recurrence.py",
            "tests/runtime/test_linear.py",
            "tests/decoders/test_decoders.py",
        ),
    ),
    "training": Group(
        ("training/loop", "training/optimizer", "training/averaging", "training/state", "training/train"),
        (
            "tests/training/test_loop.py",
            "tests/training/test_optimizer.py",
            "tests/training/test_averaging.py",
            "tests/training/test_train.py",
            "tests/training/test_recipes.py",
        ),
    ),
    "self-critical": Group(
        ("training/self_critical",),
        tuple(f"tests/training/test_{name}.py" for name in ("self_critical", "truthful_rewards", "recipes")),
    ),
    "decoding": Group(
        (
            "decoders/ensemble",
            *(
                f"decoding/{name}"
                for name in (
                    *("beam", "caption", "generate", "greedy", "minimum_bayes_risk", "neighbours"),
                    *("sampling", "search", "searches"),
                )
            ),
        ),
        ("tests/decoding",),
    ),
    "captioner": Group(("captioner", "loading"), ("tests/test_captioner.py", "tests/cli/test_caption.py")),
    "metrics": Group(
        (
            *("metrics/cider_d", "metrics/baselines", "metrics/diversity", "evaluation/perplexity"),
            *("metrics/resampling", "metrics/scores", "metrics/truth"),
        ),
        ("tests/metrics", "tests/evaluation"),
    ),
    "verify": Group(
        (
            *("proof/verify", "cli/proof", "proof/lock", "report/promise"),
            *(
                "workspace/cache",
                "proof/report",
                "proof/differences",
                "core/hashes",
            ),
        ),
        (
            "tests/proof",
            "tests/core/test_hashes.py",
            "tests/workspace/test_cache.py",
            "tests/cli/test_proof.py",
        ),
    ),
}

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}


@dataclass(frozen=True)
class Mutant:
    """A module with one place changed."""

    module: Path
    line: int
    change: str
    source: str


def mutants(module: Path, source: str) -> list[Mutant]:
    """Every mutant of a module."""
    found = []
    for place in range(len(list(_places(ast.parse(source))))):
        tree = ast.parse(source)
        node, parent = list(_places(tree))[place]
        before = ast.unparse(node)
        after = _change(node, parent)
        shown = " -> ".join(" ".join(text.split())[:70] for text in (before, after))
        found.append(Mutant(module, node.lineno, shown, ast.unparse(ast.fix_missing_locations(tree))))
    return found


def _places(tree: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, ast.AST]]:
    """What can be changed, each with the node around it; texts, types and docstrings cannot."""
    for field, child in ast.iter_fields(tree):
        if field in ("annotation", "returns", "type_params", "decorator_list", "bases"):
            continue
        for node in child if isinstance(child, list) else [child]:
            if not isinstance(node, ast.AST) or isinstance(node, ast.JoinedStr | ast.Import | ast.ImportFrom):
                continue
            if isinstance(node, ast.expr | ast.stmt) and _can_change(node):
                yield node, tree
            if not isinstance(node, ast.Raise):  # what it says is a text
                yield from _places(node)


def _can_change(node: ast.expr | ast.stmt) -> bool:
    if isinstance(node, ast.Compare):
        return type(node.ops[0]) in COMPARISONS
    if isinstance(node, ast.BinOp | ast.AugAssign):
        return type(node.op) in ARITHMETIC
    if isinstance(node, ast.Constant):
        return isinstance(node.value, bool | int | float)
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call)
    return isinstance(node, ast.BoolOp | ast.If | ast.IfExp | ast.While | ast.Raise) or (
        isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub)
    )


def _change(node: ast.expr | ast.stmt, parent: ast.AST) -> str:
    """Change a node of a tree in place; returns what stands there then."""
    if isinstance(node, ast.Compare):
        node.ops[0] = COMPARISONS[type(node.ops[0])]()
    elif isinstance(node, ast.BinOp | ast.AugAssign):
        node.op = ARITHMETIC[type(node.op)]()
    elif isinstance(node, ast.Constant):
        node.value = not node.value if isinstance(node.value, bool) else node.value + 1  # type: ignore[operator]
    elif isinstance(node, ast.BoolOp):
        node.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        node.test = ast.UnaryOp(ast.Not(), node.test)
    elif isinstance(node, ast.UnaryOp):
        _replace(parent, node, node.operand)
        return ast.unparse(node.operand)
    else:
        _replace(parent, node, ast.Pass())
        return "pass"
    return ast.unparse(node)


def _replace(parent: ast.AST, old: ast.AST, new: ast.AST) -> None:
    for field, value in ast.iter_fields(parent):
        if value is old:
            setattr(parent, field, new)
        elif isinstance(value, list):
            value[:] = [new if entry is old else entry for entry in value]


def choose(group: Group, each: int, seed: int) -> list[Mutant]:
    """``each`` mutants of every module of a group, in random order; all of a module that has fewer."""
    chosen: list[Mutant] = []
    for name in group.modules:
        module = PACKAGE / f"{name}.py"
        everything = mutants(module, (ROOT / module).read_text(encoding="utf-8"))
        generator = random.Random(f"{seed} {name}")
        chosen += generator.sample(everything, min(each, len(everything)))
    random.Random(seed).shuffle(chosen)
    return chosen


def copy_checkout(folder: Path) -> None:
    """Copy the files that git knows or would add."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in names.split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def passes(folder: Path, tests: Sequence[str], seconds: float | None) -> bool:
    """Whether all tests pass in time on the code in a folder."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command += ["-m", "not slow and not shared and not gpu", *tests]
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "OMP_WAIT_POLICY": "passive"}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(seconds) == 0
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
        return False


def survivors(folder: Path, name: str, chosen: Sequence[Mutant], end: float) -> None:
    """Try the mutants of a group until a moment, and print those that survive and the share killed."""
    tests = [test for test in GROUPS[name].tests if (folder / test).exists()]
    start = time.monotonic()
    if not passes(folder, tests, None):
        sys.exit(f"{name}: expected tests that pass on the unchanged code, received a failure")
    seconds = SLOWER * (time.monotonic() - start) + FREE_SECONDS
    tried = killed = 0
    for mutant in chosen:
        if time.monotonic() > end:
            break
        path = folder / mutant.module
        original = path.read_bytes()
        path.write_text(mutant.source, encoding="utf-8")
        survives = passes(folder, tests, seconds)
        path.write_bytes(original)
        tried, killed = tried + 1, killed + (not survives)
        if survives:
            print(f"  survives: {mutant.module}:{mutant.line}: {mutant.change}", flush=True)
    share = f"{killed / tried:.0%}" if tried else "none"
    print(f"{name}: {killed} of {tried} killed, {share}; {len(chosen) - tried} not tried", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="The share of seeded mutants that the tests kill.")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--each", type=int, default=2, help="mutants of a module")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=10, help="begin no mutant after that long")
    parser.add_argument("--list", action="store_true", help="print the mutants and try none")
    options = parser.parse_args()
    chosen = {name: choose(GROUPS[name], options.each, options.seed) for name in options.groups}
    if options.list:
        for mutant in (own for group in chosen.values() for own in group):
            print(f"{mutant.module}:{mutant.line}: {mutant.change}")
        return
    end = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory(prefix="recap-mutants-") as folder:
        copy_checkout(Path(folder))
        for name, own in chosen.items():
            survivors(Path(folder), name, own, end)


if __name__ == "__main__":
    main()
