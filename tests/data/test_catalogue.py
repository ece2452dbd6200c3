import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import dotally.data
from dotally.data.catalogue import CATALOGUE, render_catalogue
from dotally.data.verify import VERIFIERS

Tree = Callable[..., Path]


def test_each_part_that_is_here_is_listed_with_its_place(shanghaitech_tree: Tree, tmp_path: Path) -> None:
    shanghaitech_tree(tmp_path, "final", parts=("B",))
    text = render_catalogue(tmp_path)
    assert f"shanghaitech: part B: {tmp_path / 'part_B_final'}\n" in text
    assert "part A:" not in text


def test_without_a_data_root_it_still_says_where_everything_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOTALLY_DATA_ROOT", raising=False)
    text = render_catalogue()
    for line in (
        "--data-root FOLDER or set DOTALLY_DATA_ROOT",
        "shanghaitech: NOT FOUND",
        "github.com/desenzhou/ShanghaiTechDataset",
        "GT_IMG_1.mat",
        "synthetic: made when it is asked for",
        "imagenet: NOT FOUND",
        "loader   dotally.data.BoxFolder",
    ):
        assert line in text


def test_names_are_unique_and_cover_everything_that_can_be_checked() -> None:
    names = [data_set.name for data_set in CATALOGUE]
    assert len(names) == len(set(names))
    assert set(VERIFIERS) <= set(names)


def test_sets_with_boxes_are_found_and_name_a_loader_that_exists(tmp_path: Path) -> None:
    (tmp_path / "VOCdevkit" / "VOC2012" / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "tiny" / "val").mkdir(parents=True)
    for name in ("wnids.txt", "val/val_annotations.txt"):
        (tmp_path / "tiny" / name).touch()
    text = render_catalogue(tmp_path)
    assert f"voc: {tmp_path / 'VOCdevkit' / 'VOC2012'}\n" in text
    assert f"tiny-imagenet: {tmp_path / 'tiny'}\n" in text
    assert "cub: NOT FOUND" in text
    for data_set in CATALOGUE:
        assert data_set.loader.removeprefix("dotally.data.") in dotally.data.__all__


def test_looking_for_data_does_not_import_lightning() -> None:
    code = "import sys, dotally.data.catalogue; sys.exit('pytorch_lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
