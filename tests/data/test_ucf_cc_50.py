"""UCF_CC_50: its five folds, and the real set in full."""

import runpy
from pathlib import Path

import pytest

from dotally.data import UCFCC50
from dotally.data.ucf_cc_50_files import UCF_CC_50, fold_numbers
from dotally.data.verify import verify
from dotally.errors import AnnotationError, DataError

FABRICATED = runpy.run_path(str(Path(__file__).parents[1] / "fabricated_crowds.py"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ucf")
    FABRICATED["ucf_cc_50_tree"](folder / "UCF_CC_50")
    return folder


@pytest.mark.parametrize("folds", ["order", "seed"])
def test_the_folds_test_every_picture_once(folds: str) -> None:
    tested = [fold_numbers(fold, folds) for fold in range(1, 6)]  # type: ignore[arg-type]
    assert [len(numbers) for numbers in tested] == [10] * 5
    assert sorted(n for numbers in tested for n in numbers) == list(range(1, 51))


def test_folds_in_order_are_tens_and_drawn_ones_depend_on_the_seed_alone() -> None:
    assert fold_numbers(2) == list(range(11, 21))
    assert fold_numbers(1, "seed", 3) == fold_numbers(1, "seed", 3) != fold_numbers(1, "seed", 4)


def test_a_fold_trains_on_36_validates_on_4_and_tests_on_10(root: Path) -> None:
    data = UCFCC50(3, data_root=root)
    names = {split: {record.name for record in data.dataset(split).records} for split in ("train", "val", "test")}
    assert {split: len(some) for split, some in names.items()} == {"train": 36, "val": 4, "test": 10}
    assert names["test"] == {f"{number}.jpg" for number in range(21, 31)}
    assert len(set.union(*names.values())) == 50


def test_pictures_are_grey_and_heads_lie_on_their_squares(root: Path) -> None:
    data = UCFCC50(1, data_root=root)
    data.setup("test")
    assert data.test_set.dropped() == 1
    for sample in data.test_set:
        assert bool((sample.image == sample.image[:1]).all())
        column, row = sample.points.long().T
        assert int(sample.image[:, row, column].max()) < 70  # JPEG blurs 30 with its surroundings


def test_sides_are_rounded_to_multiples_of_16_as_c3_does(root: Path) -> None:
    data = UCFCC50(1, data_root=root, resize="c3")
    data.setup("test")
    plain = UCFCC50(1, data_root=root).dataset("test")
    assert data.test_set[1].size == (48, 80)
    assert data.test_set[1].points[:, 0].tolist() == pytest.approx((plain[1].points[:, 0] * 80 / 72).tolist())


@pytest.mark.parametrize(
    ("options", "message"), [({"fold": 6}, "1 to 5"), ({"folds": "x"}, "order"), ({"resize": "x"}, "c3")]
)
def test_what_does_not_exist_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UCFCC50(**options)  # type: ignore[arg-type]


def test_there_is_no_official_validation() -> None:
    with pytest.raises(ValueError, match="UCF_CC_50 has no published validation pictures"):
        UCFCC50(split="official")


def test_a_lost_file_and_a_lost_set_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="UCF_CC_50 was not found"):
        UCFCC50(data_root=tmp_path).setup("fit")
    FABRICATED["ucf_cc_50_tree"](tmp_path / "set", range(1, 50))
    with pytest.raises(DataError, match=r"2 files are missing below .*, the first is 50\.jpg"):
        UCFCC50(data_root=tmp_path).setup("fit")


def test_a_mat_file_of_another_set_is_named(root: Path, tmp_path: Path) -> None:
    folder = FABRICATED["ucf_cc_50_tree"](tmp_path / "set")
    (folder / "7_ann.mat").write_bytes(b"MATLAB")
    with pytest.raises(AnnotationError, match=r"7_ann\.mat: not a readable mat file"):
        UCFCC50(data_root=tmp_path).dataset("test").counts()


@pytest.mark.real
def test_the_real_set_is_complete(data_root: list[Path]) -> None:
    records = UCF_CC_50.records(data_root, "all")
    counts = {record.name: len(UCF_CC_50.points(record)) for record in records}
    assert (len(counts), sum(counts.values())) == (50, 63_974)
    assert (min(counts.values()), max(counts.values())) == (counts["4.jpg"], counts["1.jpg"]) == (96, 4633)
    report = verify("ucf-cc-50", data_root)
    assert report.ok, report.render()
    assert "5 outside their picture" in report.render()
    assert "100 of 100 files have the checksums" in report.render()


@pytest.mark.real
def test_all_real_pictures_load(data_root: list[Path]) -> None:
    heads = pictures = 0
    for fold in range(1, 6):
        test_set = UCFCC50(fold, data_root=":".join(map(str, data_root))).dataset("test")
        for sample in test_set:
            assert sample.image.shape[0] == 3
            assert max(sample.size) <= 1024
            assert bool(sample.sigma.isfinite().all())
            heads, pictures = heads + len(sample.points), pictures + 1
    assert (pictures, heads) == (50, 63_974 - 5)
