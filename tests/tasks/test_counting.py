"""The counting task on a tiny fabricated ShanghaiTech: real files, real Trainer, seconds."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, Trainer
from torch.optim import Optimizer
from torch.testing import assert_close

from dotally.data import ShanghaiTech
from dotally.data.sample import CrowdBatch
from dotally.errors import TrainingError, WeightsError
from dotally.losses import LOSSES
from dotally.tasks import CountingTask

TINY = {"width": 1 / 64, "init": "he"}
PLAIN = (str, int, float, bool, dict, type(None))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, shanghaitech_tree: Callable[..., Path]) -> Path:
    """Four training and three test pictures of 64x96."""
    return shanghaitech_tree(tmp_path_factory.mktemp("shanghaitech"), parts=("A", "B"), size=(64, 96))


@pytest.fixture(scope="module")
def odd_tree(tmp_path_factory: pytest.TempPathFactory, shanghaitech_tree: Callable[..., Path]) -> Path:
    """Pictures of 45x62, sides that no stride divides."""
    return shanghaitech_tree(tmp_path_factory.mktemp("odd"), parts=("B",), size=(45, 62))


def crowd(tree: Path, **options: Any) -> ShanghaiTech:
    chosen = {"part": "B", "sigma": 4.0, "crop": 32, "batch_size": 2, "val_fraction": 0.3, **options}
    return ShanghaiTech(data_root=tree, **chosen)


class Rates(Callback):
    """Note the learning rate of every step."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: CountingTask, optimizer: Optimizer) -> None:
        self.seen.append(optimizer.param_groups[0]["lr"])


def tiny(**options: Any) -> CountingTask:
    torch.manual_seed(0)
    return CountingTask(**{"model_kwargs": TINY, "loss": "scaled_mean_square", "lr": 1e-6, **options})


def trainer(**options: Any) -> Trainer:
    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    chosen = dict.fromkeys(quiet, False) | {"accelerator": "cpu", "num_sanity_val_steps": 0, "max_epochs": 1}
    return Trainer(**chosen | options)


def batch_of(tree: Path, **options: Any) -> CrowdBatch:
    """One batch of whole training pictures, with its target."""
    data = crowd(tree, augmentation="none", **options)
    data.setup("fit")
    return data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)


def test_one_picture_can_be_overfitted(tree: Path) -> None:
    data = crowd(tree, augmentation="none", batch_size=1)
    task = tiny(model_kwargs={"width": 1 / 16, "batch_norm": True}, density_scale=10.0, optimizer="adamw", lr=1e-2)
    batch = batch_of(tree, batch_size=1)
    data.setup("fit")
    index = [record.name for record in data.train_set.records].index(batch["name"][0])
    data.train_set.records = [data.train_set.records[index]]
    data.setup = lambda stage=None: None  # keep the one picture
    trainer(max_epochs=120, limit_val_batches=0).fit(task, data)
    with torch.no_grad():
        # in training mode, since with one picture the running statistics of batch norm are not its own
        density = task.train()(batch["image"], batch["size"])
    assert batch["count"].item() >= 5
    assert density.sum().item() == pytest.approx(batch["count"].item(), abs=0.5)
    assert (density - batch["density"]).abs().mean() < 0.25 * batch["density"].mean()


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_every_loss_gives_finite_gradients(loss: str, tree: Path) -> None:
    task = tiny(loss=loss)
    value = task.loss(*_maps(task, batch_of(tree)))
    value.backward()
    gradients = [parameter.grad for parameter in task.parameters()]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert any(gradient.abs().max() > 0 for gradient in gradients)


