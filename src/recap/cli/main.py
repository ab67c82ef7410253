"""The command line: `recap COMMAND`; bad input ends in one line a mistake and exit code 2."""

import argparse
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from recap.cli import caption, checkout, data, proof, runs, score, see, serve
from recap.core import paths
from recap.errors import InputError, exit_code

ENDINGS = (signal.SIGTERM, signal.SIGHUP)


class _Parser(argparse.ArgumentParser):
    """Tells a mistake in one line; the usage of some commands is forty.

    An empty text, such as that of a variable that is not set, names nothing: as a path it would be the
    working folder. Options that may be empty have ``type=str``.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.register("type", None, _not_empty)
        self.register("type", Path, lambda text: Path(_not_empty(text)))

    def add_subparsers(self, **options: Any) -> Any:
        action = super().add_subparsers(**options)
        action.type = str  # else it would check all that stands behind a command
        return action

    def error(self, message: str) -> NoReturn:
        hint = f"{self.prog} --help says what there is"
        if taken := [text for text in sys.argv[1:] if text.startswith("-") and Path(text).exists()]:
            hint = f"a file whose name begins with - is written ./{taken[0]}"
        self.exit(2, f"{InputError(f'{self.prog}: {message}')}; {hint}\n")


def _not_empty(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("expected a text, received an empty one")
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code.

    0 done, 1 a check failed, 2 bad input, 130 interrupted, 141 nobody reads on. SIGTERM and SIGHUP leave no
    draft of a file (143, 129).
    """
    _open_closed_streams()
    options = make_parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be no text
    with _tidy_at_signals():
        return exit_code(lambda: _run(options))


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of all commands."""
    parser = _Parser(prog="recap", description="Reproducible image captioning.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for part in (caption, proof, serve, data, see, score, runs, checkout):
        part.add_commands(commands)
    return parser


@contextmanager
def _tidy_at_signals() -> Iterator[None]:
    """Let the first SIGTERM or SIGHUP end the work as an exception does, unless it is ignored as by nohup."""

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        for own in before:
            signal.signal(own, signal.SIG_DFL)
        raise SystemExit(128 + number)

    is_main = threading.current_thread() is threading.main_thread()  # no other may handle signals
    before = [own for own in ENDINGS if is_main and signal.getsignal(own) == signal.SIG_DFL]
    for number in before:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in before:
            signal.signal(number, signal.SIG_DFL)


def _open_closed_streams() -> None:
    """Give a stream that the shell closed (``>&-``) the null device, so that no file takes its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), "w" if number else "r"))


def _run(options: argparse.Namespace) -> int:
    if getattr(options, "at_root", False):
        _go_to_checkout(options)
    try:
        code = int(options.run(options) or 0)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # `recap runs | head`: the reader wants no more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def _go_to_checkout(options: argparse.Namespace) -> None:
    """Work in the checkout around the working folder, as git and DVC do; options name the same files."""
    here = Path.cwd()
    folders = (here, *here.parents)
    whole = (own for own in folders if (own / paths.PIPELINE).is_file() and (own / paths.PARAMS).is_file())
    root = next(whole, here)  # a folder of a checkout, such as inputs, may have a pipeline of its own

    def from_root(value: Any) -> Any:
        if isinstance(value, list):
            return [from_root(own) for own in value]
        is_relative = isinstance(value, Path) and not value.is_absolute()
        return Path(os.path.relpath(value, root)) if is_relative else value

    if root != here:
        for name, value in vars(options).items():
            setattr(options, name, from_root(value))
        os.chdir(root)
