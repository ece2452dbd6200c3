"""Pictures beside their true and predicted maps, all on one colour scale, the truth's."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dotally.callbacks.pictures import Map, Panel
from dotally.files import atomic_path
from dotally.predict.overlay import colour_scale, palette

BACKGROUND, INK, FAINT = (20, 20, 24), (245, 245, 245), (170, 170, 178)
WIDTH = 320  # of one picture in a row, in pixels
GAP, SPACE, CAPTION, FOOTER, MARGIN = 4, 28, 36, 44, 20
COLUMNS = 2


def draw_rows(panels: Sequence[Panel]) -> list[Image.Image]:
    """Draw each panel as a row: picture (where it may be shown), true map, predicted map; all rows are equally high."""
    scale = shared_scale(panels)
    rows = [draw_row(panel, scale) for panel in panels]
    # W&B shows pictures of one step in the size of the first
    return [_on_canvas(row, (row.width, max(other.height for other in rows))) for row in rows]


def shared_scale(panels: Sequence[Panel]) -> float:
    """Return the heads per cell at the top of the colour scale, from the true maps of all panels together."""
    return colour_scale(np.concatenate([panel.true.ravel() for panel in panels]))


def draw_row(panel: Panel, scale: float) -> Image.Image:
    """Draw one panel without words."""
    height = max(1, round(WIDTH * panel.size[0] / panel.size[1]))
    parts = [_coloured(density, panel, (WIDTH, height), scale) for density in (panel.true, panel.predicted)]
    if panel.image is not None:
        parts.insert(0, Image.fromarray(panel.image).resize((WIDTH, height), Image.Resampling.LANCZOS))
    row = Image.new("RGB", (len(parts) * (WIDTH + GAP) - GAP, height), BACKGROUND)
    for number, part in enumerate(parts):
        row.paste(part, (number * (WIDTH + GAP), 0))
    return row


def _on_canvas(row: Image.Image, size: tuple[int, int], top: int = 0) -> Image.Image:
    canvas = Image.new("RGB", size, BACKGROUND)
    canvas.paste(row, (0, top))
    return canvas


def write_sheet(path: Path, panels: Sequence[Panel]) -> None:
    """Write panels with their counts and a legend as one PNG.

    Raises:
        DotallyError: If matplotlib, which has the colours, is missing.
    """
    scale = shared_scale(panels)
    rows = [_captioned(panel, draw_row(panel, scale)) for panel in panels]
    lines = [rows[first : first + COLUMNS] for first in range(0, len(rows), COLUMNS)]
    heights = [max(row.height for row in line) + GAP * 2 for line in lines]
    across = min(COLUMNS, len(rows))
    width = across * (max(row.width for row in rows) + SPACE) - SPACE + 2 * MARGIN
    sheet = Image.new("RGB", (width, MARGIN + sum(heights) + FOOTER), BACKGROUND)
    top = MARGIN
    for line, height in zip(lines, heights, strict=True):
        for number, row in enumerate(line):
            sheet.paste(row, (MARGIN + number * (row.width + SPACE), top))
        top += height
    _draw_legend(sheet, scale)
    with atomic_path(path) as temporary:
        sheet.save(temporary)


def _coloured(density: Map, panel: Panel, size: tuple[int, int], scale: float) -> Image.Image:
    """Colour a map, smoothly enlarged to the size of its picture and without the padding beyond it."""
    height, width = panel.size
    rows, columns = density.shape
    # cells reach beyond a padded picture, and exactly cover one that was resized to whole cells
    box = (0, 0, min(columns, width / panel.stride), min(rows, height / panel.stride))
    smooth = Image.fromarray(density.clip(min=0)).resize(size, Image.Resampling.BICUBIC, box=box)
    return Image.fromarray(colours(np.asarray(smooth) / scale))


def colours(share: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Colour ``[H, W]`` shares of the scale; cells without heads have the colour of the background."""
    share = share.clip(0, 1)[..., None]
    colour = palette()[(share[..., 0] * 255).astype(np.uint8)]
    opacity = (share * 6).clip(0, 1)
    return (np.array(BACKGROUND, dtype=np.float32) * (1 - opacity) + colour * opacity).astype(np.uint8)


def _captioned(panel: Panel, row: Image.Image) -> Image.Image:
    canvas = _on_canvas(row, (row.width, row.height + CAPTION), CAPTION)
    draw = ImageDraw.Draw(canvas)
    words = [(panel.name, FAINT)] if panel.image is not None else []
    words += [(f"{panel.count:,} annotated", INK), (f"{panel.predicted.sum():,.1f} counted", INK)]
    for number, (text, ink) in enumerate(words):
        draw.text((number * (WIDTH + GAP), 9), text, ink, _font(19 if ink == INK else 15))
    return canvas


def _draw_legend(sheet: Image.Image, scale: float) -> None:
    draw, top, width = ImageDraw.Draw(sheet), sheet.height - FOOTER + 10, 220
    text = "heads per cell   0"
    draw.text((MARGIN, top - 1), text, FAINT, _font(15))
    left = MARGIN + round(draw.textlength(text, _font(15))) + 8
    ramp = np.broadcast_to(np.linspace(0, 1, width, dtype=np.float32), (16, width))
    sheet.paste(Image.fromarray(colours(ramp)), (left, top))
    draw.text((left + width + 8, top - 1), f"{scale:.2g}", FAINT, _font(15))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
