"""Grid average mean error: counts compared cell by cell, so that errors in two places do not cancel."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


def game_errors(density: Tensor, points: Tensor, count: Tensor, size: Tensor, stride: int, *, level: int) -> Tensor:
    r"""Compare predicted and annotated heads in each cell of a grid over each picture.

    A picture is cut into :math:`2^L \times 2^L` equal cells. A cell of the density map that lies in several of them
    gives to each by area, the part of it that sticks out of the picture left out of account; a point (x, y) lies in
    column :math:`\lfloor x 2^L / W \rfloor`, a point outside the picture in the nearest cell. GAME(L) is the sum of a
    picture's errors, averaged over pictures (CSRNet, CVPR 2018, section 4.3.5); GAME(0) is the MAE of the counts
    inside the pictures.

    Args:
        density: ``[B, 1, h, w]``, predicted heads per cell; the rows and columns beyond a picture are ignored, but what
            lies outside a region of interest is not: multiply by the region's mask first, as ``CountingTask`` does.
        points: ``[sum N, 2]``, annotated (x, y) in pixels, those of all pictures in a row.
        count: ``[B]`` int64, how many of the points belong to each picture.
        size: ``[B, 2]`` int64, (height, width) of each picture in pixels, without padding.
        stride: Pixels per side of a cell of ``density``.
        level: L, 0 or more.

    Returns:
        ``[B, 2^L, 2^L]`` float64, absolute error of each cell in heads.

    Raises:
        ValueError: Points and counts disagree, or the map does not cover the pictures.
    """
    if len(points) != count.sum():
        raise ValueError(f"count promises {int(count.sum())} points, got {len(points)}")
    cells, (height, width) = 2**level, density.shape[-2:]
    if (size > size.new_tensor([height, width]) * stride).any():
        raise ValueError(
            f"a density map of {height} x {width} cells of {stride} pixels does not cover pictures of "
            f"{size.amax(0).tolist()} (height, width): is {stride} the stride of the network?"
        )
    rows = _overlap(size[:, 0], height, stride, cells)
    columns = _overlap(size[:, 1], width, stride, cells)
    predicted = rows @ density.detach()[:, 0].double() @ columns.mT
    return (predicted - _points_in_cells(points, count, size, cells)).abs()


def _overlap(length: Tensor, cells_in_map: int, stride: int, cells: int) -> Tensor:
    """Return ``[B, cells, cells_in_map]``: the share of each map cell, clipped to ``length``, in each grid cell."""
    length = length.double()[:, None, None]
    grid = torch.arange(cells + 1, device=length.device).double()[:, None] * length / cells
    edges = (torch.arange(cells_in_map + 1, device=length.device) * stride).double().minimum(length)
    begin, end = edges[..., :-1], edges[..., 1:]
    shared = torch.minimum(grid[:, 1:], end) - torch.maximum(grid[:, :-1], begin)
    # a map cell beyond the picture has no extent left and gives nothing
    return shared.clamp(min=0) / (end - begin).where(end > begin, 1)


def _points_in_cells(points: Tensor, count: Tensor, size: Tensor, cells: int) -> Tensor:
    """Return ``[B, cells, cells]`` int64, the annotated points in each grid cell."""
    picture = torch.arange(len(count), device=count.device).repeat_interleave(count)
    extent = size[picture].flip(-1)  # [sum N, 2], (width, height) as points are (x, y)
    column, row = (points.double() * cells / extent).floor().long().clamp(0, cells - 1).unbind(-1)
    index = (picture * cells + row) * cells + column
    return index.bincount(minlength=len(count) * cells**2).view(-1, cells, cells)


class GAME(Metric):
    """GAME(``level``) of ``game_errors`` over all batches and processes, in heads.

    Args:
        level: L; the picture is cut into 4^L cells.
        **kwargs: Passed to ``torchmetrics.Metric``.

    Raises:
        ValueError: The level is negative.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    errors: Tensor
    pictures: Tensor

    def __init__(self, level: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if level < 0:
            raise ValueError(f"GAME's level is 0 or more, got {level}")
        self.level = level
        # kept by cell, because a MetricCollection takes metrics of equal states for one and the same, and the states
        # of all levels are equal as long as a network predicts nothing
        self.add_state("errors", torch.zeros(2**level, 2**level, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("pictures", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, density: Tensor, points: Tensor, count: Tensor, size: Tensor, stride: int) -> None:
        """Add a batch; the arguments are those of ``game_errors``."""
        errors = game_errors(density, points, count, size, stride, level=self.level)
        # not in place, which torch forbids for states reset while Lightning validated in inference mode
        self.errors, self.pictures = self.errors + errors.sum(0), self.pictures + len(density)

    def compute(self) -> Tensor:
        """Return the float64 mean over pictures of the summed errors; ValueError when there was no picture."""
        if not self.pictures:
            raise ValueError("GAME has seen no picture: call update(...) before compute()")
        return self.errors.sum() / self.pictures
