import os
from pathlib import Path

import pytest

from dotally.errors import DataError
from dotally.predict.sources import list_sources


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def named(*sources: Path, out: Path) -> list[tuple[str, str]]:
    return [(source.name, source.stem) for source in list_sources(sources, out=out)]


def test_a_folder_gives_its_structure_in_natural_order(tmp_path: Path) -> None:
    touch(tmp_path, "IMG_10.jpg", "IMG_9.jpg", "day/1.png", "notes.txt")
    names = [name for name, _ in named(tmp_path, out=tmp_path / "out")]
    assert names == ["day/1.png", "IMG_9.jpg", "IMG_10.jpg"]


def test_names_of_several_folders_begin_with_the_folders(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg", "single.jpg")
    names = named(tmp_path / "b", tmp_path / "single.jpg", tmp_path / "a", out=tmp_path / "out")
    assert names == [("b/1.jpg", "b/1"), ("single.jpg", "single"), ("a/1.jpg", "a/1")]


def test_nothing_collides(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.jpg", "b/x.jpg", "c/x.png", "d/X.jpg")
    files = [tmp_path / name for name in ("a/x.jpg", "b/x.jpg", "c/x.png", "d/X.jpg")]
    assert named(*files, out=tmp_path / "out") == [
        ("x.jpg", "x"),
        ("x-2.jpg", "x-2"),
        ("x.png", "x-3"),
        ("X-3.jpg", "X-3-2"),
    ]


def test_every_picture_comes_once(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "a/2.jpg")
    sources = (tmp_path / "a" / "2.jpg", tmp_path / "a", tmp_path / "a" / ".." / "a")
    assert [name for name, _ in named(*sources, out=tmp_path / "out")] == ["2.jpg", "a/1.jpg"]


def test_overlays_of_an_earlier_job_are_no_pictures(tmp_path: Path) -> None:
    touch(tmp_path, "1.jpg", "out/overlays/1.jpg")
    assert named(tmp_path, out=tmp_path / "out") == [("1.jpg", "1")]
    with pytest.raises(DataError, match="an earlier job's"):
        list_sources([tmp_path / "out"], out=tmp_path / "out")


def test_a_source_that_does_not_exist_is_an_error_before_anything_else(tmp_path: Path) -> None:
    touch(tmp_path, "1.jpg")
    with pytest.raises(DataError, match="absent: no such file or folder"):
        list_sources([tmp_path / "1.jpg", tmp_path / "absent"], out=tmp_path / "out")


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_name_that_is_no_text_becomes_some(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg"))
    path.touch()
    ((name, _),) = named(tmp_path, out=tmp_path / "out")
    assert name == "caf\\udce9.jpg"
    name.encode()
