"""The Transformer decoder of CS231n's image captioning, on fused attention.

Shapes: N batch, T time, S source (words or memory tokens), K memory tokens, D feature, W width of a word
vector and of the model, A attention heads, V vocabulary.
"""

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from recap.decoders.decoder import Decoder, State
from recap.decoders.dropout import Dropout
from recap.decoders.dropped_attention import attend
from recap.decoders.linear import Linear
from recap.errors import InputError

LONGEST = 1024  # words of a caption


@lru_cache(maxsize=8)
def sinusoidal_positions(width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Position encodings (LONGEST, W) (Vaswani et al. 2017, section 3.5).

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
        """Keys and values, both (N, A, S, W / A), of a source (N, S, W)."""
        return self._split(self.key(source)), self._split(self.value(source))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, *, causal: bool = False) -> Tensor:
        """Attend from x (N, T, W) to keys and values; ``causal`` hides from a word those that follow it.

        The result is (N, T, W), or (N, 1, W) where it is the same for every word.
        """
        if keys.shape[2] == 1 and not causal:
            return self._attend_to_one(x, values)
        queries = self._split(self.query(x))
        if causal and self.dropout.active() and x.device.type == "cpu":
            count, steps = x.shape[:2]
            mask = self.dropout.mask(queries.new_empty(self.heads, count, steps, steps))  # (A, N, T, T)
            return self.output(attend(queries, keys, values, mask).flatten(2))
        dropout = self.dropout.share if self.training else 0.0
        attended = functional.scaled_dot_product_attention(
            queries, keys, values, dropout_p=dropout, is_causal=causal
        )
        merged = attended.transpose(1, 2).flatten(2)  # (N, A, T, W / A) -> (N, T, W)
        return self.output(merged)

    def _attend_to_one(self, x: Tensor, values: Tensor) -> Tensor:
        """Attention to a source of one, values (N, A, 1, W / A): all its weights are 1, but for dropout.

        A head adds its value, through its columns of the output layer, to the words where it is not dropped:
        no product over all words is needed.
        """
        if not self.dropout.active():
            merged: Tensor = self.output(values.transpose(1, 2).flatten(2))  # (N, 1, W)
            return merged
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

    def forward(self, x: Tensor, own: State, memory: State, *, causal: bool) -> Tensor:
        """x (N, T, W), with keys and values of the words (``own``) and of the memory; (N, T, W) again."""
        x = self.norms[0](x + self.dropout(self.self_attention(x, *own, causal=causal)))
        x = self.norms[1](x + self.dropout(self.memory_attention(x, *memory)))
        inner = self.dropout.relu(self.expand(x))  # (N, T, feedforward_dim)
        return self.norms[2](x + self.dropout(self.contract(inner)))


class TransformerDecoder(Decoder):
    """Each word attends to the words before it and to the memory, K tokens that the feature becomes.

    The memory is feature W_k + b_k for k = 1..K; with K = 1 this is the course's decoder.

    Args:
        feature_dim: D.
        vocabulary_size: V.
        wordvec_dim: W.
        heads: A, a divisor of W.
        layers: decoder layers.
        feedforward_dim: width inside a layer's feed-forward part.
        memory_tokens: K.
        dropout: share dropped from features, attention weights, embedded words and each part's output.
        tied: whether word vectors are the weights of the scores too.
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
        tied: bool = False,
    ) -> None:
        super().__init__(wordvec_dim, vocabulary_size)
        self.memory_tokens = memory_tokens
        self.projection = Linear(feature_dim, memory_tokens * wordvec_dim)
        self.words = nn.Embedding(vocabulary_size, wordvec_dim)
        if tied:
            self.tie(self.words, wordvec_dim)
        self.layers = nn.ModuleList(
            Layer(wordvec_dim, heads, feedforward_dim, dropout) for _ in range(layers)
        )
        self.dropout = Dropout(dropout)

    def hidden(self, features: Tensor, captions: Tensor) -> Tensor:
        x = self._embed(captions, 0)  # (N, T, W)
        memory = self._memory(features)
        for layer in self.layers:
            assert isinstance(layer, Layer)
            own = layer.self_attention.keys_and_values(x)
            x = layer(x, own, layer.memory_attention.keys_and_values(memory), causal=True)
        return x

    def start(self, features: Tensor) -> State:
        """For each layer keys and values of no words (N, A, 0, W / A) and of the memory (N, A, K, W / A)."""
        memory = self._memory(features)
        state: list[Tensor] = []
        for layer in self.layers:
            assert isinstance(layer, Layer)
            keys, values = layer.memory_attention.keys_and_values(memory)
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
            x = layer(x, own, memory, causal=False)
            after += [*own, *memory]
        return self.scores(x[:, 0]), tuple(after)

    def _embed(self, tokens: Tensor, first: int) -> Tensor:
        """Word vectors plus positions (N, T, W) of tokens (N, T), the first at position ``first``."""
        words = self.words(tokens)
        end = first + tokens.shape[1]
        if end > LONGEST:
            raise InputError(f"transformer: expected a caption of at most {LONGEST} words, received {end}")
        positions = sinusoidal_positions(words.shape[2], words.dtype, words.device)
        return self.dropout(words + positions[first:end])

    def _memory(self, features: Tensor) -> Tensor:
        memory = self.projection(self.dropout(features))  # (N, K W)
        return memory.unflatten(1, (self.memory_tokens, -1))  # (N, K, W)
