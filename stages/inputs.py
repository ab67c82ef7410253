"""Stage `inputs`: digests of the user's own files, on which `fetch` and `backbone` depend."""

import os
from dataclasses import asdict

from recap.core import paths
from recap.core.artifacts import write_json
from recap.core.config import load_all
from recap.tracking.place import repository_root
from recap.tracking.stage import execute
from recap.workspace.definition import look_up
from recap.workspace.user_files import SETTINGS, Digests, user_files

USED = {"coco": "data.source", "folder": "data.source", "squeezenet1_1": "features.backbone"}


def main() -> None:
    groups = {name: asdict(group) for name, group in load_all(paths.PARAMS).items()}
    digests = Digests(repository_root(os.environ) / paths.DIGESTS, paths.REGISTRY)
    for name, settings in SETTINGS.items():
        is_used = look_up(groups, USED[name]) == name
        places = {setting: look_up(groups, setting) for setting in settings if is_used}
        write_json(paths.INPUTS / f"{name}.json", user_files(places, digests))
    digests.keep()


if __name__ == "__main__":
    execute(main)
