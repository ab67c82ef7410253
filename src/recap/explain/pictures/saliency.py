"""Pictures of saliency maps, of other methods beside them, and of maps of randomised weights.

Shapes: N images, S side of the backbone's square input in pixels, C classes.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recap.backbones.backbone import Backbone, OneHead
from recap.explain.attributions import attribution_methods
from recap.explain.pictures.drawing import Pixels, enlarge, heat_over, scale_heat, side_by_side, stack
from recap.explain.pictures.gallery import Gallery
from recap.explain.randomization import randomization_check
from recap.explain.saliency import compute_saliency_maps

PANEL_SIDE = 192
COMPARED_IMAGES = 4
CHECKED_IMAGES = 4
FRACTIONS = (0.0, 0.1, 0.5, 1.0)


@torch.no_grad()
def predict(backbone: Backbone, head: str, x: Tensor) -> Tensor:
    """Return the predicted class (N,) int64 of a head for preprocessed images (N, 3, S, S)."""
    return OneHead(backbone, head)(x).argmax(dim=1)


def title(backbone: Backbone, head: str, index: int) -> str:
    """Return a class as a label: "first digit: 7", or its name alone where there is one head."""
    label = backbone.heads[head][index]
    return label.split(",")[0] if len(backbone.heads) == 1 else f"{head.replace('_', ' ')}: {label}"


def overlay(pixels: Pixels, values: NDArray[np.floating]) -> Pixels:
    """Draw a map (S, S) over its image (S, S, 3), enlarged."""
    return enlarge(heat_over(pixels, scale_heat(values)), PANEL_SIDE)


def draw_saliency(
    gallery: Gallery, backbone: Backbone, images: Tensor, names: Sequence[str], heads: Sequence[str]
) -> None:
    """Add a picture an image (S, S, 3) uint8: it, then a saliency map of each head's predicted class."""
    x = backbone.preprocess(images)
    panels = [[enlarge(pixels, PANEL_SIDE)] for pixels in images.numpy()]
    titles: list[list[str]] = [[] for _ in names]
    for head in heads:
        targets = predict(backbone, head, x)
        maps = compute_saliency_maps(x, targets, OneHead(backbone, head)).cpu().numpy()
        for row, target in enumerate(targets.tolist()):
            panels[row].append(overlay(images[row].numpy(), maps[row]))
            titles[row].append(title(backbone, head, target))
    for row, name in enumerate(names):
        gallery.add(
            "saliency",
            f"saliency_{row:02d}",
            side_by_side(panels[row], ["image", *titles[row]]),
            label="The pixels that the predicted class reacts to: " + ", ".join(titles[row]),
            image=name,
            classes=titles[row],
        )


def draw_methods(
    gallery: Gallery, backbone: Backbone, images: Tensor, names: Sequence[str], head: str
) -> None:
    """Add a picture an image, for the first few: the same class by four methods; arguments as before."""
    images = images[:COMPARED_IMAGES]
    x = backbone.preprocess(images)
    targets = predict(backbone, head, x)
    methods = attribution_methods(backbone.last_maps)
    maps = {
        name: method(x, targets, OneHead(backbone, head)).cpu().numpy() for name, method in methods.items()
    }
    for row, name in enumerate(names[:COMPARED_IMAGES]):
        pixels = images[row].numpy()
        what = title(backbone, head, int(targets[row]))
        panels = [enlarge(pixels, PANEL_SIDE), *(overlay(pixels, series[row]) for series in maps.values())]
        gallery.add(
            "methods",
            f"methods_{row:02d}",
            side_by_side(panels, [what, *maps]),
            label=f"Four methods asked about {what}",
            image=name,
            methods=list(maps),
        )


def draw_randomization(
    gallery: Gallery, backbone: Backbone, images: Tensor, names: Sequence[str], head: str, seed: int
) -> dict[str, float]:
    """Add a picture of the first image's maps as layers are randomised; ``seed`` shuffles the weights.

    Returns:
        For each method the mean rank correlation of its maps without and with all layers randomised.
    """
    images = images[:CHECKED_IMAGES]
    x = backbone.preprocess(images)
    targets = predict(backbone, head, x)
    check = randomization_check(backbone, head, x, targets, FRACTIONS, seed)
    pixels = images[0].numpy()
    rows = []
    for method, outcome in check.items():
        panels = [overlay(pixels, maps[0]) for maps in outcome.maps]
        labels = [f"{method}, trained"] + [
            f"{fraction:.0%} shuffled: {value:.2f}"
            for fraction, value in zip(FRACTIONS[1:], outcome.correlations[1:], strict=True)
        ]
        rows.append(side_by_side(panels, labels))
    correlations = {method: outcome.correlations for method, outcome in check.items()}
    gallery.add(
        "randomization",
        "randomization",
        stack(rows),
        label="Maps while layers are shuffled from the logits down; the number is the rank correlation with "
        f"the trained network's maps, mean of {len(images)} images. A map that stays says nothing",
        image=names[0],
        correlations=correlations,
        layers_randomized=list(FRACTIONS),
    )
    return {method.replace(" ", "_"): values[-1] for method, values in correlations.items()}
