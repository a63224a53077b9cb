"""``formers run text2text-generation``: texts made of texts by an encoder and a decoder, shown as the words come."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from formers.errors import TextInputError, shorten

from . import generating
from .generating import Step

if TYPE_CHECKING:
    from formers.generation.streaming import StreamStep
    from formers.tokenization import PreTrainedTokenizerBase

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The texts, the model and the settings of generation."""
    texts = (
        'for the encoder, such as "translate English to German: The house is small."; - is the standard input'
    )
    generating.add_arguments(parser, texts, "+")


def run(options: argparse.Namespace) -> int:
    """Print what the model makes of each text, or the plan."""
    return generating.generate(options, "AutoModelForSeq2SeqLM", answers, repeats_text=False)


def answers(
    model: Any, tokenizer: PreTrainedTokenizerBase, text: str, settings: dict[str, Any]
) -> Iterator[Step]:
    """Begin to make a text of a text.

    Raises:
        TextInputError: the text has no token for the encoder to read.
        GenerationArgumentError: a setting cannot be right; raised at once.
    """
    encoded = tokenizer(text, return_tensors="pt")
    if encoded["input_ids"].shape[1] == 0:
        raise TextInputError(f"{shorten(text)} has no token, so there is nothing for the encoder to read.")
    names = [name for name in ("input_ids", "attention_mask") if name in encoded]
    inputs = {name: encoded[name].to(model.device) for name in names}
    return _pieces(model.stream(**inputs, tokenizer=tokenizer, **settings))


def _pieces(steps: Iterator[StreamStep]) -> Iterator[Step]:
    for step in steps:
        assert step.texts is not None
        yield step.texts, step.finished
