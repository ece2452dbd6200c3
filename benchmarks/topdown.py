"""Top-down passes beside the forward passes they explain, and a dense pass of one layer beside its sparse one.

Weights are drawn by He's rule from seed 0, pictures from seed 1. The pass is timed alone, after a forward that recorded
what it reads. A dense pass, where every unit of a layer is active, is what a pass without lists of active units costs.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache, partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.registry import Case
from benchmarks.timing import captured
from dotally.models import build_model
from dotally.models.cost import network_cost
from dotally.ops import td_conv2d
from dotally.stnet import STNet
from dotally.stnet.bottom_up import BottomUp
from dotally.stnet.network import evaluating

LAYER = "features.6"  # of AlexNet: 192 to 384 channels, 3 x 3 on 13 x 13 cells
# stop layers by network; VGG-16's pool3 is that of the published table
PASSES = (("alexnet", "image", "the image"), ("vgg16", "features.16", "pool3"))
GPU_PASSES = (("vgg16", "features.23", "pool4"),)
_OPEN = ExitStack()  # recorded forward passes, for as long as the program runs


class Pass(NamedTuple):
    """A network with its pictures, and the forward pass that a top-down pass starts from."""

    model: nn.Module
    images: Tensor
    seen: BottomUp


def cases() -> Iterator[Case]:
    """Yield the passes of whole networks, then one layer."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch = 64 if device == "cuda" else 8
    for name, stop, where in (*PASSES, *(GPU_PASSES if device == "cuda" else ())):
        yield _pass_case(name, stop, where, batch, device)
        if device == "cuda":
            yield graph_case(name, stop, where, batch, device)
    yield _layer_case(batch if device == "cuda" else 1, device)  # a dense pass takes long


def _pass_case(name: str, stop: str, where: str, batch: int, device: str) -> Case:
    implementations: dict[str, Callable[[], object]] = {
        "top-down pass": lambda: observed(name, stop, batch, device).seen.explain(),
        "forward": lambda: _forward(observed(name, stop, batch, device)),
    }
    if device == "cuda":
        implementations["forward, bf16"] = lambda: _forward(observed(name, stop, batch, device), half=True)
    return Case(
        name=f"topdown_{name}_to_{where.removeprefix('the ')}{'_cpu' if device == 'cpu' else ''}",
        about=f"{name}, {batch} pictures of 224x224, random weights, top-down pass to {where}",
        ours="top-down pass",
        implementations=implementations,
        gate=partial(_gate_pass, name, stop, batch, device),
        repeats=dict.fromkeys(implementations, 5 if device == "cpu" else 20),
        facts={"batch": batch, "side": 224, "stop": stop, "seed": 0},
        work={"forward": (_forward_flops(name, batch), 0.0)},
        device=device,
    )


def graph_case(name: str, stop: str, where: str, batch: int, device: str) -> Case:
    """Return the case of a pass launched kernel by kernel and as one CUDA graph, apart because capturing may fail."""

    @cache
    def held() -> tuple[Callable[[], object], list[Tensor]]:
        seen = observed(name, stop, batch, device).seen
        given: list[Tensor] = []

        def take() -> None:
            given[:] = [seen.explain().gating[stop]]

        return captured(take), given

    def check() -> None:
        expected = observed(name, stop, batch, device).seen.explain().gating[stop]
        replay, given = held()
        given[0].zero_()
        replay()
        assert torch.equal(given[0], expected), "the replayed pass gives another gating"

    implementations: dict[str, Callable[[], object]] = {
        "dotally, CUDA graph": lambda: held()[0](),
        "top-down pass": lambda: observed(name, stop, batch, device).seen.explain(),
    }
    return Case(
        name=f"topdown_{name}_to_{where.removeprefix('the ')}_graph",
        about=f"{name}, {batch} pictures of 224x224, random weights, to {where}: launched one by one, or as a graph",
        ours="top-down pass",
        implementations=implementations,
        gate=check,
        repeats=dict.fromkeys(implementations, 20),
        facts={"batch": batch, "side": 224, "stop": stop, "seed": 0},
        device=device,
    )


