"""The files of ``weights/``: each says which committed run it is of, and still counts as that run did."""

import csv
import json
from pathlib import Path

import pytest

from dotally import Counter
from dotally.predict.weights_file import DEFAULT, SHIPPED, load_weights

RESULTS = SHIPPED.parent / "experiments" / "results"


def committed(weights: Path) -> Path:
    """Return the folder of the committed result that a file says it is of."""
    name, _, key = load_weights(weights).facts["run"].partition(", key ")
    assert json.loads((RESULTS / name / "run.json").read_text())["key"].startswith(key)
    return RESULTS / name


@pytest.mark.parametrize("weights", sorted(SHIPPED.glob("*.pt")), ids=lambda path: path.stem)
def test_a_shipped_file_quotes_the_error_that_is_committed(weights: Path) -> None:
    metrics = json.loads((committed(weights) / "run.json").read_text())["metrics"]
    assert f"MAE {metrics['mae']:.1f}, RMSE {metrics['rmse']:.1f} " in load_weights(weights).facts["error there"]


def test_the_weights_that_count_by_default_count_as_their_run_did(data_root: list[Path]) -> None:
    folder = next(images for root in data_root for images in root.glob("**/part_B*/test_data/images"))
    with (committed(SHIPPED / f"{DEFAULT}.pt") / "predictions.csv").open(newline="") as file:
        expected = {row["name"]: float(row["predicted"]) for row in list(csv.DictReader(file))[:3]}
    counter = Counter.load(DEFAULT, device="cpu")
    assert {name: counter(folder / name).count for name in expected} == pytest.approx(expected, rel=1e-4)
