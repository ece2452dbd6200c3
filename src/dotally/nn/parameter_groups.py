"""Optimizer groups: displacements and widths learn at their own pace and never decay."""

from typing import Any

from torch import nn

from dotally.nn.gaussian_conv2d import GaussianConv2d


def parameter_groups(
    model: nn.Module,
    *,
    lr: float,
    weight_decay: float = 0.0,
    mu_lr_scale: float = 10.0,
    sigma_lr_scale: float = 1.0,
) -> list[dict[str, Any]]:
    """Split a network's trainable parameters for an optimizer.

    DAU-ConvNet multiplies the gradient of the displacements by 500, which Adam divides out again; a learning rate of
    their own works with any optimizer. Weight decay would pull displacements to the middle and widths to zero.

    Args:
        model: Any network, with or without :class:`GaussianConv2d`.
        lr: Learning rate of everything else.
        weight_decay: Of everything else.
        mu_lr_scale: Learning rate of displacements, as a factor on ``lr``.
        sigma_lr_scale: Learning rate of widths, as a factor on ``lr``.

    Returns:
        The groups "weights", "mu" and "sigma" (under ``name``), those that have parameters.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, GaussianConv2d)]
    special = {id(value): name for layer in layers for name, value in (("mu", layer.mu), ("sigma", layer.sigma))}
    settings = {
        "weights": {"lr": lr, "weight_decay": weight_decay},
        "mu": {"lr": lr * mu_lr_scale, "weight_decay": 0.0},
        "sigma": {"lr": lr * sigma_lr_scale, "weight_decay": 0.0},
    }
    chosen: dict[str, list[nn.Parameter]] = {name: [] for name in settings}
    for parameter in model.parameters():
        if parameter.requires_grad:
            chosen[special.get(id(parameter), "weights")].append(parameter)
    return [{"name": name, "params": chosen[name], **settings[name]} for name in settings if chosen[name]]
