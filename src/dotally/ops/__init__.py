"""Operators: each with a reference that is its specification, a CPU path and, on CUDA, a Triton kernel."""

from dotally.ops.adaptive_sigma import adaptive_sigma
from dotally.ops.density import Border, render_density, render_density_batch, render_density_reference

__all__ = ["Border", "adaptive_sigma", "render_density", "render_density_batch", "render_density_reference"]
