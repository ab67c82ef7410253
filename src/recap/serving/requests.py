"""What requests to the server hold: bounded bodies, JSON in MLflow's form, and uploads."""

import asyncio
import io
import json
from collections.abc import Collection, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import MultiPartParser
from werkzeug.http import parse_options_header

from recap.core.input_files import parse_json
from recap.errors import InputError
from recap.serving.answers import COLUMNS, Upload

LARGEST_BODY = 64 << 20
MOST_ROWS = 1024
MOST_PARTS = 1024
SECONDS_TO_SEND = 60.0
ROWS = "dataframe_records"
Rows = list[Mapping[str, Any]]


async def read_body(request: Request) -> bytes:
    """Return the body, within the time and up to the size that are allowed.

    Raises:
        HTTPException: it is larger, or takes longer.
    """

    async def read() -> bytes:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_BODY:
                raise HTTPException(413, f"expected a request of at most {LARGEST_BODY} bytes, received more")
        return bytes(body)

    try:
        return await asyncio.wait_for(read(), SECONDS_TO_SEND)
    except TimeoutError:
        raise HTTPException(408, f"expected the whole request within {SECONDS_TO_SEND:.0f} s") from None


async def read_rows(request: Request, options: Collection[str]) -> tuple[Rows, dict[str, Any]]:
    """Return the rows of a request and its params, from JSON or from uploads.

    Args:
        request: with ``ROWS`` in JSON, or a form with images, whose other fields are params.
        options: what params there are.

    Raises:
        HTTPException, InputError: it is another.
    """
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() == "application/json":
        return _parse(parse_json(await read_body(request), "the request"), options)
    uploads, fields = await read_form(request, "application/json or ")
    check_names("the form", fields, options)
    return [{"image": upload} for upload in uploads], {
        name: _value(text) if name != "search" else text for name, text in fields.items()
    }


def _value(text: str) -> Any:
    try:
        return parse_json(text, "")
    except InputError:
        return text


def _parse(document: Any, options: Collection[str]) -> tuple[Rows, dict[str, Any]]:
    """Return the rows and params of a request, as MLflow names them; a misspelt key is a mistake."""
    if not isinstance(document, dict):
        raise HTTPException(400, f"expected an object with {ROWS}, received another value")
    check_names("the request", document, (ROWS, "params"))
    rows, params = document.get(ROWS), document.get("params")
    if params is not None and not isinstance(params, dict):
        raise HTTPException(400, "params: expected an object, received another value")
    check_names("params", params or {}, options)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise HTTPException(400, f"{ROWS}: expected rows with features or an image, received another value")
    if len(rows) > MOST_ROWS:
        raise HTTPException(400, f"expected at most {MOST_ROWS} rows, received {len(rows)}")
    for row in rows:
        check_names("a row", row, COLUMNS)
    return rows, params or {}


def check_names(where: str, names: Collection[str], known: Collection[str]) -> None:
    """Refuse names that nobody reads.

    Raises:
        HTTPException: there is one.
    """
    if odd := sorted(set(names) - set(known)):
        raise HTTPException(
            400,
            f"{where}: expected keys among {', '.join(sorted(known)) or 'none'}, "
            f"received {json.dumps(odd[0][:80])}",
        )


async def read_form(request: Request, other_types: str = "") -> tuple[list[Upload], dict[str, str]]:
    """Return the images of a form in multipart/form-data, and its other fields.

    Raises:
        HTTPException: it is none, or has files under other names.
    """
    given = request.headers.get("content-type", "none")
    kind, options = parse_options_header(given)
    if kind.lower() != "multipart/form-data":
        raise HTTPException(415, f"Content-Type: expected {other_types}multipart/form-data, received {given}")
    if "boundary" not in options:
        raise HTTPException(400, "Content-Type: expected a boundary of multipart/form-data, received none")
    body = await read_body(request)
    parser = MultiPartParser(lambda *_, **__: io.BytesIO(), max_form_parts=MOST_PARTS)
    try:
        fields, files = parser.parse(io.BytesIO(body), options["boundary"].encode(), len(body))
    except (ValueError, RequestEntityTooLarge):
        raise HTTPException(
            400, f"expected a whole form of at most {MOST_PARTS} parts, received another body"
        ) from None
    if odd := [name for name in files if name != "image"]:
        raise HTTPException(400, f"expected files under the name image, received {str(odd[0])[:80]!r}")
    if twice := [name for name, texts in fields.lists() if len(texts) > 1]:
        raise HTTPException(400, f"expected each field once, received {str(twice[0])[:80]!r} again")
    uploads = [Upload(file.read(), f"row {number}") for number, file in enumerate(files.getlist("image"))]
    return uploads, fields.to_dict()
