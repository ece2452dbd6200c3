"""``grad_mode="dau"``: the published backward pass, ported unit by unit, and where it is not the gradient."""

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dotally.ops import gaussian_conv2d

SIGMA = 0.5
WINDOW: dict[str, Any] = {"max_offset": 2.0, "max_sigma": 0.75, "shift": "bilinear"}
RADIUS = 3  # ceil(5 sigma) as published, ceil(4 max_sigma) here


def derivative_kernels() -> dict[str, Tensor]:
    """The surrogate DAU-ConvNet computes: D_w, D_mu1, D_mu2, D_sigma on one window."""
    grid = torch.arange(-RADIUS, RADIUS + 1).double()
    v, u = torch.meshgrid(grid, grid, indexing="ij")
    g = torch.exp(-(u**2 + v**2) / (2 * SIGMA**2))
    g = g / g.sum()
    factors = {"x": u / SIGMA**2, "y": v / SIGMA**2, "sigma": (u**2 + v**2) / SIGMA**3}
    return {"w": g} | {name: g * (factor - (g * factor).sum()) for name, factor in factors.items()}


def blurred(plane: Tensor, kernel: Tensor) -> Tensor:
    return F.conv2d(plane[None, None], kernel[None, None], padding=RADIUS)[0, 0]


def sampled(plane: Tensor, mu: Tensor, sign: int = 1) -> Tensor:
    """Return the plane read at ``p + mu`` (sign 1), or spread back to there (sign -1); zero outside."""
    height, width = plane.shape
    padded, total = F.pad(plane, [4] * 4), torch.zeros_like(plane)
    left, top = (int(value) for value in mu.floor())
    a, b = (mu - mu.floor()).tolist()
    for dy, dx in itertools.product((0, 1), (0, 1)):
        y, x = 4 + sign * (top + dy), 4 + sign * (left + dx)
        total += (b if dy else 1 - b) * (a if dx else 1 - a) * padded[y : y + height, x : x + width]
    return total


def published(x: Tensor, weight: Tensor, mu: Tensor, upstream: Tensor) -> tuple[Tensor, ...]:
    kernels, by_sigma = derivative_kernels(), torch.zeros((), dtype=torch.float64)
    by_x, by_weight, by_mu = torch.zeros_like(x), torch.zeros_like(weight), torch.zeros_like(mu)
    for f, s, g in itertools.product(*map(range, weight.shape)):
        inner = {n: (sampled(blurred(x[0, s], k), mu[f, s, g]) * upstream[0, f]).sum() for n, k in kernels.items()}
        by_weight[f, s, g] = inner["w"]
        by_mu[f, s, g] = weight[f, s, g] * torch.stack([inner["x"], inner["y"]])
        by_sigma += weight[f, s, g] * inner["sigma"]
        by_x[0, s] += weight[f, s, g] * sampled(blurred(upstream[0, f], kernels["w"]), mu[f, s, g], sign=-1)
    return by_x, by_weight, by_mu, by_sigma


def tensors(sharing: str) -> tuple[Tensor, ...]:
    torch.manual_seed(0)
    lead = {"layer": (2,), "in": (2, 2), "pair": (3, 2, 2)}[sharing]
    x = F.pad(torch.randn(1, 2, 6, 7, dtype=torch.float64), [RADIUS] * 4)  # so that cropping the blur loses nothing
    weight, mu = torch.randn(3, 2, 2, dtype=torch.float64), torch.rand(*lead, 2, dtype=torch.float64) * 4 - 2
    return tuple(t.requires_grad_() for t in (x, weight, mu, torch.tensor(SIGMA, dtype=torch.float64)))


@pytest.mark.parametrize(
    ("sharing", "execution"), [("pair", "dense"), ("in", "bank"), ("layer", "bank"), ("layer", "dense")]
)
def test_it_is_the_published_backward_pass(sharing: str, execution: Any) -> None:
    leaves = tensors(sharing)
    y = gaussian_conv2d(*leaves, grad_mode="dau", execution=execution, **WINDOW)
    upstream = torch.randn_like(y)
    ours = torch.autograd.grad(y, leaves, upstream)
    x, weight, mu, _ = (leaf.detach() for leaf in leaves)
    theirs = list(published(x, weight, mu.expand(3, 2, 2, 2), upstream))
    theirs[2] = theirs[2].sum_to_size(mu.shape)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_it_differs_from_the_gradient_in_the_displacements_and_at_the_borders_only() -> None:
    torch.manual_seed(0)
    leaves = [torch.randn(1, 8, 32, 32), torch.randn(8, 8, 4), torch.rand(8, 8, 4, 2) * 4 - 2, torch.tensor(SIGMA)]
    leaves = [leaf.double().requires_grad_() for leaf in leaves]
    upstream = torch.randn(1, 8, 32, 32).double()
    modes: tuple[Any, ...] = ("dau", "exact")
    values = [gaussian_conv2d(*leaves, grad_mode=mode, **WINDOW) for mode in modes]
    torch.testing.assert_close(*values)
    dau, exact = (torch.autograd.grad(y, leaves, upstream) for y in values)
    for same in (1, 3):  # weight and sigma
        torch.testing.assert_close(dau[same], exact[same])
    inside = slice(6, -6)
    torch.testing.assert_close(dau[0][..., inside, inside], exact[0][..., inside, inside])
    # 4 % at sigma 0.5 on a 32 x 32 map with displacements up to 4; less with 2
    assert 0.005 < float((dau[0] - exact[0]).norm() / exact[0].norm()) < 0.05
    # on white noise, the same table: 0.74 and a cosine of 0.71
    assert float((dau[2] - exact[2]).norm() / exact[2].norm()) == pytest.approx(0.74, abs=0.05)
    assert float(F.cosine_similarity(dau[2].flatten(), exact[2].flatten(), dim=0)) == pytest.approx(0.71, abs=0.05)


def test_widths_of_their_own_work_where_planes_are_mixed_and_are_refused_by_pair() -> None:
    x, weight, mu, _ = tensors("layer")
    sigma = torch.full((2,), SIGMA, dtype=torch.float64, requires_grad=True)
    one = torch.tensor(SIGMA, dtype=torch.float64)
    ours, theirs = (
        torch.autograd.grad(
            gaussian_conv2d(x, weight, mu, s, grad_mode="dau", **WINDOW).square().sum(), (x, weight, mu)
        )
        for s in (sigma, one)
    )
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)
    with pytest.raises(ValueError, match="needs a scalar sigma"):
        gaussian_conv2d(x, weight, mu.expand(3, 2, 2, 2), sigma.expand(3, 2, 2), grad_mode="dau", **WINDOW)
