"""The commands `recap see ...`: look into the trained networks with your own image."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recap.cli.numbers import LARGEST_SEED, whole
from recap.cli.prepare import check_output, prepare, warn
from recap.core import paths
from recap.errors import InputError, expecting

if TYPE_CHECKING:
    from torch import Tensor

    from recap.backbones.backbone import Backbone
    from recap.explain.pictures.drawing import Pixels

NEEDS = "run it where the pipeline has run: it reads models/, data/ and params.yaml"


def add_commands(subparsers: Any) -> None:
    """Add `see` with its commands to the command line; each sets ``run``, a function of the options."""
    summary = "what the networks see in an image of yours"
    see = subparsers.add_parser("see", help=summary, description=f"Show {summary}; {NEEDS}.")
    commands = see.add_subparsers(metavar="COMMAND", required=True)

    predict = commands.add_parser("predict", help="the likeliest classes of each head")
    _add_image(predict)
    predict.add_argument(
        "--top", type=whole(1, 1_000_000), default=5, metavar="N", help="how many classes; default: 5"
    )
    predict.set_defaults(run=_predict)

    saliency = commands.add_parser("saliency", help="the pixels that a class reacts to, by four methods")
    _add_class_options(saliency, "default: the predicted one")
    _add_image(saliency)
    saliency.set_defaults(run=_saliency)

    fool = commands.add_parser("fool", help="change an image a little until another class is seen")
    _add_class_options(fool, "which shall be seen", required=True)
    _add_image(fool)
    fool.set_defaults(run=_fool)

    grow = commands.add_parser("class", help="grow an image of a class from noise")
    _add_class_options(grow, "the one to grow", required=True)
    grow.add_argument(
        "--iterations", type=whole(1, 1_000_000), default=200, metavar="N", help="steps; default: 200"
    )
    grow.add_argument(
        "--seed",
        type=whole(0, LARGEST_SEED),
        default=231,
        help="of the first noise and the jitter; default: 231",
    )
    grow.set_defaults(run=_grow)

    words = commands.add_parser(
        "words", help="caption an image, as evaluate.decoding says, and show the pixels that said each word"
    )
    _add_image(words)
    words.add_argument("--decoder", default="lstm", help="a folder of models/; default: lstm")
    _add_output(words)
    words.set_defaults(run=_words)


def _add_class_options(command: argparse.ArgumentParser, which: str, *, required: bool = False) -> None:
    command.add_argument(
        "--head", help="a question that the backbone answers, as `predict` lists them; default: its first"
    )
    command.add_argument(
        "--class", dest="label", required=required, metavar="CLASS", help=f"name or index; {which}"
    )
    _add_output(command)


def _add_image(command: argparse.ArgumentParser) -> None:
    command.add_argument("image", type=Path, help="an image file: JPEG, PNG, WebP, GIF, BMP or TIFF")


def _add_output(command: argparse.ArgumentParser) -> None:
    command.add_argument("--output", type=Path, default=Path("seen.png"), help="PNG file; default: seen.png")


def _load_backbone() -> "Backbone":
    from recap.backbones.build import DESCRIPTION_FILE, load_backbone

    if not (paths.BACKBONE / DESCRIPTION_FILE).is_file():
        raise InputError(f"{paths.BACKBONE}: expected a trained backbone, received none; {NEEDS}")
    return load_backbone(paths.BACKBONE)


def _load(options: argparse.Namespace) -> tuple["Backbone", str]:
    """Return the backbone, and the head that the options name."""
    backbone = _load_backbone()
    if not backbone.heads:
        raise InputError(f"{paths.BACKBONE}: expected a backbone with classes, received an encoder without")
    head = options.head or next(iter(backbone.heads))
    if head not in backbone.heads:
        raise InputError(f"--head: expected one of {', '.join(backbone.heads)}, received {head!r}")
    return backbone, head


def _class_index(backbone: "Backbone", head: str, name: str) -> int:
    """Return a class by its name, or by its index where no class has that name."""
    labels = backbone.heads[head]
    matching = [index for index, label in enumerate(labels) if name in (label, label.split(",")[0])]
    if matching:
        return matching[0]
    if name not in map(str, range(len(labels))):
        raise InputError(
            f"--class: expected a class of the head {head}, such as {labels[0]!r}, or an index in "
            f"0..{len(labels) - 1}, received {name!r}"
        )
    return int(name)


def _image(backbone: "Backbone", path: Path) -> "Tensor":
    """Return an image as the backbone takes it, (1, S, S, 3) uint8; warn of one unlike those of training."""
    import torch

    from recap.backbones.images import load_images
    from recap.features.familiarity import FILE, load_familiarity
    from recap.features.projection import FILE as PROJECTION_FILE
    from recap.features.projection import Projection, load_projection

    images = load_images([path], backbone)
    known = load_familiarity(paths.REDUCED / FILE)
    projection = load_projection(paths.REDUCED / PROJECTION_FILE)
    read = given = backbone.row_dim
    if isinstance(projection, Projection):
        given, read = projection.reduced_dim, projection.row_dim
    if known is None or (read, given) != (backbone.row_dim, len(known.mean)):  # of another run
        return images
    with torch.no_grad():
        reduced = projection(backbone.rows(backbone.preprocess(images)))  # (1, K)
    warn(path, bool(known.is_familiar(reduced.numpy())[0]))
    return images


def _write(path: Path, pixels: "Pixels") -> None:
    """Write the picture that was asked for."""
    from recap.core.artifacts import write_png

    check_output("--output", path)
    with expecting(f"--output: {path}: expected a file that can be written", OSError, ValueError):
        write_png(path, pixels)


def _predict(options: argparse.Namespace) -> None:
    prepare()
    import torch

    from recap.backbones.backbone import OneHead

    backbone = _load_backbone()
    x = backbone.preprocess(_image(backbone, options.image))
    for head, labels in backbone.heads.items():
        with torch.no_grad():
            probabilities = OneHead(backbone, head)(x)[0].softmax(dim=0)  # (C,)
        values, indices = probabilities.topk(min(options.top, len(labels)))
        best = [f"{labels[i]} {p:.3f}" for p, i in zip(values.tolist(), indices.tolist(), strict=True)]
        print(f"{head}: " + " | ".join(best))


def _saliency(options: argparse.Namespace) -> None:
    prepare()
    import torch

    from recap.backbones.backbone import OneHead
    from recap.explain.attributions import attribution_methods
    from recap.explain.pictures.drawing import enlarge, side_by_side
    from recap.explain.pictures.saliency import PANEL_SIDE, overlay, predict, title

    backbone, head = _load(options)
    images = _image(backbone, options.image)
    x = backbone.preprocess(images)
    if options.label is None:
        target = predict(backbone, head, x)
    else:
        target = torch.tensor([_class_index(backbone, head, options.label)])
    methods = attribution_methods(backbone.last_maps)
    pixels = images[0].numpy()
    panels = [enlarge(pixels, PANEL_SIDE)] + [
        overlay(pixels, method(x, target, OneHead(backbone, head))[0].numpy()) for method in methods.values()
    ]
    what = title(backbone, head, int(target))
    _write(options.output, side_by_side(panels, [what, *methods]))
    print(f"{what}: {options.output}")


def _fool(options: argparse.Namespace) -> int:
    prepare()
    import torch

    from recap.backbones.backbone import OneHead
    from recap.backbones.normalisation import denormalise
    from recap.explain.fooling import LEARNING_RATE, MAX_ITERATIONS, fool
    from recap.explain.pictures.fooling import fooling_panels
    from recap.explain.pictures.saliency import predict, title

    backbone, head = _load(options)
    images = _image(backbone, options.image)
    x = backbone.preprocess(images)
    target = _class_index(backbone, head, options.label)
    before = title(backbone, head, int(predict(backbone, head, x)))
    after = title(backbone, head, target)
    model = OneHead(backbone, head)
    fooled = fool(x, torch.tensor([target]), model, LEARNING_RATE, MAX_ITERATIONS)
    changed = denormalise(fooled.images, backbone)[0].numpy()
    _write(options.output, fooling_panels(images[0].numpy(), changed, before, after))
    steps = f"{int(fooled.iterations[0])} steps: {options.output}"
    print(f"{before} becomes {after} in {steps}" if fooled.succeeded[0] else f"not fooled after {steps}")
    return 0 if fooled.succeeded[0] else 1


def _grow(options: argparse.Namespace) -> None:
    prepare()
    from recap.explain.pictures.classes import draw_growth, grow_classes
    from recap.explain.pictures.saliency import title

    backbone, head = _load(options)
    index = _class_index(backbone, head, options.label)
    grown = grow_classes(backbone, head, [index], options.iterations, options.seed)
    _write(options.output, draw_growth(backbone, grown))
    reached = ", ".join(f"{float(outcome.probabilities):.2f} as {name}" for name, outcome in grown.items())
    print(f"{title(backbone, head, index)}: probability {reached}: {options.output}")


def _words(options: argparse.Namespace) -> None:
    prepare()
    from recap.backbones.images import load_images
    from recap.explain.pictures.words import word_panels
    from recap.loading import load

    backbone = _load_backbone()
    captioner = load(paths.MODELS / options.decoder)
    images = load_images([options.image], backbone)
    reduced = captioner.reduce([options.image])  # (1, K)
    warn(options.image, captioner.is_familiar(reduced)[0])
    (caption,) = captioner.caption_reduced(reduced)
    x = backbone.preprocess(images)[0]
    _write(options.output, word_panels(captioner, x, images[0].numpy(), caption))
    print(f"{options.decoder}: {caption.text}: {options.output}")
