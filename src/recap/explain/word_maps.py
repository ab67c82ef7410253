"""The maps of a caption's words: for each word, what each pixel of the image has to do with it."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from recap.captioner import Captioner
from recap.decoders.attention import AttentionDecoder
from recap.explain.word_attention import word_attention
from recap.explain.word_saliency import word_gradients, word_integrated_gradients

WordMethod = Callable[[Captioner, Tensor, Tensor, Sequence[range]], Tensor]
"""A function with the arguments of ``word_gradients`` that returns its shape."""


def word_methods(decoder: nn.Module) -> dict[str, WordMethod]:
    """Return the methods that map the words of a decoder's captions, by name."""
    methods: dict[str, WordMethod] = {
        "integrated gradients": word_integrated_gradients,
        "gradient": word_gradients,
    }
    return methods | ({"attention": word_attention} if isinstance(decoder, AttentionDecoder) else {})
