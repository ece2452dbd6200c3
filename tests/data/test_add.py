import io
import runpy
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dotally.cli import main
from dotally.data import PointFolder, layouts
from dotally.data.add import Known, Own, add
from dotally.data.catalogue import CATALOGUE
from dotally.data.find import find_folder
from dotally.data.shanghaitech_files import find_part
from dotally.data.verify import Report
from dotally.errors import DataError

Tree = Callable[..., Path]
SHANGHAITECH = Known("shanghaitech")
CROWDS = runpy.run_path(str(Path(__file__).parents[1] / "fabricated_crowds.py"))
# what a folder is recognised by, for the sets of thousands of files and those with boxes
SKELETONS = {
    "mall": ["mall_dataset/mall_gt.mat", "mall_dataset/frames/seq_000001.jpg"],
    "ucsd": ["ucsdpeds/vidf/vidf1_33_000.y/vidf1_33_000_f001.png", "vidf-cvpr/vidf1_33_roi_mainwalkway.mat"],
    "tiny-imagenet": ["tiny-imagenet-200/wnids.txt", "tiny-imagenet-200/val/val_annotations.txt"],
    "imagenet": ["ILSVRC2012_img_val/n01/1.JPEG", "ILSVRC2012_bbox_val_v3/val/n01/1.xml"],
    "voc": ["VOCdevkit/VOC2012/ImageSets/Main/train.txt"],
    "cub": [f"CUB_200_2011/{name}.txt" for name in ("images", "bounding_boxes", "train_test_split")],
}
TREES = {
    "ucf-cc-50": lambda folder: CROWDS["ucf_cc_50_tree"](folder / "UCF_CC_50", range(1, 4)),
    "ucf-qnrf": lambda folder: CROWDS["ucf_qnrf_tree"](folder, train=2, test=1),
    "nwpu-crowd": lambda folder: CROWDS["nwpu_crowd_tree"](folder, [1, 3098, 3110]),
    "jhu-crowd": lambda folder: CROWDS["jhu_crowd_tree"](folder, train=2),
    "world-expo": lambda folder: CROWDS["world_expo_tree"](folder / "WE", train_scenes=1),
    "trancos": lambda folder: CROWDS["trancos_tree"](folder, pictures=1),
    "carpk": lambda folder: CROWDS["carpk_tree"](folder, train=2, test=2),
    "mtc": lambda folder: CROWDS["mtc_tree"](folder, train=2, test=1),
}


@pytest.fixture
def source(shanghaitech_tree: Tree, tmp_path: Path) -> Path:
    """A tree some folders deeper than it should be, as archives have it."""
    return shanghaitech_tree(tmp_path / "Downloads" / "one" / "ShanghaiTech", train=2, test=1).parents[1]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def packed(source: Path, suffix: str) -> Path:
    archive = source.parent / f"set{suffix}"
    files = [path for path in sorted(source.rglob("*")) if path.is_file()]
    if suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as writer:
            for path in files:
                writer.write(path, path.relative_to(source))
            writer.writestr("__MACOSX/part_A/train_data/images/._IMG_1.jpg", "resource fork")
    else:
        with tarfile.open(archive, "w:gz" if suffix.endswith("gz") else "w") as writer:
            writer.add(source, "set")
    return archive


