"""The kernels of top-down pools, interpreted (or on a GPU), against autograd and plain loops."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from triton_kernels import topdown_pool, topdown_worklist

TABLE = [1.0, 3.0, 1.0, 2.0, 1.0, 1.0, 1.0, 0.0, 0.5, 0.0, 0.2, 0.0]

pytestmark = pytest.mark.usefixtures("poisoned_memory")


def maps(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    # few different values, so that windows have ties
    return torch.randint(-2, 5, shape, generator=torch.Generator().manual_seed(seed)).float()


def gating(shape: torch.Size | tuple[int, ...], share: float = 0.5) -> Tensor:
    generator = torch.Generator().manual_seed(9)
    return torch.rand(shape, generator=generator) * (torch.rand(shape, generator=generator) < share)


def finish(below: topdown_worklist.Worklist, workspace: Tensor) -> Tensor:
    dense = topdown_worklist.to_dense(below).cpu()
    assert workspace.count_nonzero() == 0
    listed = below.cells[: int(below.count)].sort().values.cpu()
    assert torch.equal(listed.long(), dense.flatten().nonzero()[:, 0])
    return dense


def max_pool(h: Tensor, g: Tensor, device: torch.device, **sides: Any) -> Tensor:
    workspace = torch.zeros(h.numel(), dtype=torch.int64, device=device)
    units = topdown_worklist.from_dense(g.to(device))
    return finish(topdown_pool.max_pool2d(h.to(device), units, **sides, workspace=workspace, programs=2), workspace)


def avg_pool(h: Tensor, g: Tensor, device: torch.device, **options: Any) -> Tensor:
    workspace = torch.zeros(h.numel(), dtype=torch.int64, device=device)
    units = topdown_worklist.from_dense(g.to(device))
    options = {"table": TABLE, "programs": 2, "workspace": workspace, **options}
    return finish(topdown_pool.avg_pool2d(h.to(device), units, **options), workspace)


def divide(window: Tensor, population: int, mode: str, offset: int) -> Tensor:
    """Return the shares of a window's cells by the definition."""
    p = window.double().clamp(min=0)
    if not p.any():
        return p
    if mode == "top1":
        return torch.eye(p.numel(), dtype=torch.float64)[p.flatten().argmax()].view(p.shape)
    cut = 0.0
    if mode == "stat":
        mean = p.sum() / population
        square = ((p - mean) ** 2).sum() + (population - p.numel()) * mean**2
        cuts = [
            float(m * mean + s * (square / population).sqrt()) for m, s in zip(TABLE[::2], TABLE[1::2], strict=True)
        ]
        first = next((row for row, value in enumerate(cuts) if p.max() >= value), 5)
        cut = min(cuts[min(first + offset, 5)], float(p.max()))
    kept = torch.where(p >= cut, p, 0)
    return kept / kept.sum()


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "dilation"),
    [
        ((9, 7), (3, 3), (2, 2), (0, 0), (1, 1)),
        ((8, 8), (2, 2), (2, 2), (1, 1), (1, 1)),
        ((9, 10), (3, 2), (1, 2), (1, 0), (2, 3)),
    ],
)
def test_max_pool_equals_the_gradient_of_torch(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    device: torch.device,
) -> None:
    h = maps((2, 3, *size)).requires_grad_()
    pooled = F.max_pool2d(h, kernel, stride, padding, dilation)
    g = gating(pooled.shape)
    pooled.backward(g)
    out = max_pool(h.detach(), g, device, kernel=kernel, stride=stride, padding=padding, dilation=dilation)
    assert_close(out, h.grad, atol=1e-6, rtol=1e-6)


def test_windows_beyond_the_map_and_other_layouts(device: torch.device) -> None:
    h = maps((1, 3, 8, 8)).requires_grad_()
    pooled = F.max_pool2d(h, 3, 2, ceil_mode=True)
    pooled.backward(gating(pooled.shape))
    last = h.detach().to(memory_format=torch.channels_last).bfloat16()
    sides = {"kernel": (3, 3), "stride": (2, 2), "padding": (0, 0), "dilation": (1, 1)}
    assert_close(max_pool(last, gating(pooled.shape), device, **sides), h.grad, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("mode", "offset"), [("all", 0), ("stat", 1), ("top1", 0)])
