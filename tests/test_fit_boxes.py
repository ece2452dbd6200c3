"""``dotally fit``, ``validate`` and ``test`` on boxes: a classifier from labels alone, judged by STNet's boxes."""

import json
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dotally.data import BoxFolder, LocalizationDataModule, SyntheticShapes, TinyImageNetLocalization
from dotally.errors import DotallyError, WeightsError
from dotally.predict.localizer import Localizer
from dotally.tasks import LocalizationTask
from dotally.training.command import run
from dotally.training.kinds import COUNTING, LOCALIZING, kind_of
from dotally.training.lightning_cli import TaskCLI

CONFIGS = Path(__file__).parents[1] / "experiments" / "configs"
# loaded by path, because in importlib mode test modules cannot import each other
BOXES = runpy.run_path(str(Path(__file__).parent / "experiments" / "fabricated_boxes.py"))
QUIET = [
    *("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"),
    *("--trainer.enable_model_summary", "false"),
]
SHAPES = [
    *("--data", "SyntheticShapes", "--data.pictures", "16", "--data.val_pictures", "6", "--data.test_pictures", "4"),
    *("--data.batch_size", "8", "--model.model_kwargs", '{"width": 0.25}', *QUIET),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which ``dotally fit --name first`` has run for two epochs."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run("fit", [*SHAPES, "--wandb", "off", "--name", "first", "--trainer.max_epochs", "2"]) == 0
    return folder


@pytest.fixture
def home(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder, as working directory."""
    monkeypatch.chdir(trained)
    return trained


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    """Six pictures of one's own with three classes, as a labelling tool leaves them."""
    folder = tmp_path / "boxes"
    folder.mkdir()
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(6):
        Image.fromarray(rng.integers(0, 255, (40, 48, 3), np.uint8)).save(folder / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 48, "height": 40})
        box = {"id": number, "image_id": number, "category_id": number % 3, "bbox": [4, 5, 20, 15]}
        annotations.append(box)
    categories = [{"id": number, "name": name} for number, name in enumerate(("cat", "dog", "hen"))]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "boxes.json").write_text(json.dumps(content))
    return folder


def best(name: str) -> Path:
    return Path("runs", "fit", name, "checkpoints", "best.ckpt")


def figure(name: str, printed: str) -> float:
    return float(re.search(rf"{name}\s+│\s+(\S+)", printed)[1])


