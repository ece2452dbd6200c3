import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dotally import Counter
from dotally.errors import WeightsError
from dotally.models import build_model
from dotally.predict import save_weights, weights_file
from dotally.predict.weights_file import find_weights, load_weights
from dotally.tasks import CountingTask


def assert_same(model: nn.Module, other: nn.Module) -> None:
    torch.testing.assert_close(model.state_dict(), other.state_dict(), rtol=0, atol=0)


def lightning(task: CountingTask, **changes: Any) -> dict[str, Any]:
    """What Lightning writes, as far as it is read."""
    content = {
        "pytorch-lightning_version": "2.6.6",
        "state_dict": task.state_dict(),
        "hyper_parameters": dict(task.hparams),
        "optimizer_states": [{"state": {0: {"momentum_buffer": torch.zeros(100_000)}}}],
    }
    return {**content, **changes}


def finish_run(runs: Path, name: str, checkpoint: Path, *, at: float) -> Path:
    """A run as the experiment engine leaves it: run.json is written last."""
    folder = runs / name
    (folder / "checkpoints").mkdir(parents=True)
    best = folder / "checkpoints" / "best.ckpt"
    best.symlink_to(checkpoint)
    (folder / "run.json").write_text("{}")
    os.utime(folder / "run.json", (at, at))
    return best


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(weights_file, "SHIPPED", tmp_path / "shipped")
    return tmp_path / "runs"


def test_a_checkpoint_rebuilds_the_task_that_wrote_it(checkpoint: Path, task: CountingTask) -> None:
    loaded = load_weights(checkpoint)
    assert dict(loaded.network.hparams) == dict(task.hparams)
    assert_same(loaded.network.model, task.model)


def test_what_lightnings_command_line_adds_does_not_matter(tmp_path: Path, task: CountingTask) -> None:
    added = {
        "_instantiator": "pytorch_lightning.cli.instantiate_module",
        "_class_path": "dotally.tasks.CountingTask",
    }
    torch.save(lightning(task, hyper_parameters={**task.hparams, **added}), tmp_path / "best.ckpt")
    save_weights(tmp_path / "best.ckpt", tmp_path / "slim.pt", {})
    assert dict(load_weights(tmp_path / "slim.pt").network.hparams) == dict(task.hparams)


def test_the_density_of_the_training_pictures_comes_along(tmp_path: Path, task: CountingTask) -> None:
    task.densest.fill_(1234.0)
    torch.save(lightning(task), tmp_path / "best.ckpt")
    assert load_weights(tmp_path / "best.ckpt").network.densest == 1234.0


def test_a_slim_file_counts_like_its_checkpoint_and_says_what_it_is(tmp_path: Path, task: CountingTask) -> None:
    task.densest.fill_(1234.0)
    task.hparams["imagenet"] = "/home/somebody/vgg16.pth"
    torch.save(lightning(task), tmp_path / "best.ckpt")
    save_weights(tmp_path / "best.ckpt", tmp_path / "slim.pt", {"trained on": "synthetic crowd", "mae": 3.2})
    loaded = load_weights(tmp_path / "slim.pt")
    assert_same(loaded.network, task)
    assert loaded.facts == {"trained on": "synthetic crowd", "mae": 3.2}
    assert loaded.network.hparams["imagenet"] is None
    assert (tmp_path / "slim.pt").stat().st_size < (tmp_path / "best.ckpt").stat().st_size - 300_000


def test_what_training_shrank_pictures_to_comes_along(tmp_path: Path, task: CountingTask) -> None:
    torch.save(lightning(task, datamodule_hyper_parameters={"longest_side": 512}), tmp_path / "best.ckpt")
    save_weights(tmp_path / "best.ckpt", tmp_path / "slim.pt", {})
    assert load_weights(tmp_path / "best.ckpt").longest_side == load_weights(tmp_path / "slim.pt").longest_side == 512
    torch.save(lightning(task), tmp_path / "unknown.ckpt")
    assert load_weights(tmp_path / "unknown.ckpt").longest_side is None


