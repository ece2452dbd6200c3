"""How pictures of one's own are scaled where that is left to us."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dotally.data import PointFolder
from dotally.data.dotted import Dotted
from dotally.data.spacing import chosen_scale, spacing


def grid(apart: float, size: tuple[int, int] = (480, 640), count: int = 4) -> Dotted:
    """A picture with ``count`` x ``count`` dots, ``apart`` pixels from one another."""
    steps = 5 + apart * np.arange(count)
    points = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    labels, path = ("",) * len(points), Path("a.png")
    return Dotted(name="a.png", picture=path, annotation=path, points=points, labels=labels, size=size)


def test_spacing_is_the_distance_to_the_nearest_dot_elsewhere() -> None:
    assert spacing([grid(20.0), grid(20.0, count=1)]) == pytest.approx(20.0)
    twice = grid(20.0)
    doubled = Dotted(**{**vars(twice), "points": np.repeat(twice.points, 2, axis=0), "labels": twice.labels * 2})
    assert spacing([doubled]) == pytest.approx(20.0)
    assert spacing([grid(20.0, count=1)]) is None


def test_pictures_shrink_until_neighbours_are_near_and_never_grow() -> None:
    assert chosen_scale([grid(96.0)]) == (213, 8.0)
    assert chosen_scale([grid(20.0)]) == (None, 5.0)
    assert chosen_scale([grid(20.0, count=1)]) == (None, 12.0)
    assert chosen_scale([grid(2000.0, size=(9000, 9000))]) == (144, 8.0)


def test_a_folder_may_mix_resolutions() -> None:
    large, small = grid(160.0, size=(3000, 4000)), grid(40.0, size=(750, 1000), count=9)
    assert chosen_scale([large, small]) == (800, 8.0)


def test_pictures_without_neighbours_are_bounded_all_the_same() -> None:
    assert chosen_scale([grid(1.0, size=(3000, 4000), count=1)]) == (2048, 12.0)


def test_a_side_of_ones_own_is_kept_and_the_width_follows() -> None:
    assert chosen_scale([grid(96.0)], 320) == (320, 12.0)
    assert chosen_scale([grid(40.0)], 320) == (320, 5.0)
    assert chosen_scale([grid(40.0)], None) == (None, 10.0)


def test_a_folder_is_read_at_the_scale_of_its_training_pictures(tmp_path: Path) -> None:
    rows = ["file,x,y"]
    for number in range(6):
        Image.new("RGB", (640, 480)).save(tmp_path / f"{number}.png")
        rows += [f"{number}.png,{x},{y}" for x, y in grid(96.0).points.tolist()]
    (tmp_path / "dots.csv").write_text("\n".join(rows))
    data = PointFolder(tmp_path, sigma="auto", longest_side="auto")
    sample = data.dataset("test")[0]
    assert sample.size == (160, 213)
    assert set(sample.sigma.tolist()) == {8.0}
    # what counts later reads it from the checkpoint
    assert data.hparams["longest_side"] == 213
    with pytest.raises(ValueError, match="sigma must be 'adaptive', 'auto' or a number"):
        PointFolder(tmp_path, sigma="wide")  # type: ignore[arg-type]
