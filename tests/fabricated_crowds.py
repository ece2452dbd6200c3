"""Tiny copies of the published crowd data sets in their real layouts and formats, with a dark square on every head."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

SIZE = (48, 72)  # (height, width); unequal, so that exchanged axes show
DARK, LIGHT = 30, 220


def points_of(number: int, size: tuple[int, int] = SIZE, count: int | None = None) -> np.ndarray:
    """Return ``[N, 2]`` (x, y) well inside a picture, always the same for a number."""
    generator = np.random.default_rng([7, number])
    count = int(generator.integers(3, 9)) if count is None else count
    return generator.uniform(0.1, 0.9, (count, 2)) * (size[1], size[0])


def picture(path: Path, points: np.ndarray, size: tuple[int, int] = SIZE, *, grey: bool = False) -> None:
    """Save a light picture with a dark square of 5 x 5 pixels on each point."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((*size, 3), LIGHT, dtype=np.uint8)
    for x, y in np.floor(points).astype(int):
        pixels[max(y - 2, 0) : max(y + 3, 0), max(x - 2, 0) : max(x + 3, 0)] = DARK
    image = Image.fromarray(pixels)
    image = image.convert("L") if grey else image
    image.save(path, **({"quality": 95} if path.suffix == ".jpg" else {}))


def ann_points(path: Path, points: np.ndarray, **more: np.ndarray) -> None:
    """Write ``annPoints`` as MATLAB does; without points it is ``[]``, which is 0 x 0."""
    savemat(path, {"annPoints": points if len(points) else np.zeros((0, 0)), **more}, do_compression=True)


