"""Counting starts soon: what only training and exotic files need is not imported."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from dotally.predict.weights_file import DEFAULT, find_weights

TRAINING = ("pytorch_lightning", "lightning_fabric", "torchmetrics", "wandb", "jsonargparse")
RARE = ("h5py", "scipy", "triton", "torch._dynamo")


@pytest.fixture
def drawing(tmp_path: Path) -> Path:
    """A few heads on a lawn."""
    image = Image.new("RGB", (96, 64), (90, 120, 90))
    draw = ImageDraw.Draw(image)
    for x in range(8, 90, 16):
        draw.ellipse((x, 24, x + 7, 31), fill=(240, 200, 170))
    image.save(tmp_path / "drawing.png")
    return tmp_path / "drawing.png"


def imported(heavy: tuple[str, ...], *command: str | Path) -> str:
    """Run a command in a process of its own; return those of the modules that it imported, separated by spaces."""
    code = (
        "import sys; from dotally.cli import main; code = main(sys.argv[1:]); "
        f"print('imported:', *(name for name in {heavy} if name in sys.modules)); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *map(str, command)], capture_output=True, text=True, check=True)
    return done.stdout.rpartition("imported:")[2].strip()


def test_predict_imports_nothing_of_training(drawing: Path, tmp_path: Path) -> None:
    weights = find_weights(DEFAULT)
    options = ("--weights", weights, "--out", tmp_path / "out", "--device", "cpu")
    assert imported((*TRAINING, *RARE), "predict", drawing, *options) == ""
    assert (tmp_path / "out" / "overlays" / "drawing.jpg").is_file()


def test_localize_imports_nothing_of_training(drawing: Path, tmp_path: Path, shapes_checkpoint: Path) -> None:
    options = ("--weights", shapes_checkpoint, "--out", tmp_path / "out", "--device", "cpu")
    assert imported((*TRAINING, "h5py"), "localize", drawing, *options) == ""
