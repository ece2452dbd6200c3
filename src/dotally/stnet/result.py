"""What a top-down pass found."""

from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from dotally.stnet.boxes import BoxRule, boxes_of, collapse_channels
from dotally.stnet.class_hypothesis import class_hypothesis
from dotally.stnet.geometry import Geometry
from dotally.stnet.registry import Method


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """Where in each picture the evidence for a class lies.

    Attributes:
        gating: By layer name, the share of the class that every unit of the layer's output received, float32, shaped
            like that output: the stop layer's, and those of the layers to keep.
        logits: ``[B, C]`` class scores.
        labels: ``[B]`` int64 classes that were explained; None where a top tensor was given.
        stop: Name of the stop layer.
        image_size: (height, width) of the pictures.
        method: "stnet", "excitation", "contrastive" or "gradient"; maps and boxes of a gradient are of its magnitude
            (Simonyan et al., arXiv 1312.6034, section 3.1).
        box_rule: How maps become boxes.
        geometry: Where the stop layer's cells lie in the picture; None where it has no regular cells.
    """

    gating: dict[str, Tensor] = field(repr=False)
    logits: Tensor = field(repr=False)
    labels: Tensor | None
    stop: str
    image_size: tuple[int, int]
    method: Method
    box_rule: BoxRule
    geometry: Geometry | None

    @cached_property
    def map(self) -> Tensor:
        """``[B, 1, h, w]`` float32: the stop layer's gating over all channels (their sum, or as the box rule says)."""
        return collapse_channels(self._spatial, "max" if self.box_rule.collapse == "max" else "sum")

    @cached_property
    def boxes(self) -> Tensor:
        """``[B, 4]`` float32 (x0, y0, x1, y1), inclusive pixels of the picture; see ``boxes_of``."""
        return boxes_of(self._spatial, self.box_rule, self._geometry, self.image_size)

    def class_hypothesis(self, *, sigma: float | None = None) -> Tensor:
        """Return ``[B, 1, H, W]`` float32: surviving cells spread over what they see, blurred by ``sigma`` pixels."""
        return class_hypothesis(self._spatial, self.box_rule, self._geometry, self.image_size, sigma=sigma)

    @property
    def _spatial(self) -> Tensor:
        gating = self.gating[self.stop]
        if gating.ndim != 4:
            raise ValueError(
                f"{self.stop} gives {tuple(gating.shape)}, no map; stop at a layer below for maps and boxes"
            )
        return gating.abs() if self.method == "gradient" else gating

    @property
    def _geometry(self) -> Geometry:
        if self.geometry is None:
            raise ValueError(
                f"where the cells of {self.stop} lie in the picture is not known (behind a linear layer, or branches "
                f"of different strides); use .map, or stop at a layer below"
            )
        return self.geometry
