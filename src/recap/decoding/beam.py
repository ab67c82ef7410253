"""Beam search, batched over images and beams, and diverse beam search.

Shapes: N images, D feature, V vocabulary, R rows (hypotheses that are not finished), T words so far,
G groups, B hypotheses of a group, K = G B hypotheses of an image, C candidates of a row, F finished ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recap.decoding.caption import Constraints
from recap.decoding.search import NEVER, StepDecoder, Words, forbid, select
from recap.text.vocabulary import END, START


@dataclass(frozen=True)
class _Rows:
    """Hypotheses: image, group, slot in the group (R,), words and log-probabilities so far (R, T)."""

    image: Tensor
    group: Tensor
    slot: Tensor
    prefix: Tensor
    logs: Tensor

    def chosen(self, rows: Tensor) -> "_Rows":
        return _Rows(*(part.index_select(0, rows) for part in vars(self).values()))


def beam(
    decoder: StepDecoder,
    features: Tensor,
    constraints: Constraints,
    image_ids: Sequence[int] = (),
    *,
    width: int,
    length_normalisation: float = 0.0,
    n_best: int = 1,
    groups: int = 1,
    diversity: float = 0.0,
) -> list[list[Words]]:
    """Follow the likeliest beginnings of captions; a finished one keeps its place in the beam.

    A finished hypothesis is set aside, and its image goes on with one hypothesis less (Sutskever et al.
    2014). Hypotheses are ranked by log-probability / steps^length_normalisation, <END> counted as a step. An
    image leaves the batch when no hypothesis can reach its ``n_best`` any more, which changes no result.

    With ``groups``, parts of the beam choose their words one after the other: each lowers a word's
    log-probability by ``diversity`` for every hypothesis of an earlier group that has just chosen it (Hamming
    diversity, Vijayakumar et al. 2018). The final ranking ignores this penalty.

    Args:
        decoder, features, constraints, image_ids: as in ``Search``.
        width: K, hypotheses an image; 1 is greedy search.
        length_normalisation: 0 ranks by probability, 1 by the mean log-probability of a word.
        n_best: captions an image to return, at most K.
        groups: G, a divisor of K.
        diversity: not negative.

    Returns:
        For each image up to ``n_best`` captions, best first.
    """
    count, device, size = len(features), features.device, width // groups
    image = torch.arange(count, device=device).repeat_interleave(groups)  # (N G,)
    nothing = torch.zeros((len(image), 0), device=device)
    rows = _Rows(
        image,
        torch.arange(groups, device=device).repeat(count),
        torch.zeros_like(image),
        nothing.long(),
        nothing.to(features.dtype),
    )
    state = decoder.start(features)
    if groups > 1:
        state = select(state, image)
    tokens = torch.full_like(image, START)  # (R,)
    places = torch.full((count, groups), size, device=device)  # of each group, not taken by finished ones
    finished: list[list[tuple[float, Words]]] = [[] for _ in range(count)]
    best = torch.full((count, n_best), NEVER, dtype=features.dtype, device=device)  # finished scores
    longest_scale = float(constraints.max_length**length_normalisation)
    for step in range(constraints.max_length):
        scores, state = decoder.step(tokens, state)
        own = scores.log_softmax(1)  # (R, V)
        forbid(own, rows.prefix, constraints)
        parents, slots, tokens = _extend(own, rows, places, size, diversity)
        logs = own[parents, tokens, None].to(rows.logs.dtype)  # (R, 1), R from here on after this step
        rows = rows.chosen(parents)
        rows = _Rows(
            rows.image,
            rows.group,
            slots,
            torch.cat((rows.prefix, tokens[:, None]), dim=1),
            torch.cat((rows.logs, logs), dim=1),
        )
        totals = rows.logs.sum(1)  # (R,)
        ended = tokens == END
        if step + 1 == constraints.max_length:
            ended = torch.ones_like(ended)
        if bool(ended.any()):
            over = ended.nonzero()[:, 0]  # (F,)
            final = totals[over] / float((step + 1) ** length_normalisation)
            done = rows.chosen(over)
            _keep(finished, done, final)
            places.index_put_((done.image, done.group), torch.tensor(-1, device=device), accumulate=True)
            fresh = torch.full((count, groups * size), NEVER, dtype=best.dtype, device=device)
            fresh[done.image, done.group * size + done.slot] = final
            best = torch.cat((best, fresh), dim=1).topk(n_best).values
        # an upper bound of the final score: the present log-probability over the largest number of steps
        bounds = torch.where(ended, NEVER, totals / longest_scale)
        bound = torch.full((count,), NEVER, dtype=bounds.dtype, device=device)
        bound = bound.scatter_reduce(0, rows.image, bounds, "amax")  # (N,)
        going = (~ended & (bound > best[:, -1])[rows.image]).nonzero()[:, 0]
        if not len(going):
            break
        rows, tokens, state = rows.chosen(going), tokens[going], select(state, parents[going])
    return [
        [words for _, words in sorted(own_finished, key=lambda scored: -scored[0])[:n_best]]
        for own_finished in finished
    ]


def _extend(
    logs: Tensor, rows: _Rows, places: Tensor, size: int, diversity: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Choose the best continuations of every group, by their logs (R, V); ``places`` (N, G) says how many.

    Returns:
        For each continuation its row, its slot in the group, and the new word; best first in each group.
    """
    count, groups = places.shape
    candidates = min(size, logs.shape[1])  # C
    totals = rows.logs.sum(1, keepdim=True)  # (R, 1)
    chosen_before = torch.zeros((count, logs.shape[1]), dtype=logs.dtype, device=logs.device)  # (N, V)
    chosen: list[tuple[Tensor, Tensor, Tensor]] = []
    for group in range(groups):
        own = (rows.group == group).nonzero()[:, 0] if groups > 1 else torch.arange(len(logs)).to(places)
        image, slot = rows.image[own], rows.slot[own]
        own_logs = logs[own] if groups > 1 else logs
        if group and diversity:
            own_logs -= diversity * chosen_before[image]
        values, words = own_logs.topk(candidates)  # (R', C)
        grid = torch.full((count, size, candidates), NEVER, dtype=values.dtype, device=logs.device)
        grid[image, slot] = values + totals[own]
        top, place = grid.flatten(1).topk(size)  # (N, B C) -> (N, B)
        free = torch.arange(size, device=logs.device) < places[:, group, None]
        taken_image, rank = (free & (top > NEVER)).nonzero(as_tuple=True)
        taken = place[taken_image, rank]
        row_at = torch.zeros((count, size), dtype=torch.int64, device=logs.device)
        row_at[image, slot] = torch.arange(len(own), device=logs.device)
        parent = row_at[taken_image, taken // candidates]
        token = words[parent, taken % candidates]
        if group + 1 < groups:
            one = torch.ones((), dtype=chosen_before.dtype, device=logs.device)
            chosen_before.index_put_((taken_image, token), one, accumulate=True)
        chosen.append((own[parent], rank, token))
    parents, slots, tokens = (torch.cat(parts) for parts in zip(*chosen, strict=True))
    return parents, slots, tokens


def _keep(finished: list[list[tuple[float, Words]]], done: _Rows, final: Tensor) -> None:
    """Set finished hypotheses aside with their scores (F,)."""
    for image, score, tokens, logs in zip(
        done.image.tolist(), final.tolist(), done.prefix.tolist(), done.logs.tolist(), strict=True
    ):
        finished[image].append((score, Words(tokens, logs)))
