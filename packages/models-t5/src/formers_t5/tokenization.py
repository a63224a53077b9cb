"""T5's tokenizer: a unigram model (Kudo 2018) of SentencePiece, with sentinels that stand for what is left out.

T5 is trained to fill gaps (Raffel et al. 2020, section 3.1.4): ``<extra_id_0>`` is the first gap of a text,
``<extra_id_1>`` the second. Their ids are the last of the vocabulary, counted down. Every text ends with ``</s>``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from tokenizers import AddedToken, Tokenizer

from formers import LoadError, PreTrainedTokenizerFast, TextInputError, TokenizerWarning
from formers.errors import shorten, warn
from formers.tokenization.sentencepiece_files import Piece, PieceModel, parse_pieces, read_content
from formers.tokenization.unigram import SPACE, unigram

__all__ = ["MT5Tokenizer", "MT5TokenizerFast", "T5Tokenizer", "T5TokenizerFast"]

Token = str | AddedToken
PathLike = str | os.PathLike[str]

INSTALL = "formers-t5[spiece]"
MAX_SENTINELS = 100_000

_SENTINEL = re.compile(r"<extra_id_(0|[1-9][0-9]*)>")


class T5Tokenizer(PreTrainedTokenizerFast):
    """T5's tokenizer: ``A </s>``, and ``A </s> B </s>``, all of type 0.

    Args:
        vocab: a ``spiece.model``, or pairs of a piece and its log-probability in the order of their ids. Without it,
            ``vocab_file`` is read; without either, and without a pipeline (``tokenizer_file``,
            ``tokenizer_object``), the special tokens and ``▁`` are the whole vocabulary.
        eos_token: the token that ends every text.
        unk_token: the token for what no piece spells.
        pad_token: the token for padding, and the first one of a decoder's input.
        extra_ids: how many sentinels there are. Those that a model does not have are put behind its pieces, the last
            sentinel first; behind a list of pieces, the first one first. A pipeline has what it has.
        additional_special_tokens: further special tokens, beside the sentinels.
        legacy: the white space of T5 as published, which sees a space after each special token. False: a text is
            the same before and after one. None: True, or what the pipeline says.
        add_prefix_space: False: do not read a text as if a space came before it. None: what the model or the
            pipeline says.
        precompiled_charsmap: the normalisation that goes with ``vocab`` where that is a list.
        vocab_file: a ``spiece.model``; beside a pipeline, one to be saved with it.
        settings: as in ``PreTrainedTokenizerFast``.

    Raises:
        CorruptFileError: the ``spiece.model`` is none.
        LoadError: it is a model of another kind, such as BPE, or cannot be read.
        MissingExtraError: what reads it is not installed.
        TextInputError: an argument is wrong.
    """

    vocab_files_names: ClassVar[dict[str, str]] = {
        "vocab_file": "spiece.model",
        "tokenizer_file": "tokenizer.json",
    }
    carried_files: ClassVar[tuple[str, ...]] = ("vocab_file",)
    model_input_names: list[str] = ["input_ids", "attention_mask"]  # noqa: RUF012 - the form of the base class

    def __init__(
        self,
        vocab: PathLike | Iterable[Sequence[Any]] | None = None,
        eos_token: Token = "</s>",
        unk_token: Token = "<unk>",
        pad_token: Token = "<pad>",
        *,
        extra_ids: int = 100,
        additional_special_tokens: Sequence[Token] | None = None,
        legacy: bool | None = None,
        add_prefix_space: bool | None = None,
        precompiled_charsmap: bytes = b"",
        vocab_file: PathLike | None = None,
        tokenizer_file: PathLike | None = None,
        tokenizer_object: Tokenizer | None = None,
        **settings: Any,
    ) -> None:
        self.extra_ids = _sentinel_count(extra_ids)
        for name, value in (("legacy", legacy), ("add_prefix_space", add_prefix_space)):
            if value not in (None, True, False):
                raise TextInputError(f"{name}={shorten(value)}: expected True, False or None")
            if value is not None:
                settings[name] = value
        pieces = None
        if isinstance(vocab, str | os.PathLike):
            vocab_file = vocab
        else:
            pieces = vocab
        given = tokenizer_object is not None or (tokenizer_file is not None and vocab is None)
        carried = vocab_file if pieces is None else None
        self.vocab_file = None if carried is None else os.fspath(carried)
        self._content = None if carried is None else read_content(carried)
        if not given:
            model = (
                _listed(pieces, (str(pad_token), str(eos_token), str(unk_token)), precompiled_charsmap)
                if self.vocab_file is None or self._content is None
                else parse_pieces(self._content, self.vocab_file, install=INSTALL)
            )
            behind = _sentinels(self.extra_ids) if pieces is None else []
            tokenizer_object = _pipeline(model, behind, str(eos_token), legacy, add_prefix_space)
        super().__init__(
            tokenizer_object=tokenizer_object,
            tokenizer_file=tokenizer_file,
            eos_token=eos_token,
            unk_token=unk_token,
            pad_token=pad_token,
            extra_ids=extra_ids,
            additional_special_tokens=additional_special_tokens,
            **settings,
        )
        wanted = [name for name in _sentinels(self.extra_ids) if pieces is not None or self.knows(name)]
        if wanted:
            self.add_special_tokens(
                {"additional_special_tokens": wanted}, replace_additional_special_tokens=False
            )
        self._follow_pipeline(legacy)

    def _follow_pipeline(self, legacy: bool | None) -> None:
        """Let the options say what the pipeline does, with a warning where ``legacy`` says otherwise."""
        scheme = _prefix(self.backend_tokenizer)
        self.add_prefix_space = scheme != "never"
        self.legacy = scheme == "always" if scheme in ("always", "first") else legacy is not False
        if legacy not in (None, self.legacy):
            warn(
                f"legacy={legacy} has no effect: the pipeline of the tokenizer decides, and it is made for "
                f"legacy={self.legacy}. Make it anew: {type(self).__name__}(vocab_file='.../spiece.model', "
                f"legacy={legacy})",
                TokenizerWarning,
            )

    def get_sentinel_tokens(self) -> list[str]:
        """The sentinels among the special tokens, ``<extra_id_0>`` first."""
        found = filter(None, map(_SENTINEL.fullmatch, self.extra_special_tokens))
        return [match[0] for match in sorted(found, key=lambda match: int(match[1]))]

    def get_sentinel_token_ids(self) -> list[int]:
        """The ids of ``get_sentinel_tokens``."""
        return self.convert_tokens_to_ids(self.get_sentinel_tokens())

    def vocabulary_files(self) -> dict[str, str | bytes]:
        """``spiece.model``, as it was read; nothing for a tokenizer that was made of something else."""
        return {} if self._content is None else {"spiece.model": self._content}

    def save_vocabulary(
        self, save_directory: PathLike, filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Write ``spiece.model``, as it was read; returns its path.

        Raises:
            LoadError: the tokenizer was not made of one.
        """
        if self._content is None:
            raise LoadError(
                f"This {type(self).__name__} was not made of a spiece.model, and its pipeline has none; "
                "save_pretrained saves it whole, as tokenizer.json"
            )
        return super().save_vocabulary(save_directory, filename_prefix)


