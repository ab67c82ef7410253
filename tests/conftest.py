"""Fixtures of the whole suite."""

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from ruamel.yaml import YAML
from tests.small_pipeline import make_finished_run
from tests.time_limit import (  # noqa: F401 (pytest looks for them here)
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_runtest_setup,
)

# machines under load are slow; a time limit of its own would make tests fail by chance
settings.register_profile("recap", deadline=None)
settings.load_profile("recap")

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Let torch use one: small tensors gain nothing from a second and lose much on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real COCO data beside the checkout; the test skips, visibly, without it."""
    if not (SHARED / "real").is_dir():
        pytest.skip("needs ../shared (real COCO data), which is absent")
    return SHARED


@pytest.fixture(scope="session")
def _finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_finished_run(tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture
def finished_run(_finished_run: Path, tmp_path: Path) -> Path:
    """A checkout whose small pipeline DVC has run, with its cache; the test may change it."""
    return Path(shutil.copytree(_finished_run, tmp_path / "run", symlinks=True))


@pytest.fixture
def make_stage_folder() -> Callable[..., Path]:
    """Makes a folder with the repository's code and params, changed: a dict of groups' new values."""

    def make(folder: Path, changes: dict[str, dict[str, Any]]) -> Path:
        (folder / "data").mkdir(parents=True)
        for name in ("src", "stages"):
            (folder / name).symlink_to(ROOT / name)
        params = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        for name, values in changes.items():
            params[name] |= values
        (folder / "params.yaml").write_text(json.dumps(params), encoding="utf-8")  # JSON is YAML
        return folder

    return make


@pytest.fixture
def start_stage() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts a stage as DVC does, its messages in ``stderr``; kills at the end what still runs."""
    started = []

    def start(checkout: Path, stage: str, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "recap.run_stage", f"stages/{stage}.py", *arguments],
            cwd=checkout,
            env=os.environ | {"RECAP_TRACKING": "off", "PYTHONPATH": "src"} | environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.fixture
def unpublished() -> Callable[[Path], list[Path]]:
    """Lists the files in a folder of checkpoints that are not yet renamed to their place."""
    return _unpublished


@pytest.fixture
def stop_inside_a_write() -> Callable[["subprocess.Popen[str]", Path], None]:
    """Halts a training while a checkpoint is half written and an earlier one is there to go on from."""

    def stop(process: "subprocess.Popen[str]", checkpoints: Path) -> None:
        while process.poll() is None:
            if _unpublished(checkpoints) and any(checkpoints.glob("*/*.checkpoint")):
                process.send_signal(signal.SIGSTOP)
                time.sleep(0.01)
                if _unpublished(checkpoints):
                    return
                process.send_signal(signal.SIGCONT)  # too late: it was renamed

    return stop


def _unpublished(checkpoints: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError):
        return sorted(checkpoints.glob("*/.*.tmp"))
    return []


class Browser:
    """Headless Chromium that a test drives through a pipe, by the Chrome DevTools Protocol."""

    FLAGS = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --disable-dev-shm-usage --remote-debugging-pipe"
    )

    def __init__(self, program: str, profile: Path) -> None:
        command_read, self._commands = os.pipe()
        self._answers, answer_write = os.pipe()
        # Chromium reads commands from descriptor 3 and answers on 4.
        script = f'exec "$0" "$@" 3<&{command_read} 4>&{answer_write}'
        arguments = [*self.FLAGS.split(), f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", script, program, *arguments],
            pass_fds=(command_read, answer_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(command_read)
        os.close(answer_write)
        self._waiting = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", session=False, url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", session=False, targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, *, session: bool = True, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its result; events that come meanwhile are kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return dict(answer["result"])

    def open(self, page: Path | str, width: int, scheme: str = "light") -> None:
        """Load a file or an address in a window of this width; ``events`` then holds all that happened."""
        self.events.clear()
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.call("Page.navigate", url=page if isinstance(page, str) else page.resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page; a promise is waited for."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, path: Path, top: int, height: int) -> None:
        """A PNG of a stripe of the page."""
        width = self.evaluate("innerWidth")
        clip = {"x": 0, "y": top, "width": width, "height": height, "scale": 1}
        answer = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(answer["data"]))

    def close(self) -> None:
        """End the browser."""
        self.call("Browser.close", session=False)
        self._process.wait(60)
        os.close(self._commands)
        os.close(self._answers)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._waiting:
            content = os.read(self._answers, 1 << 20)
            assert content, "the browser ended"
            self._waiting += content
        message, _, self._waiting = self._waiting.partition(b"\0")
        return dict(json.loads(message))


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser for all tests; they skip, visibly, without Chromium."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("needs chromium, which is absent (apt-get install chromium)")
    started = Browser(program, tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB; the test skips, visibly, where none may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
