"""The top-down operators on CUDA: a dense map in, Triton kernels over a worklist of its active cells, a dense map out.

The functions take the arguments of the registered operators, which their public functions have checked. The published
behaviour (``release``) and the records of single units have no kernels: they wait for the device, run on the CPU and
come back. Everything else never waits, so a pass can be captured in a CUDA graph. A window of more than 124 cells
does not fit the kernels' bit boards and goes the same way.

A pass over many layers need not return to dense maps: ``triton_kernels.topdown_worklist.from_dense``, the launchers
of ``topdown_conv``, ``topdown_linear`` and ``topdown_pool`` with one shared ``workspace`` of zeros, ``to_dense``.
"""

from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any, Concatenate, ParamSpec

import torch
from torch import Tensor

from dotally.ops.kernels import kernel_module
from dotally.ops.topdown_statistics import DEFAULT_TABLE

MAX_CELLS = 124  # of a window, in two words of 62 bits

_Rest = ParamSpec("_Rest")


def _on_its_device(
    function: Callable[Concatenate[Tensor, _Rest], Tensor],
) -> Callable[Concatenate[Tensor, _Rest], Tensor]:
    """Make the device of the first tensor the current one meanwhile: Triton launches on that."""

    @wraps(function)
    def guarded(first: Tensor, /, *args: _Rest.args, **kwargs: _Rest.kwargs) -> Tensor:
        with torch.cuda.device(first.get_device()):  # -1, the CPU's, changes nothing
            return function(first, *args, **kwargs)

    return guarded


@_on_its_device
def td_conv2d_cuda(
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
    """Run ``td_conv2d`` on the device of ``h``; arguments of the operator ``dotally::td_conv2d``.

    Returns:
        float32 gating, shaped like ``h``.
    """
    if release or weight.shape[2] * weight.shape[3] > MAX_CELLS:
        rest = (stride, padding, dilation, groups, alpha, lower_bound, eps, release)
        return on_cpu(torch.ops.dotally.td_conv2d, h, weight, g, *rest)
    worklist, conv = _module("worklist"), _module("conv")
    units, _ = conv.conv2d(
        h,
        weight,
        worklist.from_dense(g),
        stride=_two(stride),
        padding=_two(padding),
        dilation=_two(dilation),
        groups=groups,
        alpha=alpha,
        lower_bound=lower_bound,
        eps=eps,
    )
    return worklist.to_dense(units)


@_on_its_device
def td_linear_cuda(
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
    """Run ``td_linear`` on the device of ``h``; arguments of the operator ``dotally::td_linear``.

    Returns:
        float32 gating, shaped like ``h``.
    """
    if release:
        return on_cpu(torch.ops.dotally.td_linear, h, weight, g, mode, offset, table, lower_bound, eps, release)
    worklist = _module("worklist")
    rule = {"mode": mode, "offset": offset, "table": table, "lower_bound": lower_bound, "eps": eps}
    return worklist.to_dense(_module("linear").linear(h, weight, worklist.from_dense(g), **rule))


@_on_its_device
def td_bridge_cuda(
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
    """Run ``td_bridge`` on the device of ``g``; arguments of the operator ``dotally::td_bridge``.

    Returns:
        float32 gating ``[B, I]``.
    """
    if release:
        rest = (mode, offset, table, lower_bound, eps, count_zeros, release)
        return on_cpu(torch.ops.dotally.td_bridge, g, mass, *rest)
    worklist = _module("worklist")
    rule = {"mode": mode, "offset": offset, "table": table, "lower_bound": lower_bound, "eps": eps}
    units = worklist.from_dense(mass)
    return worklist.to_dense(_module("linear").linear(g, None, units, **rule, count_zeros=count_zeros))


@_on_its_device
def td_max_pool2d_cuda(
    h: Tensor,
    g: Tensor,
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    release: bool = False,
) -> Tensor:
    """Run ``td_max_pool2d`` on the device of ``h``; arguments of the operator ``dotally::td_max_pool2d``.

    Returns:
        float32 gating, shaped like ``h``.
    """
    if release and _two(kernel) == (2, 2):  # elsewhere the publication does the same
        return on_cpu(torch.ops.dotally.td_max_pool2d, h, g, kernel, stride, padding, dilation, release)
    worklist = _module("worklist")
    sides = {"kernel": _two(kernel), "stride": _two(stride), "padding": _two(padding), "dilation": _two(dilation)}
    return worklist.to_dense(_module("pool").max_pool2d(h, worklist.from_dense(g), **sides))


@_on_its_device
def td_avg_pool2d_cuda(
    h: Tensor,
    g: Tensor,
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    mode: str,
    offset: int,
    release: bool,
) -> Tensor:
    """Run ``td_avg_pool2d`` on the device of ``h``; arguments of the operator ``dotally::td_avg_pool2d``.

    Returns:
        float32 gating, shaped like ``h``.
    """
    if release:
        return on_cpu(torch.ops.dotally.td_avg_pool2d, h, g, kernel, stride, padding, mode, offset, release)
    sides = {"kernel": _two(kernel), "stride": _two(stride), "padding": _two(padding)}
    return _mean(h, g, mode, offset, **sides)


@_on_its_device
def td_adaptive_avg_pool2d_cuda(h: Tensor, g: Tensor, mode: str, offset: int, release: bool) -> Tensor:
    """Run ``td_adaptive_avg_pool2d`` on the device of ``h``; arguments of its registered operator.

    Returns:
        float32 gating, shaped like ``h``.
    """
    if release:
        return on_cpu(torch.ops.dotally.td_adaptive_avg_pool2d, h, g, mode, offset, release)
    return _mean(h, g, mode, offset, kernel=None)


def td_conv2d_selection_cuda(*args: Any) -> tuple[Tensor, ...]:
    """Run ``dotally::td_conv2d_selection`` on the CPU and return its tensors on the device."""
    return on_cpu(torch.ops.dotally.td_conv2d_selection, *args)


def td_linear_selection_cuda(*args: Any) -> tuple[Tensor, ...]:
    """Run ``dotally::td_linear_selection`` on the CPU and return its tensors on the device."""
    return on_cpu(torch.ops.dotally.td_linear_selection, *args)


def on_cpu(operator: Callable[..., Any], *args: Any) -> Any:
    """Run an operator on copies in CPU memory and return its results on the device of the first argument."""
    device = args[0].device
    result = operator(*(arg.cpu() if isinstance(arg, Tensor) else arg for arg in args))
    return result.to(device) if isinstance(result, Tensor) else tuple(part.to(device) for part in result)


def _mean(h: Tensor, g: Tensor, mode: str, offset: int, **sides: Any) -> Tensor:
    worklist = _module("worklist")
    table = [value for row in DEFAULT_TABLE for value in row]
    rule = {"mode": mode, "offset": offset, "table": table}
    return worklist.to_dense(_module("pool").avg_pool2d(h, worklist.from_dense(g), **sides, **rule))


def _module(name: str) -> ModuleType:
    return kernel_module(f"topdown_{name}")


def _two(sides: list[int]) -> tuple[int, int]:
    return int(sides[0]), int(sides[1])