def test_another_way_of_resizing_comes_along_and_is_warned_of(tmp_path: Path, task: CountingTask) -> None:
    reading = {"longest_side": None, "resize": "pet", "draft": True}
    torch.save(lightning(task, datamodule_hyper_parameters={**reading, "crop": 64}), tmp_path / "best.ckpt")
    save_weights(tmp_path / "best.ckpt", tmp_path / "slim.pt", {})
    assert load_weights(tmp_path / "best.ckpt").reading == load_weights(tmp_path / "slim.pt").reading == reading
    counter = Counter.load(tmp_path / "slim.pt", device="cpu")
    assert "resized by the rule 'pet' of their data set and decoded at a fraction" in counter.describe()[-1]
    grey = np.full((32, 32, 3), 90, dtype=np.uint8)
    assert "resized unlike training" in counter(grey).flags
    asked = Counter.load(tmp_path / "slim.pt", device="cpu", longest_side=16)
    assert "resized unlike training" not in asked(grey).flags


def test_a_slim_file_is_float32(tmp_path: Path, task: CountingTask) -> None:
    torch.save(lightning(task.half()), tmp_path / "best.ckpt")
    save_weights(tmp_path / "best.ckpt", tmp_path / "slim.pt", {})
    state = torch.load(tmp_path / "slim.pt", weights_only=True)["state_dict"]
    assert {value.dtype for value in state.values()} == {torch.float32}


@pytest.mark.parametrize("facts", [{"model": nn.Linear(1, 1)}, {"mae": torch.zeros(1)}, {"mae": float("nan")}])
def test_facts_that_are_no_plain_values_write_nothing(tmp_path: Path, checkpoint: Path, facts: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=r"JSON"):
        save_weights(checkpoint, tmp_path / "slim.pt", facts)
    assert list(tmp_path.iterdir()) == []


def test_published_mcnn_weights_say_what_they_are(tmp_path: Path, write_mcnn_h5: Callable[..., None]) -> None:
    source = build_model("mcnn")
    write_mcnn_h5(tmp_path / "mcnn.h5", source)
    network = load_weights(tmp_path / "mcnn.h5").network
    assert (network.hparams["model"], network.hparams["preprocessing"]) == ("mcnn", "mcnn")
    assert_same(network.model, source)


def test_published_mcnn_weights_count_a_picture_of_any_size(tmp_path: Path, write_mcnn_h5: Callable[..., None]) -> None:
    write_mcnn_h5(tmp_path / "mcnn.h5", build_model("mcnn"))
    counter = Counter.load(tmp_path / "mcnn.h5", device="cpu")
    # sides are resized down to multiples of 4, so the map covers the picture without padding
    assert counter(torch.full((3, 30, 45), 200, dtype=torch.uint8)).density.shape == (7, 11)
    assert counter(torch.full((3, 2, 3), 200, dtype=torch.uint8)).density.shape == (1, 1)


@pytest.mark.slow
def test_official_csrnet_checkpoints_say_what_they_are(tmp_path: Path) -> None:
    source = build_model("csrnet")
    torch.save({"epoch": 5, "state_dict": source.state_dict(), "best_prec1": 66.4}, tmp_path / "csrnet.pth.tar")
    network = load_weights(tmp_path / "csrnet.pth.tar").network
    assert (network.hparams["model"], network.hparams["preprocessing"]) == ("csrnet", "imagenet")
    assert_same(network.model, source)


