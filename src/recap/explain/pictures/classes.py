"""Pictures of classes: for each an image with a high score, grown as pixels and as a spectrum.

Shapes: N classes, S side of the backbone's square input in pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from recap.backbones.backbone import Backbone, OneHead
from recap.backbones.normalisation import denormalise
from recap.explain.class_visualization import ClassVisualization, create_class_visualization
from recap.explain.fourier_visualization import create_fourier_visualization
from recap.explain.pictures.drawing import Pixels, enlarge, side_by_side, stack
from recap.explain.pictures.gallery import Gallery

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
    """Add pictures of N classes of a head to a gallery, and one of how the first class grows.

    The backbone is in evaluation mode; the seed is of the first noise and the jitter.

    Returns:
        For "pixels" and "spectrum": ``mean_probability`` of the classes and ``share_above_0.9``.
    """
    labels = [backbone.heads[head][index].split(",")[0] for index in classes]
    grown = grow_classes(backbone, head, classes, iterations, seed)
    reached = {name: outcome.probabilities for name, outcome in grown.items()}
    rows = []
    for name, outcome in grown.items():
        pictures = [enlarge(pixels, CLASS_SIDE) for pixels in denormalise(outcome.images, backbone).numpy()]
        titles = [f"{label} ({value:.2f})" for label, value in zip(labels, reached[name], strict=True)]
        for first in range(0, len(pictures), CLASSES_A_PICTURE):
            part = slice(first, first + CLASSES_A_PICTURE)
            rows.append(side_by_side(pictures[part], titles[part]))
    what = head.replace("_", " ")
    gallery.add(
        "class_visualization",
        f"classes_{head}",
        stack(rows),
        label=f"Grown to be each {what}: above as pixels, below as a spectrum; in brackets the probability",
        head=head,
        classes=labels,
        probabilities={name: values.tolist() for name, values in reached.items()},
    )
    gallery.add(
        "class_visualization",
        f"growth_{head}",
        draw_growth(backbone, grown),
        label=f"How {what} {labels[0]} grows: above as pixels, below as a spectrum",
        head=head,
    )
    return {
        name: {
            "mean_probability": float(values.mean()),
            "share_above_0.9": float((values > CONVINCED).float().mean()),
        }
        for name, values in reached.items()
    }


def grow_classes(
    backbone: Backbone, head: str, classes: Sequence[int], iterations: int, seed: int
) -> dict[str, ClassVisualization]:
    """Grow classes of a head both ways: "pixels" and "spectrum"; arguments are those of ``draw_classes``."""
    size = backbone.input_size
    # the course's 16 pixels are 7 % of its images of 224 pixels, but a quarter of a scene
    options = {"max_jitter": round(size * 16 / 224), "show_every": max(1, iterations // SNAPSHOTS)}
    targets = torch.tensor(list(classes), dtype=torch.int64)
    model = OneHead(backbone, head)
    grown = {}
    for name, create in CREATORS.items():
        generator = torch.Generator().manual_seed(seed)
        grown[name] = create(targets, model, backbone, size, generator, iterations=iterations, **options)
    return grown


def draw_growth(backbone: Backbone, grown: Mapping[str, ClassVisualization]) -> Pixels:
    """Draw how the first class grew: a row each way, a panel each snapshot."""
    rows = []
    for outcome in grown.values():
        shown = {f"{step} steps": images for step, images in outcome.snapshots.items()}
        if not any(torch.equal(images, outcome.images) for images in shown.values()):
            shown["at the end"] = outcome.images
        steps = [denormalise(images[:1], backbone)[0].numpy() for images in shown.values()]
        titles = list(shown)
        rows.append(side_by_side([enlarge(pixels, CLASS_SIDE) for pixels in steps], titles))
    return stack(rows)
