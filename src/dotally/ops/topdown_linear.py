"""The top-down rules of linear layers and of the bridge: the public operators and their registration."""

from dataclasses import dataclass
from typing import Literal, overload

import torch
from torch import Tensor

from dotally.ops.registration import Operator
from dotally.ops.topdown_checks import check_compat, check_constants, check_floating, check_rule
from dotally.ops.topdown_cuda import td_bridge_cuda, td_linear_cuda, td_linear_selection_cuda
from dotally.ops.topdown_linear_cpu import LinearRule, bridge_cpu, linear_cpu, linear_selection_cpu
from dotally.ops.topdown_statistics import DEFAULT_TABLE, Compat, Mode, Rule, Table


@dataclass(frozen=True, kw_only=True)
class LinearSelection:
    """What the active units of a linear layer chose, one record per unit, in the order of the flat gating.

    Attributes:
        unit: int64 ``[A, 2]`` (picture, output), or ``[A, 4]`` with (row, column) for maps.
        theta: float32 ``[A]`` the product at which the running sum turns positive; 0 for dropped units.
        survivors: int64 ``[A]`` number of inputs that share the unit's gating.
        survivor_sum: float32 ``[A]`` sum of their products.
        alive: bool ``[A]`` False where the products sum to the lower bound or less, and for what else
            ``compat="release"`` drops.
    """

    unit: Tensor
    theta: Tensor
    survivors: Tensor
    survivor_sum: Tensor
    alive: Tensor


@overload
def td_linear(
    h: Tensor,
    weight: Tensor,
    g: Tensor,
    *,
    mode: Mode = ...,
    offset: int = ...,
    table: Table = ...,
    lower_bound: float = ...,
    eps: float = ...,
    compat: Compat = ...,
    return_selection: Literal[False] = ...,
) -> Tensor: ...


@overload
def td_linear(
    h: Tensor,
    weight: Tensor,
    g: Tensor,
    *,
    mode: Mode = ...,
    offset: int = ...,
    table: Table = ...,
    lower_bound: float = ...,
    eps: float = ...,
    compat: Compat = ...,
    return_selection: Literal[True],
) -> tuple[Tensor, LinearSelection]: ...


def td_linear(
    h: Tensor,
    weight: Tensor,
    g: Tensor,
    *,
    mode: Mode = "stat",
    offset: int = 3,
    table: Table = DEFAULT_TABLE,
    lower_bound: float = 1e-5,
    eps: float = 1e-4,
    compat: Compat = "fixed",
    return_selection: bool = False,
) -> Tensor | tuple[Tensor, LinearSelection]:
    """Hand the gating of a linear layer's outputs down to its inputs, by STNet's selective rule.

    Stage 1 is that of :func:`td_conv2d`. Among its winners ``"all"`` keeps everyone, ``"top1"`` the largest, and
    ``"stat"`` those that stand out: with mean and (population) standard deviation of the winners, take the first row
    (m, s) of the table whose cut ``m * mean + s * std`` anybody reaches, go down ``offset`` rows (at most to the last)
    and keep the winners that reach that row's cut. The survivors share the unit's gating in proportion to their
    products. On maps the rule is applied at every position (a 1x1 convolution).

    ``compat="fixed"``: winners are positive, of equal largest the first is the top one, finite input never gives NaN.
    ``compat="release"`` is the published behaviour: where theta < eps, zeros win too and enter mean and standard
    deviation; all equal top ones get the full gating; up to 1024 inputs the running sum is skipped (theta is the
    smallest positive product less the largest other one, and units on which the publication aborts pass nothing on).
    On maps, a unit of output o that is dropped also stops the unit at flat place o of the picture's gating, as the
    publication marks the wrong place; which of two writes to one place it keeps is left to chance there, and is the
    mark here.

    Source: Biparva and Tsotsos, STNet (ICCV workshops 2017), and the behaviour of its release. Deterministic.
    Forward only: no gradient.

    Args:
        h: ``[B, I]`` or ``[B, I, H, W]`` input in the forward pass; half precisions are computed in float32.
        weight: ``[O, I]`` or ``[O, I, 1, 1]``.
        g: ``[B, O]`` or ``[B, O, H, W]`` gating of the outputs, >= 0 in ordinary use.
        mode: ``"stat"``, ``"all"`` or ``"top1"``.
        offset: Rows to go down in the table, >= 0; more keeps more inputs.
        table: Rows (m, s), from strict to lenient.
        lower_bound: Units whose products sum to this or less are dropped; >= 0, in units of the output.
        eps: Slack of theta, >= 0, in units of the output.
        compat: ``"fixed"`` or ``"release"``.
        return_selection: Also return what each active unit chose.

    Returns:
        float32 gating shaped like ``h``; with ``return_selection`` also a :class:`LinearSelection`.

    Raises:
        ValueError: If shapes do not fit or an argument is out of range.
    """
    check_floating(h=h, weight=weight, g=g)
    check_constants(lower_bound, eps)
    check_compat(compat)
    check_rule(mode, offset, table)
    _check_shapes(h, weight, g)
    flat = [float(value) for row in table for value in row]
    args = (h.detach(), weight.detach(), g.detach(), mode, offset, flat, lower_bound, eps, compat == "release")
    if not return_selection:
        return _linear(*args)
    out, *record = _linear_selection(*args)
    return out, LinearSelection(**dict(zip(LinearSelection.__dataclass_fields__, record, strict=True)))


