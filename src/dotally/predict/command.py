"""``dotally predict``: count the people in pictures."""

import argparse
from pathlib import Path

from dotally.arguments import positive, whole
from dotally.errors import DotallyError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments; imports nothing that takes time."""
    add = parser.add_argument
    add("sources", nargs="+", type=Path, metavar="SOURCE", help="pictures, and folders searched for pictures")
    add("--weights", metavar="FILE|NAME", help="a weights file or a name of `dotally weights` (default: those shipped)")
    add("--out", required=True, type=Path, metavar="DIR", help="where counts.csv, summary.json and overlays/ go")
    add("--truth", type=Path, metavar="FILE", help="annotated heads: .mat, a folder of them, or a csv with file,x,y")
    add("--arch", metavar="NAME", help="network of a weights file that does not name it, such as csrnet")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: the GPU where there is one")
    add("--max-megapixels", type=positive, default=200.0, metavar="N", help="refuse larger pictures (default: 200)")
    add(
        "--longest-side",
        type=whole(0),
        metavar="N",
        help="shrink larger pictures to this many pixels before counting (default: as in training; 0: never)",
    )
    add("--overlay", choices=("jpg", "png", "none"), default="jpg", help="format of the overlays (default: jpg)")
    add(
        "--vmax",
        type=positive,
        metavar="X",
        help="heads per cell at the top of the colour scale (default: the job's p99)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Count, write the results and say where they are.

    Returns:
        0, or 1 when a picture failed or the job was interrupted.

    Raises:
        DotallyError: Nothing could be done: no picture, no weights, no truth, or no place to write to.
    """
    from dotally.predict.counter import Counter
    from dotally.predict.folder import predict
    from dotally.predict.terminal import say
    from dotally.predict.weights_file import DEFAULT

    counter = Counter.load(
        arguments.weights or DEFAULT, arch=arguments.arch, device=arguments.device, longest_side=arguments.longest_side
    )
    for line in counter.describe():
        say(line, stderr=True)
    try:
        return predict(
            arguments.sources,
            counter,
            arguments.out,
            truth=arguments.truth,
            max_megapixels=arguments.max_megapixels,
            overlay=arguments.overlay,
            vmax=arguments.vmax,
        )
    except BrokenPipeError:  # whoever reads our output has read enough
        raise
    except OSError as error:  # pictures have their own errors: this is about what is written
        raise DotallyError(f"{error.filename or arguments.out}: cannot be written ({error.strerror})") from error
