"""The table of commands. A command costs nothing here but its line: its module is imported when it is chosen."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["COMMANDS", "Command", "Group"]


class Command(NamedTuple):
    """A module with ``add_arguments(parser)`` and ``run(options) -> int``, the exit status."""

    module: str
    help: str


class Group(NamedTuple):
    """Commands that follow one word; ``default`` is what that word means alone."""

    help: str
    commands: dict[str, Command]
    default: str | None = None


COMMANDS: dict[str, Command | Group] = {
    "plugins": Group(
        "list installed plugins, diagnose them, or begin one",
        {
            "list": Command("formers.cli.listing", "what is installed; imports no plugin (the default)"),
            "doctor": Command("formers.cli.doctor", "import the plugins and report everything that is wrong"),
            "new": Command(
                "formers.cli.new", "write a package for an architecture of your own, to start from"
            ),
        },
        default="list",
    ),
    "run": Group(
        "run a model on text",
        {
            "text-generation": Command("formers.cli.tasks.text_generation", "go on with a text"),
            "text2text-generation": Command(
                "formers.cli.tasks.text2text_generation", "make a text of a text: translate, sum up, answer"
            ),
            "fill-mask": Command("formers.cli.tasks.fill_mask", "suggest words for the masks in a text"),
        },
    ),
    "explain": Command(
        "formers.cli.explain",
        "what would run for a checkpoint: class, weights, attention, generation settings",
    ),
    "golden": Command(
        "formers.testing.golden_command",
        "record what a tiny model of an architecture answers, or compare with it",
    ),
    "tokenizer": Group(
        "look at the tokenizer of a checkpoint",
        {
            "fingerprint": Command(
                "formers.cli.fingerprint", "one line that changes when the ids of any text would change"
            ),
        },
    ),
}
