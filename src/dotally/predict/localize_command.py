"""``dotally localize``: find in pictures what a classifier saw."""

import argparse
from pathlib import Path
from typing import Any

from dotally.arguments import number, positive, share, whole
from dotally.errors import DotallyError

# as in dotally.predict.localizer and dotally.stnet.boxes, which take seconds to import
_METHODS = ("stnet", "excitation", "contrastive", "gradient", "grad-cam", "cam")
_RULES = ("new_mean", "old_mean", "percentile", "energy")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments; imports nothing that takes time."""
    add = parser.add_argument
    add("sources", nargs="+", type=Path, metavar="SOURCE", help="pictures, and folders searched for pictures")
    add("--weights", required=True, metavar="FILE|NAME", help="a classifier's weights, or a finished run: TABLE/ROW")
    add("--out", required=True, type=Path, metavar="DIR", help="where boxes.csv, overlays/, hypotheses/, ... go")
    add("--arch", metavar="NAME", help="network of a weights file that does not name it, such as alexnet")
    add("--classes", type=Path, metavar="FILE", help="names of the classes, one a line in the order of the outputs")
    add("--target", default="predicted", metavar="CLASS", help="predicted (default), annotated, or a number or name")
    add("--truth", type=Path, metavar="DIR", help="annotated boxes: a folder of Pascal VOC XML, or COCO JSON")
    add("--method", choices=_METHODS, default="stnet", help="how to go from class to picture (default: stnet)")
    add("--stop", metavar="LAYER", help="layer whose map is read, such as features.2, or image")
    add("--compat", choices=("fixed", "release"), default="fixed", help="release: as the published code behaves")
    add("--framing", choices=("crop", "warp", "keep"), help="default: as in training, else crop")
    add("--side", type=whole(1), metavar="N", help="of what the network is shown (default: as in training, else 224)")
    add("--threshold", type=share, metavar="X", help="of the maximum, for cam and grad-cam (default: 0.2)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: the GPU where there is one")
    add("--max-megapixels", type=positive, default=200.0, metavar="N", help="refuse larger pictures (default: 200)")
    add("--overlay", choices=("jpg", "png", "none"), default="jpg", help="format of the drawings (default: jpg)")
    rule = parser.add_argument_group("which cells of a top-down map make the box (default: the release's rule)")
    rule.add_argument("--collapse", choices=("sum", "max", "intact"), help="of the map's channels")
    rule.add_argument("--rule", choices=_RULES, help="what cells are compared with")
    rule.add_argument("--mean", type=number, metavar="X", help="multiple of the mean, for the mean rules")
    rule.add_argument("--std", type=number, metavar="X", help="multiple of the deviation added to it")
    rule.add_argument("--share", type=share, metavar="X", help="for percentile and energy")
    rule.add_argument("--no-prune", action="store_true", help="keep every cell that is not zero")


def run(arguments: argparse.Namespace) -> int:
    """Localize, write the results and say where they are.

    Returns:
        0, or 1 when a picture failed or the job was interrupted.

    Raises:
        DotallyError: Nothing could be done: no picture, no weights, no truth, an unknown layer or class, or no place to
            write to.
    """
    from dotally.predict.localize_folder import localize
    from dotally.predict.localizer import Localizer
    from dotally.predict.terminal import say

    try:
        localizer = Localizer.load(
            arguments.weights,
            arch=arguments.arch,
            classes=arguments.classes,
            method=arguments.method,
            stop=arguments.stop,
            compat=arguments.compat,
            box=_box_rule(arguments),
            threshold=arguments.threshold,
            framing=arguments.framing,
            side=arguments.side,
            device=arguments.device,
        )
    except ValueError as error:  # a layer or a choice that this network or method does not have
        raise DotallyError(str(error)) from error
    for line in localizer.describe():
        say(line, stderr=True)
    try:
        return localize(
            arguments.sources,
            localizer,
            arguments.out,
            truth=arguments.truth,
            target=arguments.target,
            max_megapixels=arguments.max_megapixels,
            overlay=arguments.overlay,
        )
    except BrokenPipeError:  # whoever reads our output has read enough
        raise
    except OSError as error:  # pictures have their own errors: this is about what is written
        raise DotallyError(f"{error.filename or arguments.out}: cannot be written ({error.strerror})") from error


def _box_rule(arguments: argparse.Namespace) -> Any:
    """Return the rule that was asked for, None for the method's own."""
    given: dict[str, Any] = {
        "collapse": arguments.collapse,
        "threshold": arguments.rule,
        "mean_multiplier": arguments.mean,
        "std_multiplier": arguments.std,
        "percentage": arguments.share if arguments.rule == "percentile" else None,
        "energy": arguments.share if arguments.rule == "energy" else None,
        "prune": False if arguments.no_prune else None,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if arguments.share is not None and arguments.rule not in ("percentile", "energy"):
        raise DotallyError("--share belongs to --rule percentile and --rule energy")
    if not given:
        return None
    from dotally.stnet import BoxRule

    if arguments.method == "gradient":  # of a gradient the largest channel is shown
        given = {"collapse": "max", **given}
    return BoxRule(**given)
