"""All formats by their names, and which of them a file has."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from dotally.data.point_formats import (
    coco,
    csv_points,
    cvat,
    dot_png,
    json_points,
    labelme,
    mat,
    npy,
    via,
    voc,
)
from dotally.data.point_formats.csv_file import rows
from dotally.data.point_formats.dots import Dots
from dotally.data.point_formats.json_file import load_json
from dotally.data.xml_file import load_xml

Format = Literal["csv", "coco", "voc", "labelme", "mat", "dots", "json", "npy", "via", "cvat"]

READERS: dict[Format, Callable[[Path], list[Dots]]] = {
    "csv": csv_points.read,
    "coco": coco.read,
    "voc": voc.read,
    "labelme": labelme.read,
    "mat": mat.read,
    "dots": dot_png.read,
    "json": json_points.read,
    "npy": npy.read,
    "via": via.read,
    "cvat": cvat.read,
}
SUFFIXES: dict[Format, tuple[str, ...]] = {
    "csv": (".csv", ".tsv"),
    "coco": (".json",),
    "voc": (".xml",),
    "labelme": (".json",),
    "mat": (".mat",),
    "dots": (".png",),
    "json": (".json",),
    "npy": (".npy",),
    "via": (".json", ".csv"),
    "cvat": (".xml",),
}
_JSON: Sequence[tuple[Format, Callable[[object], bool]]] = (
    ("labelme", labelme.matches),
    ("coco", coco.matches),
    ("via", via.matches),
    ("json", json_points.matches),
)
_XML: dict[str, Format] = {"annotation": "voc", "annotations": "cvat"}


def format_of(path: Path) -> Format | None:
    """Return the format of a file, as far as its suffix and its beginning say; None if it is of none of them.

    Pictures of dots look like any other, and are not found out here.

    Raises:
        AnnotationError: The file is damaged, so that nobody can tell.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        content = load_json(path)[1]
        return next((name for name, matches in _JSON if matches(content)), None)
    if suffix == ".xml":
        return _XML.get(load_xml(path).tag)
    if suffix in (".csv", ".tsv"):
        return _table(next((row for _, row in rows(path)), []))
    return {".mat": "mat", ".npy": "npy"}.get(suffix)  # type: ignore[return-value]


def _table(first: Sequence[str]) -> Format | None:
    if set(first) >= via.COLUMNS:
        return "via"
    return "csv" if csv_points.matches(first) else None
