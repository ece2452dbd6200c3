"""MATLAB's files, one for each picture: ShanghaiTech's, UCF_CC_50's, or one array of points."""

from pathlib import Path
from typing import Any

from dotally.data.mat_file import load_mat, unwrapped
from dotally.data.point_formats.dots import Dots, dots, point_array
from dotally.errors import AnnotationError


def read(path: Path) -> list[Dots]:
    """Read one file: ``image_info`` with a field ``location``, or ``annPoints``, or its only variable.

    Raises:
        AnnotationError: It is no readable mat file of version 5 or 7, or holds no such points.
    """
    found = _points(path, load_mat(path))
    return [dots(path, [(x, y, "") for x, y in point_array(found, path).tolist()])]


def _points(path: Path, content: dict[str, Any]) -> Any:
    variables = {name: value for name, value in content.items() if not name.startswith("__")}
    if "image_info" in variables:
        info = unwrapped(variables["image_info"])
        if "location" not in (info.dtype.names or ()) or info.size != 1:
            raise AnnotationError(f"{path}: image_info has no field location")
        return unwrapped(info["location"])
    if "annPoints" in variables:
        return variables["annPoints"]
    if len(variables) != 1:
        names = ", ".join(variables) or "none"
        raise AnnotationError(f"{path}: expected image_info, annPoints or a single variable; there are: {names[:80]}")
    return unwrapped(next(iter(variables.values())))
