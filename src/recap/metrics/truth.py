"""Whether a caption of a scene is true: each of its claims against the scene graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from recap.sources.scenes.captions import Statement, read_caption
from recap.sources.scenes.graphs import Scene, SceneObject, from_json, position_holds, relation_holds


@dataclass(frozen=True)
class Claim:
    """One thing that a caption says, and whether it is so.

    Attributes:
        kind: digit, colour, size, position, relation, count or background.
        value: what is claimed, in the words of the scene graph.
        holds: whether it is so in the scene.
    """

    kind: str
    value: str
    holds: bool


def check_caption(caption: str, scene: Mapping[str, Any]) -> list[Claim]:
    """Check the claims of a caption.

    A digit that the caption mentions is taken to be the object of the scene that leaves the fewest claims
    false; two mentions are two objects, so all claims about a second digit fail where there is one.

    Args:
        caption: a sentence; case and punctuation do not matter.
        scene: its scene graph as in scenes_{split}.json.

    Returns:
        The claims in the order of the sentence; none for what is no sentence of the grammar: it is not true.

    Raises:
        InputError: the scene graph is none.
    """
    statements = read_caption(caption)
    if statements is None:
        return []
    graph = from_json(scene)
    mentions = 1 + max(statement.mention or 0 for statement in statements)
    candidates: list[SceneObject | None] = [*graph.objects]
    candidates += [None] * (mentions - len(candidates))
    readings = [
        [
            Claim(statement.kind, statement.value, _holds(statement, graph, objects))
            for statement in statements
        ]
        for objects in permutations(candidates, mentions)
    ]
    return max(readings, key=lambda claims: sum(claim.holds for claim in claims))


def is_true(claims: Sequence[Claim]) -> bool:
    """Return whether a caption claims something and all of it holds."""
    return bool(claims) and all(claim.holds for claim in claims)


def balance(claims: Sequence[Claim]) -> int:
    """Return how many more claims hold than do not; -1 where there are none, as a false one alone has."""
    return sum(1 if claim.holds else -1 for claim in claims) if claims else -1


def _holds(statement: Statement, scene: Scene, objects: Sequence[SceneObject | None]) -> bool:
    """Return ``objects``: what each mention of the caption is taken to be."""
    kind, value = statement.kind, statement.value
    if kind == "background":
        return value == scene.background
    if kind == "count":
        return value == str(len(scene.objects))
    if kind == "relation":
        subject, other = objects
        return subject is not None and other is not None and relation_holds(value, subject, other)
    object_ = objects[statement.mention or 0]
    if object_ is None:
        return False
    if kind == "position":
        return position_holds(value, object_)
    return value == str({"digit": object_.digit, "colour": object_.colour, "size": object_.size}[kind])
