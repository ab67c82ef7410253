"""Images of a source that comes with URLs only, for pages that show a few of them.

A page must not fail because a photograph is gone: each URL gives a file or the reason why there is none, to
be shown in its place. Politeness: few requests at a time, fewer to one host, no retries, and a file that
was fetched once is kept.
"""

import asyncio
import hashlib
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx

from recap.core.image_files import read_image
from recap.errors import InputError
from recap.progress import track
from recap.sources.config import DataConfig
from recap.sources.registry import check_url

AT_ONCE = 6
AT_ONCE_FROM_A_HOST = 2
LONGEST_SECONDS = 30.0
LARGEST_BYTES = 32 << 20


def make_fetch(config: DataConfig, directory: Path) -> Callable[[Sequence[str]], dict[str, Path | str]]:
    """Return ``fetch_images`` as the settings want it: of nothing, unless ``data.images.fetch``."""
    if not config.images.fetch:
        return lambda urls: {}
    timeout, offline = config.images.timeout, config.offline
    return partial(fetch_images, directory=directory, timeout=timeout, offline=offline)


def fetch_images(
    urls: Sequence[str], directory: Path, timeout: float, offline: bool
) -> dict[str, Path | str]:
    """Fetch images by URL: for each a file that decodes, or a few words on why there is none.

    The directory keeps the files from run to run; the timeout is of seconds without an answer. Offline nobody
    is asked.
    """
    directory.mkdir(parents=True, exist_ok=True)
    different = list(dict.fromkeys(urls))
    hosts: dict[str, threading.Semaphore] = defaultdict(lambda: threading.Semaphore(AT_ONCE_FROM_A_HOST))
    slots = [hosts[url.split("/")[2] if url.count("/") > 1 else ""] for url in different]
    with ThreadPoolExecutor(AT_ONCE) as pool:

        def fetch(url: str, slot: threading.Semaphore) -> Path | str:
            path = directory / hashlib.sha256(url.encode(errors="surrogatepass")).hexdigest()[:32]
            if path.exists():
                return path
            if offline:
                return "offline"
            with slot:
                return _fetch(url, path, timeout)

        found = list(track(pool.map(fetch, different, slots), "fetching images", len(different)))
    return dict(zip(different, found, strict=True))


def _fetch(url: str, path: Path, timeout: float) -> Path | str:
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        check_url(url, "image")
        problem = asyncio.run(asyncio.wait_for(_get(url, part, timeout), LONGEST_SECONDS))
        if problem:
            return problem
        try:
            read_image(part)
        except InputError:
            return "not an image"
        part.replace(path)
    except httpx.TimeoutException:
        return "no answer"
    except TimeoutError:
        return "too slow"
    # ImportError: a proxy that needs another package; ValueError: names that are none, where a redirect
    # leads; ExceptionGroup: several addresses of a host, each with a reason of its own
    except (httpx.HTTPError, httpx.InvalidURL, InputError, ImportError, ValueError, ExceptionGroup):
        return "unreachable"
    except OSError as error:
        return f"cannot be kept: {error.strerror}"
    finally:
        part.unlink(missing_ok=True)
    return path


async def _get(url: str, part: Path, timeout: float) -> str:
    """Bring an image to a file; returns why it did not come, or nothing."""
    async with (
        httpx.AsyncClient(follow_redirects=True, timeout=timeout, max_redirects=5) as client,
        client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response,
    ):
        if response.status_code != 200:
            return f"HTTP {response.status_code}"
        with open(part, "wb") as file:
            async for chunk in response.aiter_raw():
                file.write(chunk)
                if file.tell() > LARGEST_BYTES:
                    return "too large"
    return ""
