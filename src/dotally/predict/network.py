"""Trained networks with what their weights expect of a picture, and without what trained them.

A checkpoint holds the arguments and the state of a task. Here they become a network that predicts what the task would,
while Lightning and torchmetrics, which take seconds to import, stay out.
"""

from collections.abc import Collection, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from dotally.models import build_model
from dotally.models.density_map import predict_density
from dotally.models.preprocessing import PRESETS, Preprocessing, preprocess

# arguments of the tasks that decide how they learn and what they measure, but nothing of what they predict
_OPTIMIZER = ("optimizer", "lr", "momentum", "weight_decay", "schedule")
OF_COUNTING = (*_OPTIMIZER, "imagenet", "loss", "freeze_batch_norm", "map_quality")
OF_LOCALIZING = (*_OPTIMIZER, "label_smoothing", "pointing_tolerance")


class CountingNetwork(nn.Module):
    """What a ``CountingTask`` predicts with; its state dict is the task's.

    Args:
        model: See ``CountingTask``, as the next three.
        model_kwargs: Arguments of the network.
        density_scale: The network computes this many times the density.
        preprocessing: Name in ``dotally.models.PRESETS``.
        training: Other arguments of the task, kept in ``hparams`` for whoever trains on.

    Attributes:
        hparams: All of these arguments.
        stride: Input pixels per cell of the predicted map.
        densest: Largest number of heads per megapixel met in training; 0 before any.

    Raises:
        AttributeError: The network predicts no density, so it has no stride.
        TypeError: The task has no such argument.
        ValueError: No network or preprocessing of that name, or the network refuses an argument.
    """

    densest: Tensor

    def __init__(
        self,
        model: str = "csrnet",
        model_kwargs: dict[str, Any] | None = None,
        *,
        density_scale: float = 1.0,
        preprocessing: str = "imagenet",
        **training: Any,
    ) -> None:
        super().__init__()
        _check(training, OF_COUNTING)
        own = {"model": model, "model_kwargs": model_kwargs, "density_scale": density_scale}
        self.hparams = {**own, "preprocessing": preprocessing, **training}
        self.preprocessing = _preset(preprocessing)
        self.model = _network(model, model_kwargs)
        self.stride = int(cast(int, self.model.stride))
        self.register_buffer("densest", torch.zeros(()))

    def forward(self, image: Tensor, size: Tensor) -> Tensor:
        """Predict heads per cell, see :func:`dotally.models.density_map.predict_density`."""
        return predict_density(self.model, image, size, self.preprocessing, scale=self.hparams["density_scale"])


class ClassifyingNetwork(nn.Module):
    """What a ``LocalizationTask`` classifies with; its state dict is the task's.

    Args:
        model: See ``LocalizationTask``, as the next two.
        model_kwargs: Arguments of the network.
        preprocessing: Name in ``dotally.models.PRESETS``.
        training: Other arguments of the task, kept in ``hparams`` for whoever trains on.

    Attributes:
        hparams: All of these arguments.

    Raises:
        TypeError: The task has no such argument.
        ValueError: No network or preprocessing of that name, or the network refuses an argument.
    """

    def __init__(
        self,
        model: str = "shapes_net",
        model_kwargs: dict[str, Any] | None = None,
        *,
        preprocessing: str = "imagenet",
        **training: Any,
    ) -> None:
        super().__init__()
        _check(training, OF_LOCALIZING)
        self.hparams = {"model": model, "model_kwargs": model_kwargs, "preprocessing": preprocessing, **training}
        self.preprocessing = _preset(preprocessing)
        self.model = _network(model, model_kwargs)

    def prepare(self, image: Tensor) -> Tensor:
        """Turn ``[B, 3, H, W]`` uint8 RGB pictures into the network's input, float32 of the same size."""
        # filled on the device: two numbers on their way there would make the host wait
        sides = [torch.full((len(image),), side, device=image.device) for side in image.shape[2:]]
        return preprocess(image, torch.stack(sides, dim=1), self.preprocessing)


def _check(training: Mapping[str, Any], known: Collection[str]) -> None:
    # one that came later may change what is predicted
    unknown = sorted(training.keys() - set(known))
    if unknown:
        raise TypeError(f"unknown: {', '.join(unknown)}")


def _preset(name: str) -> Preprocessing:
    if name not in PRESETS:
        raise ValueError(f"unknown preprocessing {name!r}; there are: {', '.join(PRESETS)}")
    return PRESETS[name]


def _network(name: str, kwargs: dict[str, Any] | None) -> nn.Module:
    network = build_model(name, **(kwargs or {}))
    # faster for convolutions, on GPUs and CPUs alike
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # the stubs lack it
    return network
