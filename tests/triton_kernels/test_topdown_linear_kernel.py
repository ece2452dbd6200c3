"""The kernel of top-down linear layers and of the bridge, interpreted (or on a GPU), against sorting in float64."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from triton_kernels import topdown_linear, topdown_theta, topdown_worklist

TABLE = [1.0, 3.0, 1.0, 2.0, 1.0, 1.0, 1.0, 0.0, 0.5, 0.0, 0.2, 0.0]
LOWER_BOUND, EPS = 1e-5, 1e-4

pytestmark = pytest.mark.usefixtures("poisoned_memory")


def oracle(p: np.ndarray, mode: str, offset: int, *, count_zeros: bool = False) -> tuple[np.ndarray, bool]:
    """Return each input's share by the definition, and whether rounding in float32 cannot change it."""
    p = p.astype(np.float32).astype(np.float64)
    ascending = np.sort(p)
    running = np.cumsum(ascending)
    band = 2e-6 * np.abs(p).sum()
    if running[-1] <= LOWER_BOUND:
        return np.zeros_like(p), LOWER_BOUND - running[-1] > band
    theta = ascending[np.argmax(running > 0)]
    wins = (p > 0) & (p >= theta - EPS)
    clear = bool((np.abs(running[ascending > 0]) > band).all() and running[-1] - LOWER_BOUND > band)
    clear &= bool((np.abs(p - (theta - EPS)) > 1e-6 * np.abs(p).max()).all())
    if mode == "top1":
        return np.eye(len(p))[np.argmax(p)], clear
    cut = -np.inf
    if mode == "stat":
        n = wins.sum() + (count_zeros and theta < EPS) * (p == 0).sum()
        mean = p[wins].sum() / n
        std = np.sqrt(((p[wins] - mean) ** 2).sum() / n)
        cuts = [m * mean + s * std for m, s in zip(TABLE[::2], TABLE[1::2], strict=True)]
        first = next(row for row, value in enumerate(cuts) if p.max() >= value)
        cut = cuts[min(first + offset, len(cuts) - 1)]
        clear &= all(abs(p.max() - value) > 1e-5 * p.max() for value in cuts)
        clear &= bool((np.abs(p - cut) > 1e-5 * np.abs(p).max()).all())
    kept = np.where(wins & (p >= cut), p, 0)
    return kept / kept.sum(), clear


def launch(h: Tensor, weight: Tensor | None, g: Tensor, device: torch.device, **rule: Any) -> Tensor:
    """Hand down through the kernel and hold worklist and workspace against what came out."""
    workspace = torch.zeros(h.numel(), dtype=torch.int64, device=device)
    rule = {"table": TABLE, "lower_bound": LOWER_BOUND, "eps": EPS, "workspace": workspace, "programs": 2, **rule}
    weight = None if weight is None else weight.to(device)
    below = topdown_linear.linear(h.to(device), weight, topdown_worklist.from_dense(g.to(device)), **rule)
    dense = topdown_worklist.to_dense(below).cpu()
    assert workspace.count_nonzero() == 0
    listed = below.cells[: int(below.count)].sort().values.cpu()
    assert torch.equal(listed.long(), dense.flatten().nonzero()[:, 0])
    return dense


def expected(h: Tensor, weight: Tensor, g: Tensor, mode: str, offset: int) -> Tensor:
    out = torch.zeros(h.shape, dtype=torch.float64)
    for place in map(tuple, g.nonzero().tolist()):
        b, o, *position = place
        p = (h[(b, slice(None), *position)] * weight[o].flatten()).numpy()
        share, clear = oracle(p, mode, offset)
        assert clear
        out[(b, slice(None), *position)] += float(g[place]) * torch.from_numpy(share)
    return out.float()


def only_clear(h: Tensor, weight: Tensor, g: Tensor, mode: str, offset: int) -> Tensor:
    g = g.clone()
    for b, o in g.nonzero().tolist():
        g[b, o] *= oracle((h[b] * weight[o]).numpy(), mode, offset)[1]
    return g


@pytest.mark.parametrize(("offset", "survivors"), [(0, 1), (2, 1), (3, 4)])
def test_worked_example_of_the_method(offset: int, survivors: int, device: torch.device) -> None:
    h = torch.tensor([[6, 1, 1, 1, -1.5]])
    out = launch(h, torch.ones(1, 5), torch.ones(1, 1), device, mode="stat", offset=offset)
    assert out.count_nonzero() == survivors
    assert_close(out[0, :survivors], h[0, :survivors] / h[0, :survivors].sum())


@pytest.mark.parametrize(("mode", "offset"), [("stat", 0), ("stat", 3), ("all", 0), ("top1", 0)])
def test_kernel_equals_the_definition(mode: str, offset: int, device: torch.device) -> None:
    generator = torch.Generator().manual_seed(1)
    h = torch.randn(2, 100, generator=generator).relu()
    weight = torch.randn(3, 100, generator=generator) + 0.1
    g = only_clear(h, weight, torch.rand(2, 3, generator=generator), mode, offset)
    assert g.count_nonzero() >= 3
    out = launch(h, weight, g, device, mode=mode, offset=offset)
    assert_close(out, expected(h, weight, g, mode, offset), atol=1e-6, rtol=1e-5)


