"""GPT-2's tokenizer: byte-level byte-pair encoding (Radford et al. 2019, section 2.2). It adds no special tokens."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from tokenizers import AddedToken, Tokenizer

from formers import PreTrainedTokenizerFast, TextInputError
from formers.errors import shorten
from formers.tokenization.bpe_files import ALPHABET, byte_level_bpe

__all__ = ["GPT2Tokenizer", "GPT2TokenizerFast"]

Token = str | AddedToken
PathLike = str | os.PathLike[str]

_BYTES = {character: byte for byte, character in enumerate(ALPHABET)}
_POLICIES = ("replace", "ignore", "strict")


class GPT2Tokenizer(PreTrainedTokenizerFast):
    """GPT-2's tokenizer. A space belongs to the word behind it: ``"world"`` and ``" world"`` are different tokens.

    Args:
        vocab: a ``vocab.json``, or token to id. Without it, ``vocab_file`` is read; without either, and without a
            pipeline (``tokenizer_file``, ``tokenizer_object``), ``unk_token`` is the whole vocabulary.
        merges: a ``merges.txt``, or pairs of tokens, the first to be applied first.
        errors: what becomes of bytes that are no UTF-8 when ids are decoded: ``"replace"``, ``"ignore"`` or
            ``"strict"`` as in ``bytes.decode``.
        unk_token: kept for its name; every byte has a token.
        bos_token: the token that begins a text, for who wants one.
        eos_token: the token that ends a text.
        pad_token: the token for padding; GPT-2 has none of its own.
        add_prefix_space: encode the first word as if there were a space before it. None: what the pipeline says;
            False where it is made from a vocabulary.
        vocab_file: ``vocab`` under its older name.
        merges_file: ``merges`` under its older name.
        settings: as in ``PreTrainedTokenizerFast``.

    Raises:
        TextInputError: one of vocabulary and merges is given without the other, or ``errors`` is unknown.
        CorruptFileError: a file is malformed, or the two do not belong together.
    """

    vocab_files_names: ClassVar[dict[str, str]] = {
        "vocab_file": "vocab.json",
        "merges_file": "merges.txt",
        "tokenizer_file": "tokenizer.json",
    }
    model_input_names: list[str] = ["input_ids", "attention_mask"]  # noqa: RUF012 - the form of the base class

    def __init__(
        self,
        vocab: PathLike | Mapping[str, int] | None = None,
        merges: PathLike | Iterable[str | Sequence[str]] | None = None,
        errors: str = "replace",
        unk_token: Token = "<|endoftext|>",
        bos_token: Token = "<|endoftext|>",
        eos_token: Token = "<|endoftext|>",
        pad_token: Token | None = None,
        add_prefix_space: bool | None = None,
        *,
        vocab_file: PathLike | None = None,
        merges_file: PathLike | None = None,
        tokenizer_file: PathLike | None = None,
        tokenizer_object: Tokenizer | None = None,
        **settings: Any,
    ) -> None:
        if errors not in _POLICIES:
            raise TextInputError(f"errors={shorten(errors)}; expected one of {', '.join(_POLICIES)}")
        self.errors = errors
        ids = vocab if vocab is not None else vocab_file
        pairs = merges if merges is not None else merges_file
        if tokenizer_object is None and (ids is not None or tokenizer_file is None):
            tokenizer_object = _pipeline(ids, pairs, str(unk_token))
        super().__init__(
            tokenizer_object=tokenizer_object,
            tokenizer_file=tokenizer_file,
            errors=errors,
            unk_token=unk_token,
            bos_token=bos_token,
            eos_token=eos_token,
            pad_token=pad_token,
            add_prefix_space=add_prefix_space,
            **settings,
        )

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """The text of the bytes that the tokens spell."""
        if self.errors == "replace":
            return super().convert_tokens_to_string(tokens)
        return b"".join(map(_spelt, tokens)).decode("utf-8", self.errors)

    def vocabulary_files(self) -> dict[str, str | bytes]:
        """``vocab.json`` and ``merges.txt``, with their usual heading."""
        files = super().vocabulary_files()
        merges = files["merges.txt"]
        text = merges if isinstance(merges, str) else merges.decode("utf-8")
        lines = text.splitlines()
        first = 1 if lines and lines[0].startswith("#version") else 0
        ids = self.backend_tokenizer.get_vocab(with_added_tokens=False)
        ordered = {token: ids[token] for token in sorted(ids, key=ids.__getitem__)}
        return {
            "vocab.json": json.dumps(ordered, ensure_ascii=False) + "\n",
            "merges.txt": "\n".join(["#version: 0.2", *lines[first:]]) + "\n",
        }

    def _decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        if self.errors == "replace":
            return super()._decode(ids, skip_special_tokens)
        return self.convert_tokens_to_string(self.convert_ids_to_tokens(ids, skip_special_tokens))

    def _decode_batch(self, rows: list[list[int]], skip_special_tokens: bool) -> list[str]:
        if self.errors == "replace":
            return super()._decode_batch(rows, skip_special_tokens)
        return [self._decode(row, skip_special_tokens) for row in rows]


GPT2TokenizerFast = GPT2Tokenizer
"""The name of ``GPT2Tokenizer`` before transformers 5."""


def _spelt(token: str) -> bytes:
    """The bytes of a token; an added one that is not spelt in the alphabet stands for its own characters."""
    try:
        return bytes(_BYTES[character] for character in token)
    except KeyError:
        return token.encode("utf-8")


def _pipeline(
    vocab: PathLike | Mapping[str, int] | None,
    merges: PathLike | Iterable[str | Sequence[str]] | None,
    unknown: str,
) -> Tokenizer:
    if vocab is None and merges is None:
        return byte_level_bpe({unknown: 0}, [])
    if vocab is None or merges is None:
        given, lacking = ("merges", "vocab") if vocab is None else ("vocab", "merges")
        raise TextInputError(f"GPT2Tokenizer got {given} without {lacking}; it needs both")
    return byte_level_bpe(vocab, merges)
