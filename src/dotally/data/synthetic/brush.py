"""Painting in metres: shapes of the world go in, pixels of a Pillow picture come out."""

import math

from PIL import Image, ImageDraw

from dotally.data.synthetic.camera import Camera, Spot

Colour = tuple[int, int, int]
Paint = Colour | int


def shade(colour: Colour, factor: float) -> Colour:
    """Return ``colour`` made darker (factor < 1) or lighter (factor > 1)."""
    red, green, blue = (min(255, round(channel * factor)) for channel in colour)
    return red, green, blue


class Brush:
    """Paints on ``image`` what ``camera``, of the picture's size, sees.

    All lengths are metres, all spots (right, up, away). The paint is a colour, or one number on a grey picture.
    """

    def __init__(self, image: Image.Image, camera: Camera) -> None:
        self.camera = camera
        self._draw = ImageDraw.Draw(image)

    def ball(self, spot: Spot, radius: float, paint: Paint, *, tall: float = 1.0) -> None:
        """Paint a ball, or an upright egg ``tall`` times as high as wide."""
        x, y, scale = self.camera.see(spot)
        self._ellipse(x, y, radius * scale, radius * scale * tall, paint)

    def disc(self, spot: Spot, radius: float, paint: Paint) -> None:
        """Paint a disc that lies flat, like a lid or a table."""
        x, y, scale = self.camera.see(spot)
        right, up, away = spot
        _, behind, _ = self.camera.see((right, up, away + radius))
        self._ellipse(x, y, radius * scale, max(y - behind, 0.0), paint)

    def rod(self, start: Spot, end: Spot, width: float, paint: Paint) -> None:
        """Paint a straight limb, post or strap that keeps its width in metres."""
        (x0, y0, scale0), (x1, y1, scale1) = self.camera.see(start), self.camera.see(end)
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        across, down = (y1 - y0) / length * width / 2, (x0 - x1) / length * width / 2
        ends = ((x0, y0, scale0), (x0, y0, -scale0), (x1, y1, -scale1), (x1, y1, scale1))
        self._polygon([(x + across * scale, y + down * scale) for x, y, scale in ends], paint)

    def face(self, corners: list[Spot], paint: Paint) -> None:
        """Paint a flat face with three or more corners."""
        self._polygon([self.camera.see(corner)[:2] for corner in corners], paint)

    def _polygon(self, corners: list[tuple[float, float]], paint: Paint) -> None:
        # Pillow cuts off fractions; what lies between 2 and 3 is pixel 2
        self._draw.polygon([(round(x - 0.5), round(y - 0.5)) for x, y in corners], fill=paint)

    def _ellipse(self, x: float, y: float, wide: float, high: float, paint: Paint) -> None:
        # the last pixel is part of Pillow's shapes
        left, top = round(x - wide), round(y - high)
        right, bottom = max(round(x + wide) - 1, left), max(round(y + high) - 1, top)
        self._draw.ellipse((left, top, right, bottom), fill=paint)
