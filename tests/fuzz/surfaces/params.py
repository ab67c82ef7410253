"""params.yaml: `recap config --check`, and DVC must read what it accepts as the stages do."""

import random
from pathlib import Path

from dvc.utils.serialize import parse_yaml as parse_as_dvc
from tests.fuzz.mutations import json_bytes, mutate_bytes, mutate_json
from tests.fuzz.surface import Failed, run_command

from recap.core.plain_yaml import parse_yaml

ROOT = Path(__file__).resolve().parents[3]
SCALARS = (
    *(
        "017",
        "0o17",
        "0x1F",
        "1_000",
        "1:30",
        "1e5",
        "1e-5",
        ".5",
        "1.",
        ".nan",
        ".inf",
        "-.inf",
        "~",
        "null",
        "on",
    ),
    *(
        "no",
        "True",
        "2001-01-01",
        "2001-99-99",
        "2001-01-01 10:00:00",
        "=",
        "<<",
        "*a",
        "&a 1",
        "&a [*a]",
        "'",
        '"',
    ),
    *(
        "!!set {a}",
        "!!binary aGk=",
        "!!omap [a: 1]",
        "!!python/name:os.system",
        "!a b",
        "!<x> y",
        "? a",
        "{a: 1}",
    ),
    *(
        "[1, 2",
        "{a",
        "[a, , b]",
        "| ",
        ">-",
        "@a",
        "`a",
        "%a",
        "-1",
        "-0",
        "1e400",
        "9" * 5000,
        "[" * 3000,
        "a" * 9000,
    ),
    *(
        "{a: " * 40 + "1" + "}" * 40,
        "&a [1, 1]\nzz: [*a, *a]",
        '"\\ud83d"',
        '"\\0"',
        "\u0085",
        "\u2028",
        "\ufeff",
    ),
)


class Params:
    def __init__(self) -> None:
        self.text = (ROOT / "params.yaml").read_text(encoding="utf-8")
        self.values = parse_yaml(self.text.encode())

    def draw(self, generator: random.Random) -> bytes:
        kind = generator.randrange(5)
        if kind <= 1:
            return json_bytes(mutate_json(self.values, generator)) + b"\n"
        if kind == 2:
            return mutate_bytes(self.text.encode(), generator)
        lines = self.text.splitlines()
        for _ in range(generator.choice((1, 1, 2, 4))):
            place = generator.randrange(len(lines))
            if kind == 3:
                key, colon, _ = lines[place].partition(":")
                lines[place] = f"{key}{colon} {generator.choice(SCALARS)}"
            else:
                other = lines[generator.randrange(len(lines))]
                change = generator.randrange(4)
                lines[place : place + (change > 0)] = ([other], [], [f" {lines[place]}"], [f"- {other}"])[
                    change
                ]
        return "\n".join(lines).encode("utf-8", "surrogatepass") + b"\n"

    def run(self, content: bytes) -> bool:
        Path("params.yaml").write_bytes(content)
        run_command(["config", "--check"], codes=(0,))
        values = parse_yaml(content)
        if values != parse_as_dvc(content.decode(), "params.yaml"):
            raise Failed("expected DVC to read the same values")
        return True
