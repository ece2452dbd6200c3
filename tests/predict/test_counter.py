import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dotally import Counter
from dotally.data.collate import cell_mask, collate
from dotally.data.crowd_dataset import CrowdDataset, Record
from dotally.data.sample import CrowdBatch, CrowdSample
from dotally.errors import DotallyError, PictureError
from dotally.predict.network import CountingNetwork
from dotally.predict.weights_file import LoadedWeights
from dotally.tasks import CountingTask


def counting(task: CountingTask) -> CountingNetwork:
    network = CountingNetwork(**task.hparams)
    network.load_state_dict(task.state_dict())
    return network


def counter_of(task: CountingTask) -> Counter:
    return Counter(LoadedWeights(network=counting(task), path=Path("weights.pt"), sha256=""), device="cpu")


def to_tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)


def as_batch(image: np.ndarray, stride: int) -> CrowdBatch:
    """The picture as validation would see it."""
    sample = CrowdSample(
        name="a", image=to_tensor(image), points=torch.zeros(0, 2), sigma=torch.zeros(0), adaptive=False
    )
    batch = collate([sample], stride)
    shape = (batch["image"].shape[2] // stride, batch["image"].shape[3] // stride)
    mask = cell_mask(batch["size"], shape, stride)
    return CrowdBatch(**{**batch, "density": torch.zeros_like(mask), "mask": mask})


def test_the_count_is_the_sum_of_what_the_network_says(counter: Counter, picture: np.ndarray) -> None:
    with torch.no_grad():
        output = counter.network(to_tensor(picture)[None], torch.tensor([[64, 80]]))
    result = counter(picture)
    torch.testing.assert_close(result.density, output[0, 0], rtol=0, atol=0)
    assert result.count == float(output.double().sum())
    assert (result.size, result.stride, result.density.dtype) == ((64, 80), 8, torch.float32)


@pytest.mark.parametrize("size", [(64, 80), (63, 80), (57, 73), (5, 80), (1, 1), (1, 500)])
def test_padding_changes_no_count(
    counter: Counter, task: CountingTask, picture: np.ndarray, size: tuple[int, int]
) -> None:
    image = np.resize(picture, (*size, 3))
    with torch.no_grad():
        expected = float(task.eval().count(as_batch(image, 8)))
    result = counter(image)
    assert result.count == pytest.approx(expected, abs=1e-9)
    assert result.density.shape == (-(-size[0] // 8), -(-size[1] // 8))


@pytest.mark.parametrize("size", [(64, 80), (80, 33), (500, 1), (40, 30)])
def test_pictures_are_shrunk_as_they_were_in_training(
    task: CountingTask, picture: np.ndarray, size: tuple[int, int], tmp_path: Path
) -> None:
    Image.fromarray(np.resize(picture, (*size, 3))).save(tmp_path / "a.png")
    record = Record(name="a", picture=tmp_path / "a.png", annotation=tmp_path)
    data = CrowdDataset([record], lambda _: np.array([[0.5, 30.0]]), sigma=4.0, longest_side=40)
    weights = LoadedWeights(network=counting(task), path=Path("weights.pt"), sha256="", reading={"longest_side": 40})
    result = Counter(weights, device="cpu")(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as opened:
        for kind in (opened, np.asarray(opened), to_tensor(np.array(opened)), (tmp_path / "a.png").read_bytes()):
            np.testing.assert_array_equal(Counter(weights, device="cpu")(kind).image, result.image)
    np.testing.assert_array_equal(result.image, data.load(0).image.permute(1, 2, 0))
    assert result.size == size
    assert Counter(weights, device="cpu", longest_side=0)(tmp_path / "a.png").image.shape[:2] == size
    assert result.overlay(truth=np.array([[0.5, 30.0]])).size == result.overlay(truth=np.zeros((1, 2))).size


def test_density_is_compared_with_that_of_training_at_the_size_it_was_shown(task: CountingTask) -> None:
    task.densest.fill_(50.0)  # the network finds about 300 heads per megapixel of anything
    weights = LoadedWeights(network=counting(task), path=Path("weights.pt"), sha256="", reading={"longest_side": 20})
    assert "denser than training" in Counter(weights, device="cpu")(np.full((256, 320, 3), 90, np.uint8)).flags


def test_every_kind_of_picture_gives_the_same_count(counter: Counter, picture: np.ndarray, tmp_path: Path) -> None:
    image = Image.fromarray(picture)
    image.save(tmp_path / "a.png")
    buffer = io.BytesIO()
    image.save(buffer, "BMP")
    kinds = [tmp_path / "a.png", str(tmp_path / "a.png"), image, to_tensor(picture), buffer.getvalue()]
    assert {counter(kind).count for kind in kinds} == {counter(picture).count}


def test_a_result_is_plain_values_and_a_picture(counter: Counter, picture: np.ndarray) -> None:
    result = counter(picture)
    assert json.loads(json.dumps(result.to_dict())) == {
        "count": result.count,
        "height": 64,
        "width": 80,
        "flags": list(result.flags),
        "points": None,
        "zones": {},
        "model": "csrnet",
    }
    assert result.overlay().mode == "RGB"


def test_a_density_belongs_to_the_caller(counter: Counter, picture: np.ndarray) -> None:
    density = counter(picture).density
    density += 1  # refused for what was made in inference mode
    assert not density.requires_grad


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 7)])
def test_a_side_below_the_stride_is_tiny(counter: Counter, size: tuple[int, int]) -> None:
    assert "tiny" in counter(np.full((*size, 3), 200, dtype=np.uint8)).flags


def test_a_black_picture_is_below_the_blank_level(counter: Counter) -> None:
    result = counter(np.zeros((256, 256), dtype=np.uint8))
    assert result.count > 0
    assert "below blank level" in result.flags


def test_the_blank_level_grows_with_the_area(task: CountingTask) -> None:
    with torch.no_grad():
        for parameter in task.model.parameters():
            parameter.zero_()
        task.model.output_layer.bias.fill_(0.01)
    counter = counter_of(task)
    assert counter.blank_level == pytest.approx(0.01 / 64)
    assert "below blank level" in counter(np.full((512, 512), 255, dtype=np.uint8)).flags


def test_more_heads_per_megapixel_than_in_training_are_flagged(task: CountingTask, picture: np.ndarray) -> None:
    counter = counter_of(task)
    density = counter(picture).count / (64 * 80 / 1e6)
    for densest, flagged in ((0.0, False), (density * 1.01, False), (density * 0.99, True)):
        counter.network.densest.fill_(densest)
        assert ("denser than training" in counter(picture).flags) == flagged


def test_much_negative_mass_is_flagged_and_counted(task: CountingTask, picture: np.ndarray) -> None:
    assert "negative density" not in counter_of(task)(picture).flags
    with torch.no_grad():
        task.model.output_layer.bias.fill_(-10)
    result = counter_of(task)(picture)
    assert "negative density" in result.flags
    assert result.count < 0


def test_nan_is_an_error_and_no_count(nan_checkpoint: Path, picture: np.ndarray) -> None:
    with pytest.raises(DotallyError, match=r"output is not a number.*nan\.ckpt"):
        Counter.load(nan_checkpoint, device="cpu")(picture)


def test_too_little_memory_says_what_to_do(
    counter: Counter, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(*_: object) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(counter.network, "forward", forward)
    with pytest.raises(DotallyError, match=r"80 x 64 pixels need more memory.*--max-megapixels.*--device cpu"):
        counter(picture)


def test_other_failures_of_the_network_are_not_taken_for_that(
    counter: Counter, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(*_: object) -> Tensor:
        raise RuntimeError("shape '[3]' is invalid")

    monkeypatch.setattr(counter.network, "forward", forward)
    with pytest.raises(RuntimeError, match="is invalid"):
        counter(picture)


def test_a_large_file_is_refused(counter: Counter, picture: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(picture).save(tmp_path / "a.png")
    with pytest.raises(PictureError, match=r"limit of 0\.001"):
        counter(tmp_path / "a.png", max_megapixels=0.001)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_line(checkpoint: Path) -> None:
    with pytest.raises(DotallyError, match="finds no GPU"):
        Counter.load(checkpoint, device="cuda")


@pytest.mark.gpu
def test_a_gpu_counts_the_same(checkpoint: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)  # which cuts every factor by up to 1e-3
    cpu, gpu = (Counter.load(checkpoint, device=device)(picture).count for device in ("cpu", "cuda"))
    assert gpu == pytest.approx(cpu, rel=1e-3)


@pytest.mark.parametrize("module", ["dotally", "dotally.predict.command"])
def test_importing_does_not_import_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_has_no_other_lazy_names() -> None:
    import dotally

    with pytest.raises(AttributeError, match="no attribute 'Conter'"):
        _ = dotally.Conter  # type: ignore[attr-defined]
