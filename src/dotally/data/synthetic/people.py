"""What a person looks like from above and afar: legs, arms, torso, shoulders and, above all, a head."""

import numpy as np

from dotally.data.synthetic.brush import Brush, Colour, shade
from dotally.data.synthetic.heads import HEAD_RADIUS

SKIN: list[Colour] = [
    (246, 214, 189), (235, 194, 160), (222, 174, 136), (198, 144, 106), (161, 110, 77), (112, 74, 52), (76, 51, 39),
]  # fmt: skip
HAIR: list[Colour] = [
    (28, 24, 24), (44, 32, 27), (70, 47, 34), (104, 68, 43), (156, 112, 66), (212, 176, 116), (150, 146, 142),
    (222, 219, 214),
]  # fmt: skip
CLOTHES: list[Colour] = [
    (33, 37, 49), (47, 52, 64), (72, 78, 88), (128, 132, 138), (188, 190, 192), (236, 234, 228),
    (40, 62, 104), (66, 98, 150), (124, 158, 196), (34, 98, 106), (64, 142, 134), (74, 92, 58),
    (124, 134, 84), (216, 180, 82), (232, 146, 62), (206, 88, 60), (176, 46, 50), (110, 34, 48),
    (222, 152, 156), (134, 92, 140), (120, 90, 64), (190, 160, 122), (224, 208, 178),
]  # fmt: skip
TROUSERS: list[Colour] = [*CLOTHES[:4], *CLOTHES[6:8], *CLOTHES[-3:]]
SHOES: Colour = (42, 38, 36)

BEHIND = 0.35
"""Share of the people whose face is turned away."""


def paint_person(brush: Brush, right: float, away: float, rng: np.random.Generator, *, tall: float) -> None:
    """Paint somebody ``tall`` metres tall in the clothes of the moment, the head on top of the rest."""
    top, skin, build = pick(CLOTHES, rng), pick(SKIN, rng), rng.uniform(0.88, 1.12)
    if rng.random() < 0.2:
        _paint_dress(brush, right, away, tall, top, skin)
    else:
        _paint_legs(brush, right, away, tall, pick(TROUSERS, rng), stride=rng.uniform(-0.16, 0.16))
    _paint_arms(brush, right, away, tall, shade(top, 0.78), skin, reach=0.21 * build)
    _paint_torso(brush, right, away, tall, top, build)
    behind = rng.random() < BEHIND
    if behind and rng.random() < 0.4:
        brush.ball((right, 0.74 * tall, away), 0.16, pick(CLOTHES, rng), tall=1.2)
    hair = pick(CLOTHES if rng.random() < 0.15 else HAIR, rng)
    _paint_head(brush, right, away, tall, hair, None if behind else skin, turned=rng.uniform(-0.03, 0.03))


def pick(colours: list[Colour], rng: np.random.Generator) -> Colour:
    """Return one of ``colours``, a little lighter or darker."""
    return shade(colours[int(rng.integers(len(colours)))], rng.uniform(0.85, 1.12))


def _paint_legs(brush: Brush, right: float, away: float, tall: float, colour: Colour, *, stride: float) -> None:
    for side, lit in ((-1, 0.8), (1, 1.0)):
        hip = (right + side * 0.08, 0.53 * tall, away)
        knee = (right + side * (0.08 + stride / 2), 0.25 * tall, away)
        foot = (right + side * (0.06 + stride), 0.04, away)
        brush.rod(hip, knee, 0.16, shade(colour, lit))
        brush.rod(knee, foot, 0.13, shade(colour, lit))
        brush.ball(foot, 0.07, SHOES, tall=0.6)


def _paint_dress(brush: Brush, right: float, away: float, tall: float, colour: Colour, skin: Colour) -> None:
    for leg in (right - 0.07, right + 0.07):
        brush.rod((leg, 0.5 * tall, away), (leg, 0.03, away), 0.09, skin)
    waist, hem = 0.59 * tall, 0.25 * tall
    corners = ((-0.14, waist), (0.14, waist), (0.25, hem), (-0.25, hem))
    brush.face([(right + across, up, away) for across, up in corners], shade(colour, 0.9))


def _paint_arms(
    brush: Brush, right: float, away: float, tall: float, sleeve: Colour, skin: Colour, *, reach: float
) -> None:
    for side in (-1, 1):
        hand = (right + side * (reach + 0.04), 0.49 * tall, away)
        brush.rod((right + side * reach, 0.79 * tall, away), hand, 0.09, sleeve)
        brush.ball(hand, 0.045, skin)


def _paint_torso(brush: Brush, right: float, away: float, tall: float, colour: Colour, build: float) -> None:
    brush.ball((right, 0.67 * tall, away), 0.185 * build, shade(colour, 0.86), tall=1.45)
    brush.ball((right, 0.81 * tall, away), 0.225 * build, colour, tall=0.5)
    brush.ball((right - 0.03, 0.71 * tall, away), 0.13 * build, colour, tall=1.5)


def _paint_head(
    brush: Brush, right: float, away: float, tall: float, hair: Colour, face: Colour | None, *, turned: float
) -> None:
    brush.ball((right, tall - HEAD_RADIUS, away), HEAD_RADIUS, hair)
    if face is not None:
        brush.ball((right + turned, tall - 0.16, away), 0.095, face)
    brush.ball((right - 0.03, tall - 0.05, away), 0.05, shade(hair, 1.25))
