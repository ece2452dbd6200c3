"""Which steps of a network a top-down pass walks through, decided once."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import torch
from torch import fx, nn

from dotally.stnet.boxes import BoxRule
from dotally.stnet.excitation import differentiate
from dotally.stnet.network import Network
from dotally.stnet.registry import METHODS, Method, Registered, Rule, find_rule, has_own_rule
from dotally.stnet.settings import Compat, Settings

_WEIGHTED = (nn.Conv2d, nn.Linear, torch.conv2d, nn.functional.linear)
_NORMS = {nn.Conv2d: nn.BatchNorm2d, nn.Linear: nn.BatchNorm1d}
_DIFFERENTIATE = Registered(differentiate, reads_input=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """A top-down pass before its pictures.

    Attributes:
        network: The network's steps.
        method: Whose rules.
        compat: "fixed" or "release".
        settings: Constants of the selection.
        box: How maps become boxes.
        stop: Name of the stop layer.
        rules: Rules that go before the registered ones.
        wanted: By name, the steps whose gating is returned.
        walk: The steps the gating is taken through, from the top down.
        norms: The batch normalisation behind each weighted step whose output nothing else sees.
        top: The weighted steps between which and the class scores no other lies.
    """

    network: Network
    method: Method
    compat: Compat
    settings: Settings
    box: BoxRule
    stop: str
    rules: dict[Hashable, Rule]
    wanted: dict[str, fx.Node]
    walk: list[fx.Node]
    norms: dict[fx.Node, nn.Module]
    top: set[fx.Node]

    def rule_of(self, step: fx.Node) -> Registered | None:
        """Return the rule for a step, None where there is none."""
        rule = find_rule(self.network.kind(step), self.method, self.rules)
        return _DIFFERENTIATE if rule is None and self.method == "gradient" else rule

    def kept(self) -> set[fx.Node]:
        """Return the steps whose results the rules read."""
        kept = {self.network.output, *self.wanted.values()}
        for step in self.walk:
            rule = self.rule_of(step)
            if rule is not None and rule.reads_input:
                kept.update(self.network.sources(step))
        return kept


def make_plan(
    model: nn.Module,
    *,
    stop: str,
    compat: Compat,
    method: Method,
    settings: Settings,
    box: BoxRule,
    keep: Sequence[str] | Literal["all"],
    rules: dict[Hashable, Rule],
) -> Plan:
    """Read a network and find the way from its class scores down to the wanted layers; see ``STNet``."""
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    if compat not in get_args(Compat):
        raise ValueError(f"compat must be 'fixed' or 'release'; got {compat!r}")
    network = Network(model, partial(has_own_rule, own=rules))
    wanted = {stop: _locate(network, stop)} | _locate_all(network, keep)
    return Plan(
        network=network,
        method=method,
        compat=compat,
        settings=settings,
        box=box,
        stop=stop,
        rules=rules,
        wanted=wanted,
        walk=_walk(network, set(wanted.values())),
        norms=_folded_norms(network),
        top=_top_layers(network),
    )


def is_weighted(network: Network, step: fx.Node) -> bool:
    """Say whether a step is a convolution or linear layer."""
    kind = network.kind(step)
    return kind in _WEIGHTED or (isinstance(kind, type) and issubclass(kind, nn.Conv2d | nn.Linear))


def _locate(network: Network, name: str) -> fx.Node:
    step = network.locate(name)
    if step not in network.upstream(network.output):
        raise ValueError(f"the class scores do not depend on {name}")
    return step


def _locate_all(network: Network, keep: Sequence[str] | Literal["all"]) -> dict[str, fx.Node]:
    if keep != "all":
        return {name: _locate(network, name) for name in keep}
    found = {}
    for name in network.names():
        try:
            found[name] = _locate(network, name)
        except ValueError:
            continue
    return found


def _walk(network: Network, wanted: set[fx.Node]) -> list[fx.Node]:
    users = {user for step in wanted for user in step.users}
    above = network.downstream(users) & network.upstream(network.output)
    return [step for step in reversed(network.steps) if step in above]


def _folded_norms(network: Network) -> dict[fx.Node, nn.Module]:
    found = {}
    for step in network.steps:
        layer, users = network.module(step), list(step.users)
        norm = network.module(users[0]) if len(users) == 1 else None
        if any(isinstance(layer, kind) and isinstance(norm, wanted) for kind, wanted in _NORMS.items()):
            assert norm is not None
            found[step] = norm
    return found


def _top_layers(network: Network) -> set[fx.Node]:
    found, open_steps = set(), {network.output}
    for step in reversed(network.steps):
        if step not in open_steps:
            continue
        if is_weighted(network, step):
            found.add(step)
        else:
            open_steps.update(network.sources(step))
    return found
