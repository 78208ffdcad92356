"""Unions in other orders: by the bodies' first parts, each once."""

from __future__ import annotations

from wim_fast.posing.bodies.union_order import brought_forward, set_apart
from wim_fast.posing.bodies.unions import Union


def unions(*steps: tuple[tuple[int, int], float]) -> list[Union]:
    return [Union(*step) for step in steps]


STEPS = unions(((0, 1), 0.1), ((0, 2), 0.2), ((3, 4), 0.3), ((0, 3), 5.0))


def test_a_first_part_set_apart() -> None:
    apart = set_apart(STEPS, [(0, 1, 7.0)], taken=3)
    assert apart == unions(((1, 2), 0.2), ((3, 4), 0.3), ((1, 3), 5.0), ((0, 1), 7.0))


def test_parts_set_apart_until_unions_cost_more() -> None:
    apart = set_apart(STEPS, [(1, 0, 3.0), (2, 0, 2.0)], taken=3)
    assert apart == unions(((3, 4), 0.3), ((0, 2), 2.0), ((0, 1), 3.0), ((0, 3), 5.0))


def test_a_part_is_not_united_before_what_was_taken() -> None:
    apart = set_apart(STEPS, [(2, 1, 0.25)], taken=3)
    assert apart == unions(((0, 1), 0.1), ((3, 4), 0.3), ((0, 2), 0.25), ((0, 3), 5.0))


def test_nothing_set_apart() -> None:
    assert set_apart(STEPS, [], taken=2) == STEPS


def test_bodies_brought_forward() -> None:
    early = brought_forward(STEPS, (2, 3), 0.01, taken=1)
    assert early == unions(((0, 1), 0.1), ((2, 3), 0.01), ((0, 2), 0.2), ((0, 4), 0.3))
    assert brought_forward(STEPS, (1, 4), 0.0, taken=3) == unions(
        ((0, 1), 0.1), ((0, 2), 0.2), ((3, 4), 0.3), ((0, 3), 0.0)
    )
