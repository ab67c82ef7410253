"""The commands of `recap` that start servers: MLflow's pages, and captions."""

import argparse
import os
import socket
import sys
from pathlib import Path

from recap.cli.numbers import whole
from recap.cli.prepare import add_decoding, add_model, change_decoding, prepare
from recap.errors import InputError, expecting


def add_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `ui` and `serve` to the command line."""
    interface = subparsers.add_parser("ui", help="open MLflow's pages on the loopback address")
    interface.add_argument("--port", type=whole(1, 2**16 - 1), default=5000)
    _add_host(interface)
    interface.set_defaults(run=_ui)

    serve = subparsers.add_parser("serve", help="serve captions, and a page to drop pictures on, on loopback")
    serve.add_argument(
        "decoder", nargs="?", help="such as lstm, or rnn+lstm; default: all decoders, and their ensemble"
    )
    add_model(serve, "the models of a checkout, or a bundle")
    serve.add_argument("--port", type=whole(1, 2**16 - 1), default=5001)
    choice = serve.add_mutually_exclusive_group()
    choice.add_argument("--version", type=whole(1, 2**31 - 1), help="of the model that MLflow has registered")
    choice.add_argument("--champion", action="store_true", help="the registered model with the best score")
    serve.add_argument(
        "--images", type=Path, metavar="FOLDER", help="images below it may be named by a path relative to it"
    )
    _add_host(serve)
    add_decoding(serve)
    serve.set_defaults(run=_serve)


def _add_host(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="HOST",
        help="answer requests to this host too, as a proxy passes it on; localhost and 127.0.0.1 always are",
    )


def _hosts(options: argparse.Namespace) -> list[str]:
    """List what the Host header may be: this machine's names for itself and those that were asked for."""
    names = ["localhost", "127.0.0.1", "[::1]"]
    local = [*names, *(f"{name}:{options.port}" for name in names)]
    return local + [host.lower() for host in options.allowed_host]


def _check_port(port: int) -> None:
    """Refuse a port that no server can have."""
    with expecting(f"--port: {port}: expected a free port of 127.0.0.1", OSError), socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        probe.bind(("127.0.0.1", port))


def _ui(options: argparse.Namespace) -> None:
    from recap.tracking.runs import open_store
    from recap.tracking.store import hide_password, tracking_uri
    from recap.tracking.views import view_addresses

    uri = tracking_uri(os.environ)
    has_server = uri.startswith("http")
    if not has_server:
        _check_port(options.port)
    store = open_store(os.environ)
    server = hide_password(uri, os.environ) if has_server else f"http://127.0.0.1:{options.port}"
    for name, address in view_addresses(server, store.experiment).items():
        print(f"{name + ':':<10} {address}")
    if has_server:
        return
    print("(Ctrl-C ends the server)", flush=True)
    location = (store.root / "mlartifacts").as_uri()
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri]
    command += ["--default-artifact-root", location, "--host", "127.0.0.1", "--port", str(options.port)]
    command += ["--workers", "1", "--allowed-hosts", ",".join(_hosts(options))]
    os.environ.setdefault("PYTHONWARNINGS", "ignore::DeprecationWarning")  # of MLflow's own imports
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # workers for what is not used here
    os.execv(sys.executable, command)


def _serve(options: argparse.Namespace) -> None:
    if options.images is not None and not options.images.is_dir():
        raise InputError(f"--images: expected a folder, received {str(options.images)!r}")
    model = options.model
    if options.champion or options.version is not None:
        model = _registered(options)
    device = prepare(model)
    import uvicorn

    from recap.serving.captioners import describe_served, load_captioners
    from recap.serving.server import make_app

    names = options.decoder.split("+") if options.decoder else None
    captioners = load_captioners(model, names, device, lambda own: change_decoding(own, options))
    about = describe_served(model, captioners)
    _check_port(options.port)
    print("\n".join(about["lines"]))
    address = f"http://127.0.0.1:{options.port}"
    print(f"page: {address}/   programs: POST {address}/invocations   (Ctrl-C ends it)", flush=True)
    app = make_app(captioners, about, _hosts(options), options.images and options.images.resolve())
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning", lifespan="off")


def _registered(options: argparse.Namespace) -> Path:
    """Return the bundle of a model that MLflow has registered."""
    from recap.core import paths
    from recap.tracking.models import model_address
    from recap.tracking.runs import open_store
    from recap.tracking.store import tracking_uri

    if options.decoder is None:
        raise InputError("serve: expected a decoder beside --version and --champion, received none")
    address = model_address(open_store(os.environ), options.decoder, options.version)
    os.environ["MLFLOW_TRACKING_URI"] = tracking_uri(os.environ)
    import mlflow

    folder = Path(mlflow.artifacts.download_artifacts(address)) / "artifacts" / "pipeline"
    if not (folder / paths.BUNDLE).is_file():
        raise InputError(f"serve: {address}: expected a model that holds a bundle, received an older one")
    return folder
