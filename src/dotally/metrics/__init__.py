"""What is measured: each figure as a function and as a ``torchmetrics.Metric`` that only sums and calls it.

The truth of a count is the number of annotated heads, never the sum of a density map.
"""

from dotally.metrics.counting import CountingError, counting_error
from dotally.metrics.game import GAME, game_errors
from dotally.metrics.quality import DensityPSNR, DensitySSIM, density_psnr, density_ssim

__all__ = [
    "GAME",
    "CountingError",
    "DensityPSNR",
    "DensitySSIM",
    "counting_error",
    "density_psnr",
    "density_ssim",
    "game_errors",
]
