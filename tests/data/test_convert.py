from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from dotally.data.convert import convert_csrnet_h5
from dotally.data.official_target import official_density
from dotally.data.shanghaitech_files import PartFolder, find_part, read_points
from dotally.errors import AnnotationError, DataError
from dotally.ops import adaptive_sigma, render_density

Tree = Callable[..., Path]


@pytest.fixture(params=["A", "B"])
def part(request: pytest.FixtureRequest, shanghaitech_tree: Tree, tmp_path: Path) -> PartFolder:
    return find_part([shanghaitech_tree(tmp_path / "sets", train=2, test=1)], request.param)


def density(path: Path) -> np.ndarray:
    with h5py.File(path) as file:
        return file["density"][()]


def test_each_picture_gets_a_map_of_its_size_that_sums_to_its_heads(part: PartFolder, tmp_path: Path) -> None:
    written = convert_csrnet_h5(part, tmp_path / "out")
    assert [path.relative_to(tmp_path / "out" / f"part_{part.part}").as_posix() for path in written] == [
        "train_data/ground_truth/IMG_1.h5",
        "train_data/ground_truth/IMG_2.h5",
        "test_data/ground_truth/IMG_1.h5",
    ]
    pairs = part.pairs("train") + part.pairs("test")
    for path, (picture, annotation) in zip(written, pairs, strict=True):
        found = density(path)
        assert found.dtype == np.float32
        assert found.shape == Image.open(picture).size[::-1]
        assert found.sum() == pytest.approx(len(read_points(annotation)), rel=1e-5)


def test_part_a_is_adaptive_and_part_b_fixed(part: PartFolder, tmp_path: Path) -> None:
    found = density(convert_csrnet_h5(part, tmp_path)[0])
    points = torch.from_numpy(read_points(part.annotations("train")[1]))
    expected = render_density(points, adaptive_sigma(points) if part.part == "A" else 15.0, (96, 128))
    assert np.allclose(found, expected, atol=1e-7)


def test_the_official_target_is_what_the_published_code_makes(part: PartFolder, tmp_path: Path) -> None:
    found = density(convert_csrnet_h5(part, tmp_path, target="official")[0])
    points = read_points(part.annotations("train")[1])
    expected = official_density(points, (96, 128), "adaptive" if part.part == "A" else 15.0)
    assert np.allclose(found, expected, atol=1e-7)


def test_heads_outside_the_picture_do_not_count(shanghaitech_tree: Tree, tmp_path: Path) -> None:
    plain = find_part([shanghaitech_tree(tmp_path / "plain", parts=("A",))], "A")
    final = find_part([shanghaitech_tree(tmp_path / "final", "final", parts=("A",))], "A")
    for one, other in zip(convert_csrnet_h5(plain, tmp_path), convert_csrnet_h5(final, tmp_path), strict=True):
        assert "part_A_final" in str(other)
        assert np.array_equal(density(one), density(other))


def test_an_interrupted_conversion_goes_on_where_it_stopped(part: PartFolder, tmp_path: Path) -> None:
    annotation = part.annotations("test")[1]
    content = annotation.read_bytes()
    annotation.write_bytes(content[:50])
    with pytest.raises(AnnotationError, match=r"GT_IMG_1\.mat"):
        convert_csrnet_h5(part, tmp_path / "out")
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == 2
    annotation.write_bytes(content)
    assert [path.parents[1].name for path in convert_csrnet_h5(part, tmp_path / "out")] == ["test_data"]
    assert convert_csrnet_h5(part, tmp_path / "out") == []


def test_maps_of_another_kind_are_never_mixed_or_overwritten(part: PartFolder, tmp_path: Path) -> None:
    first = convert_csrnet_h5(part, tmp_path)[0]
    with pytest.raises(DataError, match=r"IMG_1\.h5 is in the way: exact, not official"):
        convert_csrnet_h5(part, tmp_path, target="official")
    first.write_bytes(b"somebody's work")
    with pytest.raises(DataError, match=r"IMG_1\.h5 is in the way: no h5 file"):
        convert_csrnet_h5(part, tmp_path)
    assert first.read_bytes() == b"somebody's work"


@pytest.mark.real
def test_a_real_picture_keeps_its_heads(data_root: list[Path], tmp_path: Path) -> None:
    folder = find_part(data_root, "A")
    only = PartFolder(part="A", folder=tmp_path / "part_A", release=folder.release)
    for split in ("train", "test"):
        picture, annotation = folder.pairs(split)[0]
        for kind, path in (("images", picture), ("ground-truth", annotation)):
            link = tmp_path / "part_A" / f"{split}_data" / kind / path.name
            link.parent.mkdir(parents=True)
            link.symlink_to(path)
    sums = [density(path).sum() for path in convert_csrnet_h5(only, tmp_path / "out")]
    # heads of IMG_1 as counted on the real files
    assert sums == pytest.approx([1546, 172], rel=1e-5)
