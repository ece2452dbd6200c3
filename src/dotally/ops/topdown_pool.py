"""The top-down rules of pooling layers: the public operators and their registration."""

import torch
from torch import Tensor

from dotally.ops.registration import Operator
from dotally.ops.topdown_checks import check_compat, check_floating, check_rule, pair, same_batch
from dotally.ops.topdown_cuda import td_adaptive_avg_pool2d_cuda, td_avg_pool2d_cuda, td_max_pool2d_cuda
from dotally.ops.topdown_pool_cpu import adaptive_windows, avg_pool2d_cpu, max_pool2d_cpu, strided_windows
from dotally.ops.topdown_statistics import DEFAULT_TABLE, Compat, Mode, Rule

Sides = int | tuple[int, int]


def td_max_pool2d(
    h: Tensor,
    g: Tensor,
    kernel_size: Sides,
    stride: Sides | None = None,
    padding: Sides = 0,
    dilation: Sides = 1,
    ceil_mode: bool = False,
    *,
    compat: Compat = "fixed",
) -> Tensor:
    """Give the gating of every pooled cell to the first largest input of its window, in raster order.

    Equal to the gradient of ``torch.nn.functional.max_pool2d``. ``compat="release"`` differs in windows of 2x2: the
    published kernel looks for their maximum in steps that it halves from the number of channels, not of cells. Where
    these steps leave 2 or 1 out, as with 1, 2, 3, 6, 7 or 12 channels, some cells are never looked at, and the first
    cell that equals the largest of the others gets the gating. The order of these steps is our reading of it.

    Args:
        h: ``[B, C, H, W]`` input in the forward pass; half precisions are computed in float32.
        g: ``[B, C, H', W']`` gating of the output.
        kernel_size: As in ``max_pool2d``; an int or (vertical, horizontal), like the next three.
        stride: Likewise; the kernel size by default.
        padding: Likewise.
        dilation: Likewise.
        ceil_mode: Likewise.
        compat: ``"fixed"`` or ``"release"``.

    Returns:
        float32 ``[B, C, H, W]``.

    Raises:
        ValueError: If shapes do not fit or an argument is out of range.
    """
    check_compat(compat)
    check_floating(h=h, g=g)
    geometry = _geometry(kernel_size, stride, padding, dilation)
    _check_strided(h, g, *geometry, ceil_mode)
    return _max_pool2d(h.detach(), g.detach(), *map(list, geometry), compat == "release")


def td_avg_pool2d(
    h: Tensor,
    g: Tensor,
    kernel_size: Sides,
    stride: Sides | None = None,
    padding: Sides = 0,
    ceil_mode: bool = False,
    mode: Mode = "all",
    offset: int = 0,
    *,
    compat: Compat = "fixed",
) -> Tensor:
    """Divide the gating of every pooled cell among the inputs of its window.

    ``"all"`` divides in proportion to the inputs; ``"stat"`` only among those that reach the cut of
    :func:`td_linear`, with mean and standard deviation over all cells of the window, zeros and padding included;
    ``"top1"`` gives everything to the largest. ``compat="fixed"``: only positive inputs take part, and a window
    without any passes nothing on. ``compat="release"``: plain ``h / sum(h)``, 0/0 gives NaN.

    Args:
        h: ``[B, C, H, W]`` input in the forward pass; half precisions are computed in float32.
        g: ``[B, C, H', W']`` gating of the output.
        kernel_size: As in ``torch.nn.functional.avg_pool2d``; an int or (vertical, horizontal), like the next two.
        stride: Likewise; the kernel size by default.
        padding: Likewise.
        ceil_mode: Likewise.
        mode: ``"all"``, ``"stat"`` or ``"top1"``.
        offset: Rows to go down in the table, as in :func:`td_linear`.
        compat: ``"fixed"`` or ``"release"``.

    Returns:
        float32 ``[B, C, H, W]``.

    Raises:
        ValueError: If shapes do not fit or an argument is out of range.
    """
    check_compat(compat)
    check_floating(h=h, g=g)
    check_rule(mode, offset, DEFAULT_TABLE)
    kernel, step, pad, dilation = _geometry(kernel_size, stride, padding, 1)
    _check_strided(h, g, kernel, step, pad, dilation, ceil_mode)
    return _avg_pool2d(h.detach(), g.detach(), list(kernel), list(step), list(pad), mode, offset, compat == "release")


