"""The ``dotally`` command. It only reads arguments and hands them on; imports are late, so that --help is quick."""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from dotally.errors import DotallyError
from dotally.version import __version__

# commands that read their own arguments, each in a module with ``add_arguments`` and ``run``
OWN = {
    "predict": ("dotally.predict.command", "count people in pictures and folders of pictures"),
    "localize": ("dotally.predict.localize_command", "find in pictures what a classifier saw: boxes and evidence"),
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
        "add": (_add, "link a folder or unpack an archive into the data root, then verify it"),
        "verify": (_verify, "count, checksum and look for what is odd"),
        "convert": (_convert, "write density maps as .h5 files for users of other code"),
    }
    made = {name: commands.add_parser(name, help=about) for name, (_, about) in names.items()}
    for name, (run, _) in names.items():
        made[name].set_defaults(run=run)
        _data_root(made[name])
    for name in ("add", "verify", "convert"):
        made[name].add_argument("name", metavar="NAME", help="a name from `dotally data list`, such as shanghaitech")
    made["add"].add_argument("source", type=Path, metavar="PATH", help="a folder, a .zip or a .tar archive")
    made["add"].add_argument("--max-gigabytes", type=float, default=20, help="largest unpacked size (default: 20)")
    made["convert"].add_argument("--to", choices=["csrnet-h5"], default="csrnet-h5")
    made["convert"].add_argument("--out", type=Path, required=True, metavar="DIR")
    made["convert"].add_argument("--target", choices=["exact", "official"], default="exact")


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
    from dotally.data.add import add
    from dotally.data.roots import data_roots

    root = Path(flags.data_root) if flags.data_root else data_roots()[0]
    added = add(flags.name, flags.source, root, max_gigabytes=flags.max_gigabytes)
    print(added.report.render())
    print(f"added to {added.folder}")
    return 0 if added.report.ok else 1


def _verify(flags: argparse.Namespace) -> int:
    from dotally.data.roots import data_roots
    from dotally.data.verify import verify

    report = verify(flags.name, data_roots(flags.data_root))
    print(report.render())
    return 0 if report.ok else 1


def _convert(flags: argparse.Namespace) -> int:
    from dotally.data.convert import convert
    from dotally.data.roots import data_roots

    written = convert(flags.name, data_roots(flags.data_root), flags.out, target=flags.target)
    print(f"wrote {len(written)} new maps below {flags.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
