"""Layers made of operators."""

from dotally.nn.gaussian_conv2d import GaussianConv2d
from dotally.nn.gaussianize import Report, gaussianize
from dotally.nn.parameter_groups import parameter_groups

__all__ = ["GaussianConv2d", "Report", "gaussianize", "parameter_groups"]
