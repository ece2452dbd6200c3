"""The top-down rule of a convolution: the public operator and its registration."""

from dataclasses import dataclass
from typing import Literal, overload

import torch
from torch import Tensor

from dotally.errors import DotallyError
from dotally.ops.registration import Operator
from dotally.ops.topdown_checks import check_compat, check_constants, check_floating, pair, same_batch
from dotally.ops.topdown_conv_cpu import ConvRule, conv2d_cpu, conv2d_selection_cpu
from dotally.ops.topdown_cuda import td_conv2d_cuda, td_conv2d_selection_cuda
from dotally.ops.topdown_statistics import Compat

PUBLISHED_BYTES = 48 * 1024  # of a unit's products in the release; above, its own check stops it


@dataclass(frozen=True, kw_only=True)
class ConvSelection:
    """What the active units of a convolution chose, one record per unit, in the order of the flat gating.

    Attributes:
        unit: int64 ``[A, 4]`` (picture, output channel, row, column).
        theta: float32 ``[A]`` the product at which the running sum turns positive; 0 for dropped units.
        channel: int64 ``[A]`` input channel of the chosen group, -1 for dropped units. Where several channels tie,
            as only ``compat="release"`` lets them, the lowest; the next three fields belong to it.
        component: bool ``[A, kh, kw]`` cells of the window that form the group.
        share: float32 ``[A, kh, kw]`` of the unit's gating that each cell receives; sums to 1, or 0 if dropped.
        component_sum: float32 ``[A]`` sum of the group's products.
        alive: bool ``[A]`` False where the products sum to the lower bound or less.
    """

    unit: Tensor
    theta: Tensor
    channel: Tensor
    component: Tensor
    share: Tensor
    component_sum: Tensor
    alive: Tensor

    def kernel_gating(self, weight: Tensor, groups: int = 1) -> tuple[Tensor, Tensor]:
        """Add up, for every weight, the shares that passed through it and how often it was chosen.

        These are the quantities of attention-based pruning; ``weight`` and ``groups`` are those of the convolution.

        Returns:
            float32 shares and int64 hits, both shaped like ``weight`` ``[O, C/groups, kh, kw]``.
        """
        owner, row, column = self.component.nonzero(as_tuple=True)
        place = (self.unit[owner, 1], self.channel[owner] % weight.shape[1], row, column)
        gating = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)
        hits = torch.zeros(weight.shape, dtype=torch.int64, device=weight.device)
        gating.index_put_(place, self.share[owner, row, column], accumulate=True)
        hits.index_put_(place, torch.ones_like(row), accumulate=True)
        return gating, hits


@overload
def td_conv2d(
    h: Tensor,
    weight: Tensor,
    g: Tensor,
    *,
    stride: int | tuple[int, int] = ...,
    padding: int | tuple[int, int] = ...,
    dilation: int | tuple[int, int] = ...,
    groups: int = ...,
    alpha: float = ...,
    lower_bound: float = ...,
    eps: float = ...,
    compat: Compat = ...,
    return_selection: Literal[False] = ...,
) -> Tensor: ...


@overload
def td_conv2d(
    h: Tensor,
    weight: Tensor,
    g: Tensor,
    *,
    stride: int | tuple[int, int] = ...,
    padding: int | tuple[int, int] = ...,
    dilation: int | tuple[int, int] = ...,
    groups: int = ...,
    alpha: float = ...,
    lower_bound: float = ...,
    eps: float = ...,
    compat: Compat = ...,
    return_selection: Literal[True],
) -> tuple[Tensor, ConvSelection]: ...


def td_conv2d(
    h: Tensor,
    weight: Tensor,
    g: Tensor,
    *,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    alpha: float = 0.2,
    lower_bound: float = 3e-4,
    eps: float = 2e-4,
    compat: Compat = "fixed",
    return_selection: bool = False,
) -> Tensor | tuple[Tensor, ConvSelection]:
    """Hand the gating of a convolution's outputs down to its inputs, by STNet's selective rule.

    For every output with gating other than 0, take the products ``p`` of its weights and inputs (no bias; zeros
    outside the map). A unit whose products sum to ``lower_bound`` or less passes nothing on. Otherwise the smallest
    positive products are spent on cancelling the negative ones: theta is the product at which the ascending running
    sum turns positive, and the winners are the products >= theta - eps. In every input channel they are split into
    8-connected groups within the window; of all channels, the one group with the highest
    ``alpha * sum(p) + (1 - alpha) * area`` receives the unit's gating, in proportion to its products. The total is
    kept, but for dropped units.

    ``compat="fixed"``: winners are also positive, ties go to the lowest channel, then to the group whose first cell
    comes first in raster order, and finite input never gives NaN (a unit whose products sum beyond float32 is
    dropped). ``compat="release"`` is the published behaviour: zeros win where theta < eps, every tied channel passes
    the whole gating on, the last of equal groups of a channel wins, 0/0 gives NaN. Where the published code aborts or
    writes outside its memory, it is an error: a unit's products take more than 48 KB (channels of a group, rounded up
    to a power of two, times cells times 4 bytes; VGG-16's first linear layer), or a window has 36 separate groups.

    Source: Biparva and Tsotsos, "STNet: Selective Tuning of Convolutional Networks for Object Localization"
    (ICCV workshops 2017), and the behaviour of its release. Deterministic. Forward only: no gradient.

    Args:
        h: ``[B, C, H, W]`` input of the convolution in the forward pass; float16 and bfloat16 are computed in float32.
        weight: ``[O, C/groups, kh, kw]``.
        g: ``[B, O, H', W']`` gating of the outputs, >= 0 in ordinary use.
        stride: As in ``torch.nn.functional.conv2d``; an int or (vertical, horizontal).
        padding: Likewise.
        dilation: Likewise.
        groups: Likewise.
        alpha: Weight of a group's sum against its area, 0 to 1.
        lower_bound: Least sum of products, >= 0, in units of the output.
        eps: Slack of theta, >= 0, in units of the output.
        compat: ``"fixed"`` or ``"release"``.
        return_selection: Also return what each active unit chose.

    Returns:
        float32 ``[B, C, H, W]`` gating of the inputs; with ``return_selection`` also a :class:`ConvSelection`.

    Raises:
        ValueError: If shapes do not fit or a constant is out of range.
        DotallyError: With ``compat="release"``, where the published code does not survive.
    """
    geometry = (pair(stride, "stride", 1), pair(padding, "padding", 0), pair(dilation, "dilation", 1))
    check_floating(h=h, weight=weight, g=g)
    check_constants(lower_bound, eps)
    check_compat(compat)
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie in 0 to 1, got {alpha}")
    _check_shapes(h, weight, g, *geometry, groups)
    if compat == "release":
        _check_published_size(weight)
    args = (h.detach(), weight.detach(), g.detach(), *map(list, geometry), groups)
    constants = (alpha, lower_bound, eps, compat == "release")
    if not return_selection:
        return _conv2d(*args, *constants)
    out, *record = _conv2d_selection(*args, *constants)
    return out, ConvSelection(**dict(zip(ConvSelection.__dataclass_fields__, record, strict=True)))


