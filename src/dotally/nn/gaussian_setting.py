"""What kind of Gaussian convolution a layer is: the choices, their published combinations and their checks."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

Sharing = Literal["layer", "input", "pair"]
Preset = Literal["gaunet", "dau"]
_CHOICES: dict[str, tuple[Any, ...]] = {
    "sharing": get_args(Sharing),
    "shift": ("exact", "bilinear"),
    "grad_mode": ("exact", "dau"),
    "fusion": (None, "softmax"),
}


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
            if getattr(self, name) not in allowed:
                known = ", ".join(repr(value) for value in allowed)
                raise ValueError(f"{name} must be one of {known}, got {getattr(self, name)!r}")
        if self.grad_mode == "dau" and self.shift != "bilinear":
            raise ValueError("grad_mode='dau' is defined for shift='bilinear' only, got shift='exact'")
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
    return dataclasses.replace(_PRESETS[preset], **{name: value for name, value in given.items() if value is not None})


def check_range(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Raise ValueError, with the value and the range, unless ``value`` is finite and within it."""
    if not (math.isfinite(value) and low <= value <= high):
        end = f"[{low}, {high}]" if math.isfinite(high) else f"[{low}, inf)"
        raise ValueError(f"{name} must lie in {end}, got {value}")


def side(name: str, value: int | tuple[int, ...]) -> int:
    """Return the one side of a square argument of a convolution; ValueError where its two sides differ."""
    sides = {value} if isinstance(value, int) else set(value)
    smallest = min(sides)
    if len(sides) != 1 or smallest < 1:
        raise ValueError(f"{name} must be a positive number, the same for height and width, got {value}")
    return smallest