def td_bridge(
    g: Tensor,
    mass: Tensor,
    *,
    mode: Mode = "stat",
    offset: int = 1,
    table: Table = DEFAULT_TABLE,
    lower_bound: float = 1e-5,
    eps: float = 1e-4,
    count_zeros: bool = True,
    compat: Compat = "fixed",
) -> Tensor:
    """Select anew among the gating values of one layer, between the fully connected and the convolutional part.

    The rule of :func:`td_linear` for one unit per picture whose inputs are the gating values themselves, with weights
    of 1, and whose own gating is ``mass``: the result sums to ``mass``.

    With ``count_zeros`` the zeros of a picture enter mean and standard deviation exactly when theta, its smallest
    positive gating, is below ``eps``; the published numbers rest on this. They never receive gating. ``compat``
    differs only where gating is negative, and for ``"top1"`` in ties, as in :func:`td_linear`.

    Args:
        g: ``[B, I]`` gating values, >= 0 in ordinary use.
        mass: ``[B]`` gating of the class to explain, one per picture.
        mode: ``"stat"``, ``"all"`` (which only brings the sum to ``mass``) or ``"top1"``.
        offset: As in :func:`td_linear`.
        table: As in :func:`td_linear`.
        lower_bound: Pictures whose gating sums to this or less are dropped.
        eps: Slack of theta.
        count_zeros: Whether zeros are counted where theta < eps; never otherwise.
        compat: ``"fixed"`` or ``"release"``.

    Returns:
        float32 ``[B, I]``.

    Raises:
        ValueError: If shapes do not fit or an argument is out of range.
    """
    check_floating(g=g, mass=mass)
    check_constants(lower_bound, eps)
    check_compat(compat)
    check_rule(mode, offset, table)
    if g.ndim != 2 or mass.shape != g.shape[:1]:
        raise ValueError(f"g {list(g.shape)} and mass {list(mass.shape)} must have the shapes [B, I] and [B]")
    flat = [float(value) for row in table for value in row]
    return _bridge(g.detach(), mass.detach(), mode, offset, flat, lower_bound, eps, count_zeros, compat == "release")


def _check_shapes(h: Tensor, weight: Tensor, g: Tensor) -> None:
    flat = weight.shape[:2] if weight.ndim == 2 or list(weight.shape[2:]) == [1, 1] else None
    if flat is None or h.ndim not in (2, 4) or h.shape[1] != flat[1]:
        raise ValueError(
            f"weight {list(weight.shape)} does not fit h {list(h.shape)}: "
            "expected [O, I] or [O, I, 1, 1], and [B, I] or [B, I, H, W]"
        )
    expected = [h.shape[0], flat[0], *h.shape[2:]]
    if list(g.shape) != expected:
        raise ValueError(
            f"g has shape {list(g.shape)}, but h {list(h.shape)} with weight {list(weight.shape)} gives {expected}"
        )


@Operator.define("dotally::td_linear")
def _linear(
    h: Tensor,
    weight: Tensor,
    g: Tensor,
    mode: str,
    offset: int,
    table: list[float],
    lower_bound: float,
    eps: float,
    release: bool,
) -> Tensor:
    return linear_cpu(h, weight, g, _rule(mode, offset, table, lower_bound, eps, release))


@_linear.register_fake
def _(
    h: Tensor,
    weight: Tensor,
    g: Tensor,
    mode: str,
    offset: int,
    table: list[float],
    lower_bound: float,
    eps: float,
    release: bool,
) -> Tensor:
    return h.new_empty(h.shape, dtype=torch.float32)


@Operator.define("dotally::td_linear_selection")
def _linear_selection(
    h: Tensor,
    weight: Tensor,
    g: Tensor,
    mode: str,
    offset: int,
    table: list[float],
    lower_bound: float,
    eps: float,
    release: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    rule = _rule(mode, offset, table, lower_bound, eps, release)
    out, unit, theta, survivors, total, alive = linear_selection_cpu(h, weight, g, rule)
    return out, unit, theta, survivors, total, alive


@_linear_selection.register_fake
def _(
    h: Tensor,
    weight: Tensor,
    g: Tensor,
    mode: str,
    offset: int,
    table: list[float],
    lower_bound: float,
    eps: float,
    release: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    units = torch.library.get_ctx().new_dynamic_size()
    return (
        h.new_empty(h.shape, dtype=torch.float32),
        h.new_empty((units, g.ndim), dtype=torch.int64),
        h.new_empty(units, dtype=torch.float32),
        h.new_empty(units, dtype=torch.int64),
        h.new_empty(units, dtype=torch.float32),
        h.new_empty(units, dtype=torch.bool),
    )


@Operator.define("dotally::td_bridge")
def _bridge(
    g: Tensor,
    mass: Tensor,
    mode: str,
    offset: int,
    table: list[float],
    lower_bound: float,
    eps: float,
    count_zeros: bool,
    release: bool,
) -> Tensor:
    rule = _rule(mode, offset, table, lower_bound, eps, release)
    return bridge_cpu(g, mass, rule, count_zeros=count_zeros)


@_bridge.register_fake
def _(
    g: Tensor,
    mass: Tensor,
    mode: str,
    offset: int,
    table: list[float],
    lower_bound: float,
    eps: float,
    count_zeros: bool,
    release: bool,
) -> Tensor:
    return g.new_empty(g.shape, dtype=torch.float32)


def _rule(mode: str, offset: int, table: list[float], lower_bound: float, eps: float, release: bool) -> LinearRule:
    rows = list(zip(table[::2], table[1::2], strict=True))
    second = Rule(mode=mode, offset=offset, table=rows, release=release)
    return LinearRule(lower_bound=lower_bound, eps=eps, release=release, second=second)


_linear.register_kernel("cuda")(td_linear_cuda)
_linear_selection.register_kernel("cuda")(td_linear_selection_cuda)
_bridge.register_kernel("cuda")(td_bridge_cuda)
