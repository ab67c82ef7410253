"""What requests to the server hold: bounded bodies, JSON in MLflow's form, and uploads."""

import asyncio
import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

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
    """The body, within the time and up to the size that are allowed.

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
    """The rows of a request and its params, from JSON or from uploads.

    Args:
        request: with ``ROWS`` in JSON, or a form with images, whose other fields are params.
        options: what params there are.

    Raises:
        HTTPException, InputError: it is another.
    """
    kind = request.headers.get("content-type", "none")
    plain = kind.partition(";")[0].strip().lower()
    if plain == "multipart/form-data":
        uploads, fields = parse_form(await read_body(request), kind)
        check_names("the form", fields, options)
        return [{"image": upload} for upload in uploads], {
            name: _value(text) if name != "search" else text for name, text in fields.items()
        }
    if plain != "application/json":
        raise HTTPException(
            415, f"Content-Type: expected application/json or multipart/form-data, received {kind}"
        )
    return _parse(parse_json(await read_body(request), "the request"), options)


def _value(text: str) -> Any:
    try:
        return parse_json(text, "")
    except InputError:
        return text


def _parse(document: Any, options: Collection[str]) -> tuple[Rows, dict[str, Any]]:
    """The rows and params of a request, as MLflow names them; a misspelt key is a mistake."""
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


def parse_form(body: bytes, content_type: str) -> tuple[list[Upload], dict[str, str]]:
    """The files of a form in multipart/form-data (RFC 7578), and its other fields.

    Raises:
        HTTPException: it is none.
    """
    boundary = re.search(r'boundary=(?:"([^"]{1,70})"|([^\s;,"]{1,70}))', content_type)
    if boundary is None:
        raise HTTPException(400, "Content-Type: expected a boundary of multipart/form-data, received none")
    mark = b"\r\n--" + (boundary[1] or boundary[2]).encode("latin-1")
    first, *parts = (b"\r\n" + body).split(mark, MOST_PARTS)
    if not parts or parts[-1][:2] != b"--" or first.strip():
        raise HTTPException(400, "expected a whole form in multipart/form-data, received another body")
    uploads: list[Upload] = []
    fields: dict[str, str] = {}
    for part in parts[:-1]:
        head, found, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        text = head.decode("utf-8", "replace")
        name = re.search(r'(?i)content-disposition:[^\r\n]*[; ]name="([^"\r\n]*)"', text)
        if not found or name is None:
            raise HTTPException(400, "expected parts of a form with names, received another")
        if re.search(r"(?i)[; ]filename\*?=", text):
            if name[1] != "image":
                raise HTTPException(400, f"expected files under the name image, received {name[1][:80]!r}")
            uploads.append(Upload(content, f"row {len(uploads)}"))
        elif name[1] in fields:
            raise HTTPException(400, f"expected each field once, received {name[1][:80]!r} again")
        else:
            fields[name[1]] = content.decode("utf-8", "replace")
    return uploads, fields
