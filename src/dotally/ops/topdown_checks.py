"""What the top-down operators ask of their arguments, checked once at the public boundary."""

import math
from collections.abc import Sequence

from torch import Tensor


def pair(value: int | Sequence[int], name: str, least: int) -> tuple[int, int]:
    """Return (vertical, horizontal) of an int or a pair.

    Raises:
        ValueError: If it is no pair or smaller than ``least``.
    """
    both = (value, value) if isinstance(value, int) else tuple(value)
    if len(both) != 2 or min(both) < least:
        raise ValueError(f"{name} must be one or two integers >= {least}, got {value}")
    return int(both[0]), int(both[1])


def check_floating(**tensors: Tensor) -> None:
    """Raise ValueError for a tensor that holds no floating-point numbers."""
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise ValueError(f"{name} must be floating point, got {tensor.dtype}")


def check_constants(lower_bound: float, eps: float) -> None:
    """Raise ValueError for a constant that is negative or no number."""
    for name, value in (("lower_bound", lower_bound), ("eps", eps)):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must be finite and >= 0, got {value}")


def check_compat(compat: str) -> None:
    """Raise ValueError for an unknown mode of compatibility."""
    if compat not in ("fixed", "release"):
        raise ValueError(f"compat must be 'fixed' or 'release', got {compat!r}")


def check_rule(mode: str, offset: int, table: Sequence[tuple[float, float]]) -> None:
    """Raise ValueError for an unknown mode, a negative offset or a table that is no list of (m, s) >= 0."""
    if mode not in ("stat", "all", "top1"):
        raise ValueError(f"mode must be 'stat', 'all' or 'top1', got {mode!r}")
    if offset < 0:
        raise ValueError(f"offset must be >= 0, got {offset}")
    if not table or any(len(row) != 2 or not all(0 <= value < math.inf for value in row) for row in table):
        raise ValueError(f"table must be a list of (m, s) with finite m, s >= 0, got {table}")


def same_batch(h: Tensor, g: Tensor) -> None:
    """Raise ValueError if the gating does not hold one picture per picture of the input."""
    if h.ndim != g.ndim or h.shape[0] != g.shape[0]:
        raise ValueError(f"g {list(g.shape)} must have the batch and the dimensions of h {list(h.shape)}")