def _check_shapes(
    h: Tensor,
    weight: Tensor,
    g: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> None:
    if h.ndim != 4 or weight.ndim != 4 or groups < 1 or h.shape[1] != weight.shape[1] * groups:
        raise ValueError(
            f"weight {list(weight.shape)} with groups={groups} does not fit h {list(h.shape)}: "
            "expected [O, C/groups, kh, kw] and [B, C, H, W]"
        )
    if weight.shape[0] % groups:
        raise ValueError(f"the outputs of weight {list(weight.shape)} are no multiple of groups={groups}")
    same_batch(h, g)
    sides = [
        (h.shape[2 + a] + 2 * padding[a] - dilation[a] * (weight.shape[2 + a] - 1) - 1) // stride[a] + 1 for a in (0, 1)
    ]
    expected = [h.shape[0], weight.shape[0], *sides]
    if list(g.shape) != expected:
        raise ValueError(
            f"g has shape {list(g.shape)}, but the convolution of h {list(h.shape)} with weight {list(weight.shape)}, "
            f"stride {stride}, padding {padding}, dilation {dilation} gives {expected}"
        )


def _check_published_size(weight: Tensor) -> None:
    rounded = 1 << (weight.shape[1] - 1).bit_length()
    size = rounded * weight[0, 0].numel() * 4
    if size > PUBLISHED_BYTES:
        raise DotallyError(
            f"compat='release': the published code aborts on a convolution with weight {list(weight.shape)}, whose "
            f"products take {size // 1024} KB a unit (at most {PUBLISHED_BYTES // 1024}); use compat='fixed'"
        )


@Operator.define("dotally::td_conv2d")
def _conv2d(
    h: Tensor,
    weight: Tensor,
    g: Tensor,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    alpha: float,
    lower_bound: float,
    eps: float,
    release: bool,
) -> Tensor:
    return conv2d_cpu(h, weight, g, _rule(stride, padding, dilation, groups, alpha, lower_bound, eps, release))


@_conv2d.register_fake
def _(
    h: Tensor,
    weight: Tensor,
    g: Tensor,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    alpha: float,
    lower_bound: float,
    eps: float,
    release: bool,
) -> Tensor:
    return h.new_empty(h.shape, dtype=torch.float32)


@Operator.define("dotally::td_conv2d_selection")
def _conv2d_selection(
    h: Tensor,
    weight: Tensor,
    g: Tensor,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    alpha: float,
    lower_bound: float,
    eps: float,
    release: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    rule = _rule(stride, padding, dilation, groups, alpha, lower_bound, eps, release)
    out, unit, theta, channel, component, share, total, alive = conv2d_selection_cpu(h, weight, g, rule)
    return out, unit, theta, channel, component, share, total, alive


@_conv2d_selection.register_fake
def _(
    h: Tensor,
    weight: Tensor,
    g: Tensor,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    alpha: float,
    lower_bound: float,
    eps: float,
    release: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    units = torch.library.get_ctx().new_dynamic_size()
    window = (units, weight.shape[2], weight.shape[3])
    return (
        h.new_empty(h.shape, dtype=torch.float32),
        h.new_empty((units, 4), dtype=torch.int64),
        h.new_empty(units, dtype=torch.float32),
        h.new_empty(units, dtype=torch.int64),
        h.new_empty(window, dtype=torch.bool),
        h.new_empty(window, dtype=torch.float32),
        h.new_empty(units, dtype=torch.float32),
        h.new_empty(units, dtype=torch.bool),
    )


def _rule(
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    alpha: float,
    lower_bound: float,
    eps: float,
    release: bool,
) -> ConvRule:
    return ConvRule(
        stride=(stride[0], stride[1]),
        padding=(padding[0], padding[1]),
        dilation=(dilation[0], dilation[1]),
        groups=groups,
        alpha=alpha,
        lower_bound=lower_bound,
        eps=eps,
        release=release,
    )


_conv2d.register_kernel("cuda")(td_conv2d_cuda)
_conv2d_selection.register_kernel("cuda")(td_conv2d_selection_cuda)
