"""The arguments of every command of `recap`, beside a pipeline that has not run and one that has."""

import argparse
import json
import os
import random
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import uvicorn
from PIL import Image
from tests.fuzz.mutations import TEXTS
from tests.fuzz.surface import Failed, run_command
from tests.fuzz.surfaces.captions import caption_file
from tests.small_pipeline import dvc, git

from recap.backbones.build import build_backbone, save_backbone
from recap.cli.main import make_parser
from recap.core.artifacts import write_json, write_safetensors
from recap.core.raw_data import SPLITS
from recap.decoders.build import build_decoder, save_decoder
from recap.errors import InputError
from recap.text.captions import Captions, save_captions
from recap.text.vocabulary import SPECIAL_WORDS, Vocabulary

ROOT = Path(__file__).resolve().parents[3]
FILES = ("params.yaml", "dvc.yaml", "dvc.lock", "requirements.lock", "downloads.json", "sweep.yaml")
VALUES = (
    *("image.png", "good.json", "results.json", "params.yaml", "sweep.yaml", "seen.png", "nowhere/x.png"),
    *("models/lstm", "models", "backbone", "images", ".", "/", "/dev/null", "/proc/self/mem", "~"),
    *("HEAD", "http://user@/x"),
    *("lstm", "rnn", "lstm+lstm", "lstm+", "+", "digit", "one", "ptb", "whitespace", "all", "beam", "true"),
    *("0", "1", "2", "-1", "1e3", "99999999999999999999", "0.00001", "3.5", "nan", "٣", "1_0"),
    *("a" * 255, "a" * 5000, "--json", "bob's", "x;y", "%", "half\udcff"),
)

HARMLESS = [text for text in TEXTS if "passwd" not in text]  # a command may write where it is told to


def find_commands(
    parser: argparse.ArgumentParser, words: tuple[str, ...] = ()
) -> dict[str, list[argparse.Action]]:
    """What each command takes, by the command's words."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            inner = (find_commands(own, (*words, name)) for name, own in action.choices.items())
            return {name: taken for part in inner for name, taken in part.items()}
    return {" ".join(words): [action for action in parser._actions if action.dest != "help"]}


COMMANDS = find_commands(make_parser())


def draw_arguments(generator: random.Random) -> list[str]:
    """A command with what it demands, most of the time, and one or two of its options, mostly odd ones."""
    command = generator.choice(sorted(COMMANDS))
    pool = VALUES if generator.random() < 0.7 else (*VALUES, *HARMLESS)
    arguments = command.split()
    optional = [action for action in COMMANDS[command] if not action.required]
    for action in COMMANDS[command]:
        if generator.random() < (0.95 if action.required else min(0.5, 2 / len(optional))):
            arguments += draw_values(action, generator, pool)
    if generator.random() < 0.1:
        arguments.insert(generator.randrange(len(arguments) + 1), generator.choice(pool))
    return arguments


def draw_values(action: argparse.Action, generator: random.Random, pool: Sequence[str]) -> list[str]:
    """One of an argument's names, if it has some, and as many values as it takes."""
    counts = {None: (1, 1), "?": (1, 1), "+": (1, 3), "*": (0, 3)}
    least, most = counts.get(action.nargs, (action.nargs, action.nargs))  # type: ignore[arg-type]
    known = [str(choice) for choice in action.choices or ()]
    values = [
        generator.choice(known if known and generator.random() < 0.8 else pool)
        for _ in range(generator.randint(least, most))
    ]
    if not action.option_strings:
        return values
    name = generator.choice(action.option_strings)
    return [f"{name}={values[0]}"] if len(values) == 1 and generator.random() < 0.7 else [name, *values]


class Arguments:
    def __init__(self) -> None:
        for name in FILES:
            Path(name).write_bytes((ROOT / name).read_bytes())
        for name in ("src", "stages"):
            Path(name).symlink_to(ROOT / name)
        Path("reports").mkdir()
        Path("reports/machine.json").write_bytes((ROOT / "reports/machine.json").read_bytes())
        Path(".gitignore").write_text("/data\n/models\n")
        git(Path(), "init", "--quiet")
        dvc(Path(), "init")
        git(Path(), "add", "--all")
        git(Path(), "commit", "--quiet", "-m", "Begin")
        write_models(Path())
        Path("good.json").write_text(json.dumps(caption_file()))
        Path("results.json").write_text(
            json.dumps([{"image_id": image["id"], "caption": "a cat"} for image in caption_file()["images"]])
        )
        Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save("image.png")
        for name in ("DVC_ROOT", "DVC_EXP_NAME", "MLFLOW_TRACKING_URI"):
            os.environ.pop(name, None)
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        os.execv = uvicorn.run = self._exec  # type: ignore[assignment]
        sys.executable = "/bin/false"  # no command runs the pipeline
        time.sleep = lambda seconds: None
        run_command(["runs"])  # the first command makes the store, which takes long
        self.kept = {path.name for path in Path().iterdir()}
        self.files = {path: path.read_bytes() for path in Path().iterdir() if path.is_file()}

    @staticmethod
    def _exec(*command: Any, **options: Any) -> None:
        """A server would take the place of this process."""
        raise SystemExit(0)

    def draw(self, generator: random.Random) -> bytes:
        return json.dumps(draw_arguments(generator)).encode()

    def run(self, content: bytes) -> bool:
        # no command line has NUL, or halves of letters that are no bytes
        arguments = [text.replace("\0", "").replace("\ud83d", "") for text in json.loads(content)]
        if arguments[:1] == ["caption"]:  # the pictures of a whole disk are many
            arguments = [text if text != "/" else "images" for text in arguments]
        before = {path: path.stat().st_size for path in Path("models").rglob("*")}
        try:
            code = run_command(arguments, codes=(0, 1))
        except InputError:
            self._check(before)
            raise
        self._check(before)
        return code == 0

    def _check(self, before: dict[Path, int]) -> None:
        if {path: path.stat().st_size for path in Path("models").rglob("*")} != before:
            raise Failed("expected models as they were")
        drafts = [
            path
            for ending in (".tmp", ".part")
            for path in Path().rglob(f"*{ending}")
            if not {".dvc", ".git"} & set(path.parts)
        ]
        if drafts:
            raise Failed(f"expected no drafts, received {drafts}")
        for path in Path().iterdir():  # so that a case does not depend on those before
            if path.name not in self.kept:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path, content in self.files.items():
            if not path.is_file() or path.read_bytes() != content:
                path.write_bytes(content)


def write_models(root: Path) -> None:
    """Untrained networks and captions where a pipeline puts them."""
    torch.manual_seed(0)
    description = {"name": "small_vgg", "feature_dim": 8, "heads": {"digit": ["one", "two"]}}
    save_backbone(root / "models/backbone", description, build_backbone(description).state_dict())
    vocabulary = Vocabulary((*SPECIAL_WORDS, "a", "cat"))
    model = {
        "name": "lstm",
        "feature_dim": 4,
        "vocabulary_size": len(vocabulary),
        "wordvec_dim": 4,
        "hidden_dim": 4,
    }
    model["dropout"] = 0.0
    save_decoder(root / "models/lstm", build_decoder(model, torch.Generator().manual_seed(0)), model)
    write_safetensors(
        root / "data/reduced/pca.safetensors", {"components": torch.ones(4, 8), "mean": torch.ones(8)}
    )
    captions, rows = np.array([[1, 4, 5, 2]], np.int32), np.zeros(1, np.int32)
    save_captions(root / "data/captions", Captions(vocabulary, dict.fromkeys(SPLITS, (captions, rows))))
    write_json(root / "data/captions/references_test.json", caption_file())
