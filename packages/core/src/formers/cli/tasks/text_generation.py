"""``formers run text-generation``: go on with texts, and show the words as they come."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .loading import add_model_arguments, load_model, load_tokenizer, read_texts
from .settings import add_generation_arguments, plan_of, settings_of

if TYPE_CHECKING:
    from formers.generation.streaming import StreamStep
    from formers.tokenization import PreTrainedTokenizerBase

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The texts, the model and the settings of generation."""
    parser.add_argument(
        "texts",
        nargs="*",
        metavar="TEXT",
        help="to go on with; - is the standard input; without any, a text is begun",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, when all is done")
    add_model_arguments(parser)
    add_generation_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Print the texts with their continuations, or the plan."""
    settings = settings_of(options)
    if options.explain:
        print(plan_of(options, settings).explain())
        return 0
    texts = read_texts(options.texts) or [""]
    tokenizer = load_tokenizer(options)
    model = load_model(options, "AutoModelForCausalLM")
    if options.seed is not None:
        import torch

        torch.manual_seed(options.seed)
    results: list[Continuation] = []
    try:
        for number, text in enumerate(texts):
            steps = continuations(model, tokenizer, text, settings)
            if number and not options.json:
                print()
            _Shown(text, results, quiet=options.json).follow(steps)
    finally:
        if options.json and results:
            print(json.dumps([result.as_json() for result in results], indent=2, ensure_ascii=False))
    return 0


@dataclass(slots=True)
class Continuation:
    """What was generated behind one text, so far."""

    prompt: str
    text: str = ""
    complete: bool = False

    def as_json(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return {"prompt": self.prompt, "text": self.text, "complete": self.complete}


Step = tuple[tuple[str, ...], tuple[bool, ...]]
"""The new pieces of every sequence, and whether it is complete."""


def continuations(
    model: Any, tokenizer: PreTrainedTokenizerBase, text: str, settings: dict[str, Any]
) -> Iterator[Step]:
    """Begin to go on with a text.

    Raises:
        GenerationArgumentError: a setting cannot be right; raised at once.
    """
    encoded = tokenizer(text, return_tensors="pt")
    prompt: list[int] = encoded["input_ids"][0].tolist()
    names = [name for name in ("input_ids", "attention_mask") if prompt and name in encoded]
    inputs = {name: encoded[name].to(model.device) for name in names}
    steps = model.stream(**inputs, tokenizer=tokenizer, **settings)
    return _with_gaps(steps, tokenizer, prompt)


def _with_gaps(
    steps: Iterator[StreamStep], tokenizer: PreTrainedTokenizerBase, prompt: list[int]
) -> Iterator[Step]:
    """The steps, each sequence beginning with the space that belongs between it and its prompt."""
    ids: list[list[int]] = []
    begun: list[bool] = []
    for step in steps:
        assert step.texts is not None
        begun = begun or [False] * len(step.texts)
        ids = ids or [[] for _ in begun]
        pieces = list(step.texts)
        for row, piece in enumerate(pieces):
            if begun[row]:
                continue
            ids[row] += step.ids[row].tolist()
            begun[row] = bool(piece)
            pieces[row] = _gap(tokenizer.decode, prompt, ids[row], piece) + piece
        yield tuple(pieces), step.finished


def _gap(decode: Callable[..., str], prompt: list[int], new: list[int], piece: str) -> str:
    """The space before a word that a decoder leaves out at the beginning of a text."""
    if not piece or not prompt or piece[0].isspace():
        return ""
    before, whole = (
        decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        for ids in (prompt, prompt + new)
    )
    return " " if before and whole.startswith(f"{before} ") else ""


class _Shown:
    """One text and its continuations on the terminal: the words of a single one as they come, several at the end."""

    def __init__(self, text: str, results: list[Continuation], *, quiet: bool) -> None:
        self._text, self._results, self._quiet = text, results, quiet
        self._own: list[Continuation] = []

    def follow(self, steps: Iterator[Step]) -> None:
        """Take what comes; what has come is shown however that ends."""
        self._write(self._text)
        try:
            for pieces, finished in steps:
                self._take(pieces, finished)
        finally:
            first, *others = self._own or [Continuation(self._text)]
            if others:
                self._write(first.text)
            self._write("\n")
            for other in others:
                self._write(f"\n{self._text}{other.text}\n")

    def _take(self, pieces: tuple[str, ...], finished: tuple[bool, ...]) -> None:
        if not self._own:
            self._own = [Continuation(self._text) for _ in pieces]
            self._results += self._own
        for one, piece, is_complete in zip(self._own, pieces, finished, strict=True):
            one.text += piece
            one.complete = is_complete
        if len(pieces) == 1:
            self._write(pieces[0])

    def _write(self, text: str) -> None:
        if not self._quiet:
            print(text, end="", flush=True)
