"""The command ``formers``. Its commands are in the table ``commands``, each in a module of its own."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module

from formers import __version__
from formers.errors import FormersError, FormersWarning

from .commands import COMMANDS, Command, Group

__all__ = ["main"]

TRACEBACK = "--traceback"
INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended
CLOSED_PIPE = 141  # and for one whose reader went away


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 0, 1 for a problem found, 2 for wrong usage.

    No plugin is imported before the arguments are understood, so that a broken one cannot stop its own diagnosis.
    Errors that formers raises on purpose are printed without their traceback, unless ``--traceback`` asks for it.
    """
    words, traceback = _without_traceback(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="formers", description="Transformers, unbundled: tools around checkpoints and plugins."
    )
    parser.add_argument("--version", action="version", version=f"formers {__version__}")
    parser.add_argument(TRACEBACK, action="store_true", help="show where an error comes from")
    command, parser_of_command = _choose(parser, COMMANDS, words)
    options = parser.parse_args(words)
    if command is None:
        parser_of_command.print_help()
        return 2
    try:
        with _plain_warnings():
            status: int = import_module(command.module).run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()
        return CLOSED_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except FormersError as error:
        if traceback:
            raise
        print("\n".join((f"formers: {error}", *getattr(error, "__notes__", ()))), file=sys.stderr)
        return 1
    return status


def _without_traceback(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """The arguments without ``--traceback``, which may stand anywhere before ``--``, and whether it was there."""
    words = list(arguments)
    end = words.index("--") if "--" in words else len(words)
    options = [word for word in words[:end] if word != TRACEBACK]
    return options + words[end:], len(options) < end


def _choose(
    parser: argparse.ArgumentParser,
    entries: Mapping[str, Command | Group],
    words: list[str],
    start: int = 0,
) -> tuple[Command | None, argparse.ArgumentParser]:
    """Add parsers for the entries, the arguments of the one that ``words`` names, and return that one.

    A group's default is inserted into ``words`` where no command follows the group.
    """
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND")
    place = next((i for i in range(start, len(words)) if not words[i].startswith("-")), len(words))
    named = words[place] if place < len(words) else None
    chosen = None
    for name, entry in entries.items():
        text = entry.help[0].upper() + entry.help[1:] + "."
        own = subparsers.add_parser(name, help=entry.help, description=text)
        if name == named:
            chosen = entry, own
    if chosen is None:
        return None, parser
    entry, own = chosen
    if isinstance(entry, Group):
        following = words[place + 1 : place + 2]
        if (
            entry.default
            and (not following or following[0].startswith("-"))
            and not _asks_for_help(following)
        ):
            words.insert(place + 1, entry.default)
        return _choose(own, entry.commands, words, place + 1)
    import_module(entry.module).add_arguments(own)
    return entry, own


def _asks_for_help(words: list[str]) -> bool:
    return words in (["-h"], ["--help"])


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Show the warnings of formers as a line of text, without file and source."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def show_plainly(
            message: Warning | str, category: type[Warning], filename: str, lineno: int, *rest: object
        ) -> None:
            if issubclass(category, FormersWarning):
                print(f"formers: warning: {message}", file=sys.stderr)
            else:
                show(message, category, filename, lineno, *rest)  # type: ignore[arg-type]

        warnings.showwarning = show_plainly  # type: ignore[assignment]
        yield


def _silence_stdout() -> None:
    """Keep the interpreter from writing to the closed pipe once more when it exits."""
    with contextlib.suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
