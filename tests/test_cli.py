"""The `dotally` command as users meet it: one clear line for each mistake, the right exit code, nothing half-done."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dotally.cli import main
from dotally.models import build_model


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, without data sets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DOTALLY_DATA_ROOT", raising=False)


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


@pytest.mark.parametrize("command", ["predict", "localize", "verify", "wandb-push", "doctor", "fit", "data"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main([command, "--help"])
    except SystemExit as left:
        code = int(left.code or 0)
    assert code == 0
    assert f"dotally {command}" in capsys.readouterr().out


def test_help_is_quick_because_it_imports_nothing_heavy() -> None:
    heavy = ("torch", "pytorch_lightning", "wandb")
    code = f"import sys, dotally.cli; sys.exit(any(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_command_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["count"])
    assert left.value.code == 2
    assert "invalid choice" in complaint(capsys)


def test_a_missing_data_root_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "verify", "shanghaitech"]) == 2
    assert "DOTALLY_DATA_ROOT" in complaint(capsys)


def test_an_unknown_data_set_lists_the_known_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "verify", "shanghay", "--data-root", str(tmp_path)]) == 2
    assert "shanghaitech" in complaint(capsys)


def test_half_a_download_fails_with_its_names(
    tmp_path: Path, shanghaitech_tree: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root = shanghaitech_tree(tmp_path / "root", parts=("A",))
    (root / "part_A" / "train_data" / "images" / "IMG_3.jpg").unlink()
    assert main(["data", "verify", "shanghaitech", "--data-root", str(root)]) == 1
    assert "IMG_3.jpg" in capsys.readouterr().out


def test_converting_writes_maps_that_hold_the_count(tmp_path: Path, shanghaitech_tree: Callable[..., Path]) -> None:
    import h5py

    from dotally.data.shanghaitech_files import read_points

    root = shanghaitech_tree(tmp_path / "root", parts=("B",))
    out = tmp_path / "maps"
    arguments = ["data", "convert", "shanghaitech", "--to", "csrnet-h5", "--out", str(out), "--data-root", str(root)]
    assert main(arguments) == 0
    with h5py.File(out / "part_B" / "train_data" / "ground_truth" / "IMG_1.h5") as file:
        total = float(file["density"][:].sum())
    points = read_points(root / "part_B" / "train_data" / "ground-truth" / "GT_IMG_1.mat")
    assert total == pytest.approx(len(points), abs=1e-3)


def test_a_checkpoint_of_another_network_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(build_model("mcnn").state_dict(), tmp_path / "weights.pth")
    (tmp_path / "photo.jpg").write_bytes(b"")
    arguments = ["predict", str(tmp_path / "photo.jpg"), "--weights", str(tmp_path / "weights.pth")]
    assert main([*arguments, "--arch", "csrnet", "--out", str(tmp_path / "out")]) == 2
    assert "mcnn" in complaint(capsys).lower()
    assert not (tmp_path / "out").exists()


def test_a_training_without_data_stops_before_it_writes(tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "experiments" / "csrnet_table5_shanghaitech.py"
    environment = {key: value for key, value in os.environ.items() if key != "DOTALLY_DATA_ROOT"}
    result = subprocess.run(
        [sys.executable, script, "--only", "csrnet-slim.B"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert "DOTALLY_DATA_ROOT" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "runs").exists()
