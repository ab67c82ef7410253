"""Images of a source that comes with URLs only, for pages that show a few of them.

A page must not fail because a photograph is gone: each URL gives a file or the reason why there is none, to
be shown in its place. Politeness: few requests at a time, fewer to one host, no retries, and a file that
was fetched once is kept.
"""

import hashlib
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from recap.data.config import DataConfig
from recap.data.image_files import read_image
from recap.errors import InputError
from recap.progress import track

AT_ONCE = 6
AT_ONCE_FROM_A_HOST = 2
LONGEST_SECONDS = 30.0
LARGEST_BYTES = 32 << 20


def make_fetch(config: DataConfig, directory: Path) -> Callable[[Sequence[str]], dict[str, Path | str]]:
    """``fetch_images`` as the settings want it: of nothing, unless ``data.images.fetch``."""
    if not config.images.fetch:
        return lambda urls: {}
    timeout, offline = config.images.timeout, config.offline
    return partial(fetch_images, directory=directory, timeout=timeout, offline=offline)


def fetch_images(
    urls: Sequence[str], directory: Path, timeout: float, offline: bool
) -> dict[str, Path | str]:
    """Fetch images, or say why not.

    Args:
        urls: http or https.
        directory: keeps the files from run to run.
        timeout: seconds without an answer after which an image is given up.
        offline: True takes what ``directory`` has and asks nobody.

    Returns:
        For each URL an image file that decodes, or a few words on why there is none.
    """
    directory.mkdir(parents=True, exist_ok=True)
    different = list(dict.fromkeys(urls))
    hosts: dict[str, threading.Semaphore] = defaultdict(lambda: threading.Semaphore(AT_ONCE_FROM_A_HOST))
    slots = [hosts[urlsplit(url).netloc] for url in different]
    client = httpx.Client(follow_redirects=True, timeout=timeout, max_redirects=5)
    with client, ThreadPoolExecutor(AT_ONCE) as pool:

        def fetch(url: str, slot: threading.Semaphore) -> Path | str:
            path = directory / hashlib.sha256(url.encode()).hexdigest()[:32]
            if path.exists():
                return path
            if offline:
                return "offline"
            with slot:
                return _fetch(client, url, path)

        found = list(track(pool.map(fetch, different, slots), "fetching images", len(different)))
    return dict(zip(different, found, strict=True))


def _fetch(client: httpx.Client, url: str, path: Path) -> Path | str:
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    end = time.monotonic() + LONGEST_SECONDS
    try:
        with client.stream("GET", url) as response, open(part, "wb") as file:
            if response.status_code != 200:
                return f"HTTP {response.status_code}"
            for chunk in response.iter_bytes():
                file.write(chunk)
                if file.tell() > LARGEST_BYTES:
                    return "too large"
                if time.monotonic() > end:
                    return "too slow"
        read_image(part)
        part.replace(path)
    except InputError:
        return "not an image"
    except httpx.TimeoutException:
        return "no answer"
    except (httpx.HTTPError, httpx.InvalidURL):
        return "unreachable"
    finally:
        part.unlink(missing_ok=True)
    return path
