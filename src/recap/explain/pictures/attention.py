"""A picture of a Transformer's attention: a row of panels a layer, a panel a head.

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
    """Draw attention to words, of what ``attention_weights`` returns, as grids: (height, width, 3) uint8.

    A row stands for each word written, a column for each word read. What the memory tokens hold is learnt and
    has no name, so the attention to these is left out.
    """
    heads = layers[0][0].shape[0]
    size = (PANEL_WIDTH * heads + 0.8, len(layers) * (CELL * len(words) + 0.95))
    figure = Figure(figsize=size, dpi=DOTS_PER_INCH, layout="constrained")
    panels = figure.subplots(len(layers), heads, squeeze=False)
    read = ["<START>", *words[:-1]]
    for number, (own, _) in enumerate(layers):
        for head in range(heads):
            panel = panels[number, head]
            panel.imshow(own[head].cpu().numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
            panel.set_title(f"layer {number + 1}, head {head + 1}", fontsize=8)
            panel.set_xticks(range(len(read)), read, fontsize=7, rotation=90)
            panel.set_yticks(range(len(words)), words if head == 0 else [], fontsize=7)
            panel.tick_params(length=0)
            for side in panel.spines.values():
                side.set_visible(False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[:, :, :3])
