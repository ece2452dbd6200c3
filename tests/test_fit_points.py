"""The way of the README for data of one's own: check, train, count."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dotally.cli import main

CONFIG = Path(__file__).parents[1] / "experiments" / "configs" / "point_folder.yaml"


def test_three_commands_count_pictures_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rng, rows = np.random.default_rng(0), ["file,x,y"]
    Path("cells").mkdir()
    for number in range(6):
        pixels = np.full((64, 64, 3), 220, dtype=np.uint8)
        for x, y in rng.integers(4, 60, (number + 1, 2)).tolist():
            pixels[y - 3 : y + 3, x - 3 : x + 3] = 40
            rows.append(f"{number}.png,{x},{y}")
        Image.fromarray(pixels).save(f"cells/{number}.png")
    Path("cells/dots.csv").write_text("\n".join(rows))
    assert main(["data", "verify", "cells", "--pictures"]) == 0
    assert Path("dots.png").is_file()
    fit = ["fit", "--config", str(CONFIG), "--data.folder", "cells", "--name", "cells", "--wandb", "off"]
    quiet = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    tiny = ["--trainer.max_epochs", "1", "--data.crop", "32", "--model.model_kwargs.width", "0.015625"]
    assert main([*fit, *quiet, *tiny]) == 0
    assert "held-out MAE before" in capsys.readouterr().out
    weights = "runs/fit/cells/checkpoints/best.ckpt"
    assert main(["predict", "cells", "--weights", weights, "--out", "counted", "--device", "cpu"]) == 0
    assert len(Path("counted/counts.csv").read_text().splitlines()) == 7
