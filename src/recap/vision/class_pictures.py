"""Pictures of classes: what the backbone finds most like each, grown as pixels and as a spectrum.

Shapes: N classes, S side of the backbone's square input in pixels.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from recap.vision.backbone import Backbone, OneHead
from recap.vision.class_visualization import ClassVisualization, create_class_visualization
from recap.vision.drawing import enlarge, side_by_side, stack
from recap.vision.fourier_visualization import create_fourier_visualization
from recap.vision.gallery import Gallery
from recap.vision.normalisation import denormalise

CREATORS: dict[str, Callable[..., ClassVisualization]] = {
    "pixels": create_class_visualization,
    "spectrum": create_fourier_visualization,
}
CLASS_SIDE = 128
CLASSES_A_PICTURE = 10
CONVINCED = 0.9
SNAPSHOTS = 8


def draw_classes(
    gallery: Gallery, backbone: Backbone, head: str, classes: Sequence[int], iterations: int, seed: int
) -> dict[str, Any]:
    """Add pictures of classes of a head, and one of how the first class grows.

    Args:
        gallery: receives the pictures.
        backbone: in evaluation mode.
        head: whose classes.
        classes: N class indices of the head.
        iterations: steps.
        seed: of the first noise and the jitter.

    Returns:
        For "pixels" and "spectrum": ``mean_probability`` of the classes and ``share_above_0.9``.
    """
    model = OneHead(backbone, head)
    targets = torch.tensor(list(classes), dtype=torch.int64)
    # The course's 16 pixels are 7 % of its 224; of a scene they would be a quarter.
    jitter = round(backbone.input_size * 16 / 224)
    names = [model.labels[index].split(",")[0] for index in classes]
    table: dict[str, Any] = {}
    reached: dict[str, list[float]] = {}
    rows, growth = [], []
    for name, create in CREATORS.items():
        generator = torch.Generator().manual_seed(seed)
        grown = create(
            targets,
            model,
            backbone,
            backbone.input_size,
            generator,
            iterations=iterations,
            max_jitter=jitter,
            show_every=max(1, iterations // SNAPSHOTS),
        )
        table[name] = {
            "mean_probability": float(grown.probabilities.mean()),
            "share_above_0.9": float((grown.probabilities > CONVINCED).float().mean()),
        }
        reached[name] = grown.probabilities.tolist()
        pictures = [enlarge(pixels, CLASS_SIDE) for pixels in denormalise(grown.images, backbone).numpy()]
        labels = [f"{label} ({value:.2f})" for label, value in zip(names, reached[name], strict=True)]
        for first in range(0, len(pictures), CLASSES_A_PICTURE):
            part = slice(first, first + CLASSES_A_PICTURE)
            rows.append(side_by_side(pictures[part], labels[part]))
        steps = [
            enlarge(denormalise(images[:1], backbone)[0].numpy(), CLASS_SIDE)
            for images in grown.snapshots.values()
        ]
        growth.append(side_by_side(steps, [f"{step} steps" for step in grown.snapshots]))
    what = head.replace("_", " ")
    gallery.add(
        "class_visualization",
        f"classes_{head}",
        stack(rows),
        label=f"Grown to be each {what}: above as pixels, below as a spectrum; in brackets the probability",
        head=head,
        classes=names,
        probabilities=reached,
    )
    gallery.add(
        "class_visualization",
        f"growth_{head}",
        stack(growth),
        label=f"How {what} {names[0]} grows: above as pixels, below as a spectrum",
        head=head,
    )
    return table
