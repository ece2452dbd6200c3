"""The density kernel, interpreted (or on a GPU), against the reference; outputs start as NaN."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from dotally.ops import render_density_reference
from triton_kernels import density

pytestmark = pytest.mark.usefixtures("poisoned_memory")


def crowd(counts: list[int], size: tuple[int, int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Heads in and around a picture, with widths from one pixel to wider than a tile."""
    generator = torch.Generator().manual_seed(seed)
    n = sum(counts)
    points = (torch.rand(n, 2, generator=generator) * 1.2 - 0.1) * torch.tensor([size[1], size[0]])
    return points, torch.rand(n, generator=generator) ** 2 * 12


def launch(
    points: Tensor,
    sigma: Tensor,
    counts: list[int],
    size: tuple[int, int],
    device: torch.device,
    *,
    stride: int = 1,
    renormalize: bool = True,
    valid: Tensor | None = None,
) -> Tensor:
    lengths = torch.tensor(counts, device=device)
    valid = torch.tensor([size] * len(counts)) if valid is None else valid
    maps = density.render_density(
        points.to(device),
        sigma.to(device),
        lengths,
        valid.to(device),
        size,
        stride=stride,
        renormalize=renormalize,
    )
    return maps.cpu()


# around the tile of 32 cells: below, equal, one above, not a multiple
@pytest.mark.parametrize("size", [(1, 1), (32, 32), (33, 65), (50, 40)])
@pytest.mark.parametrize("counts", [[0], [1], [40, 0, 33]])
@pytest.mark.parametrize("border", ["renormalize", "lose"])
def test_kernel_equals_the_reference(
    size: tuple[int, int], counts: list[int], border: str, device: torch.device
) -> None:
    points, sigma = crowd(counts, size)
    maps = launch(points, sigma, counts, size, device, renormalize=border == "renormalize")
    parts = zip(points.split(counts), sigma.split(counts), strict=True)
    expected = torch.stack([render_density_reference(p, s, size, border=border) for p, s in parts])  # type: ignore[arg-type]
    assert_close(maps[:, 0], expected.float(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("stride", [3, 8])
def test_a_stride_gives_exact_cell_sums(stride: int, device: torch.device) -> None:
    points, sigma = crowd([25], (70, 45))
    maps = launch(points, sigma, [25], (70, 45), device, stride=stride)
    assert_close(maps[0, 0], render_density_reference(points, sigma, (70, 45), stride=stride).float())


def test_padded_pictures_keep_their_mass_inside(device: torch.device) -> None:
    valid = torch.tensor([[30, 20], [40, 40]])
    points, sigma = crowd([20, 20], (30, 20))
    points = points.abs() % 20
    maps = launch(points, sigma, [20, 20], (40, 40), device, valid=valid)
    assert_close(maps.sum(dim=(1, 2, 3)), torch.tensor([20.0, 20.0]))
    assert maps[0, :, 30:].abs().max() == 0
    assert maps[0, :, :, 20:].abs().max() == 0


def test_equal_heads_add_up_and_sigma_zero_is_one_pixel(device: torch.device) -> None:
    points = torch.tensor([[3.5, 2.2], [3.5, 2.2], [0.0, 0.0]])
    maps = launch(points, torch.zeros(3), [3], (8, 8), device)
    assert maps[0, 0, 2, 3] == 2
    assert maps[0, 0, 0, 0] == 1
    assert maps.sum() == 3


def test_repeated_runs_are_bitwise_equal(device: torch.device) -> None:
    points, sigma = crowd([60], (64, 64))
    first, second = (launch(points, sigma, [60], (64, 64), device) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.gpu
def test_registered_operator_uses_the_kernel_on_cuda() -> None:
    from dotally.ops import render_density_batch

    points, sigma = crowd([500, 400], (768, 1024))
    on_cpu = render_density_batch(points, sigma, [500, 400], (768, 1024), stride=8)
    on_gpu = render_density_batch(points.cuda(), sigma.cuda(), [500, 400], (768, 1024), stride=8)
    assert_close(on_gpu.cpu(), on_cpu, atol=1e-5, rtol=1e-4)


@pytest.mark.gpu
def test_a_cuda_graph_captures_the_maps_of_a_batch() -> None:
    from dotally.ops import render_density_batch

    points, sigma = (values.cuda() for values in crowd([50, 40], (96, 128)))
    counts = torch.tensor([50, 40], device="cuda")
    expected = render_density_batch(points, sigma, counts, (96, 128), stride=8)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):  # refuses whatever would wait for the device
        captured = render_density_batch(points, sigma, counts, (96, 128), stride=8)
    graph.replay()
    assert torch.equal(captured, expected)


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there is one GPU")
def test_a_second_gpu_is_used_where_the_points_are() -> None:
    from dotally.ops import render_density

    points, sigma = crowd([50], (96, 128))
    maps = [render_density(points.to(place), sigma.to(place), (96, 128)).cpu() for place in ("cpu", "cuda:1")]
    assert_close(maps[1], maps[0], atol=1e-5, rtol=1e-4)
