"""Stage `inputs`: digests of the user's own files, on which `fetch` and `backbone` depend."""

import os
from dataclasses import asdict

from recap.core import paths
from recap.core.artifacts import write_json
from recap.core.config import load_all
from recap.core.directories import make_empty
from recap.tracking.stage import execute
from recap.workspace.definition import look_up
from recap.workspace.root import repository_root
from recap.workspace.user_files import ENCODERS, OF_ENCODER, SETTINGS, Digests, user_files


def main() -> None:
    groups = {name: asdict(group) for name, group in load_all(paths.PARAMS).items()}
    digests = Digests(repository_root(os.environ) / paths.DIGESTS, paths.REGISTRY)
    backbone = groups["features"]["backbone"]
    make_empty(paths.INPUTS / ENCODERS)
    is_encoder = backbone.startswith(f"{ENCODERS}/")
    for name, settings in (SETTINGS | ({backbone: OF_ENCODER} if is_encoder else {})).items():
        is_used = name in (groups["data"]["source"], backbone)
        places = {setting: look_up(groups, setting) for setting in settings if is_used}
        write_json(paths.INPUTS / f"{name}.json", user_files(places, digests))
    digests.keep()


if __name__ == "__main__":
    execute(main)
