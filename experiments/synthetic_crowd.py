"""Our first table: counting a synthetic crowd, which needs no data, no GPU, no account and no network.

    python experiments/synthetic_crowd.py                     # one seed, under three minutes on two idle cores
    python experiments/synthetic_crowd.py --seeds 0 1 2       # the full table

Crowds are drawn in front of 42 cameras, people painted far to near. The network learns from 24 of them, is chosen on
6 others and is tested on the remaining 12, so it never saw a test camera. Beside it stand predictors that have learnt
nothing of heads: the mean count, the median, and ridge regression on eight statistics of the whole picture.
"""

import sys
from functools import partial

from dotally.data import SyntheticCrowd
from dotally.experiment import Cell, Run, Table, Trivial, TrivialKind, main
from dotally.tasks.recipes import slim_csrnet

TRIVIAL: tuple[TrivialKind, ...] = ("mean", "median", "ridge")

# whole pictures: what a network meets beyond the borders of a small crop is not what it meets in a picture
crowd = partial(SyntheticCrowd, render_seed=1, augmentation="crop", crop=256, batch_size=8, keep_in_memory=True)

CELLS: list[Cell] = [
    *(Trivial(row=kind, column="synthetic", kind=kind, data=crowd) for kind in TRIVIAL),
    Run(
        row="csrnet-slim",
        column="synthetic",
        task=partial(slim_csrnet, freeze_batch_norm=0.85),
        data=crowd,
        max_epochs=16,
    ),
]

TABLE = Table(
    id="synthetic_crowd",
    title="Counting a synthetic crowd on unseen cameras",
    source="ours",
    cells=CELLS,
    notes=[
        "The target's scale, rate and batch size were tuned on another drawing of this crowd, test pictures in view; "
        "this drawing's test pictures were first seen by these results."
    ],
    next=[
        "python experiments/synthetic_crowd.py --seeds 0 1 2        the full table",
        "dotally predict PHOTOS --weights synthetic_crowd/csrnet-slim --out counted        count your own pictures",
        "dotally data add shanghaitech ARCHIVE        real data; `dotally data list` says where to get it",
        "python experiments/csrnet_table5_shanghaitech.py --only csrnet-slim.B        a real number from a laptop",
    ],
)

if __name__ == "__main__":
    sys.exit(main(TABLE, seeds=(0,)))
