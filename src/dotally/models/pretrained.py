"""ImageNet weights of VGG-16, from a file or from PyTorch's published address."""

from pathlib import Path

import torch
from torch import nn

from dotally.errors import WeightsError
from dotally.models.csrnet import CSRNet
from dotally.models.weights import State, load_into, read_weights

_VGG16_URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
_VGG16_BN_URL = "https://download.pytorch.org/models/vgg16_bn-6c64b313.pth"


def load_imagenet_frontend(model: CSRNet, source: str | Path) -> None:
    """Copy VGG-16's first ten convolutions (and their batch norms) into the front end, in place.

    Args:
        model: A CSRNet of width 1 with three input channels.
        source: "imagenet" for :func:`fetch_vgg16`, or the path of such a file (torchvision's ``vgg16``, or
            ``vgg16_bn`` for a CSRNet with batch norm).

    Raises:
        WeightsError: If the file cannot be fetched or read, or does not fit the front end.
    """
    batch_norm = any(isinstance(layer, nn.BatchNorm2d) for layer in model.frontend)
    state = fetch_vgg16(batch_norm=batch_norm) if source == "imagenet" else read_weights(source).state
    features = {name.removeprefix("features."): value for name, value in state.items() if name.startswith("features.")}
    if not features:
        raise WeightsError(f"{source}: no weights of VGG-16, whose names start with 'features.'")
    # features.1 is a ReLU, without weights, unless there are batch norms
    if ("1.weight" in features) != batch_norm:
        raise WeightsError(
            f"{source}: VGG-16 {'without' if batch_norm else 'with'} batch norm does not fit a CSRNet built with "
            f"batch_norm={batch_norm}; take the other file, or build the network with batch_norm={not batch_norm}"
        )
    own = model.frontend.state_dict()
    picked = {name: value for name, value in features.items() if name in own}
    for name, value in picked.items():
        if value.shape != own[name].shape:
            raise WeightsError(
                f"{source}: features.{name} is {list(value.shape)}, the front end needs {list(own[name].shape)}; "
                "ImageNet weights of VGG-16 fit a CSRNet of width 1 with three input channels only"
            )
    load_into(model.frontend, picked)


def fetch_vgg16(*, batch_norm: bool = False) -> State:
    """Return PyTorch's published VGG-16 weights, downloaded once into torch.hub's cache, their hash checked.

    Args:
        batch_norm: The weights of ``vgg16_bn`` instead of ``vgg16``.

    Raises:
        WeightsError: If the file cannot be downloaded, has another hash, or is damaged in the cache.
    """
    url = _VGG16_BN_URL if batch_norm else _VGG16_URL
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
