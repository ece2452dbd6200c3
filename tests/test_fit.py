"""``dotally fit``, ``validate`` and ``test`` on a tiny crowd, from the command line's arguments on."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from dotally import Counter
from dotally.errors import DataError, DotallyError, TrainingError, WeightsError
from dotally.tasks import CountingTask
from dotally.training.command import run
from dotally.training.lightning_cli import TaskCLI

CONFIGS = Path(__file__).parents[1] / "experiments" / "configs"
CROWD = ["--data", "SyntheticCrowd", "--data.pictures", "4", "--data.val_pictures", "2", "--data.test_pictures", "2"]
TINY = [
    *CROWD,
    *("--data.crop", "32", "--data.batch_size", "2", "--model.model_kwargs", '{"width": 0.015625, "init": "he"}'),
    *("--model.loss", "scaled_mean_square", "--model.optimizer", "adam", "--model.lr", "1e-3"),
    *("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"),
    *("--trainer.enable_model_summary", "false"),
]
QUIET = [*TINY, "--wandb", "off"]


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Where the tiny crowd is rendered once for all tests."""
    return ["--data.folder", str(tmp_path_factory.mktemp("crowd") / "pictures")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, crowd: list[str]) -> Path:
    """A folder in which ``dotally fit --name first`` has run for two epochs."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run("fit", [*QUIET, *crowd, "--name", "first", "--trainer.max_epochs", "2"]) == 0
    return folder


@pytest.fixture
def home(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder, as working directory."""
    monkeypatch.chdir(trained)
    return trained


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def sigint() -> Iterator[None]:
    """Lightning leaves SIGINT ignored after an interrupt."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def best(name: str) -> Path:
    return Path("runs", "fit", name, "checkpoints", "best.ckpt")


def state(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]


def figures(printed: str) -> tuple[float | None, float]:
    """Return the held-out MAE (before, after) of what ``dotally fit`` prints."""
    before, after = re.search(r"held-out MAE (?:before (\S+), )?after (\S+) heads", printed).groups()
    return before and float(before), float(after)


def test_its_checkpoint_rebuilds_itself_and_counts(home: Path) -> None:
    result = Counter.load(best("first"))(np.zeros((40, 48, 3), np.uint8))
    assert np.isfinite(result.count)


def test_a_checkpoint_holds_plain_hyperparameters_and_no_path(home: Path) -> None:
    content = torch.load(best("first"), weights_only=True)
    assert content["hyper_parameters"]["model_kwargs"] == {"width": 1 / 64, "init": "he"}
    assert not any(name.startswith("_") for name in content["hyper_parameters"])
    assert not {"data_root", "folder", "num_workers"} & set(content["datamodule_hyper_parameters"])


def test_the_curve_has_a_line_per_epoch(home: Path) -> None:
    lines = Path("runs/fit/first/metrics.csv").read_text().splitlines()
    assert "val/mae" in lines[0]
    assert len(lines) == 3


def test_a_resumed_training_equals_an_uninterrupted_one(home: Path, crowd: list[str]) -> None:
    assert run("fit", [*QUIET, *crowd, "--name", "halved", "--trainer.max_epochs", "1"]) == 0
    assert run("fit", ["--resume", "--name", "halved", "--trainer.max_epochs", "2", "--wandb", "off"]) == 0
    straight, resumed = (state(Path(f"runs/fit/{name}/checkpoints/last.ckpt")) for name in ("first", "halved"))
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    curves = (Path(f"runs/fit/{name}/metrics.csv").read_text() for name in ("first", "halved"))
    assert len(set(curves)) == 1


def test_a_finished_training_is_not_overwritten(home: Path, crowd: list[str]) -> None:
    with pytest.raises(DotallyError, match="add --resume"):
        run("fit", [*QUIET, *crowd, "--name", "first"])


def test_a_download_that_stopped_half_way_is_warned_of(
    empty: Path, shanghaitech_tree: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    shanghaitech_tree(empty / "half", train=4, test=2)
    half = ["--data", "ShanghaiTech", "--data.part", "B", "--data.data_root", str(empty / "half")]
    assert run("fit", [*half, *QUIET[len(CROWD) :], "--trainer.fast_dev_run", "true"]) == 0
    told = capsys.readouterr().err
    assert "warning: ShanghaiTech B: only 4 of 400 train and 2 of 316 test pictures are here" in told


def test_there_may_be_nothing_to_resume(empty: Path) -> None:
    with pytest.raises(DotallyError, match="no training to resume"):
        run("fit", ["--resume"])


def test_validate_finds_settings_beside_the_checkpoint(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("validate", ["--ckpt_path", str(best("first"))]) == 0
    mae = float(re.search(r"val/mae\s+│\s+(\S+)", capsys.readouterr().out)[1])
    curve = np.genfromtxt("runs/fit/first/metrics.csv", delimiter=",", names=True, deletechars="")
    assert mae == pytest.approx(curve["val/mae"].min(), abs=1e-9)


def test_the_test_split_is_measured(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("test", ["--ckpt_path", str(best("first"))]) == 0
    out = capsys.readouterr().out
    assert "test/mae" in out
    written = json.loads(Path("runs/fit/first/test.json").read_text())
    assert written["outside"] == {"train": 0, "val": 0, "test": 0}
    assert written["pictures"] == {"train": 4, "val": 2, "test": 2}
    assert f"MAE {written['figures']['mae']:.2f} on 2 pictures; always answering" in out
    assert f"it is {written['constant']['mae']:.2f}" in out


def test_weights_begin_where_they_left_off(home: Path, crowd: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("validate", ["--ckpt_path", str(best("first"))]) == 0
    kept = float(re.search(r"val/mae\s+│\s+(\S+)", capsys.readouterr().out)[1])
    tuning = ["--name", "tuned", "--weights", str(best("first")), "--trainer.max_epochs", "1"]
    assert run("fit", [*QUIET, *crowd, *tuning]) == 0
    assert figures(capsys.readouterr().out)[0] == pytest.approx(kept, abs=0.006)


def test_a_time_box_ends_training_and_keeps_the_best(
    empty: Path, crowd: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fit", [*QUIET, *crowd, "--minutes", "0.001", "--name", "boxed"]) == 0
    before, after = figures(capsys.readouterr().out)
    assert before != after
    assert best("boxed").exists()
    curve = Path("runs/fit/boxed/metrics.csv").read_text()
    assert run("fit", ["--resume", "--name", "boxed", "--wandb", "off"]) == 0
    assert Path("runs/fit/boxed/metrics.csv").read_text() == curve, "the box is a setting, and its time is over"


def test_ctrl_c_says_how_to_go_on(
    empty: Path,
    crowd: list[str],
    sigint: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    step = CountingTask.training_step

    def interrupted(self: CountingTask, *arguments: object) -> torch.Tensor:
        if self.current_epoch == 1:
            raise KeyboardInterrupt
        return step(self, *arguments)

    monkeypatch.setattr(CountingTask, "training_step", interrupted)
    assert run("fit", [*QUIET, *crowd, "--name", "long", "--trainer.max_epochs", "3"]) == 1
    assert "go on with: dotally fit --resume --name long" in capsys.readouterr().err
    assert Path("runs/fit/long/checkpoints/last.ckpt").exists()


def test_a_loss_that_is_not_finite_stops_training(empty: Path, crowd: list[str]) -> None:
    sgd = ["--model.optimizer", "sgd", "--model.lr", "1e30", "--trainer.max_epochs", "4"]
    with pytest.raises(TrainingError, match="lower lr") as error:
        run("fit", [*QUIET, *crowd, *sgd])
    assert error.value.exit_code == 1


def test_missing_data_is_one_line(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOTALLY_DATA_ROOT", raising=False)
    with pytest.raises(DataError, match=r"--data\.data_root FOLDER") as error:
        run("fit", ["--data", "ShanghaiTech", "--wandb", "off", *TINY[-6:]])
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nosuch: 3", "'nosuch' is not accepted"),
        ("trainer: {max_epoch: 3}", "'trainer' does not accept option 'max_epoch'"),
    ],
)
def test_an_unknown_setting_is_told_with_its_file_and_where_to_look(text: str, told: str, empty: Path) -> None:
    Path("mine.yaml").write_text(f"data: dotally.data.SyntheticCrowd\n{text}\n")
    with pytest.raises(DotallyError) as error:
        run("fit", ["--config", "mine.yaml"])
    assert f"{told} (mine.yaml): --help lists the settings" in str(error.value)


def test_a_fast_dev_run_leaves_nothing(empty: Path, crowd: list[str]) -> None:
    assert run("fit", [*QUIET, *crowd, "--trainer.fast_dev_run", "true"]) == 0
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--data NAME .*ShanghaiTech, SyntheticCrowd"),
        (["--data", "Nowhere"], "no data set of that name.*SyntheticCrowd"),
        (["--data", "ShanghaiTech", "--data.part", "C"], "Got value: C"),
        ([*CROWD, "--model.loss", "nonsense"], "unknown loss 'nonsense'"),
        ([*CROWD, "--model.lrr", "1"], "unrecognized arguments: --model.lrr"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        ([*CROWD, "--minutes", "1", "--model.schedule", "cosine"], "set --trainer.max_epochs"),
        ([*CROWD, "--minutes", "1", "--model.freeze_batch_norm", "0.8"], "set --trainer.max_epochs"),
        ([*CROWD, "--trainer.accelerator", "abacus"], "abacus"),
        ([*CROWD, "--resume", "--ckpt_path", "last.ckpt"], "leave out --ckpt_path"),
    ],
)
def test_wrong_use_is_one_line(arguments: list[str], message: str, empty: Path) -> None:
    with pytest.raises(DotallyError, match=message) as error:
        run("fit", arguments)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2


def test_measuring_needs_something_trained(empty: Path) -> None:
    with pytest.raises(DotallyError, match="--ckpt_path or --weights"):
        run("test", CROWD)
    with pytest.raises(WeightsError, match="no such checkpoint"):
        run("test", ["--ckpt_path", "nowhere.ckpt"])


@pytest.mark.parametrize(("model", "stride"), [("mcnn", 4), ("csrnet", 8)])
def test_the_data_have_the_stride_of_the_network(model: str, stride: int) -> None:
    network = ["--model.model", model, "--model.preprocessing", "mcnn" if model == "mcnn" else "imagenet"]
    cli = TaskCLI("fit", [*CROWD, *network, "--data.stride", "16"])
    assert (cli.model.stride, cli.datamodule.stride) == (stride, stride)


@pytest.mark.parametrize("name", ["csrnet_slim_synthetic.yaml", "csrnet_shanghaitech_b.yaml"])
def test_the_ready_settings_build(name: str) -> None:
    cli = TaskCLI("fit", ["--config", str(CONFIGS / name), "--trainer.accelerator", "cpu"])
    assert cli.trainer.max_epochs > 1
    assert cli.model.hparams["model"] == "csrnet"


def test_settings_are_printed_as_a_file_that_can_be_read_back(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fit", [*CROWD, "--model.lr", "0.5", "--print_config"]) == 0
    Path("printed.yaml").write_text(capsys.readouterr().out)
    assert TaskCLI("fit", ["--config", "printed.yaml", "--trainer.accelerator", "cpu"]).model.hparams["lr"] == 0.5


def test_help_is_quick() -> None:
    script = (
        "import sys; from dotally.training.command import run; code = run('fit', ['--help']); "
        "sys.exit(code or int('torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--resume" in done.stdout


def test_a_missing_parser_is_named_with_its_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"jsonargparse": None}
    monkeypatch.setattr("dotally.training.command.find_spec", lambda name: found.get(name, find_spec("json")))
    with pytest.raises(DotallyError, match=r"pip install 'jsonargparse\[signatures\]'"):
        run("fit", CROWD)
