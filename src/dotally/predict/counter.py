"""A trained network as a function from pictures to counts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from dotally.errors import DotallyError
from dotally.predict.device import choose_device, is_out_of_memory
from dotally.predict.inputs import PictureLike, shrink, to_picture
from dotally.predict.overlay import colour_scale, draw_overlay
from dotally.predict.truth import Points, rescaled
from dotally.predict.weights_file import LoadedWeights, load_weights

BLANK_SIDE = 256
NEGATIVE_SHARE = 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class Counted:
    """What was counted in one picture.

    Attributes:
        count: Heads: the plain sum of ``density``, negative cells included, as in the papers.
        density: ``[h, w]`` float32 on the CPU, heads per cell; a cell is ``stride`` pixels of ``image`` wide
            and high, or a little more where the network needs pictures resized (MCNN).
        size: (height, width) of the picture in pixels.
        flags: What was done to the picture ("rotated", "rescaled", "transparent", "N pages") and why its count may be
            wrong: "tiny" (a side below one cell), "negative density" (more than 5 % of the density's mass),
            "denser than training", "below blank level" (no more than the network finds in blackness), "resized unlike
            training" (by a rule that is followed there alone, see ``unlike``).
        points: ``[N, 2]`` (x, y) in pixels where a network places heads; None where it predicts density, as all do now.
        zones: Heads in each named zone; empty, as there are none yet.
        stride: Pixels of ``image`` per cell.
        model: Name of the network.
        image: ``[H, W, 3]`` uint8, the picture as it was shown to the network: RGB, upright, shrunk if need be.
    """

    count: float
    density: Tensor = field(repr=False)
    size: tuple[int, int]
    flags: tuple[str, ...] = ()
    points: Tensor | None = None
    zones: dict[str, float] = field(default_factory=dict)
    stride: int
    model: str
    image: np.ndarray = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values, without the pictures."""
        return {
            "count": self.count,
            "height": self.size[0],
            "width": self.size[1],
            "flags": list(self.flags),
            "points": None if self.points is None else self.points.tolist(),
            "zones": dict(self.zones),
            "model": self.model,
        }

    def overlay(self, vmax: float | None = None, *, truth: Points | None = None) -> Image.Image:
        """Draw the density over the grey picture.

        Args:
            vmax: Heads per cell at the top of the colour scale. None takes this picture's own 99th percentile; give
                one number where pictures are to be compared.
            truth: ``[N, 2]`` annotated heads, (x, y) in pixels of the picture, drawn beside.
        """
        shown = self.image.shape[0], self.image.shape[1]
        return draw_overlay(
            self.image,
            self.density.numpy(),
            stride=self.stride,
            vmax=colour_scale(self.density.numpy()) if vmax is None else vmax,
            title=self.model,
            flags=self.flags,
            truth=None if truth is None else rescaled(truth, self.size, shown),
        )


class Counter:
    """A network with its weights, in evaluation mode on its device.

    Args:
        weights: From ``load_weights``; most callers want :meth:`load`.
        device: "auto" takes the GPU where there is one; else a device as PyTorch names it.
        longest_side: Pixels that larger pictures are shrunk to first; None does as the training did, 0 never shrinks.

    Attributes:
        network: With its preprocessing.
        path: File of the weights.
        sha256: Of that file.
        facts: What the file says of their making.
        device: Where it computes.
        longest_side: Pixels that larger pictures are shrunk to; None shrinks none.
        unlike: How else pictures were resized in training, in words, unless another size was asked for; empty where
            they are shrunk here as they were there. A network takes sharpness for heads, so its counts may be far off.

    Raises:
        DotallyError: A GPU was asked for and there is none.
    """

    def __init__(self, weights: LoadedWeights, *, device: str = "auto", longest_side: int | None = None) -> None:
        self.device = choose_device(device)
        self.network = weights.network.eval().requires_grad_(False).to(self.device)
        self.path, self.sha256, self.facts = weights.path, weights.sha256, weights.facts
        self.longest_side = (weights.longest_side if longest_side is None else longest_side) or None
        self.unlike = _unlike(weights.reading) if longest_side is None else ""

    @classmethod
    def load(
        cls,
        weights: str | Path,
        *,
        arch: str | None = None,
        arch_kwargs: dict[str, Any] | None = None,
        preprocessing: str | None = None,
        device: str = "auto",
        longest_side: int | None = None,
    ) -> "Counter":
        """Load weights by file or name.

        Args:
            weights: See :func:`dotally.predict.weights_file.find_weights`.
            arch: Network of a bare state dict, which does not name it.
            arch_kwargs: Arguments of that network.
            preprocessing: What such weights expect, a name in ``dotally.models.PRESETS``.
            device: "auto", "cpu", "cuda" or "cuda:1".
            longest_side: Pixels that larger pictures are shrunk to; None does as the training did, 0 never shrinks.

        Raises:
            WeightsError: They cannot be found or loaded, or do not say which network they are for.
            DotallyError: There is no such device.
        """
        loaded = load_weights(weights, arch=arch, arch_kwargs=arch_kwargs, preprocessing=preprocessing)
        return cls(loaded, device=device, longest_side=longest_side)

    @property
    def model(self) -> str:
        """Name of the network."""
        return str(self.network.hparams["model"])

    def describe(self) -> list[str]:
        """Return lines for people: which weights count here, and what their file says of their making."""
        size = f", pictures shrunk to {self.longest_side} pixels" if self.longest_side else ""
        how = f"{self.model}, {self.network.hparams['preprocessing']} preprocessing{size}, on {self.device}"
        unlike = f"warning: in training pictures were {self.unlike}, which is not done here; see --longest-side"
        facts = (f"    {name}: {fact}" for name, fact in self.facts.items())
        return [f"weights {self.path} ({how})", *facts, *([unlike] if self.unlike else [])]

    @cached_property
    def blank_level(self) -> float:
        """Heads per pixel that the network finds in a black picture of 256 x 256 pixels."""
        blank = np.zeros((BLANK_SIDE, BLANK_SIDE, 3), dtype=np.uint8)
        return float(self._density(blank).double().sum()) / BLANK_SIDE**2

    def __call__(self, picture: PictureLike, *, max_megapixels: float = 200) -> Counted:
        """Count the heads in a picture of any size.

        Args:
            picture: Path, bytes of a picture file, PIL image, uint8 array ``[H, W, 3]`` or ``[H, W]``, or uint8 tensor
                ``[3, H, W]``.
            max_megapixels: Larger files are refused.

        Raises:
            PictureError: The picture cannot be read or is too large.
            DotallyError: The network's output is not a number, or memory does not suffice.
            ValueError: An array or tensor of another shape or dtype.
        """
        opened = to_picture(picture, max_megapixels=max_megapixels)
        image = shrink(opened.image, self.longest_side)
        density = self._density(image)
        count = float(density.double().sum())
        return Counted(
            count=count,
            density=density,
            size=(opened.image.shape[0], opened.image.shape[1]),
            flags=(*opened.flags, *self._doubts(count, density, (image.shape[0], image.shape[1]))),
            stride=self.network.stride,
            model=self.model,
            image=image,
        )

    def _density(self, image: np.ndarray) -> Tensor:
        """Return ``[h, w]`` heads per cell of an ``[H, W, 3]`` picture, padded to whole cells right and below."""
        height, width = image.shape[:2]
        stride = self.network.stride
        # less than a cell is padded, so every cell of the map holds some of the picture and counts
        batch = F.pad(torch.from_numpy(image).permute(2, 0, 1), (0, -width % stride, 0, -height % stride))[None]
        size = torch.tensor([[height, width]])
        try:
            with torch.inference_mode():
                output = self.network(batch.to(self.device), size.to(self.device))[0, 0].float().cpu()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise DotallyError(
                f"{width} x {height} pixels need more memory than {self.device} has; leave out large pictures "
                f"with a smaller --max-megapixels, or try --device cpu"
            ) from error
        if not torch.isfinite(output).all():
            raise DotallyError(f"the network's output is not a number; are the weights in {self.path} sound?")
        return output.clone()  # outside of inference mode, so that the caller may do with it as he likes

    def _doubts(self, count: float, density: Tensor, size: tuple[int, int]) -> list[str]:
        pixels, densest = size[0] * size[1], float(self.network.densest)
        doubts = {
            "tiny": min(size) < self.network.stride,
            "negative density": float(density.clamp(max=0).abs().sum()) > NEGATIVE_SHARE * float(density.abs().sum()),
            "denser than training": 0 < densest < count / (pixels / 1e6),
            "below blank level": count <= self.blank_level * pixels,
            "resized unlike training": bool(self.unlike),
        }
        return [flag for flag, applies in doubts.items() if applies]


def _unlike(reading: Mapping[str, Any]) -> str:
    rule = f"resized by the rule {reading['resize']!r} of their data set" if reading.get("resize") else ""
    draft = "decoded at a fraction of their size (draft)" if reading.get("draft") else ""
    return " and ".join(filter(None, (rule, draft)))
