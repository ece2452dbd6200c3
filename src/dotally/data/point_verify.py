"""Checking a folder of one's own: what is there, what is wrong, what is odd."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from dotally.data.dotted import Dotted
from dotally.data.pictures import open_picture
from dotally.data.point_files import Turned, Unlisted, class_counts, read_folder, survey
from dotally.data.point_formats import Format
from dotally.data.progress import progress
from dotally.data.spacing import spacing
from dotally.data.verify import Report
from dotally.errors import PictureError


class Verified(NamedTuple):
    """What a check found: a report, and the pictures with dots that can be read."""

    report: Report
    pictures: list[Dotted]


def verify_folder(
    folder: Path,
    *,
    format: Format | Literal["auto"] = "auto",
    classes: Sequence[str] | None = None,
    unlisted: Unlisted = "error",
    turned: Turned = "auto",
) -> Verified:
    """Read every annotation and decode every picture of a folder; arguments as of ``point_files.read_folder``.

    Raises:
        DataError: There is nothing to check, or it is not clear which format it has.
    """
    report = Report(name=str(folder))
    errors = report.problems["annotations"]
    files = survey(folder, format, lambda error: None)
    found = read_folder(
        folder,
        format=format,
        classes=classes,
        unlisted=unlisted,
        turned=turned,
        refuse=lambda error: errors.append(str(error)),
    )
    turned_round: list[str] = []
    pictures = [one for one in progress(found, "opening pictures") if _opens(one, report, turned_round)]
    _describe(found, files.format, len(files.pictures), len(files.annotations), report)
    _judge(pictures, turned_round, report)
    return Verified(report, pictures)


def _opens(one: Dotted, report: Report, turned_round: list[str]) -> bool:
    try:
        flags = open_picture(one.picture).flags
    except PictureError as error:
        report.problems["damaged"].append(str(error))
        return False
    if "rotated" in flags:
        turned_round.append(one.name)
    return True


def _describe(found: Sequence[Dotted], format: Format, pictures: int, files: int, report: Report) -> None:
    counts = [len(one.points) for one in found]
    report.found.append(f"{pictures:,} pictures, {files:,} files of annotations as {format}: {sum(counts):,} dots")
    if found:
        report.found.append(
            f"dots a picture: from {min(counts):,} to {max(counts):,}, median {np.median(counts):g}; "
            f"{counts.count(0)} pictures without any"
        )
    if apart := spacing(found):
        report.found.append(f"neighbouring dots lie {apart:.3g} pixels apart (median)")
    names = class_counts(found)
    if set(names) - {""}:
        report.found.append("classes: " + ", ".join(f"{name or 'none'} {n:,}" for name, n in names.most_common(20)))
    if len(names) > 1:
        report.notes.append("all classes are counted together; choose with --classes, and with classes in PointFolder")


def _judge(pictures: Sequence[Dotted], turned_round: Sequence[str], report: Report) -> None:
    """Report what is readable and yet odd."""
    outside = {one.name: one.outside() for one in pictures if one.outside()}
    for one in pictures:
        exchanged = replace(one, points=one.points[:, ::-1])
        if exchanged.outside() < one.outside():
            report.problems["axes"].append(f"{one.name}: x and y look exchanged, {outside.pop(one.name)} dots outside")
    double = {one.name: len(one.points) - len(np.unique(one.points, axis=0)) for one in pictures}
    turned = dict.fromkeys(turned_round, 1)
    _note(report, outside, "dots lie outside and will not count")
    _note(report, {name: number for name, number in double.items() if number}, "dots lie on another; each counts")
    _note(report, turned, "pictures are turned as their EXIF orientation asks; look whether the dots lie right")
    if pictures and not any(len(one.points) for one in pictures):
        report.problems["dots"].append("there is not one in any picture")


def _note(report: Report, cases: Mapping[str, int], text: str) -> None:
    if cases:
        report.notes.append(f"{sum(cases.values())} {text}; most in {max(cases, key=lambda name: cases[name])}")