def test_a_bare_state_dict_has_to_be_named(tmp_path: Path, task: CountingTask) -> None:
    path = tmp_path / "weights.pth"
    torch.save(task.model.state_dict(), path)
    with pytest.raises(WeightsError, match=r"weights\.pth: .*looks like csrnet.*--arch.* csrnet, .*mcnn"):
        load_weights(path)
    loaded = load_weights(path, arch="csrnet", arch_kwargs={"width": 1 / 32}, preprocessing="unit")
    assert_same(loaded.network.model, task.model)
    assert loaded.network.hparams["preprocessing"] == "unit"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arch": "crsnet"}, "Did you mean 'csrnet'"),
        ({"arch": "vgg16"}, "vgg16 does not count; networks that do: csrnet"),
        ({"arch": "csrnet"}, "weights of csrnet built with other options"),
        ({"arch": "mcnn"}, "weights do not fit MCNN.* look like weights of csrnet"),
        ({"arch": "csrnet", "arch_kwargs": {"wdith": 1}}, "Did you mean 'width'"),
        ({"arch": "csrnet", "preprocessing": "bgr"}, "unknown preprocessing 'bgr'"),
    ],
)
def test_a_wrong_network_gives_one_line_that_names_the_file(
    tmp_path: Path, task: CountingTask, options: dict[str, Any], message: str
) -> None:
    torch.save(task.model.state_dict(), tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match=message) as caught:
        load_weights(tmp_path / "weights.pth", **options)
    assert str(caught.value).startswith(f"{tmp_path / 'weights.pth'}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hyper_parameters": {"rule": "stat", "lr": 1}}, "no weights that this version counts with .*rule"),
        ({"hyper_parameters": {"model": "mcnn", "preprocessing": "mcnn"}}, "weights do not fit MCNN"),
        ({"state_dict": {"net.weight": torch.zeros(1)}}, "without weights under 'model.'"),
        ({"state_dict": {"model.weight": torch.zeros(1)}}, "weights do not fit CSRNet"),
    ],
)
def test_a_checkpoint_of_something_else_gives_one_line(
    tmp_path: Path, task: CountingTask, changes: dict[str, Any], message: str
) -> None:
    torch.save(lightning(task, **changes), tmp_path / "other.ckpt")
    with pytest.raises(WeightsError, match=message) as caught:
        load_weights(tmp_path / "other.ckpt")
    assert str(tmp_path / "other.ckpt") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_does_not_take_another_network(checkpoint: Path) -> None:
    with pytest.raises(WeightsError, match="leave out the architecture"):
        load_weights(checkpoint, arch="csrnet")


@pytest.mark.parametrize(
    "name",
    ["table/csrnet-slim", "table/csrnet-slim.A", "table/csrnet-slim/seed1", "table/csrnet-slim.A/seed1-bbbbbbbb"],
)
def test_a_name_is_the_newest_finished_run(runs: Path, checkpoint: Path, name: str) -> None:
    finish_run(runs, "table/csrnet-slim.A/seed0-aaaaaaaa", checkpoint, at=100)
    newest = finish_run(runs, "table/csrnet-slim.A/seed1-bbbbbbbb", checkpoint, at=300)
    finish_run(runs, "table/csrnet-slim.A/seed1-cccccccc", checkpoint, at=200)
    finish_run(runs, "table/csrnet-slimmer.A/seed1-eeeeeeee", checkpoint, at=400)
    unfinished = finish_run(runs, "table/csrnet-slim.A/seed1-dddddddd", checkpoint, at=400)
    (unfinished.parents[1] / "run.json").unlink()
    assert find_weights(name) == newest.relative_to(runs.parent)


def test_a_row_of_two_columns_has_to_be_told_apart(runs: Path, checkpoint: Path) -> None:
    for column in "AB":
        finish_run(runs, f"table/csrnet.{column}/seed0-aaaaaaaa", checkpoint, at=100)
    with pytest.raises(WeightsError, match=r"table/csrnet\.A, table/csrnet\.B; add the column"):
        find_weights("table/csrnet")
    assert find_weights("table/csrnet.B").parts[2] == "csrnet.B"


def test_a_shipped_file_is_known_by_its_name(runs: Path, checkpoint: Path) -> None:
    save_weights(checkpoint, runs.parent / "shipped" / "crowd-slim.pt", {})
    assert find_weights("crowd-slim") == runs.parent / "shipped" / "crowd-slim.pt"


def test_an_unknown_name_lists_those_there_are(runs: Path, checkpoint: Path) -> None:
    with pytest.raises(WeightsError, match=r"nothing: no such weights file.* none so far"):
        find_weights("nothing")
    finish_run(runs, "table/csrnet.A/seed0-aaaaaaaa", checkpoint, at=100)
    save_weights(checkpoint, runs.parent / "shipped" / "crowd-slim.pt", {})
    with pytest.raises(WeightsError, match=r"names are: crowd-slim, table/csrnet\.A$"):
        find_weights("table/mcnn")
