"""What kind of Gaussian convolution a layer is: the choices, their published combinations and their checks."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, get_args

Sharing = Literal["layer", "input", "pair"]
Preset = Literal["gaunet", "dau"]
_CHOICES: dict[str, tuple[Any, ...]] = {
    "sharing": get_args(Sharing),
    "shift": ("exact", "bilinear"),
    "grad_mode": ("exact", "dau"),
    "fusion": (None, "softmax"),
}


def check_choice(name: str, value: object, allowed: tuple[Any, ...]) -> None:
    """Raise ValueError, with the value and those allowed, unless ``value`` is one of them."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The arguments of a Gaussian convolution that a preset decides; :class:`GaussianConv2d` explains them."""

    sharing: Sharing = "layer"
    shift: Literal["exact", "bilinear"] = "exact"
    grad_mode: Literal["exact", "dau"] = "exact"
    fusion: Literal["softmax"] | None = None
    shape_rank: int | None = None
    sigma: float | tuple[float, float] = 0.5
    learn_sigma: bool = True

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            check_choice(name, getattr(self, name), allowed)
        if self.grad_mode == "dau" and self.shift != "bilinear":
            raise ValueError("grad_mode='dau' is defined for shift='bilinear' only, got shift='exact'")
        if isinstance(self.sigma, tuple) and len(self.sigma) != 2:
            raise ValueError(f"sigma must be a width or a pair (smallest, largest), got {self.sigma}")
        if self.shape_rank is None:
            return
        if self.shape_rank < 1:
            raise ValueError(f"shape_rank must be at least 1, got {self.shape_rank}")
        if self.shift != "bilinear" or self.sharing != "layer" or self.grad_mode != "exact":
            raise ValueError(
                f"shape_rank={self.shape_rank} needs sharing='layer', shift='bilinear' and grad_mode='exact', got "
                f"{self.sharing!r}, {self.shift!r} and {self.grad_mode!r}"
            )

    @property
    def sigma_ends(self) -> tuple[float, float]:
        """Smallest and largest initial width in pixels."""
        return self.sigma if isinstance(self.sigma, tuple) else (self.sigma, self.sigma)

    @property
    def one_sigma(self) -> bool:
        """Whether the whole layer has one width."""
        return not isinstance(self.sigma, tuple)


_PRESETS: dict[Preset | None, Setting] = {
    None: Setting(),
    # figure 3 of GauNet: a bank of widths reduced to a few shapes, shifted bilinearly, fused by softmax weights
    "gaunet": Setting(shift="bilinear", fusion="softmax", shape_rank=3, sigma=(0.5, 2.0)),
    # DAU-ConvNet as published: displacements of every pair of channels, one width that is not trained
    "dau": Setting(sharing="pair", shift="bilinear", grad_mode="dau", learn_sigma=False),
}


def resolve(preset: Preset | None, given: dict[str, Any]) -> Setting:
    """Return the preset's setting with those given values that are not None.

    Raises:
        ValueError: If the preset is unknown, or the values are not allowed or do not go together.
    """
    if preset not in _PRESETS:
        raise ValueError(f"preset must be None, 'gaunet' or 'dau', got {preset!r}")
    chosen = {name: value for name, value in given.items() if value is not None}
    if isinstance(chosen.get("sigma"), list):  # as a file of settings has it
        chosen["sigma"] = tuple(chosen["sigma"])
    return dataclasses.replace(_PRESETS[preset], **chosen)


def check_count(name: str, value: int) -> None:
    """Raise ValueError, with the value and the range, unless it is a whole number from 1."""
    if not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} must be a whole number in [1, inf), got {value!r}")


def check_range(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Raise ValueError, with the value and the range, unless ``value`` is finite and within it."""
    if not (math.isfinite(value) and low <= value <= high):
        end = f"[{low}, {high}]" if math.isfinite(high) else f"[{low}, inf)"
        raise ValueError(f"{name} must lie in {end}, got {value}")


def side(name: str, value: int | tuple[int, ...]) -> int:
    """Return the one side of a square argument of a convolution; ValueError where its two sides differ."""
    sides = set(value) if isinstance(value, Sequence) else {value}
    (first, *others) = sides or {0}
    if others or not isinstance(first, int) or first < 1:
        raise ValueError(f"{name} must be a whole number from 1, the same for height and width, got {value}")
    return first
