"""Reading weights files of several origins without running anything in them, and loading them with clear errors."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from dotally.errors import WeightsError
from dotally.models.registry import build_model, list_models

State = dict[str, Tensor]

_NOT_KEPT = {"state_dict", "optimizer", "optimizer_states"}


@dataclass(frozen=True, kw_only=True)
class RawWeights:
    """What a weights file holds.

    Attributes:
        state: Parameters and buffers on the CPU, named as our networks name them, without wrapping prefixes.
        kind: Where the file comes from: "mcnn-h5" (crowdcount-mcnn), "csrnet-official" (the authors' training
            script), "lightning" (a checkpoint of ours) or "state-dict" (anything else).
        extra: What else it holds, save for the optimizer's state: epoch, ``hyper_parameters`` and so on.
    """

    state: State
    kind: Literal["mcnn-h5", "csrnet-official", "state-dict", "lightning"]
    extra: dict[str, Any] = field(default_factory=dict)


def read_weights(path: str | Path) -> RawWeights:
    """Read a weights file; its contents decide what it is, not its name. Nothing in it is executed.

    Args:
        path: An ``.h5`` of crowdcount-mcnn, or anything ``torch.save`` wrote: a state dict, a dictionary with
            one under ``state_dict`` (``module.`` prefixes are taken off), or a Lightning checkpoint, of which
            the parameters under ``model.`` are taken.

    Raises:
        WeightsError: If there is no such file, or it is empty, damaged, or holds no weights.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file")
    if path.stat().st_size == 0:
        raise WeightsError(f"{path}: the weights file is empty; fetch it again")
    if not _is_archive(path):
        from dotally.models.mcnn_file import is_hdf5, read_mcnn_h5  # h5py, which hardly a file needs

        if is_hdf5(path):
            return RawWeights(state=read_mcnn_h5(path), kind="mcnn-h5")
    return _sort(_read_torch(path), path)


def load_into(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy ``state`` into ``model``; every name and shape has to agree.

    Args:
        model: The network.
        state: As in :class:`RawWeights`. Counters of batch norm, which old files lack, may be missing.

    Raises:
        WeightsError: Otherwise; the message counts what is missing, unexpected or of another shape, and names
            the network the weights look like. The model is then unchanged.
    """
    own = model.state_dict()
    problems = {
        "missing": [name for name in own if name not in state and not name.endswith("num_batches_tracked")],
        "unexpected": [name for name in state if name not in own],
        "of another shape": [
            f"{name} {list(state[name].shape)} instead of {list(own[name].shape)}"
            for name in own
            if name in state and state[name].shape != own[name].shape
        ],
    }
    if any(problems.values()):
        found = "; ".join(f"{len(names)} {what} (first: {names[0]})" for what, names in problems.items() if names)
        raise WeightsError(f"weights do not fit {type(model).__name__}: {found}.{_hint(model, state)}")
    model.load_state_dict(state, strict=False)


def recognise(state: Mapping[str, Tensor]) -> str | None:
    """Return the name of the registered network whose parameter names agree best, None where none is close."""
    best, best_share = None, 0.0
    for name in list_models():
        with torch.device("meta"):
            names = set(build_model(name).state_dict())
        share = len(names & state.keys()) / len(names | state.keys())
        if share > best_share and _parts(names) == _parts(state):
            best, best_share = name, share
    return best


def _parts(names: Iterable[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def _hint(model: nn.Module, state: Mapping[str, Tensor]) -> str:
    name = recognise(state)
    if name is None:
        return ""
    if name == recognise(model.state_dict()):
        return f" They look like weights of {name} built with other options."
    return f" They look like weights of {name}."


def _is_archive(path: Path) -> bool:
    """Return whether a file is what torch.save writes by default; False where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(2) == b"PK"
    except OSError:
        return False


def _read_torch(path: Path) -> dict[Any, Any]:
    try:
        with torch.serialization.safe_globals(_numpy_scalars()):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:  # a damaged or foreign pickle raises whatever its bytes happen to mean
        raise WeightsError(f"{path}: {_reason(error)}") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: holds a {type(content).__name__}, not a state dict")
    return content


def _reason(error: Exception) -> str:
    refused = re.search(r"GLOBAL (\S+)", str(error))
    if refused:
        return f"holds the Python object {refused[1]}, which is never loaded; save the network's state_dict() alone"
    return f"damaged, or no weights file at all ({type(error).__name__}); fetch it again"


def _numpy_scalars() -> list[Any]:
    # training scripts store their best error as a numpy scalar; numpy 2 moved the function that rebuilds one
    rebuild = np.float64().__reduce__()[0]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    dtypes = [type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int32, np.int64)]
    return [np.dtype, *dtypes, *((rebuild, name) for name in names)]


def _sort(content: dict[Any, Any], path: Path) -> RawWeights:
    """Tell apart what ``torch.save`` wrote, and take the weights out of their wrapping."""
    wrapped = isinstance(content.get("state_dict"), dict)
    state = content["state_dict"] if wrapped else content
    if not state or not all(isinstance(key, str) and isinstance(state[key], Tensor) for key in state):
        keys = ", ".join(str(key) for key in list(state)[:5])
        raise WeightsError(
            f"{path}: holds no weights, neither by itself nor under 'state_dict' (keys: {keys or 'none'})"
        )
    extra = {key: value for key, value in content.items() if key not in _NOT_KEPT} if wrapped else {}
    if "pytorch-lightning_version" in content:
        state = {key.removeprefix("model."): state[key] for key in state if key.startswith("model.")}
        if not state:
            raise WeightsError(
                f"{path}: a Lightning checkpoint without weights under 'model.', so not one of dotally's"
            )
        return RawWeights(state=state, kind="lightning", extra=extra)
    state = {key.removeprefix("module."): value for key, value in state.items()}
    official = wrapped and _parts(state) == {"frontend", "backend", "output_layer"}
    return RawWeights(state=state, kind="csrnet-official" if official else "state-dict", extra=extra)