def _layer_case(batch: int, device: str) -> Case:
    def run(*, dense: bool) -> Tensor:
        h, weight, gating = _layer(batch, device)
        return td_conv2d(h, weight, torch.ones_like(gating) if dense else gating, padding=1)

    def forward() -> Tensor:
        h, weight, _ = _layer(batch, device)
        return torch.nn.functional.conv2d(h, weight, padding=1)

    return Case(
        name=f"topdown_layer{'_cpu' if device == 'cpu' else ''}",
        about=f"one convolution, 192 to 384 channels, 3x3, {batch} x 13 x 13: the pass's own units, and all of them",
        ours="active units",
        implementations={
            "active units": partial(run, dense=False),
            "every unit": partial(run, dense=True),
            "forward of the layer": forward,
        },
        gate=partial(_gate_layer, batch, device),
        repeats={"active units": 5, "every unit": 1, "forward of the layer": 5},
        facts={"batch": batch, "layer": f"alexnet {LAYER}", "seed": 0},
        work={"forward of the layer": (2.0 * batch * 13 * 13 * 384 * 192 * 9, 0.0)},
        device=device,
    )


@cache
def observed(name: str, stop: str, batch: int, device: str, keep: Literal["all"] | tuple[str, ...] = ()) -> Pass:
    """Return a network after a forward pass that recorded what a top-down pass reads.

    Args:
        name: Of the network.
        stop: Layer where the pass ends.
        batch: Pictures.
        device: "cpu" or "cuda".
        keep: Further layers whose gatings are returned.
    """
    torch.manual_seed(0)
    model = build_model(name).eval().requires_grad_(False).to(device)
    images = torch.randn(batch, 3, 224, 224, generator=torch.Generator().manual_seed(1)).to(device)
    seen = _OPEN.enter_context(STNet(model, stop=stop, keep=keep).observe(images))
    return Pass(model, images, seen)


def _forward(given: Pass, *, half: bool = False) -> Tensor:
    amp = torch.autocast(given.images.device.type, torch.bfloat16, enabled=half)
    with torch.no_grad(), evaluating(given.model), amp:
        result: Tensor = given.model(given.images)
    return result


@cache
def _layer(batch: int, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Return input, weight and gating of one layer on AlexNet's way down."""
    torch.manual_seed(0)
    model = build_model("alexnet").eval().requires_grad_(False).to(device)
    images = torch.randn(batch, 3, 224, 224, generator=torch.Generator().manual_seed(1)).to(device)
    below = f"features.{int(LAYER.removeprefix('features.')) - 1}"
    with STNet(model, stop=below, keep=[LAYER]).observe(images) as seen:
        found = seen.explain().gating[LAYER]
        h = seen.activation(below).clone()
    layer = model.get_submodule(LAYER)
    assert isinstance(layer, nn.Conv2d)
    return h, layer.weight, found


def _gate_pass(name: str, stop: str, batch: int, device: str) -> None:
    """Want a finite map whose mass is at most 1 a picture, the same again, and the same for a picture alone."""
    found = observed(name, stop, batch, device)
    first, again = (found.seen.explain() for _ in range(2))
    gating = first.gating[stop]
    mass = gating.flatten(1).sum(1)
    assert bool(torch.isfinite(gating).all()), "the gating is not finite"
    assert bool((gating >= 0).all() and (mass <= 1 + 1e-4).all() and mass.max() > 0), f"masses are {mass.tolist()}"
    assert torch.equal(gating, again.gating[stop]), "a second pass gives another gating"
    assert bool((_forward(found) == first.logits).all()), "the recorded forward pass is another one"


def _gate_layer(batch: int, device: str) -> None:
    """Want the gating's mass handed down, and a pass over two halves of the units to add up to that over all."""
    h, weight, gating = _layer(batch, device)
    whole = td_conv2d(h, weight, gating, padding=1)
    half = torch.arange(gating.shape[1], device=gating.device).remainder(2).view(1, -1, 1, 1)
    parts = [td_conv2d(h, weight, gating * share, padding=1) for share in (half, 1 - half)]
    torch.testing.assert_close(parts[0] + parts[1], whole, atol=1e-5, rtol=1e-4)
    assert float(whole.sum()) <= float(gating.sum()) + 1e-4, "mass was made"
    assert float(whole.sum()) > 0, "nothing was handed down"


def _forward_flops(name: str, batch: int) -> float:
    with torch.device("meta"):
        model = build_model(name)
    return float(network_cost(model, (224, 224), batch=batch).flops)
