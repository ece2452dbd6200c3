"""The fused execution of the bilinear Gaussian convolution on CUDA: which kernels in which order, the work in Triton.

Every function assumes checked arguments; shapes come from ``max_offset`` and ``max_sigma``, so nothing waits for the
device and a CUDA graph can capture all of it. Two runs give the same bits. A forward pass starts four kernels.
"""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dotally.ops.gaussian_taps import WIDTHS, blur_radius, shift_radius

# looked up here, because in a function it would break the graph of torch.compile
HAS_TRITON = importlib.util.find_spec("triton") is not None
SHARED_MEMORY = 145 * 1024  # bytes that a program of the largest tiles takes, see benchmarks/budgets.json
DTYPES = (torch.float16, torch.bfloat16, torch.float32)
MAX_RADIUS = 12  # pixels of blur: each tap is an instruction and a register
INT32 = 2**31 - 1
GRID = 65535  # programs along the second and third axis of a grid
PATCH = (4, 16)  # pixels (down, across) of the smallest patch a program owns


def fused_supported(
    x: Tensor,
    weight: Tensor,
    mu: Tensor,
    sigma: Tensor,
    *,
    stride: int | tuple[int, int],
    dilation: int | tuple[int, int],
    max_offset: float,
    max_sigma: float,
) -> str | None:
    """Return None if the fused execution computes this bilinear Gaussian convolution, else the reason it does not.

    Looks at shapes, dtypes and the device, never at values.
    """
    if not x.is_cuda or torch.version.hip:
        return f"it needs an NVIDIA GPU, x is on {x.device}"
    if not HAS_TRITON:
        return "it needs Triton, which is not installed"
    gpu = torch.cuda.get_device_properties(x.device)
    memory: int = gpu.shared_memory_per_block_optin  # type: ignore[attr-defined]  # the stubs lack it
    if gpu.major < 8 or memory < SHARED_MEMORY:  # GeForce and L40 have 99 KB
        return f"it needs the shared memory of an A100, H100 or newer data center GPU, x is on {gpu.name}"
    return shapes_supported(
        x, weight, mu, sigma, stride=stride, dilation=dilation, max_offset=max_offset, max_sigma=max_sigma
    )


def shapes_supported(
    x: Tensor,
    weight: Tensor,
    mu: Tensor,
    sigma: Tensor,
    *,
    stride: int | tuple[int, int],
    dilation: int | tuple[int, int],
    max_offset: float,
    max_sigma: float,
) -> str | None:
    """Return what of :func:`fused_supported` does not depend on the device."""
    if x.dtype not in DTYPES:
        return f"it computes in float16, bfloat16 and float32, x is {x.dtype}"
    if _pair(stride) != (1, 1):
        return f"it has no stride, got {stride}"
    if mu.ndim != 2 or sigma.numel() != 1:
        return "it needs one mu [K, 2] and one sigma for the whole layer"
    if blur_radius(max_sigma) > MAX_RADIUS:
        return f"max_sigma {max_sigma:g} is above {MAX_RADIUS / WIDTHS:g}"
    height, width = x.shape[2:]
    pad = _pad(max_offset, _pair(dilation))
    channels = max(64, *weight.shape[:2]) + 64  # padded, and a plane is as large as any tensor an image has
    if (height + 2 * pad + 8) * (width + 2 * pad + 16) * channels > INT32 or weight.numel() * 16 > INT32:
        return f"{height} x {width} pixels with a border of {pad} and {channels} channels are too large an image"
    if len(x) > GRID or -(-height // PATCH[0]) * -(-width // PATCH[1]) > GRID:
        return f"{len(x)} images of {height} x {width} pixels are too many"
    return None


def fused_forward(
    x: Tensor,
    weight: Tensor,
    mu: Tensor,
    sigma: Tensor,
    *,
    max_offset: float,
    max_sigma: float,
    normalize: str,
    dilation: int | tuple[int, int],
) -> Tensor:
    """Return the bilinear Gaussian convolution ``[B, C_out, H, W]``, channels last, without a bias.

    Args:
        x: ``[B, C_in, H, W]``, channels last preferred.
        weight: ``[C_out, C_in, K]``.
        mu: ``[K, 2]`` (x, y) in pixels, ``|mu| <= max_offset``; beyond, it is clamped, NaN gives NaN.
        sigma: One number, in pixels.
        max_offset: Bound of ``|mu|``.
        max_sigma: Bound of sigma.
        normalize: As in ``gaussian_conv2d``.
        dilation: As in ``conv2d``.
    """
    size, step = (x.shape[2], x.shape[3]), _pair(dilation)
    pad = _pad(max_offset, step)
    with _kernels(x) as kernels:
        prepared = kernels.prepared(x, mu, sigma, pad, step, max_offset, max_sigma, normalize)
        channels = kernels.conv.padded(x.shape[1])
        plane = kernels.blur.blur(_rows(x, x.dtype), prepared.blur, dilation=step, pad=pad, channels=channels)
        y = kernels.conv.convolve(
            plane,
            kernels.prepare.pack(weight, x.dtype, precision=_precision(x)),
            prepared.there,
            size=size,
            pad=pad,
            outputs=len(weight),
            precision=_precision(x),
        )
    return y.permute(0, 3, 1, 2)


def fused_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    mu: Tensor,
    sigma: Tensor,
    *,
    max_offset: float,
    max_sigma: float,
    normalize: str,
    dilation: int | tuple[int, int],
    grad_mode: str,
    wanted: tuple[bool, bool, bool] = (True, True, True),
) -> tuple[Tensor | None, Tensor, Tensor | None, Tensor | None]:
    """Return the gradients of :func:`fused_forward` for x, weight, mu and sigma, each in its own dtype and shape.

    The blurred plane is made again, not kept. ``grad_mode="dau"`` gives DAU-ConvNet's surrogates: the gradient of mu
    interpolates the Gaussian's derivatives, the gradient of x loses what the blur throws past the map. Of x, mu and
    sigma, those not ``wanted`` are None.
    """
    step, exact = _pair(dilation), grad_mode == "exact"
    pad = _pad(max_offset, step)
    with _kernels(x) as kernels:
        grad_rows = _rows(grad, x.dtype)
        job = _Backward(
            kernels=kernels,
            prepared=kernels.prepared(x, mu, sigma, pad, step, max_offset, max_sigma, normalize),
            rows=_rows(x, x.dtype),
            grad_rows=grad_rows,
            rounded=kernels.prepare.rounded(grad_rows, precision=_precision(x)),
            weight=weight,
            step=step,
            pad=pad,
            precision=_precision(x),
        )
        blurred, there = job.plane(job.rows, job.prepared.blur), job.prepared.there
        dweight = kernels.grad.weight_gradient(blurred, job.rounded, there, pad=pad, precision=job.precision)
        by_unit = job.by_unit(blurred, exact, wanted[2]) if wanted[1] or wanted[2] else None
        dx = job.by_input(crop=not exact) if wanted[0] else None
    outputs, inputs, _ = weight.shape
    return (
        dx,
        dweight[:, :inputs, :outputs].permute(2, 1, 0).to(weight.dtype).contiguous(),
        by_unit[:, :2].to(mu.dtype).contiguous() if by_unit is not None and wanted[1] else None,
        by_unit[:, 2].sum().to(sigma.dtype).reshape(sigma.shape) if by_unit is not None and wanted[2] else None,
    )