def _maps(task: CountingTask, batch: CrowdBatch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return task(batch["image"], batch["size"]), batch["density"], batch["mask"]


@pytest.mark.parametrize(
    ("argument", "value"), [("loss", "nonsense"), ("preprocessing", "nonsense"), ("model", "nonsense")]
)
def test_an_unknown_choice_is_refused_with_those_there_are(argument: str, value: str) -> None:
    with pytest.raises(ValueError, match=value):
        CountingTask(**{argument: value})


@pytest.mark.parametrize(
    ("augmentation", "target", "part"),
    [
        ("patches", "official", "B"),
        ("none", "official", "B"),
        ("patches", "exact", "A"),
        ("crop", "exact", "A"),
    ],
)
def test_it_trains_and_tests_with(augmentation: str, target: str, part: str, tree: Path) -> None:
    sigma = "adaptive" if part == "A" else 15.0
    data = crowd(tree, augmentation=augmentation, target=target, part=part, sigma=sigma, batch_size=1)
    task, run = tiny(), trainer()
    before = copy.deepcopy(task.model.state_dict())
    run.fit(task, data)
    assert any(not torch.equal(before[name], value) for name, value in task.model.state_dict().items())
    assert torch.isfinite(run.callback_metrics["train/loss"])
    assert torch.isfinite(run.callback_metrics["val/mae"])
    figures = run.test(task, data, verbose=False)[0]
    assert {"test/mae", "test/rmse", "test/bias", "test/game0", "test/game3"} <= set(figures)


def test_a_loss_that_is_not_finite_names_the_picture_and_the_remedy(tree: Path) -> None:
    batch = batch_of(tree)
    batch["density"] = batch["density"] * float("nan")
    with pytest.raises(TrainingError, match=rf"loss became nan.*{batch['name'][0]}.*lower lr \(now 1e-06\)"):
        tiny().training_step(batch, 0)


def test_a_checkpoint_rebuilds_the_task(tree: Path, tmp_path: Path) -> None:
    task = tiny(density_scale=10.0, preprocessing="unit")
    run = trainer()
    run.fit(task, crowd(tree))
    run.save_checkpoint(tmp_path / "task.ckpt")
    again = CountingTask.load_from_checkpoint(tmp_path / "task.ckpt", weights_only=True).eval()
    batch = batch_of(tree)
    with torch.no_grad():
        assert torch.equal(again.count(batch), task.eval().count(batch))
    assert again.hparams == task.hparams
    assert again.densest == task.densest > 0


def test_hyperparameters_are_plain_values() -> None:
    hparams = tiny(schedule="cosine").hparams
    assert all(isinstance(value, PLAIN) for value in hparams.values())
    assert hparams["model_kwargs"] == TINY


def test_the_density_scale_is_undone_in_forward(tree: Path) -> None:
    batch = batch_of(tree)
    one, ten = tiny(), tiny(density_scale=10.0)
    with torch.no_grad():
        assert_close(ten.count(batch), one.count(batch) / 10, rtol=1e-6, atol=0)


def test_padding_does_not_count(tree: Path) -> None:
    task = tiny()
    with torch.no_grad():  # one head in every cell
        task.model.output_layer.weight.zero_()
        task.model.output_layer.bias.fill_(1.0)
    batch = batch_of(tree, batch_size=2)
    batch["size"] = torch.tensor([[64, 96], [40, 33]])
    cells = torch.tensor([8 * 12, 5 * 5])
    batch["mask"] = torch.zeros_like(batch["mask"])
    batch["mask"][0], batch["mask"][1, :, :5, :5] = 1, 1
    with torch.no_grad():
        assert torch.equal(task.count(batch), cells.double())


def test_pictures_resized_for_mcnn_have_game_0_equal_to_the_mae(odd_tree: Path) -> None:
    task = tiny(model="mcnn", model_kwargs={"width": 0.25}, preprocessing="mcnn")
    figures = trainer().test(task, crowd(odd_tree, stride=4), verbose=False)[0]
    assert figures["test/game0"] == pytest.approx(figures["test/mae"], rel=1e-9)
    assert figures["test/game3"] >= figures["test/game0"]


def test_game_0_is_the_mae_of_padded_pictures_too(odd_tree: Path) -> None:
    figures = trainer().test(tiny(map_quality=True), crowd(odd_tree, eval_batch_size=2), verbose=False)[0]
    assert figures["test/game0"] == pytest.approx(figures["test/mae"], rel=1e-9)
    assert {"test/psnr", "test/ssim"} <= set(figures)


@pytest.mark.parametrize(("share", "frozen"), [(None, False), (1.0, False), (0.5, True), (0.0, True)])
def test_batch_norm_keeps_its_statistics_from_the_share_of_epochs_on(
    share: float | None, frozen: bool, tree: Path
) -> None:
    task = tiny(model_kwargs={"width": 1 / 16, "batch_norm": True}, lr=1e-4, freeze_batch_norm=share)
    seen = []
    task.on_train_epoch_end = lambda: seen.append(task.model.frontend[1].running_mean.clone())
    trainer(max_epochs=2).fit(task, crowd(tree))
    assert torch.equal(seen[0], seen[1]) == frozen
    assert bool(seen[0].any()) == (share != 0.0)  # before that share they move


def test_batch_norm_is_not_frozen_in_a_training_without_a_last_epoch(tree: Path) -> None:
    task = tiny(model_kwargs={"width": 1 / 16, "batch_norm": True}, lr=1e-4, freeze_batch_norm=0.5)
    trainer(max_epochs=-1, max_steps=1).fit(task, crowd(tree))
    assert bool(task.model.frontend[1].running_mean.any())


def test_a_task_measured_in_inference_mode_can_be_trained(tree: Path) -> None:
    task, data = tiny(map_quality=True), crowd(tree)
    trainer(inference_mode=True).validate(task, data, verbose=False)
    trainer(inference_mode=True).test(task, data, verbose=False)
    run = trainer(inference_mode=False)
    run.fit(task, data)
    assert torch.isfinite(run.callback_metrics["val/mae"])
    assert torch.isfinite(torch.tensor(run.test(task, data, verbose=False)[0]["test/psnr"]))


def test_training_in_bfloat16_stays_finite(tree: Path) -> None:
    run = trainer(precision="bf16-mixed")
    task = tiny()
    run.fit(task, crowd(tree))
    assert torch.isfinite(run.callback_metrics["train/loss"])
    assert torch.isfinite(run.callback_metrics["val/mae"])
    assert all(parameter.dtype == torch.float32 for parameter in task.parameters())


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_a_schedule_ends_near_zero_with_the_training(optimizer: str, schedule: str, tree: Path) -> None:
    rates = Rates()
    run = trainer(max_epochs=3, limit_val_batches=0, callbacks=[rates])
    run.fit(tiny(optimizer=optimizer, schedule=schedule, lr=1e-5), crowd(tree, batch_size=1))
    assert len(rates.seen) == 9
    assert max(rates.seen) > 0.8e-5
    assert rates.seen[-1] < 0.05e-5


def test_an_unknown_optimizer_is_refused(tree: Path) -> None:
    with pytest.raises(ValueError, match="unknown optimizer 'lion'; there are: sgd, adam, adamw"):
        trainer().fit(tiny(optimizer="lion"), crowd(tree))


def test_a_network_is_trained_in_the_groups_that_it_offers(tree: Path) -> None:
    task = tiny(model_kwargs=TINY | {"batch_norm": False}, schedule="one-cycle", optimizer="adamw", lr=1e-5)

    def groups(*, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        frontend, rest = task.model.frontend, [*task.model.backend.parameters(), *task.model.output_layer.parameters()]
        return [
            {"params": list(frontend.parameters()), "lr": 10 * lr, "weight_decay": weight_decay},
            {"params": rest, "lr": lr, "weight_decay": 0.0},
        ]

    task.model.parameter_groups = groups
    run = trainer()
    run.fit(task, crowd(tree))
    first, second = run.optimizers[0].param_groups
    assert first["max_lr"] == pytest.approx(10 * second["max_lr"])
    assert (first["initial_lr"], second["weight_decay"]) == (pytest.approx(10 * second["initial_lr"]), 0.0)


def test_game_leaves_out_what_lies_outside_a_region(tree: Path) -> None:
    task = tiny()
    with torch.no_grad():  # one head in every cell
        task.model.output_layer.weight.zero_()
        task.model.output_layer.bias.fill_(1.0)
    batch = batch_of(tree, batch_size=1)
    batch["mask"][..., 3:] = 0  # of 8 x 12 cells
    with torch.no_grad():
        task.test_step(batch, 0)
    assert task.test_game[0].compute() == (8 * 3 - batch["count"]).abs().double()


def test_counts_are_float32_under_half_precision(tree: Path) -> None:
    batch = batch_of(tree)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert tiny()(batch["image"], batch["size"]).dtype == torch.float32


def test_a_network_without_imagenet_layers_says_so_when_training_begins(tree: Path) -> None:
    with pytest.raises(WeightsError, match="MCNN has no layers of an ImageNet network: leave out imagenet='imagenet'"):
        tiny(model="mcnn", model_kwargs={"in_channels": 3}, imagenet="imagenet").setup("fit")
