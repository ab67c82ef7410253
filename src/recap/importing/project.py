"""Checks pictures and captions, and writes them as inputs of the source `folder`."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from recap.core.artifacts import write_csv, write_json
from recap.core.image_files import SIZE_VARIABLE, read_image
from recap.core.raw_data import SPLITS
from recap.errors import InputError
from recap.importing.forms import read_captions
from recap.importing.pictures import Found, Picture, lacks_spaces
from recap.progress import track
from recap.sources.folder import find_image
from recap.text.coco_files import same_name
from recap.text.vocabulary import split_words
from recap.workspace.new_folder import new_folder

PARTS = {1: SPLITS[:1], 2: ("train", "test"), 3: SPLITS}
"""What several files of captions are, one after the other, where they do not say it themselves."""
LOOKED_FOR = 20  # file names by which the folder of images is found
LEFT_OUT = "left_out.csv"
NAMED = 3
"""How many images that are left out a message names; ``LEFT_OUT`` has all, where there are more."""


@dataclass(frozen=True)
class Project:
    """What was written."""

    images: Path  # the folder of the image files
    files: dict[str, Path]  # the captions of each split that has some
    pictures: list[Picture]  # all that are kept
    messages: list[str]  # lines for people

    @property
    def by_characters(self) -> bool:
        """Whether the captions have no spaces between words."""
        return lacks_spaces(caption for picture in self.pictures for caption in picture.captions)


def import_captions(
    sources: Sequence[Path], images: Path | None, directory: Path, credits: bool = False
) -> Project:
    """Read captions in any form, check them and their pictures, and write them in COCO's.

    What cannot be used is left out and reported: images that are not there or do not decode, captions
    without a word, images without captions. Images with the same content become one, in the last of their
    splits.

    Args:
        sources: a file or folder of captions, or one for training and one for test, or three with
            validation in the middle.
        images: the folder that the names of images start from; None looks for it near the captions.
        directory: new or empty; receives {train,validation,test}.json, pictures that lie in files, and where
            more images are left out than the messages name, left_out.csv (image, reason).
        credits: keep the addresses and licences of images, which other forms than COCO's do not have.

    Raises:
        InputError: nothing can be read or used, or the folder is not empty.
    """
    parts = PARTS.get(len(sources))
    if parts is None:
        raise InputError(f"recap init: expected one to three files of captions, received {len(sources)}")
    with new_folder(directory) as part:
        found = [read_captions(source, part / "images") for source in sources]
        for source, own in zip(sources, found, strict=True):
            if not own.pictures:
                raise InputError(f"{source}: expected images with captions, received {own.form} without any")
        pictures = _merge(
            [
                picture if picture.split or len(found) == 1 else replace(picture, split=split)
                for own, split in zip(found, parts, strict=True)
                for picture in own.pictures
            ]
        )
        messages = [
            f"{source}: {own.form}, {len(own.pictures):,} images"
            for source, own in zip(sources, found, strict=True)
        ]
        if all(picture.name.startswith("/") for picture in pictures):
            images = images or Path(os.path.commonpath([Path(picture.name).parent for picture in pictures]))
            pictures = [
                replace(picture, name=os.path.relpath(picture.name, images.absolute()))
                for picture in pictures
            ]
        folder = images or _find_folder(pictures, found)
        pictures, left_out, problems = _check(pictures, folder)
        pictures = _numbered(pictures)
        inside = folder == part / "images"
        has_credits = any(any(picture.credit.values()) for picture in pictures)
        if not credits:
            pictures = [replace(picture, credit={}) for picture in pictures]
        _check_count(pictures, folder)
        files = _write(pictures, part)
        if any(len(names) > NAMED for names in left_out.values()):
            rows = [(name, problem) for problem, names in left_out.items() for name in names]
            write_csv(part / LEFT_OUT, ("image", "reason"), rows)
            problems.append(f"all images left out, by name: {directory / LEFT_OUT}")
    captions = sum(len(picture.captions) for picture in pictures)
    counts = Counter(picture.split or "train" for picture in pictures)
    messages.append(f"kept: {len(pictures):,} images with {captions:,} captions")
    unnamed = sum(picture.split is None for picture in pictures)
    if unnamed != len(pictures):
        messages.append(
            "splits: " + ", ".join(f"{split} {counts[split]:,}" for split in SPLITS if counts[split])
        )
    if 0 < unnamed < len(pictures):
        messages.append(f"named in no split, taken to learn from: {unnamed:,}")
    if has_credits and not credits:
        messages.append(
            "left out, addresses and licences of images: --credits keeps them, and the page shows them"
        )
    return Project(
        directory / "images" if inside else folder,
        {split: directory / name for split, name in files.items()},
        pictures,
        messages + problems,
    )


def _check_count(pictures: Sequence[Picture], folder: Path) -> None:
    """Refuse fewer images than make a split for each purpose, of which training's are dealt to the absent."""
    named = {picture.split or "train" for picture in pictures}
    training = sum(picture.split in (None, "train") for picture in pictures)
    needed = len(SPLITS) - len(named - {"train"})
    if training < needed:
        raise InputError(
            f"{folder}: expected at least {needed} images with captions to learn and to choose from, "
            f"received {training}"
        )


def _merge(pictures: list[Picture]) -> list[Picture]:
    """Merge pictures of one name, in the order of the names."""
    merged: dict[str, Picture] = {}
    for picture in pictures:
        name = same_name(picture.name)
        known = merged.get(name)
        if known and known.split != picture.split:
            raise InputError(
                f"{name}: expected an image in one split, received it in {known.split} and {picture.split}"
            )
        own = known.captions + picture.captions if known else picture.captions
        merged[name] = replace(picture, name=name, captions=own)
    return [merged[name] for name in sorted(merged)]


