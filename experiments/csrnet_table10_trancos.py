"""CSRNet (Li et al., CVPR 2018), table 10: vehicles on TRANCOS by GAME 0 to 3.

    python experiments/csrnet_table10_trancos.py                       # everything, three seeds: needs a GPU
    python experiments/csrnet_table10_trancos.py --only csrnet-slim    # an eighth of the width, from scratch
    python experiments/csrnet_table10_trancos.py --fast-dev-run        # is everything wired?

Pictures and maps are masked with the road before GAME is taken. GAME(0) is the mean absolute error.

Data: TRANCOS v3, in its own three splits. ``csrnet`` also needs ImageNet weights, which PyTorch fetches and whose hash
is checked.

Hours: not measured; the data were not at hand when this was written. By the operations that ``--plan`` counts and the
published sizes of the set, ``csrnet`` takes 25 PFLOP a seed, 20 minutes of a GPU at 20 TFLOP/s, a rate that is assumed;
``csrnet-slim`` 170 TFLOP, 70 minutes of a core at the 39 GFLOP/s that it reached on ShanghaiTech B.
"""

import sys
from functools import partial

from dotally.data import TRANCOS
from dotally.experiment import Cell, Literature, Run, Table, Trivial, TrivialKind, Value, main
from dotally.tasks import CountingTask
from dotally.tasks.recipes import slim_csrnet

SOURCE = "CSRNet, CVPR 2018, table 10"
COLUMN = "TRANCOS"
TRIVIAL: tuple[TrivialKind, ...] = ("mean", "ridge")

# GAME 0 to 3 as printed; FCN-HA prints the first only
PRINTED: dict[str, tuple[float, ...]] = {
    "Fiaschi": (17.77, 20.14, 23.65, 25.99),
    "Lempitsky": (13.76, 16.72, 20.72, 24.36),
    "Hydra-3s": (10.99, 13.75, 16.69, 19.32),
    "FCN-HA": (4.21,),
    "CSRNet": (3.56, 5.49, 8.57, 15.04),
}


def printed(row: str) -> dict[str, Value]:
    """Return what the paper prints of a row."""
    return {f"game{level}": Value(value=value, source=SOURCE) for level, value in enumerate(PRINTED[row])}


csrnet = Run(
    row="csrnet",
    column=COLUMN,
    task=partial(CountingTask, model="csrnet", imagenet="imagenet"),
    data=partial(TRANCOS, augmentation="patches", batch_size=1),
    max_epochs=18,
    paper=printed("CSRNet"),
    note="lr 1e-6 and patches as printed; momentum 0.95 from the published code; no epochs are printed: 18 passes over "
    "18 patches a picture make about 130,000 steps",
)

CELLS: list[Cell] = [
    *(Literature(row=row, column=COLUMN, paper=printed(row)) for row in PRINTED if row != "CSRNet"),
    *(Trivial(row=kind, column=COLUMN, kind=kind, data=TRANCOS) for kind in TRIVIAL),
    Run(
        row="csrnet-slim",
        column=COLUMN,
        task=partial(slim_csrnet, freeze_batch_norm=0.85),
        data=partial(TRANCOS, crop=256, batch_size=8),
        max_epochs=60,
        note="an eighth of CSRNet's width, from scratch; nothing was tuned for this set",
    ),
    csrnet,
    csrnet.chosen_on_test(),
]

TABLE = Table(
    id="csrnet_table10_trancos",
    title="Vehicles on TRANCOS",
    source=SOURCE,
    cells=CELLS,
    metrics=("game0", "game1", "game2", "game3", "mae", "rmse"),
    notes=["Trivial predictors have no map, so no GAME above their mean absolute error."],
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