def everything_below(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_a_folder_is_linked_to(source: Path, root: Path) -> None:
    added = add(SHANGHAITECH, [source], root)
    assert added.folder == root / "shanghaitech"
    assert (added.folder / "part_A").is_symlink()
    assert (added.folder / "part_B").resolve() == source / "one" / "ShanghaiTech" / "part_B"
    assert len(find_part([root], "A").pairs("train")) == 2
    # compared with what is known of the real set, nearly all of this tiny one is missing
    assert "train: 2 of 300 pictures" in added.report.render()


def test_adding_the_same_folder_again_changes_nothing(source: Path, root: Path) -> None:
    add(SHANGHAITECH, [source], root)
    before = everything_below(root)
    add(SHANGHAITECH, [source], root)
    assert everything_below(root) == before


def test_a_folder_that_is_in_the_root_already_is_only_checked(source: Path) -> None:
    before = everything_below(source)
    assert "train: 2 of 300" in add(SHANGHAITECH, [source / "one"], source / "one").report.render()
    assert everything_below(source) == before


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
@pytest.mark.parametrize("release", ["part_A", "final"])
def test_archives_of_both_releases_are_unpacked(
    suffix: str, release: str, shanghaitech_tree: Tree, tmp_path: Path, root: Path
) -> None:
    tree = shanghaitech_tree(tmp_path / "Downloads" / "x" / "ShanghaiTech", release, train=2, test=1).parent
    add(SHANGHAITECH, [packed(tree, suffix)], root)
    names = {path.name for path in (root / "shanghaitech").iterdir()}
    assert names == ({"part_A_final", "part_B_final"} if release == "final" else {"part_A", "part_B"})
    for part in ("A", "B"):
        folder = find_part([root], part)
        for split, number in (("train", 2), ("test", 1)):
            for pair in folder.pairs(split):
                assert all(path.read_bytes() for path in pair)
            assert len(folder.pairs(split)) == number
    original = next(tree.rglob("part_A*/train_data/images/IMG_1.jpg"))
    assert find_part([root], "A").pictures("train")[1].read_bytes() == original.read_bytes()


def test_the_other_part_may_come_later(shanghaitech_tree: Tree, tmp_path: Path, root: Path) -> None:
    for part in ("A", "B"):
        report = add(SHANGHAITECH, [shanghaitech_tree(tmp_path / part, parts=(part,))], root).report
    assert "not found" not in report.render()


def test_another_copy_of_a_part_is_refused(source: Path, root: Path, shanghaitech_tree: Tree, tmp_path: Path) -> None:
    add(SHANGHAITECH, [source], root)
    before = everything_below(root)
    other = shanghaitech_tree(tmp_path / "other", "final", train=1, test=1)
    for what in (other, packed(other, ".zip")):
        with pytest.raises(DataError, match=r"part A is already at .*root/shanghaitech/part_A; remove that first"):
            add(SHANGHAITECH, [what], root)
    assert everything_below(root) == before


def test_a_dead_link_in_the_way_is_named(source: Path, root: Path) -> None:
    (root / "shanghaitech").mkdir(parents=True)
    (root / "shanghaitech" / "part_B").symlink_to(root / "gone")
    with pytest.raises(DataError, match="part_B is in the way"):
        add(SHANGHAITECH, [source], root)
    # part A was free, but a set is added whole or not at all
    assert [path.name for path in (root / "shanghaitech").iterdir()] == ["part_B"]


def test_an_archive_without_a_part_leaves_nothing(tmp_path: Path, root: Path) -> None:
    (tmp_path / "holiday" / "pictures").mkdir(parents=True)
    (tmp_path / "holiday" / "pictures" / "a.jpg").touch()
    for what in (tmp_path / "holiday", packed(tmp_path / "holiday", ".zip")):
        with pytest.raises(DataError, match="holds no shanghaitech; `dotally data list` shows"):
            add(SHANGHAITECH, [what], root)
    assert everything_below(root) == []


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_truncated_archive_leaves_nothing(suffix: str, share: float, source: Path, root: Path) -> None:
    archive = packed(source, suffix)
    archive.write_bytes(archive.read_bytes()[: int(archive.stat().st_size * share)])
    with pytest.raises(DataError, match=r"set\.(zip: a zip archive without its end|tar\.gz: damaged)"):
        add(SHANGHAITECH, [archive], root)
    assert everything_below(root) == []


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "a/../../escaped", "..\\escaped", "C:\\escaped"])
@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_members_that_leave_the_folder_are_refused(name: str, suffix: str, root: Path, tmp_path: Path) -> None:
    archive = tmp_path / f"bad{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as writer:
            writer.writestr(name, "content")
    else:
        with tarfile.open(archive, "w") as tar:
            member = tarfile.TarInfo(name)
            member.size = 7
            tar.addfile(member, io.BytesIO(b"content"))
    with pytest.raises(DataError, match="leaves the folder"):
        add(SHANGHAITECH, [archive], root)
    assert everything_below(root) == []
    assert not list(tmp_path.rglob("*escaped*"))


