"""Weights by file or by name -> a network that counts, and slim files of weights to hand on."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from dotally.errors import WeightsError
from dotally.files import atomic_path, sha256
from dotally.models import RawWeights, SmallClassifier, build_model, list_models, load_into, read_weights, recognise
from dotally.predict.network import CountingNetwork

RUNS = Path("runs")
# what `dotally predict` counts with when nothing else is named
DEFAULT = "shanghaitech-b-slim"
# beside src in a checkout; an installed package has none
SHIPPED = Path(__file__).parents[3] / "weights"

# networks of published files, which do not name them
_PUBLISHED = {"mcnn-h5": "mcnn", "csrnet-official": "csrnet"}
# where Lightning keeps the arguments of the data module
_DATA = "datamodule_hyper_parameters"
READING = ("longest_side", "resize", "draft")
_SHOWN = 12


@dataclass(frozen=True, kw_only=True)
class LoadedWeights:
    """A network ready to count.

    Attributes:
        network: With the weights loaded, on the CPU.
        path: The file they came from.
        sha256: Of the file when it was read; a training that goes on may replace it.
        reading: How pictures came to their size in training, names as of the data modules: ``longest_side``, a named
            rule as ``resize``, ``draft``; empty where nothing is known.
        facts: What the file says of their making; empty where it says nothing.
    """

    network: CountingNetwork
    path: Path
    sha256: str
    reading: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def longest_side(self) -> int | None:
        """Pixels that pictures were shrunk to in training; None where they were not, or nothing is known."""
        return self.reading.get("longest_side")


def load_weights(
    weights: str | Path,
    *,
    arch: str | None = None,
    arch_kwargs: dict[str, Any] | None = None,
    preprocessing: str | None = None,
) -> LoadedWeights:
    """Load weights, and with them the network they are for. Nothing in a file is executed.

    Args:
        weights: A file or a name, see :func:`find_weights`. Checkpoints of ``CountingTask``, slim files of
            :func:`save_weights`, the published MCNN weights and the official CSRNet checkpoints say what they are.
        arch: Network of any other state dict, a name in ``dotally.models.list_models()``.
        arch_kwargs: Its arguments.
        preprocessing: Name in ``dotally.models.PRESETS`` of what such weights expect; None takes "mcnn" for MCNN and
            "imagenet" for every other network.

    Raises:
        WeightsError: No such file or name, damaged, for another network, or of a network that was not named.
    """
    path = find_weights(weights)
    raw, digest = read_weights(path), sha256(path)
    if isinstance(raw.extra.get("hyper_parameters"), dict):
        if arch or arch_kwargs or preprocessing:
            raise WeightsError(f"{path}: says itself which network it is for; leave out the architecture")
        return LoadedWeights(
            network=_own_network(path, raw),
            path=path,
            sha256=digest,
            reading=reading_in(raw.extra),
            facts=raw.extra.get("facts", {}),
        )
    arch = arch or _PUBLISHED.get(raw.kind)
    if arch is None:
        guess = recognise(raw.state)
        raise WeightsError(
            f"{path}: does not say which network it is for{f', it looks like {guess}' if guess else ''}; "
            f"name it (--arch). Known: {', '.join(counting_networks())}"
        )
    preprocessing = preprocessing or ("mcnn" if arch == "mcnn" else "imagenet")
    network = _build(path, {"model": arch, "model_kwargs": arch_kwargs, "preprocessing": preprocessing})
    _load(path, network, raw.state)
    return LoadedWeights(network=network, path=path, sha256=digest)


def reading_in(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint or slim file says of how pictures came to their size, see :class:`LoadedWeights`."""
    return {name: value for name, value in content.get(_DATA, {}).items() if name in READING}


def save_weights(checkpoint: Path, out: Path, facts: dict[str, Any]) -> None:
    """Write the weights of a checkpoint, without the state of its training, to a file of their own.

    Args:
        checkpoint: Of a ``CountingTask``, written by Lightning.
        out: The file to write: float32 weights and ``hyper_parameters``, to be loaded like the checkpoint.
        facts: What a user should know of them, plain values: trained on what, with which error, under which licence.

    Raises:
        WeightsError: ``checkpoint`` is no such checkpoint.
        TypeError: ``facts`` are no plain values.
        ValueError: One of them is NaN or infinite.
    """
    loaded = load_weights(checkpoint)
    content = {
        "dotally": 1,
        # where the front end was loaded from is of no use to others, and may be a path of this machine
        "hyper_parameters": {**loaded.network.hparams, "imagenet": None},
        # float32 whatever the checkpoint was, because the network is
        "state_dict": loaded.network.state_dict(),
        _DATA: loaded.reading,
        "facts": json.loads(json.dumps(facts, allow_nan=False)),
    }
    with atomic_path(out) as temporary:
        torch.save(content, temporary)


