"""Running one way to localize, and everything that is measured of it."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dotally.data.box_sample import BoxBatch
from dotally.metrics.boxes import best_iou, map_boxes
from dotally.metrics.localization import GTKnownLoc, Top1Loc
from dotally.metrics.localization_maps import MaxBoxAcc, MaxBoxAccV2, PointingGame

Localize = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""(network, input ``[B, 3, H, W]``, labels ``[B]``) -> maps ``[B, h, w]`` or boxes ``[B, 4]``."""

# those of MaxBoxAccV2 besides the three of the STNet release
IOUS = (0.25, 0.3, 0.5, 0.7, 0.75)


def run_method(
    name: str, method: Localize, network: nn.Module, prepare: Callable[[Tensor], Tensor], batch: BoxBatch
) -> Tensor:
    """Ask a method for maps ``[B, h, w]`` or boxes ``[B, 4]``, outside the inference mode a test runs in.

    Raises:
        ValueError: If it returns anything else.
    """
    with torch.inference_mode(False), torch.enable_grad():
        # the batch was made in inference mode: a clone of the labels is not, and so may be used in a graph
        answer = method(network, prepare(batch["image"]), batch["label"].clone()).detach()
    pictures = len(batch["image"])
    if answer.ndim in (2, 3) and len(answer) == pictures and (answer.ndim == 3 or answer.shape[1] == 4):
        return answer
    raise ValueError(
        f"the method {name!r} should return maps [{pictures}, h, w] or boxes [{pictures}, 4], "
        f"it returned {list(answer.shape)}"
    )


def as_maps(answer: Tensor, image: Tensor) -> Tensor:
    """Resize maps ``[B, h, w]`` bilinearly to the pictures ``[B, 3, H, W]``."""
    if answer.shape[1:] == image.shape[2:]:
        return answer.float()
    return F.interpolate(answer[:, None].float(), image.shape[2:], mode="bilinear", antialias=False)[:, 0]


class MethodScores:
    """All figures of one method.

    Args:
        num_classes: Of the network.
        tolerance: Of the pointing game in pixels.
        device: Of the batches.
    """

    def __init__(self, num_classes: int, *, tolerance: float, device: torch.device) -> None:
        self.known, self.top1 = GTKnownLoc(IOUS).to(device), Top1Loc(IOUS).to(device)
        self.best, self.best_v2 = MaxBoxAcc().to(device), MaxBoxAccV2().to(device)
        self.pointing = PointingGame(num_classes, tolerance=tolerance).to(device)
        self.threshold: float | None = None

    def update(self, answer: Tensor, threshold: float, batch: BoxBatch, scores: Tensor) -> dict[str, Tensor]:
        """Add a batch.

        Args:
            answer: Maps ``[B, h, w]`` or boxes ``[B, 4]``.
            threshold: What to cut maps at, as a share of their maximum.
            batch: With annotated boxes.
            scores: ``[B, C]`` of the network.

        Returns:
            ``boxes`` ``[B, 4]``, their best ``iou`` ``[B]``, and ``maps`` ``[B, H, W]`` if there are maps.
        """
        found: dict[str, Tensor] = {"boxes": answer}
        if answer.ndim == 3:
            self.threshold = threshold
            maps = as_maps(answer, batch["image"])
            found = {"boxes": map_boxes(maps, threshold), "maps": maps}
            for metric in (self.best, self.best_v2):
                metric.update(maps, batch["boxes"], batch["count"])
            self.pointing.update(maps, batch["boxes"], batch["count"], batch["label"])
        self.known.update(found["boxes"], batch["boxes"], batch["count"])
        self.top1.update(found["boxes"], batch["boxes"], batch["count"], scores, batch["label"])
        return {**found, "iou": best_iou(found["boxes"], batch["boxes"], batch["count"])}

    def compute(self) -> dict[str, Tensor]:
        """Return every figure; boxes that no threshold moves have one MaxBoxAcc only, and cannot point."""
        figures = {**self.known.compute(), **self.top1.compute()}
        if self.threshold is None:
            v2 = torch.stack([figures[f"gt_known_{iou}"] for iou in (30, 50, 70)]).mean()
            return {**figures, "max_box_acc": figures["gt_known_50"], "max_box_acc_v2": v2}
        threshold = torch.tensor(self.threshold, dtype=torch.float64)
        return {
            **figures,
            **self.best.compute(),
            **self.best_v2.compute(),
            **self.pointing.compute(),
            "threshold": threshold,
        }
