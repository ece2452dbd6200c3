"""The top-down rules written out unit by unit in float64: sorting, loops and nothing clever; shares no code with ours.

Each rule returns a :class:`Choice` per unit. ``doubtful`` marks units that float32 may decide otherwise: the running
sum passes within rounding of zero, a product lies within rounding of a cut, or two scores are almost equal.
"""

import itertools
import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

BAND = 2e-6  # of the sum of absolute products, for running sums and scores
CLOSE = 1e-6  # relative, for single products
TABLE = [(1, 3), (1, 2), (1, 1), (1, 0), (0.5, 0), (0.2, 0)]


@dataclass
class Choice:
    alive: bool = False
    theta: float = 0.0
    shares: dict[tuple[int, ...], float] = field(default_factory=dict)
    groups: list[tuple[int, list[tuple[int, int]]]] = field(default_factory=list)
    doubtful: bool = False


def divide(a: float, b: float) -> float:
    return float(np.divide(np.float64(a), np.float64(b)))


def crossing(values: list[float], lower_bound: float) -> tuple[float | None, bool]:
    """Return theta (None: dropped) and whether that is in doubt."""
    scale = BAND * sum(abs(v) for v in values)
    total = math.fsum(values)
    doubtful = abs(total - lower_bound) < scale
    if total <= lower_bound:
        return None, doubtful
    ascending = sorted(values)
    running = list(itertools.accumulate(ascending))
    theta = next(v for v, r in zip(ascending, running, strict=True) if r > 0)
    if ascending[0] < 0:
        doubtful = doubtful or any(abs(r) < scale for r in running[:-1])
    return theta, doubtful


