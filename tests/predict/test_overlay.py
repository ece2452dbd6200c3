import numpy as np
import pytest
from PIL import Image

from dotally.data.synthetic import plan_scene, render
from dotally.errors import DotallyError
from dotally.predict import overlay
from dotally.predict.overlay import colour_scale, draw_overlay


def grey_picture(height: int = 80, width: int = 120) -> np.ndarray:
    return np.full((height, width, 3), 100, dtype=np.uint8)


def drawn(
    density: np.ndarray, *, vmax: float = 1.0, picture: np.ndarray | None = None, **options: object
) -> np.ndarray:
    image = grey_picture() if picture is None else picture
    return np.asarray(draw_overlay(image, density.astype(np.float32), stride=8, vmax=vmax, title="net", **options))


def panel(pixels: np.ndarray) -> np.ndarray:
    return pixels[overlay.HEADER : -overlay.FOOTER]


def one_cell(value: float, row: int = 5, column: int = 7) -> np.ndarray:
    density = np.zeros((10, 15))
    density[row, column] = value
    return density


def test_a_picture_without_heads_stays_grey() -> None:
    colours = panel(drawn(np.zeros((10, 15)))).astype(int)
    assert np.ptp(colours, axis=2).max() == 0


def test_heads_are_drawn_where_they_are() -> None:
    coloured = np.ptp(panel(drawn(one_cell(1.0))).astype(int), axis=2)
    row, column = np.unravel_index(coloured.argmax(), coloured.shape)
    # cell (5, 7) of 8 pixels, drawn at 6 times the size
    assert 5 * 48 <= row < 6 * 48
    assert 7 * 48 <= column < 8 * 48
    assert not coloured[: 2 * 48].any()


def test_one_scale_gives_equal_densities_equal_colours() -> None:
    crowded = one_cell(0.3)
    crowded[0, 0] = 5.0
    alone, beside = panel(drawn(one_cell(0.3))), panel(drawn(crowded))
    assert np.array_equal(alone[200:], beside[200:])


def test_more_heads_are_brighter() -> None:
    light = [panel(drawn(one_cell(value))).max() for value in (0.0, 0.2, 0.5, 1.0)]
    assert light == sorted(set(light))


def test_what_is_above_the_scale_or_negative_is_cut() -> None:
    assert np.array_equal(panel(drawn(np.full((10, 15), 1.0))), panel(drawn(np.full((10, 15), 9.0))))
    assert np.array_equal(panel(drawn(np.full((10, 15), 0.0))), panel(drawn(np.full((10, 15), -1.0))))


def test_a_padded_map_is_cut_at_the_border_of_the_picture() -> None:
    whole, padded = np.zeros((10, 15)), np.zeros((10, 15))
    whole[3, 3] = padded[3, 3] = 1.0
    # 9.5 cells high: every cell keeps its place, and so its height, in the picture
    cut = panel(drawn(padded, picture=grey_picture(76, 120)))
    assert cut.shape[0] == 76 * 6
    assert np.array_equal(cut[: 6 * 48], panel(drawn(whole))[: 6 * 48])


def test_count_and_legend_are_written() -> None:
    pixels, other = drawn(one_cell(0.4)), drawn(one_cell(0.4) + 0.4)
    assert (pixels[: overlay.HEADER] != other[: overlay.HEADER]).any()
    assert (pixels[-overlay.FOOTER :] != drawn(one_cell(0.4), vmax=3.0)[-overlay.FOOTER :]).any()
    assert (pixels[: overlay.HEADER] != drawn(one_cell(0.4), flags=["tiny"])[: overlay.HEADER]).any()


def test_the_truth_is_drawn_beside_on_the_same_scale() -> None:
    truth = np.array([[60.0, 44.0]])
    alone, both = drawn(one_cell(1.0)), drawn(one_cell(1.0), truth=truth)
    width = alone.shape[1]
    assert both.shape[1] == 2 * width + overlay.GAP
    assert np.array_equal(panel(both)[:, :width], panel(alone))
    beside = np.ptp(panel(both)[:, width + overlay.GAP :].astype(int), axis=2)
    row, column = np.unravel_index(beside.argmax(), beside.shape)
    assert (row, column) == (pytest.approx(44 * 6, abs=4), pytest.approx(60 * 6, abs=4))


def test_a_truth_without_heads_is_drawn() -> None:
    assert drawn(one_cell(1.0), truth=np.zeros((0, 2))).shape[1] > 1400


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5000), (5000, 1), (7, 9), (3000, 4000)])
def test_any_size_becomes_one_that_fits_a_screen(height: int, width: int) -> None:
    density = np.ones((-(-height // 8), -(-width // 8)))
    pixels = drawn(density, picture=grey_picture(height, width))
    assert overlay.LEAST_WIDTH <= pixels.shape[1] <= overlay.LONGEST_SIDE[1]
    assert pixels.shape[0] <= overlay.LONGEST_SIDE[1] + overlay.HEADER + overlay.FOOTER


def test_a_synthetic_crowd_is_drawn_as_rendered() -> None:
    scene = plan_scene("test", 0, seed=0, difficulty="easy")
    image = np.asarray(render(scene).convert("RGB"))
    rows, columns = -(-image.shape[0] // 8), -(-image.shape[1] // 8)
    grey = Image.fromarray(panel(drawn(np.zeros((rows, columns)), picture=image))).convert("L")
    small = np.asarray(grey.resize((image.shape[1], image.shape[0]), Image.Resampling.BOX), dtype=float)
    expected = np.asarray(Image.fromarray(image).convert("L"), dtype=float)
    assert np.corrcoef(small.ravel(), expected.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("vmax", [0.0, -1.0, float("nan")])
def test_a_scale_without_a_top_is_refused(vmax: float) -> None:
    with pytest.raises(ValueError, match="vmax must be positive"):
        drawn(one_cell(1.0), vmax=vmax)


def test_the_scale_is_the_99th_percentile_of_what_holds_anything() -> None:
    cells = np.concatenate([np.linspace(0.5, 1.5, 101), np.zeros(10_000), -np.ones(500)])
    assert colour_scale(cells) == pytest.approx(1.49)
    # the noise of a large picture does not push the few people off the scale
    assert colour_scale(np.concatenate([cells, np.full(100_000, 1e-3)])) == pytest.approx(1.49)


@pytest.mark.parametrize("cells", [np.zeros(0), np.zeros(5), -np.ones(5)])
def test_a_job_without_heads_has_a_scale(cells: np.ndarray) -> None:
    assert colour_scale(cells) == 1.0


def test_a_missing_matplotlib_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(DotallyError, match="overlays need matplotlib"):
        overlay.palette()
