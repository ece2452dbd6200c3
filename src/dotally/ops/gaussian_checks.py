"""What a Gaussian convolution refuses, each time with the value that was given and those that are allowed."""

from collections.abc import Sequence
from typing import get_args

import torch
from torch import Tensor

from dotally.ops.gaussian_setting import Execution, Pair, Setting
from dotally.ops.gaussian_taps import GradMode, Normalize, Shift


def as_pair(name: str, value: int | Sequence[int]) -> Pair:
    """Return ``value`` twice, or itself where it is a pair already.

    Raises:
        ValueError: If it is neither a positive integer nor a pair of them.
    """
    pair = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(pair) != 2 or not all(isinstance(step, int) and step >= 1 for step in pair):
        raise ValueError(f"{name} must be a positive integer or a pair of them, got {value!r}")
    return pair[0], pair[1]


def check_setting(setting: Setting) -> None:
    """Refuse an unknown choice, a bound out of range, and choices that contradict each other."""
    for name, choices in (
        ("shift", Shift),
        ("normalize", Normalize),
        ("execution", Execution),
        ("grad_mode", GradMode),
    ):
        if (given := getattr(setting, name)) not in get_args(choices):
            raise ValueError(f"{name} must be one of {', '.join(map(repr, get_args(choices)))}, got {given!r}")
    if not 0 <= setting.max_offset < float("inf"):
        raise ValueError(f"max_offset must be a number of pixels >= 0, got {setting.max_offset!r}")
    if not 0 < setting.max_sigma < float("inf"):
        raise ValueError(f"max_sigma must be a number of pixels > 0, got {setting.max_sigma!r}")
    if setting.grad_mode == "dau" and setting.shift != "bilinear":
        raise ValueError(f"grad_mode='dau' needs shift='bilinear', got shift={setting.shift!r}")


def check_shapes(x: Tensor, weight: Tensor, mu: Tensor, sigma: Tensor, bias: Tensor | None) -> None:
    """Refuse tensors that do not belong together."""
    if x.ndim != 4 or not x.is_floating_point():
        raise ValueError(f"x must be floating point [B, C_in, H, W], got {x.dtype} {list(x.shape)}")
    if weight.ndim != 3 or weight.shape[1] != x.shape[1] or weight.shape[2] < 1:
        raise ValueError(
            f"x has {x.shape[1]} channels, so weight must be [C_out, {x.shape[1]}, K] with K >= 1, "
            f"got {list(weight.shape)}"
        )
    outputs, inputs, units = weight.shape
    allowed = ([units, 2], [inputs, units, 2], [outputs, inputs, units, 2])
    if list(mu.shape) not in allowed:
        raise ValueError(f"mu must be {allowed[0]}, {allowed[1]} or {allowed[2]}, got {list(mu.shape)}")
    if sigma.ndim and sigma.shape != mu.shape[:-1]:
        raise ValueError(f"sigma must be a scalar tensor or {list(mu.shape[:-1])} as mu is, got {list(sigma.shape)}")
    if bias is not None and bias.shape != (outputs,):
        raise ValueError(f"bias must be [{outputs}], got {list(bias.shape)}")


def check_values(mu: Tensor, sigma: Tensor, *, max_offset: float, max_sigma: float) -> None:
    """Refuse displacements and widths out of range; reads the tensors, so the host waits for a device.

    Raises:
        ValueError: If a value is NaN, a displacement is beyond ``max_offset`` or a width not in (0, ``max_sigma``].
    """
    if not bool((mu.detach().abs() <= max_offset).all()):
        raise ValueError(f"mu must lie within max_offset = {max_offset:g} pixels, got {_worst(mu, max_offset)}")
    inside = (sigma.detach() > 0) & (sigma.detach() <= max_sigma)
    if not bool(inside.all()):
        worst = float(sigma.detach()[~inside].flatten()[0])
        raise ValueError(f"sigma must lie in (0, max_sigma = {max_sigma:g}] pixels, got {worst:g}")


def values_are_readable(x: Tensor) -> bool:
    """Return whether looking at values costs nothing: on the CPU, eagerly."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def _worst(mu: Tensor, max_offset: float) -> str:
    away = mu.detach().abs()
    return "NaN" if bool(away.isnan().any()) else f"{float(mu.detach().flatten()[away.argmax()]):g}"
