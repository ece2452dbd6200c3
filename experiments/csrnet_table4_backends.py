"""CSRNet (Li et al., CVPR 2018), table 4: four back ends of equal size and different dilation on ShanghaiTech A.

    python experiments/csrnet_table4_backends.py                     # everything, three seeds: needs a GPU
    python experiments/csrnet_table4_backends.py --fast-dev-run      # is everything wired?
    python experiments/csrnet_table4_backends.py --only 'slim-*'     # an eighth of the width, from scratch

Data: ShanghaiTech A. The rows ``csrnet-*`` start from ImageNet weights, which PyTorch fetches and whose hash is
checked; offline, see the message. The rows ``slim-*`` ask the same question of a network that a CPU can train; the
paper prints nothing for them.

Hours: about half an hour a cell and seed for ``slim-*`` on two cores. ``csrnet-*`` were not measured; the plan's
estimate is at most 58 PFLOP a cell and seed, three quarters of an hour of a GPU at 20 TFLOP/s, a rate that is assumed.
"""

import sys
from functools import partial

from dotally.data import ShanghaiTech
from dotally.experiment import Cell, Run, Table, Value, main
from dotally.tasks import CountingTask
from dotally.tasks.recipes import slim_csrnet

SOURCE = "CSRNet, CVPR 2018, table 4"

# back end -> (dilation rates, MAE, "MSE", which is an RMSE) as printed
PRINTED = {
    "A": ("1 1 1 1 1 1", 69.7, 116.0),
    "B": ("2 2 2 2 2 2", 68.2, 115.0),
    "C": ("2 2 2 4 4 4", 71.91, 120.58),
    "D": ("4 4 4 4 4 4", 75.81, 120.82),
}

patches = partial(ShanghaiTech, part="A", augmentation="patches", batch_size=1)
crops = partial(ShanghaiTech, part="A", augmentation="crop", crop=256, batch_size=8)

FULL_WIDTH = [
    Run(
        row=f"csrnet-{backend}",
        column="A",
        task=partial(CountingTask, model="csrnet", model_kwargs={"backend": backend}, imagenet="imagenet"),
        data=patches,
        max_epochs=25,
        paper={"mae": Value(value=mae, source=SOURCE), "rmse": Value(value=rmse, source=SOURCE)},
        note=f"dilation {rates}",
    )
    for backend, (rates, mae, rmse) in PRINTED.items()
]

CELLS: list[Cell] = [
    *FULL_WIDTH,
    *(cell.chosen_on_test() for cell in FULL_WIDTH),
    *(
        Run(
            row=f"slim-{backend}",
            column="A",
            task=partial(slim_csrnet, model_kwargs={"backend": backend, "width": 0.125, "batch_norm": True}),
            data=crops,
            max_epochs=60,
        )
        for backend in PRINTED
    ),
]

TABLE = Table(
    id="csrnet_table4_backends",
    title="Dilation of CSRNet's back end, ShanghaiTech A",
    source=SOURCE,
    cells=CELLS,
    notes=["RMSE is what the paper calls MSE."],
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
