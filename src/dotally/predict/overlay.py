"""Densities drawn over their pictures, on one colour scale, so that pictures can be compared."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dotally.errors import DotallyError
from dotally.ops import adaptive_sigma, render_density
from dotally.predict.truth import Points

Floats = NDArray[np.float32]

# perceptually uniform from dark to light, so it reads the same to the colour-blind and in print
COLOURS = "inferno"
# without its black, which would look like a shadow around every head
RANGE = (0.22, 1.0)
# a screen holds the largest, and a caption fits over the smallest
LONGEST_SIDE = (720, 1280)
LEAST_WIDTH = 640
HEADER, FOOTER, MARGIN, GAP = 62, 40, 12, 6
BACKGROUND, INK, FAINT = (20, 20, 24), (245, 245, 245), (170, 170, 178)
# widest Gaussian a true head is drawn with, in pixels: a lone head should stay a dot
WIDEST_HEAD = 8.0


def colour_scale(density: NDArray[np.floating]) -> float:
    """Return the 99th percentile of the cells that hold anything, heads per cell; 1 where none does.

    Cells below a hundredth of the fullest hold nothing: in a large picture of few people the noise of a network
    would otherwise outnumber them, and glow.
    """
    cells = density[density > max(0.0, float(density.max(initial=0)) / 100)]
    return float(np.percentile(cells, 99)) if cells.size else 1.0


def draw_overlay(
    image: np.ndarray,
    density: Floats,
    *,
    stride: int,
    vmax: float,
    title: str,
    flags: Sequence[str] = (),
    truth: Points | None = None,
) -> Image.Image:
    """Draw a density over its grey picture, with count, legend and flags, and the truth beside it where it is known.

    Args:
        image: ``[H, W, 3]`` uint8, RGB.
        density: ``[h, w]`` heads per cell; negative cells are drawn as 0 but counted.
        stride: Pixels per cell.
        vmax: Heads per cell at the top of the colour scale.
        title: What counted.
        flags: Shown below the count.
        truth: ``[N, 2]`` annotated heads inside the picture, (x, y) in pixels.

    Raises:
        ValueError: ``vmax`` is not positive.
        DotallyError: matplotlib, which has the colours and the font, is missing.
    """
    if not vmax > 0:
        raise ValueError(f"vmax must be positive, got {vmax}")
    panels = [_panel(image, density, stride, vmax)]
    captions = [(f"{_number(float(density.sum(dtype=np.float64)))} heads", " · ".join([title, *flags]))]
    if truth is not None:
        panels.append(_dotted(_panel(image, _true_density(truth, image, stride), stride, vmax), truth, image))
        captions.append((f"{len(truth):,} annotated", "truth"))
    step = max(panels[0].width, LEAST_WIDTH) + GAP
    canvas = Image.new("RGB", (step * len(panels) - GAP, HEADER + panels[0].height + FOOTER), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    for number, (panel, (large, small)) in enumerate(zip(panels, captions, strict=True)):
        canvas.paste(panel, (number * step, HEADER))
        draw.text((number * step + MARGIN, 6), large, INK, font(26))
        draw.text((number * step + MARGIN, 38), small, FAINT, font(15))
    _draw_legend(canvas, stride, vmax)
    return canvas


def palette() -> NDArray[np.float32]:
    """Return the colours ``[256, 3]`` in 0..255, from few heads to many; DotallyError where matplotlib is missing."""
    try:
        from matplotlib import colormaps
    except ImportError as error:
        raise DotallyError("overlays need matplotlib: pip install matplotlib, or --overlay none") from error
    return np.asarray(colormaps[COLOURS](np.linspace(*RANGE, 256)), dtype=np.float32)[:, :3] * 255


def _panel(image: np.ndarray, density: Floats, stride: int, vmax: float) -> Image.Image:
    """Blend a density into the grey picture, at a size fit for a screen."""
    height, width = image.shape[:2]
    side = max(height, width)
    factor = min(max(side, LONGEST_SIDE[0]), LONGEST_SIDE[1]) / side
    size = max(1, round(width * factor)), max(1, round(height * factor))
    grey = Image.fromarray(image).convert("L").resize(size, Image.Resampling.LANCZOS)
    rows, columns = density.shape
    # the map reaches beyond a padded picture, and exactly covers one that was resized to whole cells
    box = (0, 0, min(columns, width / stride), min(rows, height / stride))
    smooth = Image.fromarray(density.clip(min=0)).resize(size, Image.Resampling.BICUBIC, box=box)
    return Image.fromarray(_blend(np.asarray(grey, dtype=np.float32), np.asarray(smooth) / vmax))


def _blend(grey: Floats, share: NDArray[np.floating]) -> np.ndarray:
    """Colour ``[H, W]`` grey values by how far up the scale each lies; without heads they stay grey."""
    share = share.clip(0, 1)[..., None]
    colour = palette()[(share[..., 0] * 255).astype(np.uint8)]
    opacity = 0.8 * (share * 4).clip(0, 1)
    return (0.75 * grey[..., None] * (1 - opacity) + colour * opacity).astype(np.uint8)


def _true_density(points: Points, image: np.ndarray, stride: int) -> Floats:
    heads = torch.from_numpy(points).float()
    sigma = adaptive_sigma(heads).clamp(max=WIDEST_HEAD)
    return render_density(heads, sigma, (image.shape[0], image.shape[1]), stride=stride).numpy()


def _dotted(panel: Image.Image, points: Points, image: np.ndarray) -> Image.Image:
    draw = ImageDraw.Draw(panel)
    for x, y in points * (panel.width / image.shape[1], panel.height / image.shape[0]):
        draw.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), fill=(80, 220, 255))
    return panel


def _draw_legend(canvas: Image.Image, stride: int, vmax: float) -> None:
    draw, small, top = ImageDraw.Draw(canvas), font(15), canvas.height - FOOTER + 11
    width, height = min(220, canvas.width // 3), 18
    ramp = np.broadcast_to(np.linspace(0, 1, width, dtype=np.float32), (height, width))
    draw.text((MARGIN, top), "0", FAINT, small)
    left = MARGIN + 18
    canvas.paste(Image.fromarray(_blend(np.full_like(ramp, 128), ramp)), (left, top))
    text = f"{vmax:.2g} heads per cell of {stride} × {stride} pixels"
    draw.text((left + width + 8, top), text, FAINT, small)


def _number(count: float) -> str:
    return f"{count:,.1f}" if abs(count) < 1000 else f"{count:,.0f}"


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font of captions, which matplotlib brings along, in pixels."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)
