"""The command ``formers``: look at the plugins that are installed, and find out what is wrong with one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from formers import __version__

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 0, 1 for a problem found, 2 for wrong usage.

    No plugin is imported before the arguments are understood, so that a broken one cannot stop its own diagnosis.
    """
    parser = _parser()
    options = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    if getattr(options, "action", None) == "doctor":
        from . import doctor

        return doctor.run(options.name, as_json=options.json)
    if options.command == "plugins":
        from . import listing

        return listing.run(as_json=options.json)
    parser.print_help()
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="formers", description=__doc__)
    parser.add_argument("--version", action="version", version=f"formers {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    plugins = commands.add_parser("plugins", help="list installed plugins, or diagnose them")
    plugins.set_defaults(json=False)
    actions = plugins.add_subparsers(dest="action", metavar="ACTION")

    listing = actions.add_parser("list", help="what is installed; imports no plugin (the default)")
    listing.add_argument("--json", action="store_true", help="print JSON")

    doctor = actions.add_parser("doctor", help="import the plugins and report everything that is wrong")
    doctor.add_argument("name", nargs="?", help="one distribution or model type; all if left out")
    doctor.add_argument("--json", action="store_true", help="print JSON")
    return parser
