"""Pictures of words: for each word of a caption the pixels that made it likely, as panels or as maps.

Shapes: N images, S side of the backbone's square input in pixels, T tokens of a caption, A heads.
"""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from recap.captioner import Captioner
from recap.decoders.transformer import TransformerDecoder
from recap.decoding.caption import Caption
from recap.explain.pictures.drawing import Pixels, enlarge, heat_over, scale_heat, side_by_side, stack
from recap.explain.pictures.gallery import Gallery
from recap.explain.word_attention import attention_weights
from recap.explain.word_saliency import word_methods

PANEL_SIDE = 128
PANELS_A_ROW = 8
ATTENTION_WIDTH, ATTENTION_CELL = 2.6, 0.19  # inches, of a panel and of a word
DOTS_PER_INCH = 90


def word_panels(captioner: Captioner, x: Tensor, pixels: Pixels, caption: Caption) -> Pixels:
    """Draw an image (S, S, 3), and for each word of its caption the pixels that raise it.

    Below, for a decoder with attention to places, where it looks for each word.
    """
    panels, labels = [[enlarge(pixels, PANEL_SIDE)]], [["image", *caption.words]]
    if caption.tokens:
        tokens = torch.tensor(caption.tokens, device=x.device)
        methods = word_methods(captioner.decoder)
        methods.pop("gradient")
        panels = []
        for method in methods.values():
            maps = method(captioner, x, tokens, caption.spans).clamp_min(0).cpu().numpy()  # (words, S, S)
            heats = [heat_over(pixels, scale_heat(heat)) for heat in maps]
            panels.append([enlarge(panel, PANEL_SIDE) for panel in (pixels, *heats)])
        labels = [["image", *caption.words], ["attention", *caption.words]][: len(panels)]
    return stack(
        [
            side_by_side(own[first : first + PANELS_A_ROW], words[first : first + PANELS_A_ROW])
            for own, words in zip(panels, labels, strict=True)
            for first in range(0, len(own), PANELS_A_ROW)
        ]
    )


def word_sheet(captioner: Captioner, x: Tensor, pixels: Pixels, caption: Caption) -> Pixels:
    """Draw maps of an image (S, S, 3) without colours: a row a method of ``word_methods``, a column a word.

    The column before the first shows the image. A map is scaled by itself, its largest values white.
    """
    tokens = torch.tensor(caption.tokens, device=x.device)
    rows = []
    for method in word_methods(captioner.decoder).values():
        maps = method(captioner, x, tokens, caption.spans).clamp_min(0).cpu().numpy()
        heat = [np.rint(255 * scale_heat(own)).astype(np.uint8)[:, :, None].repeat(3, axis=2) for own in maps]
        rows.append(np.concatenate([pixels, *heat], axis=1))
    return np.concatenate(rows)


def draw_words(
    gallery: Gallery,
    captioner: Captioner,
    decoder_name: str,
    images: Tensor,
    names: Sequence[str],
    texts: Sequence[str],
) -> None:
    """Add a sheet of maps an image, as ``word_sheet`` makes it, and one of a Transformer's attention.

    Images are (N, S, S, 3) uint8, with N file names and N captions of the decoder.
    """
    assert captioner.backbone is not None
    x = captioner.backbone.preprocess(images)
    for row, text in enumerate(texts):
        caption = captioner.score(x[row : row + 1], text)
        if not caption.tokens:
            continue
        details = {"image": names[row], "decoder": decoder_name, "caption": caption.text}
        gallery.add(
            "word_saliency",
            f"words_{decoder_name}_{row:02d}",
            word_sheet(captioner, x[row], images[row].numpy(), caption),
            label=f"{decoder_name}: “{caption.text}”, and the pixels that spoke for each word",
            words=caption.words,
            methods=list(word_methods(captioner.decoder)),
            **details,
        )
        if isinstance(captioner.decoder, TransformerDecoder):
            tokens = torch.tensor(caption.tokens, device=x.device)
            with torch.no_grad():
                weights = attention_weights(captioner.decoder, captioner.see(x[row : row + 1]), tokens)
            gallery.add(
                "attention",
                f"attention_{decoder_name}_{row:02d}",
                draw_attention(weights, caption.pieces),
                label=f"Which words the Transformer looks back at while it writes “{caption.text}”",
                **details,
            )


def draw_attention(layers: Sequence[Tensor], words: Sequence[str]) -> Pixels:
    """Draw attention to words, of what ``attention_weights`` returns, as grids: (height, width, 3) uint8.

    A row stands for each word written, a column for each word read.
    """
    heads = len(layers[0])
    size = (ATTENTION_WIDTH * heads + 0.8, len(layers) * (ATTENTION_CELL * len(words) + 0.95))
    figure = Figure(figsize=size, dpi=DOTS_PER_INCH, layout="constrained")
    panels = figure.subplots(len(layers), heads, squeeze=False)
    read = ["<START>", *words[:-1]]
    for number, own in enumerate(layers):
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
