"""Where the shares of all units meet: a deterministic sum into a dense map."""

import numpy as np
import torch
from torch import Tensor

from dotally.ops.topdown_threshold import Doubles, Ints, single, sums

FOLD = 1 << 22  # pairs kept before they are added up, which bounds memory where the gating is dense


class Scatter:
    """Collects (cell, value) pairs and adds them up in double precision and in the order of arrival."""

    def __init__(self, shape: torch.Size) -> None:
        self._shape = shape
        self._cells: list[Ints] = []
        self._values: list[Doubles] = []
        self._pending = 0

    def add(self, cell: Ints, value: Doubles) -> None:
        """Add ``value`` to the flat indices ``cell``."""
        self._cells.append(cell)
        self._values.append(value)
        self._pending += len(cell)
        if self._pending > FOLD:
            self._fold()

    def result(self) -> Tensor:
        """Return the float32 sums."""
        out = torch.zeros(self._shape, dtype=torch.float32)
        if self._cells:
            self._fold()
            out.view(-1).numpy()[self._cells[0]] = single(self._values[0])
        return out

    def _fold(self) -> None:
        cell, place = np.unique(np.concatenate(self._cells), return_inverse=True)
        self._values = [sums(place, np.concatenate(self._values), len(cell))]
        self._cells = [cell]
        self._pending = 0
