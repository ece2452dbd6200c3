"""Networks by name."""

import difflib
import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from torch import nn

_Network = TypeVar("_Network", bound=Callable[..., nn.Module])
_NETWORKS: dict[str, Callable[..., nn.Module]] = {}


def register(name: str) -> Callable[[_Network], _Network]:
    """Make the decorated class or function available as ``build_model(name)``; its arguments need defaults.

    Raises:
        ValueError: If the name is taken.
    """

    def add(network: _Network) -> _Network:
        if name in _NETWORKS:
            raise ValueError(f"a network named {name!r} is registered already")
        _NETWORKS[name] = network
        return network

    return add


def list_models() -> list[str]:
    """Return the names :func:`build_model` knows, sorted."""
    return sorted(_NETWORKS)


def build_model(name: str, **kwargs: Any) -> nn.Module:
    """Build a network with freshly drawn weights. Never uses the network and never reads a file.

    Args:
        name: One of :func:`list_models`.
        kwargs: Arguments of the network, for instance ``backend="C"`` of "csrnet".

    Raises:
        ValueError: If the name or an argument is unknown (the message lists the known ones), or the network
            refuses an argument's value.
    """
    if name not in _NETWORKS:
        raise ValueError(_unknown("network", name, list_models()))
    network = _NETWORKS[name]
    known = inspect.signature(network).parameters
    for argument in kwargs:
        if argument not in known:
            raise ValueError(_unknown(f"argument of {name}", argument, known))
    return network(**kwargs)


def _unknown(what: str, given: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(given, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"unknown {what}: {given!r}.{hint} Known: {', '.join(known)}."
