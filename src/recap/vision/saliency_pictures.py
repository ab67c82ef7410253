"""Pictures of saliency: an image, and beside it what the class of each head reacts to.

Shapes: N images, S side of the backbone's square input in pixels, C classes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from recap.vision.backbone import Backbone, head_slices
from recap.vision.drawing import enlarge, heat_over, scale_heat, side_by_side
from recap.vision.gallery import Gallery
from recap.vision.saliency import compute_saliency_maps

PANEL_SIDE = 224


@torch.no_grad()
def predict(backbone: Backbone, x: Tensor) -> dict[str, Tensor]:
    """The predicted class of each head as an index among all logits: head name -> (N,) int64."""
    logits = backbone(x)  # (N, C)
    return {
        head: logits[:, part].argmax(dim=1) + part.start for head, part in head_slices(backbone.heads).items()
    }


def draw_saliency(gallery: Gallery, backbone: Backbone, images: Tensor, names: Sequence[str]) -> None:
    """Add a picture an image: the image, then a saliency map for the predicted class of each head.

    Args:
        gallery: receives the pictures.
        backbone: in evaluation mode.
        images: (N, S, S, 3) uint8.
        names: N file names.
    """
    x = backbone.preprocess(images)
    labels = [label for classes in backbone.heads.values() for label in classes]
    predictions = predict(backbone, x)
    maps = {
        head: compute_saliency_maps(x, targets, backbone).cpu().numpy()
        for head, targets in predictions.items()
    }
    for row, name in enumerate(names):
        pixels = images[row].numpy()
        classes = {head: labels[int(targets[row])] for head, targets in predictions.items()}
        heats = [heat_over(pixels, scale_heat(maps[head][row])) for head in classes]
        titles = [label if len(classes) == 1 else f"{head}: {label}" for head, label in classes.items()]
        gallery.add(
            "saliency",
            f"saliency_{row:02d}",
            side_by_side([enlarge(panel, PANEL_SIDE) for panel in (pixels, *heats)], ["image", *titles]),
            label="Pixels that the predicted class reacts to: " + ", ".join(titles),
            image=name,
            classes=classes,
        )
