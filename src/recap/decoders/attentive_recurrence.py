"""The recurrence of an LSTM that looks at places before each word (Xu et al. 2015, arXiv:1502.03044).

Autograd would note some thirty operations a word, and add up the gradients of weights word by word. A
name that begins with ``of_`` is the gradient of what follows.

Shapes: N batch, T time, P places, M channels of a place, A attention, W word vector, H hidden.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

KEPT = 7
"""How many tensors a word leaves for its way back."""


def recur_attentively(
    words: Tensor,
    first: Tensor,
    places: Tensor,
    keys: Tensor,
    query: tuple[Tensor, Tensor],
    energy: tuple[Tensor, Tensor],
    gates: tuple[Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """Look at places before each word, and read the word and the context, what was seen there.

    From h_0 = ``first`` and c_0 = 0: (q_t, b_t) = W_q h_{t-1} + b_q; z_t = sigmoid(b_t) alpha_t places, with
    alpha_t = softmax(w sigmoid(keys + q_t)); h_t and c_t are those of an LSTM that reads (x_t, z_t).

    Equation 4 has tanh x = 2 sigmoid(2 x) - 1: with keys, W_q and w doubled it is this, as the softmax does
    not see what all places share.

    Args:
        words: x_1 .. x_T, (T, N, W).
        first: (N, H).
        places, keys: (N, P, M), (N, P, A).
        query: W_q (A + 1, H) and b_q (A + 1,).
        energy: w (1, A), and a bias (1,), which the softmax does not see.
        gates: the LSTM's weight (4 H, W + M + H) of x_t, z_t and h_{t-1}, and its bias (4 H,).

    Returns:
        h_1 .. h_T and beside each z_t, (T, N, H + M); alpha_1 .. alpha_T, (N, T, P).
    """
    outputs, attention = _AttentiveRecurrence.apply(words, first, places, keys, *query, *energy, *gates)
    return outputs, attention


class _AttentiveRecurrence(torch.autograd.Function):
    """Keeps words, contexts and states side by side, as ``recurrence._GatedRecurrence`` does.

    Products are torch's own, for which the portable arithmetic has kernels: natively, MKL's of these sizes
    take less time than those of ``recap.runtime.linear``.
    """

    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        words, first, places, keys, query_weight, query_bias, energy, _, weight, bias = inputs
        steps, count, width = words.shape
        size, channels, attention_dim = first.shape[1], places.shape[2], keys.shape[2]
        joined = words.new_empty(steps + 1, count, width + channels + size)
        words_read, contexts, states = joined.split((width, channels, size), dim=2)
        words_read[:-1] = words
        states[0] = first
        weight, bias = weight.clone(), bias.clone()
        weight[2 * size : 3 * size] *= 2  # as tanh x = 2 sigmoid(2 x) - 1
        bias[2 * size : 3 * size] *= 2
        energies = energy.expand(count, 1, attention_dim)
        hidden, cell = first, torch.zeros_like(first)
        kept: list[Tensor] = []
        for read, context, written in zip(joined, contexts, states[1:], strict=False):
            projected = torch.addmm(query_bias, hidden, query_weight.t())[:, None]
            query, gate = projected.split((attention_dim, 1), dim=2)  # (N, 1, A), (N, 1, 1)
            activated = (keys + query).sigmoid()
            attention = torch.bmm(energies, activated.mT).softmax(2)  # (N, 1, P)
            gate = gate.sigmoid()
            context.copy_(torch.bmm(attention * gate, places)[:, 0])
            gates = torch.addmm(bias, read, weight.t()).sigmoid_()  # (N, 4 H)
            input_gate, forget_gate, candidate, output_gate = gates.chunk(4, dim=1)  # (N, H) each
            candidate = 2 * candidate - 1
            previous, cell = cell, torch.addcmul(forget_gate * cell, input_gate, candidate)
            tanh_cell = (2 * cell).sigmoid_().mul_(2).sub_(1)
            hidden = torch.mul(output_gate, tanh_cell, out=written)
            kept += (activated, attention, gate, gates, candidate, previous, tanh_cell)
        ctx.save_for_backward(joined, places, query_weight, energy, weight, *kept)
        return torch.cat((states[1:], contexts[:-1]), dim=2), torch.cat(kept[1::KEPT], dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_outputs: Tensor, of_attention_weights: Tensor) -> tuple[Tensor | None, ...]:
        joined, places, query_weight, energy, weight, *kept = ctx.saved_tensors
        steps, count, channels, size = len(joined) - 1, len(places), places.shape[2], query_weight.shape[1]
        widths = joined.shape[2] - channels - size, channels, size
        states = joined[:, :, -size:]
        derive = torch.ops.aten.sigmoid_backward.grad_input
        of_gates = joined.new_empty(steps, count, 4 * size)  # before sigmoid
        of_projected = joined.new_empty(steps, count, len(query_weight))
        of_keys, slope = torch.zeros_like(kept[0]), torch.empty_like(kept[0])  # (N, P, A)
        of_energy, of_words, of_places = torch.zeros_like(kept[0][:, :1]), [], []
        of_hidden, of_cell = (torch.zeros_like(kept[-1]) for _ in range(2))  # (N, H)
        for step in reversed(range(steps)):
            own = kept[KEPT * step : KEPT * (step + 1)]
            activated, attention, gate, gates, candidate, cell, tanh_cell = own
            input_gate, forget_gate, _, output_gate = gates.chunk(4, dim=1)
            of_output_hidden, of_output_context = of_outputs[step].split((size, channels), dim=1)
            of_hidden += of_output_hidden
            # the slope of tanh c is 1 - tanh c tanh c
            of_cell.addcmul_(of_hidden, torch.addcmul(output_gate, states[step + 1], tanh_cell, value=-1))
            into = of_gates[step]
            of_input_gate, of_forget_gate, of_candidate, of_output_gate = into.chunk(4, dim=1)
            torch.mul(of_cell, candidate, out=of_input_gate)
            torch.mul(of_cell, cell, out=of_forget_gate)
            torch.mul(of_cell, 2 * input_gate, out=of_candidate)
            torch.mul(of_hidden, tanh_cell, out=of_output_gate)
            derive(into, gates, grad_input=into)
            of_cell *= forget_gate
            of_word, of_context, of_hidden = torch.mm(into, weight).split(widths, dim=1)
            of_context += of_output_context
            of_gated = torch.bmm(of_context[:, None], places.mT)  # (N, 1, P), of gate times attention
            of_attention = torch.addcmul(of_attention_weights[:, step, None], of_gated, gate)
            of_scores = torch._softmax_backward_data(of_attention, attention, 2, attention.dtype)
            of_energy = torch.baddbmm(of_energy, of_scores, activated)
            derive(of_scores.mT, activated, grad_input=slope)
            of_keys += slope
            of_query, of_gate = of_projected[step].split((energy.shape[1], 1), dim=1)
            torch.mul(slope.sum(1), energy, out=of_query)
            of_gate.copy_(torch.ops.aten.sigmoid_backward((of_gated * attention).sum(2), gate[:, 0]))
            of_hidden = torch.addmm(of_hidden, of_projected[step], query_weight)
            of_words.append(of_word)
            of_places.append(of_context)
        of_keys *= energy
        of_place = None
        if ctx.needs_input_grad[2]:
            weights = [attention * gate for attention, gate in zip(kept[1::KEPT], kept[2::KEPT], strict=True)]
            of_place = torch.bmm(torch.cat(weights, dim=1).mT, torch.stack(of_places[::-1], dim=1))
        of_inputs = torch.stack(of_words[::-1]), of_hidden, of_place, of_keys
        if not any(ctx.needs_input_grad[4:]):
            return *of_inputs, *[None] * 6
        rows, projected = of_gates.flatten(0, 1), of_projected.flatten(0, 1)
        of_weight, of_bias = torch.mm(joined[:-1].flatten(0, 1).t(), rows).t(), rows.sum(0)
        of_weight[2 * size : 3 * size] *= 2
        of_bias[2 * size : 3 * size] *= 2
        return (
            *of_inputs,
            torch.mm(projected.t(), states[:-1].flatten(0, 1)),
            projected.sum(0),
            of_energy.sum(0),
            energy.new_zeros(1),
            of_weight,
            of_bias,
        )