def test_maps_follow_the_rule_at_every_position(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(2)
    h = (torch.randn(2, 30, 2, 3, generator=generator) * 3).round()
    weight = (torch.randn(4, 30, 1, 1, generator=generator) * 2).round()
    g = torch.zeros(2, 4, 2, 3)
    g.view(-1)[torch.randperm(48, generator=generator)[:6]] = 0.5
    out = launch(h, weight, g, device, mode="all", offset=0)
    assert_close(out, expected(h, weight, g, "all", 0), atol=1e-6, rtol=1e-5)


def test_products_read_again_on_every_pass_give_the_same(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(3)
    h, weight = torch.randn(1, 40, generator=generator), torch.randn(2, 40, generator=generator)
    runs = []
    for resident in (True, False):
        how = topdown_theta.Plan(block=16, blocks=3, warps=1, registers=128, resident=resident)
        monkeypatch.setattr(topdown_theta, "plan", lambda n, how=how: how)
        runs.append(launch(h, weight, torch.ones(1, 2), device, mode="stat", offset=3))
    assert torch.equal(*runs)


def test_equal_largest_products_give_everything_to_the_first(device: torch.device) -> None:
    h = torch.tensor([[0.0, 2, 1, 2, 2]])
    out = launch(h, torch.ones(1, 5), torch.ones(1, 1), device, mode="top1", offset=0)
    assert out.tolist() == [[0, 1, 0, 0, 0]]


def test_equal_products_all_survive_their_own_mean(device: torch.device) -> None:
    # a third of three times 0.1 may round above 0.1
    out = launch(torch.full((1, 7), 0.1), torch.ones(1, 7), torch.ones(1, 1), device, mode="stat", offset=0)
    assert_close(out, torch.full((1, 7), 1 / 7))


@pytest.mark.parametrize("scale", [1.0, 1000.0])
@pytest.mark.parametrize("count_zeros", [True, False])
def test_bridge_counts_zeros_only_below_eps(scale: float, count_zeros: bool, device: torch.device) -> None:
    generator = torch.Generator().manual_seed(4)
    g = torch.rand(2, 50, generator=generator) * (torch.rand(2, 50, generator=generator) < 0.3) * 1e-3 * scale
    g[:, 0] = 5e-5 * scale  # below eps where scale is 1
    mass = torch.tensor([1.0, 2.0])
    out = launch(g, None, mass, device, mode="stat", offset=1, count_zeros=count_zeros)
    for row, values, given in zip(out, g, mass, strict=True):
        share, clear = oracle(values.numpy(), "stat", 1, count_zeros=count_zeros)
        assert clear
        assert_close(row, given * torch.from_numpy(share).float())


def test_silent_units_and_overflowing_sums_give_nothing(device: torch.device) -> None:
    h = torch.tensor([[-1.0, 0.5, 0, 0], [3e38, 3e38, 1, 0]])
    out = launch(h, torch.ones(1, 4), torch.ones(2, 1), device, mode="stat", offset=3)
    assert out.count_nonzero() == 0


def test_repeated_runs_are_bitwise_equal(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(5)
    h, weight = torch.rand(1, 40, generator=generator), torch.rand(6, 40, generator=generator)
    g = torch.rand(1, 6, generator=generator)
    runs = [launch(h, weight, g, device, mode="all", offset=0, programs=n) for n in (1, 3)]
    assert torch.equal(*runs)


def test_masses_that_cancel_never_make_a_list_longer_than_its_map(device: torch.device) -> None:
    # the sum of the only cell passes 1, 0 and 1 again, so it is listed twice
    units = topdown_worklist.from_dense(torch.tensor([[1.0, -1, 1]], device=device))
    rule = {"mode": "all", "offset": 0, "table": TABLE, "lower_bound": LOWER_BOUND, "eps": EPS, "programs": 1}
    below = topdown_linear.linear(torch.ones(1, 1, device=device), torch.ones(3, 1, device=device), units, **rule)
    assert int(below.count) == below.capacity == 1
    assert topdown_worklist.to_dense(below).tolist() == [[1]]


@pytest.mark.gpu
@pytest.mark.parametrize("inputs", [40, 1024, 4096, 9216, 25088])
@pytest.mark.parametrize("mode", ["stat", "all", "top1"])
def test_registered_operators_equal_the_cpu_on_cuda(inputs: int, mode: str) -> None:
    from dotally.ops.topdown import td_bridge, td_linear

    generator = torch.Generator().manual_seed(6)
    h = (torch.randn(4, inputs, generator=generator) * 3).round().relu()
    weight = (torch.randn(64, inputs, generator=generator) * 2).round() + (torch.arange(64) % 3 == 0)[:, None]
    g = torch.rand(4, 64, generator=generator)
    arguments = {"mode": mode, "table": [(1.0, 0.37), (0.71, 0.0)], "offset": 1}  # cuts no whole number meets
    on_gpu = td_linear(h.cuda(), weight.cuda(), g.cuda(), **arguments)
    assert_close(on_gpu.cpu(), td_linear(h, weight, g, **arguments), atol=1e-5, rtol=1e-4)
    gating, mass = torch.rand(4, inputs, generator=generator).pow(8), torch.rand(4, generator=generator)
    on_gpu = td_bridge(gating.cuda(), mass.cuda(), mode=mode)
    assert_close(on_gpu.cpu(), td_bridge(gating, mass, mode=mode), atol=1e-5, rtol=1e-4)
