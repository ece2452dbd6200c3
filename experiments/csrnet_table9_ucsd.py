"""CSRNet (Li et al., CVPR 2018), table 9: counting error on the UCSD pedestrians.

    python experiments/csrnet_table9_ucsd.py                       # everything, three seeds: needs a GPU
    python experiments/csrnet_table9_ucsd.py --only csrnet-slim    # an eighth of the width, from scratch
    python experiments/csrnet_table9_ucsd.py --fast-dev-run        # is everything wired?

Frames 601 to 1400 train, a stretch of which validates; the other 1200 test. As in the paper, they are enlarged from
238 x 158 to 952 x 632 pixels and cut to the walkway before anything else.

Data: UCSD pedestrians (``vidf`` and ``vidf-cvpr``). ``csrnet`` also needs ImageNet weights, which PyTorch fetches and
whose hash is checked.

Hours: not measured; the data were not at hand when this was written. By the operations that ``--plan`` counts and the
published sizes of the set, ``csrnet`` takes 48 PFLOP a seed, 40 minutes of a GPU at 20 TFLOP/s, a rate that is assumed;
``csrnet-slim`` 47 TFLOP, 20 minutes of a core at the 39 GFLOP/s that it reached on ShanghaiTech B.
"""

import sys
from functools import partial

from dotally.data import UCSDPedestrian
from dotally.experiment import Cell, Literature, Run, Table, Trivial, TrivialKind, Value, main
from dotally.tasks import CountingTask
from dotally.tasks.recipes import slim_csrnet

SOURCE = "CSRNet, CVPR 2018, table 9"
COLUMN = "UCSD"
TRIVIAL: tuple[TrivialKind, ...] = ("mean", "ridge")

# (MAE, "MSE", which is an RMSE) as printed; CCNN prints none
PRINTED: dict[str, tuple[float, float | None]] = {
    "Zhang": (1.60, 3.31),
    "CCNN": (1.51, None),
    "Switching-CNN": (1.62, 2.10),
    "FCN-rLSTM": (1.54, 3.02),
    "MCNN": (1.07, 1.35),
    "CSRNet": (1.16, 1.47),
}


def printed(row: str) -> dict[str, Value]:
    """Return what the paper prints of a row."""
    values = zip(("mae", "rmse"), PRINTED[row], strict=True)
    return {name: Value(value=value, source=SOURCE) for name, value in values if value is not None}


csrnet = Run(
    row="csrnet",
    column=COLUMN,
    task=partial(CountingTask, model="csrnet", imagenet="imagenet"),
    data=partial(UCSDPedestrian, resize="csrnet", augmentation="patches", batch_size=1),
    max_epochs=10,
    paper=printed("CSRNet"),
    note="lr 1e-6 and patches as printed; momentum 0.95 from the published code; no epochs are printed: ten passes "
    "over 18 patches a frame make about 130,000 steps",
)

CELLS: list[Cell] = [
    *(Literature(row=row, column=COLUMN, paper=printed(row)) for row in PRINTED if row != "CSRNet"),
    *(Trivial(row=kind, column=COLUMN, kind=kind, data=UCSDPedestrian) for kind in TRIVIAL),
    Run(
        row="csrnet-slim",
        column=COLUMN,
        task=partial(slim_csrnet, freeze_batch_norm=0.85),
        data=partial(UCSDPedestrian, resize="csrnet", crop=256, batch_size=8),
        max_epochs=15,
        note="an eighth of CSRNet's width, from scratch; nothing was tuned for this set",
    ),
    csrnet,
    csrnet.chosen_on_test(),
]

TABLE = Table(
    id="csrnet_table9_ucsd",
    title="Counting error on the UCSD pedestrians",
    source=SOURCE,
    cells=CELLS,
    notes=["RMSE is what the paper calls MSE.", "Only people on the walkway count."],
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
