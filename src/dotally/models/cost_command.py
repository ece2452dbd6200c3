"""``dotally cost``: what networks take at a size, before any is trained."""

import argparse
import json
import re
import sys
from typing import TYPE_CHECKING, Any

from dotally.arguments import whole
from dotally.errors import DotallyError

if TYPE_CHECKING:
    from dotally.models.cost import Cost


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments; imports nothing that takes time."""
    add = parser.add_argument
    add("networks", nargs="*", metavar="NETWORK", help="names such as csrnet (default: all)")
    add("--size", type=_size, default=(768, 1024), metavar="WxH", help="of a picture in pixels (default: 1024x768)")
    add("--batch", type=whole(1), default=1, metavar="N", help="pictures (default: 1)")
    add("--set", nargs="+", default=[], metavar="KEY=VALUE", help="arguments of the network, such as width=0.125")
    parser.epilog = (
        "Operations are those of convolutions and linear layers, two per multiply-add. Traffic is what operations read "
        "and write one by one, in float32. Memory holds weights, pictures and maps, and gradients in training; what an "
        "operation needs while it runs and an optimizer's state (AdamW: 8 bytes a parameter) come on top."
    )


def run(arguments: argparse.Namespace) -> int:
    """Print a table of costs.

    Raises:
        DotallyError: A network or an argument of it is unknown, or it does not take pictures of this size.
    """
    import torch

    from dotally.models import build_model, list_models
    from dotally.models.cost import network_cost

    chosen = arguments.networks or list_models()
    options = dict(map(_setting, arguments.set))
    rows = []
    for name in chosen:
        try:
            with torch.device("meta"):
                model = build_model(name, **options)
            rows.append(_row(name, network_cost(model, arguments.size, batch=arguments.batch)))
        except (ValueError, TypeError) as error:  # a value of the wrong kind, such as width=wide
            if arguments.networks:
                raise DotallyError(str(error)) from error
            rows.append((name, f"({error})"))
    height, width = arguments.size
    what = f"{arguments.batch} x {width}x{height} pixels, float32; training: a whole step without the optimizer"
    sys.stdout.write(f"{what}\n\n{_aligned([_HEADER, *rows])}\n")
    return 0


_HEADER = ("network", "parameters", "GFLOP", "training", "GB moved", "training", "MB memory", "training", "field")


def _row(name: str, cost: "Cost") -> tuple[str, ...]:
    work = (_digits(value / 1e9) for value in (cost.flops, cost.training_flops, cost.moved, cost.training_moved))
    memory = (f"{value / 1e6:,.0f}" for value in (cost.memory, cost.training_memory))
    field = "-" if cost.receptive_field is None else f"{cost.receptive_field} px"
    return name, f"{cost.parameters:,}", *work, *memory, field


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _aligned(rows: list[tuple[str, ...]]) -> str:
    whole = [row for row in rows if len(row) == len(_HEADER)]
    widths = [max(len(row[column]) for row in whole) for column in range(len(_HEADER))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=False))
        ).rstrip()
        for row in rows
    ]
    return "\n".join(lines)


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise DotallyError(f"--set takes KEY=VALUE, such as width=0.125, got {text!r}")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value  # a word, such as backend=C


def _size(text: str) -> tuple[int, int]:
    if not (found := re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)):
        raise argparse.ArgumentTypeError(f"must be WIDTHxHEIGHT, such as 1024x768, got {text!r}")
    return int(found[2]), int(found[1])
