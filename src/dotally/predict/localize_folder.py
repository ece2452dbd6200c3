"""A job: many pictures in, one table of boxes, one summary, and two drawings of each out."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from dotally.data.annotated import Thing
from dotally.data.voc_xml import Box
from dotally.errors import DotallyError
from dotally.files import atomic_path, write_json, write_text
from dotally.metrics.boxes import box_iou
from dotally.predict.box_summary import BoxRow, describe, summarise
from dotally.predict.box_truth import TrueBoxes, read_boxes
from dotally.predict.localizer import Localized, Localizer
from dotally.predict.overlay import palette
from dotally.predict.sources import Source, list_sources
from dotally.predict.summary import Failure
from dotally.predict.table import append_row, csv_line
from dotally.predict.terminal import progress, say

Drawing = Literal["jpg", "png", "none"]
PREDICTED, ANNOTATED = "predicted", "annotated"

_COLUMNS = ("file", "width", "height", "label", "class", "score", "x0", "y0", "x1", "y1", "flags", "seconds")


def localize(
    sources: Sequence[Path],
    localizer: Localizer,
    out: Path,
    *,
    truth: Path | None = None,
    target: str = PREDICTED,
    max_megapixels: float = 200,
    overlay: Drawing = "jpg",
) -> int:
    """Find boxes in pictures, write the results to ``out`` and print what they are.

    ``boxes.csv`` gets its row as soon as a picture is done; ``errors.csv`` exists where pictures failed, which does not
    stop the others; ``overlays/`` holds the boxes, ``hypotheses/`` the evidence; ``summary.json`` comes last. Results
    of an earlier job in ``out`` are replaced where they have the same names.

    Args:
        sources: Pictures, and folders that are searched for pictures.
        localizer: The network and its method.
        out: A folder, made if it does not exist.
        truth: See :func:`dotally.predict.box_truth.read_boxes`.
        target: Name or number of the class to look for; "predicted" for each picture's own; "annotated" for that of
            its largest annotated box, as in the localization of a known class.
        max_megapixels: Larger pictures fail.
        overlay: Format of the drawings.

    Returns:
        0, or 1 when a picture failed or the job was interrupted.

    Raises:
        DotallyError: There is no picture, no such class, the truth cannot be read or is missing where it is asked for,
            the method does not suit the network, or matplotlib, which drawings need, is missing.
    """
    items = list_sources(sources, out=out)
    truths = read_boxes(truth, [item.name for item in items]) if truth else None
    _check_target(localizer, target, truths)
    _check_method(localizer)
    if overlay != "none":
        palette()  # whether it can be drawn should not be found out in the middle
    job = _Job(
        localizer=localizer,
        items=items,
        out=out,
        truths=truths,
        target=target,
        max_megapixels=max_megapixels,
        overlay=overlay,
    )
    job.begin()
    try:
        for item in progress(items, "localizing"):
            job.do(item)
    except KeyboardInterrupt:
        say(f"interrupted: {job.table} has {len(job.rows)} of {len(items)} pictures", stderr=True)
        return 1
    job.end()
    return int(bool(job.failures))


def _check_target(localizer: Localizer, target: str, truths: dict[str, TrueBoxes] | None) -> None:
    if target == PREDICTED:
        return
    if target == ANNOTATED and truths is None:
        raise DotallyError("the annotated class can be looked for only where annotations are given (--truth)")
    wanted = (
        [thing.name for one in (truths or {}).values() for thing in one.things] if target == ANNOTATED else [target]
    )
    for name in dict.fromkeys(wanted):
        try:
            localizer.label_of(name)
        except ValueError as error:
            raise DotallyError(str(error)) from error


def _check_method(localizer: Localizer) -> None:
    """Look at a grey picture: whether a method suits a network and a layer shows with a picture only."""
    grey = np.full((localizer.side, localizer.side, 3), 128, dtype=np.uint8)
    try:
        localizer(grey, target=0)
    except ValueError as error:
        raise DotallyError(str(error)) from error


@dataclass(kw_only=True)
class _Job:
    localizer: Localizer
    items: Sequence[Source]
    out: Path
    truths: dict[str, TrueBoxes] | None
    target: str
    max_megapixels: float
    overlay: Drawing
    rows: list[BoxRow] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    @property
    def table(self) -> Path:
        return self.out / "boxes.csv"

    @property
    def errors(self) -> Path:
        return self.out / "errors.csv"

    @property
    def summary(self) -> Path:
        return self.out / "summary.json"

    def drawing_paths(self, item: Source) -> list[Path]:
        return [self.out / kind / f"{item.stem}.{self.overlay}" for kind in ("overlays", "hypotheses")]

    def begin(self) -> None:
        """Start the table, and take away what an earlier job left and this one might not replace."""
        drawings = (path for item in self.items for path in self.drawing_paths(item))
        for path in (self.errors, self.summary, *drawings):
            path.unlink(missing_ok=True)
        truth = () if self.truths is None else ("annotated", "iou")
        write_text(self.table, csv_line(*_COLUMNS, *truth))

    def do(self, item: Source) -> None:
        """Localize in one picture and draw it; an error is noted, and the others go on."""
        start = time.perf_counter()
        truth = (self.truths or {}).get(item.name)
        try:
            result = self.localizer(item.path, target=self._target(truth), max_megapixels=self.max_megapixels)
            if truth:
                truth.check(result.size)
            row = self._row(item, result, self._judged_by(truth), time.perf_counter() - start)
            if self.overlay != "none":
                self._draw(item, result, [thing.box for thing in self._judged_by(truth)])
        except DotallyError as error:
            self._fail(item, error)
            return
        append_row(self.table, list(self._fields(row)))
        self.rows.append(row)

    def end(self) -> None:
        """Write the summary and print it."""
        summary = summarise(self.rows, self.failures, self.localizer)
        settings = {"max_megapixels": self.max_megapixels, "overlay": self.overlay, "target": self.target}
        write_json(self.summary, {**summary, "settings": settings})
        for line in describe(self.rows, self.failures, summary):
            say(line)
        errors = [self.errors] if self.failures else []
        drawn = [self.out / kind for kind in ("overlays", "hypotheses")] if self.rows and self.overlay != "none" else []
        say(f"wrote {', '.join(map(str, [self.table, *errors, *drawn, self.summary]))}")

    def _target(self, truth: TrueBoxes | None) -> str | None:
        if self.target == ANNOTATED:
            return _largest(truth).name if truth else None
        return None if self.target == PREDICTED else self.target

    def _judged_by(self, truth: TrueBoxes | None) -> list[Thing]:
        """Return the annotated boxes that count: those of the known class, else all."""
        if truth is None:
            return []
        known = _largest(truth).name
        return [thing for thing in truth.things if self.target != ANNOTATED or thing.name == known]

    def _row(self, item: Source, result: Localized, things: Sequence[Thing], seconds: float) -> BoxRow:
        names = tuple(dict.fromkeys(thing.name for thing in things))
        return BoxRow(
            file=item.name,
            result=result.to_dict(),
            seconds=seconds,
            annotated=names,
            iou=_iou(result.box, [thing.box for thing in things]) if things else None,
        )

    def _fields(self, row: BoxRow) -> Iterator[Any]:
        found = row.result
        yield from (row.file, found["width"], found["height"], found["label"], found["name"], f"{found['score']:.4f}")
        yield from (f"{value:.2f}" for value in found["box"])
        yield from ("; ".join(found["flags"]), f"{row.seconds:.3f}")
        if self.truths is not None:
            yield from ("; ".join(row.annotated), "" if row.iou is None else f"{row.iou:.4f}")

    def _draw(self, item: Source, result: Localized, truth: Sequence[Box]) -> None:
        pictures = (result.overlay(truth=truth), result.hypothesis_overlay())
        for path, picture in zip(self.drawing_paths(item), pictures, strict=True):
            with atomic_path(path) as temporary:
                picture.save(temporary, quality=90)

    def _fail(self, item: Source, error: DotallyError) -> None:
        failure = Failure(file=item.name, message=str(error).removeprefix(f"{item.path}: "))
        if not self.failures:
            write_text(self.errors, csv_line("file", "message"))
        append_row(self.errors, [failure.file, failure.message])
        self.failures.append(failure)


def _largest(truth: TrueBoxes) -> Thing:
    return max(truth.things, key=lambda thing: (thing.box[2] - thing.box[0] + 1) * (thing.box[3] - thing.box[1] + 1))


def _iou(box: Box, truth: Sequence[Box]) -> float:
    return float(box_iou(torch.tensor([box], dtype=torch.float64), torch.tensor(truth, dtype=torch.float64)).max())
