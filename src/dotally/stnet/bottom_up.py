"""From a forward pass that was watched down to the stop layer."""

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx

from dotally.stnet.geometry import geometry_of
from dotally.stnet.layer import Layer
from dotally.stnet.network import Observed, evaluating
from dotally.stnet.plan import Plan, is_weighted
from dotally.stnet.registry import MissingRuleError
from dotally.stnet.result import Explanation
from dotally.stnet.target import Target, top_gating


class BottomUp:
    """A forward pass that was watched, from which any class can be explained.

    Attributes:
        logits: ``[B, classes]`` class scores.
    """

    def __init__(self, plan: Plan, images: Tensor, observed: Observed) -> None:
        self._plan, self._observed = plan, observed
        self._image_size = (images.shape[2], images.shape[3])
        self.logits = observed.values[plan.network.output]
        if not isinstance(self.logits, Tensor) or self.logits.ndim != 2:
            shape = tuple(self.logits.shape) if isinstance(self.logits, Tensor) else type(self.logits).__name__
            raise ValueError(f"the network must return class scores [B, classes]; it returned {shape}")

    def explain(self, target: Target = None) -> Explanation:
        """Take one class of each picture down to the stop layer; see ``STNet.__call__``."""
        plan = self._plan
        with torch.inference_mode(False), torch.no_grad():
            top, labels = top_gating(target, self.logits)
            gating = self._descend(top)
        return Explanation(
            gating=gating,
            logits=self.logits,
            labels=labels,
            stop=plan.stop,
            image_size=self._image_size,
            box_rule=plan.box,
            method=plan.method,
            geometry=geometry_of(plan.network, self._observed, plan.network.locate(plan.stop)),
        )

    def activation(self, name: str) -> Tensor:
        """Return the output of the stop layer, or of one to keep, as the forward pass left it.

        Raises:
            ValueError: It is neither.
        """
        if name not in self._plan.wanted:
            raise ValueError(f"the activations of {name} were not kept; name it as stop or in keep")
        return self._observed.values[self._plan.wanted[name]]

    def close(self) -> None:
        """Drop what was recorded."""
        self._observed.values.clear()

    def _descend(self, top: Tensor) -> dict[str, Tensor]:
        if not self._observed.values:
            raise ValueError("this pass is over: explain inside the `with st.observe(images)` block")
        plan, network = self._plan, self._plan.network
        if network.locate(plan.stop) not in self._observed.shapes:
            raise ValueError(f"{plan.stop} does not give one tensor, so nothing can stop there")
        self._check_rules()
        gating: dict[fx.Node, Tensor] = {network.output: top}
        wanted = set(plan.wanted.values())
        for step in plan.walk:
            arrived = gating.get(step) if step in wanted else gating.pop(step, None)
            if arrived is None or step not in self._observed.shapes:
                continue
            for source, share in zip(self._sources(step), self._apply_rule(step, arrived, top), strict=True):
                gating[source] = gating[source] + share if source in gating else share
        tensors = {name: step for name, step in plan.wanted.items() if step in self._observed.shapes}
        return {name: self._finished(gating.get(step), step) for name, step in tensors.items()}

    def _apply_rule(self, step: fx.Node, gating: Tensor, top: Tensor) -> Sequence[Tensor]:
        registered = self._plan.rule_of(step)
        assert registered is not None
        layer = self._layer(step, top, reads_input=registered.reads_input)
        shares = registered.rule(layer, gating)
        expected = [value.shape for value in layer.inputs]
        if [share.shape for share in shares] != expected:
            raise ValueError(
                f"the rule of {layer.label} must return gatings shaped {[tuple(shape) for shape in expected]}, it "
                f"returned {[tuple(share.shape) for share in shares]}"
            )
        return shares

    def _layer(self, step: fx.Node, top: Tensor, *, reads_input: bool) -> Layer:
        plan, network = self._plan, self._plan.network
        values, shapes = self._observed.values, self._observed.shapes
        sources = self._sources(step)
        blank = partial(torch.empty, device=top.device, dtype=torch.float32)
        inputs = tuple(values[source] if reads_input else blank(shapes[source]) for source in sources)
        return Layer(
            name=network.name(step),
            kind=network.kind(step),
            module=network.module(step),
            inputs=inputs,
            run=self._rerun(step),
            options=lambda **defaults: network.options(step, values, defaults),
            settings=plan.settings,
            compat=plan.compat,
            batch_norm=plan.norms.get(step),
            is_top=step in plan.top,
            map_shape=self._map_seen_by(step),
            top=top,
        )

    def _rerun(self, step: fx.Node) -> Callable[..., Any]:
        network, values = self._plan.network, self._observed.values

        def run(*inputs: Tensor) -> Any:
            with evaluating(network.model):
                return network.rerun(step, values, inputs)

        return run

    def _sources(self, step: fx.Node) -> list[fx.Node]:
        return [source for source in self._plan.network.sources(step) if source in self._observed.shapes]

    def _map_seen_by(self, step: fx.Node) -> tuple[int, int, int] | None:
        """Return the shape of the map that was flattened for a step, looking down through layers without weights."""
        shapes, sources = self._observed.shapes, self._sources(step)
        flat = shapes[sources[0]][1:]
        while len(sources) == 1 and not is_weighted(self._plan.network, sources[0]):
            shape = shapes[sources[0]]
            if len(shape) == 4:
                channels, height, width = shape[1:]
                seen = flat == (channels * height * width,) and height * width > 1
                return (channels, height, width) if seen else None
            sources = self._sources(sources[0])
        return None

    def _finished(self, gating: Tensor | None, step: fx.Node) -> Tensor:
        if gating is None:
            gating = torch.zeros(self._observed.shapes[step], device=self.logits.device)
        return gating.clamp(min=0) if self._plan.method == "contrastive" else gating

    def _check_rules(self) -> None:
        plan, network = self._plan, self._plan.network
        steps = [step for step in plan.walk if step in self._observed.shapes]
        missing = [step for step in steps if plan.rule_of(step) is None]
        # a result in several tensors is nothing a rule can be given
        several = (source for step in steps if not self._sources(step) for source in network.sources(step))
        missing += several
        if missing:
            labels = [f"{network.name(step)} ({_kind_name(network.kind(step))})" for step in missing]
            raise MissingRuleError(
                f"no {plan.method} rule for {', '.join(dict.fromkeys(labels))}: register one with "
                f"dotally.stnet.register_rule(kind, rule), where pass_through is the rule of a layer that changes "
                f"values but no positions; or stop above"
            )


def _kind_name(kind: Hashable) -> str:
    return str(getattr(kind, "__name__", kind))
