"""The top-down rule of a convolution on the CPU: work only on units whose gating is not zero.

The input is laid out with its channels last, so that a unit's window is a few rows of memory, and the rows of all
units of a chunk are gathered at once. Winners are few, so everything after the threshold is a list of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dotally.ops import topdown_components
from dotally.ops.topdown_scatter import Scatter
from dotally.ops.topdown_threshold import Bools, Doubles, Floats, Ints, chunks, single, threshold, winners


@dataclass(frozen=True, kw_only=True)
class ConvRule:
    """Geometry and constants of one top-down convolution; pairs are (vertical, horizontal)."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    alpha: float
    lower_bound: float
    eps: float
    release: bool


@dataclass(frozen=True, kw_only=True)
class _Units:
    """A chunk of active units: where they are, their threshold, and the cells that carry their signal on.

    The arrays over ``[E]`` list the cells of the chosen groups: index of the unit in the chunk, input channel within
    the group of channels, cell of the window, share of the unit's gating.
    """

    image: Ints
    channel: Ints
    row: Ints
    column: Ints
    gating: Floats
    theta: Floats
    alive: Bools
    owner: Ints
    source: Ints
    cell: Ints
    share: Doubles
    total: Doubles


def conv2d_cpu(h: Tensor, weight: Tensor, g: Tensor, rule: ConvRule) -> Tensor:
    """Hand the gating of a convolution's outputs down to its inputs; see ``td_conv2d``.

    Returns:
        float32 gating, shaped like ``h``.
    """
    gating = g.float().contiguous().numpy()
    active = np.flatnonzero(gating)
    scatter = Scatter(h.shape)
    if len(active):  # laying out the input is not free
        for units in _select(h, weight, gating, active, rule):
            _pass_down(units, h, weight, rule, scatter)
    return scatter.result()


def conv2d_selection_cpu(h: Tensor, weight: Tensor, g: Tensor, rule: ConvRule) -> tuple[Tensor, ...]:
    """Do the same and keep the record of every active unit.

    Returns:
        Gating like ``h``; units ``[A, 4]``; theta ``[A]``; channel ``[A]``; component ``[A, kh, kw]``; shares
        ``[A, kh, kw]``; component sums ``[A]``; alive ``[A]``: the fields of ``ConvSelection``.
    """
    gating = g.float().contiguous().numpy()
    scatter = Scatter(h.shape)
    records = []
    for units in _select(h, weight, gating, np.flatnonzero(gating), rule):
        _pass_down(units, h, weight, rule, scatter)
        records.append(_describe(units, weight, rule))
    return scatter.result(), *(torch.from_numpy(np.concatenate(field)) for field in zip(*records, strict=True))


def _select(h: Tensor, weight: Tensor, gating: Floats, active: Ints, rule: ConvRule) -> Iterator[_Units]:
    rows = _Rows(h, weight, rule)
    for chunk in chunks(len(active), weight[0].numel()):
        unit = np.unravel_index(active[chunk], gating.shape)
        yield _stages(rows.products(*unit), unit, gating[unit], weight, rule)


def _stages(
    products: Floats, unit: tuple[NDArray[np.intp], ...], gating: Floats, weight: Tensor, rule: ConvRule
) -> _Units:
    kernel, channels = (weight.shape[2], weight.shape[3]), weight.shape[1]
    theta, alive = threshold(products, rule.lower_bound)
    flat = winners(products, theta, alive, rule.eps, rule.release)
    value = products.ravel()[flat]
    groups = topdown_components.group(flat, value, kernel)
    if rule.release:
        topdown_components.check_published_labels(groups)
    chosen = topdown_components.best(groups, channels, rule.alpha, rule.release)
    kept = chosen[groups.label]
    flat, value = flat[kept], value[kept]
    window, cell = np.divmod(flat, kernel[0] * kernel[1])
    owner, source = np.divmod(window, channels)
    total = groups.total[groups.label[kept]]
    with np.errstate(divide="ignore", invalid="ignore"):  # the published rules divide by empty sums
        share = value / total
    image, channel, row, column = unit
    return _Units(
        image=image,
        channel=channel,
        row=row,
        column=column,
        gating=gating,
        theta=theta,
        alive=alive,
        owner=owner,
        source=source,
        cell=cell,
        share=share,
        total=total,
    )


