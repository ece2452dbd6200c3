"""What Weights & Biases keeps of a run: id, names, config and summary; and the result read back from them."""

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dotally.errors import DataError
from dotally.experiment.identity import digest
from dotally.experiment.results import FORMAT, Confirmation, Result

LONGEST_TAG = 64  # Weights & Biases refuses longer ones


def run_id(result: Result) -> str:
    """Return the record's id: the same cell and key always meet the same record, on any machine."""
    return digest([result.table, result.cell, result.key])[:12]


def names(result: Result) -> dict[str, Any]:
    """Return what ``wandb.init`` is told of a run, besides its config."""
    return {
        "id": run_id(result),
        "name": f"{result.cell} seed{result.seed}",
        "group": f"{result.table}/{result.cell}",
        "job_type": "train" if result.spec.get("max_epochs") else "eval",
        "tags": _tags(result),
    }


def _tags(result: Result) -> list[str]:
    model = result.spec["task"]["arguments"].get("model") if "task" in result.spec else result.spec.get("kind")
    data = result.spec["data"]["class"].rsplit(".", 1)[-1]
    tags = [result.table, model, data, _protocol(result), f"spec-{digest(result.spec)[:8]}"]
    if commit := result.environment.get("commit"):
        tags.append(f"code-{commit[:7]}")
    return list(dict.fromkeys(str(tag)[:LONGEST_TAG] for tag in tags if tag))


def _protocol(result: Result) -> str:
    return str(result.spec.get("protocol", "val"))


def config(result: Result) -> dict[str, Any]:
    """Return the inputs of a run, flat, each key at most two levels deep: ``seed``, ``task/lr``, ``packages/torch``.

    ``spec`` and ``environment`` are there once more as JSON text, because values lose their types on the way to
    Weights & Biases and back, and :func:`read_back` needs them unchanged.
    """
    environment = result.environment
    packages = {f"packages/{name}": version for name, version in environment.get("packages", {}).items()}
    flat = {name: value for name, value in environment.items() if not isinstance(value, dict)}
    return {
        "format": result.format,
        **{name: getattr(result, name) for name in ("table", "row", "column", "seed", "key", "data")},
        "protocol": _protocol(result),
        "spec_hash": digest(result.spec),
        **_flat("", {name: value for name, value in result.spec.items() if name not in ("task", "data")}),
        **_flat("task", result.spec.get("task", {}).get("arguments", {})),
        **_flat("data", result.spec["data"]["arguments"]),
        **flat,
        **packages,
        **{name: value for name, value in result.facts.items() if name == "parameters"},
        "spec": _text(result.spec),
        "environment": _text(environment),
    }


def _flat(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Name each value by its last two levels, so that ``task.model_kwargs.width`` becomes ``model_kwargs/width``."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(name, value)
        else:
            found[f"{section}/{name}" if section else name] = value
    return found


def summary(result: Result) -> dict[str, Any]:
    """Return the answers of a run, every one written by us and none left to be aggregated from curves."""
    facts = result.facts
    best = {f"best/{name.replace('/', '_')}": value for name, value in facts.get("best", {}).items()}
    named = {
        "best/epoch": facts.get("best_epoch"),
        **best,
        "test/n": facts.get("pictures"),
        "time/run_s": facts.get("seconds"),
        "time/cpu_s": facts.get("cpu_seconds"),
    }
    return {
        **{name: value for name, value in named.items() if value is not None},
        **{f"test/{name}": value for name, value in result.metrics.items()},
        "code": result.code,
        "facts": _text(facts),
        **({"confirmed": _text([asdict(told) for told in result.confirmed])} if result.confirmed else {}),
    }


def read_back(config: Mapping[str, Any], summary: Mapping[str, Any]) -> Result:
    """Rebuild a result from the config and the summary of its record, equal to the ``run.json`` that made them.

    Raises:
        DataError: If the record is not one of ours, or not complete.
    """
    given = {name: _unwrapped(value) for name, value in config.items()}
    try:
        if int(given["format"]) != FORMAT:
            raise DataError(f"written in format {given['format']}, this version reads {FORMAT}")
        metrics = {
            name.removeprefix("test/"): float(value)
            for name, value in summary.items()
            if name.startswith("test/") and name != "test/n"
        }
        return Result(
            **{name: given[name] for name in ("table", "row", "column", "key", "data")},
            seed=int(given["seed"]),
            spec=json.loads(given["spec"]),
            code=summary["code"],
            metrics=metrics,
            facts=json.loads(summary["facts"]),
            environment=json.loads(given["environment"]),
            confirmed=tuple(Confirmation(**told) for told in json.loads(summary.get("confirmed", "[]"))),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"not a complete result ({error!r})") from error


def _unwrapped(value: Any) -> Any:
    """Take a config value out of the ``{"value": ...}`` that Weights & Biases stores it in."""
    return value["value"] if isinstance(value, Mapping) and "value" in value else value


def _text(value: Any) -> str:
    return json.dumps(value)  # in its own order, which remarks about changes follow


def read_curve(path: Path) -> list[dict[str, float]]:
    """Read a ``metrics.csv``, one dictionary per epoch without its empty fields; a run without a curve has none.

    Raises:
        DataError: If a field is no number.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [{name: float(text) for name, text in row.items() if text} for row in csv.DictReader(file)]
    except (OSError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not a learning curve ({error})") from error
