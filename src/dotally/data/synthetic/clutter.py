"""Things on the square that are no people, several of them with a round top about the size of a head."""

import math
from collections.abc import Callable

import numpy as np

from dotally.data.synthetic.brush import Brush, Colour, shade
from dotally.data.synthetic.people import CLOTHES, pick

IRON: list[Colour] = [(46, 48, 52), (70, 66, 62), (40, 58, 52), (96, 98, 100), (160, 160, 156)]
WOOD: Colour = (88, 70, 52)
WHITE: Colour = (236, 232, 222)
LEAVES: list[Colour] = [(58, 84, 46), (74, 104, 56), (92, 118, 62), (48, 70, 52), (110, 122, 70)]

Painter = Callable[[Brush, float, float, np.random.Generator], None]


def paint_bollard(brush: Brush, right: float, away: float, rng: np.random.Generator) -> None:
    """Paint a waist-high post with a ball on top."""
    iron, high = pick(IRON, rng), rng.uniform(0.8, 1.2)
    brush.rod((right, 0.0, away), (right, high, away), 0.16, iron)
    brush.ball((right, high, away), rng.uniform(0.10, 0.15), shade(iron, 1.1))
    brush.ball((right - 0.03, high + 0.04, away), 0.05, shade(iron, 1.6))


def paint_lamp(brush: Brush, right: float, away: float, rng: np.random.Generator) -> None:
    """Paint a street lamp with one or two globes."""
    iron, high = pick(IRON, rng), rng.uniform(2.8, 4.2)
    brush.rod((right, 0.0, away), (right, 0.6, away), 0.2, iron)
    brush.rod((right, 0.0, away), (right, high, away), 0.1, iron)
    for side in (-0.3, 0.3) if rng.random() < 0.5 else (0.0,):
        brush.rod((right, high - 0.3, away), (right + side, high - 0.2, away), 0.06, iron)
        brush.ball((right + side, high, away), 0.19, (214, 208, 190))
        brush.ball((right + side - 0.04, high + 0.05, away), 0.1, (250, 246, 228))


def paint_bin(brush: Brush, right: float, away: float, rng: np.random.Generator) -> None:
    """Paint a litter bin with a lid."""
    iron = pick(IRON, rng)
    brush.disc((right, 0.02, away), 0.26, iron)
    brush.rod((right, 0.0, away), (right, 0.9, away), 0.52, iron)
    brush.disc((right, 0.9, away), 0.28, shade(iron, 1.35))
    brush.disc((right, 0.92, away), 0.13, (24, 24, 26))


def paint_shrub(brush: Brush, right: float, away: float, rng: np.random.Generator) -> None:
    """Paint a bush in a tub, its leaves discs of about the size of heads."""
    green, size = pick(LEAVES, rng), rng.uniform(0.4, 0.8)
    brush.rod((right, 0.0, away), (right, 0.5, away), 0.8 * size + 0.3, pick(IRON, rng))
    brush.rod((right, 0.5, away), (right, 0.5 + size, away), 0.1, WOOD)
    for lit in np.linspace(0.6, 1.45, 36).tolist():
        x, y = (rng.standard_normal(2) * 0.5 * size).tolist()
        up = 0.65 + 0.8 * size + 0.8 * y + 0.35 * size * (lit - 1.0)
        brush.ball((right + x, up, away), rng.uniform(0.10, 0.20), shade(green, lit))


def paint_umbrella(brush: Brush, right: float, away: float, rng: np.random.Generator) -> None:
    """Paint a parasol over a table; it hides whoever is behind it."""
    cloth = (pick(CLOTHES, rng), pick(CLOTHES, rng) if rng.random() < 0.5 else WHITE)
    wide, turn = rng.uniform(0.9, 1.5), rng.uniform(0.0, 1.0)
    brush.rod((right, 0.0, away), (right, 2.6, away), 0.07, WOOD)
    brush.disc((right, 0.75, away), 0.5, shade(WOOD, 2.0))
    rim = [(wide * math.cos(angle), wide * math.sin(angle)) for angle in turn + np.arange(9) * math.pi / 4]
    # eight wedges in two colours, the far ones first
    for wedge in sorted(range(8), key=lambda wedge: -rim[wedge][1] - rim[wedge + 1][1]):
        corners = [(right + x, 2.15, away + z) for x, z in rim[wedge : wedge + 2]]
        lit = 0.9 - 0.08 * (rim[wedge][1] + rim[wedge + 1][1]) / wide
        brush.face([(right, 2.65, away), *corners], shade(cloth[wedge % 2], lit))


THINGS: list[tuple[Painter, float, float]] = [
    (paint_bollard, 1.0, 0.16),
    (paint_lamp, 3.5, 0.12),
    (paint_bin, 0.9, 0.5),
    (paint_shrub, 1.4, 0.9),
    (paint_umbrella, 2.3, 2.0),
]
"""How to paint each thing, and how tall and wide it is in metres, for its shadow."""
