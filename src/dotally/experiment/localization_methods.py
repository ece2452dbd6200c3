"""Ways to localize, as rows of a table: a few plain values each, called as ``LocalizationTask`` calls them."""

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor, nn

from dotally.stnet import BoxRule, STNet, cam, captum_map, grad_cam, last_map, score_map

Kind = Literal[
    "stnet",
    "excitation",
    "contrastive",
    "gradient",
    "cam",
    "grad_cam",
    "integrated_gradients",
    "guided_grad_cam",
    "centre",
    "whole",
]

TITLES: dict[Kind, str] = {
    "stnet": "STNet",
    "excitation": "excitation backprop",
    "contrastive": "contrastive excitation backprop",
    "gradient": "magnitude of the gradient",
    "cam": "CAM",
    "grad_cam": "Grad-CAM",
    "integrated_gradients": "integrated gradients",
    "guided_grad_cam": "guided Grad-CAM",
    "centre": "centred box",
    "whole": "whole picture",
}

# classes of captum, an optional requirement
CAPTUM: dict[Kind, str] = {"integrated_gradients": "IntegratedGradients", "guided_grad_cam": "GuidedGradCam"}
WITHOUT_CAPTUM = "captum is not installed: pip install 'dotally[baselines]', delete the run and run again"
INTEGRATION_STEPS = 16


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to localize; everything in it is part of a run's identity.

    A method with a rule of its own gives boxes. The others give maps, whose boxes are drawn around the largest group
    of cells above a share of the maximum: a threshold that is tuned on validation boxes, the same for all of them.

    Attributes:
        kind: What looks; "centre" is a box as wide as its threshold says, "whole" the picture.
        stop: Layer whose cells are looked at; None is the picture, for CAM and Grad-CAM the last map. Integrated
            gradients know the picture only.
        rule: How a gating becomes a box without any tuning; None gives maps.
        blur: Standard deviation of a Gaussian blur of maps, as a share of the picture's longer side.

    Raises:
        ValueError: If a rule is given to what has no gating, or a layer to what looks at none.
    """

    kind: Kind
    stop: str | None = None
    rule: BoxRule | None = None
    blur: float = 0.0

    def __post_init__(self) -> None:
        if self.rule is not None and self.kind not in ("stnet", "excitation", "contrastive", "gradient"):
            raise ValueError(f"a box rule is for top-down passes, not for {self.kind}")
        if self.stop is not None and self.kind == "integrated_gradients":
            raise ValueError(f"integrated gradients are those of the picture, not of {self.stop}")

    @property
    def available(self) -> bool:
        """Whether what it needs is installed."""
        return self.kind not in CAPTUM or _has_captum()

    @property
    def tuned(self) -> bool:
        """Whether its boxes depend on a threshold."""
        return self.rule is None and self.kind != "whole"

    def __call__(self, network: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
        """Return maps ``[B, h, w]``, or boxes ``[B, 4]`` in pixels of the network's input ``[B, 3, H, W]``."""
        height, width = x.shape[2], x.shape[3]
        if self.kind == "whole":
            return x.new_tensor([0, 0, width - 1, height - 1]).expand(len(x), 4)
        if self.kind == "centre":
            return _towards_centre(height, width).to(x.device).expand(len(x), height, width)
        if self.rule is not None:
            return self._engine(network)(x, labels).boxes
        maps = self._maps(network, x, labels)
        if not self.blur:
            return maps[:, 0]
        return score_map(maps, (height, width), sigma=self.blur * max(height, width))[:, 0]

    def describe(self) -> str:
        """Say in a line what looks where, and how that becomes a box."""
        if self.kind == "whole":
            return TITLES[self.kind]
        if self.kind == "centre":
            return f"{TITLES[self.kind]} in the picture's proportions, its size tuned"
        last = "the last map" if self.kind in ("cam", "grad_cam", "guided_grad_cam") else "the picture"
        where = f"{TITLES[self.kind]} at {self.stop or last}"
        if self.kind in CAPTUM:
            where += " through captum (empty without it: pip install 'dotally[baselines]'), what speaks for the class"
        if self.kind == "integrated_gradients":
            where += f", {INTEGRATION_STEPS} steps"
        if self.rule is not None:
            return f"{where}; box around {self.rule.describe()}, nothing tuned"
        blurred = f", blurred by {self.blur:.1%} of the longer side" if self.blur else ""
        return f"{where}{blurred}; box around the largest group above a tuned share of the maximum"

    def _engine(self, network: nn.Module) -> STNet:
        assert self.kind in ("stnet", "excitation", "contrastive", "gradient")
        return STNet(network, stop=self.stop, method=self.kind, box=self.rule)

    def _maps(self, network: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
        if self.kind == "cam":
            return cam(network, x, labels)
        if self.kind == "grad_cam":
            return grad_cam(network, x, labels, layer=self.stop)
        if self.kind in CAPTUM:
            return self._through_captum(network, x, labels).clamp(min=0)
        return self._engine(network)(x, labels).map

    def _through_captum(self, network: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
        if self.kind == "integrated_gradients":
            # a batch at a time, or all steps of all pictures would be in memory at once
            options: dict[str, Any] = {"n_steps": INTEGRATION_STEPS, "internal_batch_size": len(x)}
        else:
            name, modules = self.stop or last_map(network, x), dict(network.named_modules())
            if name not in modules:
                raise ValueError(
                    f"{TITLES[self.kind]} wants a module as its layer, and {name} is none: name one as stop"
                )
            options = {"layer": modules[name]}
        return captum_map(CAPTUM[self.kind], network, x, labels, **options)


@cache
def _has_captum() -> bool:
    return find_spec("captum") is not None


def _towards_centre(height: int, width: int) -> Tensor:
    """Return ``[H, W]``: 1 at the centre, 0 at the edge, so that what is above a threshold is a centred box."""
    lines = [1 - (2 * (torch.arange(side) + 0.5) / side - 1).abs() for side in (height, width)]
    return torch.minimum(lines[0][:, None], lines[1][None])


def small_network_methods(stop: str) -> dict[str, Method]:
    """Return every way to localize with a network that ends in global average pooling and one linear layer.

    Blurs and the first pool as the inner layer were chosen on the validation boxes of SyntheticShapes, at one seed; a
    fortieth of the longer side is that of the release's class hypotheses as well. The two of captum have the blur of
    the gradient, and were not looked at.

    Args:
        stop: Layer of the top-down passes that are not read at the picture.
    """
    fixed = BoxRule()  # the release's
    return {
        "stnet": Method(kind="stnet", rule=fixed),
        "stnet-tuned": Method(kind="stnet", blur=0.025),
        "excitation": Method(kind="excitation", stop=stop),
        "contrastive": Method(kind="contrastive", stop=stop),
        "gradient": Method(kind="gradient", blur=0.05),
        "cam": Method(kind="cam"),
        "grad-cam": Method(kind="grad_cam"),
        "integrated-gradients": Method(kind="integrated_gradients", blur=0.05),
        "guided-grad-cam": Method(kind="guided_grad_cam", blur=0.05),
        "stnet-inner": Method(kind="stnet", stop=stop, rule=fixed),
        "stnet-inner-tuned": Method(kind="stnet", stop=stop),
        "centre": Method(kind="centre"),
        "whole": Method(kind="whole"),
    }
