"""``formers run text-generation``: go on with texts, and show the words as they come."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from . import generating
from .generating import Step

if TYPE_CHECKING:
    from formers.generation.streaming import StreamStep
    from formers.tokenization import PreTrainedTokenizerBase

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The texts, the model and the settings of generation."""
    texts = "to go on with; - is the standard input; without any, a text is begun"
    generating.add_arguments(parser, texts, "*")


def run(options: argparse.Namespace) -> int:
    """Print the texts with their continuations, or the plan."""
    return generating.generate(options, "AutoModelForCausalLM", continuations, repeats_text=True)


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
