"""The density maps of a job, kept until the colour scale that they share is known."""

from typing import IO

import numpy as np

from dotally.predict.overlay import Floats, colour_scale

# as many cells are looked at to find the scale; what is left out does not move a percentile
_SAMPLE = 4_000_000


class DensityMaps:
    """A list of maps in a file: those of a hundred thousand photographs do not fit into memory.

    Args:
        file: An empty one on disk, open for reading and writing; the caller closes it.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._places: list[tuple[int, tuple[int, ...]]] = []

    def __getitem__(self, index: int) -> Floats:
        place, shape = self._places[index]
        self._file.seek(place)
        content = self._file.read(4 * int(np.prod(shape)))
        return np.frombuffer(content, dtype=np.float32).reshape(shape)

    def append(self, density: Floats) -> None:
        """Add a map ``[h, w]``."""
        self._places.append((self._file.seek(0, 2), density.shape))
        self._file.write(density.astype(np.float32).tobytes())

    def colour_scale(self) -> float:
        """Return the scale of all maps together, see :func:`dotally.predict.overlay.colour_scale`."""
        if not self._places:  # an empty file cannot be mapped
            return colour_scale(np.zeros(0))
        self._file.flush()
        cells = np.memmap(self._file, dtype=np.float32, mode="r")
        return colour_scale(np.asarray(cells[:: max(1, len(cells) // _SAMPLE)]))