class _Rows:
    """The padded input with its channels last, as rows ``[B * H * W * groups, C / groups]``, and the weights."""

    def __init__(self, h: Tensor, weight: Tensor, rule: ConvRule) -> None:
        batch, channels, height, width = h.shape
        down, right = rule.padding
        self._size = (height + 2 * down, width + 2 * right)
        lines = torch.zeros(batch, *self._size, channels)
        lines[:, down : down + height, right : right + width] = h.permute(0, 2, 3, 1)
        self._lines = lines.view(-1, channels // rule.groups).numpy()
        self._weight, self._rule = weight, rule
        vertical = np.arange(weight.shape[2]) * rule.dilation[0]
        horizontal = np.arange(weight.shape[3]) * rule.dilation[1]
        self._taps = (vertical[:, None] * self._size[1] + horizontal).ravel() * rule.groups

    def products(self, image: Ints, channel: Ints, row: Ints, column: Ints) -> Floats:
        """Return weight times input, ``[units, C / groups * kh * kw]``, in the order of the weights."""
        rule = self._rule
        corner = (image * self._size[0] + row * rule.stride[0]) * self._size[1] + column * rule.stride[1]
        group = channel * rule.groups // len(self._weight)
        inputs = self._lines[(corner * rule.groups + group)[:, None] + self._taps]  # [units, kh * kw, C / groups]
        weight = self._weight.index_select(0, torch.from_numpy(channel)).float().contiguous().numpy()
        with np.errstate(over="ignore", invalid="ignore"):
            products = weight.reshape(len(channel), inputs.shape[2], len(self._taps)) * inputs.transpose(0, 2, 1)
        return np.ascontiguousarray(products).reshape(len(channel), inputs.shape[2] * len(self._taps))


def _pass_down(units: _Units, h: Tensor, weight: Tensor, rule: ConvRule, scatter: Scatter) -> None:
    _, channels, height, width = h.shape
    down, right = np.divmod(units.cell, weight.shape[3])
    y = units.row[units.owner] * rule.stride[0] + down * rule.dilation[0] - rule.padding[0]
    x = units.column[units.owner] * rule.stride[1] + right * rule.dilation[1] - rule.padding[1]
    group = units.channel[units.owner] * rule.groups // len(weight)
    plane = units.image[units.owner] * channels + group * weight.shape[1] + units.source
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    cell = (plane * height + y) * width + x
    scatter.add(cell[inside], (units.gating[units.owner] * units.share)[inside])


def _describe(units: _Units, weight: Tensor, rule: ConvRule) -> tuple[NDArray[np.generic], ...]:
    """Return the record of a chunk; where several channels tie, as published, the lowest one's."""
    count, kernel = len(units.theta), (weight.shape[2], weight.shape[3])
    starts = np.flatnonzero(np.diff(units.owner, prepend=-1))
    source = np.full(count, -1)
    source[units.owner[starts]] = units.source[starts]  # the cells of a unit are ordered by channel
    mine = units.source == source[units.owner]
    owner, cell = units.owner[mine], units.cell[mine]
    component = np.zeros((count, kernel[0] * kernel[1]), np.bool_)
    component[owner, cell] = True
    share = np.zeros(component.shape, np.float32)
    share[owner, cell] = units.share[mine]
    total = np.zeros(count, np.float32)
    total[owner] = single(units.total[mine])
    first_channel = units.channel * rule.groups // len(weight) * weight.shape[1]
    return (
        np.stack([units.image, units.channel, units.row, units.column], axis=1),
        units.theta,
        np.where(source < 0, -1, first_channel + source),
        component.reshape(count, *kernel),
        share.reshape(count, *kernel),
        total,
        units.alive,
    )
