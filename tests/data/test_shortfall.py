"""A download that stopped half way is heard of before anything is trained on it."""

import runpy
from collections.abc import Callable
from pathlib import Path

from dotally.data import CARPK, MTC, ShanghaiTech, SyntheticCrowd
from dotally.data.shanghaitech_files import known_facts
from dotally.data.shortfall import shortfall

FABRICATED = runpy.run_path(str(Path(__file__).parents[1] / "fabricated_crowds.py"))


def test_half_of_shanghaitech_is_said_to_be_half(shanghaitech_tree: Callable[..., Path], tmp_path: Path) -> None:
    shanghaitech_tree(tmp_path, train=3, test=2)
    assert shortfall(ShanghaiTech(part="B", data_root=tmp_path)) == (
        "ShanghaiTech B: only 3 of 400 train and 2 of 316 test pictures are here; `dotally data verify` lists what is "
        "missing"
    )


def test_all_of_shanghaitech_is_not_mentioned(tmp_path: Path) -> None:
    for split, facts in known_facts()["B"].items():
        images = tmp_path / "part_B" / f"{split}_data" / "images"
        images.mkdir(parents=True)
        for number in facts:
            (images / f"IMG_{number}.jpg").touch()
    assert shortfall(ShanghaiTech(part="B", data_root=tmp_path)) == ""


def test_other_published_sets_are_counted_too_unless_their_number_is_hearsay(tmp_path: Path) -> None:
    FABRICATED["mtc_tree"](tmp_path / "m", train=3, test=2)
    FABRICATED["carpk_tree"](tmp_path / "c", train=2, test=2)
    found = shortfall(MTC(data_root=tmp_path / "m"))
    assert found.startswith("MTC: only 3 of 186 train and 2 of 175 test pictures are here")
    assert shortfall(CARPK(data_root=tmp_path / "c")) == ""


def test_pictures_that_nobody_published_are_not_counted() -> None:
    assert shortfall(SyntheticCrowd(pictures=2, val_pictures=1, test_pictures=1)) == ""
    assert shortfall(None) == ""
