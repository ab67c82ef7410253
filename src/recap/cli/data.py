"""The commands `recap init` and `recap data ...`: your own pictures, files from elsewhere, a look inside."""

import argparse
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from recap.cli.numbers import LARGEST_SEED, whole
from recap.core import paths
from recap.errors import InputError


def add_commands(subparsers: Any) -> None:
    """Add `data` with its commands, and `init`; each sets ``run``, a function of the options."""
    init = subparsers.add_parser(
        "init",
        help="take your own pictures and captions, in whatever form they are",
        description="Check pictures and captions, write them into a new folder, and set params.yaml to them; "
        "`make repro` then learns to caption.",
    )
    init.add_argument("directory", type=Path, metavar="DIR", help="a new folder for the captions")
    init.add_argument(
        "--from",
        dest="sources",
        type=Path,
        nargs="+",
        required=True,
        metavar="CAPTIONS",
        help="a file or folder of captions, or two (training, test) or three (validation between): COCO's or "
        "Karpathy's JSON, JSON lines, CSV, TSV, Flickr8k's token.txt, pictures with a .txt beside each, "
        "Parquet",
    )
    init.add_argument(
        "--images", type=Path, help="the folder of the pictures (default: found near the captions)"
    )
    init.add_argument(
        "--weights",
        type=_path_or_url,
        metavar="FILE_OR_URL",
        help="the backbone's weights (default: torchvision's)",
    )
    init.add_argument(
        "--backbone",
        help="what sees the pictures, as features.backbone (default: that of params.yaml if it can)",
    )
    init.add_argument(
        "--credits", action="store_true", help="keep the addresses and licences that a COCO JSON names"
    )
    init.set_defaults(run=_init, at_root=True)

    data = subparsers.add_parser("data", help="files from elsewhere, a look into the data")
    commands = data.add_subparsers(metavar="COMMAND", required=True)

    download = commands.add_parser("download", help="fetch a file, verify it and keep it")
    download.add_argument("url")
    download.add_argument("--offline", action="store_true", help="only verify the copy that is there")
    download.set_defaults(run=_download, at_root=True)

    add = commands.add_parser("add", help="take your own copy of a file, verified like a download")
    add.add_argument("url")
    add.add_argument("file", type=Path)
    add.set_defaults(run=_add, at_root=True)

    pin = commands.add_parser("pin", help="fetch a file and enforce its size and SHA-256 from now on")
    pin.add_argument("url")
    pin.add_argument("--offline", action="store_true", help="pin the copy that is there")
    pin.set_defaults(run=_pin, at_root=True)

    describe = commands.add_parser("describe", help="sizes, lengths, words, duplicates, overlaps, samples")
    describe.add_argument(
        "--samples", type=whole(0, 1_000_000), default=3, metavar="N", help="images of each split"
    )
    describe.add_argument("--seed", type=whole(0, LARGEST_SEED), default=231, help="which images")
    describe.set_defaults(run=_describe, at_root=True)


def _path_or_url(text: str) -> Path | str:
    from recap.sources.registry import is_url

    return Path(text) if text and not is_url(text) else text


def _download(options: argparse.Namespace) -> None:
    from recap.sources.download import download
    from recap.sources.registry import find_remote

    print(download(find_remote(options.url, paths.REGISTRY), paths.DOWNLOADS, options.offline))


def _add(options: argparse.Namespace) -> None:
    from recap.sources.download import bring
    from recap.sources.registry import find_remote

    print(bring(find_remote(options.url, paths.REGISTRY), options.file, paths.DOWNLOADS))


def _pin(options: argparse.Namespace) -> None:
    from recap.sources.download import download
    from recap.sources.registry import find_remote, pin

    remote = find_remote(options.url, paths.REGISTRY)
    pin(paths.REGISTRY, remote, download(remote, paths.DOWNLOADS, options.offline))
    remote = find_remote(remote.url, paths.REGISTRY)
    print(f"{paths.REGISTRY}: {remote.url}: {remote.size} bytes, SHA-256 {remote.sha256}")


def _describe(options: argparse.Namespace) -> None:
    from ruamel.yaml import YAML

    from recap.report.describe import describe

    found = describe(paths.RAW, paths.CAPTIONS, paths.REDUCED, options.samples, options.seed)
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.allow_unicode, yaml.width = False, True, 1 << 16
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(found, sys.stdout)


def _init(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from recap.core.config import load_all
    from recap.core.plain_yaml import parse_yaml
    from recap.importing.project import import_captions
    from recap.importing.settings import check_backbone, choose_settings, write_settings
    from recap.workspace.git import ask_git

    weights = options.weights and str(options.weights)
    groups = {name: asdict(group) for name, group in load_all(paths.PARAMS).items()}
    check_backbone(groups, weights, options.backbone)
    project = import_captions(options.sources, options.images, options.directory, options.credits)
    committed = None
    with suppress(InputError, ValueError):  # no git, or nothing committed
        committed = parse_yaml(ask_git(Path(), "show", f"HEAD:./{paths.PARAMS}"))
    chosen = choose_settings(project, groups, weights, options.backbone, committed)
    write_settings(paths.PARAMS, chosen)
    print("\n".join(project.messages))
    if project.by_characters:
        print(
            "captions have no spaces between words: they are learnt character by character (tokenize.tokens)"
        )
    if missing := [split for split in ("validation", "test") if split not in project.files]:
        shares = " and ".join(f"data.{split}_share" for split in missing)
        print(f"{' and '.join(missing)} images are shares of the training images: {shares}")
    print(f"{paths.PARAMS}:")
    for name, value in chosen.items():
        print(f"  {name}: {'null' if value is None else value}")
    print("next: make repro")
