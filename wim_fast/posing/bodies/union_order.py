"""Other orders of a `unions.union_sequence`, in which what is known of joints counts too."""

from __future__ import annotations

from collections.abc import Sequence

from wim_fast.posing.bodies.unions import Union


def brought_forward(steps: Sequence[Union], parts: tuple[int, int], cost: float, taken: int) -> list[Union]:
    """Two bodies are united after so many steps, at this cost, and not when their turn would come.

    parts: any of either body.
    """
    pairs = [(*step.pair, step.cost) for step in steps]
    return _named([*pairs[:taken], (*parts, cost), *pairs[taken:]])


def set_apart(steps: Sequence[Union], alone: Sequence[tuple[int, int, float]], taken: int) -> list[Union]:
    """Parts are bodies of their own until unions cost more than theirs.

    Args:
        alone: a part, a part of the body that it is united with in the end, and the cost of that.
        taken: so many steps they had been united with others at no cost of their own.
    """
    apart = {part for part, _, _ in alone}
    bodies = {part: {part} for step in steps for part in step.pair}
    pairs, done = [], 0
    for k, step in enumerate(steps):
        first, second = (bodies[part] - apart for part in step.pair)
        bodies[step.pair[0]] |= bodies.pop(step.pair[1])
        if first and second:
            pairs.append((min(first), min(second), step.cost))
            done += k < taken
    for part, other, cost in sorted(alone, key=lambda one: one[2]):
        while done < len(pairs) and pairs[done][2] <= cost:
            done += 1
        pairs.insert(done, (part, other, cost))
        done += 1
    return _named(pairs)


def _named(pairs: Sequence[tuple[int, int, float]]) -> list[Union]:
    """Unions of the bodies that two parts belong to, unless it is one, by the bodies' first parts."""
    first = {part: part for a, b, _ in pairs for part in (a, b)}
    steps = []
    for a, b, cost in pairs:
        kept, gone = sorted((first[a], first[b]))
        if kept != gone:
            first |= {part: kept for part, body in first.items() if body == gone}
            steps.append(Union((kept, gone), cost))
    return steps
