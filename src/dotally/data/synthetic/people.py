"""What a person looks like from above and afar: legs, torso, shoulders, arms and, above all, a head."""

import numpy as np

from dotally.data.synthetic.brush import Brush, Colour, shade
from dotally.data.synthetic.heads import HEAD_RADIUS

SKIN: list[Colour] = [(246, 214, 189), (235, 194, 160), (222, 174, 136), (198, 144, 106), (161, 110, 77), (112, 74, 52), (76, 51, 39)]
HAIR: list[Colour] = [(28, 24, 24), (44, 32, 27), (70, 47, 34), (104, 68, 43), (156, 112, 66), (212, 176, 116), (150, 146, 142), (222, 219, 214)]
CLOTHES: list[Colour] = [
    (33, 37, 49), (47, 52, 64), (72, 78, 88), (128, 132, 138), (188, 190, 192), (236, 234, 228),
    (40, 62, 104), (66, 98, 150), (124, 158, 196), (34, 98, 106), (64, 142, 134), (74, 92, 58),
    (124, 134, 84), (216, 180, 82), (232, 146, 62), (206, 88, 60), (176, 46, 50), (110, 34, 48),
    (222, 152, 156), (134, 92, 140), (120, 90, 64), (190, 160, 122), (224, 208, 178),
]  # fmt: skip
TROUSERS = [*CLOTHES[:4], *CLOTHES[6:8], *CLOTHES[-3:]]
BEHIND = 0.35


def paint_person(
    brush: Brush, right: float, away: float, tall: float, rng: np.random.Generator
) -> None:
    """Paint one person on the ground at (right, away), in clothes and a posture of the moment."""
    top, bottom = pick(CLOTHES, rng), pick(TROUSERS, rng)
    skin, build = pick(SKIN, rng), rng.uniform(0.88, 1.12)
    hip, chest, shoulder = 0.50 * tall, 0.68 * tall, 0.81 * tall
    if rng.random() < 0.2:
        _paint_dress(brush, right, away, hip, top, skin)
    else:
        _paint_legs(brush, right, away, hip, bottom, rng.uniform(-0.16, 0.16))
    for side in (-1, 1):
        arm = right + side * 0.21 * build
        brush.rod((arm, shoulder - 0.03, away), (arm + side * 0.04, hip, away), 0.09, shade(top, 0.78))
        brush.ball((arm + side * 0.04, hip - 0.03, away), 0.045, skin)
    brush.ball((right, chest - 0.02, away), 0.185 * build, shade(top, 0.86), tall=1.45)
    brush.ball((right, shoulder, away), 0.225 * build, top, tall=0.5)
    brush.ball((right - 0.03, chest + 0.05, away), 0.13 * build, top, tall=1.5)
    behind = rng.random() < BEHIND
    if behind and rng.random() < 0.4:
        brush.ball((right, chest + 0.06, away), 0.16, pick(CLOTHES, rng), tall=1.2)
    _paint_head(brush, right, away, tall, skin, behind, rng)


def _paint_legs(brush: Brush, right: float, away: float, hip: float, colour: Colour, stride: float) -> None:
    for side, tone in ((-1, 0.8), (1, 1.0)):
        knee = (right + side * (0.08 + stride / 2), hip / 2, away)
        foot = (right + side * (0.06 + stride), 0.04, away)
        brush.rod((right + side * 0.08, hip + 0.05, away), knee, 0.16, shade(colour, tone))
        brush.rod(knee, foot, 0.13, shade(colour, tone))
        brush.ball(foot, 0.07, (42, 38, 36), tall=0.6)


def _paint_dress(brush: Brush, right: float, away: float, hip: float, colour: Colour, skin: Colour) -> None:
    for side in (-0.07, 0.07):
        brush.rod((right + side, hip, away), (right + side, 0.03, away), 0.09, skin)
    hem = [(right + 0.25, hip * 0.5, away), (right - 0.25, hip * 0.5, away)]
    brush.face([(right - 0.14, hip + 0.15, away), (right + 0.14, hip + 0.15, away), *hem], shade(colour, 0.9))


def _paint_head(
    brush: Brush, right: float, away: float, tall: float, skin: Colour, behind: bool, rng: np.random.Generator
) -> None:
    middle = (right, tall - HEAD_RADIUS, away)
    hair = pick(CLOTHES if rng.random() < 0.15 else HAIR, rng)
    turned = rng.uniform(-0.03, 0.03)
    brush.rod((right, tall - 0.3, away), (right, tall - 0.2, away), 0.1, shade(skin, 0.8))
    brush.ball(middle, HEAD_RADIUS, hair)
    if not behind:
        brush.ball((right + turned, tall - 0.16, away), 0.095, skin)
    brush.ball((right - 0.03, tall - 0.05, away), 0.05, shade(hair, 1.25))


def pick(colours: list[Colour], rng: np.random.Generator) -> Colour:
    return shade(colours[int(rng.integers(len(colours)))], rng.uniform(0.85, 1.12))
