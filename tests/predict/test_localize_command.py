"""`dotally localize` from the words typed to the files left behind."""

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dotally.cli import main
from dotally.data.annotated import Thing
from dotally.data.shapes import SHAPES
from dotally.errors import AnnotationError, DataError, DotallyError
from dotally.models import build_model
from dotally.predict import localize_command as command
from dotally.predict.box_truth import read_boxes
from dotally.predict.localize_folder import localize
from dotally.predict.localizer import WAYS, Localizer
from dotally.stnet import BoxRule

NAMES = list(SHAPES)


def arguments(*words: str | Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


def paint(path: Path, size: tuple[int, int] = (40, 60)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.stem)).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def annotate(path: Path, *boxes: tuple[str, tuple[int, int, int, int]], size: tuple[int, int] = (40, 60)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    corners = ("xmin", "ymin", "xmax", "ymax")
    objects = "".join(
        f"<object><name>{name}</name><bndbox>"
        + "".join(f"<{corner}>{value}</{corner}>" for corner, value in zip(corners, box, strict=True))
        + "</bndbox></object>"
        for name, box in boxes
    )
    sides = f"<size><width>{size[1]}</width><height>{size[0]}</height></size>"
    path.write_text(f"<annotation>{sides}{objects}</annotation>")
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two pictures, and annotations of one shape in each, and of a second in the other."""
    for name in ("a.png", "more/b.png"):
        paint(tmp_path / "photos" / name)
    annotate(tmp_path / "boxes" / "a.xml", (NAMES[1], (5, 6, 20, 30)))
    annotate(tmp_path / "boxes" / "b.xml", (NAMES[2], (1, 1, 9, 9)), (NAMES[3], (10, 10, 50, 35)))
    return tmp_path / "photos"


@pytest.fixture
def names(tmp_path: Path) -> Path:
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    return tmp_path / "names.txt"


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "boxes.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_photos_become_a_table_boxes_and_hypotheses(
    tmp_path: Path, photos: Path, shapes_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["localize", str(photos), "--weights", str(shapes_checkpoint), "--out", str(out)]) == 0
    found = rows(out)
    assert [row["file"] for row in found] == ["a.png", "more/b.png"]
    for row, picture in zip(found, ("a.png", "more/b.png"), strict=True):
        result = Localizer.load(shapes_checkpoint, device="cpu")(photos / picture)
        assert [float(row[side]) for side in ("x0", "y0", "x1", "y1")] == pytest.approx(list(result.box), abs=0.006)
        assert (row["label"], row["class"], row["width"], row["height"]) == (str(result.label),) * 2 + ("60", "40")
        assert float(row["score"]) == pytest.approx(result.score, abs=1e-4)
    for kind in ("overlays", "hypotheses"):
        assert sorted(path.name for path in (out / kind).rglob("*.jpg")) == ["a.jpg", "b.jpg"]
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["pictures"], summary["failed"], summary["truth"]) == (2, 0, None)
    assert summary["weights"]["model"] == "shapes_net"
    assert summary["method"]["name"] == "stnet"
    printed = capsys.readouterr()
    assert printed.out.startswith("2 pictures of class")
    assert printed.err.startswith(f"weights {shapes_checkpoint} (shapes_net, stnet at image")
    assert not list(out.glob(".*"))


def test_boxes_are_judged_where_they_are_annotated(
    tmp_path: Path, photos: Path, names: Path, shapes_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = [photos, "--weights", shapes_checkpoint, "--classes", names, "--truth", tmp_path / "boxes"]
    out = tmp_path / "known"
    assert command.run(arguments(*common, "--out", out, "--target", "annotated", "--overlay", "png")) == 0
    known = rows(out)
    # of two annotated classes, that of the larger box
    assert [row["class"] for row in known] == [row["annotated"] for row in known] == [NAMES[1], NAMES[3]]
    truth = json.loads((out / "summary.json").read_text())["truth"]
    assert truth["mean_iou"] == pytest.approx(np.mean([float(row["iou"]) for row in known]), abs=1e-4)
    assert "truth of 2 pictures: mean IoU" in (printed := capsys.readouterr().out)
    seen = [Localizer.load(shapes_checkpoint, device="cpu")(photos / row["file"]).predicted for row in known]
    right = [NAMES[label] == row["annotated"] for label, row in zip(seen, known, strict=True)]
    assert truth["label_accuracy"] == np.mean(right)
    assert f"label right in {truth['label_accuracy']:.1%}" in printed
    # the same pictures without their true boxes look different
    with_truth = np.asarray(Image.open(out / "overlays" / "a.png"))
    out = tmp_path / "predicted"
    assert command.run(arguments(*common[:-2], "--out", out, "--target", NAMES[1], "--overlay", "png")) == 0
    assert (np.asarray(Image.open(out / "overlays" / "a.png")) != with_truth).any()
    assert {row["class"] for row in rows(out)} == {NAMES[1]}
    assert "annotated" not in rows(out)[0]


def test_a_network_of_other_classes_is_judged_by_its_boxes_alone(
    tmp_path: Path, photos: Path, names: Path, shapes_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        annotate(tmp_path / "boxes" / f"{name}.xml", ("raccoon", (5, 6, 20, 30)))
    words = ("--truth", tmp_path / "boxes", "--classes", names, "--overlay", "none", "--out", tmp_path / "out")
    assert command.run(arguments(photos, "--weights", shapes_checkpoint, *words)) == 0
    assert "label right" not in capsys.readouterr().out
    assert "label_accuracy" not in json.loads((tmp_path / "out" / "summary.json").read_text())["truth"]
    with pytest.raises(DotallyError, match="there is no class 'raccoon' among the 8"):
        command.run(arguments(photos, "--weights", shapes_checkpoint, *words, "--target", "annotated"))


@pytest.mark.real
@pytest.mark.parametrize(("folder", "number"), [("raccoon", 32), ("voc2011_labelme", 3)])
def test_real_photographs_beside_their_annotations(
    folder: str, number: int, data_root: list[Path], tmp_path: Path, shapes_checkpoint: Path
) -> None:
    found = [root / folder for root in data_root if (root / folder).is_dir()]
    if not found:
        pytest.skip(f"no {folder} below DOTALLY_DATA_ROOT")
    words = ("--weights", shapes_checkpoint, "--truth", found[0], "--out", tmp_path / "out")
    assert command.run(arguments(found[0], *words)) == 0
    judged = rows(tmp_path / "out")
    assert len(judged) == number
    assert all(0 <= float(row["iou"]) <= 1 and row["annotated"] for row in judged)
    assert len(list((tmp_path / "out" / "overlays").rglob("*.jpg"))) == number


def test_a_broken_picture_fails_alone(tmp_path: Path, photos: Path, shapes_checkpoint: Path) -> None:
    (photos / "c.png").write_bytes(b"no picture")
    annotate(tmp_path / "boxes" / "a.xml", (NAMES[1], (5, 6, 20, 30)), size=(99, 60))
    out = tmp_path / "out"
    words = ("--out", out, "--truth", tmp_path / "boxes", "--overlay", "none")
    assert command.run(arguments(photos, "--weights", shapes_checkpoint, *words)) == 1
    assert [row["file"] for row in rows(out)] == ["more/b.png"]
    errors = (out / "errors.csv").read_text()
    assert "c.png,not a picture in a format that can be read" in errors
    assert "made for a picture of (99, 60)" in errors
    assert not (out / "overlays").exists()


def test_an_interrupted_job_keeps_what_it_has(
    tmp_path: Path, photos: Path, shapes_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []
    first = Localizer.__call__

    def interrupted(self: Localizer, picture: Path, **options: object) -> object:
        calls.append(picture)
        if len(calls) == 3:  # the first is a grey picture, to see whether the method suits the network
            raise KeyboardInterrupt
        return first(self, picture, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Localizer, "__call__", interrupted)
    out = tmp_path / "out"
    (out / "overlays").mkdir(parents=True)
    (out / "summary.json").write_text("an earlier job's")
    assert command.run(arguments(photos, "--weights", shapes_checkpoint, "--out", out)) == 1
    assert len(rows(out)) == 1
    assert not (out / "summary.json").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--stop", "features.99"), r"no layer is called 'features\.99'"),
        (("--stop", "classifier"), r"classifier gives \(1, 8\), no map; stop at a layer below"),
        (("--method", "grad-cam", "--stop", "features.99"), r"no layer is called 'features\.99'"),
        (("--threshold", "0.3"), "a threshold is a share of 1 and belongs to"),
        (("--method", "cam", "--collapse", "max"), "cam takes a threshold"),
        (("--share", "0.3"), "--share belongs to --rule percentile"),
        (("--target", "annotated"), "only where annotations are given"),
        (("--target", "dog"), "names of the classes are not known"),
        (("--target", "8"), r"class 8 is outside of 0\.\.7"),
        (("--truth", "nowhere"), "nowhere: no such file or folder of annotations"),
        (("--classes", "nowhere"), "nowhere: cannot be read as names of classes"),
        (("--arch", "alexnet"), "says itself which network"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_touches_nothing(
    tmp_path: Path, photos: Path, shapes_checkpoint: Path, words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DotallyError, match=message) as caught:
        command.run(arguments(photos, "--weights", shapes_checkpoint, "--out", tmp_path / "out", *words))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_a_method_that_does_not_suit_the_network_is_one_line_and_touches_nothing(tmp_path: Path, photos: Path) -> None:
    torch.save(build_model("alexnet", width=0.02).state_dict(), tmp_path / "alexnet.pth")
    localizer = Localizer.load(tmp_path / "alexnet.pth", arch="alexnet", arch_kwargs={"width": 0.02}, method="cam")
    with pytest.raises(DotallyError, match="CAM wants global average pooling"):
        localize([photos], localizer, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_to_is_one_line(tmp_path: Path, photos: Path, shapes_checkpoint: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(DotallyError, match=r"out.*: cannot be written \("):
        command.run(arguments(photos, "--weights", shapes_checkpoint, "--out", tmp_path / "out"))


@pytest.mark.parametrize(
    "words",
    [("--method", "magic"), ("--side", "0"), ("--threshold", "1"), ("--rule", "magic"), ("--max-megapixels", "nan")],
)
def test_wrong_use_is_exit_code_two(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        arguments("p", "--weights", "a", "--out", "b", *words)
    assert caught.value.code == 2


def test_every_method_and_box_rule_can_be_asked_for() -> None:
    assert command._METHODS == WAYS
    words = ("p", "--weights", "a", "--out", "b")
    asked = ("--rule", "energy", "--share", "0.2", "--collapse", "max", "--no-prune")
    rule = BoxRule(threshold="energy", energy=0.2, collapse="max", prune=False)
    assert command._box_rule(arguments(*words, *asked)) == rule
    asked = ("--mean", "1.5", "--std", "2", "--method", "gradient")
    assert command._box_rule(arguments(*words, *asked)) == BoxRule(
        collapse="max", mean_multiplier=1.5, std_multiplier=2
    )
    assert command._box_rule(arguments(*words)) is None


def test_annotations_find_their_pictures(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        annotate(tmp_path / folder / "1.xml", (folder, (1, 2, 3, 4)))
    annotate(tmp_path / "other.xml", ("z", (1, 2, 3, 4)))
    found = read_boxes(tmp_path, ["x/1.jpg", "y/1.jpg", "2.jpg"])
    assert {name: [thing.name for thing in truth.things] for name, truth in found.items()} == {
        "x/1.jpg": ["x"],
        "y/1.jpg": ["y"],
    }
    coco = {
        "images": [{"id": 1, "file_name": "deep/1.jpg", "width": 60, "height": 40}],
        "categories": [{"id": 7, "name": "dog"}],
        "annotations": [{"image_id": 1, "category_id": 7, "bbox": [5, 6, 10, 20]}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(coco))
    (truth,) = read_boxes(tmp_path / "boxes.json", ["1.jpg"]).values()
    assert isinstance(truth.things[0], Thing)
    assert (truth.things[0].box, truth.size) == ((5, 6, 14, 25), (40, 60))


def test_annotations_that_could_be_of_several_pictures_or_of_none(tmp_path: Path) -> None:
    annotate(tmp_path / "1.xml", ("dog", (1, 2, 3, 4)))
    with pytest.raises(AnnotationError, match=r"could belong to x/1\.jpg and to y/1\.jpg"):
        read_boxes(tmp_path, ["x/1.jpg", "y/1.jpg"])
    with pytest.raises(DataError, match=r"no boxes of any picture in it, such as 2\.jpg"):
        read_boxes(tmp_path, ["2.jpg"])
    annotate(tmp_path / "again" / "1.xml", ("dog", (1, 2, 3, 4)))
    with pytest.raises(AnnotationError, match=r"1\.jpg is annotated twice"):
        read_boxes(tmp_path, ["1.jpg"])
    (tmp_path / "again" / "1.xml").write_text("")
    with pytest.raises(AnnotationError, match=r"1\.xml: line 1: the file is empty"):
        read_boxes(tmp_path, ["1.jpg"])
    (tmp_path / "boxes.json").write_text("{")
    with pytest.raises(AnnotationError, match=r"boxes\.json: line 1: no readable JSON"):
        read_boxes(tmp_path / "boxes.json", ["1.jpg"])
