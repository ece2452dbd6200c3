"""A packed file gives what its data set gives, however often its making was interrupted, and says when it does not."""

import pickle
import runpy
import warnings
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch.testing import assert_close

from dotally.cli import main
from dotally.data import UCFQNRF, Packed, PointFolder, ShanghaiTech, WorldExpo10
from dotally.data.crowd import SPLITS, CrowdDataModule
from dotally.data.pack import pack, source_of
from dotally.data.packed_file import PackedSplit
from dotally.data.sample import CrowdBatch
from dotally.data.sampling import Draw
from dotally.errors import DataError

CROWDS = runpy.run_path(str(Path(__file__).parents[1] / "fabricated_crowds.py"))
Tree = Callable[..., Path]


@pytest.fixture
def source(shanghaitech_tree: Tree, tmp_path: Path) -> ShanghaiTech:
    root = shanghaitech_tree(tmp_path / "root", parts=("A",), train=5, test=2)
    return ShanghaiTech("A", data_root=root, crop=64, batch_size=2)


def same(source: CrowdDataModule, packed: CrowdDataModule) -> None:
    for split in SPLITS:
        ours, theirs = source.dataset(split, source.augmentation), packed.dataset(split, packed.augmentation)
        assert len(ours) == len(theirs)
        assert ours.counts() == theirs.counts()
        for index in range(len(ours)):
            for one, other in ((ours[index], theirs[index]), (ours.load(index), theirs.load(index))):
                assert one.name == other.name
                assert one.adaptive == other.adaptive
                assert_close((one.image, one.points, one.sigma), (other.image, other.points, other.sigma))


def equal(one: CrowdBatch, other: CrowdBatch) -> None:
    one, other = dict(one), dict(other)
    assert one.pop("name") == other.pop("name")
    assert_close(one, other)


def test_crops_and_pictures_are_those_of_the_data_set(source: ShanghaiTech, tmp_path: Path) -> None:
    done = pack(source, tmp_path / "packs" / "a.h5")
    assert done.pictures == done.written == 6
    assert done.bytes == (tmp_path / "packs" / "a.h5").stat().st_size
    assert [path.name for path in (tmp_path / "packs").iterdir()] == ["a.h5"]
    same(source, Packed(tmp_path / "packs" / "a.h5", crop=64))


def test_any_reader_of_hdf5_opens_it(source: ShanghaiTech, tmp_path: Path) -> None:
    pack(source, tmp_path / "a.h5")
    first = source.dataset("test").load(0).image
    with h5py.File(tmp_path / "a.h5") as file:
        assert_close(torch.from_numpy(file["test/pixels"][: first.numel()]).view(first.shape), first)


# the machine may have fewer cores than workers
@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes")
def test_workers_read_the_same_batches(source: ShanghaiTech, tmp_path: Path) -> None:
    pack(source, tmp_path / "a.h5")
    batches = []
    for workers in (0, 2):
        module = Packed(tmp_path / "a.h5", crop=64, batch_size=2, num_workers=workers)
        module.setup("fit")
        list(module.val_dataloader())  # the parent has opened the file before it makes workers
        batches.append([module.on_after_batch_transfer(batch, 0) for batch in module.train_dataloader()])
    assert len(batches[0]) == len(batches[1]) == 1
    for one, other in zip(*batches, strict=True):
        equal(one, other)


def test_a_packed_split_travels_between_processes_without_its_pixels(source: ShanghaiTech, tmp_path: Path) -> None:
    pack(source, tmp_path / "a.h5")
    packed = PackedSplit(tmp_path / "a.h5", "test")
    before = packed.sample(0)
    assert len(pickle.dumps(packed)) < before.image.numel() / 4
    assert_close(pickle.loads(pickle.dumps(packed)).sample(0).image, before.image)


