"""The kernels of top-down convolutions, interpreted (or on a GPU), against sorting and searching in float64."""

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.testing import assert_close

from triton_kernels import topdown_board, topdown_conv, topdown_theta, topdown_worklist

Doubles = NDArray[np.float64]
ALPHA, LOWER_BOUND, EPS = 0.2, 3e-4, 2e-4

pytestmark = pytest.mark.usefixtures("poisoned_memory")


class Unit(NamedTuple):
    """What the definition says about one unit; ``clear`` where rounding in float32 cannot change it."""

    theta: float
    channel: int
    cells: list[tuple[int, int]]
    total: float
    share: dict[tuple[int, int], float]
    clear: bool


class Layer(NamedTuple):
    h: Tensor
    weight: Tensor
    g: Tensor
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


def oracle(layer: Layer, b: int, o: int, row: int, column: int) -> Unit:
    """Sort, cancel, search groups, weigh: the method's definition for one unit."""
    (p_y, p_x), (d_y, d_x) = layer.padding, layer.dilation
    per, k_y, k_x = layer.weight.shape[1:]
    first = o // (len(layer.weight) // layer.groups) * per
    padded = np.pad(layer.h[b, first : first + per].double().numpy(), ((0, 0), (p_y, p_y), (p_x, p_x)))
    top, left = row * layer.stride[0], column * layer.stride[1]
    window = padded[:, top : top + d_y * (k_y - 1) + 1 : d_y, left : left + d_x * (k_x - 1) + 1 : d_x]
    # each product is rounded as float32 rounds it; everything after is exact enough
    p = (window * layer.weight[o].double().numpy()).astype(np.float32).astype(np.float64)
    ascending = np.sort(p.ravel())
    running = np.cumsum(ascending)
    band = 2e-6 * np.abs(p).sum()
    if running[-1] <= LOWER_BOUND:
        return Unit(0.0, -1, [], 0.0, {}, LOWER_BOUND - running[-1] > band)
    theta = ascending[np.argmax(running > 0)]
    positive = ascending > 0
    clear = bool((np.abs(running[positive]) > band).all() and running[-1] - LOWER_BOUND > band)
    clear &= bool((np.abs(p - (theta - EPS)) > 1e-6 * np.abs(p).max()).all())
    found = [
        (p[c, ys, xs].sum() + (1 - ALPHA) / ALPHA * len(ys), -c, cells)
        for c in range(per)
        for cells in groups_of((p[c] > 0) & (p[c] >= theta - EPS))
        for ys, xs in [np.array(cells).T]
    ]
    ranked = sorted(found, key=lambda group: (-group[0], -group[1], group[2][0]))
    score, channel, cells = ranked[0]
    clear &= len(ranked) == 1 or score - ranked[1][0] > 1e-5 * score
    total = sum(p[-channel, y, x] for y, x in cells)
    share = {(y, x): p[-channel, y, x] / total for y, x in cells}
    return Unit(theta, first - channel, cells, total, share, clear)


def groups_of(winners: NDArray[np.bool_]) -> list[list[tuple[int, int]]]:
    """Return the 8-connected groups, each in raster order, in the order of their first cells."""
    left = {(int(y), int(x)) for y, x in np.argwhere(winners)}
    groups = []
    while left:
        front = [min(left)]
        group = set(front)
        while front:
            y, x = front.pop()
            near = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left - group
            group |= near
            front += near
        left -= group
        groups.append(sorted(group))
    return groups


def expected_gating(layer: Layer, units: dict[tuple[int, ...], Unit]) -> Tensor:
    out = torch.zeros(layer.h.shape, dtype=torch.float64)
    for place, unit in units.items():
        b, _, row, column = place
        for (y, x), share in unit.share.items():
            i_y = row * layer.stride[0] - layer.padding[0] + y * layer.dilation[0]
            i_x = column * layer.stride[1] - layer.padding[1] + x * layer.dilation[1]
            out[b, unit.channel, i_y, i_x] += float(layer.g[place]) * share
    return out.float()


