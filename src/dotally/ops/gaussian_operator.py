"""The registered operators behind :func:`dotally.ops.gaussian_conv2d`: forward and backward as opaque calls.

Their backward consists of closed forms, because a registered backward may not call autograd.
"""

from typing import Any

import torch
from torch import Tensor

from dotally.ops.gaussian_dense import dense_forward, dense_gradients
from dotally.ops.gaussian_mixing import mixing_forward, mixing_gradients
from dotally.ops.gaussian_setting import Gradients, Setting, Wanted, autocast_dtype, memory_format, output_size
from dotally.ops.registration import Operator


@Operator.define("dotally::gaussian_conv2d", device_type="default")
def convolve(
    x: Tensor,
    weight: Tensor,
    mu: Tensor,
    sigma: Tensor,
    max_offset: float,
    max_sigma: float,
    shift: str,
    normalize: str,
    stride: list[int],
    dilation: list[int],
    execution: str,
    grad_mode: str,
) -> Tensor:
    """Compute the Gaussian convolution without bias by the named execution, see :func:`gaussian_conv2d`."""
    setting = _setting(max_offset, max_sigma, shift, normalize, stride, dilation, execution, grad_mode)
    if x.numel() == 0:
        return _empty_like_output(x, weight, setting).zero_()
    if execution == "fused":
        from dotally.ops.gaussian_fused import fused_forward

        y = fused_forward(x, weight, mu, sigma, **_fused_arguments(setting))
    elif execution == "dense":
        y = dense_forward(x, weight, mu, sigma, None, setting)
    else:
        y = mixing_forward(x, weight, mu, sigma, setting)
    return y.to(x.dtype).contiguous(memory_format=memory_format(x))


@convolve.register_fake
def _(
    x: Tensor,
    weight: Tensor,
    mu: Tensor,
    sigma: Tensor,
    max_offset: float,
    max_sigma: float,
    shift: str,
    normalize: str,
    stride: list[int],
    dilation: list[int],
    execution: str,
    grad_mode: str,
) -> Tensor:
    setting = _setting(max_offset, max_sigma, shift, normalize, stride, dilation, execution, grad_mode)
    return _empty_like_output(x, weight, setting)


@Operator.define("dotally::gaussian_conv2d_backward", device_type="default")
def gradients(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    mu: Tensor,
    sigma: Tensor,
    max_offset: float,
    max_sigma: float,
    shift: str,
    normalize: str,
    stride: list[int],
    dilation: list[int],
    execution: str,
    grad_mode: str,
    wanted: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of x, weight, mu and sigma; of those not ``wanted`` (x, mu, sigma), an empty tensor."""
    setting = _setting(max_offset, max_sigma, shift, normalize, stride, dilation, execution, grad_mode)
    inputs, asked = (grad, x, weight, mu, sigma), Wanted(*wanted)
    if grad.numel() == 0 or x.numel() == 0:
        found = Gradients(*(torch.zeros_like(value) for value in inputs[1:]))
    elif execution == "fused":
        from dotally.ops.gaussian_fused import fused_backward

        wanted_of = (asked.x, asked.mu, asked.sigma)
        found = Gradients(*fused_backward(*inputs, **_fused_arguments(setting), grad_mode=grad_mode, wanted=wanted_of))
    elif execution == "dense":
        found = dense_gradients(*inputs, setting, asked)
    else:
        found = mixing_gradients(*inputs, setting, asked)
    by_x = found.x.to(x.dtype).contiguous(memory_format=memory_format(x)) if asked.x and found.x is not None else None
    return (
        x.new_empty(0) if by_x is None else by_x,
        found.weight.to(weight.dtype).contiguous(),
        found.mu.to(mu.dtype).contiguous() if asked.mu and found.mu is not None else mu.new_empty(0),
        found.sigma.to(sigma.dtype).contiguous() if asked.sigma and found.sigma is not None else sigma.new_empty(0),
    )


@gradients.register_fake
def _(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    mu: Tensor,
    sigma: Tensor,
    max_offset: float,
    max_sigma: float,
    shift: str,
    normalize: str,
    stride: list[int],
    dilation: list[int],
    execution: str,
    grad_mode: str,
    wanted: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    asked = Wanted(*wanted)
    return (
        x.new_empty(x.shape).contiguous(memory_format=memory_format(x)) if asked.x else x.new_empty(0),
        weight.new_empty(weight.shape),
        mu.new_empty(mu.shape) if asked.mu else mu.new_empty(0),
        sigma.new_empty(sigma.shape) if asked.sigma else sigma.new_empty(0),
    )


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:4])
    ctx.setting = inputs[4:]


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    needs = ctx.needs_input_grad
    by_x, by_weight, by_mu, by_sigma = gradients(
        grad, *ctx.saved_tensors, *ctx.setting, [bool(needs[0]), bool(needs[2]), bool(needs[3])]
    )
    return (
        by_x if needs[0] else None,
        by_weight if needs[1] else None,
        by_mu if needs[2] else None,
        by_sigma if needs[3] else None,
        *[None] * len(ctx.setting),
    )


convolve.register_autograd(_differentiate, setup_context=_remember)


def _register_autocast(device_type: str, key: torch._C.DispatchKey) -> None:
    """Lower ``x`` and ``weight`` under autocast, and leave the places and widths alone."""

    def lowered(x: Tensor, weight: Tensor, *rest: Any) -> Any:
        dtype = autocast_dtype(x)
        with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(key)):
            return convolve(x.to(dtype), weight.to(dtype), *rest)

    # register_autocast of a custom_op would round mu and sigma too: bfloat16 knows an offset of 4 pixels to 1/32
    torch.library.impl("dotally::gaussian_conv2d", f"Autocast{device_type.upper()}")(lowered)


_register_autocast("cpu", torch._C.DispatchKey.AutocastCPU)
_register_autocast("cuda", torch._C.DispatchKey.AutocastCUDA)


def _setting(
    max_offset: float,
    max_sigma: float,
    shift: str,
    normalize: str,
    stride: list[int],
    dilation: list[int],
    execution: str,
    grad_mode: str,
) -> Setting:
    pairs = (stride[0], stride[1]), (dilation[0], dilation[1])
    return Setting(max_offset, max_sigma, shift, normalize, *pairs, execution, grad_mode)


def _fused_arguments(setting: Setting) -> dict[str, Any]:
    names = ("max_offset", "max_sigma", "normalize", "dilation")
    return {name: getattr(setting, name) for name in names}


def _empty_like_output(x: Tensor, weight: Tensor, setting: Setting) -> Tensor:
    rows, columns = output_size((x.shape[2], x.shape[3]), setting.stride)
    return x.new_empty(x.shape[0], weight.shape[0], rows, columns).contiguous(memory_format=memory_format(x))
