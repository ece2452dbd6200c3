"""The top-down rules of pools: max pooling is its own gradient, averages share in proportion to their inputs."""

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from dotally.ops import td_adaptive_avg_pool2d, td_avg_pool2d, td_max_pool2d, topdown_threshold

ORACLE = runpy.run_path(str(Path(__file__).with_name("topdown_oracle.py")))
TABLE = ORACLE["TABLE"]

POOLS: list[dict[str, Any]] = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True},
    {"kernel_size": (7, 1), "stride": (1, 2), "padding": (3, 0)},
]


def picture(seed: int = 0, size: tuple[int, int] = (8, 11)) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, *size, generator=generator)


def sparse(shape: torch.Size | tuple[int, ...], seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator) * (torch.rand(shape, generator=generator) < 0.6)


def windows(h: Tensor, **pool: Any) -> Tensor:
    """Return ``[B, C, H', W', cells]`` values, zero outside the map, cut out by loops."""
    top = F.avg_pool2d(h, **pool)
    kh, kw = pool["kernel_size"] if isinstance(pool["kernel_size"], tuple) else (pool["kernel_size"],) * 2
    stride, padding = pool.get("stride", (kh, kw)), pool.get("padding", 0)
    (sh, sw), (ph, pw) = (value if isinstance(value, tuple) else (value, value) for value in (stride, padding))
    padded = F.pad(h.double(), (pw, pw + kw * sw, ph, ph + kh * sh))
    rows = [
        [padded[:, :, y * sh : y * sh + kh, x * sw : x * sw + kw].flatten(2) for x in range(top.shape[3])]
        for y in range(top.shape[2])
    ]
    return torch.stack([torch.stack(row, dim=2) for row in rows], dim=2)


@pytest.mark.parametrize("pool", [*POOLS, {"kernel_size": 2, "dilation": (2, 3)}])
@pytest.mark.parametrize("ties", [False, True])
def test_max_pool_equals_the_gradient_of_max_pooling(pool: dict[str, Any], ties: bool) -> None:
    h = picture().requires_grad_()
    if ties:
        h = picture().round().relu().requires_grad_()
    top = F.max_pool2d(h, **pool)
    g = sparse(top.shape)
    (expected,) = torch.autograd.grad(top, h, g)
    assert_close(td_max_pool2d(h, g, **pool), expected)
    if pool["kernel_size"] != 2:
        assert torch.equal(td_max_pool2d(h, g, **pool, compat="release"), td_max_pool2d(h, g, **pool))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6, 7, 8, 12])
@pytest.mark.parametrize("stride", [2, 1])
def test_published_maximum_of_four_is_its_reduction(channels: int, stride: int) -> None:
    generator = torch.Generator().manual_seed(channels)
    h = torch.randint(0, 4, (2, channels, 6, 4), generator=generator).float()
    g = sparse(F.max_pool2d(h, 2, stride).shape)
    expected = torch.zeros_like(h)
    for b, c, y, x in g.nonzero().tolist():
        window = h[b, c, y * stride : y * stride + 2, x * stride : x * stride + 2].flatten().tolist()
        place = ORACLE["published_max_of_four"](window, channels)
        expected[b, c, y * stride + place // 2, x * stride + place % 2] += g[b, c, y, x]
    published, ours = td_max_pool2d(h, g, 2, stride, compat="release"), td_max_pool2d(h, g, 2, stride)
    assert_close(published, expected)
    assert_close(published.sum(), g.sum())
    # every cell is looked at where the steps pass 2 and 1
    assert torch.equal(published, ours) == (channels in (4, 5, 8))


def test_a_published_maximum_outside_the_map_is_lost() -> None:
    h, g = torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    assert td_max_pool2d(h, g, 2, padding=1, compat="release").tolist() == [[[[0, 0], [0, 1]]]]
    assert td_max_pool2d(h, g, 2, padding=1).tolist() == [[[[1, 1], [1, 1]]]]


@pytest.mark.parametrize("pool", POOLS)
def test_average_shares_in_proportion_to_the_positive_inputs(pool: dict[str, Any]) -> None:
    h = picture().relu()
    g = sparse(F.avg_pool2d(h, **pool).shape)
    total = windows(h, **pool).sum(dim=-1)
    weight = torch.where(total > 0, g / total, 0)
    # each input receives its value times the gating per unit of value of every window it lies in
    probe = h.double().requires_grad_()
    (per_value,) = torch.autograd.grad((windows_graph(probe, **pool) * weight).sum(), probe)
    out = td_avg_pool2d(h, g, **pool)
    assert_close(out.double(), h.double() * per_value, atol=1e-6, rtol=1e-5)
    assert_close(out.sum(), g[total > 0].sum())
    assert torch.equal(td_avg_pool2d(h - 1e-30 * (h == 0), g, **pool), out)


def windows_graph(h: Tensor, **pool: Any) -> Tensor:
    return windows(h, **pool).sum(dim=-1)


@pytest.mark.parametrize("offset", [0, 2, 5])
def test_statistical_average_equals_the_rule_written_out(offset: int) -> None:
    h = torch.tensor([[9, 1, 0.1, 2], [1, 0, 3, 1], [2, 0, 1, 0], [0, 1, 1, 8.0]])[None, None]
    out = td_avg_pool2d(h, torch.ones(1, 1, 1, 1), 4, mode="stat", offset=offset)
    mean, std = h.mean(), h.std(correction=0)
    cuts = [m * mean + s * std for m, s in TABLE]
    row = next(i for i, cut in enumerate(cuts) if h.max() >= cut)
    kept = torch.where(h >= cuts[min(5, row + offset)], h, 0)
    assert 0 < kept.count_nonzero() < h.count_nonzero()
    assert_close(out, kept / kept.sum())


def test_top_one_of_an_average_is_its_maximum() -> None:
    h = picture().relu() + 0.1
    g = sparse((2, 3, 4, 5))
    assert_close(td_avg_pool2d(h, g, 2, mode="top1"), td_max_pool2d(h, g, 2))


@pytest.mark.parametrize("mode", ["all", "stat", "top1"])
def test_dead_windows_pass_nothing_on_unless_as_published(mode: Any) -> None:
    h, g = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 1, 1)
    assert not td_avg_pool2d(h, g, 2, mode=mode).any()
    assert not td_avg_pool2d(h - 1, g, 2, mode=mode).any()
    assert not td_adaptive_avg_pool2d(h, g, 1, mode=mode).any()
    if mode == "all":
        assert torch.isnan(td_avg_pool2d(h, g, 2, mode=mode, compat="release")).all()


