"""The commands of `recap` that have to do with MLflow."""

import argparse
import os
import sys


def add_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `ui` and `sync` to the command line."""
    interface = subparsers.add_parser("ui", help="open MLflow's pages on the loopback address")
    interface.add_argument("--port", type=int, default=5000)
    interface.set_defaults(run=_ui)

    sync = subparsers.add_parser(
        "sync", help="bring MLflow up to date with what DVC ran, skipped or restored"
    )
    sync.add_argument(
        "--within", type=float, metavar="SECONDS", help="wait no longer, go on in the background"
    )
    sync.set_defaults(run=_sync)


def _ui(options: argparse.Namespace) -> None:
    from recap.tracking.place import repository_root, tracking_uri

    location = (repository_root(os.environ) / "mlartifacts").as_uri()
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", tracking_uri(os.environ)]
    command += ["--default-artifact-root", location, "--host", "127.0.0.1", "--port", str(options.port)]
    print(f"MLflow: http://127.0.0.1:{options.port}  (Ctrl-C ends it)", flush=True)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.execv(sys.executable, command)


def _sync(options: argparse.Namespace) -> int:
    from recap.tracking.sync import sync

    return 0 if sync(os.environ, options.within) else 1
