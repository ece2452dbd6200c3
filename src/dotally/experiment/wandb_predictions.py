"""The predictions behind results that came from Weights & Biases, where two rows are held against each other."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from dotally.callbacks import Prediction
from dotally.errors import DataError
from dotally.experiment import wandb_record, wandb_session
from dotally.experiment.results import Result, find_results, recompute, write_predictions
from dotally.experiment.wandb_results import PREFIX, api_of, plain
from dotally.predict.terminal import say

TABLE = "pictures/test"


class Api(Protocol):
    """The part of ``wandb.Api`` that is used."""

    def run(self, path: str) -> Any:
        """Return a run by ``ENTITY/PROJECT/ID``."""


def fetch(source: str, results: Iterable[Result], here: Sequence[Path], to: Path, api: Api | None = None) -> None:
    """Write ``run.json`` and ``predictions.csv`` of counting results whose predictions are not on this machine.

    They are read from the table of test pictures in each run's record. What cannot be had is named in a line.

    Args:
        source: ``wandb:ENTITY/PROJECT``.
        results: Those whose predictions are wanted.
        here: Folders of the table's results on this machine.
        to: Folder to write to, laid out as local runs are.
        api: Asked instead of ``wandb.Api()``.
    """
    known = {result.key for folder in here for _, result in find_results(folder)}
    lacking = [result for result in results if result.key not in known]
    if not lacking:
        return
    client: Api = api or api_of()
    for result in lacking:
        place = to / result.cell / f"seed{result.seed}-{result.key[:8]}"
        try:
            run = client.run(f"{source.removeprefix(PREFIX)}/{wandb_record.run_id(result)}")
            predictions = _read(run, to)
            _check(predictions, result)
            write_predictions(place / "predictions.csv", predictions)
            result.write(place / "run.json")
        except Exception as error:  # wandb has a dozen kinds, and all mean the same here
            why = wandb_session.reason(error)
            say(f"{source}: no predictions of {result.cell} seed {result.seed}: {why}", stderr=True)


def _read(run: Any, folder: Path) -> list[Prediction]:
    entry = plain(run.summary).get(TABLE)
    if not isinstance(entry, Mapping) or "path" not in entry:
        raise DataError(f"its record has no table {TABLE}")
    with run.file(entry["path"]).download(root=str(folder / ".tables" / run.id), replace=True) as file:
        table = json.load(file)
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    return [Prediction(row["name"], int(row["true"]), float(row["predicted"])) for row in rows]


def _check(predictions: Sequence[Prediction], result: Result) -> None:
    """See that the table is that of the result: a server keeps what it is sent, of whichever attempt."""
    found = recompute(predictions)["mae"]
    # in another order sums round differently
    if abs(found - result.metrics["mae"]) > 1e-9 * max(1.0, found):
        raise DataError(f"its table of test pictures has MAE {found:.6g}, its summary {result.metrics['mae']:.6g}")
