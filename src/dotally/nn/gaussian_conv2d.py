"""A convolution whose filters are sums of a few Gaussians, each with a weight, a displacement and a width."""

import functools
import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from typing_extensions import override

from dotally.nn.gaussian_init import JITTER, grid_offsets, spread_sigmas
from dotally.nn.gaussian_setting import Preset, Sharing, check_choice, check_count, check_range, resolve, side
from dotally.ops.gaussian_conv import gaussian_conv2d
from dotally.ops.gaussian_lowrank import ShapeBasis, gaussian_conv2d_lowrank, shape_basis
from dotally.ops.gaussian_setting import Execution
from dotally.ops.gaussian_taps import Normalize, half_width


class GaussianConv2d(nn.Module):
    """Drop-in for ``nn.Conv2d`` with padding "same": ``Y_o = b_o + sum_i sum_k w_oik G(mu_k, sigma_k) * X_i``.

    GauNet (Cheng et al., CVPR 2022, figure 3) and DAU-ConvNet (Tabernik et al., IJCV 2020); the operator is
    :func:`dotally.ops.gaussian_conv2d`. Displacements and widths are learned: before each forward pass of training
    they are put back into their range, as after an optimizer step, so a unit at its border still gets its gradient.
    :func:`dotally.nn.parameter_groups` gives them their own learning rates.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        num_gaussians: Gaussians K of each filter.
        stride: Distance of output positions in pixels.
        dilation: Distance of the kernel's taps in pixels; displacements and widths are in taps.
        padding: "same" only: a Gaussian has no side to pad for.
        groups: 1 only.
        bias: Whether the output gets a bias per channel.
        preset: "gaunet" (figure 3: widths spread over 0.5 .. 2, three shapes, bilinear shift, softmax fusion) or "dau"
            (DAU-ConvNet: per pair, sigma 0.5 fixed, bilinear shift, its gradient); None is the exact Gaussian. The next
            seven arguments, where given, win over it.
        sharing: Whose displacements are the same: "layer", "input" (all filters at one input channel) or "pair" (none).
        shift: "exact" samples displaced Gaussians, "bilinear" shifts a blurred plane.
        grad_mode: "exact", or "dau" for the published surrogate.
        fusion: "softmax" makes ``w_oik = v_oi softmax_k(z_oik)``; None leaves the weights free.
        shape_rank: Approximate the centred Gaussians by this many fixed shapes (3 or 4 serve widths of 0.5 to
            2); for sharing "layer", the bilinear shift and no dilation.
        sigma: Initial width in pixels of the whole layer, or (smallest, largest) for a width per Gaussian.
        learn_sigma: Whether the widths are trained.
        learn_mu: Whether the displacements are trained.
        max_offset: Largest displacement in pixels along each axis.
        min_sigma: Smallest width in pixels.
        max_sigma: Largest width in pixels.
        normalize: "sum" (taps of an axis sum to 1: a filter passes on its weight as mass), "analytic" or "none".
        execution: Which algorithm computes it; "auto" takes the fastest, "dense" exports to ONNX. With ``shape_rank``
            there is one only, which exports too.
        device: Of the parameters.
        dtype: Of weight and bias; displacements and widths are float32 unless this is float64.

    Raises:
        ValueError: If an argument is out of its range (the message has both), or arguments do not go together.
    """

    weight: nn.Parameter
    fusion_logits: nn.Parameter | None
    mu: Tensor
    sigma: Tensor
    shapes: Tensor | None
    bias: nn.Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_gaussians: int = 4,
        *,
        stride: int | tuple[int, int] = 1,
        dilation: int | tuple[int, int] = 1,
        padding: Literal["same"] = "same",
        groups: int = 1,
        bias: bool = True,
        preset: Preset | None = None,
        sharing: Sharing | None = None,
        shift: Literal["exact", "bilinear"] | None = None,
        grad_mode: Literal["exact", "dau"] | None = None,
        fusion: Literal["softmax"] | None = None,
        shape_rank: int | None = None,
        sigma: float | tuple[float, float] | None = None,
        learn_sigma: bool | None = None,
        learn_mu: bool = True,
        max_offset: float = 4,
        min_sigma: float = 0.5,
        max_sigma: float = 2.0,
        normalize: Normalize = "sum",
        execution: Execution = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        given = {
            "sharing": sharing,
            "shift": shift,
            "grad_mode": grad_mode,
            "fusion": fusion,
            "shape_rank": shape_rank,
            "sigma": sigma,
            "learn_sigma": learn_sigma,
        }
        self.setting = resolve(preset, given)
        for name, count in (("in_channels", in_channels), ("out_channels", out_channels)):
            check_count(name, count)
        check_count("num_gaussians", num_gaussians)
        check_choice("normalize", normalize, get_args(Normalize))
        check_choice("execution", execution, get_args(Execution))
        check_range("max_offset", max_offset, 0)
        check_range("min_sigma", min_sigma, 0.1)
        check_range("max_sigma", max_sigma, min_sigma)
        for end in self.setting.sigma_ends:
            check_range("sigma", end, min_sigma, max_sigma)
        if padding != "same":
            raise ValueError(f"padding must be 'same', got {padding!r}: a Gaussian has no side to pad for")
        if groups != 1:
            raise ValueError(f"groups must be 1, got {groups}")
        if self.setting.shape_rank is not None and side("dilation", dilation) != 1:
            raise ValueError(f"shape_rank={self.setting.shape_rank} needs dilation=1, got {dilation}")
        self.in_channels, self.out_channels, self.num_gaussians = in_channels, out_channels, num_gaussians
        self.stride, self.dilation = side("stride", stride), side("dilation", dilation)
        self.max_offset, self.min_sigma, self.max_sigma = max_offset, min_sigma, max_sigma
        self.normalize, self.execution = normalize, execution
        self._make_parameters(learn_mu=learn_mu, bias=bias, device=device, dtype=dtype or torch.get_default_dtype())
        self.reset_parameters()
        self.register_state_dict_pre_hook(_project_before_saving)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_post_hook(_check_after_loading)  # type: ignore[no-untyped-call]

    def _make_parameters(
        self, *, learn_mu: bool, bias: bool, device: torch.device | str | None, dtype: torch.dtype
    ) -> None:
        pair, units = (self.out_channels, self.in_channels), (self.num_gaussians,)
        fused = self.setting.fusion == "softmax"
        self.weight = nn.Parameter(torch.empty(pair if fused else pair + units, device=device, dtype=dtype))
        logits = nn.Parameter(torch.empty(pair + units, device=device, dtype=dtype)) if fused else None
        self.register_parameter("fusion_logits", logits)
        shared = {"layer": (), "input": pair[1:], "pair": pair}[self.setting.sharing]
        # bfloat16 would round displacements to 1/64 pixel and more
        exact = torch.float64 if dtype == torch.float64 else torch.float32
        mu = torch.empty(*shared, *units, 2, device=device, dtype=exact)
        self._register("mu", mu, learn=learn_mu)
        sigma = torch.empty(() if self.setting.one_sigma else (*shared, *units), device=device, dtype=exact)
        self._register("sigma", sigma, learn=self.setting.learn_sigma)
        rank, shapes = self.setting.shape_rank, None
        if rank is not None:
            shapes = _shapes(rank, self.min_sigma, self.max_sigma, self.normalize).to(sigma)
        self.register_buffer("shapes", shapes, persistent=False)
        offset = nn.Parameter(torch.empty(self.out_channels, device=device, dtype=dtype)) if bias else None
        self.register_parameter("bias", offset)

    def _register(self, name: str, value: Tensor, *, learn: bool) -> None:
        if learn:
            self.register_parameter(name, nn.Parameter(value))
        else:
            self.register_buffer(name, value)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the parameters afresh: units on a jittered grid, weights that keep the variance, no bias.

        The weights have variance 2 / (C_in K), 2 / C_in where they are fused: He's for taps that each see another
        value. Gaussians hand on smooth maps, for which their inner taps see the same one, and a variance that
        accounts for the blur of white noise would let eighteen such layers grow the signal by 1e4 to 1e9.
        """
        fan_in = self.in_channels * (1 if self.fusion_logits is not None else self.num_gaussians)
        nn.init.normal_(self.weight, std=math.sqrt(2 / fan_in))
        if self.fusion_logits is not None:
            nn.init.zeros_(self.fusion_logits)
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        self.mu.copy_(grid_offsets(self.num_gaussians, self.max_offset))
        self.mu.add_(torch.empty_like(self.mu).uniform_(-JITTER, JITTER))
        low, high = self.setting.sigma_ends
        self.sigma.copy_(torch.tensor(low) if self.setting.one_sigma else spread_sigmas(self.num_gaussians, low, high))
        self.project_()

    def project_(self) -> None:
        """Put displacements and widths back into their ranges, in place; NaN stays."""
        # through .data: a second forward pass before the backward one must not invalidate the first
        self.mu.data.clamp_(-self.max_offset, self.max_offset)
        self.sigma.data.clamp_(self.min_sigma, self.max_sigma)

    @property
    def kernel_size(self) -> tuple[int, int]:
        """Sides of the window that holds every kernel the layer can have, in taps."""
        taps = 2 * half_width(self.max_offset, self.max_sigma, self.setting.shift) + 1
        return taps, taps

    def unit_weights(self) -> Tensor:
        """Return ``[out_channels, in_channels, K]``, the weight of each Gaussian, fusion included."""
        if self.fusion_logits is None:
            return self.weight
        return self.weight.unsqueeze(-1) * self.fusion_logits.softmax(dim=-1)

    @override
    def train(self, mode: bool = True) -> "GaussianConv2d":
        self.project_()
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve.

        Args:
            x: ``[B, in_channels, H, W]`` floating point, or one map without the first axis, as ``nn.Conv2d`` takes it.

        Returns:
            ``[B, out_channels, ceil(H / stride), ceil(W / stride)]`` in the dtype of ``x``; outside the map is zero.

        Raises:
            ValueError: If ``x`` has another number of channels, or a displacement or width is NaN (on the CPU).
        """
        if x.ndim == 3:
            return self.forward(x.unsqueeze(0)).squeeze(0)
        if self.training:
            self.project_()
        arguments = (x, self.unit_weights(), self.mu, self.sigma, self.bias)
        if self.shapes is not None:
            basis = ShapeBasis(self.shapes, self.max_sigma, self.normalize)
            return gaussian_conv2d_lowrank(*arguments, basis=basis, max_offset=self.max_offset, stride=self.stride)
        return gaussian_conv2d(
            *arguments,
            max_offset=self.max_offset,
            max_sigma=self.max_sigma,
            shift=self.setting.shift,
            normalize=self.normalize,
            stride=self.stride,
            dilation=self.dilation,
            execution=self.execution,
            grad_mode=self.setting.grad_mode,
        )

    @override
    def extra_repr(self) -> str:
        setting = self.setting
        parts = [f"{self.in_channels}, {self.out_channels}, num_gaussians={self.num_gaussians}"]
        parts += [f"sharing={setting.sharing}, shift={setting.shift}, max_offset={self.max_offset:g}"]
        parts += [f"sigma in [{self.min_sigma:g}, {self.max_sigma:g}]"]
        parts += [
            f"{name}={value}" for name, value in (("stride", self.stride), ("dilation", self.dilation)) if value > 1
        ]
        parts += [f"{name}={getattr(setting, name)}" for name in ("fusion", "shape_rank") if getattr(setting, name)]
        return ", ".join(parts + ([] if self.bias is not None else ["bias=False"]))


@functools.lru_cache
def _shapes(rank: int, min_sigma: float, max_sigma: float, normalize: str) -> Tensor:
    # on the CPU whatever the default device is: all layers of all networks share it
    with torch.device("cpu"):
        basis = shape_basis(rank, min_sigma=min_sigma, max_sigma=max_sigma, normalize=normalize, dtype=torch.float64)
    return basis.shapes


def _project_before_saving(layer: nn.Module, *_: Any) -> None:
    assert isinstance(layer, GaussianConv2d)
    layer.project_()


def _check_after_loading(layer: nn.Module, _: Any) -> None:
    """Refuse weights of a layer with wider ranges, which clamping would change silently."""
    assert isinstance(layer, GaussianConv2d)
    for name, low, high in (
        ("mu", -layer.max_offset, layer.max_offset),
        ("sigma", layer.min_sigma, layer.max_sigma),
    ):
        values = getattr(layer, name)
        if values.is_meta:
            continue
        # tensors, which round a bound to their dtype as clamping did; not a number is in no range
        if not bool(((values >= low) & (values <= high)).all()):
            lowest, highest = values.min().item(), values.max().item()
            raise ValueError(f"loaded {name} must lie in [{low}, {high}], got values from {lowest} to {highest}")
