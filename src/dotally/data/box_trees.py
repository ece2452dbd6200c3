"""How the published sets with boxes lie on disk, and how each is recognised. Imports nothing that takes time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

TINY_IMAGENET = """\
tiny-imagenet-200/         or a part of its classes, with the same files
    wnids.txt  words.txt
    train/n01443537/n01443537_boxes.txt, images/n01443537_0.JPEG ...
    val/val_annotations.txt, images/val_0.JPEG ..."""
IMAGENET = """\
images/valid/              or val, ILSVRC2012_img_val, Data/CLS-LOC/val; all pictures in it or in folders by synset
    n01440764/ILSVRC2012_val_00000293.JPEG ...
annotations/valid/         or ILSVRC2012_bbox_val_v3/val, Annotations/CLS-LOC/val, bbox/val; likewise
    n01440764/ILSVRC2012_val_00000293.xml ...
annotations/class_labels.txt    or LOC_synset_mapping.txt: a synset and its name on each line
images/train/n01440764/*.JPEG, annotations/train/n01440764/*.xml      only to train"""
VOC = """\
VOC2012/                   of any year; perhaps in a folder VOCdevkit
    Annotations/2007_000027.xml ...
    ImageSets/Main/train.txt  val.txt ...
    JPEGImages/2007_000027.jpg ..."""
CUB = """\
CUB_200_2011/
    images.txt  image_class_labels.txt  bounding_boxes.txt  train_test_split.txt  classes.txt
    images/001.Black_footed_Albatross/Black_Footed_Albatross_0001_796111.jpg ..."""
BOX_FOLDER = """\
FOLDER/                    any name, anywhere; pictures and annotations at any depth
    images/1.jpg ...
    annotations/1.xml ...  Pascal VOC XML for each picture, or COCO JSON files for all"""


@dataclass(frozen=True)
class Place:
    """Where one half of ImageNet may lie, pictures and annotations by turns in the same order."""

    pictures: tuple[str, ...]
    annotations: tuple[str, ...]


IMAGENET_VALID = Place(
    ("images/valid", "images/val", "Data/CLS-LOC/val", "ILSVRC2012_img_val", "valid", "val"),
    (
        "annotations/valid",
        "annotations/val",
        "Annotations/CLS-LOC/val",
        "ILSVRC2012_bbox_val_v3/val",
        "ILSVRC2012_bbox_val_v3",
        "bbox/val",
    ),
)


def is_tiny_imagenet(folder: Path) -> bool:
    """Tell whether Tiny ImageNet lies here, whole or in part."""
    return (folder / "wnids.txt").is_file() and (folder / "val" / "val_annotations.txt").is_file()


def is_imagenet(folder: Path) -> bool:
    """Tell whether ILSVRC 2012's validation pictures and their boxes lie here."""
    places = (IMAGENET_VALID.pictures, IMAGENET_VALID.annotations)
    return all(first_folder(folder, names) is not None for names in places)


def is_voc(folder: Path) -> bool:
    """Tell whether a year of Pascal VOC lies here."""
    return folder.name.startswith("VOC20") and (folder / "ImageSets" / "Main").is_dir()


def is_cub(folder: Path) -> bool:
    """Tell whether CUB-200-2011 lies here."""
    return all((folder / f"{name}.txt").is_file() for name in ("images", "bounding_boxes", "train_test_split"))


def first_folder(root: Path, names: Sequence[str]) -> Path | None:
    """Return the first of the folders in ``root`` that is there, None if none is."""
    return next((root / name for name in names if (root / name).is_dir()), None)


BOX_SETS: dict[str, Callable[[Path], bool]] = {
    "tiny-imagenet": is_tiny_imagenet,
    "imagenet": is_imagenet,
    "voc": is_voc,
    "cub": is_cub,
}
