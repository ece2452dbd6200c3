from collections.abc import Callable
from pathlib import Path

import pytest

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
    ):
        assert line in text


def test_names_are_unique_and_cover_everything_that_can_be_checked() -> None:
    names = [data_set.name for data_set in CATALOGUE]
    assert len(names) == len(set(names))
    assert set(VERIFIERS) <= set(names)
