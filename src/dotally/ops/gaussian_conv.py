"""The Gaussian convolution: sums of displaced Gaussians in place of k x k filters, with gradients for their places.

Two functions under one name, ``shift="exact"`` and ``shift="bilinear"``; several executions of each, chosen by
:mod:`dotally.ops.gaussian_plan`. :func:`gaussian_conv2d_reference` is the specification of all of them.
"""

import torch
from torch import Tensor

from dotally.ops.gaussian_checks import as_pair, check_setting, check_shapes, check_values, values_are_readable
from dotally.ops.gaussian_dense import dense_forward
from dotally.ops.gaussian_operator import convolve
from dotally.ops.gaussian_plan import Layer, plan, why_not
from dotally.ops.gaussian_setting import Execution, Setting, autocast_dtype
from dotally.ops.gaussian_taps import GradMode, Normalize, Shift


def gaussian_conv2d(
    x: Tensor,
    weight: Tensor,
    mu: Tensor,
    sigma: Tensor,
    bias: Tensor | None = None,
    *,
    max_offset: float,
    max_sigma: float = 2.0,
    shift: Shift = "exact",
    normalize: Normalize = "sum",
    stride: int | tuple[int, int] = 1,
    dilation: int | tuple[int, int] = 1,
    execution: Execution = "auto",
    grad_mode: GradMode = "exact",
) -> Tensor:
    r"""Convolve with sums of displaced Gaussians (GauNet, CVPR 2022, Figure 3; DAU-ConvNet).

    .. math:: Y_o(p) = b_o + \sum_{i,k} w_{oik} \sum_d g(d; \mu_{oik}, \sigma_{oik}) \, X_i(p + d)

    Zero padding outside, so the output has the size of the input divided by the stride. ``shift="exact"`` samples each
    Gaussian at whole pixels around its true centre. ``shift="bilinear"`` blurs, then moves by linear interpolation, as
    DAU-ConvNet and GauNet's figure do: another function, 18 % away from the first at sigma 0.5. The shape of ``mu``
    says who shares the displacements. Under autocast ``x`` and ``weight`` are lowered, ``mu`` and ``sigma`` are not.

    Args:
        x: ``[B, C_in, H, W]``, any floating dtype.
        weight: ``[C_out, C_in, K]``.
        mu: (x, y) in pixels, ``|mu| <= max_offset``: ``[K, 2]`` one set per layer, ``[C_in, K, 2]`` one per input
            channel, ``[C_out, C_in, K, 2]`` one per pair of channels (DAU).
        sigma: Widths in pixels in (0, max_sigma]: a scalar, or shaped like ``mu`` without its last axis.
        bias: ``[C_out]``.
        max_offset: Bound of the displacements. With ``max_sigma`` it sets every shape; values never do.
        max_sigma: Bound of the widths.
        shift: How a Gaussian is displaced.
        normalize: "sum": the taps of an axis add up to 1, so mass is kept; "analytic": divided by sqrt(2 pi) sigma;
            "none": peak 1.
        stride: As in ``conv2d``.
        dilation: Spreads the sampled kernel, as in ``conv2d``.
        execution: "dense" computes both functions with plain aten, and exports; "separable" the exact one and "bank"
            the bilinear one, for displacements that the output channels share; "fused" is the Triton kernel of the
            bilinear one. "auto" is the fastest that computes what was asked.
        grad_mode: "exact", or "dau": the published gradients of ``x`` (which lose what the blur pushes outside) and of
            ``mu`` (a smooth surrogate). Needs ``shift="bilinear"``.

    Returns:
        ``[B, C_out, ceil(H / stride), ceil(W / stride)]`` in the dtype of ``x``.

    Raises:
        ValueError: If a shape or a choice is wrong, or the execution cannot compute what was asked; on eager CPU calls
            also if a value is out of range.
    """
    setting = Setting(
        float(max_offset),
        float(max_sigma),
        shift,
        normalize,
        as_pair("stride", stride),
        as_pair("dilation", dilation),
        execution,
        grad_mode,
    )
    check_setting(setting)
    check_shapes(x, weight, mu, sigma, bias)
    if values_are_readable(mu):
        check_values(mu, sigma, max_offset=max_offset, max_sigma=max_sigma)
    if not x.is_meta and torch.is_autocast_enabled(x.device.type):
        dtype = autocast_dtype(x)
        with torch.autocast(x.device.type, enabled=False):
            return _execute(x.to(dtype), weight.to(dtype), mu, sigma, bias, setting)
    return _execute(x, weight, mu, sigma, bias, setting)


def _execute(x: Tensor, weight: Tensor, mu: Tensor, sigma: Tensor, bias: Tensor | None, setting: Setting) -> Tensor:
    bias = bias if bias is None else bias.to(x.dtype)
    setting = setting._replace(execution=_chosen(x, weight, mu, sigma, setting))
    # an exported graph is read by others, who know neither our operator nor the published gradients
    plain = setting.grad_mode == "exact" or torch.compiler.is_exporting()
    if setting.execution == "dense" and plain and 0 not in x.shape:
        return dense_forward(x, weight, mu, sigma, bias, setting)
    y = convolve(x, weight, mu, sigma, *setting)
    return y if bias is None else y + bias.view(-1, 1, 1)


def _chosen(x: Tensor, weight: Tensor, mu: Tensor, sigma: Tensor, setting: Setting) -> str:
    layer = Layer.of(x, weight, mu, sigma)
    if setting.execution == "auto":
        fused = x.is_cuda and _why_not_fused(x, weight, mu, sigma, setting) is None
        return plan(layer, setting, fused=fused).execution
    reason = why_not(setting.execution, layer, setting)
    if reason is None and setting.execution == "fused":
        reason = _why_not_fused(x, weight, mu, sigma, setting)
    if reason is not None:
        raise ValueError(f"execution={setting.execution!r} cannot compute this: {reason}; use execution='auto'")
    return setting.execution


def _why_not_fused(x: Tensor, weight: Tensor, mu: Tensor, sigma: Tensor, setting: Setting) -> str | None:
    if (reason := why_not("fused", Layer.of(x, weight, mu, sigma), setting)) is not None:
        return reason
    try:
        from dotally.ops.gaussian_fused import fused_supported  # opens Triton, which only a GPU needs
    except ImportError as error:
        return f"its kernels cannot be imported ({error})"
    return fused_supported(
        x,
        weight,
        mu,
        sigma,
        stride=setting.stride,
        dilation=setting.dilation,
        max_offset=setting.max_offset,
        max_sigma=setting.max_sigma,
    )
