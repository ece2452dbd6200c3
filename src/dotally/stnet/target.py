"""What is to be explained: from labels to the gating of the class scores."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dotally.errors import DotallyError

Target = int | Sequence[int] | Tensor | None


def top_gating(target: Target, logits: Tensor) -> tuple[Tensor, Tensor | None]:
    """Turn a target into the gating of the class scores.

    Args:
        target: One class for all pictures, one for each (a sequence, or an integer tensor ``[B]``), None for the
            predicted ones, or a floating point tensor ``[B, C]`` that is the gating itself and not negative.
        logits: ``[B, C]``.

    Returns:
        ``[B, C]`` float32, and ``[B]`` int64 classes, None where the gating itself was given.

    Raises:
        DotallyError: A logit is not a number.
        ValueError: A class outside 0..C-1, a wrong shape, a negative or infinite gating.
    """
    if not torch.isfinite(logits).all():
        picture = int((~torch.isfinite(logits)).any(1).nonzero()[0])
        raise DotallyError(
            f"the class scores of picture {picture} are not finite; check the weights and the picture's preprocessing"
        )
    if isinstance(target, Tensor) and target.is_floating_point():
        return _checked_top(target.detach().to(logits.device, torch.float32), logits), None
    labels = logits.argmax(1) if target is None else _labels(target, logits)
    return torch.zeros_like(logits, dtype=torch.float32).scatter_(1, labels[:, None], 1.0), labels


def _labels(target: int | Sequence[int] | Tensor, logits: Tensor) -> Tensor:
    batch, classes = logits.shape
    labels = torch.as_tensor(target, device=logits.device)
    if labels.dtype.is_floating_point or labels.dtype == torch.bool or labels.ndim > 1:
        raise ValueError(f"a target is a class, one for each picture, or a float top [B, C]; got {target!r}")
    if labels.ndim == 1 and len(labels) != batch:
        raise ValueError(f"{len(labels)} target classes were given for {batch} pictures")
    wrong = labels[(labels < 0) | (labels >= classes)]
    if wrong.numel():
        raise ValueError(f"class {int(wrong.flatten()[0])} is outside of 0..{classes - 1}, the classes of the network")
    return labels.long().expand(batch)


def _checked_top(top: Tensor, logits: Tensor) -> Tensor:
    if top.shape != logits.shape:
        raise ValueError(f"the top must be shaped like the class scores, {tuple(logits.shape)}; got {tuple(top.shape)}")
    if not torch.isfinite(top).all() or (top < 0).any():
        raise ValueError("the top must hold finite numbers that are not negative")
    return top
