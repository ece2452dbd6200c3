import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dotally import Counter
from dotally.errors import DataError, DotallyError
from dotally.files import sha256
from dotally.predict import folder
from dotally.predict.folder import predict

Save = Callable[[Path], None]


def rgb(height: int = 40, width: int = 60) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    rgb().save(path, exif=exif)


def truncated(path: Path) -> None:
    rgb(200, 200).save(path)
    path.write_bytes(path.read_bytes()[:5000])


def saved(image: Image.Image, **options: Any) -> Save:
    return lambda path: image.save(path, **options)


def deep_grey() -> Image.Image:
    return Image.fromarray(np.linspace(0, 65535, 2400).reshape(40, 60).astype(np.uint16))


# every odd file a folder can hold: how it is made, and (width, height, flags) or what its error says
ODD: dict[str, tuple[Save, tuple[int, int, set[str]] | str]] = {
    "rotated.jpg": (turned, (40, 60, {"rotated"})),
    "deep.png": (saved(deep_grey()), (60, 40, {"rescaled"})),
    "float.tif": (saved(Image.fromarray(np.eye(32, dtype=np.float32))), (32, 32, {"rescaled"})),
    "rgba.png": (saved(Image.new("RGBA", (60, 40), (255, 0, 0, 0))), (60, 40, {"transparent"})),
    "palette.png": (saved(rgb().convert("P")), (60, 40, set())),
    "cmyk.jpg": (saved(rgb().convert("CMYK")), (60, 40, set())),
    "pages.gif": (saved(rgb(), save_all=True, append_images=[rgb().rotate(180)]), (60, 40, {"2 pages"})),
    "one.png": (saved(rgb(1, 1)), (1, 1, {"tiny"})),
    "line.png": (saved(rgb(1, 5000)), (5000, 1, {"tiny"})),
    "odd/sides.png": (saved(rgb(37, 53)), (53, 37, set())),
    "black.png": (saved(Image.new("L", (256, 256))), (256, 256, {"below blank level"})),
    "truncated.jpg": (truncated, "damaged or truncated"),
    "text.jpg": (lambda path: path.write_text("not a picture"), "not a picture"),
    "empty.png": (lambda path: path.touch(), "the file is empty"),
    "large.png": (saved(Image.new("L", (400, 300))), "more than the limit of 0.1"),
}


def make(path: Path, names: list[str]) -> Path:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        ODD[name][0](path / name)
    return path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def summary(out: Path) -> dict[str, Any]:
    return json.loads((out / "summary.json").read_text())


def files(path: Path) -> set[str]:
    return {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}


def test_every_odd_file_gets_its_row_or_its_error(tmp_path: Path, counter: Counter) -> None:
    source, out = make(tmp_path / "photos", list(ODD)), tmp_path / "out"
    assert predict([source], counter, out, max_megapixels=0.1) == 1
    good = {name: expected for name, (_, expected) in ODD.items() if not isinstance(expected, str)}
    bad = {name: expected for name, (_, expected) in ODD.items() if isinstance(expected, str)}
    counted, failed = rows(out / "counts.csv"), rows(out / "errors.csv")
    assert {row["file"]: (int(row["width"]), int(row["height"])) for row in counted} == {
        name: (width, height) for name, (width, height, _) in good.items()
    }
    for row in counted:
        flags = set(filter(None, row["flags"].split("; ")))
        assert flags - {"below blank level"} == good[row["file"]][2] - {"below blank level"}
        assert flags >= good[row["file"]][2]
        assert float(row["count"]) > 0
        assert float(row["seconds"]) > 0
    assert len(counted) == len(good)
    assert len(failed) == len(bad)
    for row in failed:
        assert bad[row["file"]] in row["message"]
        assert str(tmp_path) not in row["message"]
    assert files(out / "overlays") == {Path(name).with_suffix(".jpg").as_posix() for name in good}
    assert (summary(out)["pictures"], summary(out)["failed"]) == (len(good), len(bad))


def test_a_good_folder_gives_zero_and_a_whole_summary(
    tmp_path: Path, counter: Counter, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = make(tmp_path / "photos", ["odd/sides.png", "rotated.jpg"]), tmp_path / "out"
    assert predict([source], counter, out) == 0
    assert files(out) == {"counts.csv", "summary.json", "overlays/odd/sides.jpg", "overlays/rotated.jpg"}
    counts = [float(row["count"]) for row in rows(out / "counts.csv")]
    found = summary(out)
    assert found["heads"] == pytest.approx(sum(counts), abs=0.001)
    assert found["counts"]["max"] == pytest.approx(max(counts), abs=0.001)
    assert found["flags"]["rotated"] == 1
    assert len(found["weights"]["sha256"]) == 64
    assert found["weights"]["preprocessing"] == "imagenet"
    assert found["settings"] == {"max_megapixels": 200, "overlay": "jpg", "vmax": None}
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].startswith(f"2 pictures: {sum(counts):.1f} heads, ")
    assert lines[-1] == f"wrote {out / 'counts.csv'}, {out / 'overlays'}, {out / 'summary.json'}"
    assert printed.err == ""


