"""What `recap serve` serves, and what it says of it: data, scores, digests."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recap.captioner import Captioner
from recap.core import paths
from recap.decoders.ensemble import Ensemble
from recap.errors import InputError
from recap.loading import decoder_names, load, models_folder, read_bundle
from recap.serving.bundle import describe, run_around
from recap.serving.requests import LARGEST_BODY

if TYPE_CHECKING:
    import torch


def load_captioners(
    models: Path,
    decoders: Sequence[str] | None,
    device: "torch.device | str",
    change: Callable[[Captioner], Captioner],
) -> dict[str, Captioner]:
    """Load each decoder as ``recap.load`` does, and their ensemble where there are several, as the last.

    ``change`` gives the captioner the options of decoding that are asked for.

    Raises:
        InputError: as ``recap.load``.
    """
    whole = change(load(models, None, device, decoders))
    names = decoders or decoder_names(models)
    if not isinstance(whole.decoder, Ensemble):
        return {names[0]: whole}
    own = zip(names, whole.decoder.decoders, strict=True)
    return {name: replace(whole, decoder=decoder) for name, decoder in own} | {" + ".join(names): whole}


def describe_served(models: Path, captioners: dict[str, Captioner]) -> dict[str, Any]:
    """Say in lines, and for programs, what is served: decoders, data, scores and digests."""
    names = [name for name in captioners if " + " not in name]
    if (models / paths.BUNDLE).is_file():
        about = read_bundle(models)
    else:
        about = describe(run_around(models_folder(models)), names)
    try:
        lines = _describe(about, names)
    except (LookupError, TypeError, ValueError, AttributeError):
        raise InputError(
            f"{models}: expected what a run says of its data and scores, received another"
        ) from None
    last = list(captioners.values())[-1]
    return {
        "lines": lines,
        "captioners": list(captioners),
        "data": about["data"],
        "scores": about["scores"],
        "images": last.backbone is not None,
        "largest_body": LARGEST_BODY,
    }


def _describe(about: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    data = about["data"]
    lines = [f"data: {data['source'] or 'unknown'}"]
    lines += [f"  {path}: MD5 {md5}" for path, md5 in sorted(data["digests"].items())]
    for name in names:
        scores = about["scores"].get(name, {})
        listed = ", ".join(f"CIDEr-D {own['cider_d']:.3f} ({part})" for part, own in sorted(scores.items()))
        lines.append(f"{name}: {listed or 'no scores'}")
    return lines
