"""What ``dotally data list`` says: each data set, where it comes from, and whether it is here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

from dotally.data.roots import data_roots
from dotally.data.shanghaitech_files import SOURCE, TREE, find_parts
from dotally.errors import DataError


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """An entry of the list.

    Attributes:
        name: As the ``dotally data`` commands take it.
        what: What it holds, and who made it.
        licence: Terms of use.
        source: Where to get it.
        size: On disk.
        tree: The layout that is expected below a data root; empty if it needs none.
        find: Returns a line for each of its parts that is in the given folders.
    """

    name: str
    what: str
    licence: str
    source: str
    size: str
    tree: str
    find: Callable[[Sequence[Path]], list[str]]


def _find_shanghaitech(roots: Sequence[Path]) -> list[str]:
    try:
        return [f"part {part.part}: {part.folder}" for part in find_parts(roots)]
    except DataError:
        return []


CATALOGUE = (
    DataSet(
        name="shanghaitech",
        what="ShanghaiTech A and B (Zhang et al., CVPR 2016): 1198 photographs, 330,165 heads as dots",
        licence="BSD-2-Clause, by the authors; part A comes from the web, rights unknown: research use",
        source=f"links on {SOURCE}; then `dotally data add shanghaitech ARCHIVE_OR_FOLDER`",
        size="174 MB",
        tree=TREE,
        find=_find_shanghaitech,
    ),
    DataSet(
        name="synthetic",
        what="SyntheticCrowd: rendered people on a square, with exact dots",
        licence="that of dotally",
        source="nothing to get: rendered when first used, in seconds",
        size="a few MB, below runs/data",
        tree="",
        find=lambda _: ["made when it is asked for"],
    ),
)


def render_catalogue(data_root: str | Path | None = None) -> str:
    """Return the list as text; without a data root it still says where everything comes from.

    Args:
        data_root: See :func:`dotally.data.roots.data_roots`.
    """
    try:
        roots = data_roots(data_root)
        heading = f"data roots: {', '.join(map(str, roots))}"
    except DataError as error:
        roots, heading = [], f"data roots: {error}"
    return "\n\n".join([heading, *(_entry(data_set, data_set.find(roots)) for data_set in CATALOGUE)])


def _entry(data_set: DataSet, found: Sequence[str]) -> str:
    lines = [
        f"{data_set.name}: {'; '.join(found) or 'NOT FOUND'}",
        f"  what     {data_set.what}",
        f"  licence  {data_set.licence}",
        f"  source   {data_set.source}",
        f"  size     {data_set.size}",
    ]
    if data_set.tree:
        lines += ["  expected in a data root, or in a folder in it:", indent(data_set.tree, "    ")]
    return "\n".join(lines)
