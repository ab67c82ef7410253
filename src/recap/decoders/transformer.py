"""The Transformer decoder of CS231n's image captioning, on fused attention.

Shapes: N batch, T time, S source (words or memory tokens), K memory tokens, D feature, W width of a word
vector and of the model, A attention heads, V vocabulary.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from recap.core.feature_files import NO_GRID
from recap.decoders.decoder import Decoder, State
from recap.decoders.dropout import Dropout
from recap.decoders.dropped_attention import attend
from recap.errors import InputError
from recap.runtime.linear import Linear, linear

LONGEST = 1024  # words of a caption


@lru_cache(maxsize=8)
def sinusoidal_positions(width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return position encodings (LONGEST, W) (Vaswani et al. 2017, section 3.5).

    Entry (i, 2j) is sin(i / 10000^(2j / W)), entry (i, 2j + 1) the cosine of the same angle.
    """
    position = torch.arange(LONGEST, dtype=torch.float64)[:, None]
    column = torch.arange(width)
    angle = position * 10000.0 ** (-(column - column % 2).double() / width)  # (LONGEST, W)
    return torch.where(column % 2 == 0, angle.sin(), angle.cos()).to(device, dtype)


class Attention(nn.Module):
    """Multi-head scaled dot-product attention (Vaswani et al. 2017, section 3.2)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = Dropout(dropout)
        self.query = Linear(width, width)
        self.key = Linear(width, width)
        self.value = Linear(width, width)
        self.output = Linear(width, width)

    def keys_and_values(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values, both (N, A, S, W / A), of a source (N, S, W)."""
        return self._split(self.key(source)), self.values(source)

    def values(self, source: Tensor) -> Tensor:
        """Return the values (N, A, S, W / A) of a source (N, S, W)."""
        return self._split(self.value(source))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, *, causal: bool = False) -> Tensor:
        """Attend from x (N, T, W) to keys and values; ``causal`` hides later words.

        The result is (N, T, W), or (N, 1, W) where it is the same for every word.
        """
        if keys.shape[2] == 1 and not causal:
            return self._attend_to_one(x, values)
        queries = self._split(self.query(x))
        dropout = self.dropout.probability if self.training else 0.0
        attended = functional.scaled_dot_product_attention(
            queries, keys, values, dropout_p=dropout, is_causal=causal
        )
        merged = attended.transpose(1, 2).flatten(2)  # (N, A, T, W / A) -> (N, T, W)
        return self.output(merged)

    def dropped(self, x: Tensor) -> Tensor:
        """Return what ``forward`` makes of x (N, T, W) and its own keys and values, ``causal``; (N, T, W).

        Attention weights are dropped; queries, keys and values are one product.
        """
        count, steps = x.shape[:2]
        parts = (self.query, self.key, self.value)
        weight = torch.cat([part.weight for part in parts])  # (3 W, W)
        projected = linear(x, weight, torch.cat([part.bias for part in parts]))  # (N, T, 3 W)
        mask = self.dropout.mask(projected.new_empty(self.heads, count, steps, steps))  # (A, N, T, T)
        return self.output(attend(projected.unflatten(2, (3, self.heads, -1)), mask).flatten(2))

    def _attend_to_one(self, x: Tensor, values: Tensor) -> Tensor:
        """Attend to a source of one token, values (N, A, 1, W / A): all weights are 1, but for dropout.

        A head adds its value, through its columns of the output layer, to the words where it is not dropped:
        no product over all words is needed.
        """
        if not self.dropout.active():
            return self.output(values.transpose(1, 2).flatten(2))  # (N, 1, W)
        columns = self.output.weight.unflatten(1, (self.heads, -1)).permute(1, 2, 0)  # (A, W / A, W)
        added = torch.bmm(values[:, :, 0].transpose(0, 1), columns)  # (A, N, W)
        kept = self.dropout.mask(x.new_empty(len(x), x.shape[1], self.heads))  # (N, T, A)
        return torch.bmm(kept, added.transpose(0, 1)) + self.output.bias  # (N, T, W)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (N, S, W) -> (N, A, S, W / A)


