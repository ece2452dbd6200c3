"""Operators: each with a reference that is its specification, a CPU path and, on CUDA, a Triton kernel."""

from dotally.ops.adaptive_sigma import adaptive_sigma
from dotally.ops.density import Border, render_density, render_density_batch, render_density_reference
from dotally.ops.gaussian_conv import gaussian_conv2d
from dotally.ops.gaussian_reference import gaussian_conv2d_reference
from dotally.ops.topdown import (
    ConvSelection,
    LinearSelection,
    td_adaptive_avg_pool2d,
    td_add,
    td_avg_pool2d,
    td_bridge,
    td_concat,
    td_conv2d,
    td_linear,
    td_max_pool2d,
)

__all__ = [
    "Border",
    "ConvSelection",
    "LinearSelection",
    "adaptive_sigma",
    "gaussian_conv2d",
    "gaussian_conv2d_reference",
    "render_density",
    "render_density_batch",
    "render_density_reference",
    "td_adaptive_avg_pool2d",
    "td_add",
    "td_avg_pool2d",
    "td_bridge",
    "td_concat",
    "td_conv2d",
    "td_linear",
    "td_max_pool2d",
]