T5TokenizerFast = T5Tokenizer
"""The name of ``T5Tokenizer`` before transformers 5."""
MT5Tokenizer = T5Tokenizer
"""mT5 has a vocabulary of its own, and the same tokenizer."""
MT5TokenizerFast = T5Tokenizer


def _sentinel_count(extra_ids: int) -> int:
    if type(extra_ids) is not int or not 0 <= extra_ids <= MAX_SENTINELS:
        raise TextInputError(
            f"extra_ids={shorten(extra_ids)}: expected a whole number from 0 to {MAX_SENTINELS:,}"
        )
    return extra_ids


def _sentinels(count: int) -> list[str]:
    return [f"<extra_id_{number}>" for number in range(count)]


def _listed(
    vocab: Iterable[Sequence[Any]] | None, roles: tuple[str, str, str], charsmap: bytes
) -> PieceModel:
    """A model of pieces that come with the call."""
    if vocab is None:
        vocab = [*((token, 0.0) for token in dict.fromkeys(roles)), (SPACE, -2.0)]
    pieces: list[Piece] = []
    for place, entry in enumerate(vocab):
        if not isinstance(entry, tuple | list) or list(map(type, entry)) not in ([str, float], [str, int]):
            raise TextInputError(f"vocab[{place}]={shorten(entry)}: expected a piece and its log-probability")
        if any("\ud800" <= character <= "\udfff" for character in entry[0]):
            raise TextInputError(f"vocab[{place}]: {shorten(entry[0])} has a surrogate, which no text has")
        pieces.append(Piece(entry[0], float(entry[1])))
    unknown = next((place for place, piece in enumerate(pieces) if piece.text == roles[2]), None)
    if unknown is None:
        raise TextInputError(f"vocab: {len(pieces):,} pieces without the unk_token {shorten(roles[2])}")
    return PieceModel("vocab", tuple(pieces), unknown, charsmap)


def _pipeline(
    model: PieceModel,
    sentinels: list[str],
    eos_token: str,
    legacy: bool | None,
    add_prefix_space: bool | None,
) -> Tokenizer:
    from tokenizers.processors import TemplateProcessing

    present = {piece.text for piece in model.pieces}
    model = model.with_pieces(name for name in reversed(sentinels) if name not in present)
    spaced = model.add_dummy_prefix if add_prefix_space is None else add_prefix_space
    prefix = "never" if not spaced else "first" if legacy is False else "always"
    backend = unigram(model, prefix=prefix)  # type: ignore[arg-type]  # one of the three
    backend.add_special_tokens([AddedToken(eos_token, normalized=False, special=True)])
    backend.post_processor = TemplateProcessing(
        single=["$A", eos_token],
        pair=["$A", eos_token, "$B", eos_token],
        special_tokens=[(eos_token, backend.token_to_id(eos_token))],
    )
    return backend


def _prefix(backend: Tokenizer) -> str | None:
    """Where a pipeline puts a ``▁`` before a text without one; None if it has no such stage."""
    stage: Any = backend.pre_tokenizer
    if hasattr(stage, "prepend_scheme"):
        return str(stage.prepend_scheme)
    try:
        parts = [stage[index] for index in range(len(stage))]
    except TypeError:  # not a sequence of stages
        return None
    return next((str(part.prepend_scheme) for part in parts if hasattr(part, "prepend_scheme")), None)
