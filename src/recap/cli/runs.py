"""The commands of `recap` that have to do with runs, of one and of many."""

import argparse
import os
from pathlib import Path

from recap.cli.numbers import seconds, whole
from recap.workspace.root import check_checkout, repository_root

ROOT = Path()
SEEDS = Path("docs/seeds/seeds")


def add_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `sync`, `runs`, `seeds`, `recipe` and `sweep` to the command line."""
    sync = subparsers.add_parser(
        "sync", help="bring MLflow up to date with what DVC ran, skipped or restored"
    )
    sync.add_argument("--within", type=seconds, metavar="SECONDS", help="try no longer; a later sync goes on")
    sync.set_defaults(run=_sync)

    runs = subparsers.add_parser("runs", help="which run made this file; all pipelines")
    runs.add_argument("path", nargs="?", help="an output, such as models/lstm; without it: all pipelines")
    runs.set_defaults(run=_runs)

    many = subparsers.add_parser(
        "seeds", help="every decoder under several seeds: mean, spread, paired tests"
    )
    many.add_argument("count", nargs="?", type=whole(1, 1000), default=5, help="how many (default 5)")
    many.add_argument(
        "--output", type=Path, metavar="PATH", help=f"of the files .json, .md and .tex (default {SEEDS})"
    )
    many.add_argument(
        "--names", action="store_true", help="print each experiment's name and seed, run nothing"
    )
    many.set_defaults(run=_seeds, at_root=True)

    recipe = subparsers.add_parser("recipe", help="run the pipeline with the settings of a recipe")
    recipe.add_argument("file", type=Path, metavar="FILE", help="such as recipes/coco-best.yaml")
    recipe.set_defaults(run=_recipe, at_root=True)

    sweep = subparsers.add_parser("sweep", help="search for settings with Optuna; goes on where it stopped")
    sweep.add_argument("settings", type=Path, metavar="FILE", help="its settings, such as sweep.yaml")
    sweep.set_defaults(run=_sweep, at_root=True)


def _sync(options: argparse.Namespace) -> int:
    from recap.tracking.importer import bring

    check_checkout(os.environ)
    return 0 if bring(os.environ, options.within, repository_root(os.environ), everything=True) else 1


def _runs(options: argparse.Namespace) -> None:
    from recap.tracking.runs import list_pipelines, runs_of_file

    found = runs_of_file(os.environ, options.path) if options.path else list_pipelines(os.environ)
    print("\n".join(found))


def _seeds(options: argparse.Namespace) -> None:
    from recap.experiments.experiment import check_committed
    from recap.experiments.seeds import compare_seeds, name_seeds

    check_checkout(os.environ)
    if options.names:
        check_committed(ROOT)
        print("".join(f"{name} {seed}\n" for name, seed in name_seeds(ROOT, options.count).items()), end="")
        return
    for line in compare_seeds(ROOT, options.count, os.environ, options.output or SEEDS):
        print(line, flush=True)


def _recipe(options: argparse.Namespace) -> int:
    from recap.experiments.recipe import run_recipe

    check_checkout(os.environ)
    return run_recipe(options.file, os.environ)


def _sweep(options: argparse.Namespace) -> None:
    from recap.experiments.sweep import read_sweep, sweep

    check_checkout(os.environ)
    for line in sweep(ROOT, read_sweep(options.settings), os.environ):
        print(line, flush=True)
