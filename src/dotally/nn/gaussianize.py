"""Turning the convolutions of any network into Gaussian ones."""

import fnmatch
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from dotally.nn.cost import Counted, counting, flops_per_position, shadow
from dotally.nn.gaussian_conv2d import GaussianConv2d
from dotally.nn.gaussian_setting import side

Select = Callable[[str, nn.Conv2d], bool] | Iterable[str]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What became of one convolution, or of the whole network.

    Attributes:
        name: Of the module within the network; "network" for the whole.
        before: Its kernel.
        after: Its Gaussians.
        parameters: Trainable and fixed parameters (before, after).
        flops: Of one picture (before, after); None without a picture's size.
    """

    name: str
    before: str
    after: str
    parameters: tuple[int, int]
    flops: tuple[int, int] | None


@dataclass(frozen=True, kw_only=True)
class Report:
    """What :func:`gaussianize` did; ``print`` shows it as a table."""

    changes: tuple[Change, ...]
    network: Change

    def __str__(self) -> str:
        rows = [("layer", "before", "after", "parameters", "GFLOP")]
        rows += [
            (c.name, c.before, c.after, _arrow(c.parameters), _giga(c.flops)) for c in (*self.changes, self.network)
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def gaussianize(model: nn.Module, select: Select, *, input_size: Sequence[int] | None = None, **kwargs: Any) -> Report:
    """Replace chosen convolutions of a network by :class:`GaussianConv2d`, in place.

    Stride, dilation, bias, device and dtype stay; the weights are drawn afresh. Sizes stay too, because only
    convolutions with padding "same" can be chosen.

    Args:
        model: Any network.
        select: Which convolutions: names and patterns ("backend.*", matched as file names are), or a function of a
            convolution's name and itself.
        input_size: ``(channels, height, width)`` of a picture, to count operations; the network has to run on the
            "meta" device then. None counts parameters only.
        kwargs: Arguments of :class:`GaussianConv2d`. ``max_offset`` is by default as far as the replaced kernel
            reaches, at least 1 pixel (tap, where it is dilated).

    Returns:
        Parameters and operations before and after.

    Raises:
        ValueError: If a pattern chooses nothing, or a chosen convolution is grouped, not square or padded otherwise
            than "same"; the network is then unchanged.
    """
    chosen = _choose(model, select)
    made = {name: _gaussian(name, convolution, kwargs) for name, convolution in chosen.items()}
    positions = _positions(model, input_size) if input_size is not None else None
    parameters, flops = _count(model), _network_flops(model, positions)
    changes = tuple(_change(name, chosen[name], made[name], positions) for name in chosen)
    twins = {id(chosen[name]): made[name] for name in chosen}
    for name, module in list(model.named_modules(remove_duplicate=False)):
        if id(module) in twins:
            model.set_submodule(name, twins[id(module)], strict=True)
    network = Change(
        name="network",
        before="",
        after=f"{len(changes)} replaced",
        parameters=(parameters, _count(model)),
        flops=None if flops is None else (flops, flops + sum(c.flops[1] - c.flops[0] for c in changes if c.flops)),
    )
    return Report(changes=changes, network=network)


def _choose(model: nn.Module, select: Select) -> dict[str, nn.Conv2d]:
    known = {name: module for name, module in model.named_modules() if type(module) is nn.Conv2d}
    if "" in known:
        raise ValueError("the network is one convolution itself; build a GaussianConv2d in its place")
    if callable(select):
        chosen = {name: module for name, module in known.items() if select(name, module)}
        if not chosen:
            raise ValueError(f"select chose none of the {len(known)} convolutions")
        return chosen
    names: set[str] = set()
    for pattern in [select] if isinstance(select, str) else select:
        found = fnmatch.filter(known, pattern)
        if not found:
            some = ", ".join(list(known)[:5]) or "none"
            raise ValueError(f"no convolution is named {pattern!r}; there are {len(known)}: {some}, ...")
        names.update(found)
    if not names:
        raise ValueError("select is empty")
    return {name: known[name] for name in known if name in names}


def _gaussian(name: str, convolution: nn.Conv2d, kwargs: dict[str, Any]) -> GaussianConv2d:
    try:
        layer = _twin(convolution, kwargs)
    except ValueError as error:
        raise ValueError(f"{name} cannot become Gaussian: {error}") from error
    return layer.train(convolution.training)


def _twin(convolution: nn.Conv2d, kwargs: dict[str, Any]) -> GaussianConv2d:
    taps, stride = side("kernel_size", convolution.kernel_size), side("stride", convolution.stride)
    dilation = side("dilation", convolution.dilation)
    reach = dilation * (taps // 2)
    same = convolution.padding in ("same", (reach, reach)) and convolution.padding_mode == "zeros" and taps % 2 == 1
    if not same or convolution.groups != 1:
        raise ValueError(f"it is grouped or its padding is not 'same': {convolution}")
    weight = convolution.weight
    return GaussianConv2d(
        convolution.in_channels,
        convolution.out_channels,
        stride=stride,
        dilation=dilation,
        bias=convolution.bias is not None,
        device=weight.device,
        dtype=weight.dtype,
        **{"max_offset": max(1, taps // 2), **kwargs},
    )


def _change(name: str, before: nn.Conv2d, after: GaussianConv2d, positions: dict[str, int] | None) -> Change:
    kernel = "x".join(map(str, before.kernel_size)) + (f" /{after.stride}" if after.stride > 1 else "")
    at = None if positions is None else positions.get(name, 0)
    return Change(
        name=name,
        before=kernel,
        after=f"K = {after.num_gaussians}",
        parameters=(_count(before), _count(after)),
        flops=None if at is None else (at * flops_per_position(before), at * flops_per_position(after)),
    )


def _positions(model: nn.Module, input_size: Sequence[int]) -> dict[str, int]:
    """Return how many positions the output of each counted layer has."""
    without_numbers = shadow(model).eval()
    first = next(without_numbers.parameters())
    with torch.no_grad(), counting(without_numbers) as found:
        without_numbers(torch.empty(1, *input_size, device="meta", dtype=first.dtype))
    return {name: positions.forward for name, positions in found.items()}


def _network_flops(model: nn.Module, positions: dict[str, int] | None) -> int | None:
    if positions is None:
        return None
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, Counted)}
    return sum(count * flops_per_position(layers[name]) for name, count in positions.items())


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _arrow(pair: tuple[int, int]) -> str:
    return f"{pair[0]:,} -> {pair[1]:,}"


def _giga(pair: tuple[int, int] | None) -> str:
    return "" if pair is None else f"{pair[0] / 1e9:.3g} -> {pair[1] / 1e9:.3g}"
