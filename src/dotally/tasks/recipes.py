"""Trainings that several experiments share, so that each stands in one place."""

from functools import partial
from typing import Any

from dotally.tasks.counting import CountingTask
from dotally.tasks.localization import LocalizationTask

# CSRNet at an eighth of its width learns from scratch on a CPU: batch norm, and Adam at a rate that suits it
slim_csrnet = partial(
    CountingTask,
    model="csrnet",
    model_kwargs={"width": 0.125, "batch_norm": True},
    density_scale=10.0,
    loss="scaled_mean_square",
    optimizer="adamw",
    lr=4e-3,
    schedule="one-cycle",
)

# the same front end and recipe; nine Gaussians of each pair of channels have as many parameters as nine taps
slim_gaunet_csrnet = partial(
    slim_csrnet, model="gaunet_csrnet", model_kwargs={"width": 0.125, "batch_norm": True, "gaussians": (9,)}
)

# the smallest objects have a radius of 7 pixels, in which 15 pixels of tolerance would point at anything
shapes_classifier = partial(LocalizationTask, "shapes_net", lr=1e-2, schedule="one-cycle", pointing_tolerance=2.0)


def c3_framework(model: str, *, stride: int, lr: float, **options: Any) -> partial[CountingTask]:
    """Return how the C^3 Framework (Gao et al., 2019) trains a counting network, on which GauNet's code is built.

    Args:
        model: Name of the network.
        stride: Of the network; it learns 100 times the density per pixel.
        lr: 1e-5 for CSRNet and ResNet-50, 1e-4 for MCNN and SANet.
        options: Of :class:`CountingTask`.
    """
    return partial(
        CountingTask,
        model=model,
        density_scale=100.0 / stride**2,
        loss="scaled_mean_square",
        optimizer="adam",
        lr=lr,
        weight_decay=1e-4,
        **options,
    )
