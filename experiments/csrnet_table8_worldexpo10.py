"""CSRNet (Li et al., CVPR 2018), table 8: mean absolute error on the five test scenes of WorldExpo'10.

    python experiments/csrnet_table8_worldexpo10.py                     # everything, three seeds: needs a GPU
    python experiments/csrnet_table8_worldexpo10.py --only csrnet-slim  # an eighth of the width, from scratch
    python experiments/csrnet_table8_worldexpo10.py --fast-dev-run      # is everything wired?

One network is tested on all five scenes. Each has 120 frames, so the mean over all frames is the papers' mean over
scenes.

Data: WorldExpo'10, given by its authors on signature. Validation holds whole scenes of train. ``csrnet`` also needs
ImageNet weights, which PyTorch fetches and whose hash is checked.

Hours: not measured; the data were not at hand when this was written. By the operations that ``--plan`` counts and the
published sizes of the set, ``csrnet`` takes 28 PFLOP a seed, 25 minutes of a GPU at 20 TFLOP/s, a rate that is assumed;
``csrnet-slim`` 100 TFLOP, three quarters of an hour of a core at the 39 GFLOP/s that it reached on ShanghaiTech B.
"""

import sys
from functools import partial

from dotally.data import WorldExpo10
from dotally.experiment import Cell, Literature, Run, Table, Trivial, TrivialKind, Value, main
from dotally.tasks import CountingTask
from dotally.tasks.recipes import slim_csrnet

SOURCE = "CSRNet, CVPR 2018, table 8"
COLUMN = "WorldExpo10"
# scene of the table -> beginning of its frames' names
SCENES = {"scene1": "104207", "scene2": "200608", "scene3": "200702", "scene4": "202201", "scene5": "500717"}
METRICS = (*(f"mae_{scene}" for scene in SCENES), "mae")
TRIVIAL: tuple[TrivialKind, ...] = ("mean", "ridge")

# MAE of scenes 1 to 5 and their average, as printed
PRINTED = {
    "Chen": (2.1, 55.9, 9.6, 11.3, 3.4, 16.5),
    "Zhang": (9.8, 14.1, 14.3, 22.2, 3.7, 12.9),
    "MCNN": (3.4, 20.6, 12.9, 13.0, 8.1, 11.6),
    "Shang": (7.8, 15.4, 14.9, 11.8, 5.8, 11.7),
    "Switching-CNN": (4.4, 15.7, 10.0, 11.0, 5.9, 9.4),
    "CP-CNN": (2.9, 14.7, 10.5, 10.4, 5.8, 8.86),
    "CSRNet": (2.9, 11.5, 8.6, 16.6, 3.4, 8.6),
}


def printed(row: str) -> dict[str, Value]:
    """Return what the paper prints of a row."""
    return {name: Value(value=value, source=SOURCE) for name, value in zip(METRICS, PRINTED[row], strict=True)}


csrnet = Run(
    row="csrnet",
    column=COLUMN,
    task=partial(CountingTask, model="csrnet", imagenet="imagenet"),
    data=partial(WorldExpo10, augmentation="patches", batch_size=1),
    max_epochs=2,
    groups=SCENES,
    paper=printed("CSRNet"),
    note="lr 1e-6 and patches as printed; momentum 0.95 from the published code; no epochs are printed: two passes "
    "over 18 patches a frame make about 110,000 steps",
)

CELLS: list[Cell] = [
    *(Literature(row=row, column=COLUMN, paper=printed(row)) for row in PRINTED if row != "CSRNet"),
    *(Trivial(row=kind, column=COLUMN, kind=kind, data=WorldExpo10) for kind in TRIVIAL),
    Run(
        row="csrnet-slim",
        column=COLUMN,
        task=partial(slim_csrnet, freeze_batch_norm=0.85),
        data=partial(WorldExpo10, crop=256, batch_size=8),
        max_epochs=10,
        groups=SCENES,
        note="an eighth of CSRNet's width, from scratch; nothing was tuned for this set",
    ),
    csrnet,
    csrnet.chosen_on_test(),
]

TABLE = Table(
    id="csrnet_table8_worldexpo10",
    title="Mean absolute error on WorldExpo'10",
    source=SOURCE,
    cells=CELLS,
    metrics=METRICS,
    notes=["Only people in the region of their scene count, and frames without any stay in."],
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
