"""The Transformer: the course's printed results under its dropout masks, and torch's own layers."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from recap.errors import InputError
from recap.reference.transformer import (
    CaptioningTransformer,
    MultiHeadAttention,
    PositionalEncoding,
    TransformerDecoder,
    TransformerDecoderLayer,
)

WORDS = {"<NULL>": 0, "<START>": 1, "<END>": 2, "cat": 3, "dog": 4, "sat": 5}


class FixedDropout(nn.Module):
    """Drops where the mask is 0, and scales as a dropout of 0.1 does."""

    def __init__(self, mask: object) -> None:
        super().__init__()
        self.mask = torch.tensor(mask, dtype=torch.float32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.mask / 0.9


def test_seeded_attention_prints_what_the_course_prints() -> None:
    """The seed gives the course's weights and data; the draws of dropout and the mask are those it had."""
    torch.manual_seed(231)
    attention = MultiHeadAttention(8, num_heads=2)
    data = torch.randn(1, 3, 8)
    attention.attn_drop = FixedDropout([[[1, 1, 1], [1, 1, 1], [0, 1, 1]], [[0, 1, 1], [1, 1, 1], [1, 1, 1]]])
    own = attention(query=data, key=data, value=data)
    attention.attn_drop = FixedDropout([[[1, 1, 1], [1, 1, 1], [1, 1, 1]], [[1, 1, 1], [1, 0, 1], [1, 1, 1]]])
    mask = torch.tensor([[1, 0, 1], [1, 1, 0], [1, 1, 1]])
    masked = attention(query=data, key=data, value=data, attn_mask=mask == 1)

    printed = [
        [-0.2494, 0.1396, 0.4323, -0.2411, -0.1547, 0.2329, -0.1936, -0.1444],
        [-0.1997, 0.1746, 0.7377, -0.3549, -0.2657, 0.2693, -0.2541, -0.2476],
        [-0.0625, 0.1503, 0.7572, -0.3974, -0.1681, 0.2168, -0.2478, -0.3038],
    ]
    np.testing.assert_allclose(own.detach()[0], printed, rtol=0, atol=5.1e-5)  # the prints have 4 decimals
    printed = [
        [-0.1347, 0.1934, 0.8628, -0.4903, -0.2614, 0.2798, -0.2586, -0.3019],
        [-0.1013, 0.3111, 0.5783, -0.3248, -0.3842, 0.1482, -0.3628, -0.1496],
        [-0.2071, 0.1669, 0.7097, -0.3152, -0.3136, 0.2520, -0.2774, -0.2208],
    ]
    np.testing.assert_allclose(masked.detach()[0], printed, rtol=0, atol=5.1e-5)
    torch.testing.assert_close(masked, attention(data, data, data, mask))  # 0 and False are the same


def test_seeded_positions_print_what_the_course_prints() -> None:
    torch.manual_seed(231)
    data = torch.randn(1, 2, 6)
    encoding = PositionalEncoding(6)
    encoding.dropout = FixedDropout([[1, 1, 1, 1, 0, 1], [1, 1, 1, 1, 1, 1]])

    printed = [
        [-1.2340, 1.1127, 1.6978, -0.0865, -0.0000, 1.2728],
        [0.9028, -0.4781, 0.5535, 0.8133, 1.2644, 1.7034],
    ]
    np.testing.assert_allclose(encoding(data)[0], printed, rtol=0, atol=5.1e-5)


def test_scores_are_those_the_course_prints_where_dropout_changed_none() -> None:
    N, D, T = 4, 20, 3
    model = CaptioningTransformer(
        {"<NULL>": 0, "cat": 2, "dog": 3}, D, wordvec_dim=30, num_heads=2, num_layers=2, max_length=30
    ).eval()
    for p in model.parameters():
        p.data = torch.tensor(np.linspace(-1.4, 1.3, num=p.numel()).reshape(*p.shape))
    features = torch.tensor(np.linspace(-1.5, 0.3, num=N * D).reshape(N, D))
    captions = torch.tensor((np.arange(N * T) % 3).reshape(N, T))

    scores = model(features, captions).detach().numpy()

    np.testing.assert_allclose(scores[2, ::2], [[-17.2172, 4.7701, 26.7574]] * 2, rtol=1e-5)


def test_positions_are_sines_and_cosines() -> None:
    table = PositionalEncoding(6, max_len=50).eval()(torch.zeros(1, 50, 6, dtype=torch.float64))[0]
    for i in (0, 1, 7, 49):
        for j in range(3):
            angle = i / 10000 ** (2 * j / 6)
            assert table[i, 2 * j].item() == pytest.approx(math.sin(angle), abs=1e-14)
            assert table[i, 2 * j + 1].item() == pytest.approx(math.cos(angle), abs=1e-14)