@pytest.mark.parametrize("output", [(8, 11), (1, 1), (4, 3), (5, 7), (10, 20)])
@pytest.mark.parametrize("mode", ["all", "stat"])
def test_adaptive_average_equals_its_windows_one_by_one(output: tuple[int, int], mode: Any) -> None:
    h, g = picture().relu(), sparse((2, 3, *output))
    expected = torch.zeros_like(h)
    for y in range(output[0]):
        for x in range(output[1]):
            rows = slice(y * 8 // output[0], -(-(y + 1) * 8 // output[0]))
            columns = slice(x * 11 // output[1], -(-(x + 1) * 11 // output[1]))
            window = h[:, :, rows, columns]
            expected[:, :, rows, columns] += td_avg_pool2d(
                window.contiguous(), g[:, :, y : y + 1, x : x + 1], tuple(window.shape[2:]), mode=mode
            )
    assert_close(td_adaptive_avg_pool2d(h, g, output, mode=mode), expected)


def test_adaptive_average_of_equal_size_is_the_identity() -> None:
    h, g = picture().abs() + 0.1, sparse((2, 3, 8, 11))
    assert_close(td_adaptive_avg_pool2d(h, g, (8, 11)), g)


def test_results_do_not_depend_on_chunks_or_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    h, g = picture().relu(), sparse((2, 3, 4, 5))
    expected = td_avg_pool2d(h, g, 2), td_max_pool2d(h, g, 2)
    alone = torch.cat([td_avg_pool2d(h[i : i + 1], g[i : i + 1], 2) for i in (0, 1)])
    assert torch.equal(alone, expected[0])
    monkeypatch.setattr(topdown_threshold, "CHUNK", 1)
    assert torch.equal(td_avg_pool2d(h, g, 2), expected[0])
    assert torch.equal(td_max_pool2d(h, g, 2), expected[1])


def test_half_precision_and_strided_memory() -> None:
    h, g = picture().to(torch.bfloat16), sparse((2, 3, 4, 5))
    out = td_max_pool2d(h, g.to(torch.bfloat16), 2)
    assert out.dtype == torch.float32
    assert torch.equal(out, td_max_pool2d(h.float(), g.to(torch.bfloat16).float(), 2))
    last = h.float().contiguous(memory_format=torch.channels_last)
    assert torch.equal(td_max_pool2d(last, g.to(torch.bfloat16), 2), out)


def test_no_gating_and_no_pictures() -> None:
    h = picture()
    for pool in (td_max_pool2d, td_avg_pool2d):
        assert not pool(h, torch.zeros(2, 3, 4, 5), 2).any()
        assert pool(h[:0], torch.zeros(0, 3, 4, 5), 2).shape == (0, 3, 8, 11)


@pytest.mark.parametrize(
    ("shape", "pool", "message"),
    [
        ((2, 3, 4, 6), {"kernel_size": 2}, r"g has shape \[2, 3, 4, 6\].*h \[2, 3, 8, 11\].*gives \[2, 3, 4, 5\]"),
        ((1, 3, 4, 5), {"kernel_size": 2}, r"g \[1, 3, 4, 5\].*h \[2, 3, 8, 11\]"),
        ((2, 3, 4, 5), {"kernel_size": 2, "padding": 2}, "at most half"),
        ((2, 3, 4, 5), {"kernel_size": 0}, "kernel_size"),
        ((2, 3, 4, 5), {"kernel_size": 2, "compat": "exact"}, "'fixed' or 'release'"),
    ],
)
def test_what_does_not_fit_is_refused(shape: tuple[int, ...], pool: dict[str, Any], message: str) -> None:
    for operator in (td_max_pool2d, td_avg_pool2d):
        with pytest.raises(ValueError, match=message):
            operator(picture(), torch.zeros(shape), **pool)


def test_adaptive_refuses_another_size() -> None:
    with pytest.raises(ValueError, match=r"g has shape \[2, 3, 4, 6\].*\[2, 3, 8, 11\]"):
        td_adaptive_avg_pool2d(picture(), torch.zeros(2, 3, 4, 6), (4, 5))


def test_operators_are_registered_properly() -> None:
    h, g = picture(), sparse((2, 3, 4, 11))
    ops = torch.ops.dotally
    torch.library.opcheck(ops.td_max_pool2d.default, (h, g, [2, 1], [2, 1], [0, 0], [1, 1]))
    torch.library.opcheck(ops.td_max_pool2d.default, (h, g, [2, 1], [2, 1], [0, 0], [1, 1], True))
    torch.library.opcheck(ops.td_avg_pool2d.default, (h, g, [2, 1], [2, 1], [0, 0], "all", 0, False))
    torch.library.opcheck(ops.td_adaptive_avg_pool2d.default, (h, g, "stat", 1, False))
