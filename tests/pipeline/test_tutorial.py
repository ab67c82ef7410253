"""docs/your-own-pictures.md: its commands run as they are printed, on thirty drawn pictures."""

import csv
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw
from tests.imports import ROOT
from tests.pipeline.test_pipeline import copy_checkout

from recap.backbones.squeezenet import SqueezeNet
from recap.importing.settings import WEIGHTS

PAGE = (ROOT / "docs" / "your-own-pictures.md").read_text(encoding="utf-8")
COLOURS = ("red", "green", "blue", "yellow", "black", "white")
SHAPES = ("ellipse", "rectangle", "line", "arc", "chord")


def draw_pictures(folder: Path) -> None:
    """Thirty pictures with two captions each."""
    folder.mkdir()
    with open(folder / "captions.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image", "caption"])
        for number in range(30):
            colour, shape = COLOURS[number % 6], SHAPES[number // 6]
            image = Image.new("RGB", (260, 240), "gray")
            angles = (20, 300) if shape in ("arc", "chord") else ()
            getattr(ImageDraw.Draw(image), shape)((40, 50, 200, 190), *angles, fill=colour, width=12)
            image.save(folder / f"{number + 1:02}.jpg")
            table.writerow([f"{number + 1:02}.jpg", f"a {colour} {shape} on a gray ground"])
            table.writerow([f"{number + 1:02}.jpg", f"a {shape}, large and {colour}"])


def own_weights(checkout: Path) -> None:
    """Put weights where fetched ones are kept: a download is no part of this test."""
    torch.manual_seed(0)
    network = SqueezeNet([f"class {number}" for number in range(1000)])
    torch.save(network.network.state_dict(), checkout / "own.pth")
    registry = checkout / "downloads.json"
    known = json.loads(registry.read_bytes())
    known[WEIGHTS] = {"sha256": hashlib.sha256((checkout / "own.pth").read_bytes()).hexdigest()}
    registry.write_text(json.dumps(known))
    add = [sys.executable, "-m", "recap.cli", "data", "add", WEIGHTS, "own.pth"]
    subprocess.run(add, cwd=checkout, check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_commands_of_the_page_run(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "checkout")
    (checkout / ".venv").symlink_to(sys.prefix)
    draw_pictures(checkout / "pictures")
    own_weights(checkout)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == 5
    marked = [f"echo; echo '== {number}'\n{block}" for number, block in enumerate(blocks)]
    script = "\n".join([*marked, "echo; echo '== page'", "curl --silent http://127.0.0.1:5001/", "kill %1"])
    script = script.replace("recap serve &", "recap serve --port 5001 &").replace("5001", port)
    result = subprocess.run(
        [
            "bash",
            "-e",
            "-c",
            f"trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}",
        ],
        cwd=checkout,
        env=os.environ | {"RECAP_TRACKING": "off", "DVC_NO_ANALYTICS": "true"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    parts = dict(re.findall(r"== (\w+)\n(.*?)(?=\n== |\Z)", result.stdout, flags=re.DOTALL))
    assert "kept: 30 images with 60 captions" in parts["0"]
    assert "cider_d" in parts["1"]
    alone, *folder = parts["2"].splitlines()
    assert alone.split()
    assert f"pictures/01.jpg: {alone}" in folder
    assert "means little" not in result.stdout + result.stderr, "pictures that it was trained on"
    assert sum(line.startswith("pictures/") for line in folder) == 30
    assert (checkout / "pictures_captions.html").is_file()
    rows = json.loads(parts["3"][parts["3"].rindex('{"predictions"') :])["predictions"]
    assert rows[0]["caption"] == alone
    assert parts["4"].splitlines()[-1] == alone
    assert "Drop a picture here" in parts["page"]
