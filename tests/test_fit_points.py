"""The way of the README for data of one's own: check, train, count."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dotally import Counter
from dotally.cli import main

CONFIG = Path(__file__).parents[1] / "experiments" / "configs" / "point_folder.yaml"

FIT = [
    *("fit", "--config", str(CONFIG), "--name", "cells", "--wandb", "off", "--trainer.accelerator", "cpu"),
    *("--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"),
    *("--data.crop", "32", "--model.model_kwargs.width", "0.015625"),
]


def draw(folder: Path, side: int = 64) -> None:
    """Six pictures of one to six squares, with their dots."""
    rng, rows = np.random.default_rng(0), ["file,x,y"]
    folder.mkdir()
    for number in range(6):
        pixels = np.full((side, side, 3), 220, dtype=np.uint8)
        for x, y in rng.integers(4, side - 4, (number + 1, 2)).tolist():
            pixels[y - 3 : y + 3, x - 3 : x + 3] = 40
            rows.append(f"{number}.png,{x},{y}")
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "dots.csv").write_text("\n".join(rows))


def test_three_commands_count_pictures_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    draw(Path("cells"))
    with Path("cells/dots.csv").open("a") as file:
        file.writelines(f"\n{number}.png,-5,3" for number in range(6))
    assert main(["data", "verify", "cells", "--pictures"]) == 0
    assert "6 dots lie outside and will not count" in capsys.readouterr().out
    assert Path("dots.png").is_file()
    assert main([*FIT, "--data.folder", "cells", "--trainer.max_epochs", "1"]) == 0
    printed = capsys.readouterr().out
    assert "held-out MAE before" in printed
    assert "not learnt   4 annotated points that lie outside their training pictures" in printed
    weights = "runs/fit/cells/checkpoints/best.ckpt"
    assert main(["predict", "cells", "--weights", weights, "--out", "counted", "--device", "cpu"]) == 0
    assert len(Path("counted/counts.csv").read_text().splitlines()) == 7


def test_a_chosen_size_stays_with_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    draw(Path("cells"), 400)
    draw(Path("larger"), 800)
    assert main([*FIT, "--data.folder", "cells", "--minutes", "0.001"]) == 0
    weights = "runs/fit/cells/checkpoints/best.ckpt"
    side = Counter.load(weights, device="cpu").longest_side
    assert side is not None
    assert 128 <= side < 400
    # whether it goes on or is tested on pictures of another size
    assert main(["fit", "--resume", "--name", "cells", "--minutes", "0.002", "--data.folder", "larger"]) == 0
    assert Counter.load(weights, device="cpu").longest_side == side
    assert main(["test", "--ckpt_path", weights, "--data.folder", "larger"]) == 0
    written = json.loads(Path("runs/fit/cells/test.json").read_text())["checkpoint"]["data"]
    assert written["longest_side"] == side
    assert written["scale"] == [0.8, 1.25]
    assert "warning" not in capsys.readouterr().err
    # and what reads them otherwise says so
    assert main(["test", "--ckpt_path", weights, "--data.folder", "larger", "--data.longest_side", "null"]) == 0
    told = capsys.readouterr().err
    assert "warning: pictures are resized unlike those that the weights have learnt from" in told
    assert f"longest_side {side} in training and None here" in told
