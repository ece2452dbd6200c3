import io
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from dotally.errors import WeightsError
from dotally.models import MCNN, CSRNet, build_model, load_into, read_weights, recognise


def assert_same(model: nn.Module, other: nn.Module) -> None:
    torch.testing.assert_close(model.state_dict(), other.state_dict(), rtol=0, atol=0)


def small_csrnet(**kwargs: object) -> CSRNet:
    return CSRNet(width=1 / 32, init="he", **kwargs)


def official_csrnet(state: dict[str, torch.Tensor], best: object) -> dict[str, object]:
    """A checkpoint as the authors' train.py writes it."""
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": [{"lr": 1e-7, "params": [0]}]}
    return {"epoch": 5, "arch": "part_A.json", "state_dict": state, "best_prec1": best, "optimizer": optimizer}


@pytest.mark.parametrize("best", [torch.tensor(66.4), np.float64(66.4), np.float32(66.4), 66.4])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("zipped", [True, False])
def test_an_official_csrnet_checkpoint_is_read(tmp_path: Path, best: object, prefix: str, zipped: bool) -> None:
    source, path = small_csrnet(), tmp_path / "0model_best.pth.tar"
    state = {prefix + name: value for name, value in source.state_dict().items()}
    torch.save(official_csrnet(state, best), path, _use_new_zipfile_serialization=zipped)
    raw = read_weights(path)
    assert raw.kind == "csrnet-official"
    assert raw.extra["epoch"] == 5
    assert float(raw.extra["best_prec1"]) == pytest.approx(66.4)
    assert "optimizer" not in raw.extra
    target = small_csrnet()
    load_into(target, raw.state)
    assert_same(target, source)


def test_an_mcnn_h5_is_read_whatever_its_name(tmp_path: Path, write_mcnn_h5: Callable[..., None]) -> None:
    source, target, path = MCNN(width=0.25), MCNN(width=0.25), tmp_path / "weights.bin"
    write_mcnn_h5(path, source)
    raw = read_weights(path)
    assert raw.kind == "mcnn-h5"
    load_into(target, raw.state)
    assert_same(target, source)


def test_a_plain_state_dict_is_read(tmp_path: Path) -> None:
    source, target = small_csrnet(batch_norm=True), small_csrnet(batch_norm=True)
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    raw = read_weights(tmp_path / "weights.pth")
    assert (raw.kind, raw.extra) == ("state-dict", {})
    load_into(target, raw.state)
    assert_same(target, source)


def test_a_lightning_checkpoint_gives_the_network_and_its_hyperparameters(tmp_path: Path) -> None:
    source, target = small_csrnet(), small_csrnet()
    state = {f"model.{name}": value for name, value in source.state_dict().items()}
    content = {
        "epoch": 3,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": state | {"loss.weight": torch.ones(1)},
        "hyper_parameters": {"arch": "csrnet", "preprocessing": "unit"},
        "optimizer_states": [{}],
    }
    torch.save(content, tmp_path / "last.ckpt")
    raw = read_weights(tmp_path / "last.ckpt")
    assert raw.kind == "lightning"
    assert raw.extra["hyper_parameters"] == {"arch": "csrnet", "preprocessing": "unit"}
    load_into(target, raw.state)
    assert_same(target, source)


def saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


STATE = {"a.weight": torch.zeros(100)}
BROKEN = {
    "empty": (b"", "is empty"),
    "text": (b"<!DOCTYPE html>", "damaged, or no weights file"),
    "truncated": (saved(STATE)[:-100], "damaged"),
    "a picture": (b"\xff\xd8\xff\xe0" + bytes(100), "damaged"),
    "a truncated HDF5 file": (b"\x89HDF\r\n\x1a\n" + bytes(50), "damaged HDF5"),
    "a whole module": (saved(nn.Linear(2, 2)), r"torch\.nn\.modules\.linear\.Linear.*state_dict\(\) alone"),
    "a tensor": (saved(torch.zeros(2)), "holds a Tensor"),
    "no tensors": (saved({"epoch": 1, "net": STATE}), "no weights.*keys: epoch, net"),
    "an empty dictionary": (saved({}), "keys: none"),
    "foreign Lightning": (saved({"pytorch-lightning_version": "2", "state_dict": STATE}), "under 'model.'"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_holds_no_weights_gives_one_clear_line(tmp_path: Path, case: str) -> None:
    content, message = BROKEN[case]
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message) as caught:
        read_weights(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nowhere\.pth: no such weights file"):
        read_weights(tmp_path / "nowhere.pth")


def test_an_h5_of_another_kind_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "density.h5", "w") as file:
        file["density"] = np.zeros((4, 4))
    with pytest.raises(WeightsError, match="not the MCNN weights"):
        read_weights(tmp_path / "density.h5")


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "executed",)

    torch.save({"a": torch.zeros(1), "b": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="never loaded"):
        read_weights(tmp_path / "evil.pth")
    assert not (tmp_path / "executed").exists()


def test_weights_of_another_network_are_counted_and_recognised() -> None:
    model = small_csrnet()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load_into(model, MCNN(width=0.25).state_dict())
    message = str(caught.value)
    assert (
        "do not fit CSRNet: 34 missing (first: frontend.0.weight); 26 unexpected (first: branch1.0.weight)" in message
    )
    assert message.endswith("They look like weights of mcnn.")
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


def test_weights_of_another_width_say_so() -> None:
    with pytest.raises(WeightsError) as caught:
        load_into(small_csrnet(), CSRNet(width=1 / 16).state_dict())
    message = str(caught.value)
    assert "33 of another shape (first: frontend.0.weight [4, 3, 3, 3] instead of [2, 3, 3, 3])" in message
    assert message.endswith("They look like weights of csrnet built with other options.")


def test_unrecognisable_weights_are_only_counted() -> None:
    with pytest.raises(WeightsError, match=r"1 unexpected \(first: a\.weight\)\.$"):
        load_into(small_csrnet(), STATE)


def test_batch_norm_counters_may_be_missing_as_in_old_files() -> None:
    source, target = small_csrnet(batch_norm=True), small_csrnet(batch_norm=True)
    state = {name: v for name, v in source.state_dict().items() if not name.endswith("num_batches_tracked")}
    load_into(target, state)
    assert_same(target, source)


@pytest.mark.parametrize(
    ("name", "options"),
    [("csrnet", {"batch_norm": True, "width": 1 / 32}), ("mcnn", {"width": 0.25}), ("vgg16", {"width": 1 / 32})],
)
def test_a_network_is_recognised_by_its_names(name: str, options: dict[str, object]) -> None:
    assert recognise(build_model(name, **options).state_dict()) == name
