from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dotally.data import verify as module
from dotally.data.pictures import open_picture
from dotally.data.shanghaitech_files import PictureFacts, find_part, read_points
from dotally.data.verify import Report, verify, verify_shanghaitech
from dotally.errors import DataError
from dotally.files import sha256

Tree = Callable[..., Path]
WritePoints = Callable[..., None]


def facts_of(root: Path) -> Any:
    """What would be known if ``root`` were the published ``part_X`` release."""
    facts: Any = {part: {"train": {}, "test": {}} for part in ("A", "B")}
    for part, splits in facts.items():
        for split, known in splits.items():
            for number, (picture, annotation) in enumerate(find_part([root], part).pairs(split), start=1):
                known[number] = PictureFacts(
                    size=open_picture(picture).image.shape[:2],
                    mode=Image.open(picture).mode,
                    points=len(read_points(annotation)),
                    picture_sha256=sha256(picture),
                    annotation_sha256=sha256(annotation),
                )
    return facts


@pytest.fixture
def tree(shanghaitech_tree: Tree, tmp_path: Path) -> Path:
    return shanghaitech_tree(tmp_path / "sets")


def problems(report: Report) -> dict[str, list[str]]:
    return {kind: cases for kind, cases in report.problems.items() if cases}


def test_a_complete_copy_is_well_and_counted(tree: Path) -> None:
    report = verify_shanghaitech([tree], facts=facts_of(tree))
    assert report.ok
    heads = sum(len(read_points(path)) for path in find_part([tree], "A").annotations("train").values())
    text = report.render()
    for line in (
        f"train: 4 of 4 pictures, {heads} of {heads} heads",
        "14 of 14 files have the checksums",
        "1 greyscale",
        "121/98",
        "train 108 has the dots of another picture",
        "all is well",
    ):
        assert line in text


def test_the_final_release_is_judged_by_what_lies_inside(
    tree: Path, shanghaitech_tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OUTSIDE", {part: {"train": 1, "test": 1} for part in ("A", "B")})
    report = verify_shanghaitech([shanghaitech_tree(tmp_path / "final", "final")], facts=facts_of(tree))
    assert report.ok, report.render()
    assert "the part_A_final release" in report.render()
    assert "2 of them outside their picture" in report.render()


def test_a_renamed_release_is_recognised_by_its_contents(tree: Path, shanghaitech_tree: Tree, tmp_path: Path) -> None:
    final = shanghaitech_tree(tmp_path / "final", "final", parts=("A",))
    (final / "part_A_final").rename(final / "part_A")
    report = verify_shanghaitech([final], facts=facts_of(tree))
    assert "the part_A_final release" in report.render()
    assert any("named like the other release" in note for note in report.notes)


def test_the_wrong_total_of_outside_heads_is_a_problem(tree: Path, shanghaitech_tree: Tree, tmp_path: Path) -> None:
    # the published number is 294 in train of part A, the fabricated one 1
    report = verify_shanghaitech([shanghaitech_tree(tmp_path / "final", "final", ("A",))], facts=facts_of(tree))
    assert set(problems(report)) == {"heads"}


def test_missing_extra_damaged_and_changed_files_are_listed_by_name(tree: Path, write_points: WritePoints) -> None:
    facts = facts_of(tree)
    train, test = tree / "part_A" / "train_data", tree / "part_A" / "test_data"
    (train / "images" / "IMG_1.jpg").unlink()
    (test / "ground-truth" / "GT_IMG_2.mat").unlink()
    (train / "images" / "IMG_77.jpg").touch()
    picture = train / "images" / "IMG_3.jpg"
    picture.write_bytes(picture.read_bytes()[:500])
    (train / "ground-truth" / "GT_IMG_4.mat").write_bytes(b"")
    write_points(test / "ground-truth" / "GT_IMG_1.mat", np.array([[1.5, 2.5], [1.5, 2.5]]))
    Image.new("RGB", (128, 96)).save(test / "images" / "IMG_3.jpg")

    report = verify_shanghaitech([tree], facts=facts)
    assert not report.ok
    found = problems(report)
    assert found["missing"] == ["part A train IMG_1.jpg", "part A test GT_IMG_2.mat"]
    assert found["extra"] == ["part A train IMG_77.jpg"]
    assert [case.split(":")[0] for case in found["damaged"]] == [
        str(picture),
        str(train / "ground-truth" / "GT_IMG_4.mat"),
    ]
    assert [case.split(":")[0] for case in found["changed"]] == ["part A test IMG_1", "part A test IMG_3"]
    assert "NOT as it should be" in report.render()


def test_duplicate_heads_are_counted(tree: Path, write_points: WritePoints) -> None:
    write_points(tree / "part_B/test_data/ground-truth/GT_IMG_1.mat", np.full((3, 2), 1.5))
    assert "2 in the place of another" in verify_shanghaitech([tree], facts=facts_of(tree)).render()


def test_one_part_alone_is_checked_and_the_other_named(shanghaitech_tree: Tree, tree: Path, tmp_path: Path) -> None:
    only_b = shanghaitech_tree(tmp_path / "b", parts=("B",))
    report = verify_shanghaitech([only_b], facts=facts_of(tree))
    assert report.ok
    assert report.found[0] == "part A: not found"


def test_long_lists_are_cut(tree: Path) -> None:
    # against the real facts nearly everything of a tiny tree is missing
    text = verify("shanghaitech", [tree]).render()
    assert "missing: 2368" in text
    assert "and 2358 more" in text
    assert len(text.splitlines()) < 60


def test_nothing_found_and_unknown_names_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="part A was not found"):
        verify("shanghaitech", [tmp_path])
    with pytest.raises(DataError, match=r"'shangai': no folder is called so, .* are: shanghaitech"):
        verify("shangai", [tmp_path])


@pytest.mark.real
def test_the_real_set_is_complete_and_unchanged(data_root: list[Path]) -> None:
    report = verify("shanghaitech", data_root)
    assert report.ok, report.render()
    text = report.render()
    # heads of the part_X release and duplicates as counted by hand on the real files
    for line in (
        "300 of 300 pictures, 162,413",
        "182 of 182 pictures, 78,862",
        "400 of 400 pictures, 49,151",
        "316 of 316 pictures, 39,121",
        "0 of them outside their picture and 124 in the place of another; 20 greyscale",
        "0 of them outside their picture and 68 in the place of another; 0 greyscale",
        "964 of 964 files",
        "1,432 of 1,432 files",
    ):
        assert line in text
