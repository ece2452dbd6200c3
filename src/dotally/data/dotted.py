"""A picture with its dots, as a folder of one's own holds it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from dotally.data.point_formats.dots import Points


@dataclass(frozen=True, kw_only=True)
class Dotted:
    """One picture with its dots.

    Attributes:
        name: Its path below the folder, with ``/``.
        picture: Its file.
        annotation: The file with its dots; the picture itself if there is none.
        points: ``[N, 2]`` float64, (x, y) in pixels of the upright picture; a dot may lie outside.
        labels: Class of each dot, empty where it has none.
        size: (height, width) of the upright picture.
    """

    name: str
    picture: Path
    annotation: Path
    points: Points
    labels: tuple[str, ...]
    size: tuple[int, int]

    def only(self, classes: Iterable[str]) -> "Dotted":
        """Return the picture with the dots of some classes."""
        wanted = set(classes)
        kept = [number for number, label in enumerate(self.labels) if label in wanted]
        labels = tuple(self.labels[number] for number in kept)
        return replace(self, points=self.points[kept], labels=labels)

    def outside(self) -> int:
        """Return how many dots lie outside the picture."""
        return int(((self.points < 0) | (self.points >= (self.size[1], self.size[0]))).any(axis=1).sum())