def test_the_best_epoch_is_that_of_the_smallest_error(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    curve = np.genfromtxt("runs/fit/first/metrics.csv", delimiter=",", names=True, deletechars="")
    assert len(curve) == 2
    assert run("validate", ["--ckpt_path", str(best("first")), *QUIET]) == 0
    assert figure("val/error", capsys.readouterr().out) == pytest.approx(curve["val/error"].min(), abs=1e-6)


def test_a_test_judges_labels_and_boxes(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("test", ["--ckpt_path", str(best("first")), *QUIET]) == 0
    printed = capsys.readouterr().out
    for name in ("test/label_accuracy", "test/stnet/gt_known_50", "test/whole/gt_known_50"):
        assert 0 <= figure(name, printed) <= 1


def test_what_comes_next_is_to_localize(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--resume", "--name", "first", "--trainer.max_epochs", "2", "--wandb", "off"]
    assert run("fit", arguments) == 0
    told = capsys.readouterr().out
    assert re.search(r"held-out error after \d+\.\d\d % of labels", told)
    assert f"dotally localize PICTURES --weights {best('first')}" in told


def test_its_checkpoint_rebuilds_itself_and_localizes(home: Path) -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    assert len(Localizer.load(best("first"), device="cpu")(picture).box) == 4
    content = torch.load(best("first"), weights_only=True)
    assert content["hyper_parameters"]["model_kwargs"] == {"width": 0.25, "num_classes": 8}
    assert "data_root" not in content["datamodule_hyper_parameters"]


def test_weights_begin_where_they_left_off(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("validate", ["--ckpt_path", str(best("first")), *QUIET]) == 0
    kept = 100 * figure("val/error", capsys.readouterr().out)
    arguments = ["--wandb", "off", "--weights", str(best("first")), "--name", "tuned", "--trainer.max_epochs", "1"]
    assert run("fit", [*SHAPES, *arguments]) == 0
    told = re.search(r"error before (\S+), after", capsys.readouterr().out)
    assert told is not None
    assert float(told[1]) == pytest.approx(kept, abs=0.006)


def test_a_training_is_recorded_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("fit", [*SHAPES, "--wandb", "offline", "--name", "seen", "--trainer.max_epochs", "1"]) == 0
    assert list(Path("runs/fit/seen/wandb").glob("offline-run-*/*.wandb"))


def test_a_crowd_is_not_for_a_classifier(home: Path) -> None:
    with pytest.raises(WeightsError):
        run("test", ["--weights", str(best("first")), "--data", "SyntheticCrowd", *QUIET])


def test_pictures_of_ones_own_decide_the_number_of_outputs(
    boxes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = ["--data", "BoxFolder", "--data.folder", str(boxes), "--data.side", "32", "--data.batch_size", "2"]
    assert run("fit", [*own, *QUIET, "--wandb", "off", "--name", "own", "--trainer.max_epochs", "1"]) == 0
    state = torch.load(best("own"), weights_only=True)["state_dict"]
    assert len(state["model.classifier.bias"]) == 3
    assert run("test", ["--ckpt_path", str(best("own")), *QUIET]) == 0


def test_photographs_go_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    BOXES["tiny_imagenet_tree"](tmp_path / "tiny-imagenet-200")
    photographs = ["--data", "TinyImageNetLocalization", "--data.data_root", str(tmp_path)]
    narrow = ["--model.model", "tiny_imagenet_net", "--model.model_kwargs", '{"width": 0.0625}']
    assert run("fit", [*photographs, *narrow, *QUIET, "--wandb", "off", "--trainer.fast_dev_run", "true"]) == 0
    assert not Path("runs").exists()


def test_missing_data_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DotallyError) as error:
        run("fit", ["--data", "BoxFolder", "--data.folder", "nowhere", *QUIET, "--wandb", "off"])
    assert "nowhere" in str(error.value)
    assert error.value.exit_code == 2


def test_the_ready_settings_are_those_of_the_table() -> None:
    cli = TaskCLI("fit", ["--config", str(CONFIGS / "shapes_net_synthetic.yaml"), "--trainer.accelerator", "cpu"])
    table = runpy.run_path(str(CONFIGS.parent / "synthetic_shapes.py"), run_name="table")["TABLE"]
    (cell,) = table.runnable()
    assert cli.trainer.max_epochs == cell.max_epochs
    task, data = cell.task().hparams, cell.data().hparams
    assert {**task, "model_kwargs": {"num_classes": 8}} == {name: cli.model.hparams[name] for name in task}
    assert {name: cli.datamodule.hparams[name] for name in data} == dict(data)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--data", "SyntheticShapes"],
        ["--data=SyntheticShapes"],
        ["--data", "dotally.data.BoxFolder"],
        ["--data", "SyntheticCrowd", "--data.class_path", "dotally.data.synthetic_shapes.SyntheticShapes"],
        ["--config", str(CONFIGS / "shapes_net_synthetic.yaml"), "--data.batch_size", "8"],
        ["--config", str(CONFIGS / "csrnet_slim_synthetic.yaml"), "--config", '{"data": "SyntheticShapes"}'],
        ["--data.help", "SyntheticShapes"],
    ],
)
def test_a_data_set_with_boxes_means_a_classifier(arguments: list[str]) -> None:
    assert kind_of(arguments) is LOCALIZING


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--data"],
        ["--data", "SyntheticCrowd", "--data.part", "A"],
        ["--config", str(CONFIGS / "shapes_net_synthetic.yaml"), "--data", "ShanghaiTech"],
        ["--config", str(CONFIGS / "csrnet_shanghaitech_b.yaml")],
        ["--config", "nowhere.yaml"],
        ["--config", "data: [1, 2"],
        ["--data", "nowhere.Nothing"],
    ],
)
def test_everything_else_counts(arguments: list[str]) -> None:
    assert kind_of(arguments) is COUNTING


def test_every_data_set_with_boxes_is_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DotallyError) as error:
        run("fit", [])
    for kind in (SyntheticShapes, BoxFolder, TinyImageNetLocalization):
        assert issubclass(kind, LocalizationDataModule)
        assert kind.__name__ in str(error.value)
    assert LocalizationDataModule.__name__ not in str(error.value)
    assert LOCALIZING.task is LocalizationTask
