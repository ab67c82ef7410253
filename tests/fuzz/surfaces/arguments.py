"""The arguments of every command of `recap`, beside a pipeline that has not run and one that has."""

import json
import os
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tests.fuzz.mutations import TEXTS
from tests.fuzz.surface import Failed, run_command
from tests.fuzz.surfaces.captions import caption_file
from tests.small_pipeline import git

from recap.backbones.build import build_backbone, save_backbone
from recap.core.artifacts import write_json, write_safetensors
from recap.decoders.build import build_decoder, save_decoder
from recap.errors import InputError
from recap.text.captions import Captions, save_captions
from recap.text.vocabulary import SPECIAL_WORDS, Vocabulary

ROOT = Path(__file__).resolve().parents[3]
COMMANDS: dict[str, list[str]] = {
    "config": ["--check"],
    "plots-page": [],
    "verify": ["--against=VALUE", "--json", "--markdown", "--base=VALUE"],
    "doctor": ["--record"],
    "data download": ["VALUE", "--offline"],
    "data add": ["VALUE", "VALUE"],
    "data pin": ["VALUE", "--offline"],
    "data describe": ["--samples=VALUE", "--seed=VALUE"],
    "see predict": ["VALUE", "--top=VALUE"],
    "see saliency": ["VALUE", "--head=VALUE", "--class=VALUE", "--output=VALUE"],
    "see fool": ["VALUE", "--class=VALUE", "--head=VALUE", "--output=VALUE"],
    "see class": ["--class=VALUE", "--iterations=2", "--iterations=VALUE", "--seed=VALUE", "--output=VALUE"],
    "see words": ["VALUE", "--decoder=VALUE", "--output=VALUE"],
    "score": [
        *("VALUE", "VALUE", "--json", "--tokenizer=VALUE", "--against=VALUE", "--training=VALUE"),
        *("--no-meteor", "--no-meteor", "--resamples=VALUE", "--seed=VALUE"),
    ],
    "decodings": ["VALUE", "--images=VALUE"],
    "ui": ["--port=VALUE"],
    "serve": ["VALUE", "--port=VALUE", "--version=VALUE"],
    "runs": ["VALUE", "--compare VALUE VALUE"],
}
"""Every command with its arguments; those that would run the pipeline, or a server, are not followed."""
VALUES = (
    *(
        "image.png",
        "good.json",
        "results.json",
        "lstm",
        "seen.png",
        "digit",
        "one",
        "0",
        "1",
        "2",
        "params.yaml",
    ),
    *(
        "models/lstm",
        ".",
        "/",
        "/dev/null",
        "nowhere/x.png",
        "-1",
        "1e3",
        "99999999999999999999",
        "0.00001",
        "nan",
    ),
    *(
        "http://user@/x",
        "/proc/self/mem",
        "a" * 5000,
        "a" * 255,
        "HEAD",
        "--json",
        "ptb",
        "whitespace",
        "all",
    ),
    *(
        "backbone",
        "images",
        "3.5",
        "٣",
        "1_0",
        "lstm+lstm",
        "lstm+",
        "+",
        "bob's",
        "x;y",
        "%",
        "rnn",
        "half\udcff",
    ),
)


class Arguments:
    def __init__(self) -> None:
        for name in ("params.yaml", "dvc.yaml", "dvc.lock", "requirements.lock", "downloads.json"):
            Path(name).write_bytes((ROOT / name).read_bytes())
        for name in ("src", "stages"):
            Path(name).symlink_to(ROOT / name)
        Path("reports").mkdir()
        Path("reports/machine.json").write_bytes((ROOT / "reports/machine.json").read_bytes())
        git(Path(), "init", "--quiet")
        write_models(Path())
        Path("good.json").write_text(json.dumps(caption_file()))
        Path("results.json").write_text(
            json.dumps([{"image_id": image["id"], "caption": "a cat"} for image in caption_file()["images"]])
        )
        Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save("image.png")
        self.kept = {path.name for path in Path().iterdir()}
        for name in ("DVC_ROOT", "DVC_EXP_NAME", "MLFLOW_TRACKING_URI"):
            os.environ.pop(name, None)
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        os.execv = self._exec  # type: ignore[assignment]
        time.sleep = lambda seconds: None
        run_command(["runs"])  # the first command makes the store, which takes long

    @staticmethod
    def _exec(*command: Any) -> None:
        """A server would take the place of this process."""
        raise SystemExit(0)

    def draw(self, generator: random.Random) -> bytes:
        command = generator.choice(sorted(COMMANDS))
        arguments = command.split()
        for option in COMMANDS[command]:
            if option.startswith("--") and generator.random() < 0.5:
                continue
            if generator.random() < 0.95:
                arguments += option.split()
        pool = VALUES if generator.random() < 0.7 else (*VALUES, *TEXTS)
        arguments = [
            argument.replace("VALUE", generator.choice(pool)) if "VALUE" in argument else argument
            for argument in arguments
        ]
        if generator.random() < 0.1:
            arguments.insert(generator.randrange(len(arguments) + 1), generator.choice(pool))
        return json.dumps(arguments).encode()

    def run(self, content: bytes) -> bool:
        # no command line has NUL, or halves of letters that are no bytes
        arguments = [text.replace("\0", "").replace("\ud83d", "") for text in json.loads(content)]
        before = {path: path.stat().st_size for path in Path("models").rglob("*")}
        try:
            code = run_command(arguments, codes=(0, 1))
        except InputError:
            self._check(before)
            raise
        self._check(before)
        return code == 0

    @staticmethod
    def _check(before: dict[Path, int]) -> None:
        if {path: path.stat().st_size for path in Path("models").rglob("*")} != before:
            raise Failed("expected models as they were")
        drafts = [
            path for path in Path().glob("**/*.tmp") if ".dvc" not in path.parts and ".git" not in path.parts
        ]
        if drafts:
            raise Failed(f"expected no drafts, received {drafts}")


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
    save_captions(root / "data/captions", Captions(vocabulary, captions, rows, captions, rows))
    write_json(root / "data/captions/references_val.json", caption_file())
