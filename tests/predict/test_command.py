import argparse
from pathlib import Path

import pytest

from dotally.errors import DotallyError, WeightsError
from dotally.predict import command, save_weights


def arguments(*words: str | Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


def test_a_photo_becomes_a_table_and_an_overlay(tmp_path: Path, photo: Path, checkpoint: Path) -> None:
    out = tmp_path / "out"
    assert (
        command.run(arguments(photo, "--weights", checkpoint, "--out", out, "--overlay", "png", "--vmax", "0.2")) == 0
    )
    assert (out / "counts.csv").read_text().startswith("file,width,height,count,flags,seconds\nphoto.png,60,40,")
    assert (out / "overlays" / "photo.png").is_file()


def test_a_limit_is_a_failed_picture(tmp_path: Path, photo: Path, checkpoint: Path) -> None:
    words = (photo, "--weights", checkpoint, "--out", tmp_path / "out", "--max-megapixels", "0.001")
    assert command.run(arguments(*words)) == 1


def test_the_size_that_pictures_are_shrunk_to_is_said_and_can_be_chosen(
    tmp_path: Path, photo: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (photo, "--weights", checkpoint, "--out", tmp_path / "out", "--longest-side", "32")
    assert command.run(arguments(*words)) == 0
    assert ", pictures shrunk to 32 pixels, on " in capsys.readouterr().err


def test_weights_that_are_not_there_touch_nothing(tmp_path: Path, photo: Path) -> None:
    with pytest.raises(WeightsError, match="no such weights file"):
        command.run(arguments(photo, "--weights", "nowhere.pt", "--out", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_to_is_one_line(tmp_path: Path, photo: Path, checkpoint: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(DotallyError, match=r"out.*: cannot be written \("):
        command.run(arguments(photo, "--weights", checkpoint, "--out", tmp_path / "out"))


@pytest.mark.parametrize(
    "words",
    [("--weights", "a", "--out", "b"), ("p", "--weights", "a")]
    + [
        ("p", "--weights", "a", "--out", "b", flag, value)
        for flag, value in (("--vmax", "0"), ("--vmax", "nan"), ("--longest-side", "-1"))
    ]
    + [
        ("p", "--weights", "a", "--out", "b", "--max-megapixels", "many"),
        ("p", "--weights", "a", "--out", "b", "--device", "x"),
    ],
)
def test_wrong_use_is_exit_code_two(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        arguments(*words)
    assert caught.value.code == 2


def test_it_says_which_weights_count(
    tmp_path: Path, photo: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_weights(checkpoint, tmp_path / "slim.pt", {"trained on": "synthetic crowd", "licence": "Apache-2.0"})
    command.run(arguments(photo, "--weights", tmp_path / "slim.pt", "--out", tmp_path / "out", "--device", "cpu"))
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        f"weights {tmp_path / 'slim.pt'} (csrnet, imagenet preprocessing, on cpu)",
        "    trained on: synthetic crowd",
        "    licence: Apache-2.0",
    ]
    assert printed.out.startswith("1 picture: ")
