"""The constants of a top-down pass, and where the pass stops in the classic networks."""

from dataclasses import dataclass
from typing import Literal

Compat = Literal["fixed", "release"]
Selection = Literal["stat", "all", "top1"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How units choose their winners. The defaults are the released AlexNet's.

    The release holds no settings for other networks. Using AlexNet's there is our choice; whoever tunes them does so
    on training pictures, never on the boxes of the pictures that are judged.

    Attributes:
        alpha: Weight of a component's sum against its area where a convolution picks one component, 0 to 1.
        conv_lower_bound: A convolution's unit whose net input is not above it passes nothing on.
        conv_eps: Slack below theta, which absorbs rounding in the release.
        linear_mode: Second stage of fully connected layers: "stat", "all" or "top1".
        linear_offset: Rows to go down the table of cuts there; larger keeps more winners.
        pointwise_mode: As ``linear_mode``, for 1x1 convolutions, which AlexNet has none of.
        pointwise_offset: As ``linear_offset``, for them. The release has no value for it, and 3 is that of AlexNet's
            linear layers. A smaller one keeps fewer inputs of every unit, so that the gating stays sparser and the
            pass takes less; how good either is on GoogLeNet or ResNet-50 has not been judged on boxes.
        linear_lower_bound: As ``conv_lower_bound``.
        linear_eps: As ``conv_eps``.
        bridge_mode: Second stage of the bridge between fully connected and convolutional part; "all" leaves it out.
        bridge_offset: As ``linear_offset``.
        bridge_count_zeros: Let zero gatings into the bridge's statistics, which defines the released numbers.
        pool_mode: Second stage of average pooling: "all" shares in proportion to the input.
        pool_offset: As ``linear_offset``, for ``pool_mode="stat"``.
    """

    alpha: float = 0.2
    conv_lower_bound: float = 3e-4
    conv_eps: float = 2e-4
    linear_mode: Selection = "stat"
    linear_offset: int = 3
    pointwise_mode: Selection = "stat"
    pointwise_offset: int = 3
    linear_lower_bound: float = 1e-5
    linear_eps: float = 1e-4
    bridge_mode: Selection = "stat"
    bridge_offset: int = 1
    bridge_count_zeros: bool = True
    pool_mode: Literal["all", "stat"] = "all"
    pool_offset: int = 0


# whose constants these are in a table of results
SETTINGS_ORIGIN: dict[str, Literal["release", "ours"]] = {
    "alexnet": "release",
    "vgg16": "ours",
    "googlenet": "ours",
    "resnet50": "ours",
}

# where the attention map is read: AlexNet's is the release's second choice (the first is the image); those of
# VGG-16 and GoogLeNet are recollections of the paper that could not be verified; ResNet-50's is ours
STOP_LAYERS: dict[str, str] = {
    "alexnet": "features.2",
    "vgg16": "features.16",
    "googlenet": "maxpool2",
    "resnet50": "layer1",
}
