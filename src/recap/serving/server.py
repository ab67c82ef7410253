"""The server of `recap serve`: captions for programs, and a page to drop a picture on.

A request that cannot be answered gets one line of JSON and a status of 400 to 415.
Shapes: N images, S side of the backbone's square input in pixels, K reduced feature.
"""

import asyncio
import base64
import io
import math
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from PIL import Image
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recap.backbones.images import load_images
from recap.captioner import Captioner
from recap.errors import InputError
from recap.explain.pictures.drawing import Pixels, heat_over, scale_heat
from recap.explain.word_saliency import word_integrated_gradients
from recap.serving.answers import Upload, answer
from recap.serving.requests import check_names, read_form, read_rows

PAGE = Path(__file__).parent / "page"
KINDS = {"index.html": "text/html", "page.js": "text/javascript", "page.css": "text/css"}
LONGEST_ANSWER = 400
LONGEST_CAPTION = 20_000  # letters
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data: blob:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Door:
    """Refuses requests to other hosts and from other pages, and says what a browser may do with an answer.

    A page on the web must not reach this server, be it by a name of its own.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *own]
            await send(message)

        app = self.app
        if scope["type"] == "http" and (reason := self._reason(scope)):
            app = refuse(reason)
        await app(scope, receive, send_with_headers)

    def _reason(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or hosts[0].lower() not in self.hosts:
            return f"expected a Host that is named at start, received {', '.join(hosts) or 'none'}"
        try:
            pages = {urlsplit(origin).netloc.lower() for origin in origins}
        except ValueError:
            pages = {""}
        if not pages <= set(self.hosts):
            return f"expected a page of this server to ask, received {', '.join(origins)}"
        return None


def make_app(
    captioners: Mapping[str, Captioner],
    about: Mapping[str, Any],
    hosts: Collection[str],
    folder: Path | None = None,
) -> ASGIApp:
    """Return the application.

    Args:
        captioners: by name; the page shows all, and the last one answers programs.
        about: what /about says of them, in JSON.
        hosts: values of the Host header that are answered, in lower case.
        folder: below which images may be named by a path, resolved.
    """
    captioner = list(captioners.values())[-1]
    options = frozenset(vars(captioner.decoding))
    one_at_a_time = asyncio.Lock()

    async def compute(request: Request, work: Callable[[], Any]) -> Any:
        async with one_at_a_time:
            if await request.is_disconnected():  # while it waited
                raise ClientDisconnect
            return await asyncio.to_thread(work)

    async def ping(request: Request) -> Response:
        return Response("\n", media_type="application/json")

    async def tell(request: Request) -> Response:
        return JSONResponse(dict(about))

    async def invocations(request: Request) -> Response:
        rows, params = await read_rows(request, options)
        found = await compute(request, lambda: answer(captioner, rows, params, folder))
        return JSONResponse({"predictions": found})

    async def captions(request: Request) -> Response:
        upload, _ = await _read_upload(request)
        return JSONResponse(await compute(request, lambda: see(captioners, upload)))

    async def pixels(request: Request) -> Response:
        upload, fields = await _read_upload(request, "captioner", "caption", "word")
        name, number = fields.get("captioner", ""), fields.get("word", "")
        if name not in captioners or not (number.isascii() and number.isdigit() and len(number) < 5):
            known = ", ".join(captioners)
            raise HTTPException(
                400, f"expected captioner (one of {known}), caption and word, received others"
            )
        text, word = fields.get("caption", ""), int(number)
        found = await compute(request, lambda: see_word(captioners[name], upload, text, word))
        return JSONResponse({"picture": found})

    posts = {"/invocations": invocations}
    if captioner.backbone is not None:
        posts |= {"/captions": captions, "/pixels": pixels}
    routes = [Route(path, _catching(post), methods=["POST"]) for path, post in posts.items()]
    routes += [Route("/ping", ping), Route("/health", ping), Route("/about", tell)]
    for name, kind in KINDS.items():
        file = Response((PAGE / name).read_bytes(), media_type=kind)
        routes.append(Route(f"/{name}".removesuffix("index.html"), file, methods=["GET"]))
    return Door(Starlette(routes=routes, exception_handlers={HTTPException: _refuse_error}), hosts)


Handler = Callable[[Request], Awaitable[Response]]


def _catching(handler: Handler) -> Handler:
    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except Exception as error:
            return await _refuse_error(request, error)

    return handle


async def _refuse_error(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return refuse(error.detail, error.status_code)
    if isinstance(error, ClientDisconnect):
        return refuse("the client went away")
    if isinstance(error, InputError):
        return refuse(str(error))
    # what a row may hold to break the libraries below is without end
    return refuse(f"expected rows that can be read, received others: {type(error).__name__}")


def refuse(message: str, status: int = 400) -> Response:
    """Return an answer of one line that refuses a request."""
    line = " ".join(message.split())
    if len(line) > LONGEST_ANSWER:
        line = line[: LONGEST_ANSWER - 1] + "…"
    return JSONResponse({"error_code": "BAD_REQUEST", "message": line}, status)


async def _read_upload(request: Request, *names: str) -> tuple[Upload, dict[str, str]]:
    """Return the image of a form, and its other fields, which have these names."""
    uploads, fields = await read_form(request)
    if len(uploads) != 1:
        raise HTTPException(400, f"expected one image, received {len(uploads)}")
    check_names("the form", fields, names)
    return uploads[0], fields


def see(captioners: Mapping[str, Captioner], image: Upload) -> dict[str, Any]:
    """Return what each captioner says of an image, and the part of it that they see."""
    first = next(iter(captioners.values()))
    assert first.backbone is not None
    image.name = "image"
    pixels = load_images([image], first.backbone)  # (1, S, S, 3)
    with torch.no_grad():  # all captioners read the same
        reduced = first.see(first.backbone.preprocess(pixels)).cpu().numpy()  # (1, K)
    found = []
    for name, captioner in captioners.items():
        (caption,) = captioner.caption_reduced(reduced)
        words = zip(caption.words, caption.word_log_probabilities, strict=True)
        found.append(
            {
                "captioner": name,
                "caption": caption.text,
                "log_probability": caption.log_probability,
                "words": [{"word": word, "probability": math.exp(value)} for word, value in words],
            }
        )
    return {"picture": _png(pixels[0].numpy()), "familiar": first.is_familiar(reduced)[0], "captions": found}


def see_word(captioner: Captioner, image: Upload, text: str, word: int) -> str:
    """Draw the pixels that spoke for a word of a caption, over the image.

    Raises:
        InputError: the caption has no such word, or more than the captioner writes.
    """
    assert captioner.backbone is not None
    assert captioner.decoding is not None
    most = captioner.decoding.max_length
    if len(captioner.vocabulary.read(text[:LONGEST_CAPTION])[0]) > most or len(text) > LONGEST_CAPTION:
        raise InputError(f"caption: expected at most {most} tokens, received more")
    image.name = "image"
    pixels = load_images([image], captioner.backbone)  # (1, S, S, 3)
    x = captioner.backbone.preprocess(pixels)
    caption = captioner.score(x, text)
    if word >= len(caption.spans):
        raise InputError(f"word: expected one of {len(caption.spans)} words, received number {word}")
    tokens = torch.tensor(caption.tokens, device=x.device)
    (heat,) = word_integrated_gradients(captioner, x[0], tokens, [caption.spans[word]])
    return _png(heat_over(pixels[0].numpy(), scale_heat(heat.clamp_min(0).cpu().numpy())))


def _png(pixels: Pixels) -> str:
    draft = io.BytesIO()
    Image.fromarray(pixels).save(draft, "PNG")
    return f"data:image/png;base64,{base64.b64encode(draft.getvalue()).decode()}"
