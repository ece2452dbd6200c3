"""The top-down rules of linear layers and of the bridge on the CPU: work only on units whose gating is not zero."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dotally.ops.topdown_scatter import Scatter
from dotally.ops.topdown_statistics import Rule, spread
from dotally.ops.topdown_threshold import (
    PREFIX_LIMIT,
    Bools,
    Floats,
    Ints,
    chunks,
    single,
    threshold,
    threshold_without_sum,
    winners,
)


@dataclass(frozen=True, kw_only=True)
class LinearRule:
    """The constants of stage 1, and the rule of stage 2."""

    lower_bound: float
    eps: float
    release: bool
    second: Rule


def linear_cpu(h: Tensor, weight: Tensor, g: Tensor, rule: LinearRule) -> Tensor:
    """Hand the gating of a linear layer's outputs down to its inputs; see ``td_linear``.

    Returns:
        float32 gating, shaped like ``h``.
    """
    return linear_selection_cpu(h, weight, g, rule)[0]  # its record costs next to nothing


def linear_selection_cpu(h: Tensor, weight: Tensor, g: Tensor, rule: LinearRule) -> tuple[Tensor, ...]:
    """Do the same and keep the record of every active unit.

    Returns:
        Gating like ``h``; units ``[A, g.ndim]``; theta, number of survivors, their sum, alive, each ``[A]``: the
        fields of ``LinearSelection``.
    """
    gating = g.float().contiguous().numpy()
    active = np.flatnonzero(gating)
    rows = h.movedim(1, -1).reshape(-1, h.shape[1]).float().contiguous()  # [B * H * W, I]
    scatter, records = Scatter(rows.shape), []
    lost = _lost(rows, weight, gating.shape, active, rule) if rule.release and h[0, 0].numel() > 1 else None
    for chunk, unit, row in _units(active, gating.shape, h.shape[1]):
        products = _products(rows, weight, row, unit[1])
        theta, alive = _threshold(products, rule)
        if lost is not None:
            alive &= ~np.isin(active[chunk], lost)
            theta = np.where(alive, theta, np.float32(0))
        record = _second_stage(products, theta, alive, gating[unit], row, rule, scatter)
        records.append((np.stack(unit, axis=1), *record))
    out = scatter.result().view(h.shape[0], *h.shape[2:], h.shape[1]).movedim(-1, 1)
    return out.contiguous(), *(torch.from_numpy(np.concatenate(field)) for field in zip(*records, strict=True))


def _units(
    active: Ints, shape: tuple[int, ...], inputs: int
) -> Iterator[tuple[slice, tuple[NDArray[np.intp], ...], Ints]]:
    """Yield runs of active units: which of them, their indices in the gating, and the row of inputs they see."""
    for chunk in chunks(len(active), inputs):
        unit = np.unravel_index(active[chunk], shape)
        row = np.ravel_multi_index((unit[0], *unit[2:]), (shape[0], *shape[2:]))
        yield chunk, unit, row


def _lost(rows: Tensor, weight: Tensor, shape: tuple[int, ...], active: Ints, rule: LinearRule) -> Ints:
    """Return the flat indices of units that the publication drops instead of those which ought to be dropped.

    On maps it writes the mark of a dropped unit of output channel o to place o of the picture's thresholds, where
    those of channel 0 lie first. The dropped unit itself keeps a threshold of 0, with which nothing is passed on.
    """
    wrong = []
    for _, unit, row in _units(active, shape, rows.shape[1]):
        _, alive = _threshold(_products(rows, weight, row, unit[1]), rule)
        wrong.append((unit[0] * math.prod(shape[1:]) + unit[1])[~alive])
    return np.concatenate(wrong)


def _products(rows: Tensor, weight: Tensor, row: Ints, output: Ints) -> Floats:
    chosen = weight.index_select(0, torch.from_numpy(output)).float().reshape(len(output), rows.shape[1])
    return (chosen * rows.index_select(0, torch.from_numpy(row))).numpy()


def _second_stage(
    products: Floats, theta: Floats, alive: Bools, gating: Floats, row: Ints, rule: LinearRule, scatter: Scatter
) -> tuple[NDArray[np.generic], ...]:
    units, inputs = products.shape
    flat = winners(products, theta, alive, rule.eps, rule.release)
    value, owner = products.ravel()[flat], flat // inputs
    keep, share, total = spread(owner, value, np.bincount(owner, minlength=units), rule.second)
    owner = owner[keep]
    scatter.add(row[owner] * inputs + flat[keep] % inputs, gating[owner] * share)
    return theta, np.bincount(owner, minlength=units), single(total), alive


def _threshold(products: Floats, rule: LinearRule) -> tuple[Floats, Bools]:
    if rule.release and products.shape[1] <= PREFIX_LIMIT:
        return threshold_without_sum(products, rule.lower_bound)
    return threshold(products, rule.lower_bound)


def bridge_cpu(g: Tensor, mass: Tensor, rule: LinearRule, *, count_zeros: bool) -> Tensor:
    """Select anew among the gating values of a layer; see ``td_bridge``.

    Returns:
        float32 gating ``[B, I]``.
    """
    gating, pictures = mass.float().numpy(), np.flatnonzero(mass.float().numpy())
    products = np.ascontiguousarray(g.float().numpy()[pictures])
    units, inputs = products.shape
    theta, alive = _threshold(products, rule)
    flat = winners(products, theta, alive, rule.eps, rule.release)
    flat = flat[products.ravel()[flat] != 0]
    value, owner = products.ravel()[flat], flat // inputs
    population = np.bincount(owner, minlength=units)
    if count_zeros:
        zeros = (products == 0).sum(axis=1)
        population += np.where(theta < np.float32(rule.eps), zeros, 0)
    keep, share, _ = spread(owner, value, population, rule.second)
    owner = owner[keep]
    scatter = Scatter(g.shape)
    scatter.add(pictures[owner] * inputs + flat[keep] % inputs, gating[pictures][owner] * share)
    return scatter.result()
