"""The Transformer decoder of the course, written out: no fused kernel, no cache.

Modules are made in the course's order, so that a seeded initialisation draws its numbers; each dropout is an
``nn.Dropout`` that a test can replace.

Shapes: N batch, T time, S queries, L keys, D feature, E embedding, A attention heads, V vocabulary.
"""

import copy
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recap.errors import InputError
from recap.reference.rnn import check_start, check_vocabulary


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention in A heads (Vaswani et al. 2017, section 3.2).

    Args:
        embed_dim: E, a multiple of ``num_heads``.
        num_heads: A.
        dropout: probability of dropping an attention weight.

    Raises:
        InputError: ``num_heads`` does not divide ``embed_dim``.
    """

    def __init__(self, embed_dim: int, num_heads: int, dropout: float = 0.1) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise InputError(f"num_heads: expected a divisor of {embed_dim}, received {num_heads}")
        self.num_heads = num_heads
        self.key = nn.Linear(embed_dim, embed_dim)
        self.query = nn.Linear(embed_dim, embed_dim)
        self.value = nn.Linear(embed_dim, embed_dim)
        self.proj = nn.Linear(embed_dim, embed_dim)
        self.attn_drop = nn.Dropout(dropout)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        """Attend from each query (N, S, E) to the keys (N, L, E) with their values: (N, S, E).

        ``attn_mask`` (S, L), or what broadcasts to (N, A, S, L), is 0 or False where a key is hidden from a
        query. A query that sees no key attends to nothing.
        """
        q, k, v = (
            self._split(project(x))
            for project, x in ((self.query, query), (self.key, key), (self.value, value))
        )
        scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])  # (N, A, S, L)
        if attn_mask is None:
            weights = scores.softmax(dim=3)
        else:
            hidden = attn_mask == 0
            # the lowest finite score, because a row of -inf would make NaN
            weights = scores.masked_fill(hidden, torch.finfo(scores.dtype).min).softmax(dim=3)
            weights = weights.masked_fill(hidden, 0)
        attended = self.attn_drop(weights) @ v  # (N, A, S, E / A)
        merged = attended.transpose(1, 2).flatten(2)  # (N, A, S, E / A) -> (N, S, E)
        output: Tensor = self.proj(merged)
        return output

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)  # (N, S, E) -> (N, A, S, E / A)


class PositionalEncoding(nn.Module):
    """Adds sines and cosines of the position (Vaswani et al. 2017, section 3.5).

    Entry (i, 2j) is sin(i / 10000^(2j / E)), entry (i, 2j + 1) the cosine of the same angle.

    Args:
        embed_dim: E, even.
        dropout: probability of dropping an entry of the sum.
        max_len: positions at most.

    Raises:
        InputError: ``embed_dim`` is odd.
    """

    def __init__(self, embed_dim: int, dropout: float = 0.1, max_len: int = 5000) -> None:
        super().__init__()
        if embed_dim % 2:
            raise InputError(f"embed_dim: expected an even number, received {embed_dim}")
        self.dropout = nn.Dropout(dropout)
        position = torch.arange(max_len, dtype=torch.float64)[:, None]  # (max_len, 1)
        angle = position * 10000.0 ** (-torch.arange(0, embed_dim, 2, dtype=torch.float64) / embed_dim)
        table = torch.stack((angle.sin(), angle.cos()), dim=2).flatten(1)  # (max_len, E)
        # float64, so that a model in float64 has exact positions; cast to the input's dtype in use
        self.register_buffer("pe", table[None])  # (1, max_len, E)

    def forward(self, x: Tensor) -> Tensor:
        """Add positions 0..T-1 to x (N, T, E).

        Raises:
            InputError: T exceeds ``max_len``.
        """
        table = self.get_buffer("pe")
        if x.shape[1] > table.shape[1]:
            raise InputError(f"captions: expected at most {table.shape[1]} words, received {x.shape[1]}")
        output: Tensor = self.dropout(x + table[:, : x.shape[1]].to(x.dtype))
        return output


class TransformerDecoderLayer(nn.Module):
    """Self-attention, attention to the memory, feed-forward; each added to its input, then normalised."""

    def __init__(
        self, input_dim: int, num_heads: int, dim_feedforward: int = 2048, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.self_attn = MultiHeadAttention(input_dim, num_heads, dropout)
        self.multihead_attn = MultiHeadAttention(input_dim, num_heads, dropout)
        self.linear1 = nn.Linear(input_dim, dim_feedforward)
        self.dropout = nn.Dropout(dropout)
        self.linear2 = nn.Linear(dim_feedforward, input_dim)
        self.norm1 = nn.LayerNorm(input_dim)
        self.norm2 = nn.LayerNorm(input_dim)
        self.norm3 = nn.LayerNorm(input_dim)
        self.dropout1 = nn.Dropout(dropout)
        self.dropout2 = nn.Dropout(dropout)
        self.dropout3 = nn.Dropout(dropout)
        self.activation = nn.ReLU()

    def forward(self, tgt: Tensor, memory: Tensor, tgt_mask: Tensor | None = None) -> Tensor:
        """Apply the layer to tgt (N, T, E), memory (N, L, E); tgt_mask (T, T) is 0 where a step is hidden."""
        tgt = self.norm1(tgt + self.dropout1(self.self_attn(tgt, tgt, tgt, tgt_mask)))
        tgt = self.norm2(tgt + self.dropout2(self.multihead_attn(tgt, memory, memory)))
        inner = self.dropout(self.activation(self.linear1(tgt)))  # (N, T, dim_feedforward)
        output: Tensor = self.norm3(tgt + self.dropout3(self.linear2(inner)))
        return output


class TransformerDecoder(nn.Module):
    """``num_layers`` copies of a decoder layer, one after the other."""

    def __init__(self, decoder_layer: nn.Module, num_layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(copy.deepcopy(decoder_layer) for _ in range(num_layers))
        self.num_layers = num_layers

    def forward(self, tgt: Tensor, memory: Tensor, tgt_mask: Tensor | None = None) -> Tensor:
        """Apply the layers to tgt (N, T, E), with memory (N, L, E) and tgt_mask (T, T) or None."""
        for layer in self.layers:
            tgt = layer(tgt, memory, tgt_mask=tgt_mask)
        return tgt


class CaptioningTransformer(nn.Module):
    """Words from image features: a decoder whose memory is the projected feature, one token.

    The weights are drawn from torch's default generator: normal with standard deviation 0.02, but for the
    output layer, which keeps torch's own.

    Args:
        word_to_idx: numbers by word; <NULL> must be there, <START> when captions are sampled.
        input_dim: D.
        wordvec_dim: E, even.
        num_heads: A, a divisor of E.
        num_layers: decoder layers.
        max_length: words of a caption at most.

    Raises:
        InputError: no <NULL>, E odd, or A no divisor of E.
    """

    def __init__(
        self,
        word_to_idx: Mapping[str, int],
        input_dim: int,
        wordvec_dim: int,
        num_heads: int = 4,
        num_layers: int = 2,
        max_length: int = 50,
    ) -> None:
        super().__init__()
        check_vocabulary(word_to_idx)
        self.vocab_size = len(word_to_idx)
        self._null = word_to_idx["<NULL>"]
        self._start = word_to_idx.get("<START>")
        self.visual_projection = nn.Linear(input_dim, wordvec_dim)
        self.embedding = nn.Embedding(self.vocab_size, wordvec_dim, padding_idx=self._null)
        self.positional_encoding = PositionalEncoding(wordvec_dim, max_len=max_length)
        layer = TransformerDecoderLayer(input_dim=wordvec_dim, num_heads=num_heads)
        self.transformer = TransformerDecoder(layer, num_layers=num_layers)
        self.apply(_initialise)
        self.output = nn.Linear(wordvec_dim, self.vocab_size)

    def forward(self, features: Tensor, captions: Tensor) -> Tensor:
        """Return scores (N, T, V) of the word that follows each of captions (N, T), for features (N, D).

        Raises:
            InputError: T exceeds ``max_length``.
        """
        steps = captions.shape[1]
        words = self.positional_encoding(self.embedding(captions))  # (N, T, E)
        memory = self.visual_projection(features)[:, None]  # (N, E) -> (N, 1, E)
        causal = torch.ones(steps, steps, dtype=torch.bool, device=captions.device).tril()  # (T, T)
        scores: Tensor = self.output(self.transformer(words, memory, tgt_mask=causal))
        return scores

    @torch.no_grad()
    def sample(self, features: Any, max_length: int = 30) -> NDArray[np.int32]:
        """Choose the likeliest next word again and again, also behind <END>: (N, max_length) int32.

        Raises:
            InputError: the vocabulary has no <START>, or ``max_length`` exceeds the model's.
        """
        features = torch.as_tensor(features, dtype=self.output.weight.dtype)  # (N, D)
        captions = torch.full((len(features), 1), check_start(self._start))  # (N, 1)
        was_training = self.training
        self.eval()
        try:
            for _ in range(max_length):
                words = self(features, captions)[:, -1].argmax(dim=1)  # (N,)
                captions = torch.cat((captions, words[:, None]), dim=1)  # (N, t + 2)
        finally:
            self.train(was_training)
        sampled: NDArray[np.int32] = captions[:, 1:].numpy().astype(np.int32)
        return sampled


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