@dataclass(frozen=True, kw_only=True)
class _Backward:
    """What the three parts of a backward pass share."""

    kernels: "_Kernels"
    prepared: Any  # triton_kernels.gaussian_prepare.Prepared, which only CUDA can import
    rows: Tensor  # [B, H, W, C_in]
    grad_rows: Tensor  # [B, H, W, C_out]
    rounded: Tensor  # the same, as products take it
    weight: Tensor
    step: tuple[int, int]
    pad: int
    precision: str

    def plane(self, rows: Tensor, taps: Tensor, *, crop: bool = False) -> Tensor:
        """Blur with a sum of separable filters ``[terms, 2, n]``."""
        channels = self.kernels.conv.padded(rows.shape[3])
        return self.kernels.blur.blur(rows, taps, dilation=self.step, pad=self.pad, channels=channels, crop=crop)

    def by_unit(self, blurred: Tensor, exact: bool, with_sigma: bool) -> Tensor:
        """Return ``[K, 3]`` gradients of each unit's x, y and width; without sigma the width's means nothing."""
        slopes = (blurred, blurred)
        if not exact:
            slopes = self.plane(self.rows, self.prepared.by_x), self.plane(self.rows, self.prepared.by_y)
        wider = self.plane(self.rows, self.prepared.by_sigma) if with_sigma else blurred
        return self.kernels.grad.displacement_gradient(
            self.rounded,
            self.kernels.prepare.pack(self.weight, self.rows.dtype, precision=self.precision, channels_last=False),
            (*slopes, wider),
            self.prepared.there,
            exact=exact,
            pad=self.pad,
            precision=self.precision,
        )

    def by_input(self, *, crop: bool) -> Tensor:
        """Return the gradient of x: blur and shift commute while the plane keeps its border, so forward, mirrored."""
        dx: Tensor = self.kernels.conv.convolve(
            self.plane(self.grad_rows, self.prepared.blur, crop=crop),
            self.kernels.prepare.pack(self.weight.transpose(0, 1), self.rows.dtype, precision=self.precision),
            self.prepared.back,
            size=tuple(self.rows.shape[1:3]),
            pad=self.pad,
            outputs=self.rows.shape[3],
            precision=self.precision,
        )
        return dx.permute(0, 3, 1, 2)


class _Kernels(NamedTuple):
    prepare: ModuleType
    blur: ModuleType
    conv: ModuleType
    grad: ModuleType

    def prepared(
        self,
        x: Tensor,
        mu: Tensor,
        sigma: Tensor,
        pad: int,
        step: tuple[int, int],
        max_offset: float,
        max_sigma: float,
        normalize: str,
    ) -> Any:
        """Return taps and displacements; whatever mu holds, no cell outside the plane of ``x`` is read."""
        columns = self.blur.plane_size((x.shape[2], x.shape[3]), pad)[1]
        window = {"radius": blur_radius(max_sigma), "max_offset": max_offset, "normalize": normalize}
        return self.prepare.prepare(mu, sigma, columns=columns, step=step, **window)


@contextmanager
def _kernels(x: Tensor) -> Iterator[_Kernels]:
    """Open the kernels, with the device of ``x`` as the current one: Triton launches on that."""
    from dotally.ops.kernels import kernel_module  # only CUDA needs Triton

    with torch.cuda.device(x.get_device()):  # -1, the CPU's, changes nothing
        yield _Kernels(*(kernel_module(f"gaussian_{name}") for name in _Kernels._fields))


def _rows(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return ``[B, H, W, C]`` contiguous; no copy of what is channels last."""
    return x.to(dtype).permute(0, 2, 3, 1).contiguous()


def _precision(x: Tensor) -> str:
    """Follow the switch that decides for cuDNN's convolutions."""
    allowed: str = torch.backends.cudnn.conv.fp32_precision  # type: ignore[attr-defined]
    return "tf32" if x.dtype == torch.float32 and allowed == "tf32" else "ieee"


def _pad(max_offset: float, step: tuple[int, int]) -> int:
    return shift_radius(max_offset) * max(step)


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
