"""BERT's tokenizers: WordPiece (Schuster and Nakajima 2012) after splitting at white space and punctuation.

``BertTokenizer`` runs in the ``tokenizers`` library; ``BertTokenizerLegacy`` is the same in Python.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import WordPiece as WordPieceDecoder
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from formers import PreTrainedTokenizer, PreTrainedTokenizerFast, TextInputError
from formers.errors import shorten
from formers_bert.wordpiece import BasicTokenizer, WordpieceTokenizer, read_vocabulary

__all__ = ["BertTokenizer", "BertTokenizerFast", "BertTokenizerLegacy"]

Token = str | AddedToken
_INPUT_NAMES = ["input_ids", "token_type_ids", "attention_mask"]
_LARGEST_ID = 2**32 - 1  # what the tokenizers library can hold


class BertTokenizer(PreTrainedTokenizerFast):
    """BERT's tokenizer: ``[CLS] A [SEP]``, and ``[CLS] A [SEP] B [SEP]`` with type 1 for ``B [SEP]``.

    Args:
        vocab: a ``vocab.txt``, or token to id. Without it, ``vocab_file`` is read; without either, and without a
            pipeline (``tokenizer_file``, ``tokenizer_object``), the special tokens are the whole vocabulary.
        do_lower_case: lower-case the text. None, as for the options below: what the pipeline says; True where
            it is made from a vocabulary.
        unk_token: the token for words that have no pieces.
        sep_token: the separator, and the last token of a row.
        pad_token: the token for padding.
        cls_token: the first token of a row.
        mask_token: the token that a masked language model fills.
        tokenize_chinese_chars: make a word of each Chinese character; not wanted for Japanese.
        strip_accents: remove accents. None: if the text is lower-cased.
        vocab_file: ``vocab`` under its older name.
        clean_text: remove control characters, and make every white space a plain space.
        wordpieces_prefix: what pieces that continue a word begin with.
        settings: as in ``PreTrainedTokenizerFast``.
    """

    vocab_files_names: ClassVar[dict[str, str]] = {
        "vocab_file": "vocab.txt",
        "tokenizer_file": "tokenizer.json",
    }
    model_input_names: list[str] = _INPUT_NAMES

    def __init__(
        self,
        vocab: str | os.PathLike[str] | Mapping[str, int] | None = None,
        do_lower_case: bool | None = None,
        unk_token: Token = "[UNK]",
        sep_token: Token = "[SEP]",
        pad_token: Token = "[PAD]",
        cls_token: Token = "[CLS]",
        mask_token: Token | None = "[MASK]",
        tokenize_chinese_chars: bool | None = None,
        strip_accents: bool | None = None,
        *,
        vocab_file: str | os.PathLike[str] | None = None,
        clean_text: bool | None = None,
        wordpieces_prefix: str = "##",
        tokenizer_file: str | os.PathLike[str] | None = None,
        tokenizer_object: Tokenizer | None = None,
        **settings: Any,
    ) -> None:
        special = (pad_token, unk_token, cls_token, sep_token, mask_token)
        given = vocab if vocab is not None else vocab_file
        if tokenizer_object is None and (given is not None or tokenizer_file is None):
            ids = _vocabulary(given, special)
            tokenizer_object = _pipeline(
                ids, str(unk_token), str(cls_token), str(sep_token), wordpieces_prefix
            )
        super().__init__(
            tokenizer_object=tokenizer_object,
            tokenizer_file=tokenizer_file,
            do_lower_case=do_lower_case,
            tokenize_chinese_chars=tokenize_chinese_chars,
            strip_accents=strip_accents,
            clean_text=clean_text,
            unk_token=unk_token,
            sep_token=sep_token,
            pad_token=pad_token,
            cls_token=cls_token,
            mask_token=mask_token,
            **settings,
        )

    def vocabulary_files(self) -> dict[str, str | bytes]:
        """``vocab.txt``: the tokens, one to a line, in the order of their ids."""
        return {"vocab.txt": _as_lines(self.backend_tokenizer.get_vocab(with_added_tokens=False))}


BertTokenizerFast = BertTokenizer
"""The name of ``BertTokenizer`` before transformers 5."""


class BertTokenizerLegacy(PreTrainedTokenizer):
    """BERT's tokenizer in Python: the same ids, slowly.

    Args:
        vocab_file: a ``vocab.txt``.
        do_lower_case: lower-case the text.
        do_basic_tokenize: split at white space and punctuation before WordPiece.
        never_split: tokens that splitting keeps whole; only with ``do_basic_tokenize``.
        unk_token: the token for words that have no pieces.
        sep_token: the separator, and the last token of a row.
        pad_token: the token for padding.
        cls_token: the first token of a row.
        mask_token: the token that a masked language model fills.
        tokenize_chinese_chars: make a word of each Chinese character.
        strip_accents: remove accents. None: if the text is lower-cased.
        clean_up_tokenization_spaces: remove the spaces before punctuation from decoded text.
        settings: as in ``PreTrainedTokenizer``.
    """

    vocab_files_names: ClassVar[dict[str, str]] = {"vocab_file": "vocab.txt"}
    model_input_names: list[str] = _INPUT_NAMES

    def __init__(
        self,
        vocab_file: str | os.PathLike[str],
        do_lower_case: bool = True,
        do_basic_tokenize: bool = True,
        never_split: Iterable[str] | None = None,
        unk_token: Token = "[UNK]",
        sep_token: Token = "[SEP]",
        pad_token: Token = "[PAD]",
        cls_token: Token = "[CLS]",
        mask_token: Token | None = "[MASK]",
        tokenize_chinese_chars: bool = True,
        strip_accents: bool | None = None,
        clean_up_tokenization_spaces: bool = True,
        **settings: Any,
    ) -> None:
        self._ids_by_token = read_vocabulary(vocab_file)
        self._tokens_by_id = {token_id: token for token, token_id in self._ids_by_token.items()}
        kept = sorted(never_split or ())
        self.do_lower_case = do_lower_case
        self.do_basic_tokenize = do_basic_tokenize
        self.tokenize_chinese_chars = tokenize_chinese_chars
        self.strip_accents = strip_accents
        self._basic = (
            BasicTokenizer(do_lower_case, kept, tokenize_chinese_chars, strip_accents)
            if do_basic_tokenize
            else None
        )
        self._wordpiece = WordpieceTokenizer(self._ids_by_token, str(unk_token))
        super().__init__(
            do_lower_case=do_lower_case,
            do_basic_tokenize=do_basic_tokenize,
            never_split=kept or None,
            tokenize_chinese_chars=tokenize_chinese_chars,
            strip_accents=strip_accents,
            clean_up_tokenization_spaces=clean_up_tokenization_spaces,
            unk_token=unk_token,
            sep_token=sep_token,
            pad_token=pad_token,
            cls_token=cls_token,
            mask_token=mask_token,
            **settings,
        )

    @property
    def vocab_size(self) -> int:
        """Tokens of the vocabulary, without the added ones."""
        return len(self._ids_by_token)

    def get_vocab(self) -> dict[str, int]:
        """Every token and its id, the added ones too."""
        return {**self._ids_by_token, **self.added_tokens_encoder}

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """``[CLS] A [SEP]``, or ``[CLS] A [SEP] B [SEP]``."""
        begin, end = self.convert_tokens_to_ids([str(self.cls_token), str(self.sep_token)])
        row = [begin, *token_ids_0, end]
        return row if token_ids_1 is None else [*row, *token_ids_1, end]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """0 for ``[CLS] A [SEP]``, 1 for ``B [SEP]``."""
        first = [0] * (len(token_ids_0) + 2)
        return first if token_ids_1 is None else first + [1] * (len(token_ids_1) + 1)

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Pieces joined to words, words with spaces."""
        return " ".join(tokens).replace(" ##", "").strip()

    def vocabulary_files(self) -> dict[str, str | bytes]:
        """``vocab.txt``: the tokens, one to a line, in the order of their ids."""
        return {"vocab.txt": _as_lines(self._ids_by_token)}

    def _normalize(self, text: str) -> str:
        return text if self._basic is None else self._basic.normalise(text)

    def _tokenize(self, text: str) -> list[str]:
        if self._basic is None:
            return self._wordpiece.tokenize(text.split())
        return self._wordpiece.tokenize(self._basic.tokenize(text), whole=self._basic.never_split)

    def _convert_token_to_id(self, token: str) -> int | None:
        return self._ids_by_token.get(token)

    def _convert_id_to_token(self, index: int) -> str | None:
        return self._tokens_by_id.get(index)


