"""Maps of other methods for the same table: CAM, Grad-CAM, and what captum offers."""

import importlib
import warnings
from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor, nn

from dotally.errors import DotallyError
from dotally.stnet.engine import STNet
from dotally.stnet.network import Network, evaluating
from dotally.stnet.registry import has_own_rule
from dotally.stnet.target import Target, top_gating

# what may stand between the last map and the class scores where CAM is defined, besides one linear layer
_HEAD: set[Hashable] = {
    nn.AdaptiveAvgPool2d,
    nn.AvgPool2d,
    nn.Flatten,
    nn.Dropout,
    nn.Identity,
    nn.Linear,
    nn.functional.adaptive_avg_pool2d,
    nn.functional.avg_pool2d,
    nn.functional.dropout,
    nn.functional.linear,
    torch.flatten,
    torch.mean,
    torch.squeeze,
    torch.reshape,
    torch.Tensor.flatten,
    torch.Tensor.mean,
    torch.Tensor.squeeze,
    torch.Tensor.reshape,
    torch.Tensor.view,
}


def grad_cam(model: nn.Module, images: Tensor, target: Target = None, *, layer: str | None = None) -> Tensor:
    r"""Weight the channels of a layer by their mean gradient, and keep what speaks for the class.

    :math:`\mathrm{ReLU}(\sum_k \alpha_k A_k)` with :math:`\alpha_k` the mean of :math:`\partial y / \partial A_k` over
    the map (Selvaraju et al., ICCV 2017, eq. 1 and 2).

    Args:
        model: A classifier; it is left as it is.
        images: ``[B, C, H, W]``.
        target: As for :class:`dotally.stnet.STNet`.
        layer: A name as for ``STNet(stop=...)``; None takes the last map larger than one cell.

    Returns:
        ``[B, 1, h, w]`` float32, not negative, at the layer's resolution.
    """
    gradient, features = _gradient_and_features(model, images, target, layer or last_map(model, images))
    return (gradient.mean((2, 3), keepdim=True) * features).sum(1, keepdim=True).clamp(min=0)


def cam(model: nn.Module, images: Tensor, target: Target = None) -> Tensor:
    r"""Weight the channels of the last map by the linear layer's weights: class activation mapping.

    :math:`\sum_k w_k^c A_k` (Zhou et al., CVPR 2016, eq. 2), for networks that end in global average pooling and one
    linear layer.

    Args:
        model: A classifier; it is left as it is.
        images: ``[B, C, H, W]``.
        target: As for :class:`dotally.stnet.STNet`.

    Returns:
        ``[B, 1, h, w]`` float32 of either sign, at the last map's resolution.

    Raises:
        ValueError: The network ends otherwise.
    """
    layer = last_map(model, images)
    _check_head(model, layer)
    gradient, features = _gradient_and_features(model, images, target, layer)
    # behind global average pooling, all cells of a channel have the weight divided by their number as gradient
    if not torch.allclose(gradient, gradient[:, :, :1, :1].expand_as(gradient)):
        raise ValueError(f"CAM wants global average pooling behind the last map ({layer}); use grad_cam")
    return (gradient * features).sum(1, keepdim=True) * gradient[0, 0].numel()


def _check_head(model: nn.Module, layer: str) -> None:
    network = _network(model)
    head = network.downstream([network.locate(layer)]) & network.upstream(network.output)
    kinds = [network.kind(step) for step in head if step.op.startswith("call") and step is not network.locate(layer)]
    foreign = [str(getattr(kind, "__name__", kind)) for kind in kinds if kind not in _HEAD]
    linear = sum(kind in (nn.Linear, nn.functional.linear) for kind in kinds)
    if foreign or linear != 1:
        raise ValueError(
            f"CAM wants global average pooling and one linear layer behind the last map ({layer}); "
            f"{type(model).__name__} has {', '.join(foreign) or f'{linear} linear layers'} there. Use grad_cam"
        )


def captum_map(
    name: str,
    model: nn.Module,
    images: Tensor,
    target: Target = None,
    *,
    layer: nn.Module | None = None,
    **options: Any,
) -> Tensor:
    """Attribute a class by a method of captum, which is not one of our requirements.

    Args:
        name: Class of ``captum.attr``, for instance "IntegratedGradients" or "LayerGradCam".
        model: A classifier; captum sees it in evaluation mode.
        images: ``[B, C, H, W]``.
        target: As for :class:`dotally.stnet.STNet`, but classes only.
        layer: Module for captum's layer methods.
        options: Handed to ``attribute``.

    Returns:
        ``[B, 1, h, w]`` attributions summed over channels.

    Raises:
        DotallyError: captum is not installed, or has no such method.
        ValueError: The target is a top tensor.
    """
    try:
        attr = importlib.import_module("captum.attr")
    except ImportError as error:
        raise DotallyError(f"{name} comes from captum: pip install 'dotally[baselines]'") from error
    method = getattr(attr, name, None)
    if method is None:
        raise DotallyError(f"captum has no method {name!r}; see captum.attr")
    with evaluating(model), warnings.catch_warnings():
        with torch.no_grad():
            _, labels = top_gating(target, model(images))
        if labels is None:
            raise ValueError("captum's methods explain classes, not a top tensor")
        attributor = method(model) if layer is None else method(model, layer)
        # most of them differentiate, and warn where they have to ask for that themselves
        inputs = images.detach().clone().requires_grad_()
        warnings.filterwarnings("ignore", message="Setting (forward, )?backward hooks")
        return attributor.attribute(inputs, target=labels, **options).detach().sum(1, keepdim=True)


def last_map(model: nn.Module, images: Tensor) -> str:
    """Return the name of the last layer whose output is a map of more than one cell.

    Raises:
        ValueError: There is none.
    """
    network = _network(model)
    with torch.no_grad(), evaluating(model):
        shapes = network.run(images[:1], keep=()).shapes
    above = network.upstream(network.output) & network.depends_on_image
    for step in reversed(network.steps):
        shape = shapes.get(step, ())
        if step in above and step.op.startswith("call") and len(shape) == 4 and shape[2] * shape[3] > 1:
            calls = [other for other in network.steps if other.target == step.target]
            return step.name if len(calls) > 1 else network.name(step)
    raise ValueError(f"{type(model).__name__} has no map of more than one cell; use larger pictures")


def _network(model: nn.Module) -> Network:
    return Network(model, has_own_rule)


def _gradient_and_features(model: nn.Module, images: Tensor, target: Target, layer: str) -> tuple[Tensor, Tensor]:
    with STNet(model, stop=layer, method="gradient").observe(images) as seen:
        return seen.explain(target).gating[layer], seen.activation(layer).float()
