"""MATLAB files that are not what they should be: one clear line, never another error."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from dotally.data.mat_file import read_mat, read_mat_points
from dotally.errors import AnnotationError


def written(folder: Path, **variables: object) -> Path:
    savemat(folder / "some.mat", variables, do_compression=True)
    return folder / "some.mat"


@pytest.mark.parametrize("empty", [np.zeros((0, 0)), np.zeros((0, 2)), np.zeros((0, 0), dtype=object)])
def test_an_empty_variable_of_any_shape_is_no_point(tmp_path: Path, empty: np.ndarray) -> None:
    points = read_mat_points(written(tmp_path, annPoints=empty), "annPoints")
    assert (points.shape, points.dtype) == ((0, 2), np.float64)


def test_whole_numbers_become_float64(tmp_path: Path) -> None:
    points = read_mat_points(written(tmp_path, annPoints=np.array([[1, 2]], dtype=np.uint16)), "annPoints")
    assert (points.tolist(), points.dtype) == ([[1, 2]], np.float64)


def test_nested_cells_are_taken_out(tmp_path: Path) -> None:
    inner, outer = np.empty((1, 1), dtype=object), np.empty((1, 1), dtype=object)
    inner[0, 0], outer[0, 0] = np.ones((3, 2)), inner
    assert read_mat(written(tmp_path, a=outer), "a")["a"].shape == (3, 2)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.ones((2, 3)), r"numbers \[N, 2\]"),
        (np.ones((2, 2)) * 1j, r"numbers \[N, 2\]"),
        ("text", r"numbers \[N, 2\]"),
        (np.array([[1, np.nan]]), "not finite"),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, value: object, message: str) -> None:
    with pytest.raises(AnnotationError, match=rf"some\.mat: annPoints .*{message}"):
        read_mat_points(written(tmp_path, annPoints=value), "annPoints")


def test_a_missing_variable_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"some\.mat: holds no variable annPoints"):
        read_mat_points(written(tmp_path, other=1), "annPoints")
    with pytest.raises(AnnotationError, match=r"none\.mat: cannot be read"):
        read_mat_points(tmp_path / "none.mat", "annPoints")


@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_damage_is_an_annotation_error_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = written(tmp_path_factory.mktemp("mat"), annPoints=np.arange(40.0).reshape(20, 2))
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=3)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    with suppress(AnnotationError):
        assert read_mat_points(path, "annPoints").shape[1] == 2
