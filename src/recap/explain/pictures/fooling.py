"""Pictures and a table of fooling: the size of the change that makes the backbone answer another class.

Shapes: N images, S side of the backbone's square input in pixels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recap.backbones.backbone import Backbone, OneHead
from recap.backbones.normalisation import denormalise
from recap.explain.fooling import LEARNING_RATE, MAX_ITERATIONS, Fooled, fool
from recap.explain.pictures.drawing import Pixels, enlarge, side_by_side
from recap.explain.pictures.gallery import Gallery
from recap.explain.pictures.saliency import PANEL_SIDE, predict, title

DRAWN = 3
MAGNIFICATION = 10
BATCH_SIZE = 64


def draw_fooling(
    gallery: Gallery, backbone: Backbone, images: Tensor, names: Sequence[str], head: str, seed: int
) -> dict[str, Any]:
    """Fool all images, each towards a random other class; draw the first few that were fooled.

    Arguments are those of ``draw_saliency``; the head gives the target classes, chosen by the seed.

    Returns:
        ``pairs``, ``success_rate``, ``success_rate_8_bit`` (of stored pictures), and of those fooled
        ``mean_iterations``, ``median_l2`` and ``median_linf`` of the change, pixels in 0..1.
    """
    x = backbone.preprocess(images)
    model = OneHead(backbone, head)
    seen = torch.cat([predict(backbone, head, part) for part in x.split(BATCH_SIZE)])
    generator = torch.Generator().manual_seed(seed)
    others = torch.randint(1, len(model.labels), (len(x),), generator=generator).to(seen.device)
    targets = (seen + others) % len(model.labels)
    batches = zip(x.split(BATCH_SIZE), targets.split(BATCH_SIZE), strict=True)
    parts = [fool(part, goal, model, LEARNING_RATE, MAX_ITERATIONS) for part, goal in batches]
    fooled = Fooled(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))
    changes = ((fooled.images - x) * backbone.std.view(1, 3, 1, 1))[fooled.succeeded]  # pixels in 0..1
    table: dict[str, Any] = {"pairs": len(x), "success_rate": float(fooled.succeeded.float().mean())}
    stored = denormalise(fooled.images, backbone).split(BATCH_SIZE)  # (N, S, S, 3) uint8, in parts
    answers = torch.cat([predict(backbone, head, backbone.preprocess(part)) for part in stored])
    table["success_rate_8_bit"] = float((answers == targets).float().mean())
    if len(changes):
        table["mean_iterations"] = float(fooled.iterations[fooled.succeeded].float().mean())
        table["median_l2"] = float(changes.flatten(1).norm(dim=1).median())
        table["median_linf"] = float(changes.flatten(1).abs().amax(dim=1).median())
    for number, row in enumerate(fooled.succeeded.nonzero().flatten().tolist()[:DRAWN]):
        original = images[row].numpy()
        changed = denormalise(fooled.images[row : row + 1], backbone)[0].numpy()
        before = title(backbone, head, int(seen[row]))
        after = title(backbone, head, int(targets[row]))
        steps = int(fooled.iterations[row])
        gallery.add(
            "fooling",
            f"fooling_{head}_{number:02d}",
            fooling_panels(original, changed, before, after),
            label=f"{before} becomes {after} in {steps} step{'s' if steps != 1 else ''}",
            image=names[row],
            before=before,
            after=after,
            iterations=steps,
        )
    return table


def fooling_panels(original: Pixels, changed: Pixels, before: str, after: str) -> Pixels:
    """Draw original and fooled image (S, S, 3), their difference and ten times it, in a row."""
    difference = changed.astype(int) - original
    panels = [original, changed, _around_grey(difference), _around_grey(MAGNIFICATION * difference)]
    labels = [before, after, "difference", f"difference x {MAGNIFICATION}"]
    return side_by_side([enlarge(panel, PANEL_SIDE) for panel in panels], labels)


def _around_grey(difference: NDArray[np.integer]) -> Pixels:
    return (128 + difference).clip(0, 255).astype(np.uint8)
