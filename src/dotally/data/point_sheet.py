"""A sheet of pictures with their dots over a histogram of counts, on which mistakes of annotation are seen at once."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dotally.data.dotted import Dotted
from dotally.data.pictures import open_picture
from dotally.data.progress import progress
from dotally.errors import PictureError
from dotally.files import atomic_path

BACKGROUND, INK, FAINT = (20, 20, 24), (245, 245, 245), (170, 170, 178)
DOT, BAR, WARN = (255, 64, 48), (90, 150, 230), (255, 170, 60)
SIDE, COLUMNS, GAP, CAPTION, MARGIN = 300, 4, 12, 22, 20
HISTOGRAM, BARS = 150, 30
_STEPS = [digit * 10**zeros for zeros in range(10) for digit in (1, 2, 5)]
MOST = 24  # pictures on a sheet


def write_point_sheet(path: Path, pictures: Sequence[Dotted]) -> None:
    """Write a PNG with a histogram of counts and at most ``MOST`` pictures with their dots.

    Shown are the pictures with most dots outside, and then the emptiest, the fullest, and some evenly in between.

    Args:
        path: The file.
        pictures: With their dots.
    """
    shown = choose(pictures, MOST)
    panels = [_panel(one) for one in progress(shown, "drawing")]
    lines = [panels[first : first + COLUMNS] for first in range(0, len(panels), COLUMNS)]
    width = 2 * MARGIN + COLUMNS * (SIDE + GAP) - GAP
    height = 2 * MARGIN + CAPTION + HISTOGRAM + 2 * CAPTION + sum(_tallest(line) for line in lines)
    sheet = Image.new("RGB", (width, height), BACKGROUND)
    _histogram(sheet, [len(one.points) for one in pictures])
    top = MARGIN + CAPTION + HISTOGRAM + 2 * CAPTION
    for line in lines:
        for number, panel in enumerate(line):
            sheet.paste(panel, (MARGIN + number * (SIDE + GAP), top))
        top += _tallest(line)
    with atomic_path(path) as temporary:
        sheet.save(temporary, "PNG")


def choose(pictures: Sequence[Dotted], most: int) -> list[Dotted]:
    """Return the pictures to show: up to a third of them with dots outside, the rest evenly by their counts."""
    ranked = sorted(pictures, key=Dotted.outside, reverse=True)[: max(1, most // 3)]
    odd = [one for one in ranked if one.outside()]
    names = {one.name for one in odd}
    rest = sorted((one for one in pictures if one.name not in names), key=lambda one: len(one.points))
    places = sorted({int(place) for place in np.linspace(0, len(rest) - 1, min(most - len(odd), len(rest))).round()})
    return odd + [rest[place] for place in places]


def _panel(one: Dotted) -> Image.Image:
    try:
        picture = Image.fromarray(open_picture(one.picture).image)
    except PictureError:
        picture = Image.new("RGB", one.size[::-1], (60, 20, 20))
    scale = SIDE / max(one.size)
    picture = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    draw = ImageDraw.Draw(picture)
    radius = float(np.clip(32 / np.sqrt(len(one.points) + 1), 1.0, 3.5))
    for x, y in (one.points * scale).tolist():
        draw.ellipse(
            (x - radius, y - radius, x + radius, y + radius), fill=DOT, outline=(0, 0, 0) if radius > 2 else None
        )
    panel = Image.new("RGB", (SIDE, picture.height + CAPTION), BACKGROUND)
    panel.paste(picture, (0, CAPTION))
    number, odd = f"{len(one.points):,}", one.outside()
    words = ImageDraw.Draw(panel)
    words.text((0, 2), number, INK, _font(15))
    left = words.textlength(number, _font(15)) + 10
    words.text((left, 4), f"{odd} outside  {one.name}" if odd else one.name, WARN if odd else FAINT, _font(12))
    return panel


def _histogram(sheet: Image.Image, counts: Sequence[int]) -> None:
    draw, bottom = ImageDraw.Draw(sheet), MARGIN + CAPTION + HISTOGRAM
    title = f"{len(counts):,} pictures, {sum(counts):,} dots; how many pictures have how many dots"
    draw.text((MARGIN, MARGIN - 4), title, INK, _font(15))
    high = max(counts, default=0)
    step = next(size for size in _STEPS if (high + 1) / size <= BARS)
    bars = np.bincount(np.array(counts, dtype=np.int64) // step, minlength=high // step + 1)
    width = (sheet.width - 2 * MARGIN) / len(bars)
    for number, value in enumerate(bars.tolist()):
        left, right = MARGIN + number * width, MARGIN + (number + 1) * width - 2
        top = bottom - (HISTOGRAM - CAPTION) * value / max(1, bars.max())
        if value:
            draw.rectangle((left, top, max(left, right), bottom), fill=BAR)
            draw.text(((left + right) / 2, top - 1), f"{value:,}", FAINT, _font(12), anchor="mb")
        draw.text(((left + right) / 2, bottom + 3), f"{number * step:,}", FAINT, _font(12), anchor="mt")


def _tallest(line: Sequence[Image.Image]) -> int:
    return max(panel.height for panel in line) + GAP


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
