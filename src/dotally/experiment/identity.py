"""Who a run is: a hash of everything that decides its result, and of nothing else."""

import hashlib
import json
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any

import torch

from dotally.data.crowd import OPERATIONAL
from dotally.experiment.localization import Localization, methods_spec
from dotally.experiment.spec import Run, Task, Trivial

# arguments that decide nothing of what a run computes
IGNORED = {"folder", *OPERATIONAL}
# raised whenever the engine itself changes what a run computes
ENGINE = 1
# what decides a localization besides; rules of the top-down pass are registered by the package itself
LOCALIZING = ("dotally.stnet", "dotally.experiment.localization_methods")


def resolved_spec(cell: Run | Trivial) -> dict[str, Any]:
    """Return the fully bound specification of a cell, defaults included, as plain JSON values."""
    data = cell.data()
    spec: dict[str, Any] = {"data": {"class": _name(data), "arguments": _plain(dict(data.hparams))}}
    if isinstance(cell, Trivial):
        return {"kind": cell.kind, **spec}
    spec["task"] = deepcopy(_described(cell.task)[0])
    for name in ("max_epochs", "weights", "monitor", "protocol"):
        spec[name] = getattr(cell, name)
    if cell.groups:
        spec["groups"] = dict(cell.groups)
    if isinstance(cell, Localization):
        spec["methods"] = methods_spec(cell.methods)
    return {**spec, "trainer": _plain(dict(cell.trainer)), "engine": ENGINE}


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value in canonical form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def run_key(spec: dict[str, Any], fingerprint: str, seed: int) -> str:
    """Return the identity of a run: equal keys promise equal results."""
    return digest({"spec": spec, "data": fingerprint, "seed": seed})


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Name what changed between two specifications, one ``path: old -> new`` each."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(key for key in new if key not in old)]
        return [
            line
            for key in keys
            for line in differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
        ]
    return [] if old == new else [f"{path.removeprefix('arguments.')}: {old} -> {new}"]


def deciding_modules(cell: Run | Trivial) -> list[str]:
    """Return the modules whose code decides a cell's result, for ``code_hash``."""
    modules = [type(cell.data()).__module__]
    if isinstance(cell, Trivial):
        return [*modules, "dotally.baselines", "dotally.metrics.counting"]
    modules += _described(cell.task)[1]
    return [*modules, *LOCALIZING] if isinstance(cell, Localization) else modules


@cache
def _described(build: Callable[[], Task]) -> tuple[dict[str, Any], list[str]]:
    """Return a task's class and arguments, and the modules of it and its network; large tables ask for each often."""
    with torch.device("meta"):  # only the hyperparameters are wanted, not sixteen million numbers
        task = build()
    return {"class": _name(task), "arguments": _plain(dict(task.hparams))}, [
        type(task).__module__,
        type(task.model).__module__,
    ]


def _name(thing: object) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def _plain(value: Any) -> Any:
    """Turn hyperparameters into JSON values, without the operational ones."""
    if isinstance(value, dict):
        return {key: _plain(value[key]) for key in sorted(value) if key not in IGNORED}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
