"""Pictures with their true boxes and those that were found, for people to look at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dotally.data.voc_xml import Box
from dotally.experiment.localization_answers import Answer
from dotally.files import atomic_path

BACKGROUND, INK, FAINT = (20, 20, 24), (245, 245, 245), (170, 170, 178)
TRUE, FOUND, HEAT = (64, 220, 120), (255, 88, 72), (255, 190, 40)
SIDE = 128  # of one picture's longer side, in pixels
LEGEND = {"annotated": TRUE, "found": FOUND, "what the method saw; beside its name the IoU, bright from 0.5": HEAT}
GAP, SPACE, CAPTION, HEAD, MARGIN = 4, 26, 22, 26, 20
WIDTH = 1900  # of a sheet at most, unless one row of methods is wider
METHODS = 7  # of each picture at most
HIT = 0.5  # an IoU from which on a box counts as found


@dataclass(frozen=True, kw_only=True)
class BoxPanel:
    """One picture and what every method found.

    Attributes:
        answer: Labels and boxes.
        image: ``[H, W, 3]`` uint8 RGB as the network saw it.
        maps: ``[H, W]`` of the methods that have one, any scale.
        iou: Of each method's box with the true one it fits best.
    """

    answer: Answer
    image: NDArray[np.uint8]
    maps: Mapping[str, NDArray[np.float32]]
    iou: Mapping[str, float]


def by_place(count: int, number: int) -> list[int]:
    """Return at most ``number`` places spread evenly over ``count`` pictures."""
    return sorted({int(place) for place in np.linspace(0, count - 1, min(number, count)).round()})


def write_box_sheet(path: Path, panels: Sequence[BoxPanel], classes: Sequence[str]) -> None:
    """Write panels as one PNG: a row of methods for each picture, true boxes green, found ones red over what was seen.

    Args:
        path: The file.
        panels: What is drawn; nothing is written where there is none.
        classes: Names of the classes.
    """
    if not panels:
        return
    rows = [_row(panel, classes) for panel in panels]
    widest = max(row.width for row in rows) + SPACE
    across = min(max(1, (WIDTH - 2 * MARGIN + SPACE) // widest), len(rows))
    lines = [rows[first : first + across] for first in range(0, len(rows), across)]
    width = max(across * widest - SPACE, _legend_width()) + 2 * MARGIN
    sheet = Image.new("RGB", (width, MARGIN + HEAD + sum(_tallest(line) for line in lines)), BACKGROUND)
    _legend(sheet)
    top = MARGIN + HEAD
    for line in lines:
        for number, row in enumerate(line):
            sheet.paste(row, (MARGIN + number * widest, top))
        top += _tallest(line)
    with atomic_path(path) as temporary:
        sheet.save(temporary, "PNG")


def draw_picture(panel: BoxPanel, method: str) -> Image.Image:
    """Draw a picture, nearly grey under what a method saw if it has a map, with its box and the true ones."""
    height, width = panel.image.shape[:2]
    scale = SIDE / max(height, width)
    drawn = Image.fromarray(panel.image)
    if method in panel.maps:
        drawn = Image.fromarray(_heated(panel.image, panel.maps[method]))
    drawn = drawn.resize((max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BICUBIC)
    for box in panel.answer.true:
        _frame(drawn, box, scale, TRUE)
    _frame(drawn, panel.answer.found[method], scale, FOUND)
    return drawn


def shown_methods(methods: Sequence[str]) -> list[str]:
    """Return the methods that are drawn: the first few, those that look at nothing left out."""
    return [name for name in methods if name not in ("centre", "whole")][:METHODS] or list(methods[:METHODS])


def _row(panel: BoxPanel, classes: Sequence[str]) -> Image.Image:
    methods = shown_methods(list(panel.answer.found))
    parts = [draw_picture(panel, method) for method in methods]
    row = Image.new("RGB", (len(parts) * (SIDE + GAP) - GAP, 2 * CAPTION + max(p.height for p in parts)), BACKGROUND)
    draw = ImageDraw.Draw(row)
    draw.text((0, 3), _shortened(_title(panel.answer, classes), row.width), INK, _font(14))
    for number, (method, part) in enumerate(zip(methods, parts, strict=True)):
        left = number * (SIDE + GAP)
        row.paste(part, (left, CAPTION))
        iou = panel.iou[method]
        draw.text((left, CAPTION + part.height + 3), f"{method} {iou:.2f}", INK if iou >= HIT else FAINT, _font(12))
    return row


def _title(answer: Answer, classes: Sequence[str]) -> str:
    # a network may know more classes than the data have
    label, said = (classes[n] if n < len(classes) else f"class {n}" for n in (answer.label, answer.predicted))
    return f"{answer.name}: {label}" + ("" if answer.label == answer.predicted else f", taken for {said}")


def _shortened(text: str, width: int) -> str:
    """Return as much of a text as fits into a number of pixels."""
    if _font(14).getlength(text) <= width:
        return text
    while text and _font(14).getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text.rstrip(' ,:')}…"


def _heated(image: NDArray[np.uint8], density: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Lay a map over the picture, dark and nearly grey, from its minimum to its maximum."""
    low, high = float(density.min()), float(density.max())
    share = (density - low) / (high - low if high > low else 1.0)
    # most of a map is low: what is high should stand out of it
    opacity = 0.8 * share[..., None] ** 1.5
    dim = 0.4 * image.mean(axis=2, keepdims=True) + 0.2 * image
    return (dim * (1 - opacity) + np.array(HEAT) * opacity).clip(0, 255).astype(np.uint8)


def _frame(drawn: Image.Image, box: Box, scale: float, colour: tuple[int, int, int]) -> None:
    """Draw a box, its last pixel included, within the picture; a dark line inside keeps it apart from any colour."""
    x0, y0, x1, y1 = box[0] * scale, box[1] * scale, (box[2] + 1) * scale - 1, (box[3] + 1) * scale - 1
    right, bottom = drawn.width - 1.0, drawn.height - 1.0
    left, top = min(x0, right), min(y0, bottom)
    right, bottom = max(min(x1, right), left), max(min(y1, bottom), top)
    draw = ImageDraw.Draw(drawn)
    if right - left > 6 and bottom - top > 6:
        draw.rectangle((left + 2, top + 2, right - 2, bottom - 2), outline=BACKGROUND)
    draw.rectangle((left, top, right, bottom), outline=colour, width=2)


def _legend(sheet: Image.Image) -> None:
    draw, left = ImageDraw.Draw(sheet), float(MARGIN)
    for text, colour in LEGEND.items():
        draw.rectangle((left, MARGIN, left + 12, MARGIN + 12), fill=colour)
        draw.text((left + 18, MARGIN - 2), text, FAINT, _font(14))
        left += _entry(text)


def _legend_width() -> int:
    return int(sum(map(_entry, LEGEND)))


def _entry(text: str) -> float:
    return 18 + float(_font(14).getlength(text)) + 24


def _tallest(line: Sequence[Image.Image]) -> int:
    return max(row.height for row in line) + 2 * GAP


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
