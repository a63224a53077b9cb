"""What the tasks that generate share: settings, the plan, and words on the terminal as they come."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .loading import add_model_arguments, load_model, load_tokenizer, read_texts
from .settings import add_generation_arguments, plan_of, settings_of

if TYPE_CHECKING:
    from formers.tokenization import PreTrainedTokenizerBase

__all__ = ["Begin", "Step", "add_arguments", "generate"]

Step = tuple[tuple[str, ...], tuple[bool, ...]]
"""The new pieces of every sequence, and whether it is complete."""

Begin = Callable[[Any, "PreTrainedTokenizerBase", str, dict[str, Any]], Iterator[Step]]
"""Begin to generate for one text: of a model, its tokenizer, the text and the settings."""


def add_arguments(parser: argparse.ArgumentParser, texts: str, count: str) -> None:
    """The texts, ``count`` of them, the model and the settings of generation; ``texts`` says what they are."""
    parser.add_argument("texts", nargs=count, metavar="TEXT", help=texts)
    parser.add_argument("--json", action="store_true", help="print JSON, when all is done")
    add_model_arguments(parser)
    add_generation_arguments(parser)


def generate(options: argparse.Namespace, auto_class: str, begin: Begin, *, repeats_text: bool) -> int:
    """Print what a model generates for each text, or the plan.

    Args:
        options: what the arguments of ``add_arguments`` gave.
        auto_class: loads the model.
        begin: raises what is wrong with a call before the first step.
        repeats_text: whether each text is printed in front of what is generated.
    """
    settings = settings_of(options)
    if options.explain:
        print(plan_of(options, settings).explain())
        return 0
    texts: Sequence[str] = read_texts(options.texts) or [""]
    tokenizer = load_tokenizer(options)
    model = load_model(options, auto_class)
    if options.seed is not None:
        import torch

        torch.manual_seed(options.seed)
    results: list[Generated] = []
    try:
        for number, text in enumerate(texts):
            steps = begin(model, tokenizer, text, settings)
            if number and not options.json:
                print()
            _Shown(text, results, repeats_text=repeats_text, quiet=options.json).follow(steps)
    finally:
        if options.json and results:
            print(json.dumps([result.as_json() for result in results], indent=2, ensure_ascii=False))
    return 0


@dataclass(slots=True)
class Generated:
    """What was generated for one text, so far."""

    prompt: str
    text: str = ""
    complete: bool = False

    def as_json(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return {"prompt": self.prompt, "text": self.text, "complete": self.complete}


class _Shown:
    """What is generated for one text, on the terminal: a single one word by word, several at the end."""

    def __init__(self, text: str, results: list[Generated], *, repeats_text: bool, quiet: bool) -> None:
        self._text, self._results, self._quiet = text, results, quiet
        self._head = text if repeats_text else ""
        self._own: list[Generated] = []

    def follow(self, steps: Iterator[Step]) -> None:
        """Take what comes; what has come is shown however that ends."""
        self._write(self._head)
        try:
            for pieces, finished in steps:
                self._take(pieces, finished)
        finally:
            first, *others = self._own or [Generated(self._text)]
            if others:
                self._write(first.text)
            self._write("\n")
            for other in others:
                self._write(f"\n{self._head}{other.text}\n")

    def _take(self, pieces: tuple[str, ...], finished: tuple[bool, ...]) -> None:
        if not self._own:
            self._own = [Generated(self._text) for _ in pieces]
            self._results += self._own
        for one, piece, is_complete in zip(self._own, pieces, finished, strict=True):
            one.text += piece
            one.complete = is_complete
        if len(pieces) == 1:
            self._write(pieces[0])

    def _write(self, text: str) -> None:
        if not self._quiet:
            print(text, end="", flush=True)