def test_average_pool_equals_the_definition(mode: str, offset: int, device: torch.device) -> None:
    h = maps((1, 2, 7, 6), seed=1)
    g = gating((1, 2, 4, 3), share=0.3)
    out = avg_pool(h, g, device, kernel=(3, 3), stride=(2, 2), padding=(1, 1), mode=mode, offset=offset)
    padded = F.pad(h, (1, 1, 1, 1))
    expected = torch.zeros(padded.shape, dtype=torch.float64)
    for b, c, i, j in g.nonzero().tolist():
        window = (b, c, slice(2 * i, 2 * i + 3), slice(2 * j, 2 * j + 3))
        expected[window] += float(g[b, c, i, j]) * divide(padded[window], 9, mode, offset)
    assert_close(out, expected[:, :, 1:-1, 1:-1].float(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("size", "output"), [((7, 5), (3, 2)), ((9, 10), (1, 1))])
def test_adaptive_pool_divides_its_own_windows(
    size: tuple[int, int], output: tuple[int, int], device: torch.device
) -> None:
    h = maps((1, 2, *size), seed=2)
    g = torch.rand(1, 2, *output)
    out = avg_pool(h, g, device, kernel=None, mode="stat", offset=0)
    expected = torch.zeros(h.shape, dtype=torch.float64)
    for b, c, i, j in g.nonzero().tolist():
        rows = slice(i * size[0] // output[0], -(-(i + 1) * size[0] // output[0]))
        columns = slice(j * size[1] // output[1], -(-(j + 1) * size[1] // output[1]))
        window = h[b, c, rows, columns]
        expected[b, c, rows, columns] += float(g[b, c, i, j]) * divide(window, window.numel(), "stat", 0)
    assert_close(out, expected.float(), atol=1e-6, rtol=1e-5)


def test_windows_without_positive_cells_and_empty_lists_give_nothing(device: torch.device) -> None:
    h = -maps((1, 1, 4, 4)).abs()
    for mode in ("all", "stat", "top1"):
        out = avg_pool(h, torch.ones(1, 1, 2, 2), device, kernel=(2, 2), stride=(2, 2), mode=mode, offset=0)
        assert out.count_nonzero() == 0
    sides = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0), "dilation": (1, 1)}
    assert max_pool(h, torch.zeros(1, 1, 2, 2), device, **sides).count_nonzero() == 0


def test_repeated_runs_are_bitwise_equal(device: torch.device) -> None:
    h, g = maps((1, 2, 6, 6)), gating((1, 2, 6, 6))
    sides = {"kernel": (3, 3), "stride": (1, 1), "padding": (1, 1), "dilation": (1, 1)}
    assert torch.equal(max_pool(h, g, device, **sides), max_pool(h, g, device, **sides))


@pytest.mark.gpu
def test_registered_operators_equal_the_cpu_on_cuda() -> None:
    from dotally.ops.topdown import td_adaptive_avg_pool2d, td_avg_pool2d, td_max_pool2d

    h = maps((4, 64, 29, 30)) + torch.rand(4, 64, 29, 30)
    g = gating((4, 64, 14, 14), share=0.05)
    for device_free in (
        lambda h, g: td_max_pool2d(h, g, (3, 4), 2),
        lambda h, g: td_avg_pool2d(h, g, (3, 4), 2),
        lambda h, g: td_avg_pool2d(h, g, (3, 4), 2, mode="top1"),
        lambda h, g: td_adaptive_avg_pool2d(h, g, 14, mode="all"),
    ):
        assert_close(device_free(h.cuda(), g.cuda()).cpu(), device_free(h, g), atol=1e-5, rtol=1e-4)
