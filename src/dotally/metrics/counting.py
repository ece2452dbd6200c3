"""Errors of counts as a metric."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from dotally.metrics.count_errors import counting_error_from_sums, counting_sums


class CountingError(Metric):
    """``counting_error`` over all batches and processes; sums are kept in float64."""

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    sums: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("sums", torch.zeros(9, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, truth: Tensor) -> None:
        """Add ``[B]`` predicted and ``[B]`` annotated counts."""
        # not in place, which torch forbids for states reset while Lightning validated in inference mode
        self.sums = self.sums + counting_sums(predicted, truth)

    def compute(self) -> dict[str, Tensor]:
        """Return the figures of ``counting_error``; ValueError when there was no picture."""
        return counting_error_from_sums(self.sums)
