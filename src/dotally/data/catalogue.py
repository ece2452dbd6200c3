"""What ``dotally data list`` says: each data set, where it comes from, and whether it is here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import indent

from dotally.data import box_trees
from dotally.data.find import find_folder
from dotally.data.point_formats import READERS
from dotally.data.published_sets import PUBLISHED_SETS
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
        loader: The data module that reads it.
        find: Returns a line for each of its parts that is in the given folders.
    """

    name: str
    what: str
    licence: str
    source: str
    size: str
    tree: str
    loader: str
    find: Callable[[Sequence[Path]], list[str]]


def _find_shanghaitech(roots: Sequence[Path]) -> list[str]:
    try:
        return [f"part {part.part}: {part.folder}" for part in find_parts(roots)]
    except DataError:
        return []


def _find(is_it: Callable[[Path], bool], roots: Sequence[Path]) -> list[str]:
    try:
        return [str(find_folder(roots, is_it, what="it", tree=""))]
    except DataError:
        return []


_UNKNOWN = "not measured here"
_POINT_FOLDER = f"""\
FOLDER/                    any name, anywhere; pictures and annotations at any depth
    1.jpg  1.csv ...       a file for each picture, or one for many: {", ".join(READERS)}"""

CATALOGUE = (
    DataSet(
        name="shanghaitech",
        what="ShanghaiTech A and B (Zhang et al., CVPR 2016): 1198 photographs, 330,165 heads as dots",
        licence="BSD-2-Clause, by the authors; part A comes from the web, rights unknown: research use",
        source=f"links on {SOURCE}; then `dotally data add shanghaitech ARCHIVE_OR_FOLDER`",
        size="174 MB",
        tree=TREE,
        loader="dotally.data.ShanghaiTech",
        find=_find_shanghaitech,
    ),
    *(
        DataSet(
            name=name,
            what=published.what,
            licence=published.licence,
            source=published.source,
            size=published.size,
            tree=published.tree,
            loader=published.loader,
            find=partial(_find, published.is_it),
        )
        for name, published in PUBLISHED_SETS.items()
    ),
    DataSet(
        name="synthetic",
        what="SyntheticCrowd: rendered people on a square, with exact dots",
        licence="that of dotally",
        source="nothing to get: rendered when first used, in seconds",
        size="a few MB, below runs/data",
        tree="",
        loader="dotally.data.SyntheticCrowd",
        find=lambda _: ["made when it is asked for"],
    ),
    DataSet(
        name="synthetic-shapes",
        what="SyntheticShapes: one of eight shapes on clutter, 64x64 pixels, with its box",
        licence="that of dotally",
        source="nothing to get: painted when first used, in seconds",
        size="nothing on disk",
        tree="",
        loader="dotally.data.SyntheticShapes",
        find=lambda _: ["made when it is asked for"],
    ),
    DataSet(
        name="tiny-imagenet",
        what="Tiny ImageNet (Stanford CS231N): 64x64 photographs of 200 classes, or a part of them, with a box each",
        licence="ImageNet's terms: research use",
        source="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        size="43 MB for 39 classes",
        tree=box_trees.TINY_IMAGENET,
        loader="dotally.data.TinyImageNetLocalization",
        find=partial(_find, box_trees.is_tiny_imagenet),
    ),
    DataSet(
        name="imagenet",
        what="ILSVRC 2012: 50,000 validation photographs of 1000 classes, with boxes; train pictures only to train",
        licence="ImageNet's terms of access: non-commercial research and education",
        source="https://image-net.org, after agreeing to them",
        size=_UNKNOWN,
        tree=box_trees.IMAGENET,
        loader="dotally.data.ImageNetLocalization",
        find=partial(_find, box_trees.is_imagenet),
    ),
    DataSet(
        name="voc",
        what="Pascal VOC, 2007 to 2012 (Everingham et al., IJCV 2010): photographs with boxes of 20 classes",
        licence="VOC's terms; the photographs are from Flickr",
        source="http://host.robots.ox.ac.uk/pascal/VOC",
        size=_UNKNOWN,
        tree=box_trees.VOC,
        loader="dotally.data.VOCLocalization",
        find=partial(_find, box_trees.is_voc),
    ),
    DataSet(
        name="cub",
        what="CUB-200-2011 (Wah et al., 2011): 11,788 photographs of 200 species of birds, a box each",
        licence="not known to us; ask at its source",
        source="https://www.vision.caltech.edu/datasets/cub_200_2011",
        size=_UNKNOWN,
        tree=box_trees.CUB,
        loader="dotally.data.CUBLocalization",
        find=partial(_find, box_trees.is_cub),
    ),
    DataSet(
        name="point-folder",
        what="pictures of your own with dots, or with boxes whose middles are dots, in any of ten formats",
        licence="yours to know",
        source="nothing to get; `dotally data add NAME FOLDER --from auto` puts it below a data root, by that name",
        size="that of your pictures",
        tree=_POINT_FOLDER,
        loader="dotally.data.PointFolder",
        find=lambda _: ["any folder, wherever it is"],
    ),
    DataSet(
        name="box-folder",
        what="pictures of your own with boxes, as Pascal VOC XML or COCO JSON",
        licence="yours to know",
        source="nothing to get; `dotally data verify FOLDER` reads every file of it",
        size="that of your pictures",
        tree=box_trees.BOX_FOLDER,
        loader="dotally.data.BoxFolder",
        find=lambda _: ["any folder, wherever it is"],
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
        f"  loader   {data_set.loader}",
    ]
    if data_set.tree:
        lines += ["  expected, in a data root or in a folder in it:", indent(data_set.tree, "    ")]
    return "\n".join(lines)
