"""The recurrence of an LSTM that looks at places before each word (Xu et al. 2015, arXiv:1502.03044).

Autograd would note some thirty operations a word, and add up the gradients of weights word by word.

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
    asking: tuple[Tensor, Tensor],
    energy: tuple[Tensor, Tensor],
    gates: tuple[Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """Look at places before each word, and read the word and what was seen.

    From h_0 = ``first`` and c_0 = 0: (q_t, b_t) = W_q h_{t-1} + b_q; z_t = sigmoid(b_t) alpha_t places, with
    alpha_t = softmax(w sigmoid(keys + q_t)); h_t and c_t are those of an LSTM that reads (x_t, z_t).

    Equation 4 has tanh x = 2 sigmoid(2 x) - 1: with keys, W_q and w doubled it is this, as the softmax does
    not see what all places share.

    Args:
        words: x_1 .. x_T, (T, N, W).
        first: (N, H).
        places, keys: (N, P, M), (N, P, A).
        asking: W_q (A + 1, H) and b_q (A + 1,).
        energy: w (1, A), and a bias (1,), which the softmax does not see.
        gates: the LSTM's weight (4 H, W + M + H) of x_t, z_t and h_{t-1}, and its bias (4 H,).

    Returns:
        h_1 .. h_T and beside each z_t, (T, N, H + M); alpha_1 .. alpha_T, (N, T, P).
    """
    told, looks = _AttentiveRecurrence.apply(words, first, places, keys, *asking, *energy, *gates)
    return told, looks


class _AttentiveRecurrence(torch.autograd.Function):
    """Keeps words, what was seen and states side by side, as ``recurrence._GatedRecurrence`` does.

    Products are torch's own, for which the portable arithmetic has kernels: natively, MKL's of these sizes
    take less time than those of ``recap.runtime.linear``.
    """

    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        words, first, places, keys, asking, asking_bias, energy, _, weight, bias = inputs
        steps, count, width = words.shape
        size, channels, among = first.shape[1], places.shape[2], keys.shape[2]
        joined = words.new_empty(steps + 1, count, width + channels + size)
        of_word, of_place, of_state = joined.split((width, channels, size), dim=2)
        of_word[:-1] = words
        of_state[0] = first
        weight, bias = weight.clone(), bias.clone()
        weight[2 * size : 3 * size] *= 2  # as tanh x = 2 sigmoid(2 x) - 1
        bias[2 * size : 3 * size] *= 2
        energies = energy.expand(count, 1, among)
        hidden, cell = first, torch.zeros_like(first)
        kept: list[Tensor] = []
        for read, seen, following in zip(joined, of_place, of_state[1:], strict=False):
            asked = torch.addmm(asking_bias, hidden, asking.t())[:, None]
            query, share = asked.split((among, 1), dim=2)  # (N, 1, A), (N, 1, 1)
            bent = (keys + query).sigmoid()
            look = torch.bmm(energies, bent.mT).softmax(2)  # (N, 1, P)
            share = share.sigmoid()
            seen.copy_(torch.bmm(look * share, places)[:, 0])
            opened = torch.addmm(bias, read, weight.t()).sigmoid_()  # (N, 4 H)
            enter, forget, block, leave = opened.chunk(4, dim=1)  # (N, H) each
            block = 2 * block - 1
            before, cell = cell, torch.addcmul(forget * cell, enter, block)
            squash = (2 * cell).sigmoid_().mul_(2).sub_(1)
            hidden = torch.mul(leave, squash, out=following)
            kept += (bent, look, share, opened, block, before, squash)
        ctx.save_for_backward(joined, places, asking, energy, weight, *kept)
        return torch.cat((of_state[1:], of_place[:-1]), dim=2), torch.cat(kept[1::KEPT], dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_told: Tensor, of_looks: Tensor) -> tuple[Tensor | None, ...]:
        joined, places, asking, energy, weight, *kept = ctx.saved_tensors
        steps, count, channels, size = len(joined) - 1, len(places), places.shape[2], asking.shape[1]
        widths = joined.shape[2] - channels - size, channels, size
        states = joined[:, :, -size:]
        derive = torch.ops.aten.sigmoid_backward.grad_input
        before = joined.new_empty(steps, count, 4 * size)  # of the gates before sigmoid
        before_asked = joined.new_empty(steps, count, len(asking))
        of_keys, slope = torch.zeros_like(kept[0]), torch.empty_like(kept[0])  # (N, P, A)
        of_energy, of_words, of_places = torch.zeros_like(kept[0][:, :1]), [], []
        carried, of_cell = (torch.zeros_like(kept[-1]) for _ in range(2))  # (N, H)
        for step in reversed(range(steps)):
            bent, look, share, opened, block, cell, squash = kept[KEPT * step : KEPT * (step + 1)]
            enter, forget, _, leave = opened.chunk(4, dim=1)
            of_hidden, of_told_seen = of_told[step].split((size, channels), dim=1)
            carried += of_hidden
            # the slope of tanh c is 1 - tanh c tanh c
            of_cell.addcmul_(carried, torch.addcmul(leave, states[step + 1], squash, value=-1))
            into = before[step]
            of_enter, of_forget, of_block, of_leave = into.chunk(4, dim=1)
            torch.mul(of_cell, block, out=of_enter)
            torch.mul(of_cell, cell, out=of_forget)
            torch.mul(of_cell, 2 * enter, out=of_block)
            torch.mul(carried, squash, out=of_leave)
            derive(into, opened, grad_input=into)
            of_cell *= forget
            of_word, of_seen, carried = torch.mm(into, weight).split(widths, dim=1)
            of_seen += of_told_seen
            of_shared = torch.bmm(of_seen[:, None], places.mT)  # (N, 1, P), of share times look
            of_look = torch.addcmul(of_looks[:, step, None], of_shared, share)
            of_own = torch._softmax_backward_data(of_look, look, 2, look.dtype)
            of_energy = torch.baddbmm(of_energy, of_own, bent)
            derive(of_own.mT, bent, grad_input=slope)
            of_keys += slope
            of_query, of_share = before_asked[step].split((energy.shape[1], 1), dim=1)
            torch.mul(slope.sum(1), energy, out=of_query)
            of_share.copy_(torch.ops.aten.sigmoid_backward((of_shared * look).sum(2), share[:, 0]))
            carried = torch.addmm(carried, before_asked[step], asking)
            of_words.append(of_word)
            of_places.append(of_seen)
        of_keys *= energy
        of_place = None
        if ctx.needs_input_grad[2]:
            shares = [look * share for look, share in zip(kept[1::KEPT], kept[2::KEPT], strict=True)]
            of_place = torch.bmm(torch.cat(shares, dim=1).mT, torch.stack(of_places[::-1], dim=1))
        of_inputs = torch.stack(of_words[::-1]), carried, of_place, of_keys
        if not any(ctx.needs_input_grad[4:]):
            return *of_inputs, *[None] * 6
        rows, asked = before.flatten(0, 1), before_asked.flatten(0, 1)
        of_weight, of_bias = torch.mm(joined[:-1].flatten(0, 1).t(), rows).t(), rows.sum(0)
        of_weight[2 * size : 3 * size] *= 2
        of_bias[2 * size : 3 * size] *= 2
        return (
            *of_inputs,
            torch.mm(asked.t(), states[:-1].flatten(0, 1)),
            asked.sum(0),
            of_energy.sum(0),
            energy.new_zeros(1),
            of_weight,
            of_bias,
        )
