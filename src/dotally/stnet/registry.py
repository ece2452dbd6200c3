"""Which rule takes the gating through which kind of layer."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from torch import Tensor, nn

from dotally.errors import DotallyError

if TYPE_CHECKING:
    from dotally.stnet.layer import Layer

Method = Literal["stnet", "excitation", "contrastive", "gradient"]
Rule = Callable[["Layer", Tensor], Sequence[Tensor]]

METHODS: tuple[Method, ...] = ("stnet", "excitation", "contrastive", "gradient")


class MissingRuleError(DotallyError):
    """The gating arrived at a layer that no rule takes it through."""


class Registered(NamedTuple):
    """A rule, and whether it looks at the layer's inputs (which are kept for it then)."""

    rule: Rule
    reads_input: bool


_RULES: dict[Method, dict[Hashable, Registered]] = {method: {} for method in METHODS}


def register_rule(
    kind: Hashable,
    rule: Rule,
    *,
    methods: Sequence[Method] = ("stnet", "excitation", "contrastive"),
    reads_input: bool = True,
) -> None:
    """Teach the top-down pass a kind of layer; a rule that was registered for it before is replaced.

    Args:
        kind: A module class, a function as the network's ``forward`` calls it (``torch.flatten``), or a tensor method
            (``torch.Tensor.view``). Modules of exactly this class are taken as a whole; other classes are looked into,
            so that a subclass that computes its weights is understood by what it computes.
        rule: ``rule(layer, gating)`` returns one gating for each of ``layer.inputs``, shaped like it; ``gating`` is
            ``[B, ...]`` float32, shaped like the layer's output. To conserve mass the returned gatings sum to it.
            :func:`dotally.stnet.pass_through` is the rule of layers that change values but no positions.
        methods: The methods it serves. "gradient" differentiates any layer by itself and needs none.
        reads_input: False where the rule looks at shapes only; the layer's inputs then need not be kept, and
            ``layer.inputs`` has the right shapes but no values.

    Raises:
        ValueError: If a method is unknown.
    """
    for method in methods:
        if method not in _RULES:
            raise ValueError(f"unknown method {method!r}; known are {', '.join(METHODS)}")
        _RULES[method][kind] = Registered(rule, reads_input)


def find_rule(kind: Hashable, method: Method, own: Mapping[Hashable, Rule] | None = None) -> Registered | None:
    """Return the rule of a kind of layer under a method, a class's before its bases'; None where there is none.

    Args:
        kind: As for :func:`register_rule`.
        method: One of the methods.
        own: Rules that go before the registered ones.
    """
    classes = kind.__mro__ if isinstance(kind, type) else (kind,)
    for candidate in classes:
        if own and candidate in own:
            return Registered(own[candidate], reads_input=True)
        if candidate in _RULES[method]:
            return _RULES[method][candidate]
    return None


def has_own_rule(module: nn.Module, own: Mapping[Hashable, Rule] | None = None) -> bool:
    """Say whether a rule names exactly this module's class, so that it is not to be looked into."""
    kind: Any = type(module)
    return bool(own and kind in own) or any(kind in rules for rules in _RULES.values())
