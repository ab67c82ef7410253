"""A picture of a Transformer's attention: a row of panels a layer and kind, a panel a head.

Shapes: T words of a caption, A heads, M memory tokens.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from recap.explain.pictures.drawing import Pixels

PANEL_WIDTH = 2.6
CELL = 0.19
DOTS_PER_INCH = 90


def draw_attention(layers: Sequence[tuple[Tensor, Tensor]], words: Sequence[str]) -> Pixels:
    """Draw attention weights as grids: a row for each word written, a column for each thing attended to.

    Args:
        layers: what ``attention_weights`` returns: (A, T, T) and (A, T, M) for each layer.
        words: the T words written.

    Returns:
        (height, width, 3) uint8.
    """
    heads = layers[0][0].shape[0]
    height = 2 * len(layers) * (CELL * len(words) + 0.95)
    figure = Figure(figsize=(PANEL_WIDTH * heads + 0.8, height), dpi=DOTS_PER_INCH, layout="constrained")
    panels = figure.subplots(2 * len(layers), heads, squeeze=False)
    read = ["<START>", *words[:-1]]
    for number, (own, memory) in enumerate(layers):
        memory_names = [str(token + 1) for token in range(memory.shape[2])]
        for row, kind, weights, columns in (
            (2 * number, "words", own, read),
            (2 * number + 1, "memory", memory, memory_names),
        ):
            for head in range(heads):
                panel = panels[row, head]
                panel.imshow(weights[head].cpu().numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
                panel.set_title(f"layer {number + 1}, {kind}, head {head + 1}", fontsize=8)
                panel.set_xticks(
                    range(len(columns)), columns, fontsize=7, rotation=90 if kind == "words" else 0
                )
                panel.set_yticks(range(len(words)), words if head == 0 else [], fontsize=7)
                panel.tick_params(length=0)
                for side in panel.spines.values():
                    side.set_visible(False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[:, :, :3])
