"""Density maps: ours beside one full-size ``gaussian_filter`` per head, as the published CSRNet code makes them."""

from collections.abc import Iterator
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from benchmarks.registry import Case, Skipped
from dotally.data.roots import data_roots
from dotally.data.shanghaitech import ShanghaiTechDataset
from dotally.errors import DataError
from dotally.ops import adaptive_sigma, render_density, render_density_batch

SIZE = (768, 1024)


def cases() -> Iterator[Case | Skipped]:
    """Yield one crowd, a batch of them on a GPU, and all of ShanghaiTech A where it is at hand."""
    yield _one_picture(500)
    if torch.cuda.is_available():
        yield _batch(500, 16)
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
        repeats={"dotally": 20, "dotally, stride 8": 20, "one filter per head": 3},
        facts={"heads": heads, "height": SIZE[0], "width": SIZE[1], "median_sigma": round(float(sigma.median()), 2)},
    )


def _batch(heads: int, pictures: int) -> Case:
    """Return a batch on the GPU: the maps that a training step renders; there is no peer, so the CPU is the gate."""
    points = perspective_crowd(heads).float().repeat(pictures, 1)
    sigma = adaptive_sigma(points[:heads]).float().repeat(pictures)
    there, widths = points.cuda(), sigma.cuda()
    counts = torch.full((pictures,), heads)
    counts_there = counts.cuda()

    def render(stride: int) -> Tensor:
        return render_density_batch(there, widths, counts_there, SIZE, stride=stride)

    def gate() -> None:
        expected = render_density_batch(points, sigma, counts, SIZE, stride=8)
        torch.testing.assert_close(render(8).cpu(), expected, atol=1e-5, rtol=1e-4)

    return Case(
        name=f"density_batch_{heads}_heads",
        about=f"{pictures} pictures of {SIZE[0]}x{SIZE[1]} pixels, {heads} heads each",
        ours="dotally",
        implementations={"dotally": lambda: render(1), "dotally, stride 8": lambda: render(8)},
        gate=gate,
        repeats={"dotally": 20, "dotally, stride 8": 20},
        facts={"pictures": pictures, "heads": heads},
        device="cuda",
    )


def _shanghaitech_a() -> Case:
    sets = [ShanghaiTechDataset(data_roots(), "A", split) for split in ("train", "test")]
    facts = {"pictures": sum(map(len, sets))}

    @cache
    def crowds() -> list[tuple[Tensor, tuple[int, int]]]:
        samples = (dataset.load(index) for dataset in sets for index in range(len(dataset)))
        return [(sample.points, sample.size) for sample in samples]

    def render_all() -> float:
        return sum(float(render_density(points, adaptive_sigma(points), size).sum()) for points, size in crowds())

    def gate() -> None:
        facts["heads"] = sum(len(points) for points, _ in crowds())
        found = render_all()
        assert abs(found - facts["heads"]) < 0.01 * facts["pictures"], f"{found} heads, annotated are {facts['heads']}"

    return Case(
        name="density_shanghaitech_a",
        about=f"all {facts['pictures']} pictures of ShanghaiTech A at full size",
        ours="dotally",
        implementations={"dotally": render_all},
        gate=gate,
        repeats={"dotally": 3},
        facts=facts,
    )
