"""Boxes and class hypotheses drawn over their pictures."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from dotally.data.voc_xml import Box
from dotally.predict.overlay import BACKGROUND, FAINT, FOOTER, HEADER, INK, LEAST_WIDTH, LONGEST_SIDE, MARGIN, font
from dotally.stnet import paint_hypothesis

# apart for the colour-blind too, and by their line
FOUND, TRUE = (255, 92, 56), (86, 180, 255)


def draw_boxes(image: np.ndarray, box: Box, truth: Sequence[Box], *, title: str, caption: str) -> Image.Image:
    """Draw a found box and annotated ones into a picture.

    Args:
        image: ``[H, W, 3]`` uint8, RGB.
        box: (x0, y0, x1, y1) in pixels, first and last included.
        truth: Likewise, as annotated.
        title: What was found.
        caption: How.
    """
    panel = _scaled(Image.fromarray(image))
    factor = panel.width / image.shape[1], panel.height / image.shape[0]
    draw = ImageDraw.Draw(panel)
    for annotated in truth:
        _rectangle(draw, annotated, factor, TRUE, width=5)
    _rectangle(draw, box, factor, FOUND, width=3)
    legend = [("found", FOUND), *([("annotated", TRUE)] if truth else [])]
    return _framed(panel, title, caption, legend)


def draw_hypothesis(
    image: np.ndarray, hypothesis: Tensor, place: tuple[int, int, int, int], *, title: str, caption: str
) -> Image.Image:
    """Draw a class hypothesis in the published colours over the grey picture.

    Args:
        image: ``[H, W, 3]`` uint8, RGB.
        hypothesis: ``[h, w]`` of the part of the picture that the network was shown.
        place: (x0, y0, x1, y1) of that part, the last ones not part of it.
        title: What was looked for.
        caption: How.
    """
    grey = Image.fromarray(image).convert("L").convert("RGB")
    x0, y0, x1, y1 = place
    painted = Image.fromarray(paint_hypothesis(hypothesis)).resize((x1 - x0, y1 - y0), Image.Resampling.BILINEAR)
    grey.paste(Image.blend(grey.crop(place), painted, 0.55), (x0, y0))
    return _framed(_scaled(grey), title, caption, [])


def _scaled(picture: Image.Image) -> Image.Image:
    """Bring a picture to a size fit for a screen."""
    side = max(picture.size)
    factor = min(max(side, LONGEST_SIDE[0]), LONGEST_SIDE[1]) / side
    size = max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _rectangle(
    draw: ImageDraw.ImageDraw, box: Box, factor: tuple[float, float], colour: tuple[int, int, int], width: int
) -> None:
    across, down = factor
    left, top = round(box[0] * across), round(box[1] * down)
    # the last pixel is part of the box
    right, bottom = max(left, round((box[2] + 1) * across) - 1), max(top, round((box[3] + 1) * down) - 1)
    # a dark line around, so that it shows on any ground
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=(0, 0, 0), width=width + 2)
    draw.rectangle((left, top, right, bottom), outline=colour, width=width)


def _framed(
    panel: Image.Image, title: str, caption: str, legend: Sequence[tuple[str, tuple[int, int, int]]]
) -> Image.Image:
    canvas = Image.new("RGB", (max(panel.width, LEAST_WIDTH), HEADER + panel.height + FOOTER), BACKGROUND)
    canvas.paste(panel, (0, HEADER))
    draw, left, top = ImageDraw.Draw(canvas), MARGIN, canvas.height - FOOTER + 11
    draw.text((MARGIN, 6), title, INK, font(26))
    draw.text((MARGIN, 38), caption, FAINT, font(15))
    for text, colour in legend:
        draw.rectangle((left, top + 2, left + 14, top + 14), fill=colour)
        draw.text((left + 20, top), text, FAINT, font(15))
        left += 44 + round(draw.textlength(text, font(15)))
    return canvas
