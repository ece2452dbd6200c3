"""The top-down pass over an unmodified network."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from dotally.stnet.bottom_up import BottomUp
from dotally.stnet.boxes import BoxRule
from dotally.stnet.network import evaluating
from dotally.stnet.plan import make_plan
from dotally.stnet.registry import Method, Rule
from dotally.stnet.result import Explanation
from dotally.stnet.settings import Compat, Settings
from dotally.stnet.target import Target


class STNet:
    """Explain a classifier's decision by selecting, layer by layer, the inputs that made it (Biparva and Tsotsos).

    The network is only read: its modules are called in evaluation mode, without gradient, and then stand as before.
    Its weights may change between calls, its structure may not. Hooks of single layers fire once a picture batch,
    hooks of containers do not.

    Mass is conserved: the gating of every layer sums to the class's 1, less what units lost whose weights times
    inputs, without the bias, do not exceed the lower bound.

    Args:
        model: A network from pictures ``[B, C, H, W]`` to class scores ``[B, classes]``.
        stop: Layer whose output's gating is the result: the path of a module (``features.2``, ``layer1``), a name from
            :attr:`layers`, or "image", which None means. ``STOP_LAYERS`` names those of the classic networks.
        compat: "fixed" breaks ties, counts winners and adds up as documented; "release" repeats the published code, and
            is an error where that does not survive, as at VGG-16's first linear layer.
        method: "stnet", "excitation" (backprop, also known as MWP), "contrastive" (c-MWP; what is left below zero is
            cut off), or "gradient".
        settings: Constants of the selection.
        box: How the map becomes a box; None is the release's rule, with the channels' maximum for "gradient".
        keep: Further layers whose gatings are to be returned, or "all" (that give one tensor each).
        rules: Rules of this engine alone, by module class or function; they go before the registered ones.

    Raises:
        ValueError: The network cannot be traced, or a name is unknown.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        stop: str | None = None,
        compat: Compat = "fixed",
        method: Method = "stnet",
        settings: Settings | None = None,
        box: BoxRule | None = None,
        keep: Sequence[str] | Literal["all"] = (),
        rules: Mapping[Hashable, Rule] | None = None,
    ) -> None:
        self.model = model
        self._plan = make_plan(
            model,
            stop=stop or "image",
            compat=compat,
            method=method,
            settings=settings or Settings(),
            # of a gradient the largest channel is shown, as its authors do
            box=box or BoxRule(collapse="max" if method == "gradient" else "sum"),
            keep=[keep] if isinstance(keep, str) and keep != "all" else keep,
            rules=dict(rules or {}),
        )

    @property
    def layers(self) -> list[str]:
        """Every name that ``stop`` and ``keep`` accept, in the order of the forward pass."""
        return self._plan.network.names()

    def __call__(self, images: Tensor, target: Target = None) -> Explanation:
        """Explain one class of each picture.

        Args:
            images: ``[B, C, H, W]`` floating point, on the network's device, as the network wants them.
            target: One class for all, one for each (a sequence or an integer tensor ``[B]``), None for the predicted
                ones, or a floating point tensor ``[B, classes]``: the gating of the class scores itself.

        Raises:
            DotallyError: Class scores that are not finite; ``MissingRuleError`` for a layer without a rule.
            ValueError: Pictures of another shape, a class the network does not have, several classes of one picture
                where the bridge wants one.
        """
        with self.observe(images) as seen:
            return seen.explain(target)

    @contextmanager
    def observe(self, images: Tensor) -> Iterator[BottomUp]:
        """Run the network once, to explain several classes of the same pictures.

        ``with st.observe(images) as seen: cat, dog = seen.explain(281), seen.explain(207)``. What the pass recorded is
        dropped at the end of the block.
        """
        _check_images(images)
        # tensors made in inference mode, as inside Lightning's validation, can never be differentiated through
        with torch.inference_mode(False), torch.no_grad():
            images = images.clone() if images.is_inference() else images
            with evaluating(self.model):
                observed = self._plan.network.run(images, self._plan.kept())
        seen = BottomUp(self._plan, images, observed)
        try:
            yield seen
        finally:
            seen.close()


def _check_images(images: Tensor) -> None:
    if images.ndim != 4 or not images.is_floating_point():
        raise ValueError(
            f"images must be a floating point tensor [B, C, H, W], got {images.dtype} of shape {tuple(images.shape)}"
        )
    if images.requires_grad and torch.is_grad_enabled():
        raise ValueError("a top-down pass has no gradient: pass images.detach()")
