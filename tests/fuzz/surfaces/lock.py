"""dvc.lock: `recap verify` is content only with a lock that says the same as the whole one."""

import os
import random
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from tests.fuzz.mutations import json_bytes, mutate_bytes, mutate_json
from tests.fuzz.surface import Failed, run_command
from tests.small_pipeline import make_finished_run


def locked(content: bytes) -> Any:
    """What a lock says of outputs: stage -> path -> MD5; None where it is no lock."""
    try:
        stages = YAML(typ="safe", pure=True).load(content.decode())["stages"]
        return {
            stage: {output["path"]: output["md5"] for output in entry["outs"]}
            for stage, entry in stages.items()
        }
    except Exception:
        return None


class Lock:
    def __init__(self) -> None:
        os.chdir(make_finished_run(Path("run").resolve()))
        self.content = Path("dvc.lock").read_bytes()
        self.outputs = locked(self.content)
        self.values = YAML(typ="safe", pure=True).load(self.content.decode())

    def draw(self, generator: random.Random) -> bytes:
        kind = generator.randrange(4)
        if kind <= 1:
            return json_bytes(mutate_json(self.values, generator)) + b"\n"
        if kind == 2:
            return mutate_bytes(self.content, generator)
        lines = self.content.splitlines(keepends=True)
        place = generator.randrange(len(lines))
        return b"".join(lines[:place] if generator.random() < 0.4 else lines[:place] + lines[place + 1 :])

    def run(self, content: bytes) -> bool:
        Path("dvc.lock").write_bytes(content)
        code = run_command(["verify"], codes=(0, 1))
        if code == 0 and locked(content) != self.outputs:
            raise Failed("expected no content with a lock that says something else")
        return code == 0
