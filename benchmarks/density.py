"""Density maps: ours beside one full-size ``gaussian_filter`` per head, as the published CSRNet code makes them."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from benchmarks.registry import Case, Skipped
from dotally.data.roots import data_roots
from dotally.data.shanghaitech import ShanghaiTechDataset
from dotally.errors import DataError
from dotally.ops import adaptive_sigma, render_density

SIZE = (768, 1024)


def cases() -> Iterator[Case | Skipped]:
    """Yield one crowd, and all of ShanghaiTech A where it is at hand."""
    yield _one_picture(500)
    try:
        yield _shanghaitech_a()
    except DataError as error:
        yield Skipped("density_shanghaitech_a", str(error))


def perspective_crowd(heads: int) -> Tensor:
    """Draw heads that crowd together towards the top, as they do in photographs; ``[N, 2]`` float64."""
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(heads, 2, generator=generator, dtype=torch.float64)
    points[:, 1] **= 2
    return points * torch.tensor([SIZE[1], SIZE[0]])


def filter_per_head(points: Tensor, sigma: Tensor) -> NDArray[np.float32]:
    """Add up one full-size float32 ``gaussian_filter`` per head, borders losing mass."""
    density = np.zeros(SIZE, np.float32)
    for (x, y), width in zip(points.tolist(), sigma.tolist(), strict=True):
        one = np.zeros(SIZE, np.float32)
        one[int(y), int(x)] = 1.0
        density += gaussian_filter(one, width, mode="constant")
    return density


def _one_picture(heads: int) -> Case:
    points = perspective_crowd(heads)
    sigma = adaptive_sigma(points)
    few = slice(0, 20)

    def gate() -> None:
        ours = render_density(points[few].float(), sigma[few].float(), SIZE, border="lose")
        np.testing.assert_allclose(ours.numpy(), filter_per_head(points[few], sigma[few]), atol=1e-7)

    return Case(
        name=f"density_{heads}_heads",
        about=f"one picture of {SIZE[0]}x{SIZE[1]} pixels, {heads} heads, adaptive widths",
        ours="dotally",
        implementations={
            "dotally": lambda: render_density(points.float(), adaptive_sigma(points).float(), SIZE, border="lose"),
            "dotally, stride 8": lambda: render_density(points.float(), adaptive_sigma(points).float(), SIZE, stride=8),
            "one filter per head": lambda: filter_per_head(points, adaptive_sigma(points)),
        },
        gate=gate,
        repeats={"dotally": 20, "dotally, stride 8": 20, "one filter per head": 1},
        facts={"heads": heads, "height": SIZE[0], "width": SIZE[1], "median_sigma": round(float(sigma.median()), 2)},
    )


def _shanghaitech_a() -> Case:
    crowds = []
    for split in ("train", "test"):
        dataset = ShanghaiTechDataset(data_roots(), "A", split)
        for index in range(len(dataset)):
            sample = dataset.load(index)
            crowds.append((sample.points, sample.size))

    def render_all() -> float:
        return sum(float(render_density(points, adaptive_sigma(points), size).sum()) for points, size in crowds)

    heads = sum(len(points) for points, _ in crowds)

    def gate() -> None:
        assert abs(render_all() - heads) < 0.01 * len(crowds), "the maps' sums are not the counts"

    return Case(
        name="density_shanghaitech_a",
        about=f"all {len(crowds)} pictures of ShanghaiTech A at full size",
        ours="dotally",
        implementations={"dotally": render_all},
        gate=gate,
        repeats={"dotally": 3},
        facts={"pictures": len(crowds), "heads": heads},
    )
