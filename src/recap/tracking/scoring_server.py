"""Serves a model of MLflow on the loopback address: a door before MLflow's own answers to /invocations.

A request that cannot be answered gets one line of JSON and 400, 404, 405, 408, 413 or 415. It is run as
a script and imports nothing of recap, so that the model runs the code that is kept beside it.
"""

import argparse
import asyncio
import json
import sys
import warnings
from collections.abc import Collection
from typing import Any

import mlflow.pyfunc
import uvicorn
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

LARGEST_BODY = 64 << 20
SECONDS_TO_SEND = 60.0
LONGEST_ANSWER = 400
ROWS = ("dataframe_records", "dataframe_split", "inputs", "instances")


class HostCheck:
    """Refuses requests to other hosts: a page on the web must not reach this server by a name of its own."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
            if len(given) != 1 or given[0].lower() not in self.hosts:
                shown = ", ".join(given) or "none"
                await _refuse(f"expected a Host that is named at start, received {shown}")(
                    scope, receive, send
                )
                return
        await self.app(scope, receive, send)


def make_app(model: Any, hosts: Collection[str]) -> ASGIApp:
    """The application.

    Args:
        model: what ``mlflow.pyfunc.load_model`` gave.
        hosts: values of the Host header that are answered, in lower case.
    """
    schema = model.metadata.get_input_schema()
    columns = frozenset(schema.input_names())
    options = frozenset(param.name for param in model.metadata.get_params_schema() or ())

    async def ping(request: Request) -> Response:
        return Response("\n", media_type="application/json")

    async def invocations(request: Request) -> Response:
        try:
            kind = request.headers.get("content-type", "none")
            if kind.partition(";")[0].strip().lower() != "application/json":
                raise HTTPException(415, f"Content-Type: expected application/json, received {kind}")
            body = await asyncio.wait_for(_read(request), SECONDS_TO_SEND)
            document = _check(_parse(body), columns, options)
            result = await asyncio.to_thread(
                scoring_server.invocations, document, "application/json", model, schema
            )
        except TimeoutError:
            return _refuse(f"expected the whole request within {SECONDS_TO_SEND:.0f} s", 408)
        except HTTPException as error:
            return _refuse(error.detail, error.status_code)
        except MlflowException as error:
            return _refuse(error.message.rpartition("\nError: ")[2])
        except ClientDisconnect:
            return _refuse("the client went away")
        except Exception as error:  # what a row may hold to break the parsers below is without end
            return _refuse(f"expected rows that can be read, received others: {type(error).__name__}")
        return Response(result.response, result.status, media_type=result.mimetype)

    async def told(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _refuse(error.detail, error.status_code)

    app = Starlette(
        routes=[
            Route("/ping", ping),
            Route("/health", ping),
            Route("/invocations", invocations, methods=["POST"]),
        ],
        exception_handlers={HTTPException: told},
    )
    return HostCheck(app, hosts)


def _refuse(message: str, status: int = 400) -> Response:
    line = " ".join(message.split())
    if len(line) > LONGEST_ANSWER:
        line = line[: LONGEST_ANSWER - 1] + "…"
    return JSONResponse({"error_code": "BAD_REQUEST", "message": line}, status)


async def _read(request: Request) -> bytes:
    """The body, up to the largest that is taken."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise HTTPException(413, f"expected a request of at most {LARGEST_BODY} bytes, received more")
    return bytes(body)


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"expected JSON, received other text: {error}") from None


def _check(document: Any, columns: Collection[str], options: Collection[str]) -> dict[str, Any]:
    """Refuse the keys that MLflow would pass over: a misspelt one is a mistake."""
    if not isinstance(document, dict):
        raise HTTPException(400, f"expected an object with one of {', '.join(ROWS)}, received another value")
    _check_names("the request", document, {*ROWS, "params"})
    params = document.get("params")
    if params is not None:
        if not isinstance(params, dict):
            raise HTTPException(400, "params: expected an object, received another value")
        _check_names("params", params, options)
    for row in _rows(document):
        _check_names("a row", row, columns)
    return document


def _rows(document: dict[str, Any]) -> list[Any]:
    """Names of columns, in whatever form the rows have; what has none of these forms is left to MLflow."""
    split, inputs = document.get("dataframe_split"), document.get("inputs")
    found: list[Any] = []
    for key in ("dataframe_records", "instances"):
        if isinstance(document.get(key), list):
            found += [row for row in document[key] if isinstance(row, dict)]
    if isinstance(split, dict) and isinstance(split.get("columns"), list):
        found.append([name for name in split["columns"] if isinstance(name, str)])
    if isinstance(inputs, dict):
        found.append(inputs)
    return found


def _check_names(where: str, names: Collection[str], known: Collection[str]) -> None:
    if odd := sorted(set(names) - set(known)):
        raise HTTPException(
            400,
            f"{where}: expected keys among {', '.join(sorted(known))}, received {json.dumps(odd[0][:80])}",
        )


def main() -> None:
    """Load the model that the command line names and serve it until a signal comes."""
    parser = argparse.ArgumentParser(prog="recap serve")
    parser.add_argument("address")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", action="append", default=[], help="a value of the Host header to answer")
    parser.add_argument("--images", default=None, help="the folder below which images may be named by a path")
    options = parser.parse_args()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = mlflow.pyfunc.load_model(
                options.address, suppress_warnings=True, model_config={"images": options.images}
            )
    except Exception as error:  # whatever MLflow, its store and the model's own code raise
        reason = " ".join(str(error).split())[:LONGEST_ANSWER]
        print(f"serve: {options.address}: expected a model that loads, received: {reason}", file=sys.stderr)
        sys.exit(2)
    app = make_app(model, options.host)
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning", lifespan="off")


if __name__ == "__main__":
    main()
