"""The ``dotally`` command. It only reads arguments and hands them on; imports are late, so that --help is quick."""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dotally.arguments import fraction, positive, whole
from dotally.errors import DotallyError
from dotally.version import __version__

if TYPE_CHECKING:
    from dotally.data.dotted import Dotted

# commands that read their own arguments, each in a module with ``add_arguments`` and ``run``
OWN = {
    "predict": ("dotally.predict.command", "count people in pictures and folders of pictures"),
    "localize": ("dotally.predict.localize_command", "find in pictures what a classifier saw: boxes and evidence"),
    "weights": ("dotally.predict.weights_command", "list weights by name, or make a small file of a finished run's"),
    "cost": ("dotally.models.cost_command", "operations, traffic and memory of networks at a size"),
    "verify": ("dotally.experiment.verify", "recompute every published table from committed results"),
    "wandb-push": ("dotally.experiment.push", "mirror finished runs to Weights & Biases"),
}
LIGHTNING = {
    "fit": "train on one's own data: Lightning's command line over our tasks and data sets",
    "validate": "measure a checkpoint on the validation split",
    "test": "measure a checkpoint on the test split",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0 done, 1 something failed and is listed, 2 wrong use."""
    command = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _chosen(command)()
    except DotallyError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        sys.stderr.close()
        return 0


def _chosen(command: list[str]) -> Callable[[], int]:
    """Return what a command line asks for, with its arguments read."""
    name, rest = (command[0], command[1:]) if command else ("", [])
    if name in LIGHTNING:
        return partial(importlib.import_module("dotally.training.command").run, name, rest)
    if name in OWN:
        module = importlib.import_module(OWN[name][0])
        parser = argparse.ArgumentParser(prog=f"dotally {name}", description=OWN[name][1])
        module.add_arguments(parser)
        return partial(module.run, parser.parse_args(rest))
    flags = _parser().parse_args(command)
    return partial(flags.run, flags)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dotally", description="Dots in, tallies out: count crowds by density maps.")
    parser.add_argument("--version", action="version", version=f"dotally {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    doctor = commands.add_parser("doctor", help="what is installed, found, missing, and the fix")
    _data_root(doctor)
    doctor.set_defaults(run=_doctor)
    _data(commands.add_parser("data", help="list, add, verify or convert data sets"))
    for name, about in (LIGHTNING | {name: about for name, (_, about) in OWN.items()}).items():
        commands.add_parser(name, help=about)
    return parser


def _data(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    names = {
        "list": (_list, "what there is, its licence, where to get it, and whether it was found"),
        "add": (_add, "link a folder or unpack archives into the data root, then verify the set"),
        "verify": (_verify, "count, checksum and look for what is odd"),
        "pack": (_pack, "decode all pictures into one file that trainings read crops from (dotally fit --data Packed)"),
        "convert": (_convert, "write dots in another format, or density maps as .h5 files for users of other code"),
    }
    made = {name: commands.add_parser(name, help=about) for name, (_, about) in names.items()}
    for name, (run, _) in names.items():
        made[name].set_defaults(run=run)
        _data_root(made[name])
    for name in ("add", "verify", "pack", "convert"):
        folder = "; with --from any" if name == "add" else ", or a folder of your own pictures"
        text = f"a name from `dotally data list`, such as shanghaitech{folder}"
        made[name].add_argument("name", metavar="NAME" if name == "add" else "NAME|FOLDER", help=text)
    made["add"].add_argument("source", type=Path, nargs="+", metavar="PATH", help="a folder, or .zip and .tar archives")
    made["add"].add_argument("--max-gigabytes", type=positive, default=20, help="largest unpacked size (default: 20)")
    for name in ("add", "verify", "convert"):
        _dots(made[name])
    made["pack"].add_argument("--out", type=Path, required=True, metavar="FILE", help="such as set.h5")
    about = "arguments of the data set's class, such as part=B or longest_side=1024; a folder's is PointFolder"
    made["pack"].add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help=about)
    verify = made["verify"].add_argument
    verify("--dots", action="store_true", help="check a folder of boxes for counting, by their middles")
    sheet = "draw pictures with their dots and a histogram of counts (default: dots.png)"
    verify("--pictures", nargs="?", const=Path("dots.png"), type=Path, metavar="FILE", help=sheet)
    convert = made["convert"].add_argument
    to = ("csrnet-h5", "csv", "coco", "labelme", "mat", "dots", "json", "npy", "via", "cvat", "voc", "shanghaitech")
    convert("--to", choices=to, default="csrnet-h5", help="maps of a known set (the default), or a format of dots")
    convert("--out", type=Path, required=True, metavar="DIR")
    convert("--box", type=positive, metavar="PIXELS", help="side of the squares that stand for dots in voc")
    convert("--target", choices=["exact", "official"], default="exact", help="which maps (default: exact)")
    convert("--lists", metavar="DIR", help="with train.txt, val.txt or test.txt: the split of ShanghaiTech's layout")
    convert("--test-fraction", type=fraction, default=0.2, metavar="X", help="tested on without a list (default: 0.2)")
    convert("--split-seed", type=whole(0), default=0, metavar="N", help="decides which (default: 0)")


def _dots(parser: argparse.ArgumentParser) -> None:
    own = parser.add_argument_group("a folder of your own pictures")
    formats = "csv, coco, voc, labelme, mat, dots, json, npy, via, cvat, or auto: found out"
    own.add_argument("--from", dest="format", metavar="FORMAT", help=formats)
    own.add_argument("--classes", nargs="+", metavar="NAME", help="count these only")
    about = "pictures without annotation are an error (the default), hold nothing to count, or are left out"
    own.add_argument("--unlisted", choices=("error", "empty", "skip"), default="error", help=about)


def _data_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-root", metavar="DIR", help="where the data sets are (default: DOTALLY_DATA_ROOT)")


def _doctor(flags: argparse.Namespace) -> int:
    from dotally.data.roots import data_roots
    from dotally.doctor import checkup, exit_code, render

    findings = checkup(data_roots(flags.data_root) if flags.data_root else None)
    print(render(findings))
    return exit_code(findings)


def _list(flags: argparse.Namespace) -> int:
    from dotally.data.catalogue import render_catalogue

    print(render_catalogue(flags.data_root))
    return 0


def _add(flags: argparse.Namespace) -> int:
    from dotally.data.add import Known, Own, add
    from dotally.data.roots import data_roots

    own = {"format": flags.format or "auto", "classes": flags.classes, "unlisted": flags.unlisted}
    layout = Own(name=flags.name, **own) if flags.format else Known(flags.name)
    root = Path(flags.data_root) if flags.data_root else data_roots()[0]
    added = add(layout, flags.source, root, max_gigabytes=flags.max_gigabytes)
    print(added.report.render())
    print(f"added to {added.folder}")
    return 0 if added.report.ok else 1


def _verify(flags: argparse.Namespace) -> int:
    from dotally.data.own_folder import located
    from dotally.data.roots import data_roots
    from dotally.data.verify import VERIFIERS, verify

    if flags.name not in VERIFIERS:
        flags.name = str(located(flags.name, flags.data_root))
        if Path(flags.name).is_dir() and _is_counted(flags):
            return _verify_dots(flags)
    roots = data_roots(flags.data_root) if flags.name in VERIFIERS else []
    report = verify(flags.name, roots)
    print(report.render())
    if flags.pictures:
        from dotally.data.point_sets import dotted_set

        _draw_dots(flags.pictures, dotted_set(flags.name, roots))
    return 0 if report.ok else 1


def _draw_dots(path: Path, pictures: "Sequence[Dotted]") -> None:
    from dotally.data.point_sheet import write_point_sheet

    write_point_sheet(path, pictures)
    print(f"wrote {path}")


def _check_sheet(path: Path | None, folder: Path) -> None:
    if path and path.resolve().is_relative_to(folder.resolve()):
        raise DotallyError(
            f"{path} would lie among the pictures that it shows and be taken for one of them: "
            f"--pictures {folder.resolve().parent / path.name}"
        )


def _is_counted(flags: argparse.Namespace) -> bool:
    """Return whether a folder is checked for counting: it is asked for, or its annotations have no boxes."""
    from dotally.data.point_files import survey

    asked = flags.dots or flags.pictures or flags.format or flags.classes or flags.unlisted != "error"
    return bool(asked) or survey(Path(flags.name), refuse=lambda error: None).format not in ("voc", "coco")


def _verify_dots(flags: argparse.Namespace) -> int:
    from dotally.data.point_verify import verify_folder

    _check_sheet(flags.pictures, Path(flags.name))
    checked = verify_folder(
        Path(flags.name), format=flags.format or "auto", classes=flags.classes, unlisted=flags.unlisted
    )
    print(checked.report.render())
    if flags.pictures:
        _draw_dots(flags.pictures, checked.pictures)
    return 0 if checked.report.ok else 1


def _pack(flags: argparse.Namespace) -> int:
    from dotally.data.pack import pack, source_of

    done = pack(source_of(flags.name, flags.set, flags.data_root), flags.out)
    print(f"{flags.out}: {done.pictures:,} pictures, {done.bytes / 1e6:,.0f} MB, {done.written:,} written now")
    print(f"next         dotally fit --data Packed --data.file {flags.out}")
    return 0


def _convert(flags: argparse.Namespace) -> int:
    if flags.to != "csrnet-h5":
        return _convert_dots(flags)
    from dotally.data.convert import convert
    from dotally.data.roots import data_roots

    written = convert(flags.name, data_roots(flags.data_root), flags.out, target=flags.target)
    print(f"wrote {len(written)} new maps below {flags.out}")
    return 0


def _convert_dots(flags: argparse.Namespace) -> int:
    from dotally.data.point_convert import convert_folder
    from dotally.data.point_folder import PointFolder

    source = PointFolder(
        flags.name,
        data_root=flags.data_root,
        format=flags.format or "auto",
        classes=flags.classes,
        unlisted=flags.unlisted,
        lists=flags.lists,
        test_fraction=flags.test_fraction,
        split_seed=flags.split_seed,
    )
    written = convert_folder(source, flags.out, flags.to, box=flags.box)
    print(f"wrote {written:,} pictures with their dots to {flags.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
