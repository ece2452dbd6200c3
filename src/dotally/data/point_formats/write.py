"""Dots -> files: the formats that hold points as such, and boxes of a stated size for Pascal VOC.

What is written here is read by the readers of this folder.
"""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from PIL import Image
from scipy.io import savemat

from dotally.data.dotted import Dotted
from dotally.data.point_formats.dots import Points
from dotally.errors import DataError
from dotally.files import atomic_path, write_json, write_text


def _csv(folder: Path, pictures: Sequence[Dotted]) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("file", "x", "y", "label"))
    for one in pictures:
        table.writerows((one.name, repr(x), repr(y), label) for (x, y), label in _marks(one))
        if not len(one.points):
            table.writerow((one.name, "", "", ""))
    write_text(folder / "points.csv", text.getvalue())


def _json(folder: Path, pictures: Sequence[Dotted]) -> None:
    write_json(
        folder / "points.json",
        [
            {"image": one.name, "points": [{"x": x, "y": y, "label": label} for (x, y), label in _marks(one)]}
            for one in pictures
        ],
    )


def _coco(folder: Path, pictures: Sequence[Dotted]) -> None:
    names = sorted({label for one in pictures for label in one.labels})
    marks = [(number, place, label) for number, one in enumerate(pictures, 1) for place, label in _marks(one)]
    content = {
        "images": [
            {"id": number, "file_name": one.name, "height": one.size[0], "width": one.size[1]}
            for number, one in enumerate(pictures, 1)
        ],
        "annotations": [
            {
                "id": number,
                "image_id": picture,
                "category_id": names.index(label) + 1,
                "keypoints": [x, y, 2],
                "num_keypoints": 1,
                "bbox": [x, y, 0, 0],
                "area": 0,
                "iscrowd": 0,
            }
            for number, (picture, (x, y), label) in enumerate(marks, 1)
        ],
        "categories": [
            {"id": number, "name": name, "keypoints": ["dot"], "skeleton": []} for number, name in enumerate(names, 1)
        ],
    }
    write_json(folder / "points.json", content)


def _labelme(folder: Path, pictures: Sequence[Dotted]) -> None:
    for one in pictures:
        shapes: list[dict[str, Any]] = [
            {"label": label, "points": [[x, y]], "group_id": None, "shape_type": "point", "flags": {}}
            for (x, y), label in _marks(one)
        ]
        path = (folder / one.name).with_suffix(".json")
        write_json(
            path,
            {
                "version": "5.4.1",
                "flags": {},
                "shapes": shapes,
                "imagePath": Path(one.name).name,
                "imageData": None,
                "imageHeight": one.size[0],
                "imageWidth": one.size[1],
            },
        )


def _via(folder: Path, pictures: Sequence[Dotted]) -> None:
    content = {
        one.name: {
            "filename": one.name,
            "size": -1,
            "regions": [
                {"shape_attributes": {"name": "point", "cx": x, "cy": y}, "region_attributes": {"class": label}}
                for (x, y), label in _marks(one)
            ],
            "file_attributes": {},
        }
        for one in pictures
    }
    write_json(folder / "points.json", content)


def _cvat(folder: Path, pictures: Sequence[Dotted]) -> None:
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "<version>1.1</version>"]
    for number, one in enumerate(pictures):
        height, width = one.size
        lines.append(f'<image id="{number}" name={quoteattr(one.name)} width="{width}" height="{height}">')
        lines += [f'<points label={quoteattr(label)} points="{x!r},{y!r}"></points>' for (x, y), label in _marks(one)]
        lines.append("</image>")
    write_text(folder / "annotations.xml", "\n".join([*lines, "</annotations>", ""]))


def _npy(folder: Path, pictures: Sequence[Dotted]) -> None:
    for one in pictures:
        with atomic_path((folder / one.name).with_suffix(".npy")) as temporary:
            np.save(temporary, one.points)


def _mat(folder: Path, pictures: Sequence[Dotted]) -> None:
    for one in pictures:
        path = folder / one.name
        write_mat(path.with_name(f"GT_{path.stem}.mat"), one.points)


def _dots(folder: Path, pictures: Sequence[Dotted]) -> None:
    for one in pictures:
        pixels = np.zeros((*one.size, 3), dtype=np.uint8)
        places = np.floor(one.points).astype(np.int64)
        good = ((places >= 0) & (places < one.size[::-1])).all(axis=1)
        if not good.all() or len(np.unique(places, axis=0)) < len(places):
            raise DataError(
                f"{one.name}: {int((~good).sum())} dots lie outside, or two in one pixel, which a picture of dots "
                "cannot hold; convert to another format"
            )
        pixels[places[:, 1], places[:, 0], 0] = 255
        path = folder / one.name
        with atomic_path(path.with_name(f"{path.stem}_dots.png")) as temporary:
            Image.fromarray(pixels).save(temporary, "PNG")


def write_voc(folder: Path, pictures: Sequence[Dotted], box: float) -> None:
    """Write a square of ``box`` pixels around every dot, as Pascal VOC's XML.

    A box that would leave its picture is narrowed from both sides, so that its middle stays the dot.

    Raises:
        DataError: A dot lies outside its picture, where no box can be.
    """
    for one in pictures:
        if one.outside():
            raise DataError(f"{one.name}: {one.outside()} dots lie outside, where no box can be; convert to csv")
        height, width = one.size
        lines = ["<annotation>", f"<filename>{escape(Path(one.name).name)}</filename>"]
        lines.append(f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>")
        for (x, y), label in _marks(one):
            across, down = (max(0.5, min(box / 2, at, side - at)) for at, side in ((x, width), (y, height)))
            corners = {"xmin": x - across, "ymin": y - down, "xmax": x + across, "ymax": y + down}
            place = "".join(f"<{name}>{value!r}</{name}>" for name, value in corners.items())
            lines.append(f"<object><name>{escape(label)}</name><bndbox>{place}</bndbox></object>")
        write_text((folder / one.name).with_suffix(".xml"), "\n".join([*lines, "</annotation>", ""]))


# format -> writes pictures' dots into the folder that holds, or will hold, the pictures by their names
WRITERS: dict[str, Callable[[Path, Sequence[Dotted]], None]] = {
    "csv": _csv,
    "coco": _coco,
    "labelme": _labelme,
    "mat": _mat,
    "dots": _dots,
    "json": _json,
    "npy": _npy,
    "via": _via,
    "cvat": _cvat,
}


def write_mat(path: Path, points: Points) -> None:
    """Write points as ShanghaiTech has them: a cell that holds a struct with the fields location and number."""
    info = np.empty((1, 1), dtype=[("location", object), ("number", object)])
    info[0, 0] = (points, np.array([[len(points)]], dtype=np.float64))
    cell = np.empty((1, 1), dtype=object)
    cell[0, 0] = info
    with atomic_path(path) as temporary:
        savemat(temporary, {"image_info": cell}, do_compression=True)


def _marks(one: Dotted) -> Iterable[tuple[tuple[float, float], str]]:
    return (((x, y), label) for (x, y), label in zip(one.points.tolist(), one.labels, strict=True))
