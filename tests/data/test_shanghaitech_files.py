import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from dotally.data.pictures import open_picture
from dotally.data.shanghaitech_files import LEAKS, find_part, known_facts, official_split, read_points
from dotally.errors import AnnotationError, DataError

Tree = Callable[..., Path]
WritePoints = Callable[..., None]


@pytest.mark.parametrize("release", ["part_A", "final"])
def test_both_releases_are_found_and_paired_by_number(release: str, shanghaitech_tree: Tree, tmp_path: Path) -> None:
    shanghaitech_tree(tmp_path, release, train=11)
    for part in ("A", "B"):
        folder = find_part([tmp_path], part)
        assert folder.release == ("part_X_final" if release == "final" else "part_X")
        assert folder.folder.name == folder.release.replace("X", part)
        for split, pictures in (("train", 11), ("test", 3)):
            pairs = folder.pairs(split)
            numbers = range(1, pictures + 1)
            assert [picture.name for picture, _ in pairs] == [f"IMG_{n}.jpg" for n in numbers]
            assert [annotation.name for _, annotation in pairs] == [f"GT_IMG_{n}.mat" for n in numbers]


@pytest.mark.parametrize("place", [".", "shanghaitech", "ShanghaiTech", "any name", "part_A"])
def test_a_root_may_hold_the_parts_or_a_folder_of_them_or_be_one(
    place: str, shanghaitech_tree: Tree, tmp_path: Path
) -> None:
    if place == "part_A":
        shanghaitech_tree(tmp_path, parts=("A",))
        roots = [tmp_path / "part_A"]
    else:
        shanghaitech_tree(tmp_path / place)
        roots = [tmp_path / "absent", tmp_path]
    assert find_part(roots, "A").folder == tmp_path / ("." if place == "part_A" else place) / "part_A"


def test_the_spelling_of_folders_and_files_is_free(shanghaitech_tree: Tree, tmp_path: Path) -> None:
    shanghaitech_tree(tmp_path, "final", parts=("A",), train=1)
    (tmp_path / "part_A_final").rename(tmp_path / "Part_a_Final")
    train = tmp_path / "Part_a_Final" / "train_data"
    (train / "images" / "IMG_1.jpg").rename(train / "images" / "img_1.JPEG")
    (train / "images" / "._IMG_1.jpg").touch()
    pairs = find_part([tmp_path], "A").pairs("train")
    assert [(picture.name, annotation.name) for picture, annotation in pairs] == [("img_1.JPEG", "GT_IMG_1.mat")]


def test_converted_maps_beside_the_annotations_do_not_hide_them(shanghaitech_tree: Tree, tmp_path: Path) -> None:
    train = shanghaitech_tree(tmp_path, parts=("A",)) / "part_A" / "train_data"
    (train / "ground_truth").mkdir()
    (train / "ground_truth" / "IMG_1.h5").touch()
    assert len(find_part([tmp_path], "A").pairs("train")) == 4


def test_an_absent_part_names_the_places_the_tree_and_the_source(shanghaitech_tree: Tree, tmp_path: Path) -> None:
    shanghaitech_tree(tmp_path / "sets", parts=("A",))
    with pytest.raises(DataError) as error:
        find_part([tmp_path], "B")
    for text in (str(tmp_path / "sets"), "GT_IMG_1.mat", "github.com/desenzhou", "dotally data add"):
        assert text in str(error.value)


@pytest.mark.parametrize("lost", ["images/IMG_{}.jpg", "ground-truth/GT_IMG_{}.mat"])
def test_half_a_download_says_how_many_files_are_alone_and_the_first(
    lost: str, shanghaitech_tree: Tree, tmp_path: Path
) -> None:
    test = shanghaitech_tree(tmp_path, parts=("A",)) / "part_A" / "test_data"
    for number in (2, 3):
        (test / lost.format(number)).unlink()
    with pytest.raises(DataError, match=f"2 of 3 files have no partner.* {lost.split('/')[1].format(2)}"):
        find_part([tmp_path], "A").pairs("test")


def test_a_split_without_pictures_is_an_error(shanghaitech_tree: Tree, tmp_path: Path) -> None:
    shutil.rmtree(shanghaitech_tree(tmp_path, parts=("A",)) / "part_A" / "test_data")
    with pytest.raises(DataError, match=r"test_data: no images"):
        find_part([tmp_path], "A").pairs("test")


def test_points_come_as_x_y_float64(write_points: WritePoints, tmp_path: Path) -> None:
    points = np.array([[1.5, 2.25], [-3.0, 700.125]])
    write_points(tmp_path / "a.mat", points)
    assert read_points(tmp_path / "a.mat").dtype == np.float64
    assert np.array_equal(read_points(tmp_path / "a.mat"), points)


def test_whole_numbers_come_as_float64_too(write_points: WritePoints, tmp_path: Path) -> None:
    write_points(tmp_path / "a.mat", np.array([[1, 2]], dtype=np.uint8))
    assert read_points(tmp_path / "a.mat").dtype == np.float64


