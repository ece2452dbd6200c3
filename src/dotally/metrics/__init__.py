"""What is measured: each figure as a function and as a ``torchmetrics.Metric`` that only sums and calls it.

The truth of a count is the number of annotated heads, never the sum of a density map.
"""

from typing import TYPE_CHECKING

from dotally.lazy import passing_on

if TYPE_CHECKING:
    from dotally.metrics.boxes import best_iou, box_iou, map_boxes
    from dotally.metrics.count_errors import counting_error
    from dotally.metrics.counting import CountingError
    from dotally.metrics.game import GAME, game_errors
    from dotally.metrics.heads import HeadF1
    from dotally.metrics.localization import GTKnownLoc, LabelAccuracy, Top1Loc, gt_known_loc, top1_loc
    from dotally.metrics.localization_maps import MaxBoxAcc, MaxBoxAccV2, PointingGame, points_at, threshold_ious
    from dotally.metrics.quality import DensityPSNR, DensitySSIM, density_psnr, density_ssim

__all__ = [
    "GAME",
    "CountingError",
    "DensityPSNR",
    "DensitySSIM",
    "GTKnownLoc",
    "HeadF1",
    "LabelAccuracy",
    "MaxBoxAcc",
    "MaxBoxAccV2",
    "PointingGame",
    "Top1Loc",
    "best_iou",
    "box_iou",
    "counting_error",
    "density_psnr",
    "density_ssim",
    "game_errors",
    "gt_known_loc",
    "map_boxes",
    "points_at",
    "threshold_ious",
    "top1_loc",
]

# torchmetrics takes a second to import, and functions do without
__getattr__ = passing_on(
    __name__,
    {
        "boxes": "best_iou box_iou map_boxes",
        "count_errors": "counting_error",
        "counting": "CountingError",
        "game": "GAME game_errors",
        "heads": "HeadF1",
        "localization": "GTKnownLoc LabelAccuracy Top1Loc gt_known_loc top1_loc",
        "localization_maps": "MaxBoxAcc MaxBoxAccV2 PointingGame points_at threshold_ious",
        "quality": "DensityPSNR DensitySSIM density_psnr density_ssim",
    },
)