def make_layer(
    kernel: tuple[int, int],
    *,
    whole: bool,
    shape: tuple[int, int, int, int] = (2, 4, 7, 6),
    outputs: int = 4,
    groups: int = 1,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    active: int = 8,
    seed: int = 0,
) -> Layer:
    """A layer with a few active units; whole numbers, so that every sum is exact, or floats."""
    generator = torch.Generator().manual_seed(seed)
    h = torch.randn(shape, generator=generator).relu()
    weight = torch.randn(outputs, shape[1] // groups, *kernel, generator=generator) + 0.1
    if whole:
        h, weight = (h * 3).round(), (weight * 2).round()
    size = torch.nn.functional.conv2d(h, weight, None, stride, padding, dilation, groups).shape
    g = torch.zeros(size)
    place = torch.randperm(g.numel(), generator=generator)[:active]
    g.view(-1)[place] = torch.rand(len(place), generator=generator) + 0.01
    return Layer(h, weight, g, stride, padding, dilation, groups)


def pass_down(layer: Layer, device: torch.device, **options: Any) -> tuple[topdown_worklist.Worklist, ...]:
    units = topdown_worklist.from_dense(layer.g.to(device))
    below, chosen = topdown_conv.conv2d(
        layer.h.to(device),
        layer.weight.to(device),
        units,
        **{"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation, "groups": layer.groups},
        **{"alpha": ALPHA, "lower_bound": LOWER_BOUND, "eps": EPS, "programs": 2, **options},
    )
    return units, below, chosen


def check(layer: Layer, device: torch.device) -> None:
    """Hold gating, records, worklist and workspace against the definition; unclear units must be none."""
    units = {place: oracle(layer, *place) for place in map(tuple, layer.g.nonzero().tolist())}
    workspace = torch.zeros(layer.h.numel() + 5, dtype=torch.int64, device=device)
    above, below, chosen = pass_down(layer, device, record=True, workspace=workspace)
    dense = topdown_worklist.to_dense(below).cpu()
    assert_close(dense, expected_gating(layer, units), atol=1e-6, rtol=1e-5)
    assert workspace.count_nonzero() == 0
    listed = below.cells[: int(below.count)].sort().values.cpu()
    assert torch.equal(listed.long(), dense.flatten().nonzero()[:, 0])
    assert int(above.count) == len(units)
    for i, cell in enumerate(above.cells[: len(units)].tolist()):
        unit = units[tuple(int(axis) for axis in np.unravel_index(cell, layer.g.shape))]
        assert chosen.theta[i] == unit.theta
        channel, low, high, bits = chosen.group[i].tolist()
        mask = sum(1 << (y * layer.weight.shape[3] + x) for y, x in unit.cells)
        assert (channel, low | high << chosen.bits) == (unit.channel, mask)
        assert np.int32(bits).view(np.float32) == pytest.approx(unit.total, rel=1e-6)


def only_clear(layer: Layer) -> Layer:
    """Take out the units on which float32 may rightly differ from float64."""
    g = layer.g.clone()
    for place in map(tuple, g.nonzero().tolist()):
        if not oracle(layer, *place).clear:
            g[place] = 0
    assert g.count_nonzero() * 2 > layer.g.count_nonzero()
    return layer._replace(g=g)


def test_worked_example_of_the_method(device: torch.device) -> None:
    h = torch.tensor([[0.5, 2, -1], [0, 0.7, 3], [0, 0, 0]])[None, None]
    layer = Layer(h, torch.ones(1, 1, 3, 3), torch.ones(1, 1, 1, 1), (1, 1), (0, 0), (1, 1), 1)
    _, below, chosen = pass_down(layer, device)
    expected = torch.tensor([[0, 2, 0], [0, 0.7, 3], [0, 0, 0]]) / 5.7
    assert_close(topdown_worklist.to_dense(below)[0, 0].cpu(), expected)
    assert chosen.theta[0] == 0.7


def test_whole_numbers_give_exactly_the_definition(device: torch.device) -> None:
    check(make_layer((3, 3), whole=True), device)


def test_two_word_boards_of_a_first_layer(device: torch.device) -> None:
    layer = make_layer((11, 11), whole=True, shape=(1, 3, 15, 16), padding=(2, 2), stride=(4, 4), active=3)
    check(layer, device)


def test_groups_strides_dilation_and_rectangles(device: torch.device) -> None:
    layer = make_layer(
        (2, 3), whole=True, groups=2, shape=(2, 4, 8, 9), stride=(2, 1), padding=(0, 2), dilation=(1, 2), active=5
    )
    check(layer, device)


def test_floats_beside_the_rounding_band(device: torch.device) -> None:
    check(only_clear(make_layer((3, 3), whole=False, active=6)), device)


def test_ties_go_to_the_lowest_channel_and_the_first_cell(device: torch.device) -> None:
    h = torch.zeros(1, 3, 5, 5)
    h[0, 1:, 0, 0] = 1
    h[0, 1:, 4, 4] = 1
    layer = Layer(h, torch.ones(1, 3, 5, 5), torch.ones(1, 1, 1, 1), (1, 1), (0, 0), (1, 1), 1)
    dense = topdown_worklist.to_dense(pass_down(layer, device)[1])
    assert dense.nonzero().tolist() == [[0, 1, 0, 0]]


def test_a_snake_through_the_whole_window_is_one_group(device: torch.device) -> None:
    # the longest way through an 8-connected group, across both words of its board
    h = torch.zeros(1, 1, 9, 7)
    h[0, 0, ::2] = 1
    h[0, 0, 1::4, -1] = 1
    h[0, 0, 3::4, 0] = 1
    layer = Layer(h, torch.ones(1, 1, 9, 7), torch.ones(1, 1, 1, 1), (1, 1), (0, 0), (1, 1), 1)
    dense = topdown_worklist.to_dense(pass_down(layer, device)[1])
    assert_close(dense.cpu(), h / h.sum())


@pytest.mark.slow
def test_thirty_six_lonely_cells_stay_apart(device: torch.device) -> None:
    h = torch.zeros(1, 1, 11, 11)
    h[0, 0, ::2, ::2] = 1
    h[0, 0, 10, 10] = 2
    layer = Layer(h, torch.ones(1, 1, 11, 11), torch.ones(1, 1, 1, 1), (1, 1), (0, 0), (1, 1), 1)
    dense = topdown_worklist.to_dense(pass_down(layer, device, eps=2.0)[1])
    assert dense.nonzero().tolist() == [[0, 0, 10, 10]]


def test_units_without_net_input_and_empty_lists_give_nothing(device: torch.device) -> None:
    layer = make_layer((3, 3), whole=True, active=2)
    for silent in (layer._replace(weight=-layer.weight.abs()), layer._replace(g=torch.zeros_like(layer.g))):
        _, below, _ = pass_down(silent, device)
        assert int(below.count) == 0
        assert topdown_worklist.to_dense(below).count_nonzero() == 0


def test_repeated_runs_are_bitwise_equal_whatever_the_number_of_programs(device: torch.device) -> None:
    layer = make_layer((3, 3), whole=False, shape=(1, 2, 3, 3), active=4)
    layer = layer._replace(weight=layer.weight.abs())  # everything alive: many units add to the same cells
    runs = [topdown_worklist.to_dense(pass_down(layer, device, programs=n)[1]) for n in (1, 3)]
    assert torch.equal(*runs)
    assert_close(runs[0].sum(), layer.g.to(device).sum(), atol=1e-5, rtol=0)


def test_a_pass_over_layers_shares_one_workspace(device: torch.device) -> None:
    upper = make_layer((3, 3), whole=False, shape=(1, 3, 3, 3), outputs=2, active=1)
    upper = upper._replace(weight=upper.weight.abs())
    lower = make_layer((3, 3), whole=False, shape=(1, 2, 3, 3), outputs=3, active=1, seed=1)
    lower = lower._replace(weight=lower.weight.abs())
    workspace = torch.zeros(64, dtype=torch.int64, device=device)
    _, middle, _ = pass_down(upper, device, workspace=workspace)
    geometry = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    constants = {"alpha": ALPHA, "lower_bound": LOWER_BOUND, "eps": EPS, "workspace": workspace, "programs": 1}
    chained, _ = topdown_conv.conv2d(lower.h.to(device), lower.weight.to(device), middle, **geometry, **constants)
    again = pass_down(lower._replace(g=topdown_worklist.to_dense(middle).cpu()), device)[1]
    assert torch.equal(topdown_worklist.to_dense(chained), topdown_worklist.to_dense(again))
    assert workspace.count_nonzero() == 0


def test_a_window_beyond_two_words_and_a_small_workspace_are_refused(device: torch.device) -> None:
    with pytest.raises(ValueError, match="exceeds 124 bits"):
        topdown_board.board((12, 11))
    layer = make_layer((3, 3), whole=True, active=1)
    with pytest.raises(ValueError, match="int64 zeros"):
        pass_down(layer, device, workspace=torch.zeros(3, dtype=torch.int64, device=device))


@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        ((1, 1), {"padding": (0, 0), "shape": (2, 33, 4, 4)}),
        ((3, 3), {"shape": (1, 70, 5, 5), "active": 6}),
        ((3, 3), {"groups": 4}),
        ((5, 5), {"padding": (2, 2)}),
        ((6, 6), {"padding": (0, 0), "shape": (2, 40, 6, 6)}),
        ((7, 7), {"padding": (3, 3), "dilation": (2, 1), "shape": (1, 3, 13, 8)}),
        ((8, 8), {"padding": (4, 4), "shape": (1, 3, 9, 9)}),
        ((11, 11), {"padding": (2, 2), "stride": (4, 4), "shape": (2, 3, 20, 19), "active": 20}),
    ],
)
def test_all_kernel_sizes(kernel: tuple[int, int], options: dict[str, Any], whole: bool, device: torch.device) -> None:
    layer = make_layer(kernel, whole=whole, **options)
    check(layer if whole else only_clear(layer), device)


