"""Reading a network's forward pass with ``torch.fx``, as one that changes nothing in place."""

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from typing_extensions import override

_OUT_OF_PLACE: dict[Any, Any] = {
    torch.relu_: torch.relu,
    torch.dropout_: torch.dropout,
    operator.iadd: operator.add,
    operator.imul: operator.mul,
}
_WITH_INPLACE_SECOND = (F.relu, F.relu6)


def trace(model: nn.Module, is_leaf: Callable[[nn.Module], bool]) -> fx.Graph:
    """Return the steps of a network's forward pass in the mode it is in; what it does in place is done out of place.

    Args:
        model: The network.
        is_leaf: Says which modules to take as one step, besides those of ``torch.nn``.

    Raises:
        ValueError: torch.fx cannot trace it.
    """
    try:
        graph = _Tracer(is_leaf).trace(model)
    except Exception as error:
        raise ValueError(
            f"torch.fx cannot read {type(model).__name__}: {error}. Take control flow that depends on the picture out "
            f"of its forward, or put it into a module of its own and register a rule for that"
        ) from error
    _undo_in_place(graph, dict(model.named_modules(remove_duplicate=False)))
    return graph


class _Tracer(fx.Tracer):
    def __init__(self, is_leaf: Callable[[nn.Module], bool]) -> None:
        super().__init__()
        self._is_leaf = is_leaf

    @override
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return self._is_leaf(m) or super().is_leaf_module(m, module_qualified_name)

    @override
    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        # forward itself, not the call around it: a user's hooks must not be handed the tracer's stand-ins
        return super().call_module(m, m.forward, args, kwargs)


def _undo_in_place(graph: fx.Graph, modules: dict[str, nn.Module]) -> None:
    position = {step: index for index, step in enumerate(graph.nodes)}
    for step in graph.nodes:
        if not _make_out_of_place(step, modules):
            continue
        source = step.all_input_nodes[0]
        # who read the tensor after it was changed in place, read the changed values
        source.replace_all_uses_with(step, delete_user_cb=lambda user, at=position[step]: position[user] > at)


def _make_out_of_place(step: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Let a step leave its argument alone; say whether it did not before."""
    if step.op == "call_module":
        return bool(getattr(modules[str(step.target)], "inplace", False))
    if step.op == "call_method" and str(step.target).endswith("_") and not str(step.target).endswith("__"):
        step.target = str(step.target)[:-1]
        return True
    if step.op == "call_function" and step.target in _OUT_OF_PLACE:
        step.target = _OUT_OF_PLACE[step.target]
        return True
    if step.kwargs.get("inplace"):
        step.kwargs = {**step.kwargs, "inplace": False}
        return True
    if step.target in _WITH_INPLACE_SECOND and len(step.args) > 1 and step.args[1]:
        step.args = step.args[:1]
        return True
    return False
