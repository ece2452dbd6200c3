"""A job: many pictures in, one table, one summary and an overlay of each out."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from dotally.data.pictures import open_picture
from dotally.errors import DotallyError
from dotally.files import atomic_path, write_json, write_text
from dotally.predict.counter import Counted, Counter
from dotally.predict.inputs import shrink
from dotally.predict.maps import DensityMaps
from dotally.predict.overlay import Floats, draw_overlay, palette
from dotally.predict.sources import Source, list_sources
from dotally.predict.summary import Failure, Row, describe, summarise
from dotally.predict.table import append_row, csv_line
from dotally.predict.terminal import progress, say
from dotally.predict.truth import Points, inside, read_truth, rescaled

Overlay = Literal["jpg", "png", "none"]


def predict(
    sources: Sequence[Path],
    counter: Counter,
    out: Path,
    *,
    truth: Path | None = None,
    max_megapixels: float = 200,
    overlay: Overlay = "jpg",
    vmax: float | None = None,
) -> int:
    """Count the people in pictures, write the results to ``out`` and print what they are.

    ``counts.csv`` gets its row as soon as a picture is counted; ``errors.csv`` exists where pictures failed, which does
    not stop the others; ``overlays/`` holds the densities, all on one colour scale; ``summary.json`` comes last.
    Results of an earlier job in ``out`` are replaced where they have the same names.

    Args:
        sources: Pictures, and folders that are searched for pictures.
        counter: The network.
        out: A folder, made if it does not exist.
        truth: See :func:`dotally.predict.truth.read_truth`.
        max_megapixels: Larger pictures fail.
        overlay: Format of the overlays.
        vmax: Heads per cell at the top of the colour scale; None takes the job's own 99th percentile.

    Returns:
        0, or 1 when a picture failed or the job was interrupted.

    Raises:
        DotallyError: There is no picture, the truth cannot be read, or matplotlib, which overlays need, is missing.
    """
    items = list_sources(sources, out=out)
    truths = read_truth(truth, [item.name for item in items]) if truth else None
    if overlay != "none":
        palette()  # whether it can be drawn should not be found out when all is counted
    job = _Job(
        counter=counter,
        items=items,
        out=out,
        truths=truths,
        max_megapixels=max_megapixels,
        overlay=overlay,
        vmax=vmax,
    )
    job.begin()
    try:
        with tempfile.TemporaryFile(dir=out) as file:
            maps = DensityMaps(file)
            job.count(maps)
            if overlay != "none":
                job.draw(maps)
    except KeyboardInterrupt:
        say(f"interrupted: {job.counts} has {len(job.rows)} of {len(items)} pictures", stderr=True)
        return 1
    job.end()
    return int(bool(job.failures))


@dataclass(kw_only=True)
class _Job:
    counter: Counter
    items: Sequence[Source]
    out: Path
    truths: dict[str, Points] | None
    max_megapixels: float
    overlay: Overlay
    vmax: float | None
    rows: dict[Source, Row] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    @property
    def counts(self) -> Path:
        return self.out / "counts.csv"

    @property
    def errors(self) -> Path:
        return self.out / "errors.csv"

    @property
    def summary(self) -> Path:
        return self.out / "summary.json"

    def overlay_path(self, item: Source) -> Path:
        return self.out / "overlays" / f"{item.stem}.{self.overlay}"

    def begin(self) -> None:
        """Start the table, and take away what an earlier job left and this one might not replace."""
        for path in (self.errors, self.summary, *map(self.overlay_path, self.items)):
            path.unlink(missing_ok=True)
        truth = () if self.truths is None else ("truth", "error")
        write_text(self.counts, csv_line("file", "width", "height", "count", "flags", "seconds", *truth))

    def count(self, maps: DensityMaps) -> None:
        """Count every picture."""
        for item in progress(self.items, "counting"):
            start = time.perf_counter()
            try:
                result = self.counter(item.path, max_megapixels=self.max_megapixels)
            except DotallyError as error:
                self.fail(item, error)
                continue
            row = self.row(item, result, time.perf_counter() - start)
            append_row(self.counts, self.fields(row))
            maps.append(result.density.numpy())
            self.rows[item] = row

    def draw(self, maps: DensityMaps) -> None:
        """Draw every picture that was counted, opening it again: together they might not fit into memory."""
        vmax = maps.colour_scale() if self.vmax is None else self.vmax
        for number, item in enumerate(progress(list(self.rows), "drawing")):
            try:
                self.draw_one(item, maps[number], vmax)
            except DotallyError as error:
                self.fail(item, error)

    def end(self) -> None:
        """Write the summary and print it."""
        rows = list(self.rows.values())
        summary = summarise(rows, self.failures, self.counter)
        settings = {"max_megapixels": self.max_megapixels, "overlay": self.overlay, "vmax": self.vmax}
        write_json(self.summary, {**summary, "settings": settings})
        for line in describe(rows, self.failures, summary):
            say(line)
        errors = [self.errors] if self.failures else []
        overlays = [self.out / "overlays"] if rows and self.overlay != "none" else []
        say(f"wrote {', '.join(map(str, [self.counts, *errors, *overlays, self.summary]))}")

    def row(self, item: Source, result: Counted, seconds: float) -> Row:
        row = Row(file=item.name, size=result.size, count=result.count, flags=result.flags, seconds=seconds)
        if self.truths is None or item.name not in self.truths:
            return row
        annotated = self.truths[item.name]
        true = len(inside(annotated, result.size))
        return replace(row, truth=true, outside=len(annotated) - true)

    def fields(self, row: Row) -> list[Any]:
        """Return a row of ``counts.csv``."""
        height, width = row.size
        fields = [row.file, width, height, f"{row.count:.3f}", "; ".join(row.flags), f"{row.seconds:.3f}"]
        if self.truths is None:
            return fields
        return [*fields, *(("", "") if row.truth is None else (row.truth, f"{row.count - row.truth:.3f}"))]

    def draw_one(self, item: Source, density: Floats, vmax: float) -> None:
        picture = open_picture(item.path, max_megapixels=self.max_megapixels).image
        image = shrink(picture, self.counter.longest_side)
        size, shown = (picture.shape[0], picture.shape[1]), (image.shape[0], image.shape[1])
        truth = (self.truths or {}).get(item.name)
        drawing = draw_overlay(
            image,
            density,
            stride=self.counter.network.stride,
            vmax=vmax,
            title=self.counter.model,
            flags=self.rows[item].flags,
            truth=None if truth is None else rescaled(inside(truth, size), size, shown),
        )
        with atomic_path(self.overlay_path(item)) as temporary:
            drawing.save(temporary, quality=90)

    def fail(self, item: Source, error: DotallyError) -> None:
        """Note that a picture failed; the others go on."""
        failure = Failure(file=item.name, message=str(error).removeprefix(f"{item.path}: "))
        if not self.failures:
            write_text(self.errors, csv_line("file", "message"))
        append_row(self.errors, [failure.file, failure.message])
        self.failures.append(failure)
