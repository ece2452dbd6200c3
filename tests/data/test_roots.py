import os
from pathlib import Path

import pytest

from dotally.data.roots import data_roots
from dotally.errors import DataError


def test_the_argument_goes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("DOTALLY_DATA_ROOT", str(tmp_path))
    assert data_roots(tmp_path / "here") == [tmp_path / "here"]
    assert data_roots() == [tmp_path]


def test_several_folders_keep_their_order_and_absent_ones_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
    folders = [tmp_path / "b", tmp_path / "absent", tmp_path / "a"]
    monkeypatch.setenv("DOTALLY_DATA_ROOT", os.pathsep.join(map(str, folders)))
    assert data_roots() == [tmp_path / "b", tmp_path / "a"]


@pytest.mark.parametrize("value", [None, "", os.pathsep])
def test_no_folder_named_says_how_to_name_one(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOTALLY_DATA_ROOT", raising=False)
    with pytest.raises(DataError, match="--data-root FOLDER or set DOTALLY_DATA_ROOT"):
        data_roots(value)


def test_absent_folders_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"--data-root .*absent"):
        data_roots(tmp_path / "absent")
    monkeypatch.setenv("DOTALLY_DATA_ROOT", str(tmp_path / "gone"))
    with pytest.raises(DataError, match=r"DOTALLY_DATA_ROOT .*gone"):
        data_roots()


def test_the_home_folder_may_be_abbreviated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "sets").mkdir()
    assert data_roots("~/sets") == [tmp_path / "sets"]