def _find_folder(pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """Return the folder near the captions in which most of the first images are."""
    names = [picture.name for picture in pictures[:LOOKED_FOR]]
    near = [own.folder for own in found]
    near += [path for own in found for path in sorted(own.folder.glob("*/"))]
    near += [path for own in found for path in sorted(own.folder.parent.glob("*/"))]
    counts = {folder: sum(_is_in(folder, name) for name in names) for folder in dict.fromkeys(near)}
    best = max(counts, key=lambda folder: counts[folder])
    if not counts[best]:
        raise InputError(
            f"--images: expected the folder of {', '.join(names[:2])} and so on, found none near the captions"
        )
    return best


def _is_in(folder: Path, name: str) -> bool:
    try:
        return bool(find_image(name, folder, folder))
    except InputError:
        return False


def _check(
    pictures: Sequence[Picture], folder: Path
) -> tuple[list[Picture], dict[str, list[str]], list[str]]:
    """Leave out what cannot be used; return what is kept, the names of others by reason, and messages."""
    left_out: dict[str, list[str]] = {}
    empty = 0

    def look(picture: Picture) -> tuple[str, bytes]:
        try:
            path = find_image(picture.name, folder, folder)
        except InputError:
            return "left out, missing", b""
        try:
            read_image(path)
        except InputError as error:
            is_large = SIZE_VARIABLE in str(error)
            return f"left out, above {SIZE_VARIABLE}" if is_large else "left out, broken", b""
        return "", hashlib.sha256(path.read_bytes()).digest()

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        looked = list(track(pool.map(look, pictures), "checking images", len(pictures)))
    kept: dict[bytes, Picture] = {}
    for picture, (problem, digest) in zip(pictures, looked, strict=True):
        captions = tuple(filter(None, map(_tidy, picture.captions)))
        empty += len(picture.captions) - len(captions)
        if not problem and not captions:
            problem = "left out, without captions"
        if problem:
            left_out.setdefault(problem, []).append(picture.name)
            continue
        own = replace(picture, captions=captions)
        if first := kept.get(digest):
            across = "taken as one with its double" + (" of another split" * (first.split != own.split))
            left_out.setdefault(across, []).append(own.name)
            split = max((first.split, own.split), key=lambda split: SPLITS.index(split) if split else 0)
            own = replace(first, captions=first.captions + captions, split=split)
        kept[digest] = own
    messages = [
        f"{problem}: {len(names):,} ({', '.join(names[:NAMED])}{', ...' if len(names) > NAMED else ''})"
        for problem, names in left_out.items()
    ]
    if empty:
        messages.append(f"left out, captions without a word: {empty:,}")
    if not kept:
        raise InputError(f"{folder}: expected images with captions, received none; {'; '.join(messages)}")
    return list(kept.values()), left_out, messages


def _tidy(caption: str) -> str:
    """Return a caption on one line, of its lines that have words."""
    return " ".join(" ".join(line.split()) for line in caption.splitlines() if split_words(line))


def _numbered(pictures: Sequence[Picture]) -> list[Picture]:
    """Give every image an id: its own, else the number that is its name, else (or shared) a hash of the name.

    So an image keeps its id, and its split, when others come.
    """
    numbers = [_number(picture.name) if picture.number is None else picture.number for picture in pictures]
    counts = Counter(numbers)
    return [
        replace(
            picture,
            number=number
            if number is not None and counts[number] == 1
            else int.from_bytes(hashlib.sha256(picture.name.encode()).digest()[:6]),
        )
        for picture, number in zip(pictures, numbers, strict=True)
    ]


def _number(name: str) -> int | None:
    """Return the number in a name such as 000000000139.jpg or COCO_val2014_000000000139.jpg."""
    match = re.fullmatch(r"(?:COCO_[^_]+_)?(\d{1,15})", PurePosixPath(name).stem)
    return int(match[1]) if match else None


def _write(pictures: Sequence[Picture], directory: Path) -> dict[str, str]:
    """Write the captions of each split; returns the names of the files."""
    files = {}
    terms = sorted({_terms(picture) for picture in pictures if any(_terms(picture))})
    licenses = [{"id": number, "name": name, "url": url} for number, (name, url) in enumerate(terms, start=1)]
    for split in SPLITS:
        own = [picture for picture in pictures if (picture.split or "train") == split]
        if own:
            images: list[dict[str, object]] = [
                {"id": picture.number, "file_name": picture.name} for picture in own
            ]
            for image, picture in zip(images, own, strict=True):
                if url := picture.credit.get("url"):
                    image["coco_url"] = url
                if any(_terms(picture)):
                    image["license"] = terms.index(_terms(picture)) + 1
            captions = [(picture.number, caption) for picture in own for caption in picture.captions]
            annotations = [
                {"id": number, "image_id": image, "caption": caption}
                for number, (image, caption) in enumerate(captions, start=1)
            ]
            files[split] = f"{split}.json"
            content = {"images": images, "annotations": annotations}
            write_json(directory / files[split], content | ({"licenses": licenses} if licenses else {}))
    if "train" not in files:
        raise InputError(f"recap init: expected images to learn from, received only {' and '.join(files)}")
    return files


def _terms(picture: Picture) -> tuple[str, str]:
    """Return the name and the address of a licence, empty where nobody tells."""
    return picture.credit.get("license") or "", picture.credit.get("license_url") or ""
