"""ImageNet weights for the first layers of a counter, from a file or from PyTorch's published address."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from dotally.errors import WeightsError
from dotally.models.weights import State, load_into, read_weights

_VGG16_URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
_VGG16_BN_URL = "https://download.pytorch.org/models/vgg16_bn-6c64b313.pth"
_RESNET50_URL = "https://download.pytorch.org/models/resnet50-0676ba61.pth"
# what a counter takes of ResNet-50
_STAGES = ("conv1.", "bn1.", "layer1.", "layer2.", "layer3.")


def load_imagenet_frontend(model: nn.Module, source: str | Path) -> None:
    """Copy ImageNet weights into the layers that a counter shares with VGG-16 or ResNet-50, in place.

    VGG-16's first ten convolutions (and their batch norms) fill a ``frontend`` (CSRNet and GauNet's form of it),
    ResNet-50's first three stages fill ``conv1`` to ``layer3`` of its counters, whose Gaussian layers keep their own.

    Args:
        model: A counter of width 1 with three input channels.
        source: "imagenet" for PyTorch's published file, or the path of such a file (torchvision's ``vgg16``,
            ``vgg16_bn`` for a front end with batch norm, ``resnet50``).

    Raises:
        WeightsError: If the network has no such layers, or the file cannot be fetched or read, or does not fit.
    """
    if isinstance(getattr(model, "frontend", None), nn.Sequential):
        _load_vgg16(model.get_submodule("frontend"), source)
    elif hasattr(model, "layer3"):
        _load_resnet50(model, source)
    else:
        raise WeightsError(
            f"{type(model).__name__} has no layers of an ImageNet network: leave out imagenet={str(source)!r}; "
            "csrnet, gaunet_csrnet, resnet50_counter and gaunet_resnet50_counter have"
        )


def load_imagenet_stages(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy ResNet-50's first three stages into a counter, in place; its head and Gaussian layers stay as they are.

    Args:
        model: A ResNet-50 counter of width 1 with three input channels.
        state: Of torchvision's ``resnet50``.

    Raises:
        WeightsError: If ``state`` lacks some of the layers or has them in other shapes; the model is then unchanged.
    """
    stages = {name: value for name, value in state.items() if name.startswith(_STAGES)}
    # by their displacements: to import them here would make their code decide every network's results
    gaussian = tuple(f"{name}." for name, layer in model.named_modules() if hasattr(layer, "mu"))
    own = {name: value for name, value in model.state_dict().items() if name.startswith(("head.", *gaussian))}
    load_into(model, {**stages, **own})


def fetch_vgg16(*, batch_norm: bool = False) -> State:
    """Return PyTorch's published VGG-16 weights, downloaded once into torch.hub's cache, their hash checked.

    Args:
        batch_norm: The weights of ``vgg16_bn`` instead of ``vgg16``.

    Raises:
        WeightsError: If the file cannot be downloaded, has another hash, or is damaged in the cache.
    """
    return _fetch(_VGG16_BN_URL if batch_norm else _VGG16_URL)


def fetch_resnet50() -> State:
    """Return PyTorch's published ResNet-50 weights, those of the first recipe; as :func:`fetch_vgg16`."""
    return _fetch(_RESNET50_URL)


def _load_vgg16(frontend: nn.Module, source: str | Path) -> None:
    batch_norm = any(isinstance(layer, nn.BatchNorm2d) for layer in frontend.children())
    state = fetch_vgg16(batch_norm=batch_norm) if source == "imagenet" else read_weights(source).state
    features = {name.removeprefix("features."): value for name, value in state.items() if name.startswith("features.")}
    if not features:
        raise WeightsError(f"{source}: no weights of VGG-16, whose names start with 'features.'")
    # features.1 is a ReLU, without weights, unless there are batch norms
    if ("1.weight" in features) != batch_norm:
        raise WeightsError(
            f"{source}: VGG-16 {'without' if batch_norm else 'with'} batch norm does not fit a front end built with "
            f"batch_norm={batch_norm}; take the other file, or build the network with batch_norm={not batch_norm}"
        )
    own = frontend.state_dict()
    picked = {name: value for name, value in features.items() if name in own}
    for name, value in picked.items():
        if value.shape != own[name].shape:
            raise WeightsError(
                f"{source}: features.{name} is {list(value.shape)}, the front end needs {list(own[name].shape)}; "
                "ImageNet weights of VGG-16 fit a front end of width 1 with three input channels only"
            )
    load_into(frontend, picked)


def _load_resnet50(model: nn.Module, source: str | Path) -> None:
    state = fetch_resnet50() if source == "imagenet" else read_weights(source).state
    if not any(name.startswith(_STAGES) for name in state):
        raise WeightsError(f"{source}: no weights of ResNet-50, whose names start with 'conv1.', 'bn1.' and 'layer1.'")
    load_imagenet_stages(model, state)


def _fetch(url: str) -> State:
    cached = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    try:
        return torch.hub.load_state_dict_from_url(url, map_location="cpu", check_hash=True, weights_only=True)
    except OSError as error:
        raise WeightsError(
            f"cannot download {url} ({error}); download it elsewhere and give its path, or put it at {cached}"
        ) from error
    except Exception as error:  # another hash, or a cached file whose bytes mean anything
        reason = str(error).partition("\n")[0]
        raise WeightsError(f"{url} arrived damaged ({reason}); delete {cached} if it exists and try again") from error
