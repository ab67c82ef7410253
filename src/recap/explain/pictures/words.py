"""Pictures of words: for each word of a caption, the pixels that said it.

Shapes: N images, S side of the backbone's square input in pixels, T tokens of a caption.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recap.captioner import Captioner
from recap.decoders.transformer import TransformerDecoder
from recap.decoding.caption import Caption
from recap.explain.pictures.attention import draw_attention
from recap.explain.pictures.drawing import Pixels, enlarge, heat_over, scale_heat, side_by_side, stack
from recap.explain.pictures.gallery import Gallery
from recap.explain.word_attention import attention_weights
from recap.explain.word_saliency import word_integrated_gradients

PANEL_SIDE = 128
PANELS_A_ROW = 8


def word_maps(captioner: Captioner, x: Tensor, caption: Caption) -> NDArray[np.float32]:
    """For each word what speaks for it: (words, S, S), not negative, for an image x (3, S, S)."""
    tokens = torch.tensor(caption.tokens, device=x.device)
    maps = word_integrated_gradients(captioner, x, tokens, caption.spans)
    return maps.clamp_min(0).cpu().numpy()


def word_panels(captioner: Captioner, x: Tensor, pixels: Pixels, caption: Caption) -> Pixels:
    """An image (S, S, 3), then for each word of its caption what speaks for it; x (3, S, S) preprocessed."""
    panels = [pixels]
    if caption.tokens:
        panels += [heat_over(pixels, scale_heat(heat)) for heat in word_maps(captioner, x, caption)]
    panels = [enlarge(panel, PANEL_SIDE) for panel in panels]
    labels = ["image", *caption.words]
    return stack(
        [
            side_by_side(panels[first : first + PANELS_A_ROW], labels[first : first + PANELS_A_ROW])
            for first in range(0, len(panels), PANELS_A_ROW)
        ]
    )


def draw_words(
    gallery: Gallery,
    captioner: Captioner,
    decoder_name: str,
    images: Tensor,
    names: Sequence[str],
    texts: Sequence[str],
) -> None:
    """Add a picture an image: the image, then a map for each word of its caption.

    Where the decoder is a Transformer, another one shows its attention.

    Args:
        gallery: receives the pictures.
        captioner: with a backbone.
        decoder_name: named in the labels.
        images: (N, S, S, 3) uint8.
        names: N file names.
        texts: N captions that the decoder has written.
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
            word_panels(captioner, x[row], images[row].numpy(), caption),
            label=f"{decoder_name}: “{caption.text}”, and the pixels that spoke for each word",
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
                label=f"What the {decoder_name} attends to while it writes “{caption.text}”: for each layer "
                "the words read so far, then the memory",
                **details,
            )
