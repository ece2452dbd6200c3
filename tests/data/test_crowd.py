"""What all counting data sets share, shown on one of four small pictures of different sizes."""

import pickle
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor
from torch.testing import assert_close
from torch.utils.data import DataLoader

from dotally.data.crowd import CrowdDataModule
from dotally.data.crowd_dataset import CrowdDataset, Points, Record
from dotally.data.official_target import official_density, official_target
from dotally.data.sample import CrowdBatch
from dotally.data.sampling import Draw, SeededSampler
from dotally.data.transforms import Augmentation, QuarterPatches, RandomCrop
from dotally.errors import AnnotationError, PictureError
from dotally.ops import adaptive_sigma

SIZES = [(40, 61), (33, 48), (64, 64), (17, 90)]
OUTSIDE = [[-3.5, 4.0], [7.0, 200.0]]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Black pictures with one pixel of its own colour per head, and two heads outside each."""
    folder = tmp_path_factory.mktemp("toy")
    generator = np.random.default_rng(0)
    for number, (height, width) in enumerate(SIZES):
        cells = generator.permutation(height * width)[: 5 + 3 * number]
        column, row = cells % width, cells // width
        image = np.zeros((height, width, 3), np.uint8)
        image[row, column] = colours(len(cells))
        Image.fromarray(image).save(folder / f"{number}.png")
        inside = np.stack([column, row], axis=1) + generator.uniform(0, 0.99, (len(cells), 2))
        np.save(folder / f"{number}.npy", np.concatenate([inside, OUTSIDE]))
    return folder


def colours(heads: int) -> np.ndarray:
    return np.stack([np.arange(heads) + 1, np.full(heads, 255), 255 - np.arange(heads)], axis=1)


def records(folder: Path) -> list[Record]:
    return [
        Record(name=path.name, picture=path, annotation=path.with_suffix(".npy"))
        for path in sorted(folder.glob("*.png"))
    ]


def read_points(record: Record) -> Points:
    return np.load(record.annotation)


def dataset(folder: Path, **options: Any) -> CrowdDataset:
    return CrowdDataset(records(folder), read_points, **{"sigma": "adaptive", **options})


class Toy(CrowdDataModule):
    def __init__(self, data_root: Path, copies: int = 1, **options: Any) -> None:
        super().__init__(data_root, **{"crop": 16, "batch_size": 3, **options})
        self.copies = copies

    def dataset(self, split: str, augmentation: Augmentation | None = None) -> CrowdDataset:
        places = {"train": slice(3), "val": slice(3, 4), "test": slice(4)}
        chosen = records(Path(self.data_root))[places[split]] * self.copies
        return CrowdDataset(chosen, read_points, sigma="adaptive", augmentation=augmentation, **self.reading)


def batches(module: Toy, which: str = "train", epoch: int = 0) -> list[CrowdBatch]:
    module.setup()
    loader = getattr(module, f"{which}_dataloader")()
    if isinstance(loader.sampler, SeededSampler):
        loader.sampler.set_epoch(epoch)
    return [module.on_after_batch_transfer(batch, 0) for batch in loader]


def test_every_point_lies_on_its_head(folder: Path) -> None:
    for sample in dataset(folder):
        column, row = sample.points.long().T
        assert_close(sample.image[:, row, column].T, torch.from_numpy(colours(len(row))).to(torch.uint8))
        assert sample.image.dtype == torch.uint8
        assert sample.points.dtype == sample.sigma.dtype == torch.float32


def test_pictures_kept_in_memory_are_read_once_and_give_the_same_batches(folder: Path, tmp_path: Path) -> None:
    kept = Toy(Path(shutil.copytree(folder, tmp_path / "toy")), keep_in_memory=True)
    for epoch in range(2):
        for ours, theirs in zip(batches(kept, epoch=epoch), batches(Toy(folder), epoch=epoch), strict=True):
            assert_close(ours["image"], theirs["image"])
            assert_close(ours["density"], theirs["density"])
        kept.setup = lambda stage=None: None  # type: ignore[method-assign]  # the second epoch of the same data sets
        for picture in (tmp_path / "toy").glob("[012].png"):
            picture.unlink()


def test_heads_outside_are_dropped_and_reported(folder: Path) -> None:
    pictures = dataset(folder)
    assert pictures.counts() == [5, 8, 11, 14] == [len(sample.points) for sample in pictures]
    assert pictures.dropped() == 8


def test_heads_outside_can_be_clipped_onto_the_nearest_pixel(folder: Path) -> None:
    pictures = dataset(folder, outside="clip")
    assert pictures.counts() == [7, 10, 13, 16] == [len(sample.points) for sample in pictures]
    assert pictures.dropped() == 0
    for (height, _), sample in zip(SIZES, pictures, strict=True):
        assert sample.points[-2:].floor().tolist() == [[0, 4], [7, height - 1]]


def test_float32_does_not_push_a_head_over_the_border(folder: Path) -> None:
    edge = np.array([[61 - 1e-9, 40 - 1e-9]])
    pictures = CrowdDataset(records(folder)[:1], lambda _: edge, sigma=4.0)
    assert pictures[0].points.floor().tolist() == [[60, 39]]


def test_counts_know_how_a_picture_is_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "turned.jpg", exif=exif)
    record = Record(name="turned", picture=tmp_path / "turned.jpg", annotation=tmp_path / "none")
    pictures = CrowdDataset([record], lambda _: np.array([[10.0, 35.0], [35.0, 10.0]]), sigma=4.0)
    assert pictures[0].size == (40, 20)
    assert pictures.counts() == [1] == [len(pictures[0].points)]


def test_adaptive_sigma_is_that_of_the_whole_picture(folder: Path) -> None:
    whole = dataset(folder)[3]
    assert whole.adaptive
    assert_close(whole.sigma, adaptive_sigma(whole.points))
    patch = dataset(folder, augmentation=QuarterPatches())[3 * 18]
    assert 0 < len(patch.points) < len(whole.points)
    assert set(patch.sigma.tolist()) <= set(whole.sigma.tolist())


def test_fixed_sigma_stays_when_the_picture_is_scaled(folder: Path) -> None:
    sample = dataset(folder, sigma=15, longest_side=32)[2]
    assert sample.size == (32, 32)
    assert not sample.adaptive
    assert sample.sigma.equal(torch.full((11,), 15.0))


def test_pictures_are_scaled_down_to_the_longest_side_and_never_up(folder: Path) -> None:
    whole, limited = dataset(folder), dataset(folder, longest_side=64)
    assert [sample.size for sample in limited] == [(40, 61), (33, 48), (64, 64), (12, 64)]
    assert limited.counts() == [len(sample.points) for sample in limited]
    assert_close(limited[3].points, whole[3].points * torch.tensor([64 / 90, 12 / 17]))
    assert_close(limited[3].sigma, whole[3].sigma * (64 / 90 * 12 / 17) ** 0.5)


def test_the_published_map_is_made_of_the_points_as_annotated(folder: Path) -> None:
    sample = dataset(folder, official=True)[0]
    annotated = np.load(folder / "0.npy")
    assert sample.density is not None
    assert_close(sample.density, official_density(annotated, (40, 61), "adaptive"))
    assert not sample.density.equal(official_density(annotated[:-2], (40, 61), "adaptive"))


def test_a_draw_decides_the_augmentation(folder: Path) -> None:
    crops = dataset(folder, augmentation=RandomCrop(16))
    assert crops[Draw(2, seed=5)].image.equal(crops[Draw(2, seed=5)].image)
    assert not crops[Draw(2, seed=5)].image.equal(crops[Draw(2, seed=6)].image)
    assert dataset(folder)[Draw(2, seed=5)].image.equal(dataset(folder)[2].image)


def test_patches_multiply_the_data_set(folder: Path) -> None:
    patches = dataset(folder, augmentation=QuarterPatches())
    assert len(patches) == 4 * 18
    assert {patches[index].name for index in range(18, 36)} == {"1.png"}
    assert len(list(patches)) == 72


def test_broken_files_are_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "torn.png").write_bytes((folder / "0.png").read_bytes()[:20])
    torn = Record(name="torn", picture=tmp_path / "torn.png", annotation=tmp_path / "nan.npy")
    with pytest.raises(PictureError, match=r"torn\.png"):
        CrowdDataset([torn], lambda _: np.zeros((0, 2)), sigma=4.0).counts()
    with pytest.raises(PictureError, match=r"torn\.png"):
        CrowdDataset([torn], lambda _: np.zeros((0, 2)), sigma=4.0).load(0)
    with pytest.raises(AnnotationError, match=r"nan\.npy: holds coordinates that are not finite"):
        CrowdDataset([torn], lambda _: np.array([[1, np.nan]]), sigma=4.0).counts()


@pytest.mark.parametrize("wrong", [{"outside": "keep"}, {"longest_side": 0}, {"longest_side": 9, "official": True}])
def test_senseless_options_of_a_data_set_are_refused(folder: Path, wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        dataset(folder, **wrong)


def test_the_mass_of_a_whole_picture_is_its_count(folder: Path) -> None:
    (batch,) = batches(Toy(folder, augmentation="none"))
    assert batch["density"].shape == batch["mask"].shape == (3, 1, 8, 8)
    assert sorted(batch["count"].tolist()) == [5, 8, 11]
    assert_close(batch["density"].sum(dim=(1, 2, 3)), batch["count"].float())
    assert not batch["density"][batch["mask"] == 0].any()


def test_the_mass_of_a_crop_is_its_count(folder: Path) -> None:
    for epoch in range(5):
        (batch,) = batches(Toy(folder), epoch=epoch)
        assert batch["image"].shape == (3, 3, 16, 16)
        assert_close(batch["density"].sum(dim=(1, 2, 3)), batch["count"].float())


def test_the_target_is_rendered_where_the_batch_is(folder: Path, device: torch.device) -> None:
    module = Toy(folder, augmentation="none")
    module.setup("fit")
    batch = module.transfer_batch_to_device(next(iter(module.train_dataloader())), device, 0)
    batch = module.on_after_batch_transfer(batch, 0)
    assert {batch[key].device.type for key in ("image", "density", "mask", "count")} == {device.type}
    assert_close(batch["density"].sum(dim=(1, 2, 3)), batch["count"].float())


def test_losing_mass_at_the_border_is_an_option(folder: Path) -> None:
    (batch,) = batches(Toy(folder, augmentation="none", border="lose"))
    assert bool((batch["density"].sum(dim=(1, 2, 3)) < batch["count"]).all())


def test_a_batch_equals_its_items(folder: Path) -> None:
    (together,) = batches(Toy(folder, augmentation="none"))
    alone = {batch["name"][0]: batch for batch in batches(Toy(folder, augmentation="none", batch_size=1))}
    for i, name in enumerate(together["name"]):
        item = alone[name]
        rows, columns = item["density"].shape[2:]
        assert together["size"][i].equal(item["size"][0])
        assert together["mask"][i, :, :rows, :columns].equal(item["mask"][0])
        assert_close(together["density"][i, :, :rows, :columns], item["density"][0])
        assert together["image"][i, :, : rows * 8, : columns * 8].equal(item["image"][0])


def test_validation_takes_whole_pictures_one_by_one(folder: Path) -> None:
    (batch,) = batches(Toy(folder), "val")
    assert batch["size"].tolist() == [[17, 90]]
    assert batch["image"].shape == (1, 3, 24, 96)
    assert batch["count"].tolist() == [14]


@pytest.mark.parametrize("stride", [1, 4, 16])
def test_the_map_has_the_stride_of_the_network(folder: Path, stride: int) -> None:
    (batch,) = batches(Toy(folder, augmentation="none", stride=stride))
    height, width = batch["image"].shape[2:]
    assert batch["density"].shape == (3, 1, height // stride, width // stride)
    assert (height, width) == tuple(-(-64 // stride) * stride for _ in range(2))


def test_the_official_target_is_neither_padded_nor_moved(folder: Path) -> None:
    module = Toy(folder, target="official", augmentation="none", batch_size=1)
    for batch in batches(module):
        height, width = batch["size"][0].tolist()
        assert batch["image"].shape == (1, 3, height, width)
        annotated = np.load(folder / batch["name"][0].replace("png", "npy"))
        expected = official_target(official_density(annotated, (height, width), "adaptive"))
        assert_close(batch["density"], expected[None])
        assert batch["mask"].equal(torch.ones(1, 1, height // 8, width // 8))


def test_the_official_target_is_cropped_with_its_picture(folder: Path) -> None:
    (batch,) = batches(Toy(folder, target="official"))
    assert batch["density"].shape == (3, 1, 2, 2)


def digest(batch: CrowdBatch) -> tuple[tuple[str, ...], bytes]:
    return tuple(batch["name"]), batch["image"].numpy().tobytes()


def test_workers_change_nothing(folder: Path) -> None:
    alone, helped = (
        [digest(batch) for epoch in (0, 1) for batch in batches(module, epoch=epoch)]
        for module in (Toy(folder, copies=4), Toy(folder, copies=4, num_workers=2))
    )
    assert alone == helped
    assert len(set(alone)) == 8


def test_loading_leaves_the_global_generator_alone(folder: Path) -> None:
    state = torch.get_rng_state()
    batches(Toy(folder))
    batches(Toy(folder), "val")
    assert torch.get_rng_state().equal(state)


def test_data_sets_can_be_sent_to_spawned_workers(folder: Path) -> None:
    crops = dataset(folder, augmentation=RandomCrop(16))
    assert pickle.loads(pickle.dumps(crops))[1].image.equal(crops[1].image)


def test_an_incomplete_batch_is_left_out_unless_it_is_the_only_one(folder: Path) -> None:
    assert [len(batch["name"]) for batch in batches(Toy(folder, batch_size=2))] == [2]
    assert [len(batch["name"]) for batch in batches(Toy(folder, batch_size=4))] == [3]


@pytest.mark.parametrize("copies", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_the_batches_of_all_processes_are_together_those_of_one(folder: Path, copies: int, batch_size: int) -> None:
    def drawn(batch_size: int, share: dict[str, int] | None) -> list[list[Draw]]:
        module = Toy(folder, copies, batch_size=batch_size)
        module.trainer = SimpleNamespace(distributed_sampler_kwargs=share)
        module.setup("fit")
        loader = module.train_dataloader()
        loader.sampler.set_epoch(5)
        return list(loader.batch_sampler)

    shares = [drawn(batch_size, {"num_replicas": 2, "rank": rank}) for rank in range(2)]
    together = [{*first, *second} for first, second in zip(*shares, strict=True)]
    assert together == [set(batch) for batch in drawn(2 * batch_size, None)]


class Recorder(LightningModule):
    """Learns nothing and remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[int, tuple[tuple[str, ...], bytes]]] = []

    def training_step(self, batch: CrowdBatch, batch_idx: int) -> Tensor:
        assert_close(batch["density"].sum(dim=(1, 2, 3)), batch["count"].float())
        self.seen.append((self.current_epoch, digest(batch)))
        return self.weight.sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_resumed_training_sees_what_the_straight_one_sees(folder: Path, tmp_path: Path) -> None:
    trainer = partial(Trainer, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    straight, begun, resumed = Recorder(), Recorder(), Recorder()
    trainer(max_epochs=4, enable_checkpointing=False).fit(straight, datamodule=Toy(folder, copies=2))
    first = trainer(max_epochs=2, default_root_dir=tmp_path)
    first.fit(begun, datamodule=Toy(folder, copies=2))
    first.save_checkpoint(tmp_path / "half.ckpt")
    trainer(max_epochs=4, enable_checkpointing=False).fit(
        resumed, datamodule=Toy(folder, copies=2), ckpt_path=tmp_path / "half.ckpt"
    )
    assert begun.seen + resumed.seen == straight.seen
    assert len({seen for _, seen in straight.seen}) == 8


def test_hyperparameters_are_what_is_learnt_from_not_where_it_lies(folder: Path) -> None:
    hyperparameters = dict(Toy(folder, copies=2, scale=(0.5, 1.5), num_workers=0).hparams)
    assert hyperparameters["copies"] == 2  # of the subclass
    assert hyperparameters["scale"] == (0.5, 1.5)
    assert hyperparameters["stride"] == 8
    assert not {"data_root", "num_workers", "pin_memory"} & set(hyperparameters)
    assert str(folder) not in str(hyperparameters)


def test_the_fingerprint_is_that_of_names_and_points(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    fingerprint = Toy(folder).fingerprint()
    assert len(fingerprint) == 64
    assert Toy(tmp_path, batch_size=7).fingerprint() == fingerprint
    points = np.load(tmp_path / "3.npy")
    points[0, 0] += 1e-9
    np.save(tmp_path / "3.npy", points)
    assert Toy(tmp_path).fingerprint() != fingerprint


@pytest.mark.parametrize(
    "wrong",
    [
        {"augmentation": "flip"},
        {"target": "density"},
        {"split": "random"},
        {"val_fraction": 1.0},
        {"scale": (0.5, 1.0), "target": "official"},
        {"longest_side": 512, "target": "official"},
        {"border": "reflect"},
    ],
)
def test_senseless_options_of_a_data_module_are_refused(folder: Path, wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Toy(folder, **wrong)


def test_a_data_module_must_say_what_its_splits_are() -> None:
    with pytest.raises(TypeError, match=r"CrowdDataModule.*dataset"):
        CrowdDataModule()


def test_batches_are_loaded_by_a_plain_loader(folder: Path) -> None:
    module = Toy(folder)
    module.setup("fit")
    assert isinstance(module.train_dataloader(), DataLoader)
    assert not hasattr(module, "test_set")
