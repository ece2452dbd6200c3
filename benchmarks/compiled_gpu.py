"""The bilinear Gaussian convolution as plain PyTorch through ``torch.compile``, beside ours on a GPU.

Apart from the other peers, because compiling takes a minute and may fail; so only the widest and the narrowest layer.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.gaussian_conv import GPU, LAYERS, LIMITS, MAX_OFFSET, MAX_SIGMA, Place, count_work, draw_inputs
from benchmarks.gaussian_conv import unfused_bank as bank
from benchmarks.registry import Case, Skipped
from dotally.ops import gaussian_conv2d

OURS, PEER = "dotally, bilinear", "unfused bank, compiled"


def cases() -> Iterator[Case | Skipped]:
    """Yield the layers, where there is a GPU."""
    for inputs, outputs in (LAYERS[0], LAYERS[-1]):
        name = f"gaussian_conv_{inputs}_{outputs}_compiled"
        yield layer(name, inputs, outputs, GPU) if torch.cuda.is_available() else Skipped(name, "it needs a CUDA GPU")


def layer(name: str, inputs: int, outputs: int, place: Place) -> Case:
    """Return the case of one layer's forward pass."""
    runs: dict[str, Callable[[], Tensor]] = {
        OURS: partial(ours, inputs, outputs, place),
        PEER: partial(compiled_bank, inputs, outputs, place),
    }
    height, width = place.size
    counts = {OURS: OURS, PEER: "unfused bank"}
    return Case(
        name=name,
        about=f"{inputs} to {outputs} channels at {place.batch} x {height} x {width}, forward, the bank compiled",
        ours=OURS,
        implementations=runs,
        gate=partial(_gate, runs, LIMITS[place.dtype][0]),
        repeats=dict.fromkeys(runs, 100),
        facts={"batch": place.batch, "height": height, "width": width, "dtype": str(place.dtype)},
        work={run: count_work(inputs, outputs, place, count, training=False) for run, count in counts.items()},
        rate="bf16",
        device=place.device,
    )


@torch.no_grad()
def ours(inputs: int, outputs: int, place: Place) -> Tensor:
    """Convolve by our operator."""
    a = _inputs(inputs, outputs, place)
    window: dict[str, Any] = {"max_offset": MAX_OFFSET, "max_sigma": MAX_SIGMA}
    return gaussian_conv2d(a["x"], a["weight"], a["mu"], a["sigma"], shift="bilinear", **window)


@torch.no_grad()
def compiled_bank(inputs: int, outputs: int, place: Place) -> Tensor:
    """Convolve by depthwise filters and a 1x1 convolution, compiled for this one shape."""
    a = _inputs(inputs, outputs, place)
    result: Tensor = _compiled(inputs)(a["x"], a["weight"], a["mu"], a["sigma"])
    return result


@cache
def _compiled(inputs: int) -> Callable[..., Any]:
    # autotuned, as fast as it gets without a graph, which would copy the inputs
    return torch.compile(bank, dynamic=False, mode="max-autotune-no-cudagraphs")


@cache
def _inputs(inputs: int, outputs: int, place: Place) -> dict[str, Tensor]:
    kept = ("x", "weight", "mu", "sigma")
    return {name: value for name, value in draw_inputs(inputs, outputs, place).items() if name in kept}


def _gate(runs: dict[str, Callable[[], Tensor]], limit: float) -> None:
    """Compare both results; each may be off by the limit from what is defined."""
    mine, other = (runs[name]().double() for name in (OURS, PEER))
    error = float((mine - other).norm() / mine.norm())
    assert error <= 2 * limit, f"{PEER}: relative L2 difference {error:.2e} above {2 * limit:.0e}"
