"""Names and lists that annotation files give: what leaves the folder or is no text is refused, with file and line."""

from pathlib import Path

import pytest

from dotally.data.find import inside, numbered_lines
from dotally.errors import AnnotationError


@pytest.mark.parametrize("name", ["", "/a.jpg", "../a.jpg", "b/../../a.jpg", "..\\a.jpg", "C:\\a.jpg", "a\0.jpg"])
def test_names_that_are_none_or_leave_the_folder_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"list\.txt: line 3: .*(leaves|is no name of a file)"):
        inside(tmp_path, name, "list.txt: line 3")


def test_names_may_have_folders_in_either_spelling(tmp_path: Path) -> None:
    assert inside(tmp_path, "b\\a.jpg", "") == inside(tmp_path, "b/a.jpg", "") == tmp_path / "b" / "a.jpg"


def test_lines_are_numbered_as_an_editor_does(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("\ufeffone\r\n\r\nthree\n".encode())
    assert list(numbered_lines(path)) == [(f"{path}: line 1", "one"), (f"{path}: line 3", "three")]


@pytest.mark.parametrize(
    ("content", "line"), [(b"\xff", 1), (b"one\n\xe9", 2), ("\ufeffone\n\nth".encode() + b"\xff", 3)]
)
def test_a_line_that_is_no_utf8_is_named(content: bytes, line: int, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(AnnotationError, match=rf"list\.txt: line {line}: not text in UTF-8"):
        list(numbered_lines(tmp_path / "list.txt"))


def test_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"list\.txt: cannot be read"):
        list(numbered_lines(tmp_path / "list.txt"))
