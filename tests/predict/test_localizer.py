"""A classifier as a function from pictures to boxes, and files of weights that say or do not say what they are."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dotally import Localizer
from dotally.data.box_sample import BoxSample
from dotally.data.box_transforms import frame
from dotally.data.shapes import SHAPES
from dotally.errors import DataError, DotallyError, WeightsError
from dotally.models import build_model
from dotally.predict.localizer import WAYS
from dotally.predict.view import view_of
from dotally.stnet import STNet
from dotally.tasks import LocalizationTask

SIZE = (50, 70)
NAMES = list(SHAPES)


@pytest.fixture
def localizer(shapes_checkpoint: Path) -> Localizer:
    return Localizer.load(shapes_checkpoint, device="cpu", framing="keep")


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def test_a_box_is_the_engines_own(localizer: Localizer, photo: np.ndarray) -> None:
    network = localizer.network
    x = network.prepare(torch.from_numpy(photo).permute(2, 0, 1)[None])
    expected = STNet(network.model)(x)
    result = localizer(photo)
    edge = expected.boxes[0].minimum(torch.tensor([SIZE[1] - 1.0, SIZE[0] - 1.0] * 2))
    assert result.box == pytest.approx(edge.tolist())
    assert result.label == result.predicted == int(expected.logits.argmax())
    assert result.score == pytest.approx(float(expected.logits.softmax(1).max()))
    assert (result.size, result.name) == (SIZE, str(result.label))


@pytest.mark.parametrize("method", WAYS)
def test_every_method_gives_a_box_inside_the_picture(shapes_checkpoint: Path, photo: np.ndarray, method: Any) -> None:
    localizer = Localizer.load(shapes_checkpoint, device="cpu", method=method)
    for target in (None, 3):
        result = localizer(photo, target=target)
        x0, y0, x1, y1 = result.box
        assert 0 <= x0 <= x1 < SIZE[1]
        assert 0 <= y0 <= y1 < SIZE[0]
        assert result.label == (result.predicted if target is None else 3)
        assert bool(torch.isfinite(result.map).all())
        assert result.hypothesis.shape == (64, 64)
        assert result.overlay(truth=[(1, 2, 30, 40)]).mode == result.hypothesis_overlay().mode == "RGB"


@pytest.mark.parametrize("framing", ["crop", "warp", "keep"])
@pytest.mark.parametrize("size", [(50, 70), (90, 31), (64, 64), (200, 300)])
def test_what_is_shown_is_what_training_showed_and_boxes_find_the_way_back(framing: Any, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    middle = [size[1] / 2 - 3, size[0] / 2 - 4, size[1] / 2 + 5, size[0] / 2 + 2]
    sample = BoxSample(name="a", image=torch.from_numpy(image).permute(2, 0, 1), label=0, boxes=torch.tensor([middle]))
    framed, view = frame(sample, framing, 64), view_of(image, framing, 64)
    assert torch.equal(view.image, framed.image)
    assert view.to_picture(framed.boxes[0]) == pytest.approx(middle, abs=1e-3)
    x0, y0, x1, y1 = view.place
    assert 0 <= x0 < x1 <= size[1]
    assert 0 <= y0 < y1 <= size[0]


def test_every_kind_of_picture_gives_the_same_box(localizer: Localizer, photo: np.ndarray, tmp_path: Path) -> None:
    image = Image.fromarray(photo)
    image.save(tmp_path / "a.png")
    buffer = io.BytesIO()
    image.save(buffer, "BMP")
    kinds = [tmp_path / "a.png", str(tmp_path / "a.png"), image, buffer.getvalue(), photo]
    assert len({localizer(kind).box for kind in kinds}) == 1


def test_a_result_is_plain_values(localizer: Localizer, photo: np.ndarray) -> None:
    result = localizer(photo)
    assert json.loads(json.dumps(result.to_dict())) == {
        "box": list(result.box),
        "label": result.label,
        "name": str(result.label),
        "score": result.score,
        "predicted": result.predicted,
        "height": SIZE[0],
        "width": SIZE[1],
        "flags": [],
    }


def test_a_checkpoint_says_how_its_pictures_were_framed(shapes_checkpoint: Path) -> None:
    localizer = Localizer.load(shapes_checkpoint, device="cpu")
    assert (localizer.framing, localizer.side, localizer.model, localizer.stop) == ("warp", 64, "shapes_net", "image")


def test_classes_have_names(shapes_checkpoint: Path, photo: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("\n".join(NAMES) + "\n")
    localizer = Localizer.load(shapes_checkpoint, device="cpu", classes=tmp_path / "names.txt")
    assert localizer(photo, target=NAMES[2]).label == 2
    assert localizer(photo, target=1).name == NAMES[1]
    with pytest.raises(ValueError, match="no class 'dog' among the 8"):
        localizer(photo, target="dog")
    (tmp_path / "names.txt").write_text("dog\ncat\n")
    with pytest.raises(DataError, match="names 2 classes, but the network has 8"):
        Localizer.load(shapes_checkpoint, device="cpu", classes=tmp_path / "names.txt")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, "method must be one of stnet"),
        ({"stop": "features.99"}, r"no layer is called 'features\.99'"),
        ({"threshold": 0.5}, "a threshold is a share of 1 and belongs to cam and grad-cam"),
        ({"method": "cam", "stop": "features.3"}, "cam always reads the last map"),
        ({"framing": "zoom"}, "framing must be one of crop, warp, keep"),
        ({"classes": ["one"]}, "1 names were given for the 8 classes"),
    ],
)
def test_a_wrong_choice_names_the_right_ones(shapes_checkpoint: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Localizer.load(shapes_checkpoint, device="cpu", **options)


@pytest.mark.parametrize(("target", "message"), [(8, r"class 8 is outside of 0\.\.7"), ("dog", "names of the classes")])
def test_a_class_the_network_does_not_have(
    localizer: Localizer, photo: np.ndarray, target: int | str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        localizer(photo, target=target)


def test_weights_with_torchvisions_names_need_a_network(tmp_path: Path, photo: np.ndarray) -> None:
    torch.manual_seed(0)
    network = build_model("alexnet", width=1 / 16, num_classes=5)
    torch.save(network.state_dict(), tmp_path / "alexnet.pth")
    with pytest.raises(WeightsError, match=r"does not say which network.*alexnet.*--arch"):
        Localizer.load(tmp_path / "alexnet.pth", device="cpu")
    with pytest.raises(WeightsError, match="csrnet is no classifier; those are: alexnet"):
        Localizer.load(tmp_path / "alexnet.pth", arch="csrnet", device="cpu")
    # the number of classes is read off the weights
    localizer = Localizer.load(tmp_path / "alexnet.pth", arch="alexnet", arch_kwargs={"width": 1 / 16}, device="cpu")
    assert (localizer.stop, localizer.framing, localizer.side, localizer.num_classes) == ("features.2", "crop", 224, 5)
    result = localizer(photo)
    assert result.map.shape == (27, 27)
    assert result.hypothesis.shape == (224, 224)


def test_a_checkpoint_of_a_counting_network_is_refused(checkpoint: Path) -> None:
    with pytest.raises(WeightsError, match="csrnet does not classify; networks that do: alexnet"):
        Localizer.load(checkpoint, device="cpu")


def test_an_architecture_for_a_checkpoint_is_refused(shapes_checkpoint: Path) -> None:
    with pytest.raises(WeightsError, match="says itself which network it is for"):
        Localizer.load(shapes_checkpoint, arch="alexnet", device="cpu")


@pytest.mark.parametrize("method", ["stnet", "cam"])
def test_nan_is_an_error_and_no_box(shapes_checkpoint: Path, photo: np.ndarray, method: Any) -> None:
    localizer = Localizer.load(shapes_checkpoint, device="cpu", method=method)
    with torch.no_grad():
        localizer.network.model.classifier.bias.fill_(float("nan"))
    with pytest.raises(DotallyError, match="class scores of picture 0 are not finite"):
        localizer(photo)


def test_too_little_memory_says_what_to_do(
    localizer: Localizer, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(localizer.network, "prepare", prepare)
    with pytest.raises(DotallyError, match=r"70 x 50 pixels need more memory.*--side.*--device cpu"):
        localizer(photo)


def test_the_network_is_described_with_its_method(localizer: Localizer) -> None:
    assert localizer.describe() == [
        f"weights {localizer.path} (shapes_net, stnet at image, sum over channels, 1 mean + 0 sd of non-zero cells, "
        "imagenet preprocessing, whole pictures, on cpu)"
    ]


def test_importing_the_command_does_not_import_torch() -> None:
    code = "import sys, dotally.predict.localize_command; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_weights_survive_being_handed_on_without_training_state(tmp_path: Path, photo: np.ndarray) -> None:
    torch.manual_seed(0)
    task = LocalizationTask(model="shapes_net", model_kwargs={"width": 0.5}, preprocessing="unit")
    content = {"dotally": 1, "hyper_parameters": dict(task.hparams), "state_dict": task.state_dict()}
    torch.save({**content, "facts": {"licence": "Apache-2.0"}}, tmp_path / "slim.pt")
    localizer = Localizer.load(tmp_path / "slim.pt", device="cpu", side=64)
    assert localizer.facts == {"licence": "Apache-2.0"}
    assert localizer(photo).predicted == int(task.eval()(localizer(photo).view.image[None]).argmax())
