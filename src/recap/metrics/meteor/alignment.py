"""Chooses matches so that every word is in at most one: a search with a beam along the reference.

What the paper (Denkowski and Lavie 2014) leaves open was observed from METEOR's answers. Matches that compete
with no other are taken at once. The search goes along the reference; the rank of a path is by weight, then by
chunks that are complete, then by the distances of the free matches that it passed by. Of equal paths the
first stays first: one that takes a match, in the order of the matches, before the one that takes none.
"""

from collections.abc import Sequence
from operator import itemgetter

from recap.metrics.meteor.matching import EXACT, Match

BEAM = 40

_Path = tuple[int, int, int, int, int, int, tuple[Match, ...]]
"""An alignment of the reference's beginning.

Its fields: less the words matched, where exact matches count whole and others half in each text, cut to an
integer; chunks that are complete; the sum of the distances of the matches that were free and not taken, up to
the last taken; bits of the caption's words that are in a match; the first word of the reference after the
last match; where a match has to start in the caption to go on with a chunk, or -1; the matches taken.
"""
_rank = itemgetter(0, 1, 2)


def align(matches: Sequence[Match], reference_length: int, beam: int = BEAM) -> list[Match]:
    """Choose the matches of an alignment.

    Args:
        matches: all that there are, by stage; of those that start at one word of the reference, the first is
            preferred.
        reference_length: how many words the reference has.
        beam: how many paths are kept at each word of the reference.

    Returns:
        The matches, in the order of the caption.
    """
    fixed, rest = _split(matches)
    return sorted(_search(fixed, rest, reference_length, beam) if rest else fixed)


def _bits(start: int, length: int) -> int:
    return ((1 << length) - 1) << start


def _split(matches: Sequence[Match]) -> tuple[list[Match], list[Match]]:
    """Return the matches that compete with no other, and the others."""
    once = twice = reference_once = reference_twice = 0
    for start, length, place, size, _ in matches:
        mask, reference_mask = _bits(start, length), _bits(place, size)
        twice |= once & mask
        once |= mask
        reference_twice |= reference_once & reference_mask
        reference_once |= reference_mask
    fixed: list[Match] = []
    rest: list[Match] = []
    for match in matches:
        start, length, place, size, _ = match
        competes = twice & _bits(start, length) or reference_twice & _bits(place, size)
        (rest if competes else fixed).append(match)
    return fixed, rest


def _search(
    fixed: Sequence[Match], matches: Sequence[Match], reference_length: int, beam: int
) -> tuple[Match, ...]:
    taken = {match.reference_start: match for match in fixed}
    by_start: dict[int, list[Match]] = {}
    for match in matches:
        by_start.setdefault(match.reference_start, []).append(match)
    used = 0
    for match in fixed:
        used |= _bits(match.start, match.length)
    paths: list[_Path] = [(0, 0, 0, used, 0, -1, ())]
    for place in range(reference_length):
        if place in taken:
            paths = [_extend(path, taken[place], path[2]) for path in paths]
        else:
            paths = _step(paths, by_start.get(place, ()), place)
        if len(paths) > 1:
            paths.sort(key=_rank)
            del paths[beam:]
    return min((_close(path, path[2]) for path in paths), key=_rank)[6]


def _step(paths: Sequence[_Path], matches: Sequence[Match], place: int) -> list[_Path]:
    result = []
    for path in paths:
        if path[4] > place:
            result.append(path)
            continue
        passed = path[2]
        for match in matches:
            start = match[0]
            if not path[3] & _bits(start, match[1]):
                result.append(_extend(path, match, passed))
                passed += abs(start - place)
        result.append(_close(path, passed))
    return result


def _extend(path: _Path, match: Match, passed: int) -> _Path:
    weight, chunks, _, used, _, end, matches = path
    start, length, place, size, stage = match
    weight -= length + size if stage == EXACT else length // 2 + size // 2
    chunks += end not in (-1, start)
    used |= _bits(start, length)
    return weight, chunks, passed, used, place + size, start + length, (*matches, match)


def _close(path: _Path, passed: int) -> _Path:
    weight, chunks, _, used, reference_end, end, matches = path
    return weight, chunks + (end != -1), passed, used, reference_end, -1, matches
