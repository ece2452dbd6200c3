"""The top-down rules of layers that join maps, and all rules one after another through a network."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from dotally.ops import (
    td_adaptive_avg_pool2d,
    td_add,
    td_avg_pool2d,
    td_bridge,
    td_concat,
    td_conv2d,
    td_linear,
    td_max_pool2d,
)


def test_concat_splits_by_channels() -> None:
    g = torch.rand(2, 6, 3, 4)
    parts = td_concat(g, [1, 3, 2])
    assert [part.shape[1] for part in parts] == [1, 3, 2]
    assert torch.equal(torch.cat(parts, dim=1), g)
    assert torch.equal(torch.cat(td_concat(g, [1, 3], dim=-1), dim=-1), g)


def test_concat_refuses_sizes_that_do_not_add_up() -> None:
    for sizes, dim in (([1, 3], 1), ([7, -1], 1), ([6], 4)):
        with pytest.raises(ValueError, match=r"do not add up.*\[2, 6, 3, 4\]"):
            td_concat(torch.rand(2, 6, 3, 4), sizes, dim)


def test_add_shares_by_the_positive_parts() -> None:
    a, b = torch.tensor([3.0, -1.0, 2.0, -1.0, 0.0]), torch.tensor([1.0, 5.0, -4.0, -2.0, 0.0])
    first, second = td_add(a, b, torch.full((5,), 4.0))
    assert first.tolist() == [3, 0, 4, 0, 0]
    assert second.tolist() == [1, 4, 0, 0, 0]


@pytest.mark.parametrize("scale", [1e-45, 1e-20, 1e20, 3e38])
def test_add_keeps_the_mass_at_any_scale(scale: float) -> None:
    g = torch.rand(100)
    first, second = td_add(torch.ones(100) * scale, torch.ones(100) * scale, g)
    assert_close(first, g / 2)
    assert_close(second, g / 2)


def test_add_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match=r"a \[2\], b \[3\] and g \[2\]"):
        td_add(torch.ones(2), torch.ones(3), torch.ones(2))


def small_network(seed: int) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Run a network of every kind of layer; return what entered each layer, and the weights."""
    generator = torch.Generator().manual_seed(seed)

    def he(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * (2 / torch.tensor(shape[1:]).prod()) ** 0.5

    weights = {"conv1": he(16, 3, 5, 5), "conv2": he(24, 16, 3, 3), "conv3": he(40, 24, 3, 3), "fc": he(10, 40)}
    inputs = {"conv1": torch.randn(3, 3, 32, 32, generator=generator)}
    inputs["pool"] = F.conv2d(inputs["conv1"], weights["conv1"], stride=2, padding=2).relu()
    inputs["conv2"] = F.max_pool2d(inputs["pool"], 3, 2)
    inputs["adaptive"] = F.conv2d(inputs["conv2"], weights["conv2"], padding=1).relu()
    inputs["conv3"] = F.adaptive_avg_pool2d(inputs["adaptive"], 3)
    inputs["fc"] = F.conv2d(inputs["conv3"], weights["conv3"]).relu().flatten(1)
    return inputs, weights


@pytest.mark.parametrize("compat", ["fixed", "release"])
def test_a_whole_pass_keeps_the_mass_of_every_picture(compat: Any) -> None:
    h, w = small_network(0)
    top = F.linear(h["fc"], w["fc"]).argmax(dim=1, keepdim=True)
    g = torch.zeros(3, 10).scatter_(1, top, 1.0)
    g = td_linear(h["fc"], w["fc"], g, compat=compat)
    g = td_bridge(g, torch.ones(3), compat=compat)[:, :, None, None]
    g = td_conv2d(h["conv3"], w["conv3"], g, compat=compat)
    g = td_adaptive_avg_pool2d(h["adaptive"], g, 3, compat=compat)
    g = td_conv2d(h["conv2"], w["conv2"], g, padding=1, compat=compat)
    g = td_max_pool2d(h["pool"], g, 3, 2, compat=compat)
    g = td_conv2d(h["conv1"], w["conv1"], g, stride=2, padding=2, compat=compat)
    assert_close(g.sum(dim=(1, 2, 3)), torch.ones(3), atol=1e-4, rtol=0)


def test_operators_compile_without_a_break() -> None:
    torch.compiler.reset()
    h, weight = torch.rand(1, 2, 6, 6), torch.randn(3, 2, 3, 3)

    def walk(h: torch.Tensor, weight: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        return td_avg_pool2d(h.repeat_interleave(2, 2).repeat_interleave(2, 3), td_conv2d(h, weight, g), 2)

    g = torch.rand(1, 3, 4, 4)
    compiled = torch.compile(walk, backend="eager", fullgraph=True)
    assert torch.equal(compiled(h, weight, g), walk(h, weight, g))
