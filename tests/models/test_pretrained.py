import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from dotally.errors import WeightsError
from dotally.models import (
    MCNN,
    VGG16,
    CSRNet,
    ResNet50,
    build_model,
    fetch_vgg16,
    load_imagenet_frontend,
    pretrained,
)


def small_vgg(**kwargs: bool) -> VGG16:
    torch.manual_seed(0)
    return VGG16(width=1 / 32, num_classes=2, **kwargs)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Path]:
    """An empty torch.hub cache."""
    before = torch.hub.get_dir()
    torch.hub.set_dir(tmp_path / "hub")
    yield tmp_path / "hub" / "checkpoints"
    torch.hub.set_dir(before)


def publish(folder: Path, monkeypatch: pytest.MonkeyPatch, *, digest: str | None = None) -> str:
    """Publish small VGG-16 weights at a file:// address that carries their hash, as PyTorch's do."""
    torch.save(small_vgg().state_dict(), folder / "weights.pth")
    digest = digest or hashlib.sha256((folder / "weights.pth").read_bytes()).hexdigest()[:8]
    path = (folder / "weights.pth").rename(folder / f"vgg16-{digest}.pth")
    monkeypatch.setattr(pretrained, "_VGG16_URL", path.as_uri())
    return path.name


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_file_of_vgg_fills_the_whole_front_end_and_nothing_else(tmp_path: Path, batch_norm: bool) -> None:
    vgg, model = small_vgg(batch_norm=batch_norm), CSRNet(width=1 / 32, batch_norm=batch_norm)
    backend = {name: value.clone() for name, value in model.backend.state_dict().items()}
    torch.save(vgg.state_dict(), tmp_path / "vgg.pth")
    load_imagenet_frontend(model, tmp_path / "vgg.pth")
    x = torch.rand(1, 3, 32, 32)
    depth = len(model.frontend)
    torch.testing.assert_close(model.frontend.eval()(x), vgg.features[:depth].eval()(x))
    torch.testing.assert_close(model.backend.state_dict(), backend, rtol=0, atol=0)


def test_imagenet_is_downloaded_once_and_its_hash_checked(
    tmp_path: Path, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = publish(tmp_path, monkeypatch)
    load_imagenet_frontend(CSRNet(width=1 / 32), "imagenet")
    (tmp_path / name).unlink()
    torch.testing.assert_close(fetch_vgg16(), dict(small_vgg().state_dict()))
    assert (hub / name).is_file()


def test_a_download_with_another_hash_is_refused_and_not_kept(
    tmp_path: Path, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, monkeypatch, digest="00000000")
    with pytest.raises(WeightsError, match=r"arrived damaged \(invalid hash value"):
        fetch_vgg16()
    assert list(hub.iterdir()) == []


def test_a_damaged_file_in_the_cache_is_named(tmp_path: Path, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = publish(tmp_path, monkeypatch)
    hub.mkdir(parents=True)
    (hub / name).write_bytes(b"half a file")
    with pytest.raises(WeightsError, match=f"delete .*{name}"):
        fetch_vgg16()


def test_offline_says_where_to_put_the_file(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # nothing listens on the discard port
    monkeypatch.setattr(pretrained, "_VGG16_URL", "http://127.0.0.1:9/vgg16-397923af.pth")
    with pytest.raises(WeightsError, match="cannot download") as caught:
        load_imagenet_frontend(CSRNet(width=1 / 32), "imagenet")
    assert str(hub / "vgg16-397923af.pth") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_batch_norm_takes_the_weights_with_batch_norm() -> None:
    assert pretrained._VGG16_URL.endswith("/vgg16-397923af.pth")
    assert pretrained._VGG16_BN_URL.endswith("/vgg16_bn-6c64b313.pth")


def test_another_width_is_refused_with_the_reason(tmp_path: Path) -> None:
    torch.save(small_vgg().state_dict(), tmp_path / "vgg.pth")
    with pytest.raises(WeightsError, match=r"features\.0\.weight is \[2, 3, 3, 3\].*\[4, 3, 3, 3\].*width 1"):
        load_imagenet_frontend(CSRNet(width=1 / 16), tmp_path / "vgg.pth")


@pytest.mark.parametrize("batch_norm", [False, True])
def test_batch_norm_on_one_side_only_is_refused_with_the_remedy(tmp_path: Path, batch_norm: bool) -> None:
    torch.save(small_vgg(batch_norm=not batch_norm).state_dict(), tmp_path / "vgg.pth")
    with pytest.raises(WeightsError, match=f"batch_norm={batch_norm}; .* batch_norm={not batch_norm}"):
        load_imagenet_frontend(CSRNet(width=1 / 32, batch_norm=batch_norm), tmp_path / "vgg.pth")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save(MCNN(width=0.25).state_dict(), tmp_path / "mcnn.pth")
    with pytest.raises(WeightsError, match="no weights of VGG-16"):
        load_imagenet_frontend(CSRNet(width=1 / 32), tmp_path / "mcnn.pth")


@pytest.mark.parametrize("name", ["resnet50_counter", "gaunet_resnet50_counter", "gaunet_csrnet"])
def test_every_network_with_imagenet_layers_loads_them_from_a_file(name: str, tmp_path: Path) -> None:
    vgg = "csrnet" in name
    whole = small_vgg() if vgg else ResNet50(width=1 / 32)
    torch.save(whole.state_dict(), tmp_path / "whole.pth")
    model = build_model(name, width=1 / 32)
    load_imagenet_frontend(model, tmp_path / "whole.pth")
    mine, theirs = (model.frontend, whole.features) if vgg else (model.layer1, whole.layer1)
    torch.testing.assert_close(mine[0].state_dict(), theirs[0].state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["mcnn", "sanet", "plain_counter", "gaunet_mcnn", "gaunet_sanet"])
def test_a_network_without_imagenet_layers_is_refused_before_anything_is_fetched(name: str) -> None:
    with pytest.raises(WeightsError, match="has no layers of an ImageNet network: leave out imagenet='imagenet'"):
        load_imagenet_frontend(build_model(name), "imagenet")


def test_resnet_weights_are_fetched_by_their_own_address(
    tmp_path: Path, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pretrained._RESNET50_URL.endswith("/resnet50-0676ba61.pth")
    monkeypatch.setattr(pretrained, "_RESNET50_URL", "http://127.0.0.1:9/resnet50-0676ba61.pth")
    with pytest.raises(WeightsError, match="cannot download") as caught:
        load_imagenet_frontend(build_model("resnet50_counter", width=1 / 32), "imagenet")
    assert str(hub / "resnet50-0676ba61.pth") in str(caught.value)


def test_weights_of_vgg_do_not_fill_a_resnet(tmp_path: Path) -> None:
    torch.save(small_vgg().state_dict(), tmp_path / "vgg.pth")
    with pytest.raises(WeightsError, match=r"vgg\.pth: no weights of ResNet-50"):
        load_imagenet_frontend(build_model("resnet50_counter", width=1 / 32), tmp_path / "vgg.pth")
