"""STNet's top-down operators: the gating of a layer's outputs in, the gating of its inputs out.

Every layer of a network has one: convolutions (``topdown_conv``), linear layers and the bridge (``topdown_linear``),
pools (``topdown_pool``), and here the layers that join several maps. ReLU, dropout, normalisation and reshaping pass
gating on as it is and need no operator. Each unit hands down exactly its own gating, so the total is kept.

On the CPU the work is done by the pure functions of the ``_cpu`` modules; other devices register their kernels with
the same operators through ``torch.library``.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dotally.ops.topdown_checks import check_compat, check_floating
from dotally.ops.topdown_conv import ConvSelection, td_conv2d
from dotally.ops.topdown_linear import LinearSelection, td_bridge, td_linear
from dotally.ops.topdown_pool import td_adaptive_avg_pool2d, td_avg_pool2d, td_max_pool2d
from dotally.ops.topdown_statistics import DEFAULT_TABLE, Compat, Mode, Table

__all__ = [
    "DEFAULT_TABLE",
    "Compat",
    "ConvSelection",
    "LinearSelection",
    "Mode",
    "Table",
    "td_adaptive_avg_pool2d",
    "td_add",
    "td_avg_pool2d",
    "td_bridge",
    "td_concat",
    "td_conv2d",
    "td_linear",
    "td_max_pool2d",
]


def td_concat(g: Tensor, sizes: Sequence[int], dim: int = 1, *, compat: Compat = "fixed") -> tuple[Tensor, ...]:
    """Split the gating of a concatenation among its parts.

    Args:
        g: ``[B, sum(sizes), H, W]``, or any shape whose ``dim`` has that length.
        sizes: Lengths of the parts along ``dim``.
        dim: The dimension they were joined along.
        compat: ``"fixed"`` or ``"release"``, which are the same here.

    Returns:
        float32 ``[B, size, H, W]`` per part.

    Raises:
        ValueError: If the sizes do not add up.
    """
    check_compat(compat)
    check_floating(g=g)
    if not -g.ndim <= dim < g.ndim or sum(sizes) != g.shape[dim] or min(sizes, default=0) < 0:
        raise ValueError(f"sizes {list(sizes)} do not add up along dimension {dim} of g {list(g.shape)}")
    return tuple(part.contiguous() for part in torch.split(g.detach().float(), list(sizes), dim))


def td_add(a: Tensor, b: Tensor, g: Tensor, *, compat: Compat = "fixed") -> tuple[Tensor, Tensor]:
    """Divide the gating of a sum between its two terms, in proportion to their positive parts.

    An extension for residual networks, ours and not the publication's, hence the same in both modes of ``compat``.
    Where neither term is positive, nothing is passed on.

    Args:
        a: ``[B, C, H, W]``, or any shape: the first term in the forward pass.
        b: The second, of the same shape.
        g: Gating of the sum, of the same shape.
        compat: ``"fixed"`` or ``"release"``.

    Returns:
        float32 gating of ``a`` and of ``b``.

    Raises:
        ValueError: If the shapes differ.
    """
    check_compat(compat)
    check_floating(a=a, b=b, g=g)
    if a.shape != g.shape or b.shape != g.shape:
        raise ValueError(f"a {list(a.shape)}, b {list(b.shape)} and g {list(g.shape)} must have the same shape")
    first, second = (term.detach().float().clamp(min=0) for term in (a, b))
    # dividing by the larger term first keeps the sum within float32
    largest = torch.maximum(first, second)
    scale = torch.where(largest > 0, largest, 1)
    first, second = first / scale, second / scale
    gating = torch.where(largest > 0, g.detach().float(), 0)
    share = first / (first + second).clamp(min=1)
    to_first = gating * share
    return to_first, gating - to_first
