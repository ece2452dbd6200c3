"""CSRNet (Li et al., CVPR 2018), table 7: counting error on UCF_CC_50, the mean of five folds.

    python experiments/csrnet_table7_ucf_cc_50.py --only mean ridge mcnn-published     # minutes: nothing is trained
    python experiments/csrnet_table7_ucf_cc_50.py --only mcnn-tuned csrnet-slim --seeds 0  # what a CPU can train
    python experiments/csrnet_table7_ucf_cc_50.py                                      # everything, three seeds
    python experiments/csrnet_table7_ucf_cc_50.py --fast-dev-run                       # is everything wired?

Every fold is a column, tested on ten pictures and trained on the forty others, a tenth of which validates; the column
``UCF_CC_50`` is their mean, seed by seed, of MAE and of RMSE. No list of folds was ever published: these are pictures
1-10, 11-20 and so on.

Data: UCF_CC_50. ``mcnn-published`` and ``mcnn-tuned`` also need ``weights_mcnn/mcnn_shtechA_660.h5`` below the data
root, ``csrnet`` ImageNet weights, which PyTorch fetches and whose hash is checked.

Hours: ``mcnn-tuned`` and ``csrnet-slim`` take about half an hour of one core each for a seed of all five folds;
``csrnet`` is for a GPU, see ``--plan``.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from dotally.data import UCFCC50
from dotally.experiment import Cell, Literature, Mean, Run, Table, Trivial, TrivialKind, Value, main
from dotally.tasks import CountingTask
from dotally.tasks.recipes import slim_csrnet

SOURCE = "CSRNet, CVPR 2018, table 7"
LEADERBOARD = "Awesome-Crowd-Counting leaderboard"
FOLDS = {fold: f"fold{fold}" for fold in range(1, 6)}
MEAN = "UCF_CC_50"
TRIVIAL: tuple[TrivialKind, ...] = ("mean", "ridge")

# (MAE, "MSE", which is an RMSE) as printed
PRINTED = {
    "Idrees": (419.5, 541.6),
    "Zhang": (467.0, 498.5),
    "MCNN": (377.6, 509.1),
    "Hydra-2s": (333.7, 425.2),
    "Hydra-3s": (465.7, 371.8),
    "Walach": (364.4, 341.4),
    "Marsden": (338.6, 424.5),
    "Cascaded-MTL": (322.8, 397.9),
    "Switching-CNN": (318.1, 439.2),
    "CP-CNN": (295.8, 320.9),
    "CSRNet": (266.1, 397.5),
}


def printed(row: str) -> dict[str, Value]:
    """Return what the paper prints of a row; of CP-CNN's MAE a leaderboard has another number."""
    mae, rmse = PRINTED[row]
    also = (Value(value=298.8, source=LEADERBOARD, certainty="claimed"),) if row == "CP-CNN" else ()
    return {"mae": Value(value=mae, source=SOURCE, also=also), "rmse": Value(value=rmse, source=SOURCE)}


def folds(of: Callable[[int], Run | Trivial], paper: dict[str, Value] | None = None, note: str = "") -> list[Cell]:
    """Return a row's five folds and their mean."""
    cells = [of(fold) for fold in FOLDS]
    return [*cells, Mean(row=cells[0].row, column=MEAN, over=list(FOLDS.values()), paper=paper or {}, note=note)]


def trivial(kind: TrivialKind, fold: int) -> Trivial:
    """Return a predictor that has learnt nothing of heads."""
    return Trivial(row=kind, column=FOLDS[fold], kind=kind, data=partial(UCFCC50, fold))


def mcnn(fold: int) -> Run:
    """Return the published weights of MCNN, as they are."""
    return Run(
        row="mcnn-published",
        column=FOLDS[fold],
        task=partial(CountingTask, model="mcnn", preprocessing="mcnn"),
        data=partial(UCFCC50, fold, stride=4),
        max_epochs=0,
        weights="weights_mcnn/mcnn_shtechA_660.h5",
        protocol="unknown",
    )


def mcnn_tuned(fold: int) -> Run:
    """Return the same weights, trained further on the fold."""
    return replace(
        mcnn(fold),
        row="mcnn-tuned",
        task=partial(
            CountingTask,
            model="mcnn",
            preprocessing="mcnn",
            loss="scaled_mean_square",
            optimizer="adam",
            lr=1e-6,
            schedule="cosine",
        ),
        data=partial(UCFCC50, fold, stride=4, resize="c3", crop=512, batch_size=1, keep_in_memory=True),
        max_epochs=6,
        protocol="val",
    )


def slim(fold: int) -> Run:
    """Return CSRNet at an eighth of its width, from scratch."""
    return Run(
        row="csrnet-slim",
        column=FOLDS[fold],
        task=partial(slim_csrnet, freeze_batch_norm=0.85),
        data=partial(UCFCC50, fold, resize="c3", crop=256, batch_size=4, keep_in_memory=True),
        max_epochs=60,
    )


def csrnet(fold: int) -> Run:
    """Return CSRNet as printed."""
    return Run(
        row="csrnet",
        column=FOLDS[fold],
        task=partial(CountingTask, model="csrnet", imagenet="imagenet"),
        data=partial(UCFCC50, fold, augmentation="patches", batch_size=1),
        max_epochs=200,
    )


def csrnet_on_test(fold: int) -> Run:
    """Return CSRNet with the checkpoint that is best on the test pictures, as many codes choose it."""
    return csrnet(fold).chosen_on_test()


CELLS: list[Cell] = [
    *(Literature(row=row, column=MEAN, paper=printed(row)) for row in PRINTED if row != "CSRNet"),
    *(cell for kind in TRIVIAL for cell in folds(partial(trivial, kind))),
    *folds(mcnn, note="weights learnt on ShanghaiTech A, none of these pictures seen"),
    *folds(
        mcnn_tuned,
        printed("MCNN"),
        "begun with the weights of mcnn-published; nobody says how these were chosen, nor what MCNN's own began with; "
        "not blind: at a constant rate of 1e-5 the validation MAE leapt between 370 and 1270 from epoch to epoch (test "
        "of folds 1 and 2 was read: 733 and 468); the rate was then chosen on the validation pictures of fold 1",
    ),
    *folds(slim, note="an eighth of CSRNet's width, from scratch; nothing was tuned for this set"),
    *folds(
        csrnet,
        printed("CSRNet"),
        "lr 1e-6 and patches as printed; momentum 0.95 from the published code; no epochs are printed: 200 passes over "
        "18 patches a picture make about 130,000 steps, as on ShanghaiTech A",
    ),
    *folds(csrnet_on_test, printed("CSRNet"), "ten test pictures choose the epoch they are measured at"),
]

TABLE = Table(
    id="csrnet_table7_ucf_cc_50",
    title="Counting error on UCF_CC_50, five folds",
    source=SOURCE,
    cells=CELLS,
    notes=[
        "RMSE is what the paper calls MSE; the mean is that of the folds' RMSEs.",
        "Folds are pictures 1-10, 11-20 and so on; which ones the papers drew is not published.",
    ],
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