def find_weights(weights: str | Path) -> Path:
    """Return the file that ``weights`` stands for.

    Args:
        weights: A file; the name of a file shipped in ``weights/``, without its suffix; or a finished run below
            ``./runs`` as ``table/row[.column][/seedK]``, the newest where several match.

    Raises:
        WeightsError: Neither a file nor a known name, or a row with several columns; the message lists the names.
    """
    if Path(weights).is_file():
        return Path(weights)
    shipped = _shipped()
    if str(weights) in shipped:
        return shipped[str(weights)]
    runs = list(_finished_runs())
    found = [run for run in runs if run.is_called(str(weights))]
    cells = sorted({run.cell for run in found})
    if len(cells) > 1:
        raise WeightsError(f"{weights}: several runs are called so: {', '.join(cells)}; add the column")
    if not found:
        names = list(named_weights())
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise WeightsError(
            f"{weights}: no such weights file, and no weights of that name; "
            f"names are: {', '.join(names[:_SHOWN]) or 'none so far'}{more}"
        )
    return max(found, key=lambda run: run.finished).checkpoint


def named_weights() -> dict[str, Path]:
    """Return the files that go by a name: those shipped with the code, and the newest of every finished run."""
    runs = sorted(_finished_runs(), key=lambda run: (run.cell, run.finished))
    return _shipped() | {run.cell: run.checkpoint for run in runs}


def _shipped() -> dict[str, Path]:
    return {path.stem: path for path in sorted(SHIPPED.glob("*.pt"))}


def counting_networks() -> list[str]:
    """Return the names of the networks that predict a density map."""
    with torch.device("meta"):
        built = {name: build_model(name) for name in list_models()}
    return [
        name for name, model in built.items() if hasattr(model, "stride") and not isinstance(model, SmallClassifier)
    ]


@dataclass(frozen=True)
class _FinishedRun:
    folder: Path  # runs/<table>/<row>.<column>/seed<k>-<key8>

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoints" / "best.ckpt"

    @property
    def cell(self) -> str:
        return "/".join(self.folder.parts[-3:-1])

    @property
    def finished(self) -> float:
        return (self.folder / "run.json").stat().st_mtime

    def is_called(self, name: str) -> bool:
        wanted, (table, cell, seed) = name.split("/"), self.folder.parts[-3:]
        if (
            len(wanted) not in (2, 3)
            or wanted[0] != table
            or not (cell == wanted[1] or cell.startswith(wanted[1] + "."))
        ):
            return False
        return len(wanted) == 2 or seed == wanted[2] or seed.startswith(wanted[2] + "-")


def _finished_runs() -> Iterator[_FinishedRun]:
    for path in sorted(RUNS.glob("*/*/seed*/run.json")):
        run = _FinishedRun(path.parent)
        if run.checkpoint.is_file():
            yield run


def _own_network(path: Path, raw: RawWeights) -> CountingNetwork:
    """Rebuild the network of the task that wrote a checkpoint."""
    hyper_parameters = raw.extra["hyper_parameters"]
    # Lightning's command line adds what it needs itself, with a leading underscore
    network = _build(path, {name: value for name, value in hyper_parameters.items() if not str(name).startswith("_")})
    # what RawWeights leaves out, the density of the training pictures, is part of the network
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    _load(path, network, {name.removeprefix("model."): state[name] for name in state if name.startswith("model.")})
    network.densest.copy_(state.get("densest", network.densest))
    return network


def _build(path: Path, hyper_parameters: dict[str, Any]) -> CountingNetwork:
    try:
        return CountingNetwork(**hyper_parameters)
    except AttributeError as error:  # a network that predicts no density has no stride
        known = ", ".join(counting_networks())
        raise WeightsError(f"{path}: {hyper_parameters['model']} does not count; networks that do: {known}") from error
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{path}: no weights that this version counts with ({error})") from error


def _load(path: Path, network: CountingNetwork, state: dict[str, torch.Tensor]) -> None:
    try:
        load_into(network.model, state)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
