"""The commands `recap init` and `recap data ...`: your own pictures, files from elsewhere, a look inside."""

import argparse
from contextlib import suppress
from pathlib import Path
from typing import Any

from recap.cli.numbers import LARGEST_SEED, whole
from recap.core import paths
from recap.errors import InputError

WIDEST_BAR = 40


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
    init.add_argument("--weights", help="path or URL of the backbone's weights (default: torchvision's)")
    init.add_argument(
        "--backbone",
        help="what sees the pictures, as features.backbone (default: that of params.yaml if it can)",
    )
    init.add_argument(
        "--credits", action="store_true", help="keep the addresses and licences that a COCO JSON names"
    )
    init.set_defaults(run=_init)

    data = subparsers.add_parser("data", help="files from elsewhere, a look into the data")
    commands = data.add_subparsers(metavar="COMMAND", required=True)

    download = commands.add_parser("download", help="fetch a file, verify it and keep it")
    download.add_argument("url")
    download.add_argument("--offline", action="store_true", help="only verify the copy that is there")
    download.set_defaults(run=_download)

    add = commands.add_parser("add", help="take your own copy of a file, verified like a download")
    add.add_argument("url")
    add.add_argument("file", type=Path)
    add.set_defaults(run=_add)

    pin = commands.add_parser("pin", help="fetch a file and enforce its size and SHA-256 from now on")
    pin.add_argument("url")
    pin.add_argument("--offline", action="store_true", help="pin the copy that is there")
    pin.set_defaults(run=_pin)

    describe = commands.add_parser("describe", help="sizes, lengths, words, duplicates, overlaps, samples")
    describe.add_argument(
        "--samples", type=whole(0, 1_000_000), default=3, metavar="N", help="images of each split"
    )
    describe.add_argument("--seed", type=whole(0, LARGEST_SEED), default=231, help="which images")
    describe.set_defaults(run=_describe)


def _url(options: argparse.Namespace) -> str:
    from recap.sources.registry import check_url

    return check_url(options.url, "recap data")


def _download(options: argparse.Namespace) -> None:
    from recap.sources.download import download
    from recap.sources.registry import find_remote

    print(download(find_remote(_url(options), paths.REGISTRY), paths.DOWNLOADS, options.offline))


def _add(options: argparse.Namespace) -> None:
    from recap.sources.download import bring
    from recap.sources.registry import find_remote

    print(bring(find_remote(_url(options), paths.REGISTRY), options.file, paths.DOWNLOADS))


def _pin(options: argparse.Namespace) -> None:
    from recap.sources.download import download
    from recap.sources.registry import find_remote, pin

    remote = find_remote(_url(options), paths.REGISTRY)
    pin(paths.REGISTRY, remote, download(remote, paths.DOWNLOADS, options.offline))
    remote = find_remote(remote.url, paths.REGISTRY)
    print(f"{paths.REGISTRY}: {remote.url}: {remote.size} bytes, SHA-256 {remote.sha256}")


def _describe(options: argparse.Namespace) -> None:
    from recap.report.describe import describe

    found = describe(paths.RAW, paths.CAPTIONS, paths.REDUCED, options.samples, options.seed)
    print(f"source {found['source']['source']}, references {found['source']['references']}")
    for split, counts in found["splits"].items():
        shape = (
            f", features {counts['features'][0]:,} x {counts['features'][1]:,}"
            if "features" in counts
            else ""
        )
        print(f"\n{split}: {counts['images']:,} images, {counts['captions']:,} captions{shape}")
        repeated = counts["duplicates"]
        print(f"  equal to an earlier one: {repeated['images']:,} images, {repeated['captions']:,} captions")
        _print_histogram(counts["lengths"])
    print()
    for split, shared in found["overlap"].items():
        print(f"{split} in training: " + ", ".join(f"{count:,} {what}" for what, count in shared.items()))
    vocabulary = found["vocabulary"]
    print(
        f"\ntraining words: {vocabulary['words']:,}, {vocabulary['once']:,} of them once; the most frequent"
    )
    for words, share in vocabulary["curve"].items():
        print(f"  {words:>7,} cover {100 * share:6.2f} %")
    if "encoded" in found:
        for split in found["splits"]:
            row = found["encoded"][split]
            print(
                f"encoded {split}: {row['captions']:,} captions, {100 * row['unknown_share']:.2f} % <UNK> "
                f"of {found['encoded']['words']:,} words, {100 * row['of_full_length']:.2f} % fill all steps"
            )
    if "spectrum" in found:
        spectrum = found["spectrum"]
        needed = ", ".join(f"{100 * share:g} % by {k}" for share, k in spectrum["components_for"].items())
        explained = f"{100 * spectrum['explained']:.2f} % of the variance"
        print(
            f"\nPCA: {spectrum['components']} components explain {explained}{'; ' if needed else ''}{needed}"
        )
    for split, counts in found["splits"].items():
        for sample in counts["samples"]:
            print(f"\n{split} {sample['row']}: {sample['image']}")
            for caption in sample["captions"]:
                print(f"  {' '.join(caption.split())}")


def _print_histogram(lengths: dict[int, int]) -> None:
    """Captions by number of words, as bars."""
    most = max(lengths.values())
    total = sum(lengths.values())
    for length, count in lengths.items():
        if 1000 * count >= total:  # one in a thousand and more
            print(f"  {length:3} words {100 * count / total:5.1f} % {'#' * round(WIDEST_BAR * count / most)}")


def _init(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from recap.core.config import load_all
    from recap.core.plain_yaml import parse_yaml
    from recap.importing.project import import_captions
    from recap.importing.settings import check_backbone, choose_settings, write_settings
    from recap.workspace.git import ask_git

    groups = {name: asdict(group) for name, group in load_all(paths.PARAMS).items()}
    check_backbone(groups, options.weights, options.backbone)
    project = import_captions(options.sources, options.images, options.directory, options.credits)
    committed = None
    with suppress(InputError, ValueError):  # no git, or nothing committed
        committed = parse_yaml(ask_git(Path(), "show", f"HEAD:./{paths.PARAMS}"))
    chosen = choose_settings(project, groups, options.weights, options.backbone, committed)
    write_settings(paths.PARAMS, chosen)
    print("\n".join(project.told))
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
