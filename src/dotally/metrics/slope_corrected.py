"""Counts without the part of their error that is one of scale."""

import torch
from torch import Tensor

from dotally.metrics.count_errors import counting_error

# a slope below is that of a constant, give or take
LEAST_SLOPE = 0.05


def slope_corrected(predicted: Tensor, truth: Tensor) -> Tensor | None:
    """Divide predictions by the slope of prediction on truth that ``counting_error`` gives.

    A network that counts a constant share too few or too many errs however well it tells crowds apart, and labels that
    are missing can pull that share to where it errs less. What is left after the division is not to be had by scaling.

    Args:
        predicted: ``[B]``, predicted heads in each picture.
        truth: ``[B]``, annotated heads in each picture.

    Returns:
        ``[B]`` float64; None where the slope is not defined or below 0.05, so that predictions hardly follow the truth.

    Raises:
        ValueError: As ``counting_error``.
    """
    slope = counting_error(predicted, truth).get("slope")
    if slope is None or not slope >= LEAST_SLOPE:
        return None
    return predicted.to(torch.float64) / slope
