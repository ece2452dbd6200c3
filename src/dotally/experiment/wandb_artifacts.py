"""What a finished run leaves at Weights & Biases beside numbers: a table of test pictures, and artifacts."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from dotally.callbacks import Prediction
from dotally.data.crowd import SPLITS, CrowdDataModule
from dotally.data.localization import LocalizationDataModule
from dotally.experiment.results import Result
from dotally.experiment.spec import Data
from dotally.files import sha256

if TYPE_CHECKING:
    from pytorch_lightning.loggers import WandbLogger
    from wandb import Artifact
    from wandb.sdk.wandb_run import Run as WandbRun

THUMBNAILS = 100  # pictures in the table of test pictures, those with the largest errors
THUMBNAIL = (192, 192)  # largest sides in pixels
DATA_DIR = "WANDB_DATA_DIR"  # wandb's variable; unset, it copies into the home folder
WAIT = 60  # seconds for the server to take the data manifest


@contextmanager
def staged_in(folder: Path) -> Iterator[None]:
    """Keep the copies of files on their way to the server in a run's folder, where their user finds them."""
    before = os.environ.get(DATA_DIR)
    os.environ[DATA_DIR] = before or os.fspath(folder / "wandb")
    try:
        yield
    finally:
        if before is None:
            del os.environ[DATA_DIR]


def error(prediction: Prediction) -> float:
    """Return how far a prediction is off, without its sign."""
    return abs(prediction.predicted - prediction.true)


def thumbnails(predictions: Sequence[Prediction], data: CrowdDataModule) -> dict[str, Image.Image]:
    """Return small copies of the test pictures with the largest errors, none where pictures may not leave."""
    if not data.pictures_may_leave:
        return {}
    test = data.dataset("test")
    places = {record.name: index for index, record in enumerate(test.records)}
    found = {}
    for prediction in sorted(predictions, key=error, reverse=True)[:THUMBNAILS]:
        picture = Image.fromarray(test.load(places[prediction.name]).image.permute(1, 2, 0).numpy())
        picture.thumbnail(THUMBNAIL)
        found[prediction.name] = picture
    return found


def log_table(logger: "WandbLogger", predictions: Sequence[Prediction], thumbnails: Mapping[str, Image.Image]) -> None:
    """Log every test picture, the largest error first; the picture itself where there is a thumbnail of it."""
    import wandb

    columns = ["name", "true", "predicted", "error"]
    rows: list[list[Any]] = []
    for p in sorted(predictions, key=error, reverse=True):
        row: list[Any] = [p.name, p.true, p.predicted, error(p)]
        if thumbnails:
            row.insert(1, wandb.Image(thumbnails[p.name]) if p.name in thumbnails else None)
        rows.append(row)
    if thumbnails:
        columns.insert(1, "picture")
    logger.log_table("pictures/test", columns=columns, data=rows)


def manifest(data: Data, fingerprint: str) -> dict[str, Any]:
    """Return what a data set is, without any of it: the names and counts, or labels, of every split."""
    splits: dict[str, dict[str, Any]] = {}
    if isinstance(data, LocalizationDataModule):
        for split in data.splits():
            labels = {name: label for name, label, _ in data.dataset(split).annotations()}
            splits[split] = {"pictures": len(labels), "labels": labels}
        return {"data": type(data).__name__, "fingerprint": fingerprint, "splits": splits}
    for split in SPLITS:
        counts = {name: len(points) for name, points in data.dataset(split).annotations()}
        splits[split] = {"pictures": len(counts), "heads": sum(counts.values()), "counts": counts}
    return {"data": type(data).__name__, "fingerprint": fingerprint, "splits": splits}


def log_artifacts(run: "WandbRun", result: Result, folder: Path, data: Mapping[str, Any] | None) -> None:
    """Log data manifest, best checkpoint and predictions; online with the edges between them.

    The checkpoint itself goes only where somebody asked to be online; elsewhere its hash stands for it.
    """
    if data is not None:
        _use(run, _data_artifact(data))
    checkpoint = folder / "checkpoints" / "best.ckpt"
    if checkpoint.exists():
        run.log_artifact(_model(result, checkpoint, upload=not run.offline), aliases=["best", f"seed{result.seed}"])
    predictions = _artifact(result, "predictions", {"test/mae": result.metrics.get("mae"), "key": result.key})
    predictions.add_file(str(folder / "predictions.csv"))
    run.log_artifact(predictions, aliases=[f"seed{result.seed}"])


def _use(run: "WandbRun", artifact: "Artifact") -> None:
    logged = run.log_artifact(artifact)
    if not run.offline:  # an edge needs the server's name of the artifact
        logged.wait(timeout=WAIT)
        run.use_artifact(logged)


def _data_artifact(data: Mapping[str, Any]) -> "Artifact":
    import wandb

    splits = {
        f"{split}/{name}": value
        for split, facts in data["splits"].items()
        for name, value in facts.items()
        if isinstance(value, int)
    }
    facts = {"fingerprint": data["fingerprint"], **splits}
    artifact = wandb.Artifact(f"{data['data']}-{data['fingerprint'][:8]}", type="dataset", metadata=facts)
    _add_json(artifact, "manifest.json", data)
    return artifact


def _model(result: Result, checkpoint: Path, *, upload: bool) -> "Artifact":
    facts = {
        "sha256": sha256(checkpoint),
        "file": "checkpoints/best.ckpt",
        "seed": result.seed,
        "key": result.key,
        "best": result.facts.get("best"),
        "test/mae": result.metrics.get("mae"),
    }
    artifact = _artifact(result, "model", facts)
    if upload:
        artifact.add_file(str(checkpoint))
    else:
        _add_json(artifact, "checkpoint.json", facts)
    return artifact


def _artifact(result: Result, kind: str, metadata: Mapping[str, Any]) -> "Artifact":
    import wandb

    # a name takes letters, digits, dashes, underscores and dots
    name = re.sub(r"[^\w.-]", "_", f"{kind}-{result.table}-{result.cell}")
    return wandb.Artifact(name, type=kind, metadata=dict(metadata))


def _add_json(artifact: "Artifact", name: str, value: Mapping[str, Any]) -> None:
    with artifact.new_file(name) as file:
        file.write(json.dumps(value, indent=2))
