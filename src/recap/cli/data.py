"""The commands `recap data ...`: files from elsewhere, and a look into the data."""

import argparse
from pathlib import Path
from typing import Any

from recap.core import paths

WIDEST_BAR = 40


def add_commands(subparsers: Any) -> None:
    """Add `data` with its commands to the command line; each sets ``run``, a function of the options."""
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
    describe.add_argument("--samples", type=int, default=3, metavar="N", help="images of each split")
    describe.add_argument("--seed", type=int, default=231, help="which images")
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
    print("\nvalidation in training: " + ", ".join(f"{n:,} {what}" for what, n in found["overlap"].items()))
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