def test_counts_are_those_of_the_counter(tmp_path: Path, counter: Counter) -> None:
    source = make(tmp_path / "photos", ["odd/sides.png"]) / "odd" / "sides.png"
    predict([source], counter, tmp_path / "out", overlay="none")
    (row,) = rows(tmp_path / "out" / "counts.csv")
    assert row["file"] == "sides.png"
    assert float(row["count"]) == pytest.approx(counter(source).count, abs=0.0005)
    assert not (tmp_path / "out" / "overlays").exists()


def test_all_overlays_share_one_scale(tmp_path: Path, counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    scales = []
    draw = folder.draw_overlay
    monkeypatch.setattr(
        folder, "draw_overlay", lambda *a, vmax, **k: (scales.append(vmax), draw(*a, vmax=vmax, **k))[1]
    )
    source = make(tmp_path / "photos", ["odd/sides.png", "rotated.jpg", "black.png"])
    densities = [
        counter(source / name).density.numpy().ravel() for name in ("black.png", "odd/sides.png", "rotated.jpg")
    ]
    predict([source], counter, tmp_path / "out", overlay="png")
    predict([source], counter, tmp_path / "out", overlay="png", vmax=0.5)
    p99 = pytest.approx(np.percentile(np.concatenate(densities), 99))
    assert scales == [p99, p99, p99, 0.5, 0.5, 0.5]
    assert (tmp_path / "out" / "overlays" / "black.png").is_file()


@pytest.mark.parametrize("kind", ["csv", "mats"])
def test_truth_gives_errors_per_picture_and_in_all(
    tmp_path: Path, counter: Counter, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    source = make(tmp_path / "photos", ["odd/sides.png", "palette.png", "rotated.jpg"])
    # 53 x 37 and 40 x 60 pixels: one head is outside; nothing is known of palette.png
    heads = {"odd/sides.png": [(1, 1), (52.9, 36.9), (53, 1)], "rotated.jpg": [(39, 59)]}
    truth = tmp_path / "truth.csv" if kind == "csv" else tmp_path / "mats"
    write_csv(truth, heads) if kind == "csv" else write_mats(truth, heads)
    out = tmp_path / "out"
    assert predict([source], counter, out, truth=truth) == 0
    found = {row["file"]: row for row in rows(out / "counts.csv")}
    assert {name: row["truth"] for name, row in found.items()} == {
        "odd/sides.png": "2",
        "palette.png": "",
        "rotated.jpg": "1",
    }
    errors = [float(found[name]["count"]) - int(found[name]["truth"]) for name in heads]
    assert [float(found[name]["error"]) for name in heads] == pytest.approx(errors, abs=0.001)
    total = summary(out)["truth"]
    assert (total["pictures"], total["outside"]) == (2, 1)
    assert total["mae"] == pytest.approx(np.abs(errors).mean(), abs=0.001)
    assert total["rmse"] == pytest.approx(np.sqrt(np.square(errors).mean()), abs=0.001)
    assert total["bias"] == pytest.approx(np.mean(errors), abs=0.001)
    line = capsys.readouterr().out.splitlines()[-2]
    assert line.startswith(f"truth of 2 pictures: MAE {total['mae']:.2f}, ")
    assert line.endswith("; annotated outside: 1")
    with Image.open(out / "overlays/rotated.jpg") as beside, Image.open(out / "overlays/palette.jpg") as alone:
        assert beside.width > 1.5 * alone.width


def test_truth_follows_a_picture_that_is_shrunk(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[tuple[int, ...], Any]] = []
    draw = folder.draw_overlay
    monkeypatch.setattr(
        folder,
        "draw_overlay",
        lambda image, *a, **k: (drawn.append((image.shape, k["truth"])), draw(image, *a, **k))[1],
    )
    source = make(tmp_path / "photos", ["odd/sides.png"])  # 53 x 37 pixels
    write_csv(tmp_path / "truth.csv", {"odd/sides.png": [(52.9, 36.9), (53, 1)]})
    small = Counter.load(checkpoint, device="cpu", longest_side=20)
    assert predict([source], small, tmp_path / "out", truth=tmp_path / "truth.csv") == 0
    (row,) = rows(tmp_path / "out" / "counts.csv")
    assert (row["width"], row["height"], row["truth"]) == ("53", "37", "1")
    ((shape, heads),) = drawn
    assert shape == (14, 20, 3)
    np.testing.assert_allclose(heads, [(52.9 * 20 / 53, 36.9 * 14 / 37)])
    assert summary(tmp_path / "out")["weights"]["longest_side"] == 20


def write_csv(path: Path, heads: dict[str, list[tuple[float, float]]]) -> None:
    lines = [f"{name},{x},{y}" for name, points in heads.items() for x, y in points]
    path.write_text("\n".join(["file,x,y", *lines]) + "\n")


def write_mats(path: Path, heads: dict[str, list[tuple[float, float]]]) -> None:
    from scipy.io import savemat

    for name, points in heads.items():
        info = np.empty((1, 1), dtype=[("location", object), ("number", object)])
        info[0, 0] = (np.array(points, dtype=float), np.array([[len(points)]]))
        cell = np.empty((1, 1), dtype=object)
        cell[0, 0] = info
        path.mkdir(exist_ok=True)
        savemat(path / f"GT_{Path(name).stem}.mat", {"image_info": cell})


def test_a_network_that_says_nan_fails_every_picture(tmp_path: Path, nan_checkpoint: Path) -> None:
    source, out = make(tmp_path / "photos", ["palette.png", "cmyk.jpg"]), tmp_path / "out"
    assert predict([source], Counter.load(nan_checkpoint, device="cpu"), out) == 1
    assert rows(out / "counts.csv") == []
    assert [row["file"] for row in rows(out / "errors.csv")] == ["cmyk.jpg", "palette.png"]
    assert "not a number" in rows(out / "errors.csv")[0]["message"]
    assert (summary(out)["pictures"], summary(out)["heads"]) == (0, 0)


def test_an_interrupt_leaves_a_whole_table_and_no_summary(
    tmp_path: Path, counter: Counter, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = make(tmp_path / "photos", ["cmyk.jpg", "palette.png", "rotated.jpg"]), tmp_path / "out"
    count = counter.network.forward

    def forward(image: Any, size: Any) -> Any:
        if tuple(size[0]) == (60, 40):
            raise KeyboardInterrupt
        return count(image, size)

    monkeypatch.setattr(counter.network, "forward", forward)
    assert predict([source], counter, out) == 1
    assert [row["file"] for row in rows(out / "counts.csv")] == ["cmyk.jpg", "palette.png"]
    assert files(out) == {"counts.csv"}
    assert "has 2 of 3 pictures" in capsys.readouterr().err


def test_a_second_job_leaves_nothing_of_the_first(tmp_path: Path, counter: Counter) -> None:
    source, out = make(tmp_path / "photos", ["cmyk.jpg", "text.jpg"]), tmp_path / "out"
    assert predict([source], counter, out) == 1
    (source / "text.jpg").unlink()
    rgb().save(source / "text.jpg")
    (source / "cmyk.jpg").write_text("no picture any more")
    assert predict([source], counter, out) == 1
    assert [row["file"] for row in rows(out / "errors.csv")] == ["cmyk.jpg"]
    assert files(out / "overlays") == {"text.jpg"}
    (source / "cmyk.jpg").unlink()
    assert predict([source], counter, out) == 0
    assert not (out / "errors.csv").exists()


def test_a_picture_that_vanishes_before_it_is_drawn_is_an_error(
    tmp_path: Path, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = make(tmp_path / "photos", ["cmyk.jpg", "palette.png"]), tmp_path / "out"
    colour_scale = folder.DensityMaps.colour_scale

    def then_vanish(maps: folder.DensityMaps) -> float:
        (source / "cmyk.jpg").unlink()
        return colour_scale(maps)

    monkeypatch.setattr(folder.DensityMaps, "colour_scale", then_vanish)
    assert predict([source], counter, out) == 1
    assert len(rows(out / "counts.csv")) == 2
    assert rows(out / "errors.csv") == [{"file": "cmyk.jpg", "message": "no such file"}]
    assert files(out / "overlays") == {"palette.jpg"}


def test_nothing_to_count_leaves_nothing_behind(tmp_path: Path, counter: Counter) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match="no pictures here or below") as caught:
        predict([tmp_path / "photos"], counter, tmp_path / "out")
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_broken_truth_stops_before_anything_is_counted(tmp_path: Path, counter: Counter) -> None:
    source = make(tmp_path / "photos", ["cmyk.jpg"])
    with pytest.raises(DataError, match="no such file or folder of truth"):
        predict([source], counter, tmp_path / "out", truth=tmp_path / "absent.csv")
    assert not (tmp_path / "out").exists()


def test_a_missing_matplotlib_is_found_before_anything_is_counted(
    tmp_path: Path, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make(tmp_path / "photos", ["cmyk.jpg"])
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(DotallyError, match="--overlay none"):
        predict([source], counter, tmp_path / "out")
    assert predict([source], counter, tmp_path / "out", overlay="none") == 0


def test_weights_that_vanish_meanwhile_do_not_cost_the_summary(tmp_path: Path, checkpoint: Path) -> None:
    copy = tmp_path / "last.ckpt"
    shutil.copyfile(checkpoint, copy)
    counter = Counter.load(copy, device="cpu")
    copy.unlink()
    assert predict([make(tmp_path / "photos", ["cmyk.jpg"])], counter, tmp_path / "out") == 0
    assert summary(tmp_path / "out")["weights"]["sha256"] == sha256(checkpoint)
