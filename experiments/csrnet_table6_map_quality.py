"""CSRNet (Li et al., CVPR 2018), tables 6 and 11: PSNR and SSIM of density maps.

    python experiments/csrnet_table6_map_quality.py --only csrnet.A          # table 6
    python experiments/csrnet_table6_map_quality.py                          # everything, three seeds
    python experiments/csrnet_table6_map_quality.py --fast-dev-run           # is everything wired?

The paper leaves peak, window and normaliser open, and two open implementations differ, so no verdict is given: its
numbers are only shown beside ours, whose definition is in ``dotally.metrics.quality``. Both maps are resized bilinearly
to the picture; PSNR's peak is the maximum of the true one (100 dB at most); for SSIM both are divided by that maximum,
with a Gaussian window of 11 x 11 pixels, sigma 1.5, K1 = 0.01 and K2 = 0.03. Pictures without a head have neither.

Data: ShanghaiTech, UCF_CC_50, WorldExpo'10, UCSD and TRANCOS; ImageNet weights, which PyTorch fetches and whose hash is
checked. The trainings are those of tables 5 and 7 to 10; a run belongs to one table, so they are done again.

Hours: not measured; needs a GPU. The plan's estimate is about 0.55 EFLOP for a seed of a row, more than half of it for
the five folds: eight hours at 20 TFLOP/s, a rate that is assumed.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from dotally.data import TRANCOS, UCFCC50, CrowdDataModule, ShanghaiTech, UCSDPedestrian, WorldExpo10
from dotally.experiment import Cell, Literature, Mean, Run, Table, Value, main
from dotally.tasks import CountingTask

TABLE6, TABLE11 = "CSRNet, CVPR 2018, table 6", "CSRNet, CVPR 2018, table 11"
FOLDS = tuple(f"UCF_CC_50-fold{fold}" for fold in range(1, 6))

csrnet = partial(CountingTask, model="csrnet", imagenet="imagenet", map_quality=True)
patches: dict[str, Any] = {"augmentation": "patches", "batch_size": 1}

# column -> (data, passes over 18 patches a picture: about 130,000 steps on each set, as in table 5)
SETS: dict[str, tuple[Callable[..., CrowdDataModule], int]] = {
    "A": (partial(ShanghaiTech, part="A", **patches), 25),
    "B": (partial(ShanghaiTech, part="B", **patches), 25),
    **{column: (partial(UCFCC50, fold, **patches), 200) for fold, column in enumerate(FOLDS, 1)},
    "WorldExpo10": (partial(WorldExpo10, **patches), 2),
    "UCSD": (partial(UCSDPedestrian, resize="csrnet", **patches), 10),
    "TRANCOS": (partial(TRANCOS, **patches), 18),
}

# column -> (PSNR, SSIM) as printed
PRINTED = {
    "A": (23.79, 0.76),
    "B": (27.02, 0.89),
    "UCF_CC_50": (18.76, 0.52),
    "WorldExpo10": (26.94, 0.92),
    "UCSD": (20.02, 0.86),
    "TRANCOS": (27.10, 0.93),
}


def printed(psnr: float, ssim: float, source: str) -> dict[str, Value]:
    """Return what the paper prints in a cell."""
    return {"psnr": Value(value=psnr, source=source), "ssim": Value(value=ssim, source=source)}


RUNS = [
    Run(
        row="csrnet",
        column=column,
        task=csrnet,
        data=data,
        max_epochs=epochs,
        paper=printed(*PRINTED[column], TABLE6 if column == "A" else TABLE11) if column in PRINTED else {},
    )
    for column, (data, epochs) in SETS.items()
]

CELLS: list[Cell] = [
    Literature(row="MCNN", column="A", paper=printed(21.4, 0.52, TABLE6)),
    Literature(row="CP-CNN", column="A", paper=printed(21.72, 0.72, TABLE6)),
    *RUNS,
    *(cell.chosen_on_test() for cell in RUNS),
    *(
        Mean(row=row, column="UCF_CC_50", over=FOLDS, paper=printed(*PRINTED["UCF_CC_50"], TABLE11))
        for row in ("csrnet", "csrnet-test-best")
    ),
]

TABLE = Table(
    id="csrnet_table6_map_quality",
    title="Quality of density maps",
    source="CSRNet, CVPR 2018, tables 6 and 11",
    cells=CELLS,
    metrics=("psnr", "ssim", "mae"),
    unjudged=("psnr", "ssim"),
    notes=[
        "No verdict: the paper leaves peak, window and normaliser open. Ours: both maps resized bilinearly to the "
        "picture, peak and normaliser the maximum of the true map, SSIM with a Gaussian window of 11 x 11, sigma 1.5.",
        "UCF_CC_50 is the mean of five folds in the order of the files; which ones the paper drew is not published.",
    ],
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
