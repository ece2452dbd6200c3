"""Pictures beside their maps: always the same few, a few times, and without any effect on the run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image

from dotally.callbacks import Prediction, Predictions
from dotally.callbacks.pictures import Panel, Pictures, by_quantile
from dotally.data import SyntheticCrowd
from dotally.experiment.contact_sheet import BACKGROUND, draw_row, draw_rows, shared_scale, write_sheet
from dotally.tasks import CountingTask


class Shown:
    """Remembers what it was asked to show."""

    def __init__(self) -> None:
        self.calls: list[tuple[Sequence[Panel], int]] = []

    def __call__(self, panels: Sequence[Panel], step: int) -> None:
        self.calls.append((panels, step))


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> SyntheticCrowd:
    folder = tmp_path_factory.mktemp("crowd") / "pictures"
    return SyntheticCrowd(folder=folder, pictures=4, val_pictures=3, test_pictures=4, crop=32, batch_size=2)


def trainer(*callbacks: Any, **arguments: Any) -> pl.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return pl.Trainer(
        **quiet,
        accelerator="cpu",
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        callbacks=[*callbacks],
        **arguments,
    )


def task() -> CountingTask:
    torch.manual_seed(0)
    return CountingTask(model_kwargs={"width": 1 / 64, "batch_norm": True}, loss="scaled_mean_square")


def test_pictures_are_chosen_from_the_emptiest_to_the_fullest() -> None:
    counts = [50, 3, 3, 90, 17, 20, 8]
    assert [counts[place] for place in by_quantile(counts, 3)] == [3, 17, 90]
    assert by_quantile(counts, 100) == [1, 2, 6, 4, 5, 0, 3]
    assert by_quantile([], 3) == []


@pytest.mark.parametrize(("epochs", "every", "expected"), [(6, 1, 3), (7, 1, 3), (2, 1, 2), (6, 2, 3), (6, 3, 2)])
def test_they_are_shown_a_few_times_in_a_training_and_at_its_end(
    crowd: SyntheticCrowd, epochs: int, every: int, expected: int
) -> None:
    shown = Shown()
    arguments = {"limit_train_batches": 1, "limit_val_batches": 1, "check_val_every_n_epoch": every}
    trainer(Pictures(validation=shown, number=2, times=3), max_epochs=epochs, **arguments).fit(task(), crowd)
    assert len(shown.calls) == expected
    names = [[panel.name for panel in panels] for panels, _ in shown.calls]
    assert all(each == names[0] for each in names)
    assert shown.calls[-1][1] == epochs - epochs % every


def test_they_agree_with_the_predictions_and_the_truth(crowd: SyntheticCrowd) -> None:
    shown, predictions = Shown(), Predictions()
    trainer(predictions, Pictures(test=shown)).test(task(), crowd, verbose=False)
    ((panels, _),) = shown.calls
    made = [Prediction(panel.name, panel.count, float(panel.predicted.sum(dtype=np.float64))) for panel in panels]
    counted = {prediction.name: prediction for prediction in predictions.rows}
    for panel, prediction in zip(panels, made, strict=True):
        assert prediction.true == counted[prediction.name].true
        assert prediction.predicted == pytest.approx(counted[prediction.name].predicted, rel=1e-4)
        assert panel.true.sum() == pytest.approx(panel.count, rel=1e-3)
        assert panel.image is not None
        assert panel.image.shape == (*panel.size, 3)


def test_they_change_no_weight(crowd: SyntheticCrowd) -> None:
    def trained(*callbacks: Pictures) -> dict[str, torch.Tensor]:
        network = task()
        trainer(*callbacks, max_epochs=2).fit(network, crowd)
        return network.state_dict()

    with_them, without = trained(Pictures(validation=Shown())), trained()
    assert all(torch.equal(with_them[name], without[name]) for name in without)


def test_photographs_of_people_are_not_shown(crowd: SyntheticCrowd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SyntheticCrowd, "pictures_may_leave", False)
    shown = Shown()
    trainer(Pictures(test=shown)).test(task(), crowd, verbose=False)
    assert all(panel.image is None for panel in shown.calls[0][0])


def panel(count: int = 2, *, image: bool = True, height: int = 90, width: int = 120) -> Panel:
    true = np.zeros((-(-height // 8), -(-width // 8)), dtype=np.float32)
    true[4, 5] = count
    picture = np.full((height, width, 3), 128, dtype=np.uint8) if image else None
    return Panel(
        name="IMG_1.jpg", size=(height, width), image=picture, true=true, predicted=true / 2, count=count, stride=8
    )


def test_the_scale_is_the_truths() -> None:
    assert shared_scale([panel(2), panel(4)]) == pytest.approx(4, rel=0.02)
    assert shared_scale([panel(0)]) == 1


def test_a_row_has_a_picture_only_where_it_may_be_shown() -> None:
    assert draw_row(panel(), 1.0).width > draw_row(panel(image=False), 1.0).width


def test_rows_shown_together_are_equally_high() -> None:
    low, high = draw_rows([panel(height=60), panel(height=120)])
    assert low.size == high.size == (320 * 3 + 8, 320)
    assert np.array_equal(low.crop((0, 0, low.width, 160)), draw_row(panel(height=60), shared_scale([panel()])))
    assert low.getpixel((10, 200)) == BACKGROUND


def test_a_head_is_drawn_where_it_is() -> None:
    pixels = np.asarray(draw_row(panel(image=False), 2.0).convert("L"), dtype=float)[:, :320]
    y, x = np.unravel_index(pixels.argmax(), pixels.shape)
    assert abs(x / 320 * 120 - 44) < 5  # column 5 of cells of 8 pixels
    assert abs(y / 240 * 90 - 36) < 5


@pytest.mark.parametrize("number", [1, 2, 5])
def test_a_sheet_holds_every_panel(number: int, tmp_path: Path) -> None:
    panels = [panel(place, height=60 + 10 * place) for place in range(number)]
    write_sheet(tmp_path / "pictures.png", panels)
    with Image.open(tmp_path / "pictures.png") as sheet:
        assert sheet.width > 320 * 3 * min(number, 2)
        assert sheet.height > 200 * -(-number // 2)