def components(cells: set[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Split cells into 8-connected groups, ordered by their first cell in raster order."""
    found = []
    left = sorted(cells)
    while left:
        todo, one = [left[0]], []
        while todo:
            y, x = todo.pop()
            if (y, x) not in left:
                continue
            left.remove((y, x))
            one.append((y, x))
            todo += [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        found.append(sorted(one))
    return found


def conv_unit(p: np.ndarray, *, alpha: float, lower_bound: float, eps: float, release: bool) -> Choice:
    """Apply the rule to the products ``[channels, kh, kw]`` of one unit."""
    theta, doubtful = crossing(p.ravel().tolist(), lower_bound)
    if theta is None:
        return Choice(doubtful=doubtful)
    scale = BAND * max(float(np.abs(p).sum()), 1)
    doubtful = doubtful or bool((np.abs(p - (theta - eps)) < CLOSE * (theta + eps)).any())
    scored = []
    for c in range(len(p)):
        wins = {(int(y), int(x)) for y, x in np.argwhere((p[c] >= theta - eps) & (release | (p[c] > 0)))}
        for i, cells in enumerate(components(wins)):
            total = sum(p[c][cell] for cell in cells)
            scored.append((alpha * total + (1 - alpha) * len(cells), c, i, total, cells))
    top = max(s[0] for s in scored)
    best = [s for s in scored if s[0] == top]
    doubtful = doubtful or any(s[0] != top and top - s[0] < scale for s in scored) or len(best) > 1
    if release:
        best = [max((s for s in best if s[1] == c), key=lambda s: s[2]) for c in sorted({s[1] for s in best})]
    else:
        best = best[:1]
    choice = Choice(alive=True, theta=theta, doubtful=doubtful)
    for _, c, _, total, cells in best:
        choice.groups.append((c, cells))
        for cell in cells:
            choice.shares[(c, *cell)] = divide(p[c][cell], total)
    return choice


def conv(
    h: Tensor,
    weight: Tensor,
    g: Tensor,
    *,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
    alpha: float = 0.2,
    lower_bound: float = 3e-4,
    eps: float = 2e-4,
    release: bool = False,
) -> tuple[Tensor, list[tuple[tuple[int, int, int, int], Choice]]]:
    """Return the gating of the inputs in float64 and the choice of every active unit."""
    padded = torch.nn.functional.pad(h.double(), (padding[1], padding[1], padding[0], padding[0]))
    out, choices = torch.zeros_like(padded), []
    per_group, (kh, kw) = weight.shape[1], weight.shape[2:]
    for unit in g.nonzero().tolist():
        b, o, y, x = unit
        first = o * groups // weight.shape[0] * per_group
        p = np.zeros((per_group, kh, kw))
        where = {}
        for c in range(per_group):
            for i in range(kh):
                for j in range(kw):
                    cell = (b, first + c, y * stride[0] + i * dilation[0], x * stride[1] + j * dilation[1])
                    where[c, i, j] = cell
                    p[c, i, j] = weight[o, c, i, j].double() * padded[cell]
        choice = conv_unit(p, alpha=alpha, lower_bound=lower_bound, eps=eps, release=release)
        for cell, share in choice.shares.items():
            out[where[cell]] += g[b, o, y, x].double() * share
        choices.append(((b, o, y, x), choice))
    height, width = h.shape[2:]
    return out[:, :, padding[0] : padding[0] + height, padding[1] : padding[1] + width], choices


def linear_unit(
    p: list[float],
    *,
    mode: str = "stat",
    offset: int = 3,
    lower_bound: float = 1e-5,
    eps: float = 1e-4,
    release: bool = False,
    count_zeros: bool | None = None,
) -> Choice:
    """Apply the rule to the products of one unit; ``count_zeros`` is that of the bridge."""
    theta, doubtful = crossing(p, lower_bound)
    if theta is None:
        return Choice(doubtful=doubtful)
    if release and len(p) <= 1024:
        padded = p + [0.0] * (2 ** math.ceil(math.log2(len(p))) - len(p))
        others, positive = [v for v in padded if v <= 0], [v for v in padded if v > 0]
        if not others:
            return Choice(alive=False)
        theta = min(positive) - max(others)
    wins = [i for i, v in enumerate(p) if v >= theta - eps and (release or v > 0)]
    if count_zeros is not None:
        wins = [i for i in wins if p[i] != 0] + [i for i, v in enumerate(p) if v == 0 and count_zeros and theta < eps]
    doubtful = doubtful or any(abs(v - (theta - eps)) < CLOSE * (theta + eps) for v in p)
    choice = Choice(alive=True, theta=theta, doubtful=doubtful)
    if not wins:
        return choice
    values = [p[i] for i in wins]
    largest = max(values)
    if mode == "top1":
        ties = [i for i in sorted(wins) if p[i] == largest]
        choice.shares = {(i,): 1.0 for i in (ties if release else ties[:1])}
        return choice
    survivors = sorted(wins)
    if mode == "stat":
        n = len(wins)
        mean = math.fsum(values) / n
        std = math.sqrt(math.fsum((v - mean) ** 2 for v in values if v != 0) / n)
        cuts = [m * mean + s * std for m, s in TABLE]
        row = next(r for r, cut in enumerate(cuts) if largest >= cut)
        cut = cuts[min(len(TABLE) - 1, row + offset)]
        near = [(largest, c) for c in cuts] + [(v, cut) for v in values]
        choice.doubtful |= len(values) > 1 and any(abs(v - c) < CLOSE * largest for v, c in near)
        survivors = [i for i in survivors if p[i] >= cut]
    total = math.fsum(p[i] for i in survivors)
    choice.shares = {(i,): divide(p[i], total) for i in survivors if p[i] != 0 or release}
    return choice


def linear(h: Tensor, weight: Tensor, g: Tensor, **rule: object) -> tuple[Tensor, list[tuple[tuple[int, ...], Choice]]]:
    """Return the gating of the inputs ``[B, I]`` in float64 and the choice of every active unit."""
    out, choices = torch.zeros(h.shape, dtype=torch.float64), []
    for b, o in g.nonzero().tolist():
        choice = linear_unit((weight[o].double() * h[b].double()).tolist(), **rule)
        for (i,), share in choice.shares.items():
            out[b, i] += g[b, o].double() * share
        choices.append(((b, o), choice))
    return out, choices


def published_linear_maps(h: Tensor, weight: Tensor, g: Tensor, **rule: object) -> Tensor:
    """Return the gating of ``[B, I, H, W]`` in float64 as published: marks of dropped units lie at place o."""
    out = torch.zeros(h.shape, dtype=torch.float64)
    for b in range(len(h)):
        theta = torch.ones(g.shape[1:])  # whatever it is, it is positive for a unit that is alive
        chosen = {}
        for o, y, x in g[b].nonzero().tolist():
            p = (weight[o].flatten().double() * h[b, :, y, x].double()).tolist()
            chosen[o, y, x] = linear_unit(p, release=True, **rule)
            if not chosen[o, y, x].alive:
                theta.view(-1)[o] = -1000
        for (o, y, x), choice in chosen.items():
            if theta[o, y, x] > 0:
                for (i,), share in choice.shares.items():
                    out[b, i, y, x] += g[b, o, y, x].double() * share
    return out


def published_max_of_four(values: list[float], channels: int) -> int:
    """Return the place among four cells that the published reduction finds."""
    left, step = list(values), channels // 2
    while step >= 1:
        for i in range(min(step, 4)):
            if i + step < 4:
                left[i] = max(left[i], left[i + step])
        step //= 2
    return values.index(left[0])
