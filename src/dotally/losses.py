"""Losses between density maps: pure functions of tensors, chosen by name.

Maps are ``[B, 1, h, w]`` in heads per cell; the optional mask has the same shape and is 0 where a cell holds padding
only. Whatever scale a loss needs is applied here and nowhere else, so a network's output stays in heads per cell.
"""

from typing import Protocol

import torch
from torch import Tensor


class Loss(Protocol):
    """What every loss of this module is called with."""

    def __call__(self, prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return a scalar."""
        ...


def sum_of_squares(prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    r"""Return CSRNet's loss (CVPR 2018, section 3.2): :math:`\frac{1}{2N} \sum_i \|D_i - D_i^{GT}\|_2^2`.

    Args:
        prediction: ``[N, 1, h, w]``, heads per cell; N is the batch size.
        target: ``[N, 1, h, w]``, heads per cell.
        mask: ``[N, 1, h, w]``, 0 where a cell does not count.

    Returns:
        Scalar, float32 or wider: a sum over cells, not a mean.

    Raises:
        ValueError: The shapes differ.
    """
    return _squares(prediction, target, mask).sum() / (2 * len(prediction))


def official_sum_of_squares(prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    r"""Return the loss of CSRNet's published code: :math:`\sum_i \|D_i - D_i^{GT}\|_2^2`.

    It is 2N times ``sum_of_squares``: at the code's batch size of 1, twice the paper's gradient at equal learning rate.
    Arguments, result and errors are those of ``sum_of_squares``.
    """
    return _squares(prediction, target, mask).sum()


def scaled_mean_square(
    prediction: Tensor, target: Tensor, mask: Tensor | None = None, *, scale: float = 100.0
) -> Tensor:
    r"""Return the mean over cells of :math:`(s (D - D^{GT}))^2`.

    Heads per cell are small numbers; ``scale`` brings the loss near 1, where optimizers such as Adam expect it. Masked
    cells count neither in the sum nor in the number of cells.

    Args:
        prediction: ``[B, 1, h, w]``, heads per cell.
        target: ``[B, 1, h, w]``, heads per cell.
        mask: ``[B, 1, h, w]``, 0 where a cell does not count.
        scale: s, a pure number.

    Returns:
        Scalar, float32 or wider; 0 when no cell counts.

    Raises:
        ValueError: The shapes differ.
    """
    squares = _squares(prediction, target, mask)
    cells = squares.numel() if mask is None else (mask != 0).sum().clamp(min=1)
    return scale**2 * squares.sum() / cells


def _squares(prediction: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
    """Return squared differences, 0 where masked, in at least float32: half precision overflows in the sum."""
    for name, other in (("target", target), ("mask", mask)):
        if other is not None and other.shape != prediction.shape:
            raise ValueError(
                f"prediction {tuple(prediction.shape)} and {name} {tuple(other.shape)} differ in shape; "
                "is the stride of the data module that of the network?"
            )
    difference = prediction.to(torch.promote_types(prediction.dtype, torch.float32)) - target
    # filled, not multiplied: a NaN or infinity in the padding must not leak through 0 x NaN
    return (difference if mask is None else difference.masked_fill(mask == 0, 0)).square()


LOSSES: dict[str, Loss] = {
    "sum_of_squares": sum_of_squares,
    "official_sum_of_squares": official_sum_of_squares,
    "scaled_mean_square": scaled_mean_square,
}


def get_loss(name: str) -> Loss:
    """Return the loss of that name; ValueError lists the names there are."""
    if name not in LOSSES:
        raise ValueError(f"unknown loss {name!r}; there are: {', '.join(LOSSES)}")
    return LOSSES[name]
