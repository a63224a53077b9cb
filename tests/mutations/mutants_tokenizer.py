from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench import Bench, mutant

from formers.testing import Subject
from formers_bert import BertTokenizer, BertTokenizerLegacy
from formers_gpt2 import GPT2Tokenizer


def _calls(bench: Bench, before: Any = None, after: Any = None) -> Subject:
    """Wrap the call of the tokenizer: change its keyword arguments, or its result."""
    original = GPT2Tokenizer.__call__

    def call(self: Any, text: Any = None, **kwargs: Any) -> Any:
        if before is not None:
            text = before(self, text, kwargs)
        result = original(self, text, **kwargs)
        return result if after is None else after(result)

    bench.patch.setattr(GPT2Tokenizer, "__call__", call)
    return bench.subject("gpt2")


def _edits(bench: Bench, key: str, value: Any) -> Subject:
    """Change one value of tokenizer_config.json whenever it is saved."""
    original = GPT2Tokenizer.save_pretrained

    def save_pretrained(self: Any, folder: Any, **kwargs: Any) -> Any:
        files = original(self, folder, **kwargs)
        file = Path(folder) / "tokenizer_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), key: value}), "utf-8")
        return files

    bench.patch.setattr(GPT2Tokenizer, "save_pretrained", save_pretrained)
    return bench.subject("gpt2")


@mutant("tokenizer.round_trip")
def letters_lost(bench: Bench) -> Subject:
    """Decoding changes a letter."""
    original = GPT2Tokenizer.decode
    bench.patch.setattr(
        GPT2Tokenizer,
        "decode",
        lambda self, *args, **kwargs: original(self, *args, **kwargs).replace("o", "0"),
    )
    return bench.subject("gpt2")


@mutant("tokenizer.vocabulary")
def other_tokens(bench: Bench) -> Subject:
    """Ids lead to tokens that do not lead back."""
    original = GPT2Tokenizer.convert_ids_to_tokens

    def convert(self: Any, ids: Any, *args: Any, **kwargs: Any) -> Any:
        found = original(self, ids, *args, **kwargs)
        return found if isinstance(found, list) else f"{found}!"

    bench.patch.setattr(GPT2Tokenizer, "convert_ids_to_tokens", convert)
    return bench.subject("gpt2")


@mutant("tokenizer.offsets")
def shifted(bench: Bench) -> Subject:
    """Offsets are too far to the right."""

    def shift(result: Any) -> Any:
        if "offset_mapping" in result:
            result["offset_mapping"] = [(start + 1, end + 1) for start, end in result["offset_mapping"]]
        return result

    return _calls(bench, after=shift)


@mutant("tokenizer.special_tokens")
def miscounted(bench: Bench) -> Subject:
    """The number of special tokens is miscounted."""
    bench.patch.setattr(GPT2Tokenizer, "num_special_tokens_to_add", lambda self, pair=False: 3)
    return bench.subject("gpt2")


@mutant("tokenizer.padding")
def always_right(bench: Bench) -> Subject:
    """The side of padding is not obeyed."""

    def right(self: Any, text: Any, kwargs: dict[str, Any]) -> Any:
        kwargs["padding_side"] = "right"
        return text

    return _calls(bench, right)


@mutant("tokenizer.truncation")
def one_too_many(bench: Bench) -> Subject:
    """Truncated rows are one token too long."""

    def longer(self: Any, text: Any, kwargs: dict[str, Any]) -> Any:
        if kwargs.get("truncation"):
            kwargs["max_length"] += 1
        return text

    return _calls(bench, longer)


@mutant("tokenizer.pairs")
def swapped(bench: Bench) -> Subject:
    """The texts of a pair change places."""

    def swap(self: Any, text: Any, kwargs: dict[str, Any]) -> Any:
        other = kwargs.get("text_pair")
        if other is None:
            return text
        kwargs["text_pair"] = text
        return other

    return _calls(bench, swap)


@mutant("tokenizer.batch")
def sorted_rows(bench: Bench) -> Subject:
    """The rows of a batch come back in another order."""
    return _calls(bench, lambda self, text, kwargs: text[::-1] if isinstance(text, list) else text)


@mutant("tokenizer.save_load")
def side_lost(bench: Bench) -> Subject:
    """The side of padding is not saved."""
    return _edits(bench, "padding_side", "right")


@mutant("tokenizer.added_tokens")
def not_added(bench: Bench) -> Subject:
    """Added tokens are counted and not added."""
    bench.patch.setattr(GPT2Tokenizer, "add_tokens", lambda self, tokens, **_: len(tokens))
    return bench.subject("gpt2")


@mutant("tokenizer.auto")
def another_class(bench: Bench) -> Subject:
    """A saved folder names another class."""
    return _edits(bench, "tokenizer_class", "PreTrainedTokenizerFast")


@mutant("tokenizer.copies")
def shared(bench: Bench) -> Subject:
    """A copy is the tokenizer itself."""
    bench.patch.setattr(GPT2Tokenizer, "__deepcopy__", lambda self, memo: self, raising=False)
    return bench.subject("gpt2")


@mutant("tokenizer.in_python")
def backwards(bench: Bench) -> Subject:
    """The tokenizer in Python gives the pieces of a word backwards."""
    original = BertTokenizerLegacy._tokenize
    bench.patch.setattr(
        BertTokenizerLegacy,
        "_tokenize",
        lambda self, text, **kwargs: list(original(self, text, **kwargs))[::-1],
    )
    return bench.subject("bert")


@mutant("tokenizer.model")
def unknown_input(bench: Bench) -> Subject:
    """The tokenizer gives an input that the model does not take."""
    bench.patch.setattr(BertTokenizer, "model_input_names", ["input_ids", "segment_ids", "attention_mask"])
    return bench.subject("bert")