@pytest.mark.parametrize("kind", ["zip link", "tar link", "tar hard link", "tar device"])
def test_links_and_devices_in_archives_are_refused(kind: str, root: Path, tmp_path: Path) -> None:
    archive = tmp_path / "bad.archive"
    if kind == "zip link":
        with zipfile.ZipFile(archive, "w") as writer:
            info = zipfile.ZipInfo("part_A")
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            writer.writestr(info, "/etc")
    else:
        with tarfile.open(archive, "w") as tar:
            member = tarfile.TarInfo("part_A")
            member.type = {"tar link": tarfile.SYMTYPE, "tar hard link": tarfile.LNKTYPE}.get(kind, tarfile.CHRTYPE)
            member.linkname = "/etc"
            tar.addfile(member)
    with pytest.raises(DataError, match="'part_A' is a link"):
        add(SHANGHAITECH, [archive], root)
    assert everything_below(root) == []


def test_archives_that_unpack_to_too_much_are_refused(tmp_path: Path, root: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as writer:
        for number in range(3):
            writer.writestr(f"{number}.jpg", bytes(2_000_000))
    with pytest.raises(DataError, match=r"more than 0\.005 GB"):
        add(SHANGHAITECH, [tmp_path / "bomb.zip"], root, max_gigabytes=0.005)
    assert everything_below(root) == []


def test_sources_and_names_that_mean_nothing_are_refused(tmp_path: Path, root: Path) -> None:
    (tmp_path / "notes.txt").write_text("no archive")
    with pytest.raises(DataError, match="neither a zip nor a tar"):
        add(SHANGHAITECH, [tmp_path / "notes.txt"], root)
    with pytest.raises(DataError, match=r"absent\.zip: no such file"):
        add(SHANGHAITECH, [tmp_path / "absent.zip"], root)
    with pytest.raises(DataError, match="do not know how to add 'shangai'"):
        Known("shangai")


def test_a_root_that_cannot_be_written_to_says_so(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"could not be added to .*file"):
        add(SHANGHAITECH, [source], tmp_path / "file")


@pytest.mark.parametrize("name", TREES)
def test_archives_and_folders_of_every_crowd_are_found_and_verified(name: str, tmp_path: Path, root: Path) -> None:
    TREES[name](tmp_path / "Downloads" / "deep")
    unpacked = add(Known(name), [packed(tmp_path / "Downloads", ".zip")], root)
    linked = add(Known(name), [tmp_path / "Downloads"], tmp_path / "other root")
    assert [path.parent for path in (root / name).iterdir()] == [unpacked.folder]
    assert not any(path.is_symlink() for path in (root / name).iterdir())
    assert all(path.is_symlink() for path in (tmp_path / "other root" / name).iterdir())
    for added in (unpacked, linked):  # tiny, so far from whole, but read to the last head
        assert "heads" in added.report.render()
        assert not added.report.problems["damaged"]
    # its loader looks no deeper
    assert find_folder([root], layouts._RECOGNISED[name], what="it", tree="", depth=2)
    before = everything_below(root)
    with pytest.raises(DataError, match=f"{name} is already at"):
        add(Known(name), [tmp_path / "Downloads"], root)
    assert everything_below(root) == before


@pytest.mark.parametrize("name", SKELETONS)
def test_every_other_set_goes_where_it_is_found_again(
    name: str, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(layouts, "verify", lambda name, roots: asked.append((name, roots)) or Report(name=name))
    for file in SKELETONS[name]:
        (tmp_path / "x" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "x" / file).touch()
    add(Known(name), [packed(tmp_path / "x", ".tar.gz")], root)
    ((checked, (folder,)),) = asked
    assert checked == name
    assert find_folder([root], layouts._RECOGNISED[name], what="it", tree="", depth=2) == folder
    assert folder.parent == root / name


def test_all_sets_that_need_adding_can_be_added() -> None:
    made = {"synthetic", "synthetic-shapes", "point-folder", "box-folder"}
    assert set(layouts.ADDABLE) == {data_set.name for data_set in CATALOGUE} - made
    assert set(TREES) | set(SKELETONS) | {"shanghaitech"} == set(layouts.ADDABLE)


def test_archives_that_belong_together_are_added_together(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layouts, "verify", lambda name, roots: Report(name=name))
    archives = []
    for file in SKELETONS["ucsd"]:
        half = tmp_path / file.split("/")[0] / file
        half.parent.mkdir(parents=True)
        half.touch()
        archives.append(packed(tmp_path / file.split("/")[0], ".zip").rename(tmp_path / f"{len(archives)}.zip"))
    with pytest.raises(DataError, match="archives that belong together are named together"):
        add(Known("ucsd"), archives[:1], root)
    assert everything_below(root) == []
    add(Known("ucsd"), archives, root)
    assert {path.name for path in (root / "ucsd" / "ucsd").iterdir()} == {"ucsdpeds", "vidf-cvpr"}


def test_years_of_voc_lie_side_by_side(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "verify", lambda name, roots: Report(name=name, found=[roots[0].name]))
    for year in ("VOC2007", "VOC2012"):
        (tmp_path / year / "VOCdevkit" / year / "ImageSets" / "Main").mkdir(parents=True)
        assert add(Known("voc"), [tmp_path / year], root).report.found == [year]
    assert {path.name for path in (root / "voc").iterdir()} == {"VOC2007", "VOC2012"}


def test_the_wrong_archive_is_one_line_that_names_the_right_command(tmp_path: Path, root: Path) -> None:
    archive = packed(TREES["jhu-crowd"](tmp_path / "x").parent, ".zip")
    with pytest.raises(
        DataError, match=r"set\.zip: holds no ucf-qnrf; it looks like jhu-crowd: dotally data add jhu"
    ) as it:
        add(Known("ucf-qnrf"), [archive], root)
    assert "\n" not in str(it.value)
    assert everything_below(root) == []


def test_a_set_that_cannot_be_checked_is_taken_back(tmp_path: Path, root: Path) -> None:
    base = TREES["trancos"](tmp_path / "x")
    (base / "image_sets" / "test.txt").write_text("../../elsewhere.jpg\n")
    for source in (tmp_path / "x", packed(tmp_path / "x", ".zip")):
        with pytest.raises(DataError, match="leaves"):
            add(Known("trancos"), [source], root)
        assert everything_below(root) == []
    assert base.is_dir()


def own(folder: Path) -> Path:
    for number in (1, 2):
        CROWDS["picture"](folder / f"{number}.jpg", CROWDS["points_of"](number))
    (folder / "dots.csv").write_text("file,x,y\n1.jpg,3,4\n2.jpg,5,6\n2.jpg,7,8\n")
    return folder


def test_pictures_of_ones_own_are_added_under_their_name(tmp_path: Path, root: Path) -> None:
    source = own(tmp_path / "x" / "my cells")
    added = add(Own(name="cells"), [source], root)
    assert (root / "cells").is_symlink()
    assert added.report.ok
    assert "3 dots" in added.report.render()
    other = add(Own(name="more", format="csv"), [packed(source.parent, ".zip")], root)
    assert (root / "more" / "dots.csv").is_file()
    assert other.report.found == added.report.found
    with pytest.raises(DataError, match="cells is already at"):
        add(Own(name="cells"), [packed(source.parent, ".tar")], root)


def test_what_was_added_is_found_by_its_name(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own(tmp_path / "x")
    monkeypatch.chdir(tmp_path)
    assert main(["data", "add", "cells", "x", "--from", "csv", "--data-root", str(root)]) == 0
    capsys.readouterr()
    assert main(["data", "verify", "cells", "--data-root", str(root)]) == 0
    assert "2 pictures, 1 files of annotations as csv: 3 dots" in capsys.readouterr().out
    convert = ["data", "convert", "cells", "--to", "json", "--out", "out", "--data-root", str(root)]
    assert main(convert) == 0
    monkeypatch.setenv("DOTALLY_DATA_ROOT", str(root))
    assert len(PointFolder("cells").pictures()) == len(PointFolder("out").pictures()) == 2


def test_pictures_of_ones_own_without_dots_leave_nothing(tmp_path: Path, root: Path) -> None:
    source = own(tmp_path / "x")
    (source / "dots.csv").unlink()
    for what in (source, packed(source, ".zip")):
        with pytest.raises(DataError, match="no annotations in a format that is known"):
            add(Own(name="cells"), [what], root)
    assert everything_below(root) == []
    for name in ("voc", "../up", ".hidden", "a/b"):
        with pytest.raises(DataError, match=r"leave out --from|is no name"):
            Own(name=name)


def test_a_folder_beside_others_is_refused(source: Path, root: Path) -> None:
    with pytest.raises(DataError, match="a folder is added alone"):
        add(SHANGHAITECH, [packed(source, ".zip"), source], root)
