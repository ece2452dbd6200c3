"""Gaussian convolution on CSRNet's back end beside the convolutions it stands for, forward and with its gradients.

Displacements up to 3.5 pixels and widths up to 0.75 give both functions a window of 15 x 15. The dense 15 x 15, the FFT
and the unfused bank compute what ours does and are held against a float64 definition first, gradients included. The
dilated 3 x 3 (the layer that GauNet replaces), the 9 x 9 and DAU (a displacement for each pair of channels) are other
functions of the same shapes, there for their time. On a CPU maps and batch are reduced, and the cases say so.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.registry import Case
from dotally.ops import gaussian_conv2d, gaussian_conv2d_reference
from dotally.ops.gaussian_plan import Layer, Work, bank_work, convolution_work, fused_work, separable_work
from dotally.ops.gaussian_setting import Setting
from dotally.ops.gaussian_taps import axis_values, half_width

# CSRNet's back end at 768 x 1024; the third of its six layers has the first one's shape
LAYERS = ((512, 512), (512, 256), (256, 128), (128, 64))
UNITS, MAX_OFFSET, MAX_SIGMA, SIGMA = 4, 3.5, 0.75, 0.7
TAPS = 2 * half_width(MAX_OFFSET, MAX_SIGMA, "exact") + 1
FAST = ("dotally, bilinear", "dotally, exact", "unfused bank", "dense 3x3, dilation 2")
LONG = ("FFT 15x15", "DAU, a place for each pair")
TILE = 32  # of the FFT, of which 18 x 18 pixels come out
# relative L2 errors against float64 that are let through: results and gradients of x and weight; of mu and sigma
LIMITS = {torch.float32: (1e-6, 1e-5), torch.bfloat16: (6e-3, 3e-2)}

Inputs = dict[str, Tensor]
Implementation = Callable[[Inputs], Tensor]


@dataclass(frozen=True)
class Place:
    """Where and at which size is measured.

    Attributes:
        device: "cpu" or "cuda".
        dtype: Of maps and weights.
        batch: Pictures.
        size: (height, width) of the map.
    """

    device: str
    dtype: torch.dtype
    batch: int
    size: tuple[int, int]

    @property
    def suffix(self) -> str:
        """Marks cases of reduced size."""
        return "_cpu" if self.device == "cpu" else ""


CPU = Place("cpu", torch.float32, 1, (48, 64))
GPU = Place("cuda", torch.bfloat16, 8, (96, 128))


def cases() -> Iterator[Case]:
    """Yield each layer forward, and forward with backward."""
    place = GPU if torch.cuda.is_available() else CPU
    for inputs, outputs in LAYERS:
        for training in (False, True):
            yield _case(inputs, outputs, place, training=training)


def _case(inputs: int, outputs: int, place: Place, *, training: bool) -> Case:
    # on a core 10 to 25 s a step, far behind the others
    left_out = LONG if training and place.device == "cpu" and inputs == LAYERS[0][0] else ()
    names = [name for name in _implementations() if name not in left_out]
    slow = 1 if place.device == "cpu" else 20  # a dense 15x15 takes 6 s forward on a core and 20 s with its gradients
    repeats = dict.fromkeys(names, slow) | dict.fromkeys(FAST, 5 * slow)
    if (inputs, outputs) == LAYERS[0]:  # the layer whose ratios are promised
        repeats |= {"dense 15x15": 3 * slow, "dotally, bilinear": 9 * slow, "dotally, exact": 9 * slow}
    height, width = place.size
    what = ("forward + backward" if training else "forward") + (", cpu: reduced size" if place.device == "cpu" else "")
    what += f"; left out at 10 to 25 s a step: {' and '.join(left_out)}" if left_out else ""
    return Case(
        name=f"gaussian_conv_{inputs}_{outputs}_{'training' if training else 'forward'}{place.suffix}",
        about=f"{inputs} to {outputs} channels at {place.batch} x {height} x {width}, {UNITS} units, {what}",
        ours="dotally, bilinear",
        implementations={name: partial(_run, inputs, outputs, place, name, training=training) for name in names},
        gate=partial(gate, inputs, outputs, place.device, place.dtype),
        repeats=repeats,
        facts={"batch": place.batch, "height": height, "width": width, "dtype": str(place.dtype), "units": UNITS},
        work={name: count_work(inputs, outputs, place, name, training=training) for name in names},
        rate="fp32" if place.dtype == torch.float32 else "bf16",
        device=place.device,
    )


def _implementations() -> dict[str, Implementation]:
    options: dict[str, Any] = {"max_offset": MAX_OFFSET, "max_sigma": MAX_SIGMA}

    def gaussian(a: Inputs, mu: str, **more: Any) -> Tensor:
        return gaussian_conv2d(a["x"], a["weight"], a[mu], a["sigma"], **options, **more)

    return {
        "dotally, bilinear": partial(gaussian, mu="mu", shift="bilinear"),
        "dotally, exact": partial(gaussian, mu="mu", shift="exact"),
        "unfused bank": lambda a: unfused_bank(a["x"], a["weight"], a["mu"], a["sigma"]),
        "dense 15x15": lambda a: F.conv2d(a["x"], a["kernel15"], padding=7),
        # a network that is not trained transforms its kernels once
        "FFT 15x15": lambda a: fft_convolution(a["x"], a["spectra"] if "spectra" in a else spectra_of(a["kernel15"])),
        "dense 9x9": lambda a: F.conv2d(a["x"], a["kernel9"], padding=4),
        "dense 3x3, dilation 2": lambda a: F.conv2d(a["x"], a["kernel3"], padding=2, dilation=2),
        "DAU, a place for each pair": partial(gaussian, mu="mu_pair", shift="bilinear"),
    }


def unfused_bank(x: Tensor, weight: Tensor, mu: Tensor, sigma: Tensor) -> Tensor:
    """Compute the bilinear function in plain PyTorch: two depthwise filters for each unit, then a 1x1 convolution."""
    window: dict[str, Any] = {"max_offset": MAX_OFFSET, "max_sigma": MAX_SIGMA, "normalize": "sum"}
    across, down = (axis_values(mu[:, axis], sigma, shift="bilinear", **window).to(x.dtype) for axis in (0, 1))
    channels, half = x.shape[1], across.shape[-1] // 2
    planes = []
    for row, column in zip(across, down, strict=True):
        wide = F.conv2d(x, row.expand(channels, 1, 1, -1), padding=(0, half), groups=channels)
        planes.append(F.conv2d(wide, column[:, None].expand(channels, 1, -1, 1), padding=(half, 0), groups=channels))
    return F.conv2d(torch.cat(planes, dim=1), weight.transpose(1, 2).flatten(1)[:, :, None, None])


def unfused_work(layer: Layer, setting: Setting) -> Work:
    """Count :func:`unfused_bank`: each pass reads and writes a plane; K planes are put side by side, then mixed."""
    work = separable_work(layer, setting)
    plane = 1.0 * layer.itemsize * layer.batch * layer.height * layer.width * layer.inputs
    return work._replace(bytes=work.bytes - plane, before=6.0 * layer.units * plane, calls=2 * layer.units + 2)


def spectra_of(kernel: Tensor) -> Tensor:
    """Return ``[frequencies, C_in, C_out]`` of a kernel ``[C_out, C_in, 15, 15]``, conjugated: a correlation."""
    return torch.fft.rfft2(kernel.float(), s=(TILE, TILE)).conj().permute(2, 3, 1, 0).flatten(0, 1)


def fft_convolution(x: Tensor, filters: Tensor) -> Tensor:
    """Convolve by tiles of 32 x 32 in the frequency domain: a product of matrices for each frequency."""
    x32, size = x.float(), (x.shape[2], x.shape[3])
    step, half = TILE - TAPS + 1, TAPS // 2
    rows, columns = (-(-side // step) for side in size)
    far = columns * step - size[1] + half, rows * step - size[0] + half
    padded = F.pad(x32, (half, far[0], half, far[1]))
    tiles = torch.fft.rfft2(padded.unfold(2, TILE, step).unfold(3, TILE, step))  # [B, C, r, c, t, f]
    spectra = tiles.permute(4, 5, 0, 2, 3, 1).flatten(0, 1).flatten(1, 3)  # [frequencies, B r c, C]
    mixed = (spectra @ filters).view(TILE, TILE // 2 + 1, len(x), rows, columns, -1).permute(2, 5, 3, 4, 0, 1)
    parts = torch.fft.irfft2(mixed, s=(TILE, TILE))[..., :step, :step]
    whole = parts.transpose(3, 4).reshape(len(x), -1, rows * step, columns * step)
    return whole[:, :, : size[0], : size[1]].to(x.dtype)


@cache
def gate(inputs: int, outputs: int, device: str, dtype: torch.dtype) -> None:
    """Hold results and gradients on a small map against the definition in float64.

    Raises:
        AssertionError: An error exceeds its limit; the message has implementation, quantity and both numbers.
    """
    place = Place(device, dtype, 1, (11, 17))
    drawn = draw_inputs(inputs, outputs, place)
    close, loose = LIMITS[dtype]
    leaves = {key: drawn[key] for key in ("x", "weight", "mu", "sigma")}
    for shift, names in (("exact", ["dotally, exact"]), ("bilinear", ["dotally, bilinear", "unfused bank"])):
        defined = _with_gradients(partial(_definition, shift=shift), {k: v.double() for k, v in leaves.items()})
        for name in names:
            for what, value in _with_gradients(_implementations()[name], leaves).items():
                _check(f"{name}, {what}", value, defined[what], loose if what in ("mu", "sigma") else close)
    # DAU is another function, but not where every pair has the same places
    repeated = {**leaves, "mu_pair": leaves["mu"].expand(outputs, inputs, UNITS, 2)}
    _check("DAU beside ours", _implementations()["DAU, a place for each pair"](repeated), defined["y"], close)
    leaves = {key: drawn[key] for key in ("x", "kernel15")}
    dense = _with_gradients(_implementations()["dense 15x15"], {k: v.double() for k, v in leaves.items()})
    _check("dense 15x15 beside ours", dense["y"], defined["y"], close)
    for name in ("dense 15x15", "FFT 15x15"):
        for what, value in _with_gradients(_implementations()[name], leaves).items():
            _check(f"{name}, {what}", value, dense[what], close)


def _definition(a: Inputs, shift: Any) -> Tensor:
    """Convolve with the sum of the units' kernels: what the reference answers to a single pixel, mirrored."""
    options: dict[str, Any] = {"max_offset": MAX_OFFSET, "max_sigma": MAX_SIGMA, "shift": shift}
    pixel = a["x"].new_zeros(1, 1, TAPS, TAPS)
    pixel[..., TAPS // 2, TAPS // 2] = 1
    one_each = torch.eye(UNITS, dtype=pixel.dtype, device=pixel.device)[:, None]
    units = gaussian_conv2d_reference(pixel, one_each, a["mu"], a["sigma"], **options)[0].flip(-2, -1)
    return F.conv2d(a["x"], torch.tensordot(a["weight"], units, dims=1), padding=TAPS // 2)


def _with_gradients(run: Implementation, leaves: Inputs) -> Inputs:
    inputs = {name: value.detach().clone().requires_grad_() for name, value in leaves.items()}
    y = run(inputs)
    torch.autograd.backward(y, _upstream(y))
    return {"y": y.detach(), **{name: value.grad for name, value in inputs.items() if value.grad is not None}}


def _check(what: str, found: Tensor, expected: Tensor, limit: float) -> None:
    error = float((found.double() - expected).norm() / expected.norm())
    assert error <= limit, f"{what}: relative L2 error {error:.2e} above {limit:.0e}"


def _upstream(y: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(y.shape, generator=generator).to(y.device, y.dtype)


def draw_inputs(inputs: int, outputs: int, place: Place) -> Inputs:
    """Draw everything the implementations take; the dense kernel is that of the bilinear function."""
    generator = torch.Generator().manual_seed(0)
    normal = partial(torch.randn, generator=generator)

    def places(*shape: int) -> Tensor:
        return (torch.rand(*shape, 2, generator=generator) * 2 - 1) * MAX_OFFSET

    def kernel(side: int) -> Tensor:
        return normal(outputs, inputs, side, side) / math.sqrt(inputs * side * side)

    drawn = {
        "x": normal(place.batch, inputs, *place.size),
        "weight": normal(outputs, inputs, UNITS) / math.sqrt(inputs * UNITS),
        "kernel3": kernel(3),
        "kernel9": kernel(9),
    }
    mu, sigma = places(UNITS), torch.tensor(SIGMA)
    window: dict[str, Any] = {"max_offset": MAX_OFFSET, "max_sigma": MAX_SIGMA, "normalize": "sum"}
    across, down = (axis_values(mu[:, axis], sigma, shift="bilinear", **window) for axis in (0, 1))
    drawn["kernel15"] = torch.einsum("oik,ky,kx->oiyx", drawn["weight"], down, across)
    floats = {name: value.to(place.device, place.dtype) for name, value in drawn.items()}
    if place.device == "cuda":
        floats = {k: v.to(memory_format=torch.channels_last) if v.ndim == 4 else v for k, v in floats.items()}
    exact = {"mu": mu, "mu_pair": places(outputs, inputs, UNITS), "sigma": sigma}
    return floats | {name: value.to(place.device) for name, value in exact.items()}


@cache
def _inputs(inputs: int, outputs: int, place: Place, *, training: bool) -> Inputs:
    _inputs.cache_clear()  # those of the layer before are not needed any more
    drawn = draw_inputs(inputs, outputs, place)
    if training:
        return {name: value.requires_grad_() for name, value in drawn.items()}
    return drawn | {"spectra": spectra_of(drawn["kernel15"]).resolve_conj().contiguous()}


def _run(inputs: int, outputs: int, place: Place, name: str, *, training: bool) -> None:
    drawn = _inputs(inputs, outputs, place, training=training)
    if not training:
        with torch.no_grad():
            _implementations()[name](drawn)
        return
    y = _implementations()[name](drawn)
    torch.autograd.backward(y, torch.ones_like(y))
    for value in drawn.values():
        value.grad = None


def count_work(inputs: int, outputs: int, place: Place, name: str, *, training: bool) -> tuple[float, float]:
    """Return operations and bytes of one call by the operator's own model; a backward counts twice a forward."""
    layer = Layer(place.batch, inputs, outputs, UNITS, *place.size, device=place.device, itemsize=place.dtype.itemsize)
    setting = Setting(MAX_OFFSET, MAX_SIGMA, "bilinear", "sum", (1, 1), (1, 1), "auto", "exact")
    exact = setting._replace(shift="exact")
    counts: dict[str, Work] = {
        "dotally, bilinear": (fused_work if place.device == "cuda" else bank_work)(layer, setting),
        "dotally, exact": separable_work(layer, exact),
        "unfused bank": unfused_work(layer, setting),
        "dense 15x15": convolution_work(layer, setting, TAPS),
        "FFT 15x15": _fft_work(layer, training=training),
        "dense 9x9": convolution_work(layer, setting, 9),
        "dense 3x3, dilation 2": convolution_work(layer, setting, 3),
        "DAU, a place for each pair": convolution_work(layer, setting, TAPS),
    }
    work, times = counts[name], 3 if training else 1
    if name.startswith("dense"):  # its kernel is there already
        work = work._replace(vector=0.0, before=0.0)
    return times * (work.matmul + work.vector), times * (work.bytes + work.before)


def _fft_work(layer: Layer, *, training: bool) -> Work:
    """Count the tiles' products (a complex multiply-add is eight operations) and 5 n log2 n for each transform."""
    step, frequencies = TILE - TAPS + 1, TILE * (TILE // 2 + 1)
    tiles = layer.batch * -(-layer.height // step) * -(-layer.width // step)
    pairs, moved = layer.inputs * layer.outputs, tiles * (layer.inputs + layer.outputs)
    transform = 2.5 * TILE * TILE * math.log2(TILE * TILE)  # of real numbers: half
    return Work(
        matmul=8.0 * frequencies * tiles * pairs,
        vector=transform * (pairs * training + moved),
        bytes=8.0 * frequencies * (pairs + moved),
        before=layer.itemsize * (1.0 * moved * step * step + pairs * training * TAPS**2),
    )
