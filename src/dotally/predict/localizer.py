"""A trained classifier as a function from pictures to boxes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dotally.data.box_transforms import FRAMINGS, Framing
from dotally.data.voc_xml import Box
from dotally.errors import DotallyError
from dotally.metrics.boxes import map_boxes
from dotally.predict.box_overlay import draw_boxes, draw_hypothesis
from dotally.predict.classifier_file import LoadedClassifier, load_classifier, read_class_names
from dotally.predict.device import choose_device, is_out_of_memory
from dotally.predict.inputs import PictureLike, to_picture
from dotally.predict.view import View, view_of
from dotally.stnet import STOP_LAYERS, BoxRule, STNet, cam, grad_cam, score_map

Way = Literal["stnet", "excitation", "contrastive", "gradient", "grad-cam", "cam"]
WAYS: tuple[Way, ...] = get_args(Way)
Compat = Literal["fixed", "release"]

_MAPS = {"cam": cam, "grad-cam": grad_cam}


@dataclass(frozen=True, kw_only=True, eq=False)
class Localized:
    """Where in one picture the evidence for a class lies.

    Attributes:
        box: (x0, y0, x1, y1) in pixels of the picture, first and last included.
        label: Number of the class that was looked for.
        name: What it is called; its number where no names are known.
        score: Share of the network's softmax that it has, 0 to 1.
        predicted: Number of the class with the largest score.
        size: (height, width) of the picture in pixels.
        flags: What was done to the picture on opening: "rotated", "rescaled", "transparent", "N pages".
        map: ``[h, w]`` float32 on the CPU: the evidence at the layer that was read.
        hypothesis: ``[h, w]`` float32: the evidence at each pixel of the view that the network was shown.
        view: That view.
        how: Network and method, for captions.
        image: ``[H, W, 3]`` uint8, the picture: RGB, upright.
    """

    box: Box
    label: int
    name: str
    score: float
    predicted: int
    size: tuple[int, int]
    flags: tuple[str, ...] = ()
    map: Tensor = field(repr=False)
    hypothesis: Tensor = field(repr=False)
    view: View = field(repr=False)
    how: str
    image: np.ndarray = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values, without the pictures."""
        return {
            "box": list(self.box),
            "label": self.label,
            "name": self.name,
            "score": self.score,
            "predicted": self.predicted,
            "height": self.size[0],
            "width": self.size[1],
            "flags": list(self.flags),
        }

    def overlay(self, *, truth: Sequence[Box] = ()) -> Image.Image:
        """Draw the box into the picture, and annotated ones in another colour."""
        return draw_boxes(self.image, self.box, truth, title=self._title, caption=self.how)

    def hypothesis_overlay(self) -> Image.Image:
        """Draw the class hypothesis over the grey picture."""
        return draw_hypothesis(self.image, self.hypothesis, self.view.place, title=self._title, caption=self.how)

    @property
    def _title(self) -> str:
        return f"{'class ' if self.name.isdecimal() else ''}{self.name}  {self.score:.0%}"


