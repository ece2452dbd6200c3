"""Weights by file or by name -> a classifier that localizes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dotally.data.box_transforms import Framing
from dotally.errors import DataError, WeightsError
from dotally.files import sha256
from dotally.models import RawWeights, build_model, list_models, load_into, read_weights, recognise
from dotally.predict.network import ClassifyingNetwork
from dotally.predict.weights_file import find_weights

# what torchvision's networks were trained on, and the released STNet shows them
_SIDE = 224


@dataclass(frozen=True, kw_only=True)
class LoadedClassifier:
    """A network ready to localize.

    Attributes:
        network: With the weights loaded, on the CPU.
        path: The file they came from.
        sha256: Of the file when it was read.
        framing: How its training pictures came to their size; "crop" where the file does not say.
        side: That size in pixels; 224 where the file does not say.
        facts: What the file says of their making; empty where it says nothing.
    """

    network: ClassifyingNetwork
    path: Path
    sha256: str
    framing: Framing = "crop"
    side: int = _SIDE
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        """Number of the network's classes."""
        matrices = [value for value in self.network.model.state_dict().values() if value.ndim == 2]
        return len(matrices[-1])


def load_classifier(
    weights: str | Path,
    *,
    arch: str | None = None,
    arch_kwargs: dict[str, Any] | None = None,
    preprocessing: str | None = None,
) -> LoadedClassifier:
    """Load a classifier. Nothing in a file is executed.

    Args:
        weights: A file or a name, see :func:`dotally.predict.weights_file.find_weights`. A checkpoint of
            ``LocalizationTask`` says which network it is.
        arch: Network of any other state dict, such as torchvision's files.
        arch_kwargs: Its arguments; the number of classes is read off the weights.
        preprocessing: Name in ``dotally.models.PRESETS`` of what such weights expect; None takes "imagenet".

    Raises:
        WeightsError: No such file or name, damaged, for another network, or of a network that was not named.
    """
    path = find_weights(weights)
    raw, digest = read_weights(path), sha256(path)
    own = raw.extra.get("hyper_parameters")
    if isinstance(own, dict):
        if arch or arch_kwargs or preprocessing:
            raise WeightsError(f"{path}: says itself which network it is for; leave out the architecture")
        network, state = _build(path, own), _own_state(raw)
    else:
        arch = arch or _guess(path, raw)
        if arch not in classifiers():
            raise WeightsError(f"{path}: {arch} is no classifier; those are: {', '.join(classifiers())}")
        kwargs = _read_off(arch, raw.state) | (arch_kwargs or {})
        hyper_parameters = {"model": arch, "model_kwargs": kwargs, "preprocessing": preprocessing or "imagenet"}
        network, state = _build(path, hyper_parameters), raw.state
    try:
        load_into(network.model, state)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    facts = raw.extra.get("facts", {})
    return LoadedClassifier(network=network, path=path, sha256=digest, facts=facts, **_seen_in_training(raw))


def classifiers() -> list[str]:
    """Return the names of the networks that predict classes."""
    return [name for name in list_models() if _classifies(name)]


def read_class_names(path: Path, number: int) -> list[str]:
    """Read the names of a network's classes, one a line in the order of its outputs.

    Raises:
        DataError: No such file, not text, or another number of lines than of classes.
    """
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as names of classes ({error})") from error
    if len(names) != number:
        raise DataError(f"{path}: names {len(names)} classes, but the network has {number}; write one name a line")
    return names


def _classifies(name: str) -> bool:
    try:
        with torch.device("meta"):
            build_model(name, num_classes=2)
    except ValueError:  # it has no such argument
        return False
    return True


def _guess(path: Path, raw: RawWeights) -> str:
    guess = recognise(raw.state)
    looks = f", it looks like {guess}" if guess else ""
    raise WeightsError(
        f"{path}: does not say which network it is for{looks}; name it (--arch). Known: {', '.join(classifiers())}"
    )


def _read_off(arch: str, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the arguments of a network that its weights give away."""
    with torch.device("meta"):
        own = build_model(arch).state_dict()
    last = [name for name, value in own.items() if value.ndim == 2][-1]
    found: dict[str, Any] = {"num_classes": len(state[last])} if last in state else {}
    if any(name.startswith("aux1.") for name in state):  # torchvision's GoogLeNet
        found["aux_logits"] = True
    return found


def _build(path: Path, hyper_parameters: dict[str, Any]) -> ClassifyingNetwork:
    if hyper_parameters.get("model") not in classifiers():
        known = ", ".join(classifiers())
        raise WeightsError(f"{path}: {hyper_parameters.get('model')} does not classify; networks that do: {known}")
    # Lightning's command line adds what it needs itself, with a leading underscore
    given = {name: value for name, value in hyper_parameters.items() if not str(name).startswith("_")}
    try:
        return ClassifyingNetwork(**given)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{path}: no weights that this version localizes with ({error})") from error


def _own_state(raw: RawWeights) -> dict[str, Tensor]:
    return {name.removeprefix("model."): value for name, value in raw.state.items()}


def _seen_in_training(raw: RawWeights) -> dict[str, Any]:
    """Return framing and side of the pictures a checkpoint was trained on, where it says so."""
    data = raw.extra.get("datamodule_hyper_parameters")
    data = data if isinstance(data, dict) else {}
    found: dict[str, Any] = {}
    if data.get("framing") in ("crop", "warp", "keep"):
        found["framing"] = data["framing"]
    if isinstance(data.get("side"), int) and data["side"] > 0:
        found["side"] = data["side"]
    return found
