"""The commands of `recap` that have to do with MLflow."""

import argparse
import os
import sys
from pathlib import Path


def add_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `ui` and `sync` to the command line."""
    interface = subparsers.add_parser("ui", help="open MLflow's pages on the loopback address")
    interface.add_argument("--port", type=_port, default=5000)
    _add_host(interface)
    interface.set_defaults(run=_ui)

    sync = subparsers.add_parser(
        "sync", help="bring MLflow up to date with what DVC ran, skipped or restored"
    )
    sync.add_argument(
        "--within", type=float, metavar="SECONDS", help="wait no longer, go on in the background"
    )
    sync.set_defaults(run=_sync)

    serve = subparsers.add_parser("serve", help="serve a decoder on the loopback address")
    serve.add_argument("decoder", help="such as lstm")
    serve.add_argument("--port", type=_port, default=5001)
    serve.add_argument("--version", type=int, help="of the registered model; without it: the champion")
    serve.add_argument(
        "--images", type=Path, metavar="FOLDER", help="images below it may be named by a path relative to it"
    )
    _add_host(serve)
    serve.set_defaults(run=_serve)

    runs = subparsers.add_parser("runs", help="which run made this file; what two runs differ in")
    runs.add_argument("path", nargs="?", help="an output, such as models/lstm; without it: all pipelines")
    runs.add_argument("--compare", nargs=2, metavar=("A", "B"), help="two runs, by id or name")
    runs.set_defaults(run=_runs)


def _add_host(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="HOST",
        help="answer requests to this host too, as a proxy passes it on; localhost and 127.0.0.1 always are",
    )


def _hosts(options: argparse.Namespace) -> list[str]:
    """What the Host header may be: this machine's names for itself and those that were asked for."""
    names = ["localhost", "127.0.0.1", "[::1]"]
    local = [*names, *(f"{name}:{options.port}" for name in names)]
    return local + [host.lower() for host in options.allowed_host]


def _port(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if not 0 < number < 1 << 16:
        raise argparse.ArgumentTypeError(f"expected a port, 1 to 65535, received {text!r}")
    return number


def _ui(options: argparse.Namespace) -> None:
    from recap.tracking.lookup import open_store
    from recap.tracking.place import hide_password, repository_root, tracking_uri
    from recap.tracking.views import view_addresses

    store, uri = open_store(os.environ), tracking_uri(os.environ)
    has_server = uri.startswith("http")
    server = hide_password(uri, os.environ) if has_server else f"http://127.0.0.1:{options.port}"
    for name, address in view_addresses(server, store.experiment).items():
        print(f"{name + ':':<10} {address}")
    if has_server:
        return
    print("(Ctrl-C ends the server)", flush=True)
    location = (repository_root(os.environ) / "mlartifacts").as_uri()
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri]
    command += ["--default-artifact-root", location, "--host", "127.0.0.1", "--port", str(options.port)]
    command += ["--workers", "1", "--allowed-hosts", ",".join(_hosts(options))]
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # workers for what is not used here
    os.execv(sys.executable, command)


def _sync(options: argparse.Namespace) -> int:
    from recap.tracking.lookup import check_checkout
    from recap.tracking.sync import sync

    check_checkout(os.environ)
    return 0 if sync(os.environ, options.within) else 1


def _serve(options: argparse.Namespace) -> None:
    from recap.core.arithmetic import steer
    from recap.errors import InputError
    from recap.tracking.lookup import open_store
    from recap.tracking.models import model_address
    from recap.tracking.place import tracking_uri

    if options.images is not None and not options.images.is_dir():
        raise InputError(f"--images: expected a folder, received {str(options.images)!r}")
    address = model_address(open_store(os.environ), options.decoder, options.version)
    # as a script: the model brings its own recap
    command = [sys.executable, "-P", str(Path(__file__).with_name("scoring_server.py")), address]
    command += ["--port", str(options.port), *(f"--host={host}" for host in _hosts(options))]
    if options.images is not None:
        command.append(f"--images={options.images.resolve()}")
    print(f"{address}: POST http://127.0.0.1:{options.port}/invocations  (Ctrl-C ends it)", flush=True)
    os.environ["MLFLOW_TRACKING_URI"] = tracking_uri(os.environ)
    steer(os.environ, portable=True)
    os.execv(sys.executable, command)


def _runs(options: argparse.Namespace) -> None:
    from recap.errors import InputError
    from recap.tracking.lookup import compare_runs, list_pipelines, runs_of_file

    if options.compare and options.path:
        raise InputError(f"runs: expected a path or --compare, received both, the path {options.path!r}")
    if options.compare:
        lines = compare_runs(os.environ, *options.compare)
    elif options.path:
        lines = runs_of_file(os.environ, options.path)
    else:
        lines = list_pipelines(os.environ)
    print("\n".join(lines))
