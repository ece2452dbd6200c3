"""The arguments of a Gaussian convolution that are not tensors, and what its executions hand to each other."""

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from dotally.ops.gaussian_taps import AxisTaps, axis_taps

Pair = tuple[int, int]
Execution = Literal["auto", "dense", "separable", "bank", "fused"]


class Setting(NamedTuple):
    """The arguments of :func:`dotally.ops.gaussian_conv2d` that are not tensors; pairs are (vertical, horizontal)."""

    max_offset: float
    max_sigma: float
    shift: str
    normalize: str
    stride: Pair
    dilation: Pair
    execution: str
    grad_mode: str

    def window(self) -> dict[str, Any]:
        """Return what determines the taps, as keyword arguments."""
        return {name: getattr(self, name) for name in ("max_offset", "max_sigma", "shift", "normalize")}


class Wanted(NamedTuple):
    """Which gradients are asked for; that of the weight always is."""

    x: bool
    mu: bool
    sigma: bool


class Gradients(NamedTuple):
    """Gradients of the inputs; ``None`` where not asked for."""

    x: Tensor | None
    weight: Tensor
    mu: Tensor | None
    sigma: Tensor | None


def output_size(size: Pair, stride: Pair) -> Pair:
    """Return ceil(size / stride)."""
    return -(-size[0] // stride[0]), -(-size[1] // stride[1])


def tap_dtype(mu: Tensor) -> torch.dtype:
    """Return float32 at least: half precision knows offsets between 4 and 8 pixels to 1/32 (bfloat16) only."""
    return torch.promote_types(mu.dtype, torch.float32)


def autocast_dtype(x: Tensor) -> torch.dtype:
    """Return what autocast lowers ``x`` to: as for ``conv2d``, float64 stays what it is."""
    return x.dtype if x.dtype == torch.float64 else torch.get_autocast_dtype(x.device.type)


def working_dtype(x: Tensor) -> torch.dtype:
    """Return float32 for half precision off the GPU, where its sums are slow and rounded; else the dtype of ``x``."""
    return x.dtype if x.is_cuda else torch.promote_types(x.dtype, torch.float32)


def memory_format(x: Tensor) -> torch.memory_format:
    """Return channels last for maps that lie so and not as they come, else contiguous."""
    channels_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if channels_last else torch.contiguous_format


def both_axes(mu: Tensor, sigma: Tensor, setting: Setting) -> tuple[AxisTaps, AxisTaps]:
    """Return the vertical and the horizontal taps ``[..., K, k]`` with their derivatives."""
    dtype = tap_dtype(mu)
    width = sigma.to(dtype).expand(mu.shape[:-1])
    across, down = (
        axis_taps(mu[..., axis].to(dtype), width, grad_mode=setting.grad_mode, **setting.window()) for axis in (0, 1)
    )
    return down, across


def shared_sum(each: Tensor, like: Tensor) -> Tensor:
    """Sum the gradient of every Gaussian over what shares the parameter ``like``."""
    return (each.sum_to_size(like.shape) if like.ndim else each.sum()).to(like.dtype)
