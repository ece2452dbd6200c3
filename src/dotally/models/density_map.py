"""Pictures in, heads per cell out: the one place where a counting network is called, in training and in counting."""

import torch
from torch import Tensor, nn

from dotally.models.preprocessing import Preprocessing, preprocess


def predict_density(
    network: nn.Module, image: Tensor, size: Tensor, preprocessing: Preprocessing, *, scale: float
) -> Tensor:
    """Predict heads per cell.

    Args:
        network: Computes ``scale`` times the density of prepared pictures, at its stride.
        image: ``[B, 3, H, W]`` uint8 RGB.
        size: ``[B, 2]`` int64 (height, width) of each picture; the rest is padding.
        preprocessing: What the network's weights expect.
        scale: What the network's output is divided by.

    Returns:
        ``[B, 1, H/stride, W/stride]`` heads per cell, float32 whatever the network computes in: in half precision the
        sum of many cells is no count. A picture's count is the sum over its own cells.
    """
    prepared = preprocess(image, size, preprocessing)
    output: Tensor = network(prepared.contiguous(memory_format=torch.channels_last))
    return output.float() / scale
