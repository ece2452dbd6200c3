"""Stage 1 of the top-down rule: which products pay for the negative ones, and which remain as signal.

A unit's products are ``p_1 .. p_N`` with sum S > 0. Sorted in ascending order, ``theta`` is the product at which the
running sum first becomes positive. The products above ``theta`` then sum to less than S, so the same ``theta`` is
found from the other end: in descending order, the product at which the running sum first reaches S. A unit has few
winners, so only the top of the sorted list is ever summed.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

CHUNK = 1 << 19  # products taken at once: 2 MB per array stays near the core and bounds memory
TOP = 96  # products summed in the first try; a unit of a common network has 10 to 80 winners
PREFIX_LIMIT = 1024  # up to here the published linear code skips the running sum


def sums(label: Ints, value: NDArray[np.generic], count: int) -> Doubles:
    """Add up the values of each label, in double precision and in the order given."""
    return np.bincount(label, value, minlength=count).astype(np.float64, copy=False)


def single(value: Doubles) -> Floats:
    """Round to float32; what lies beyond becomes infinite."""
    with np.errstate(over="ignore"):
        return value.astype(np.float32)


def chunks(rows: int, products: int) -> Iterator[slice]:
    """Cut ``rows`` rows of ``products`` numbers into runs of about ``CHUNK`` numbers, at least one row each.

    No rows give one empty run, so that whoever collects results needs no special case.
    """
    step = max(CHUNK // max(products, 1), 1)
    for start in range(0, max(rows, 1), step):
        yield slice(start, min(start + step, rows))


def threshold(products: Floats, lower_bound: float) -> tuple[Floats, Bools]:
    """Find the smallest product that survives the interference reduction of STNet's stage 1.

    Args:
        products: ``[A, N]``, one row per unit.
        lower_bound: Units whose products sum to this or less pass nothing on.

    Returns:
        ``[A]`` theta, an actual product (0 where the unit is dropped), and ``[A]`` whether the unit is alive. A sum
        that is no finite number, which only products beyond the range of float32 give, drops the unit too.
    """
    total = torch.from_numpy(products).sum(dim=1, dtype=torch.float64).numpy()
    alive = np.isfinite(total) & (total > lower_bound)
    theta = np.zeros(len(products), np.float32)
    theta[alive] = _crossing(np.sort(products[alive], axis=1), total[alive])
    return theta, alive


def _crossing(ascending: Floats, total: Doubles) -> Floats:
    theta = np.zeros(len(ascending), np.float32)
    open_rows, width = np.arange(len(ascending)), TOP
    while len(open_rows):
        width = min(width, ascending.shape[1])
        top = ascending[open_rows, -width:][:, ::-1]
        reached = top.cumsum(axis=1, dtype=np.float64) >= total[open_rows, None]
        at = reached.argmax(axis=1)
        rows = np.arange(len(open_rows))
        done = reached[rows, at] | (top[:, -1] <= 0) | (width == ascending.shape[1])
        # without negative products rounding may keep the sum just below S: then every positive product wins
        last = (top > 0).sum(axis=1) - 1
        at = np.where(reached[rows, at], at, last)
        theta[open_rows[done]] = top[rows, at][done]
        open_rows, width = open_rows[~done], width * 8
    return theta


def threshold_without_sum(products: Floats, lower_bound: float) -> tuple[Floats, Bools]:
    """Reproduce the threshold of the published linear code for at most 1024 inputs, where its sum runs zero times.

    The crossing test then sees the sorted products themselves, padded with zeros to a power of two: theta is the
    smallest positive product less the largest other one. Units on which the publication aborts (no other product)
    are dropped. Arguments and results as :func:`threshold`.
    """
    total = torch.from_numpy(products).sum(dim=1, dtype=torch.float64).numpy()
    count = products.shape[1]
    padding = np.float32(-np.inf if count & (count - 1) == 0 else 0)
    below = np.where(products <= 0, products, -np.inf).max(axis=1, initial=padding)
    above = np.where(products > 0, products, np.inf).min(axis=1, initial=np.inf)
    alive = np.isfinite(total) & (total > lower_bound) & np.isfinite(below) & np.isfinite(above)
    return np.where(alive, np.where(alive, above, 0) - np.where(alive, below, 0), 0).astype(np.float32), alive


def winners(products: Floats, theta: Floats, alive: Bools, eps: float, release: bool) -> Ints:
    """List the flat indices of the products of alive units that are at least ``theta - eps``, in ascending order.

    Unless ``release``, they must also be positive: the publication lets zeros and slightly negative products in
    where theta < eps.
    """
    cut = theta - np.float32(eps)
    # p >= cut is p > the next number below cut, so one comparison serves both conditions
    bound = np.nextafter(cut, np.float32(-np.inf))
    if not release:
        bound = np.where(cut > 0, bound, np.float32(0))
    bound = np.where(alive, bound, np.float32(np.inf))
    return np.flatnonzero(products > bound[:, None])
