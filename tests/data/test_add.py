import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dotally.data.add import add
from dotally.data.shanghaitech_files import find_part
from dotally.errors import DataError

Tree = Callable[..., Path]


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
    added = add("shanghaitech", source, root)
    assert added.folder == root / "shanghaitech"
    assert (added.folder / "part_A").is_symlink()
    assert (added.folder / "part_B").resolve() == source / "one" / "ShanghaiTech" / "part_B"
    assert len(find_part([root], "A").pairs("train")) == 2
    # compared with what is known of the real set, nearly all of this tiny one is missing
    assert "train: 2 of 300 pictures" in added.report.render()


def test_adding_the_same_folder_again_changes_nothing(source: Path, root: Path) -> None:
    add("shanghaitech", source, root)
    before = everything_below(root)
    add("shanghaitech", source, root)
    assert everything_below(root) == before


def test_a_folder_that_is_in_the_root_already_is_only_checked(source: Path) -> None:
    before = everything_below(source)
    assert "train: 2 of 300" in add("shanghaitech", source / "one", source / "one").report.render()
    assert everything_below(source) == before


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
@pytest.mark.parametrize("release", ["part_A", "final"])
def test_archives_of_both_releases_are_unpacked(
    suffix: str, release: str, shanghaitech_tree: Tree, tmp_path: Path, root: Path
) -> None:
    tree = shanghaitech_tree(tmp_path / "Downloads" / "x" / "ShanghaiTech", release, train=2, test=1).parent
    add("shanghaitech", packed(tree, suffix), root)
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
        report = add("shanghaitech", shanghaitech_tree(tmp_path / part, parts=(part,)), root).report
    assert "not found" not in report.render()


def test_another_copy_of_a_part_is_refused(source: Path, root: Path, shanghaitech_tree: Tree, tmp_path: Path) -> None:
    add("shanghaitech", source, root)
    before = everything_below(root)
    other = shanghaitech_tree(tmp_path / "other", "final", train=1, test=1)
    for what in (other, packed(other, ".zip")):
        with pytest.raises(DataError, match=r"part A is already at .*root/shanghaitech/part_A; remove that first"):
            add("shanghaitech", what, root)
    assert everything_below(root) == before


def test_a_dead_link_in_the_way_is_named(source: Path, root: Path) -> None:
    (root / "shanghaitech").mkdir(parents=True)
    (root / "shanghaitech" / "part_B").symlink_to(root / "gone")
    with pytest.raises(DataError, match="part_B is in the way"):
        add("shanghaitech", source, root)
    # part A was free, but a set is added whole or not at all
    assert [path.name for path in (root / "shanghaitech").iterdir()] == ["part_B"]


def test_an_archive_without_a_part_leaves_nothing(tmp_path: Path, root: Path) -> None:
    (tmp_path / "holiday" / "pictures").mkdir(parents=True)
    (tmp_path / "holiday" / "pictures" / "a.jpg").touch()
    for what in (tmp_path / "holiday", packed(tmp_path / "holiday", ".zip")):
        with pytest.raises(DataError, match="no part of ShanghaiTech was found"):
            add("shanghaitech", what, root)
    assert everything_below(root) == []


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_truncated_archive_leaves_nothing(suffix: str, share: float, source: Path, root: Path) -> None:
    archive = packed(source, suffix)
    archive.write_bytes(archive.read_bytes()[: int(archive.stat().st_size * share)])
    with pytest.raises(DataError, match=r"set\.(zip: a zip archive without its end|tar\.gz: damaged)"):
        add("shanghaitech", archive, root)
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
        add("shanghaitech", archive, root)
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
        add("shanghaitech", archive, root)
    assert everything_below(root) == []


def test_archives_that_unpack_to_too_much_are_refused(tmp_path: Path, root: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as writer:
        for number in range(3):
            writer.writestr(f"{number}.jpg", bytes(2_000_000))
    with pytest.raises(DataError, match=r"more than 0\.005 GB"):
        add("shanghaitech", tmp_path / "bomb.zip", root, max_gigabytes=0.005)
    assert everything_below(root) == []


def test_sources_and_names_that_mean_nothing_are_refused(tmp_path: Path, root: Path) -> None:
    (tmp_path / "notes.txt").write_text("no archive")
    with pytest.raises(DataError, match="neither a zip nor a tar"):
        add("shanghaitech", tmp_path / "notes.txt", root)
    with pytest.raises(DataError, match=r"absent\.zip: no such file"):
        add("shanghaitech", tmp_path / "absent.zip", root)
    with pytest.raises(DataError, match="do not know how to add 'shangai'"):
        add("shangai", tmp_path, root)


def test_a_root_that_cannot_be_written_to_says_so(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"could not be added to .*file"):
        add("shanghaitech", source, tmp_path / "file")
