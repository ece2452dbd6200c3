"""Results out of Weights & Biases, for the same report as from local files."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from dotally.errors import DataError, DotallyError
from dotally.experiment import wandb_record
from dotally.experiment.identity import digest
from dotally.experiment.results import Result
from dotally.predict.terminal import say

PREFIX = "wandb:"


class Api(Protocol):
    """The part of ``wandb.Api`` that is used."""

    def runs(self, path: str, filters: dict[str, Any], order: str) -> Iterable[Any]:
        """Return the runs of a project that match filters in MongoDB's language."""


def load(source: str, table_id: str, api: Api | None = None) -> list[Result]:
    """Return a table's results from a project, in the order in which local ones are found.

    Runs are found by their config, not by their names, and their numbers come from the summary, because the history
    that the server returns is a sample. Of several finished runs of one cell, seed and specification the newest counts.

    Args:
        source: ``wandb:ENTITY/PROJECT``.
        table_id: The table.
        api: Asked instead of ``wandb.Api()``.

    Raises:
        DotallyError: If the source is not understood, or the server refuses or cannot be reached.
    """
    path = source.removeprefix(PREFIX)
    if not source.startswith(PREFIX) or len([part for part in path.split("/") if part]) != 2:
        raise DotallyError(f"{source}: results are read from wandb:ENTITY/PROJECT")
    filters = {"$and": [{"config.table": table_id}, {"state": "finished"}]}
    try:
        found = list((api or api_of()).runs(path, filters=filters, order="+created_at"))
        newest, ignored = _newest(found, table_id)
    except DotallyError:
        raise
    except Exception as error:  # wandb has a dozen kinds, and all mean that there is nothing to report
        raise DotallyError(f"{source}: {str(error).strip() or type(error).__name__}") from error
    for reason in ignored:
        say(f"{source}: {reason}", stderr=True)
    # as files are: by folder of the cell, then of the run
    return sorted(newest, key=lambda result: (result.cell, f"seed{result.seed}-{result.key[:8]}"))


def _newest(runs: Iterable[Any], table_id: str) -> tuple[list[Result], list[str]]:
    """Return the results that count, and why the others do not."""
    newest: dict[tuple[str, str, int, str], tuple[str, Result]] = {}
    ignored = []
    for run in runs:
        if run.state != "finished":
            continue
        try:
            result = wandb_record.read_back(run.config, plain(run.summary))
        except DataError as error:
            ignored.append(f"run {run.id} ignored: {error}")
            continue
        if result.table != table_id:
            continue
        who = (result.row, result.column, result.seed, digest(result.spec))
        if who in newest:
            ignored.append(f"an older run of {result.cell} seed {result.seed} ignored")
        if who not in newest or newest[who][0] <= str(run.created_at):
            newest[who] = str(run.created_at), result
    return [result for _, result in newest.values()], ignored


def plain(summary: Any) -> Mapping[str, Any]:
    """Return a summary's values; the public API hides them behind an object that is no mapping."""
    values = getattr(summary, "_json_dict", summary)
    assert isinstance(values, Mapping)
    return values


def api_of() -> Any:
    """Return ``wandb.Api()``.

    Raises:
        DotallyError: If wandb is not installed.
    """
    try:
        import wandb
    except ImportError as error:
        raise DotallyError("wandb is not installed: pip install wandb") from error
    return wandb.Api()
