"""Pipelines for unigram models (Kudo 2018): of the ways to spell a text in pieces, the likeliest.

A space is written as ``▁``, U+2581, and belongs to the word after it. Words are split at white space of every sort,
and each begins with ``▁``, as in transformers 5.23. Without ``words``, the stages are those of transformers 4, in which
a text is one, and may begin without ``▁``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from formers.errors import LoadError
from formers.tokenization.sentencepiece_files import Algorithm, Kind, PieceModel

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.normalizers import Normalizer

__all__ = ["SPACE", "Prefix", "unigram"]

SPACE = "▁"
Prefix = Literal["always", "first", "never"]


def unigram(model: PieceModel, *, prefix: Prefix | None = None, words: bool = True) -> Tokenizer:
    """A pipeline for a unigram model. Roles of special tokens and a template are the caller's to add.

    Its control pieces are special tokens, and its user-defined ones are matched before anything else.

    Args:
        model: as ``read_pieces`` gives it.
        prefix: where a ``▁`` is put before a text without one: ``"always"``, which includes what comes after a
            special token, at the ``"first"`` character alone, or ``"never"``. None: what the model says.
        words: split at white space first. Of no effect unless every word begins with ``▁`` and spaces do not count:
            with another prefix, or for a model that keeps all spaces.

    Raises:
        LoadError: the model is of another algorithm, or writes spaces in another way.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    _check(model)
    scheme: Prefix = prefix or ("always" if model.add_dummy_prefix else "never")
    words = words and scheme == "always" and model.remove_extra_whitespaces
    vocabulary = [(piece.text, piece.score) for piece in model.pieces]
    backend = Tokenizer(models.Unigram(vocabulary, model.unknown, model.byte_fallback))
    # The stage that splits before each space puts none before a text that has one; where all spaces count, it must.
    prepends = scheme == "always" and not model.remove_extra_whitespaces
    normalizer = _normalisation(model, words, prepends)
    if normalizer is not None:
        backend.normalizer = normalizer
    spaces = pre_tokenizers.Metaspace(SPACE, "never" if prepends else scheme)
    backend.pre_tokenizer = (
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), spaces]) if words else spaces
    )
    joined = decoders.Metaspace(SPACE, scheme)
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), joined]) if model.byte_fallback else joined
    backend.add_special_tokens(
        [
            AddedToken(piece.text, normalized=False, special=True)
            for piece in model.pieces
            if piece.kind is Kind.CONTROL
        ]
    )
    backend.add_tokens(
        [
            AddedToken(piece.text, normalized=False)
            for piece in model.pieces
            if piece.kind is Kind.USER_DEFINED
        ]
    )
    return backend


def _check(model: PieceModel) -> None:
    if model.algorithm is not Algorithm.UNIGRAM:
        raise LoadError(
            f"{model.source} is a SentencePiece model of the kind {model.algorithm.name}; expected UNIGRAM"
        )
    if model.whitespace_as_suffix or not model.escape_whitespaces:
        field = "treat_whitespace_as_suffix" if model.whitespace_as_suffix else "escape_whitespaces"
        raise LoadError(
            f"{model.source} says {field}={model.whitespace_as_suffix}, which the tokenizers library cannot do"
        )


def _normalisation(model: PieceModel, words: bool, prepends: bool) -> Normalizer | None:
    """The stages before the splitting: the map of characters, and spaces where words are not split at them."""
    from tokenizers import Regex, normalizers

    stages: list[Normalizer] = []
    if model.charsmap:
        stages.append(normalizers.Precompiled(model.charsmap))
    if model.remove_extra_whitespaces and not words:
        stages += [normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), SPACE)]
    if prepends:
        stages.append(normalizers.Prepend(SPACE))
    if len(stages) < 2:
        return stages[0] if stages else None
    return normalizers.Sequence(stages)
