"""The host side of the top-down kernels, interpreted (or on a GPU): the same arguments and results as on the CPU."""

from contextlib import nullcontext

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from dotally.ops import topdown, topdown_cuda
from dotally.ops.topdown_statistics import DEFAULT_TABLE

TABLE = [value for row in DEFAULT_TABLE for value in row]


def draw(*shape: int, seed: int = 0, share: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(shape, generator=generator).relu() + 0.01
    return values * (torch.rand(shape, generator=generator) < share)


def test_convolution(device: torch.device) -> None:
    h, weight, g = draw(1, 4, 3, 4), draw(6, 2, 3, 3, seed=1) - 0.4, draw(1, 6, 2, 2, seed=2, share=0.2)
    out = topdown_cuda.td_conv2d_cuda(
        h.to(device), weight.to(device), g.to(device), [2, 2], [1, 1], [1, 1], 2, 0.2, 3e-4, 2e-4, False
    )
    assert_close(out.cpu(), topdown.td_conv2d(h, weight, g, stride=2, padding=1, groups=2), atol=1e-6, rtol=1e-5)


def test_linear_and_bridge(device: torch.device) -> None:
    h, weight, g = draw(2, 20), draw(3, 20, seed=1) - 0.4, draw(2, 3, seed=2, share=0.5)
    constants = ("stat", 3, TABLE, 1e-5, 1e-4)
    out = topdown_cuda.td_linear_cuda(h.to(device), weight.to(device), g.to(device), *constants, False)
    assert_close(out.cpu(), topdown.td_linear(h, weight, g), atol=1e-6, rtol=1e-5)
    gating, mass = draw(1, 20, share=0.4), torch.ones(1)
    constants = ("stat", 1, TABLE, 1e-5, 1e-4)
    out = topdown_cuda.td_bridge_cuda(gating.to(device), mass.to(device), *constants, True, False)
    assert_close(out.cpu(), topdown.td_bridge(gating, mass), atol=1e-6, rtol=1e-5)


def test_pools(device: torch.device) -> None:
    h, g = draw(1, 2, 6, 6), draw(1, 2, 3, 3, seed=1, share=0.3)
    on_device = h.to(device), g.to(device)
    out = topdown_cuda.td_max_pool2d_cuda(*on_device, [2, 2], [2, 2], [0, 0], [1, 1])
    assert_close(out.cpu(), topdown.td_max_pool2d(h, g, 2), atol=1e-6, rtol=1e-5)
    out = topdown_cuda.td_avg_pool2d_cuda(*on_device, [2, 2], [2, 2], [0, 0], "all", 0, False)
    assert_close(out.cpu(), topdown.td_avg_pool2d(h, g, 2), atol=1e-6, rtol=1e-5)
    out = topdown_cuda.td_adaptive_avg_pool2d_cuda(*on_device, "all", 0, False)
    assert_close(out.cpu(), topdown.td_adaptive_avg_pool2d(h, g, 3), atol=1e-6, rtol=1e-5)


def test_published_behaviour_records_and_large_windows_take_the_way_over_the_cpu(device: torch.device) -> None:
    h, weight, g = draw(1, 2, 12, 12), draw(3, 2, 3, 3, seed=1) - 0.3, draw(1, 3, 10, 10, seed=2, share=0.1)
    constants = ([1, 1], [0, 0], [1, 1], 1, 0.2, 3e-4, 2e-4)
    out = topdown_cuda.td_conv2d_cuda(h.to(device), weight.to(device), g.to(device), *constants, True)
    assert out.device.type == device.type
    assert torch.equal(out.cpu(), topdown.td_conv2d(h, weight, g, compat="release"))
    out, *record = topdown_cuda.td_conv2d_selection_cuda(
        h.to(device), weight.to(device), g.to(device), *constants, False
    )
    expected = topdown.td_conv2d(h, weight, g, return_selection=True)
    assert torch.equal(out.cpu(), expected[0])
    assert torch.equal(record[0].cpu(), expected[1].unit)
    h, g = draw(1, 3, 6, 6, seed=4), draw(1, 3, 3, 3, seed=1, share=0.5)
    out = topdown_cuda.td_max_pool2d_cuda(h.to(device), g.to(device), [2, 2], [2, 2], [0, 0], [1, 1], True)
    assert out.device.type == device.type
    assert torch.equal(out.cpu(), topdown.td_max_pool2d(h, g, 2, compat="release"))
    assert not torch.equal(out.cpu(), topdown.td_max_pool2d(h, g, 2))
    h = draw(1, 2, 12, 12)
    weight, g = draw(3, 2, 12, 12, seed=1) - 0.3, torch.ones(1, 3, 1, 1)
    out = topdown_cuda.td_conv2d_cuda(h.to(device), weight.to(device), g.to(device), *constants, False)
    assert torch.equal(out.cpu(), topdown.td_conv2d(h, weight, g))


@pytest.mark.parametrize("shape", [(0, 2, 4, 4), (1, 2, 4, 4)])
def test_nothing_to_do_gives_zeros(shape: tuple[int, ...], device: torch.device) -> None:
    h, g = torch.ones(shape, device=device), torch.zeros(shape[0], 2, 2, 2, device=device)
    out = topdown_cuda.td_max_pool2d_cuda(h, g, [2, 2], [2, 2], [0, 0], [1, 1])
    assert torch.equal(out, torch.zeros_like(h))
    flat, none = torch.ones(shape[0], 5, device=device), torch.zeros(shape[0], 3, device=device)
    constants = ("stat", 3, TABLE, 1e-5, 1e-4, False)
    out = topdown_cuda.td_linear_cuda(flat, torch.ones(3, 5, device=device), none, *constants)
    assert torch.equal(out, torch.zeros_like(flat))


def test_kernels_start_on_the_device_of_their_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(name: str) -> None:
        raise InterruptedError(name)

    current: list[int] = []
    monkeypatch.setattr(torch.cuda, "device", lambda index: current.append(index) or nullcontext())
    monkeypatch.setattr(topdown_cuda, "_module", start)
    h, geometry, rule = draw(1, 2, 2, 2), ([1, 1], [0, 0], [1, 1]), ("stat", 3, TABLE, 1e-5, 1e-4)
    for call in (
        lambda: topdown_cuda.td_conv2d_cuda(h, h, h, *geometry, 1, 0.2, 3e-4, 2e-4, False),
        lambda: topdown_cuda.td_linear_cuda(h, h, h, *rule, False),
        lambda: topdown_cuda.td_bridge_cuda(h, h, *rule, True, False),
        lambda: topdown_cuda.td_max_pool2d_cuda(h, h, [2, 2], *geometry),
        lambda: topdown_cuda.td_avg_pool2d_cuda(h, h, [2, 2], [2, 2], [0, 0], "all", 0, False),
        lambda: topdown_cuda.td_adaptive_avg_pool2d_cuda(h, h, "all", 0, False),
    ):
        with pytest.raises(InterruptedError):
            call()
    assert current == [h.get_device()] * 6


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there is one GPU")
def test_a_second_gpu_is_used_where_the_tensors_are() -> None:
    h, g = draw(1, 2, 6, 6), draw(1, 2, 3, 3, seed=1, share=0.3)
    out = topdown.td_max_pool2d(h.to("cuda:1"), g.to("cuda:1"), 2)
    assert_close(out.cpu(), topdown.td_max_pool2d(h, g, 2), atol=1e-6, rtol=1e-5)
