"""The second half of ``make demo``: boxes from labels alone in half a minute, without data, GPU or network.

    python experiments/shapes_demo.py                     # half a minute on two idle cores

The network of ``synthetic_shapes.py`` learns half as long, and four ways to localize look at it: STNet, excitation
backprop, class activation maps, and a box at the centre that looks at nothing.
The run folder's ``pictures.png`` shows 20 test pictures with both boxes.
"""

import sys
from functools import partial

from dotally.data import SyntheticShapes
from dotally.experiment import Cell, Localization, Table, main, small_network_methods
from dotally.tasks.recipes import shapes_classifier

SHOWN = ("stnet", "excitation", "cam", "centre")

CELLS: list[Cell] = [
    Localization(
        row="shapes-net",
        column="shapes",
        task=shapes_classifier,
        data=partial(SyntheticShapes, batch_size=32, pictures=3000, val_pictures=60, test_pictures=120),
        max_epochs=8,
        methods={name: method for name, method in small_network_methods("features.3").items() if name in SHOWN},
    )
]

TABLE = Table(
    id="shapes_demo",
    title="Boxes of shapes from a network that learnt labels only, briefly",
    source="ours",
    cells=CELLS,
    metrics=("label_accuracy", "gt_known_50", "threshold"),
    seeds=(0,),
    notes=["GT-known: the label is given, a picture counts where the box reaches an IoU of 0.5 with the true one."],
    next=[
        "python experiments/synthetic_shapes.py        the whole training, every method and figure, three seeds",
        "dotally localize PHOTOS --weights shapes_demo/shapes-net --out found        look at your own pictures",
    ],
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
