"""What the networks see, drawn for validation images: the work of the stage `visualize`.

Shapes: N images, S side of the backbone's square input in pixels, C classes.
"""

from pathlib import Path

import numpy as np
import torch

from recap.data.raw import load_raw
from recap.vision.backbones import load_backbone
from recap.vision.gallery import Gallery
from recap.vision.images import load_images
from recap.vision.saliency_pictures import draw_saliency
from recap.vision.visualize_config import VisualizeConfig


def visualize(
    raw_directory: Path,
    backbone_directory: Path,
    directory: Path,
    config: VisualizeConfig,
    device: torch.device,
) -> dict[str, float]:
    """Draw saliency maps of the backbone on validation images.

    Args:
        raw_directory: what `fetch` wrote.
        backbone_directory: what `backbone` wrote; not read when the source brings no images.
        directory: receives PNG files and index.json.
        config: the group `visualize`.
        device: where the backbone computes.

    Returns:
        ``pictures``, how many were drawn.

    Raises:
        InputError: an image does not decode, or there is no backbone.
    """
    gallery = Gallery(directory)
    raw = load_raw(raw_directory)
    if not raw.source.images:
        gallery.say("none", "The source brings features without images, so there is nothing to look into.")
        return {"pictures": gallery.finish()}
    backbone = load_backbone(backbone_directory).to(device)
    paths = raw.image_paths("val")
    rows = np.unique(np.linspace(0, len(paths) - 1, config.images).round().astype(int))
    paths = [paths[row] for row in rows]
    draw_saliency(gallery, backbone, load_images(paths, backbone), [path.name for path in paths])
    return {"pictures": gallery.finish()}
