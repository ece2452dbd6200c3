"""Annotation files in Pascal VOC's XML, good ones and all kinds of bad ones."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dotally.data.voc_xml import read_voc_xml
from dotally.errors import AnnotationError

BOX = "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"


def thing(name: str = "dog", box: tuple[object, ...] = (3, 4, 20, 30), more: str = "") -> str:
    return f"<object>\n<name>{name}</name>{more}\n{BOX.format(*box)}</object>\n"


def write(folder: Path, body: str, head: str = "") -> Path:
    path = folder / "one.xml"
    path.write_text(f"{head}<annotation>\n<filename>one.jpg</filename>\n{body}</annotation>\n", encoding="utf-8")
    return path


def test_objects_are_read_with_their_lines(tmp_path: Path) -> None:
    size = "<size><width>64</width><height>48</height><depth>1</depth></size>\n"
    read = read_voc_xml(write(tmp_path, size + thing() + thing("cat", ("1.5", " 2 ", "7", "8.25"))))
    assert (read.filename, read.size) == ("one.jpg", (48, 64))
    assert [(one.name, one.box, one.line) for one in read.objects] == [
        ("dog", (3, 4, 20, 30), 4),
        ("cat", (1.5, 2, 7, 8.25), 7),
    ]


def test_parts_of_an_object_are_no_objects_and_do_not_change_it(tmp_path: Path) -> None:
    part = f"<part><name>head</name>{BOX.format(5, 5, 6, 6)}</part>"
    (only,) = read_voc_xml(write(tmp_path, thing(more=part) + part)).objects
    assert (only.name, only.box) == ("dog", (3, 4, 20, 30))


def test_a_size_of_zero_says_nothing(tmp_path: Path) -> None:
    assert read_voc_xml(write(tmp_path, "<size><width>0</width><height>0</height></size>" + thing())).size is None


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        ("", 1, "no object with a bndbox"),
        (thing().replace("<name>dog</name>", ""), 3, "an object without a name"),
        ("<object><name>dog</name></object>", 3, "without a bndbox"),
        (thing(box=(3, 4, "", 30)), 5, "xmax should be a number, it is ''"),
        (thing(box=(3, 4, "nan", 30)), 5, "xmax should be a number"),
        (thing(box=(3, 4, "twenty", 30)), 5, "it is 'twenty'"),
        (thing(box=(30, 4, 20, 30)), 5, "ends before it begins"),
        ("<object>", 3, "no readable XML"),
        ("&undefined;", 3, "no readable XML"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_file_and_line(
    body: str, line: int, message: str, tmp_path: Path
) -> None:
    path = write(tmp_path, body)
    with pytest.raises(AnnotationError) as error:
        read_voc_xml(path)
    assert f"{path}: line {line}: " in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "declaration",
    [
        '<!ENTITY a "aaaa">\n<!ENTITY b "&a;&a;&a;&a;">',
        '<!ENTITY a SYSTEM "file:///etc/hostname">',
        '<!ENTITY % a "aaaa">',
    ],
    ids=["laughs", "file", "parameter"],
)
def test_entities_are_refused(declaration: str, tmp_path: Path) -> None:
    path = write(tmp_path, thing("&a;"), head=f"<!DOCTYPE annotation [\n{declaration}\n]>")
    with pytest.raises(AnnotationError, match=r"one\.xml: line 2: declares the entity 'a'"):
        read_voc_xml(path)


@pytest.mark.parametrize(("content", "message"), [("", "line 1: the file is empty"), ("<html/>", "begins with <html>")])
def test_other_files_are_refused(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "other.xml"
    path.write_text(content)
    with pytest.raises(AnnotationError, match=message):
        read_voc_xml(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"none\.xml: cannot be read"):
        read_voc_xml(tmp_path / "none.xml")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 200), damage=st.binary(max_size=12))
def test_a_damaged_file_is_read_or_refused_clearly(place: int, damage: bytes, tmp_path: Path) -> None:
    path = write(tmp_path, thing())
    content = path.read_bytes()
    path.write_bytes(content[:place] + damage + content[place + len(damage) :])
    with suppress(AnnotationError):  # and nothing else may be raised
        assert read_voc_xml(path).objects