@pytest.mark.slow
def test_units_too_large_for_registers_read_again(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = make_layer((3, 3), whole=True)
    for resident in (True, False):
        how = topdown_theta.Plan(block=16, blocks=3, warps=1, registers=128, resident=resident)
        monkeypatch.setattr(topdown_theta, "plan", lambda n, how=how: how)
        check(layer, device)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels_last", [False, True])
def test_registered_operator_equals_the_cpu_on_cuda(dtype: torch.dtype, channels_last: bool) -> None:
    from dotally.ops.topdown import td_conv2d

    for kernel, shape in (((3, 3), (2, 512, 14, 14)), ((11, 11), (2, 3, 64, 64)), ((7, 7), (1, 512, 7, 7))):
        layer = make_layer(kernel, whole=True, shape=shape, outputs=64, padding=(0, 0), active=500)
        h, weight = layer.h.to(dtype), layer.weight.to(dtype)
        on_gpu = h.cuda().to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
        result = td_conv2d(on_gpu, weight.cuda(), layer.g.cuda())
        assert_close(result.cpu(), td_conv2d(h, weight, layer.g), atol=1e-6, rtol=1e-5)
        assert torch.equal(result, td_conv2d(on_gpu, weight.cuda(), layer.g.cuda()))


@pytest.mark.gpu
def test_a_pass_is_captured_in_a_cuda_graph() -> None:
    from dotally.ops.topdown import td_conv2d

    layer = make_layer((3, 3), whole=True, shape=(2, 64, 14, 14), outputs=64, active=200)
    h, weight, g = layer.h.cuda(), layer.weight.cuda(), layer.g.cuda()
    expected = td_conv2d(h, weight, g, padding=1)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = td_conv2d(h, weight, g, padding=1)
    for _ in range(2):
        graph.replay()
        assert torch.equal(captured, expected)