def test_what_is_handed_out_may_be_written_to(source: ShanghaiTech, tmp_path: Path) -> None:
    pack(source, tmp_path / "a.h5")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = Packed(tmp_path / "a.h5").dataset("test")
        dataset.load(0).image.zero_()
        module = Packed(tmp_path / "a.h5", crop=64)
        module.setup("fit")
        for seed in range(8):  # some of them mirrored
            module.train_set[Draw(0, seed)].image.zero_()
    assert dataset.load(0).image.any()
    assert module.train_set.load(0).image.any()


def test_an_interrupted_packing_goes_on(source: ShanghaiTech, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, done = PackedSplit.write, []

    def interrupted(self: PackedSplit, index: int, sample: object) -> None:
        if len(done) == 3:
            raise KeyboardInterrupt
        write(self, index, sample)
        done.append(index)

    out = tmp_path / "out" / "a.h5"
    monkeypatch.setattr(PackedSplit, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pack(source, out)
    assert not out.exists()
    with (out.parent / ".a.h5.part").open("r+b") as file:  # a picture that was cut off in the middle
        file.seek(PackedSplit(out.parent / ".a.h5.part", "train").places["pixels"] + 100)
        file.write(bytes(100))
    monkeypatch.undo()
    assert pack(source, out).written == 4
    same(source, Packed(out, crop=64))
    # and a whole one is checked
    assert pack(source, out).written == 0


def test_an_interrupted_packing_of_other_pictures_is_no_use(source: ShanghaiTech, tmp_path: Path) -> None:
    pack(source, tmp_path / "a.h5")
    smaller = ShanghaiTech("A", data_root=source.data_root, longest_side=50, crop=64)
    with pytest.raises(DataError, match=r"a\.h5 is in the way: packed from other pictures or settings"):
        pack(smaller, tmp_path / "a.h5")
    (tmp_path / "a.h5").rename(tmp_path / ".b.h5.part")
    assert pack(smaller, tmp_path / "b.h5").written == 6
    same(smaller, Packed(tmp_path / "b.h5", crop=64))


def test_regions_named_sizes_and_empty_pictures_survive(tmp_path: Path) -> None:
    CROWDS["world_expo_tree"](tmp_path / "we", train_scenes=3)
    CROWDS["ucf_qnrf_tree"](tmp_path / "qnrf", train=4, test=1, size=(300, 420))
    for name, source in (
        ("we", WorldExpo10(data_root=tmp_path / "we", crop=32, batch_size=2)),
        ("qnrf", UCFQNRF(data_root=tmp_path / "qnrf", resize=next(iter(UCFQNRF.fits)), crop=32, batch_size=2)),
    ):
        pack(source, tmp_path / f"{name}.h5")
        packed = Packed(tmp_path / f"{name}.h5", crop=32, batch_size=2)
        same(source, packed)
        for module in (source, packed):
            module.setup("test")
        for one, other in zip(source.test_dataloader(), packed.test_dataloader(), strict=True):
            equal(source.on_after_batch_transfer(one, 0), packed.on_after_batch_transfer(other, 0))


def test_what_pictures_were_packed_at_goes_into_the_checkpoint(source: ShanghaiTech, tmp_path: Path) -> None:
    pack(ShanghaiTech("A", data_root=source.data_root, longest_side=50), tmp_path / "small.h5")
    pack(source, tmp_path / "whole.h5")
    for name, asked, told in (("small", None, 50), ("small", 60, 50), ("whole", 40, 40), ("whole", None, None)):
        packed = Packed(tmp_path / f"{name}.h5", longest_side=asked)
        packed.dataset("test")
        assert packed.hparams["longest_side"] == told


def test_pictures_are_not_shrunk_twice(source: ShanghaiTech, tmp_path: Path) -> None:
    pack(ShanghaiTech("A", data_root=source.data_root, longest_side=50), tmp_path / "small.h5")
    with pytest.raises(DataError, match="packed with longest_side=50, and networks count otherwise in what is shrunk"):
        Packed(tmp_path / "small.h5", longest_side=40).setup("test")


def test_damage_is_found(source: ShanghaiTech, tmp_path: Path) -> None:
    out = tmp_path / "a.h5"
    pack(source, out)
    content = out.read_bytes()
    with out.open("r+b") as file:
        place = PackedSplit(out, "test").places["pixels"]
        file.seek(place)
        file.write(bytes([255 - content[place]]))
    with pytest.raises(DataError, match=r"IMG_1\.jpg is damaged; remove the file and pack it again"):
        pack(source, out)
    for broken, message in ((content[:-5000], "cut off|damaged"), (b"", "damaged"), (b"text", "damaged")):
        out.write_bytes(broken)
        with pytest.raises(DataError, match=message):
            Packed(out).setup("test")
    with h5py.File(out, "w") as file:
        file["x"] = np.zeros(3)
    with pytest.raises(DataError, match="not a file of `dotally data pack`"):
        Packed(out).setup("test")
    with pytest.raises(DataError, match="no such file; `dotally data pack NAME --out FILE`"):
        Packed(tmp_path / "absent.h5").setup("test")


def test_a_disk_that_is_too_small_is_found_out_before(
    source: ShanghaiTech, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dotally.data.pack.shutil.disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(DataError, match=r"GB are needed and 0\.0 GB free"):
        pack(source, tmp_path / "out" / "a.h5")
    assert list((tmp_path / "out").iterdir()) == []


def test_the_command_packs_folders_and_sets(
    source: ShanghaiTech, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = str(source.data_root), str(tmp_path / "a.h5")
    assert main(["data", "pack", "shanghaitech", "--data-root", root, "--out", out, "--set", "part=A"]) == 0
    assert "6 pictures" in capsys.readouterr().out
    own = tmp_path / "own"
    for number in range(5):
        CROWDS["picture"](own / f"{number}.jpg", CROWDS["points_of"](number))
    (own / "dots.csv").write_text("file,x,y\n" + "".join(f"{number}.jpg,3,4\n" for number in range(5)))
    assert main(["data", "pack", str(own), "--out", str(tmp_path / "own.h5"), "--set", "sigma=3", "format=csv"]) == 0
    same(PointFolder(own, sigma=3), Packed(tmp_path / "own.h5"))
    for arguments, message in (
        (["nothing"], "neither a folder nor a data set"),
        (["cub"], "only data sets that are counted are packed"),
        (["shanghaitech", "--set", "part=C"], "part must be 'A' or 'B'"),
        (["shanghaitech", "--set", "colour=1"], "colour"),
        (["shanghaitech", "--set", "part"], "KEY=VALUE"),
    ):
        assert main(["data", "pack", *arguments[:1], "--out", str(tmp_path / "no.h5"), *arguments[1:]]) == 2
        assert message in capsys.readouterr().err


def test_no_path_is_among_the_hyperparameters(tmp_path: Path) -> None:
    assert "file" not in Packed(tmp_path / "a.h5").hparams
    with pytest.raises(ValueError, match="official"):
        Packed(tmp_path / "a.h5", target="official")
    with pytest.raises(DataError, match="a setting is"):
        source_of("shanghaitech", ["=3"])


def test_a_training_reads_it(source: ShanghaiTech, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pack(source, tmp_path / "a.h5")
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--wandb=off"]
    network = ["--model.model_kwargs.width=0.015625", "--trainer.accelerator=cpu", "--trainer.max_epochs=1"]
    fit = ["fit", "--data=Packed", "--data.file=a.h5", "--data.crop=32", "--minutes=1", "--name=packed"]
    assert main([*fit, *network, *quiet]) == 0
    kept = torch.load("runs/fit/packed/checkpoints/best.ckpt", weights_only=True)
    assert "a.h5" not in str(kept["datamodule_hyper_parameters"])
