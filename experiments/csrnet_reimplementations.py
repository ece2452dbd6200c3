"""What re-implementations of CSRNet and its peers report, beside our runs of one of their recipes on ShanghaiTech.

    python experiments/csrnet_reimplementations.py                    # everything, three seeds: needs a GPU
    python experiments/csrnet_reimplementations.py --only 'c3-*.B'
    python experiments/csrnet_reimplementations.py --fast-dev-run     # is everything wired?

The rows ``c3-*`` are our networks, trained by the C^3 Framework's recipe (Adam, weight decay 1e-4, lr 1e-5 or 1e-4
for MCNN, heads of sigma 4, whole pictures and mirroring only), once chosen on validation pictures and once on the test
split, as it was done there; only the latter compares, and by our rule it can never be called a match. Everything else
is quoted.

Data: ShanghaiTech; ImageNet weights for CSRNet, which PyTorch fetches and whose hash is checked.

Hours: not measured; needs a GPU. The plan's estimate is at most 1.6 EFLOP for a seed of all eight runs, nearly
all of it for CSRNet: 22 hours at 20 TFLOP/s, a rate that is assumed.
"""

import sys
from collections.abc import Callable
from functools import partial

from dotally.data import CrowdDataModule, ShanghaiTech
from dotally.experiment import Cell, Literature, Run, Table, Value, main
from dotally.tasks.recipes import c3_framework

C3 = "README of the C^3 Framework"
KERAS = "README of CSRNet-keras"
KERAS_FILES = "result files of CSRNet-keras"
OFFICIAL = "README of CSRNet-pytorch"
ISSUES = "issues of CSRNet-pytorch"
NOTEBOOK = "stored output of CSRNet-pytorch's val.ipynb"
TUTORIAL = "a PyTorch tutorial"

Printed = dict[str, Value]


def printed(mae: float, rmse: float | None, source: str, also: tuple[Value, ...] = ()) -> Printed:
    """Return what is read in a source."""
    shown = {"mae": Value(value=mae, source=source, also=also)}
    return shown | ({} if rmse is None else {"rmse": Value(value=rmse, source=source)})


def keras(claimed: float, mae: float, rmse: float) -> Printed:
    """Return what CSRNet-keras claims, and what its own files give."""
    also = (Value(value=mae, source=KERAS_FILES),)
    shown = Value(value=claimed, source=KERAS, certainty="claimed", also=also)
    return {"mae": shown, "rmse": Value(value=rmse, source=KERAS_FILES)}


# (row, column) -> what it reports; the C^3 Framework chose on the test split, the official lists leave it open
QUOTED: dict[tuple[str, str], Printed] = {
    ("C3 MCNN", "A"): printed(110.6, 171.1, C3),
    ("C3 CSRNet", "A"): printed(69.3, 111.9, C3),
    ("C3 VGG-16", "A"): printed(71.4, 115.7, C3),
    ("CSRNet-pytorch", "A"): printed(66.4, None, OFFICIAL, also=(Value(value=75.42, source=NOTEBOOK),)),
    ("CSRNet-pytorch, users", "A"): printed(69, None, ISSUES, also=(Value(value=73.26, source=f"{ISSUES}, crops on"),)),
    ("CSRNet-keras", "A"): keras(65.92, 65.93, 104.78),
    ("PyTorch tutorial", "A"): {"mae": Value(value=65.97, source=TUTORIAL, certainty="claimed")},
    ("CommissarMa CSRNet", "A"): printed(67.74, None, "README of CommissarMa/CSRNet-pytorch"),
    ("lwcc CSRNet", "A"): printed(75.44, 113.55, "README of lwcc"),
    ("C3 MCNN", "B"): printed(21.5, 38.1, C3),
    ("C3 CSRNet", "B"): printed(10.6, 16.6, C3),
    ("C3 SANet", "B"): printed(12.1, 19.2, C3),
    ("C3 ResNet-50", "B"): printed(7.7, 12.6, C3),
    ("C3 VGG-16", "B"): printed(10.3, 16.5, C3),
    ("CSRNet-pytorch", "B"): printed(10.6, None, OFFICIAL),
    ("CSRNet-pytorch, users", "B"): printed(10.42, 16.89, ISSUES),
    ("CSRNet-keras", "B"): keras(11.01, 11.00, 16.32),
    ("CommissarMa CSRNet", "B"): printed(8.68, None, "README of CommissarMa/CSRNet-pytorch"),
    ("lwcc CSRNet", "B"): printed(11.27, 19.32, "README of lwcc"),
    ("C3 MCNN", "UCF-QNRF"): printed(243.5, 364.7, C3),
    ("C3 ResNet-50", "UCF-QNRF"): printed(114.7, 205.7, C3),
    ("C3 VGG-16", "UCF-QNRF"): printed(119.3, 207.7, C3),
    ("CSRNet-keras", "A-on-B"): printed(19.80, 33.29, KERAS_FILES),
    ("CSRNet-keras", "B-on-A"): printed(137.16, 232.64, KERAS_FILES),
}

# column -> (data, passes): the C^3 Framework took its best on A at epoch 285 and on B at 639
SETS: dict[str, tuple[Callable[..., CrowdDataModule], int]] = {
    "A": (partial(ShanghaiTech, part="A", batch_size=1), 300),
    "B": (partial(ShanghaiTech, part="B", batch_size=6), 650),
}


def run(quoted: str, column: str) -> Run:
    """Return our network by the recipe that a quoted row was trained with."""
    network = {"C3 MCNN": "mcnn", "C3 CSRNet": "csrnet"}[quoted]
    stride, lr = (4, 1e-4) if network == "mcnn" else (8, 1e-5)
    more = {"imagenet": "imagenet"} if network == "csrnet" else {"model_kwargs": {"in_channels": 3}}
    data, epochs = SETS[column]
    return Run(
        row=f"c3-{network}",
        column=column,
        task=c3_framework(network, stride=stride, lr=lr, **more),
        data=partial(data, stride=stride, sigma=4.0, crop=4096),
        max_epochs=epochs,
        paper=QUOTED[quoted, column],
    )


RUNS = [run(quoted, column) for column in SETS for quoted in ("C3 MCNN", "C3 CSRNet")]

CELLS: list[Cell] = [
    *(
        Literature(row=row, column=column, paper=paper, protocol="test-best" if row.startswith("C3") else "unknown")
        for (row, column), paper in QUOTED.items()
    ),
    *RUNS,
    *(cell.chosen_on_test() for cell in RUNS),
]

TABLE = Table(
    id="csrnet_reimplementations",
    title="Re-implementations of CSRNet and its peers",
    source="their READMEs and result files",
    cells=CELLS,
    notes=[
        "RMSE is what they call MSE.",
        "A-on-B was trained on A and tested on B, B-on-A the other way round.",
        "The truth of CSRNet-keras is the sum of a density map that has lost 3.1 % of B's heads at the borders, by "
        "kernels that are adaptive on B too; an RMSE is quoted only where one was found.",
        "The loss of c3-* is a mean over cells of the network's stride, the C^3 Framework's over pixels.",
    ],
)

if __name__ == "__main__":
    sys.exit(main(TABLE))
