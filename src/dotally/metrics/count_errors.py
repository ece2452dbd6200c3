"""Errors of counts: MAE, RMSE, NAE, bias and the slope of prediction on truth."""

import torch
from torch import Tensor


def counting_sums(predicted: Tensor, truth: Tensor) -> Tensor:
    """Reduce counts to the sums from which every figure of ``counting_error`` follows.

    Args:
        predicted: ``[B]``, predicted heads in each picture.
        truth: ``[B]``, annotated heads in each picture; never the sum of a density map.

    Returns:
        ``[9]`` float64: pictures, sum |e|, sum e^2, sum e, pictures with t > 0, sum |e| / t over those, sum t,
        sum t^2, sum t e, with e = predicted - truth and t = truth. Sums of parts add up to the sums of the whole.

    Raises:
        ValueError: The shapes differ.
    """
    if predicted.shape != truth.shape:
        raise ValueError(
            f"one predicted and one true count a picture are expected, got shapes {tuple(predicted.shape)} "
            f"and {tuple(truth.shape)}"
        )
    true = truth.detach().to(torch.float64)
    error = predicted.detach().to(torch.float64) - true
    crowded = true > 0
    relative = error.abs() / true.where(crowded, torch.inf)
    terms = (
        torch.ones_like(true),
        error.abs(),
        error.square(),
        error,
        crowded,
        relative,
        true,
        true.square(),
        true * error,
    )
    return torch.stack([term.sum(dtype=torch.float64) for term in terms])


def counting_error_from_sums(sums: Tensor) -> dict[str, Tensor]:
    """Turn the sums of ``counting_sums`` into the figures of ``counting_error``."""
    pictures, absolute, squared, signed, crowded, relative, true, true_squared, true_error = sums.unbind()
    if not pictures:
        raise ValueError("CountingError has seen no picture: call update(predicted, truth) before compute()")
    figures = {
        "mae": absolute / pictures,
        "rmse": (squared / pictures).sqrt(),
        "bias": signed / pictures,
    }
    if crowded:
        figures["nae"] = relative / crowded
    spread = pictures * true_squared - true.square()
    if spread > 0:
        # the slope of p = t + e: 1 plus that of the error, so a perfect prediction gives 1 without rounding
        figures["slope"] = 1 + (pictures * true_error - true * signed) / spread
    return figures


def counting_error(predicted: Tensor, truth: Tensor) -> dict[str, Tensor]:
    r"""Compare predicted with annotated counts.

    With :math:`e_i = p_i - t_i`: mae is the mean of :math:`|e_i|`; rmse is :math:`\sqrt{\mathrm{mean}\, e_i^2}`, which
    the literature prints as "MSE" (CSRNet, CVPR 2018, section 4.1); nae is the mean of :math:`|e_i| / t_i` over the
    pictures with :math:`t_i > 0` (as the NWPU-Crowd server defines it); bias is the mean of :math:`e_i`; slope is that
    of the least-squares line with intercept of prediction on truth.

    Args:
        predicted: ``[B]``, predicted heads in each picture.
        truth: ``[B]``, annotated heads in each picture; never the sum of a density map.

    Returns:
        ``mae``, ``rmse``, ``bias``, ``nae``, ``slope``, each a float64 scalar. What is not defined is left out, so
        that no NaN reaches a result file: ``nae`` when every picture is empty, ``slope`` when all truths are equal.

    Raises:
        ValueError: The shapes differ, or there is no picture.
    """
    return counting_error_from_sums(counting_sums(predicted, truth))
