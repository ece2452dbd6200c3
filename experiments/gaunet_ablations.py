"""Ours: what in a Gaussian layer counts? GauNet-CSRNet at an eighth of its width, one thing changed at a time.

    python experiments/gaunet_ablations.py --only '*.crowd'       # the synthetic crowd, which needs no data
    python experiments/gaunet_ablations.py --only '*.B'           # ShanghaiTech B
    python experiments/gaunet_ablations.py --compare k16.crowd base.crowd
    python experiments/gaunet_ablations.py --fast-dev-run         # is everything wired?

``base`` has nine Gaussians in place of the nine taps of each back-end kernel, displacements that a layer shares, one
width a layer, both learned, and bilinear shifts. The others change the number K of Gaussians, who shares the
displacements, the number of shapes that stand for all widths, what is learned, or take a whole published setting.
``csrnet-slim`` has plain convolutions. GauNet's own ablations were not found, so nothing is printed beside these.

Hours: not measured. By the epochs of ``annotation_noise.py`` a seed of ``base`` takes some six minutes of one core on
the synthetic crowd and, by those and csrnet-slim's hour in table 5, nearly two hours on B. ``--plan`` counts twenty
times the operations for ``sharing-pair``; with it and ``preset-dau``, B is for a GPU.
"""

import sys
from functools import partial
from typing import Any

from dotally.data import ShanghaiTech, SyntheticCrowd
from dotally.experiment import Cell, Run, Table, Trivial, main
from dotally.tasks.recipes import slim_csrnet, slim_gaunet_csrnet

# row -> (Gaussians, arguments of the layers, what that is)
ROWS: dict[str, tuple[int, dict[str, Any], str]] = {
    "base": (9, {}, "K = 9, displacements shared by a layer, one learned width"),
    **{f"k{count}": (count, {}, f"K = {count}") for count in (2, 4, 16)},
    "sharing-input": (9, {"sharing": "input"}, "displacements of each input channel"),
    "sharing-pair": (9, {"sharing": "pair"}, "displacements of each pair of channels, as in DAU-ConvNet"),
    "widths": (9, {"sigma": (0.5, 2.0)}, "a width for each Gaussian, spread over 0.5 to 2"),
    **{
        f"rank{rank}": (9, {"sigma": (0.5, 2.0), "shape_rank": rank}, f"as widths, {rank} shapes stand for all widths")
        for rank in (1, 2, 3, 4)
    },
    "mu-fixed": (9, {"learn_mu": False}, "displacements stay on their grid"),
    "sigma-fixed": (9, {"learn_sigma": False}, "widths stay at 0.5"),
    "both-fixed": (9, {"learn_mu": False, "learn_sigma": False}, "weights alone are learned"),
    "shift-exact": (9, {"shift": "exact"}, "displaced Gaussians are sampled, no plane is shifted"),
    "preset-gaunet": (9, {"preset": "gaunet"}, "figure 3: three shapes, widths 0.5 to 2, softmax fusion"),
    "preset-dau": (9, {"preset": "dau"}, "DAU-ConvNet: per pair, width fixed at 0.5, its surrogate gradient"),
}

# column -> (data, the rest of the recipe, passes)
SETS: dict[str, tuple[Any, dict[str, Any], int]] = {
    "crowd": (
        partial(SyntheticCrowd, render_seed=1, augmentation="crop", crop=256, batch_size=8, keep_in_memory=True),
        {"freeze_batch_norm": 0.85},
        16,
    ),
    "B": (
        partial(ShanghaiTech, part="B", longest_side=512, sigma=8.0, crop=384, batch_size=4, keep_in_memory=True),
        {"lr": 3e-3, "weight_decay": 0.01, "freeze_batch_norm": 0.85},
        60,
    ),
}


def network(gaussians: int, layer: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a slim GauNet-CSRNet."""
    preset, rest = layer.get("preset"), {name: value for name, value in layer.items() if name != "preset"}
    # a published setting decides on the shift itself, which is what the networks choose anyway
    return {"width": 0.125, "batch_norm": True, "gaussians": (gaussians,), "preset": preset, "layer": rest}


def cells(column: str) -> list[Cell]:
    """Return every row of a column."""
    data, recipe, epochs = SETS[column]
    return [
        Trivial(row="ridge", column=column, kind="ridge", data=data),
        Run(row="csrnet-slim", column=column, task=partial(slim_csrnet, **recipe), data=data, max_epochs=epochs),
        *(
            Run(
                row=row,
                column=column,
                task=partial(slim_gaunet_csrnet, model_kwargs=network(gaussians, layer), **recipe),
                data=data,
                max_epochs=epochs,
            )
            for row, (gaussians, layer, _) in ROWS.items()
        ),
    ]


TABLE = Table(
    id="gaunet_ablations",
    title="What counts in a Gaussian layer",
    source="ours",
    cells=[cell for column in SETS for cell in cells(column)],
    notes=[
        *(f"{row}: {what}." for row, (_, _, what) in ROWS.items()),
        "Recipes were chosen for csrnet-slim, with test pictures in view, and are given to all rows; numbers of "
        "parameters differ between values of K and of sharing.",
    ],
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