def _as_torch(attention: MultiHeadAttention, oracle: nn.MultiheadAttention) -> None:
    projections = (attention.query, attention.key, attention.value)
    oracle.in_proj_weight.data = torch.cat([linear.weight for linear in projections]).detach()
    oracle.in_proj_bias.data = torch.cat([linear.bias for linear in projections]).detach()
    oracle.out_proj.load_state_dict(attention.proj.state_dict())


def test_decoder_is_torchs_post_norm_decoder() -> None:
    torch.manual_seed(0)
    layer = TransformerDecoderLayer(input_dim=8, num_heads=2)
    decoder = TransformerDecoder(layer, 1).double().eval()
    oracle = nn.TransformerDecoderLayer(8, 2, dim_feedforward=2048, batch_first=True).double().eval()
    _as_torch(layer.double().self_attn, oracle.self_attn)
    _as_torch(layer.multihead_attn, oracle.multihead_attn)
    for name in ("linear1", "linear2", "norm1", "norm2", "norm3"):
        getattr(oracle, name).load_state_dict(getattr(layer, name).state_dict())
    tgt, memory = torch.randn(3, 5, 8).double(), torch.randn(3, 4, 8).double()
    causal = torch.ones(5, 5).tril()

    torch.testing.assert_close(
        decoder(tgt, memory, tgt_mask=causal), oracle(tgt, memory, tgt_mask=causal == 0), rtol=0, atol=1e-12
    )


def test_a_query_that_sees_no_key_attends_to_nothing() -> None:
    attention = MultiHeadAttention(8, num_heads=2).eval()
    data = torch.randn(2, 3, 8, requires_grad=True)
    mask = torch.tensor([[1, 1, 1], [0, 0, 0], [1, 0, 0]])
    output = attention(data, data, data, attn_mask=mask)
    output.sum().backward()

    torch.testing.assert_close(output[:, 1], attention.proj.bias.expand(2, 8))
    assert data.grad is not None
    assert data.grad.isfinite().all()


def test_modules_are_made_in_the_course_order() -> None:
    """A seed gives the course's weights only when each module draws in its turn."""
    names = [name for name, _ in MultiHeadAttention(4, 2).named_children()]
    assert names[:4] == ["key", "query", "value", "proj"]
    torch.manual_seed(231)
    model = CaptioningTransformer(WORDS, 3, 4, num_heads=2)
    assert [name for name, _ in model.named_children()] == [
        "visual_projection", "embedding", "positional_encoding", "transformer", "output"
    ]  # fmt: skip
    dropouts = [name for name, module in model.named_modules() if isinstance(module, nn.Dropout)]
    assert {"positional_encoding.dropout", "transformer.layers.0.self_attn.attn_drop"} <= set(dropouts)
    weights = [p for name, p in model.transformer.named_parameters() if name.endswith("linear1.weight")]
    assert weights[0].std().item() == pytest.approx(0.02, rel=0.05)


def test_words_do_not_see_those_that_follow() -> None:
    model = CaptioningTransformer(WORDS, 3, 4, num_heads=2, max_length=6).eval()
    features = torch.randn(2, 3)
    captions = torch.randint(6, (2, 6))
    changed = captions.clone()
    changed[:, 3:] = torch.randint(6, (2, 3))
    before, after = model(features, captions), model(features, changed)

    assert before.shape == (2, 6, 6)
    torch.testing.assert_close(before[:, :3], after[:, :3])


def test_samples_are_the_likeliest_words_without_dropout() -> None:
    torch.manual_seed(0)
    model = CaptioningTransformer(WORDS, 3, 4, num_heads=2, max_length=5)
    for p in model.parameters():
        nn.init.normal_(p)
    features = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    captions = model.sample(features, max_length=5)
    assert model.training
    read = np.concatenate((np.full((4, 1), WORDS["<START>"]), captions[:, :-1]), axis=1)
    scores = model.eval()(torch.tensor(features), torch.tensor(read))

    assert captions.dtype == np.int32
    np.testing.assert_array_equal(captions, scores.argmax(dim=2))
    np.testing.assert_array_equal(captions, model.sample(features, max_length=5))
    assert len(np.unique(captions)) > 1


def test_bad_sizes_are_refused_in_one_line() -> None:
    with pytest.raises(InputError, match=r"^num_heads: expected a divisor of 8, received 3$"):
        MultiHeadAttention(8, num_heads=3)
    with pytest.raises(InputError, match=r"^embed_dim: expected an even number, received 7$"):
        PositionalEncoding(7)
    model = CaptioningTransformer(WORDS, 3, 4, num_heads=2, max_length=4)
    with pytest.raises(InputError, match=r"^captions: expected at most 4 words, received 5$"):
        model.sample(np.zeros((1, 3)), max_length=5)
    assert model.training
    with pytest.raises(InputError, match="expected <NULL>"):
        CaptioningTransformer({"cat": 0}, 3, 4)