class Localizer:
    """A classifier with its weights and a way to localize, in evaluation mode on its device.

    Args:
        weights: From ``load_classifier``; most callers want :meth:`load`.
        classes: Names of the classes in the order of the network's outputs; None for numbers.
        method: "stnet", "excitation", "contrastive" or "gradient" go down from the class to the stop layer; "cam" and
            "grad-cam" weight the channels of the last map.
        stop: Layer whose map is read, a name as ``STNet(stop=...)`` takes it. None: for STNet and excitation backprop
            that of ``STOP_LAYERS`` and for other networks the image, for "gradient" the image.
        compat: "fixed", or "release" for the published code's behaviour.
        box: How a top-down map becomes a box; None is the release's rule.
        threshold: Share of the largest value above which pixels belong to the object, for "cam" and "grad-cam".
        framing: How pictures come to the size the network is shown; None: as in its training.
        side: That size in pixels; None: as in its training.
        device: "auto" takes the GPU where there is one; else a device as PyTorch names it.

    Raises:
        DotallyError: A GPU was asked for and there is none.
        ValueError: An unknown word, layer or number of classes, or a choice that the method does not have.
    """

    def __init__(
        self,
        weights: LoadedClassifier,
        *,
        classes: Sequence[str] | None = None,
        method: Way = "stnet",
        stop: str | None = None,
        compat: Compat = "fixed",
        box: BoxRule | None = None,
        threshold: float | None = None,
        framing: Framing | None = None,
        side: int | None = None,
        device: str = "auto",
    ) -> None:
        self.framing, self.side = framing or weights.framing, side or weights.side
        _check(method, stop, threshold, self.framing, box)
        self.device = choose_device(device)
        self.network = weights.network.eval().requires_grad_(False).to(self.device)
        self.path, self.sha256, self.facts = weights.path, weights.sha256, weights.facts
        self.method, self.compat, self.threshold = method, compat, threshold
        self.num_classes = weights.num_classes
        self.classes = None if classes is None else list(classes)
        if self.classes is not None and len(self.classes) != self.num_classes:
            raise ValueError(f"{len(self.classes)} names were given for the {self.num_classes} classes of {self.model}")
        self.engine: STNet | None = None
        self.stop: str | None = None
        self.box: BoxRule | None = None
        if method in _MAPS:
            self.stop, self.threshold = stop, 0.2 if threshold is None else threshold  # 0.2: CVPR 2016, section 3.2
        else:
            self.stop = stop or ("image" if method == "gradient" else STOP_LAYERS.get(self.model, "image"))
            self.box = box or BoxRule(collapse="max" if method == "gradient" else "sum")
            self.engine = STNet(self.network.model, stop=self.stop, compat=compat, method=method, box=self.box)  # type: ignore[arg-type]

    @classmethod
    def load(
        cls,
        weights: str | Path,
        *,
        arch: str | None = None,
        arch_kwargs: dict[str, Any] | None = None,
        preprocessing: str | None = None,
        classes: Sequence[str] | Path | None = None,
        **options: Any,
    ) -> "Localizer":
        """Load weights by file or name.

        Args:
            weights: See :func:`dotally.predict.weights_file.find_weights`: a checkpoint of ``LocalizationTask``, or a
                state dict with torchvision's names.
            arch: Network of a bare state dict, which does not name it.
            arch_kwargs: Arguments of that network.
            preprocessing: What such weights expect, a name in ``dotally.models.PRESETS``.
            classes: Names of the classes, or a file with one a line.
            options: See :class:`Localizer`.

        Raises:
            WeightsError: They cannot be found or loaded, or do not say which network they are for.
            DataError: The file of names cannot be read, or names another number of classes.
            DotallyError: There is no such device.
            ValueError: See :class:`Localizer`.
        """
        loaded = load_classifier(weights, arch=arch, arch_kwargs=arch_kwargs, preprocessing=preprocessing)
        if isinstance(classes, Path):
            classes = read_class_names(classes, loaded.num_classes)
        return cls(loaded, classes=classes, **options)

    @property
    def model(self) -> str:
        """Name of the network."""
        return str(self.network.hparams["model"])

    @property
    def how(self) -> str:
        """Network, method, layer and rule in a few words, to print beside boxes."""
        if self.box is None:
            return f"{self.model}, {self.method}, largest group above {self.threshold:g} of the maximum"
        return f"{self.model}, {self.method} at {self.stop}, {self.box.describe()}"

    def describe(self) -> list[str]:
        """Return lines for people: which weights and method localize here, and what the file says of their making."""
        framed = {
            "keep": "whole pictures",
            "crop": f"pictures cropped to {self.side}",
            "warp": f"warped to {self.side}",
        }
        preprocessing = self.network.hparams["preprocessing"]
        how = f"{self.how}, {preprocessing} preprocessing, {framed[self.framing]}, on {self.device}"
        return [f"weights {self.path} ({how})", *(f"    {name}: {fact}" for name, fact in self.facts.items())]

    def name_of(self, label: int) -> str:
        """Return the name of a class, its number where names are not known."""
        return str(label) if self.classes is None else self.classes[label]

    def label_of(self, target: int | str) -> int:
        """Return the number of a class given by name or number.

        Raises:
            ValueError: There is no such class, or names are not known.
        """
        if isinstance(target, int) or target.isdecimal():
            if not 0 <= int(target) < self.num_classes:
                raise ValueError(f"class {target} is outside of 0..{self.num_classes - 1}, the classes of {self.model}")
            return int(target)
        if self.classes is None:
            raise ValueError(f"the class {target!r} is a name, but the names of the classes are not known (--classes)")
        if target not in self.classes:
            raise ValueError(f"there is no class {target!r} among the {len(self.classes)}, such as {self.classes[0]}")
        return self.classes.index(target)

    def __call__(
        self, picture: PictureLike, *, target: int | str | None = None, max_megapixels: float = 200
    ) -> Localized:
        """Find the class's evidence in a picture.

        Args:
            picture: As :class:`dotally.Counter` takes it.
            target: Number or name of the class to look for; None for the predicted one.
            max_megapixels: Larger files are refused.

        Raises:
            PictureError: The picture cannot be read or is too large.
            DotallyError: A class score is not a number, or memory does not suffice.
            ValueError: An array or tensor of another shape or dtype; an unknown class.
        """
        opened = to_picture(picture, max_megapixels=max_megapixels)
        view = view_of(opened.image, self.framing, self.side)
        label = None if target is None else self.label_of(target)
        try:
            x = self.network.prepare(view.image[None].to(self.device))
            logits, found, values, hypothesis = self._find(x, label)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise DotallyError(
                f"{view.size[1]} x {view.size[0]} pixels need more memory than {self.device} has; shrink what the "
                f"network is shown (--side), or try --device cpu"
            ) from error
        predicted = int(logits.argmax())
        label = predicted if label is None else label
        return Localized(
            box=view.to_picture(found),
            label=label,
            name=self.name_of(label),
            score=float(logits.double().softmax(0)[label]),
            predicted=predicted,
            size=view.whole,
            flags=opened.flags,
            map=values,
            hypothesis=hypothesis,
            view=view,
            how=self.how,
            image=opened.image,
        )

    def _find(self, x: Tensor, label: int | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return logits ``[C]``, a box ``[4]`` and two maps of one picture ``[1, 3, h, w]``, on the CPU."""
        size = (x.shape[2], x.shape[3])
        if self.engine is not None:
            found = self.engine(x, label)
            parts = found.logits[0], found.boxes[0], found.map[0, 0], found.class_hypothesis()[0, 0]
        else:
            with torch.no_grad():
                logits = self.network.model(x)
            options = {"layer": self.stop} if self.method == "grad-cam" else {}
            values = _MAPS[self.method](self.network.model, x, label, **options)
            spread = score_map(values, size)[:, 0]
            assert self.threshold is not None
            parts = logits[0], map_boxes(spread, self.threshold)[0], values[0, 0], spread[0].clamp(min=0)
        logits, box, values, hypothesis = (part.detach().float().cpu() for part in parts)
        return logits, box, values, hypothesis


def _check(method: str, stop: str | None, threshold: float | None, framing: str, box: BoxRule | None) -> None:
    if method not in WAYS:
        raise ValueError(f"method must be one of {', '.join(WAYS)}; got {method!r}")
    if framing not in FRAMINGS:
        raise ValueError(f"framing must be one of {', '.join(FRAMINGS)}; got {framing!r}")
    if threshold is not None and not (method in _MAPS and 0 <= threshold < 1):
        raise ValueError(f"a threshold is a share of 1 and belongs to {' and '.join(_MAPS)}, not to {method}")
    if method in _MAPS and box is not None:
        raise ValueError(f"box rules are for top-down maps; {method} takes a threshold")
    if method == "cam" and stop is not None:
        raise ValueError("cam always reads the last map; leave out the layer")
