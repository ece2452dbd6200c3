"""What a job of boxes found, for machines and for people."""

from collections import Counter as Tally
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from dotally.predict.localizer import Localizer
from dotally.predict.summary import Failure, few, pictures
from dotally.version import __version__

_PACKAGES = ("torch", "pytorch-lightning", "numpy", "pillow")
_IOUS = (0.25, 0.5, 0.75)


@dataclass(frozen=True, kw_only=True)
class BoxRow:
    """One picture with its box.

    Attributes:
        file: Its name in the job.
        result: Of :meth:`dotally.predict.localizer.Localized.to_dict`.
        seconds: Reading and localizing.
        annotated: Classes of the boxes it is judged by.
        iou: Of the box with the annotated one that fits best; None where nothing is known.
    """

    file: str
    result: dict[str, Any]
    seconds: float
    annotated: tuple[str, ...] = ()
    iou: float | None = None


def summarise(rows: Sequence[BoxRow], failures: Sequence[Failure], localizer: Localizer) -> dict[str, Any]:
    """Return classes, agreement with the truth, failures, and what localized, as plain values."""
    hparams = localizer.network.hparams
    return {
        "pictures": len(rows),
        "failed": len(failures),
        "classes": dict(Tally(row.result["name"] for row in rows).most_common()),
        "truth": _agreement(rows, localizer.classes),
        "failures": [{"file": failure.file, "message": failure.message} for failure in failures],
        "method": {
            "name": localizer.method,
            "stop": localizer.stop,
            "compat": localizer.compat,
            "box": None if localizer.box is None else asdict(localizer.box),
            "threshold": localizer.threshold,
            "framing": localizer.framing,
            "side": localizer.side,
        },
        "weights": {
            "file": str(localizer.path),
            "sha256": localizer.sha256,
            "model": localizer.model,
            "model_kwargs": hparams["model_kwargs"],
            "preprocessing": hparams["preprocessing"],
            "facts": localizer.facts,
        },
        "device": str(localizer.device),
        "versions": {"dotally": __version__, **{name: metadata.version(name) for name in _PACKAGES}},
    }


def describe(rows: Sequence[BoxRow], failures: Sequence[Failure], summary: dict[str, Any]) -> Iterator[str]:
    """Yield the summary in a few lines for people."""
    if rows:
        classes = [f"{name} ({number})" for name, number in summary["classes"].items()]
        yield f"{pictures(len(rows))} of {'class' if len(classes) == 1 else 'classes'} {few(classes, counted=False)}"
    if failures:
        yield f"failed {few([f'{failure.file} ({failure.message})' for failure in failures])}"
    if truth := summary["truth"]:
        shares = ", ".join(f"{truth[f'share_at_{iou:g}']:.1%} at {iou:g}" for iou in _IOUS)
        label = f"; label right in {truth['label_accuracy']:.1%}" if "label_accuracy" in truth else ""
        yield f"truth of {pictures(truth['pictures'])}: mean IoU {truth['mean_iou']:.3f}; {shares}{label}"


def _agreement(rows: Sequence[BoxRow], classes: Sequence[str] | None) -> dict[str, float] | None:
    judged = [(row, row.iou) for row in rows if row.iou is not None]
    if not judged:
        return None
    known = [iou for _, iou in judged]
    shares = {f"share_at_{iou:g}": sum(value >= iou for value in known) / len(known) for iou in _IOUS}
    agreement = {"pictures": len(known), "mean_iou": sum(known) / len(known), **shares}
    # a network that was trained on other classes has no label to be right with
    if classes and any(name in classes for row, _ in judged for name in row.annotated):
        right = [classes[row.result["predicted"]] in row.annotated for row, _ in judged]
        agreement["label_accuracy"] = sum(right) / len(right)
    return agreement
