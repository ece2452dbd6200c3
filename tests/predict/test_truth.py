from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from dotally.errors import AnnotationError, DataError
from dotally.predict.truth import inside, read_truth

POINTS = np.array([[1.5, 2.5], [30.0, 4.0]])


def save_mat(path: Path, points: np.ndarray = POINTS) -> None:
    info = np.empty((1, 1), dtype=[("location", object), ("number", object)])
    info[0, 0] = (points, np.array([[len(points)]], dtype=np.uint16))
    cell = np.empty((1, 1), dtype=object)
    cell[0, 0] = info
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"image_info": cell})


def save_csv(folder: Path, *lines: str) -> Path:
    (folder / "truth.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "truth.csv"


def test_a_mat_file_belongs_to_one_picture(tmp_path: Path) -> None:
    save_mat(tmp_path / "heads.mat")
    assert np.array_equal(read_truth(tmp_path / "heads.mat", ["a.jpg"])["a.jpg"], POINTS)
    with pytest.raises(DataError, match=r"belongs to one picture, but there are 2"):
        read_truth(tmp_path / "heads.mat", ["a.jpg", "b.jpg"])


@pytest.mark.parametrize("mat", ["GT_IMG_1.mat", "IMG_1.mat", "day/GT_IMG_1.mat", "day/IMG_1.mat"])
def test_a_folder_of_mats_is_matched_by_name(tmp_path: Path, mat: str) -> None:
    save_mat(tmp_path / mat)
    truth = read_truth(tmp_path, ["day/IMG_1.jpg", "day/IMG_2.jpg"])
    assert truth.keys() == {"day/IMG_1.jpg"}


def test_a_mat_for_two_pictures_of_one_name_is_refused(tmp_path: Path) -> None:
    save_mat(tmp_path / "1.mat")
    with pytest.raises(AnnotationError, match=r"1\.mat: 2 pictures have this name"):
        read_truth(tmp_path, ["a/1.jpg", "b/1.jpg"])
    save_mat(tmp_path / "a/1.mat")
    assert len(read_truth(tmp_path, ["a/1.jpg", "b/1.jpg"])) == 2


def test_a_csv_lists_the_heads_of_all_pictures(tmp_path: Path) -> None:
    path = save_csv(
        tmp_path, "file,x,y", "day/1.jpg,1.5,2.5", "2.jpg,7,8", "day/1.jpg,30,4", "empty.jpg,,", "other.jpg,1,1"
    )
    truth = read_truth(path, ["day/1.jpg", "day/2.jpg", "empty.jpg", "unknown.jpg"])
    assert truth.keys() == {"day/1.jpg", "day/2.jpg", "empty.jpg"}
    assert np.array_equal(truth["day/1.jpg"], POINTS)
    assert truth["empty.jpg"].shape == (0, 2)


def test_a_csv_without_files_belongs_to_one_picture(tmp_path: Path) -> None:
    path = save_csv(tmp_path, "\ufeffx, y, radius", "1.5, 2.5, 3", "30, 4, 3")
    assert np.array_equal(read_truth(path, ["a.jpg"])["a.jpg"], POINTS)
    with pytest.raises(DataError, match="belongs to one picture"):
        read_truth(path, ["a.jpg", "b.jpg"])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("name,count", "a.jpg,3"), r"line 1: .*x,y or file,x,y"),
        (("",), "line 1"),
        (("file,x,y", "a.jpg,1,2", "a.jpg,1,two"), "line 3: .*'1' and 'two'"),
        (("file,x,y", "a.jpg,1"), "line 2: .*'1' and ''"),
        (("file,x,y", "a.jpg,nan,1"), "line 2: x and y should be numbers"),
        (("x,y", ","), "line 2: x and y should be numbers"),
    ],
)
def test_a_broken_csv_names_its_line(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(AnnotationError, match=rf"truth\.csv, {message}"):
        read_truth(save_csv(tmp_path, *lines), ["a.jpg"])


def test_a_file_name_that_two_pictures_have_is_refused(tmp_path: Path) -> None:
    path = save_csv(tmp_path, "file,x,y", "a/1.jpg,1,2", "1.jpg,1,2")
    with pytest.raises(AnnotationError, match=r"line 3: 2 pictures are called 1\.jpg; add the folder"):
        read_truth(path, ["a/1.jpg", "b/1.jpg"])


def test_a_csv_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_bytes(b"x,y\n\xff\xfe\n")
    with pytest.raises(AnnotationError, match="not a csv file in UTF-8"):
        read_truth(tmp_path / "truth.csv", ["a.jpg"])


def test_truth_of_none_of_the_pictures_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no truth of any picture in it, such as a\.jpg"):
        read_truth(save_csv(tmp_path, "file,x,y", "b.jpg,1,2"), ["a.jpg"])
    with pytest.raises(DataError, match="no truth of any picture"):
        read_truth(tmp_path, ["a.jpg"])


def test_other_files_are_no_truth(tmp_path: Path) -> None:
    (tmp_path / "a.xml").touch()
    with pytest.raises(DataError, match=r"a \.mat file, a \.csv file or a folder"):
        read_truth(tmp_path / "a.xml", ["a.jpg"])
    with pytest.raises(DataError, match="no such file"):
        read_truth(tmp_path / "absent.csv", ["a.jpg"])


def test_a_broken_mat_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_bytes(b"nothing")
    with pytest.raises(AnnotationError, match=r"a\.mat"):
        read_truth(tmp_path / "a.mat", ["a.jpg"])


def test_heads_outside_do_not_count() -> None:
    points = np.array([[0.0, 0.0], [9.9, 4.9], [10.0, 1.0], [1.0, 5.0], [-0.1, 1.0]])
    assert np.array_equal(inside(points, (5, 10)), points[:2])