def ucf_cc_50_tree(folder: Path, numbers: Iterable[int] = range(1, 51)) -> Path:
    """Grey pictures and mats in one folder; picture 1 has a head outside."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        points = points_of(number)
        picture(folder / f"{number}.jpg", points, grey=True)
        outside = [[-3.5, 10.25]] if number == 1 else np.zeros((0, 2))
        ann_points(folder / f"{number}_ann.mat", np.concatenate([points, outside]))
    return folder


def ucf_qnrf_tree(folder: Path, train: int = 4, test: int = 3, size: tuple[int, int] = SIZE) -> Path:
    """``UCF-QNRF_ECCV18``; train picture 1 has a head outside and one twice, picture 2 is grey."""
    base = folder / "UCF-QNRF_ECCV18"
    for split, count in (("Train", train), ("Test", test)):
        first: Path | None = None
        for number in range(1, count + 1):
            path = base / split / f"img_{number:04}.jpg"
            points = points_of(number % 5, size)
            if number < 5 or first is None:
                picture(path, points, size, grey=number == 2)
                first = first or path
            else:
                os.link(first, path)
            if (split, number) == ("Train", 1):
                points = np.concatenate([points, points[:1], [[size[1] + 0.5, 1.0]]])
            ann_points(path.with_name(f"{path.stem}_ann.mat"), points)
    return base


def jhu_crowd_tree(folder: Path, train: int = 10) -> Path:
    """``jhu_crowd_v2.0``; the last picture of each split shows nobody and has an empty gt file."""
    base = folder / "jhu_crowd_v2.0"
    number = 0
    for split, count in (("train", train), ("val", 2), ("test", 3)):
        labels = []
        (base / split / "gt").mkdir(parents=True)
        for index in range(count):
            number += 1
            points = np.floor(points_of(number)) if index < count - 1 else np.zeros((0, 2))
            picture(base / split / "images" / f"{number:04}.jpg", points)
            lines = "".join(f"{x:.0f} {y:.0f} 5 5 1 0\n" for x, y in points)
            (base / split / "gt" / f"{number:04}.txt").write_text(lines)
            labels.append(f"{number:04},{len(points)},street,0,{int(not len(points))}\n")
        (base / split / "image_labels.txt").write_text("".join(labels))
    return base


def nwpu_crowd_tree(
    folder: Path, numbers: Sequence[int], *, labels: Sequence[str] = ("jsons", "mats"), linked: bool = False
) -> Path:
    """``NWPU-Crowd``; pictures with a number that 5 divides show nobody. ``linked`` makes all pictures one."""
    base = folder / "NWPU-Crowd"
    (base / "images").mkdir(parents=True)
    for kind in labels:
        (base / kind).mkdir()
    first = base / "images" / f"{numbers[0]:04}.jpg"
    for number in numbers:
        points = points_of(1 if linked else number, count=0 if number % 5 == 0 else None)
        path = base / "images" / f"{number:04}.jpg"
        if linked and number != numbers[0]:
            os.link(first, path)
        else:
            picture(path, points)
        if number > 3609:
            continue
        boxes = np.concatenate([points - 2, points + 2], axis=1)
        truth = {"img_id": path.name, "human_num": len(points), "points": points.tolist(), "boxes": boxes.tolist()}
        if "jsons" in labels:
            (base / "jsons" / f"{number:04}.json").write_text(json.dumps(truth))
        if "mats" in labels:
            ann_points(base / "mats" / f"{number:04}.mat", points, annBoxes=boxes if len(points) else np.zeros((0, 0)))
    return base


def mall_tree(folder: Path) -> Path:
    """``mall_dataset`` with all its 2000 frames, which are one picture, but for 800 and 801."""
    base = folder / "mall_dataset"
    frames, counts = np.empty((1, 2000), dtype=object), np.zeros((2000, 1))
    usual = points_of(0)
    for number in range(1, 2001):
        points = usual if number not in (800, 801) else points_of(number)
        path = base / "frames" / f"seq_{number:06}.jpg"
        if number in (1, 800, 801):
            picture(path, points)
        else:
            os.link(base / "frames" / "seq_000001.jpg", path)
        frames[0, number - 1] = {"loc": points}
        counts[number - 1] = len(points)
    savemat(base / "mall_gt.mat", {"frame": frames, "count": counts}, do_compression=True)
    return base


def ucsd_tree(folder: Path, *, nested: bool = False) -> Path:
    """``vidf`` and ``vidf-cvpr`` with all 2000 frames, one picture; the left half is the walkway.

    ``nested`` keeps the frames in ``fgt.frame``, as another release of the files does.
    """
    truth, film = folder / "vidf-cvpr", folder / "vidf"
    truth.mkdir(parents=True)
    size = (158, 238)
    points = points_of(0, size, count=12)
    mask = np.zeros(size, dtype=np.uint8)
    mask[:, : size[1] // 2] = 1
    savemat(
        truth / "vidf1_33_roi_mainwalkway.mat",
        {"roi": {"xi": np.array([0, 119.0]), "yi": np.array([0, 158.0]), "mask": mask}},
    )
    first = film / "vidf1_33_000.y" / "vidf1_33_000_f001.png"
    picture(first, points, size, grey=True)
    third_column = np.concatenate([points, np.zeros((len(points), 1))], axis=1)
    for clip in range(10):
        name = f"vidf1_33_{clip:03}"
        (film / f"{name}.y").mkdir(exist_ok=True)
        for frame in range(1, 201):
            path = film / f"{name}.y" / f"{name}_f{frame:03}.png"
            if path != first:
                os.link(first, path)
        frames = np.empty((1, 200), dtype=object)
        for frame in range(200):
            frames[0, frame] = {"loc": third_column, "id": np.arange(len(points))}
        content = {"fgt": {"frame": frames}} if nested else {"frame": frames}
        savemat(truth / f"{name}_frame_full.mat", content, do_compression=True)
    return folder


def trancos_tree(folder: Path, pictures: int = 4) -> Path:
    """``TRANCOS_v3``; the upper half of each picture is off the road."""
    base = folder / "TRANCOS_v3"
    (base / "image_sets").mkdir(parents=True)
    number = 0
    for split in ("training", "validation", "test"):
        names = []
        for _ in range(pictures):
            number += 1
            name = f"image-1-{number:06}"
            names.append(f"{name}.jpg\n")
            points = points_of(number, count=8)
            picture(base / "images" / f"{name}.jpg", points)
            dots = np.zeros((*SIZE, 3), dtype=np.uint8)
            columns, rows = np.floor(points).astype(int).T
            dots[rows, columns, 0] = 255
            Image.fromarray(dots).save(base / "images" / f"{name}dots.png")
            road = np.zeros(SIZE, dtype=np.uint8)
            road[SIZE[0] // 2 :] = 1
            savemat(base / "images" / f"{name}mask.mat", {"BW": road}, do_compression=True)
        (base / "image_sets" / f"{split}.txt").write_text("".join(names))
    return base


def world_expo_tree(folder: Path, train_scenes: int = 5, frames: int = 2, *, flat: bool = False) -> Path:
    """The four folders; the region of every scene is a triangle. The last frame of a scene has its head outside.

    ``flat`` keeps train annotations in ``train_label`` itself, beside the folders of the regions.
    """
    height, width = SIZE
    scenes = [(f"{100100 + n}", "train") for n in range(train_scenes)]
    scenes += [(scene, "test") for scene in ("104207", "200608", "200702", "202201", "500717")]
    for scene, split in scenes:
        labels = folder / f"{split}_label" / scene
        labels.mkdir(parents=True)
        corners = {
            "maskVerticesXCoordinates": np.array([[0.0], [0.0], [width - 1.0]]),
            "maskVerticesYCoordinates": np.array([[0.0], [height - 1.0], [height - 1.0]]),
        }
        savemat(labels / "roi.mat", corners)
        for frame in range(frames):
            name = f"{scene}_1-0{frame}-S{frame:05}"
            inside = [[5.5, 40.5], [20.5, 30.5]] if frame < frames - 1 else []
            points = np.array([*inside, [width - 8.5, 6.5]])
            place = folder / "train_frame" if split == "train" else folder / "test_frame" / scene
            picture(place / f"{name}.jpg", points)
            home = labels.parent if flat and split == "train" else labels
            savemat(home / f"{name}.mat", {"point_num": len(points), "point_position": points})
    return folder


def carpk_tree(folder: Path, train: int = 10, test: int = 3) -> Path:
    """``CARPK_devkit/data``; the last test picture shows no car."""
    base = folder / "CARPK_devkit" / "data"
    for name in ("Annotations", "ImageSets"):
        (base / name).mkdir(parents=True)
    for split, count in (("train", train), ("test", test)):
        names = [f"2016{len(split)}_TPZ_{n:05}" for n in range(1, count + 1)]
        (base / "ImageSets" / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
        for number, name in enumerate(names, 1):
            points = np.floor(points_of(number, count=0 if (split, number) == ("test", count) else None))
            picture(base / "Images" / f"{name}.png", points)
            lines = "".join(f"{x - 2:.0f} {y - 2:.0f} {x + 2:.0f} {y + 2:.0f} 1\n" for x, y in points)
            (base / "Annotations" / f"{name}.txt").write_text(lines)
    return base


def mtc_tree(folder: Path, train: int = 10, test: int = 3) -> Path:
    """``maize_counting_dataset``; the last test picture shows no tassel, whose boxes MATLAB writes as 0 x 0."""
    base = folder / "maize_counting_dataset"
    for place, count in (("trainval", train), ("test", test)):
        (base / place / "labels").mkdir(parents=True)
        for number in range(1, count + 1):
            points = points_of(number, count=0 if (place, number) == ("test", count) else None)
            name = f"T0001_XM_201108{number:02}100243_0{len(place) % 3}"
            picture(base / place / "images" / f"{name}.jpg", points)
            boxes = np.column_stack([points - 2, np.full((len(points), 2), 5.0)]) if len(points) else np.zeros((0, 0))
            # the fields are read by their place; their names are ours
            annotation = {"filename": f"{name}.jpg", "boxes": boxes}
            savemat(base / place / "labels" / f"{name}.mat", {"annotation": annotation}, do_compression=True)
    return base
