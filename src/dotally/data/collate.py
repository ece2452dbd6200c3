"""Samples of different sizes -> one padded batch."""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import torch
from torch import Tensor

from dotally.data.sample import CrowdSample


class PaddedBatch(TypedDict):
    """A batch as the workers make it: a ``CrowdBatch`` that still lacks its target at the network's stride.

    Attributes:
        name: File names.
        image: ``[B, 3, H, W]`` uint8, padded with zeros on the right and at the bottom.
        size: ``[B, 2]`` int64, (height, width) before padding.
        points: ``[sum N, 2]`` float32, the points of all pictures in a row.
        sigma: ``[sum N]`` float32, pixels.
        count: ``[B]`` int64.
        density: ``[B, H, W]`` float32, heads per pixel, only where the samples carry a published map.
    """

    name: list[str]
    image: Tensor
    size: Tensor
    points: Tensor
    sigma: Tensor
    count: Tensor
    density: NotRequired[Tensor]


def collate(samples: Sequence[CrowdSample], multiple: int) -> PaddedBatch:
    """Lay pictures into one tensor whose sides are the largest of the batch, rounded up to ``multiple``.

    Pictures with a published map are never padded, because its reduced target follows the picture's own size.

    Raises:
        ValueError: If pictures with a published map differ in size.
    """
    sizes = [sample.size for sample in samples]
    maps = [sample.density for sample in samples if sample.density is not None]
    if maps and len(set(sizes)) > 1:
        raise ValueError(
            "pictures with a published density map are not padded, so those of a batch must have one size, "
            f"got {sorted(set(sizes))}; use a batch size of 1"
        )
    multiple = 1 if maps else multiple
    height, width = (-(-max(sides) // multiple) * multiple for sides in zip(*sizes, strict=True))
    image = samples[0].image.new_zeros(len(samples), 3, height, width)
    for canvas, sample in zip(image, samples, strict=True):
        canvas[:, : sample.size[0], : sample.size[1]] = sample.image
    batch = PaddedBatch(
        name=[sample.name for sample in samples],
        image=image,
        size=torch.tensor(sizes),
        points=torch.cat([sample.points for sample in samples]),
        sigma=torch.cat([sample.sigma for sample in samples]),
        count=torch.tensor([len(sample.points) for sample in samples]),
    )
    if maps:
        batch["density"] = torch.stack(maps)
    return batch


def cell_mask(size: Tensor, shape: tuple[int, int], stride: int) -> Tensor:
    """Return 1 where a cell of the density map holds any pixel of its picture, 0 where it is all padding.

    Args:
        size: ``[B, 2]`` (height, width) of each picture before padding.
        shape: (rows, columns) of the map.
        stride: Pixels per cell.

    Returns:
        ``[B, 1, rows, columns]`` float32 on the device of ``size``.
    """
    rows, columns = (torch.arange(cells, device=size.device) * stride for cells in shape)
    down, right = rows < size[:, :1], columns < size[:, 1:]  # [B, rows], [B, columns]
    return (down[:, :, None] & right[:, None, :]).unsqueeze(1).float()
