"""The study "what changes this number" on a tiny fabricated ShanghaiTech."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from dotally.experiment.changes import RESULTS, read_studies
from dotally.models import build_model

FOLDER = Path(__file__).parents[2] / "experiments" / "studies"


@pytest.fixture
def study(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shanghaitech_tree: Callable[..., Path],
    write_mcnn_h5: Callable[..., None],
) -> ModuleType:
    """The script, with a data root and a checkout of its own."""
    root = tmp_path / "root"
    shanghaitech_tree(root / "shanghaitech", parts=("A", "B"), size=(45, 62))
    (root / "weights_mcnn").mkdir()
    write_mcnn_h5(root / "weights_mcnn" / "mcnn_shtechA_660.h5", build_model("mcnn"))
    more = "part,split,index,x,y,width,height\nA,test,1,-3,5,62,45\nA,test,1,-4,5,62,45\n"
    (root / "shanghaitech" / "final_release_out_of_image_points_test.txt").write_text(more)
    monkeypatch.setenv("DOTALLY_DATA_ROOT", str(root))
    monkeypatch.syspath_prepend(str(FOLDER))
    script = importlib.import_module("what_changes_the_number")
    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setattr(script, "begun", partial_begun(script))
    importlib.import_module("alterations").older_heads.cache_clear()
    return script


def partial_begun(script: ModuleType) -> Callable[..., object]:
    """Begin with counts of the fabricated pictures, not with the committed ones of the real set."""
    begun = script.begun
    return lambda name, subject: begun(name, replace(subject, known=None))


def test_each_choice_is_measured_once_and_kept(study: ModuleType, tmp_path: Path) -> None:
    study.measure(["mcnn-A/older-release", "mcnn-A/cut", "mcnn-A/map-4", "mcnn-A/mirrored"], [], "")
    (found,), _ = read_studies(tmp_path / RESULTS)
    by_name = {change.name: change for change in found.changes}
    assert list(by_name) == ["older-release", "map-4", "cut", "mirrored"]
    older, fewer = by_name["older-release"].true, by_name["map-4"].true
    assert older is not None
    assert fewer is not None
    assert [true - usual for true, usual in zip(older, found.true, strict=True)] == [2, 0, 0]
    assert all(0 < mass <= usual for mass, usual in zip(fewer, found.true, strict=True))
    assert by_name["cut"].predicted != found.predicted
    before = (tmp_path / RESULTS).stat().st_mtime_ns
    study.measure(["mcnn-A/cut"], [], "")
    assert (tmp_path / RESULTS).stat().st_mtime_ns == before


def test_sides_that_are_multiples_already_keep_their_count(study: ModuleType) -> None:
    answer = study.alter.to_multiples(2)
    assert answer.usual(next(study.mcnn("A").samples())[1]) is False  # 44 x 62 beside 44 x 60
    assert study.alter.to_multiples(4).usual(next(study.mcnn("A").samples())[1]) is True
