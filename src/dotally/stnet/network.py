"""A user's network as a list of steps, without touching it."""

import operator
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg
from torch.utils._pytree import tree_map_only

from dotally.stnet.tracing import trace


class Observed(NamedTuple):
    """What one forward pass left behind.

    Attributes:
        values: Results of the steps that were asked for, of all that are no tensors, and of those without the picture.
        shapes: Shape of every tensor on the way.
    """

    values: dict[fx.Node, Any]
    shapes: dict[fx.Node, torch.Size]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode, and every part of it back into its own afterwards."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


class Network:
    """The steps of a network's forward pass in evaluation mode, read by ``torch.fx``.

    The network's own modules are run, so its weights may change between passes; its structure may not. What the
    network does in place is done out of place here. Hooks of leaf modules fire once in each forward pass, those of
    containers do not.

    Args:
        model: Any network that torch.fx can trace: no control flow that depends on the picture.
        is_leaf: Says which modules to take as one step, besides those of ``torch.nn``.

    Attributes:
        model: The network.
        steps: All steps in the order of execution.
        image: The step that is the picture.
        output: The step that gives the class scores.

    Raises:
        ValueError: torch.fx cannot trace it, or it does not return one tensor of one picture.
    """

    def __init__(self, model: nn.Module, is_leaf: Callable[[nn.Module], bool]) -> None:
        self.model = model
        self._modules = dict(model.named_modules(remove_duplicate=False))
        with evaluating(model):
            self._graph = trace(model, is_leaf)
        self.steps: list[fx.Node] = list(self._graph.nodes)
        self.image = _picture(self.steps, model)
        self.output = _single_output(self.steps, model)
        self.depends_on_image = self.downstream([self.image])
        self._last_users = _last_users(self.steps)

    def module(self, step: fx.Node) -> nn.Module | None:
        """Return the module a step calls, None for functions and methods."""
        return self._modules[str(step.target)] if step.op == "call_module" else None

    def kind(self, step: fx.Node) -> Hashable:
        """Return a step's module class, function or tensor method."""
        if step.op == "call_method":
            return getattr(torch.Tensor, str(step.target))
        module = self.module(step)
        kind: Any = step.target if module is None else type(module)
        return kind

    def name(self, step: fx.Node) -> str:
        """Return "image", the path of the step's module, or the name of the call."""
        if step is self.image:
            return "image"
        return str(step.target) if step.op == "call_module" else step.name

    def names(self) -> list[str]:
        """Return every name :meth:`locate` accepts, in the order of the forward pass."""
        found = {"image": None}
        for step in self.steps:
            if step.op.startswith("call"):
                paths = step.meta.get("nn_module_stack", {})
                found.update(dict.fromkeys(path for path in paths if "@" not in path))
                found[self.name(step)] = None
        return list(found)

    def locate(self, name: str) -> fx.Node:
        """Return the step whose result is the output of the named module (or of the named call, or the image).

        Raises:
            ValueError: There is none, or the module gives several results.
        """
        if name == "image":
            return self.image
        calls = [step for step in self.steps if step.op == "call_module" and step.target == name]
        inside = calls or [step for step in self.steps if name in step.meta.get("nn_module_stack", {})]
        ends = [step for step in inside if not set(step.users) or not set(step.users) <= set(inside)]
        ends = calls or ends or [step for step in self.steps if step.name == name]
        if not ends:
            raise ValueError(f"no layer is called {name!r} in {_type(self.model)}; known are {', '.join(self.names())}")
        if len(ends) > 1:
            raise ValueError(
                f"{name} gives {len(ends)} results ({', '.join(end.name for end in ends)}): name one of them, or a "
                f"layer that is called once"
            )
        return ends[0]

    def downstream(self, steps: Collection[fx.Node]) -> set[fx.Node]:
        """Return the given steps and all whose results depend on theirs."""
        found = set(steps)
        for step in self.steps:
            if any(source in found for source in step.all_input_nodes):
                found.add(step)
        return found

    def upstream(self, step: fx.Node) -> set[fx.Node]:
        """Return the given step and all that its result depends on."""
        found = {step}
        for other in reversed(self.steps):
            if other in found:
                found.update(other.all_input_nodes)
        return found

    def run(self, images: Tensor, keep: Collection[fx.Node]) -> Observed:
        """Run the network, keeping the results of some steps and dropping the others as soon as they are used.

        Args:
            images: ``[B, C, H, W]``.
            keep: Steps whose results are kept.
        """
        values: dict[fx.Node, Any] = {}
        shapes: dict[fx.Node, torch.Size] = {}
        for step in self.steps:
            value = images if step is self.image else self._compute(step, values)
            values[step] = value
            if isinstance(value, Tensor):
                shapes[step] = value.shape
            for used in self._last_users[step]:
                if used not in keep and used in shapes and used in self.depends_on_image:
                    del values[used]
        return Observed(values, shapes)

    def sources(self, step: fx.Node) -> list[fx.Node]:
        """Return the steps whose results a step takes and which depend on the image, one entry for each use."""
        found: list[fx.Node] = []
        map_arg((step.args, step.kwargs), found.append)
        return [source for source in found if source in self.depends_on_image]

    def rerun(self, step: fx.Node, values: dict[fx.Node, Any], inputs: Collection[Tensor]) -> Any:
        """Compute a step again with other tensors in place of those of :meth:`sources`; no hook fires."""
        replaced = iter(inputs)

        def value(node: fx.Node) -> Any:
            changed = node in self.depends_on_image and (node not in values or isinstance(values[node], Tensor))
            return next(replaced) if changed else values[node]

        args, kwargs = map_arg((step.args, step.kwargs), value)
        module = self.module(step)
        if module is None:
            return self._call(step, args, kwargs)
        args, kwargs = _fresh(module, (args, kwargs))
        return module.forward(*args, **kwargs)

    def options(self, step: fx.Node, values: dict[fx.Node, Any], defaults: dict[str, Any]) -> dict[str, Any]:
        """Look up attributes of a step's module, or arguments of its call after the first; see ``Layer.options``."""
        module = self.module(step)
        if module is not None:
            return {name: getattr(module, name) for name in defaults}
        args, kwargs = map_arg((step.args[1:], step.kwargs), lambda node: values.get(node))
        given = dict(zip(defaults, args, strict=False)) | {key: kwargs[key] for key in defaults if key in kwargs}
        return defaults | given

    def _compute(self, step: fx.Node, values: dict[fx.Node, Any]) -> Any:
        if step.op == "placeholder":
            return step.args[0]
        if step.op == "get_attr":
            return operator.attrgetter(str(step.target))(self.model)
        args, kwargs = map_arg((step.args, step.kwargs), values.__getitem__)
        module = self.module(step)
        if module is None:
            return self._call(step, args, kwargs)
        args, kwargs = _fresh(module, (args, kwargs))
        return module(*args, **kwargs)

    def _call(self, step: fx.Node, args: Any, kwargs: Any) -> Any:
        if step.op == "output":
            return args[0]
        if step.op == "call_method":
            return getattr(args[0], str(step.target))(*args[1:], **kwargs)
        assert callable(step.target)
        return step.target(*args, **kwargs)


def _fresh(module: nn.Module, values: Any) -> Any:
    """Copy the tensors that a module would change in place."""
    return tree_map_only(Tensor, Tensor.clone, values) if getattr(module, "inplace", False) else values


def _picture(steps: list[fx.Node], model: nn.Module) -> fx.Node:
    given = [step for step in steps if step.op == "placeholder"]
    missing = [step.name for step in given[1:] if not step.args]
    if not given or missing:
        raise ValueError(f"{_type(model)} must be a function of pictures alone; its forward also wants {missing}")
    return given[0]


def _single_output(steps: list[fx.Node], model: nn.Module) -> fx.Node:
    result = steps[-1].args[0]
    if not isinstance(result, fx.Node):
        raise ValueError(f"{_type(model)} must return one tensor of class scores [B, C]; it returns {result}")
    return result


def _last_users(steps: list[fx.Node]) -> dict[fx.Node, list[fx.Node]]:
    found: dict[fx.Node, list[fx.Node]] = defaultdict(list)
    seen: set[fx.Node] = set()
    for step in reversed(steps):
        for source in (*step.all_input_nodes, step):
            if source not in seen:
                seen.add(source)
                found[step].append(source)
    return found


def _type(model: nn.Module) -> str:
    return type(model).__name__
