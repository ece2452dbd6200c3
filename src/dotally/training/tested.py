"""``test.json``: what a test found, beside the training that it judges, so that a figure can be quoted and checked."""

import os
import statistics
from pathlib import Path
from typing import Any

import torch

from dotally.data.crowd import SPLITS, CrowdDataModule
from dotally.experiment.environment import environment
from dotally.files import write_json
from dotally.predict.terminal import say
from dotally.training.place import config_beside

_PLAIN = (bool, int, float, str, list, tuple, dict, type(None))


def write_tested(checkpoint: Path | None, data: object, figures: dict[str, float]) -> None:
    """Write the figures of a counting network, and those of a constant answer; only beside a training of ours.

    Args:
        checkpoint: Of ``dotally fit``; None and others leave nothing.
        data: What was tested on; data sets with boxes leave nothing.
        figures: As Lightning returns them, ``test/mae`` and so on.
    """
    if checkpoint is None or config_beside(checkpoint) is None or not isinstance(data, CrowdDataModule):
        return
    sets = {split: data.dataset(split) for split in SPLITS}
    counts = {split: some.counts() for split, some in sets.items()}
    answer = statistics.median(counts["train"])
    constant = statistics.mean(abs(count - answer) for count in counts["test"])
    content = {
        "figures": {name.removeprefix("test/"): value for name, value in figures.items()},
        # what a network has to beat: the median of the training counts, whatever the picture shows
        "constant": {"answer": answer, "mae": constant},
        "pictures": {split: len(some) for split, some in counts.items()},
        "objects": {split: sum(some) for split, some in counts.items()},
        # annotated, and not counted because they lie outside their pictures
        "outside": {split: some.dropped() for split, some in sets.items()},
        "data": data.fingerprint(),
        "checkpoint": _facts(checkpoint),
        "environment": environment(),
    }
    path = checkpoint.parent.parent / "test.json"
    write_json(path, content)
    pictures = len(counts["test"])
    say(f"MAE {figures['test/mae']:.2f} on {pictures} pictures; always answering {answer:g} it is {constant:.2f}")
    say(f"wrote        {os.path.relpath(path)}")


def _facts(checkpoint: Path) -> dict[str, Any]:
    """Return when in its training a checkpoint was kept, and the settings of its network and its pictures."""
    content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    settings = {"model": content.get("hyper_parameters", {}), "data": content.get("datamodule_hyper_parameters", {})}
    plain = {
        kind: {name: value for name, value in some.items() if isinstance(value, _PLAIN)}
        for kind, some in settings.items()
    }
    return {"epoch": content["epoch"], "step": content["global_step"], **plain}