def td_adaptive_avg_pool2d(
    h: Tensor,
    g: Tensor,
    output_size: Sides,
    mode: Mode = "all",
    offset: int = 0,
    *,
    compat: Compat = "fixed",
) -> Tensor:
    """Divide the gating of every pooled cell among its adaptive window, as :func:`td_avg_pool2d` does.

    Args:
        h: ``[B, C, H, W]`` input in the forward pass; half precisions are computed in float32.
        g: ``[B, C, *output_size]`` gating of the output.
        output_size: As in ``torch.nn.functional.adaptive_avg_pool2d``; an int or (height, width).
        mode: ``"all"``, ``"stat"`` or ``"top1"``.
        offset: Rows to go down in the table, as in :func:`td_linear`.
        compat: ``"fixed"`` or ``"release"``.

    Returns:
        float32 ``[B, C, H, W]``.

    Raises:
        ValueError: If shapes do not fit or an argument is out of range.
    """
    check_compat(compat)
    check_floating(h=h, g=g)
    check_rule(mode, offset, DEFAULT_TABLE)
    output = pair(output_size, "output_size", 1)
    _check_pooled(h, g, output, f"adaptive pooling to {output}")
    return _adaptive_avg_pool2d(h.detach(), g.detach(), mode, offset, compat == "release")


Pairs = tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]


def _geometry(kernel_size: Sides, stride: Sides | None, padding: Sides, dilation: Sides) -> Pairs:
    kernel, pad = pair(kernel_size, "kernel_size", 1), pair(padding, "padding", 0)
    if any(2 * pad[a] > kernel[a] for a in (0, 1)):
        raise ValueError(f"padding {padding} must be at most half of kernel_size {kernel_size}")
    step = kernel if stride is None else pair(stride, "stride", 1)
    return kernel, step, pad, pair(dilation, "dilation", 1)


def _check_strided(
    h: Tensor,
    g: Tensor,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    ceil_mode: bool,
) -> None:
    same_batch(h, g)
    sides = []
    for side, k, s, p, d in zip(h.shape[2:], kernel, stride, padding, dilation, strict=False):
        free = side + 2 * p - d * (k - 1) - 1
        count = (-(-free // s) if ceil_mode else free // s) + 1
        # a window that would start in the padding on the far side does not exist
        sides.append(count - 1 if ceil_mode and (count - 1) * s >= side + p else count)
    _check_pooled(h, g, tuple(sides), f"pooling by {kernel}, stride {stride}, padding {padding}, dilation {dilation}")


def _check_pooled(h: Tensor, g: Tensor, sides: tuple[int, ...], layer: str) -> None:
    if h.ndim != 4 or list(g.shape) != [*h.shape[:2], *sides]:
        expected = [*h.shape[:2], *sides] if h.ndim == 4 else "4 dimensions in both"
        raise ValueError(f"g has shape {list(g.shape)}, but {layer} of h {list(h.shape)} gives {expected}")


@Operator.define("dotally::td_max_pool2d")
def _max_pool2d(
    h: Tensor,
    g: Tensor,
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    release: bool = False,
) -> Tensor:
    windows = strided_windows(_two(kernel), _two(stride), _two(padding), _two(dilation))
    return max_pool2d_cpu(h, g, windows, halving=release and _two(kernel) == (2, 2))


@_max_pool2d.register_fake
def _(
    h: Tensor,
    g: Tensor,
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    release: bool = False,
) -> Tensor:
    return h.new_empty(h.shape, dtype=torch.float32)


@Operator.define("dotally::td_avg_pool2d")
def _avg_pool2d(
    h: Tensor,
    g: Tensor,
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    mode: str,
    offset: int,
    release: bool,
) -> Tensor:
    windows = strided_windows(_two(kernel), _two(stride), _two(padding), (1, 1))
    return avg_pool2d_cpu(h, g, windows, _rule(mode, offset, release))


@_avg_pool2d.register_fake
def _(
    h: Tensor,
    g: Tensor,
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    mode: str,
    offset: int,
    release: bool,
) -> Tensor:
    return h.new_empty(h.shape, dtype=torch.float32)


@Operator.define("dotally::td_adaptive_avg_pool2d")
def _adaptive_avg_pool2d(h: Tensor, g: Tensor, mode: str, offset: int, release: bool) -> Tensor:
    windows = adaptive_windows(_two(h.shape[2:]), _two(g.shape[2:]))
    return avg_pool2d_cpu(h, g, windows, _rule(mode, offset, release))


@_adaptive_avg_pool2d.register_fake
def _(h: Tensor, g: Tensor, mode: str, offset: int, release: bool) -> Tensor:
    return h.new_empty(h.shape, dtype=torch.float32)


def _rule(mode: str, offset: int, release: bool) -> Rule:
    return Rule(mode=mode, offset=offset, table=DEFAULT_TABLE, release=release, zeros_spread=True)


def _two(sides: list[int] | torch.Size) -> tuple[int, int]:
    return int(sides[0]), int(sides[1])


_max_pool2d.register_kernel("cuda")(td_max_pool2d_cuda)
_avg_pool2d.register_kernel("cuda")(td_avg_pool2d_cuda)
_adaptive_avg_pool2d.register_kernel("cuda")(td_adaptive_avg_pool2d_cuda)