@pytest.mark.parametrize("shape", [(0, 0), (0, 2)])
def test_a_picture_without_heads_is_fine(shape: tuple[int, int], write_points: WritePoints, tmp_path: Path) -> None:
    write_points(tmp_path / "a.mat", np.zeros(shape))
    assert read_points(tmp_path / "a.mat").shape == (0, 2)


def cell(**fields: object) -> np.ndarray:
    outer = np.empty((1, 1), dtype=object)
    outer[0, 0] = fields
    return outer


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"something": np.zeros((3, 2))}, "no image_info"),
        ({"image_info": cell(number=3.0)}, "no image_info with a field location"),
        ({"image_info": np.zeros((3, 2))}, "no image_info with a field location"),
        ({"image_info": cell(location=np.zeros((3, 3)), number=3.0)}, r"numbers \[N, 2\].* \[3, 3\]"),
        ({"image_info": cell(location="here", number=1.0)}, "numbers"),
        ({"image_info": cell(location=np.zeros((3, 2)) * 1j, number=3.0)}, "numbers.* complex128"),
        ({"image_info": cell(location=np.array([[0, np.nan]]), number=1.0)}, "not finite"),
        ({"image_info": cell(location=np.array([[np.inf, 0]]), number=1.0)}, "not finite"),
        ({"image_info": cell(location=np.zeros((3, 2)), number=4.0)}, "4.0.* heads, location has 3"),
        ({"image_info": cell(location=np.zeros((0, 0)), number=4.0)}, "4.0.* heads, location has 0"),
    ],
)
def test_odd_annotations_are_refused_by_name(content: dict[str, object], reason: str, tmp_path: Path) -> None:
    savemat(tmp_path / "GT_IMG_7.mat", content)
    with pytest.raises(AnnotationError, match=rf"GT_IMG_7\.mat: .*{reason}"):
        read_points(tmp_path / "GT_IMG_7.mat")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_truncated_annotations_are_refused(share: float, write_points: WritePoints, tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    write_points(path, np.random.default_rng(0).uniform(size=(50, 2)))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(AnnotationError, match=r"a\.mat: "):
        read_points(path)


@pytest.mark.parametrize("seed", range(30))
def test_damaged_bytes_are_refused_or_harmless(seed: int, write_points: WritePoints, tmp_path: Path) -> None:
    path, generator = tmp_path / "a.mat", np.random.default_rng(seed)
    points = generator.uniform(size=(50, 2))
    write_points(path, points)
    content = bytearray(path.read_bytes())
    for place in generator.integers(124, len(content), 4):
        content[place] = generator.integers(256)
    path.write_bytes(content)
    with contextlib.suppress(AnnotationError):
        assert np.array_equal(read_points(path), points)


def test_other_files_and_absent_ones_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(AnnotationError, match="not a readable mat file"):
        read_points(tmp_path / "a.mat")
    with pytest.raises(AnnotationError, match=r"b\.mat: cannot be read"):
        read_points(tmp_path / "b.mat")


def test_a_matlab_7_3_file_says_what_to_do(tmp_path: Path) -> None:
    header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file["image_info"] = 1
    content = (tmp_path / "a.mat").read_bytes()
    (tmp_path / "a.mat").write_bytes(header + content[len(header) :])
    with pytest.raises(AnnotationError, match="save it again as version 7"):
        read_points(tmp_path / "a.mat")


@pytest.mark.parametrize(
    # heads as counted on the real files (Zhang et al., CVPR 2016, give the totals of the other release)
    ("part", "split", "pictures", "heads"),
    [("A", "train", 300, 162413), ("A", "test", 182, 78862), ("B", "train", 400, 49151), ("B", "test", 316, 39121)],
)
def test_known_facts_cover_every_picture(part: str, split: str, pictures: int, heads: int) -> None:
    facts = known_facts()[part][split]
    assert list(facts) == list(range(1, pictures + 1))
    assert sum(fact.points for fact in facts.values()) == heads


@pytest.mark.parametrize(("part", "train", "val"), [("A", 240, 59), ("B", 320, 80)])
def test_the_official_split_has_the_published_sizes(part: str, train: int, val: int) -> None:
    learned, held_out = official_split(part)
    assert (len(set(learned)), len(set(held_out))) == (train, val)
    assert not set(learned) & set(held_out)
    missing = set(known_facts()[part]["train"]) - set(learned) - set(held_out)
    assert missing == ({280} if part == "A" else set())


@pytest.mark.real
def test_every_real_annotation_holds_the_known_number_of_heads_inside_its_picture(data_root: list[Path]) -> None:
    for part in ("A", "B"):
        folder = find_part(data_root, part)
        for split in ("train", "test"):
            facts = known_facts()[part][split]
            for number, path in folder.annotations(split).items():
                points = read_points(path)
                height, width = facts[number].size
                inside = ((points > 0) & (points < (width, height))).all(axis=1)
                assert inside.sum() == facts[number].points


@pytest.mark.real
def test_the_leak_that_is_pixel_identical_is_really_there(data_root: list[Path]) -> None:
    folder = find_part(data_root, "A")
    train, test = folder.pictures("train")[121], folder.pictures("test")[LEAKS[121]]
    assert np.array_equal(open_picture(train).image, open_picture(test).image)