def _vocabulary(
    given: str | os.PathLike[str] | Mapping[str, int] | None, special: Iterable[Token | None]
) -> dict[str, int]:
    if given is None:
        return {str(token): token_id for token_id, token in enumerate(t for t in special if t is not None)}
    if not isinstance(given, Mapping):
        return read_vocabulary(given)
    for token, token_id in given.items():
        if not isinstance(token, str) or type(token_id) is not int or not 0 <= token_id <= _LARGEST_ID:
            raise TextInputError(
                f"vocab: {shorten(token)} to {shorten(token_id)}; expected a string to a whole number from 0 to "
                f"{_LARGEST_ID:,}"
            )
    if len(set(given.values())) < len(given):
        raise TextInputError("vocab: two tokens have one id; each token needs its own")
    return dict(given)


def _pipeline(ids: dict[str, int], unknown: str, begin: str, end: str, prefix: str) -> Tokenizer:
    """The stages of ``BertTokenizer``; special tokens that the vocabulary lacks get the ids after it."""
    following = max(ids.values(), default=-1) + 1
    missing = [token for token in (unknown, end, begin) if token not in ids]
    known = {**ids, **{token: following + index for index, token in enumerate(missing)}}
    backend = Tokenizer(WordPiece(ids, unk_token=unknown, continuing_subword_prefix=prefix))
    backend.normalizer = BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True
    )
    backend.pre_tokenizer = BertPreTokenizer()
    backend.decoder = WordPieceDecoder(prefix=prefix)
    backend.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in missing])
    backend.post_processor = TemplateProcessing(
        single=f"{begin}:0 $A:0 {end}:0",
        pair=f"{begin}:0 $A:0 {end}:0 $B:1 {end}:1",
        special_tokens=[(begin, known[begin]), (end, known[end])],
    )
    return backend


def _as_lines(ids: Mapping[str, int]) -> str:
    return "".join(f"{token}\n" for token in sorted(ids, key=ids.__getitem__))