class Layer(nn.Module):
    """Self-attention, attention to the memory, feed-forward; each added to its input, then normalised."""

    def __init__(self, width: int, heads: int, feedforward_dim: int, dropout: float) -> None:
        super().__init__()
        self.self_attention = Attention(width, heads, dropout)
        self.memory_attention = Attention(width, heads, dropout)
        self.expand = Linear(width, feedforward_dim)
        self.contract = Linear(feedforward_dim, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, own: State | None, memory: State) -> Tensor:
        """Apply to x (N, T, W), with keys and values of the memory and, in ``step``, of the words so far."""
        x = self.norms[0](x + self.dropout(self._attend_to_words(x, own)))
        x = self.norms[1](x + self.dropout(self.memory_attention(x, *memory)))
        inner = self.dropout.relu(self.expand(x))  # (N, T, feedforward_dim)
        return self.norms[2](x + self.dropout(self.contract(inner)))

    def remember(self, memory: Tensor) -> State:
        """Return keys and values (N, A, K, W / A) of the memory (N, K, W); of one token no key is read."""
        if memory.shape[1] > 1:
            return self.memory_attention.keys_and_values(memory)
        values = self.memory_attention.values(memory)
        return values, values

    def _attend_to_words(self, x: Tensor, own: State | None) -> Tensor:
        attention = self.self_attention
        if own is not None:
            return attention(x, *own)
        if attention.dropout.active():
            return attention.dropped(x)
        return attention(x, *attention.keys_and_values(x), causal=True)


class TransformerDecoder(Decoder):
    """Each word attends to the words before it and to the memory, K tokens that the feature becomes.

    The memory is feature W_k + b_k for k = 1..K; with K = 1 this is the course's decoder.

    Args:
        feature_dim, vocabulary_size, wordvec_dim: D, V, W.
        heads: A, a divisor of W.
        layers: decoder layers.
        feedforward_dim: width inside a layer's feed-forward part.
        memory_tokens: K.
        dropout: probability to drop an entry of features, attention weights, embedded words and the output
            of each part.
        grid: of the rows; its places are not looked at.
    """

    def __init__(
        self,
        feature_dim: int,
        vocabulary_size: int,
        wordvec_dim: int,
        heads: int,
        layers: int,
        feedforward_dim: int,
        memory_tokens: int,
        dropout: float,
        grid: Sequence[int] = NO_GRID,
    ) -> None:
        super().__init__(wordvec_dim, vocabulary_size, feature_dim, grid)
        self.memory_tokens = memory_tokens
        self.projection = Linear(feature_dim, memory_tokens * wordvec_dim)
        # not drawn here, which on the device meta would import torch's compiler
        self.words = nn.Embedding.from_pretrained(torch.empty(vocabulary_size, wordvec_dim), freeze=False)
        self.layers = nn.ModuleList(
            Layer(wordvec_dim, heads, feedforward_dim, dropout) for _ in range(layers)
        )
        self.dropout = Dropout(dropout)

    def hidden(self, features: Tensor, captions: Tensor) -> Tensor:
        x = self._embed(captions, 0)  # (N, T, W)
        memory = self._memory(features)
        for layer in self.layers:
            assert isinstance(layer, Layer)
            x = layer(x, None, layer.remember(memory))
        return x

    def start(self, features: Tensor) -> State:
        """Return for each layer keys and values of no words, and of the memory (N, A, K, W / A)."""
        memory = self._memory(features)
        state: list[Tensor] = []
        for layer in self.layers:
            assert isinstance(layer, Layer)
            keys, values = layer.remember(memory)
            state += [keys[:, :, :0], values[:, :, :0], keys, values]
        return tuple(state)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        x = self._embed(tokens[:, None], state[0].shape[2])  # (N, 1, W)
        after: list[Tensor] = []
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, Layer)
            old_keys, old_values, *memory = state[4 * number : 4 * number + 4]
            key, value = layer.self_attention.keys_and_values(x)  # (N, A, 1, W / A)
            own = (torch.cat((old_keys, key), dim=2), torch.cat((old_values, value), dim=2))
            x = layer(x, own, memory)
            after += [*own, *memory]
        return self.scores(x[:, 0]), tuple(after)

    def _embed(self, tokens: Tensor, first: int) -> Tensor:
        """Add word vectors and positions (N, T, W) of tokens (N, T), the first at position ``first``."""
        words = self.words(tokens)
        end = first + tokens.shape[1]
        if end > LONGEST:
            raise InputError(f"transformer: expected a caption of at most {LONGEST} words, received {end}")
        positions = sinusoidal_positions(words.shape[2], words.dtype, words.device)
        return self.dropout(words + positions[first:end])

    def _memory(self, features: Tensor) -> Tensor:
        memory = self.projection(self.dropout(self.feature_of(features)))  # (N, K W)
        return memory.unflatten(1, (self.memory_tokens, -1))  # (N, K, W)
