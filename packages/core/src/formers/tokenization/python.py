"""``PreTrainedTokenizer``: a tokenizer written in Python."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from tokenizers import AddedToken

from formers.errors import TextInputError, shorten
from formers.tokenization import inputs, limits
from formers.tokenization.added import AddedTokens
from formers.tokenization.adding import as_list
from formers.tokenization.base import PreTrainedTokenizerBase
from formers.tokenization.batch import BatchEncoding
from formers.tokenization.calling import Columns
from formers.tokenization.padding import pad_row
from formers.tokenization.patterns import SpecialTokensPattern, frame_of
from formers.tokenization.pipeline import vanishing
from formers.tokenization.strategies import choose
from formers.tokenization.truncating import pieces

if TYPE_CHECKING:
    from formers.tokenization.inputs import Texts

__all__ = ["PreTrainedTokenizer"]


class PreTrainedTokenizer(PreTrainedTokenizerBase):
    """Base of tokenizers written in Python.

    A subclass sets up its vocabulary, then calls ``super().__init__(**settings)``, and provides ``vocab_size``,
    ``get_vocab``, ``_tokenize``, ``_convert_token_to_id`` and ``_convert_id_to_token``. The special tokens of a
    row follow from ``special_tokens_pattern``, or from an own ``build_inputs_with_special_tokens``.
    There are no encodings, so no offsets and no word ids.

    Args:
        added_tokens_decoder: id to token, of tokens to be added.
        special_tokens_pattern: "none", "cls_sep", "cls_double_sep", "bos", "eos", "bos_eos", or "prefix_suffix"
            (the ids in the attributes ``prefix_tokens`` and ``suffix_tokens``).
        token_type_ids_pattern: "all_zeros", or else 0 for the first text and 1 for the second.
        token_type_ids_include_special_tokens: the types are those of rows with special tokens.
        settings: as in ``PreTrainedTokenizerBase``.
    """

    is_fast: ClassVar[bool] = False

    def __init__(
        self,
        *,
        added_tokens_decoder: Mapping[Any, Any] | None = None,
        special_tokens_pattern: str = "none",
        token_type_ids_pattern: str | None = None,
        token_type_ids_include_special_tokens: bool = True,
        **settings: Any,
    ) -> None:
        self._added: dict[int, AddedToken] = {}
        self._added_ids: dict[str, int] = {}
        self._added_tokens = AddedTokens(())
        self.special_tokens_pattern = choose(
            SpecialTokensPattern, "special_tokens_pattern", special_tokens_pattern
        )
        self.token_type_ids_pattern = token_type_ids_pattern
        self.token_type_ids_include_special_tokens = token_type_ids_include_special_tokens
        super().__init__(**settings)
        self._add_known(added_tokens_decoder or {})

    # What a subclass provides.

    def _tokenize(self, text: str) -> list[str]:
        """The tokens of a text that holds no added token."""
        raise NotImplementedError(f"{type(self).__name__} has no _tokenize(text)")

    def _convert_token_to_id(self, token: str) -> int | None:
        """The id of a token of the vocabulary, or None."""
        raise NotImplementedError(f"{type(self).__name__} has no _convert_token_to_id(token)")

    def _convert_id_to_token(self, index: int) -> str | None:
        """The token of an id of the vocabulary, or None."""
        raise NotImplementedError(f"{type(self).__name__} has no _convert_id_to_token(index)")

    def _normalize(self, text: str) -> str:
        """The form that a text has in the vocabulary; tokens added with ``normalized=True`` are found in it."""
        return text

    def prepare_for_tokenization(
        self, text: str, is_split_into_words: bool = False, **kwargs: Any
    ) -> tuple[str, dict[str, Any]]:
        """A text, or a word of one, as it is to be tokenized; here as it is. The other arguments are passed on."""
        return text, kwargs

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """One sequence of ids, or two, with the special tokens."""
        before, between, after = frame_of(self, self.special_tokens_pattern)
        if token_ids_1 is None:
            return [*before, *token_ids_0, *after]
        return [*before, *token_ids_0, *between, *token_ids_1, *after]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """The type of each token of ``build_inputs_with_special_tokens``: 0 for a first text alone, then 1."""
        if self.token_type_ids_include_special_tokens:
            first = len(self.build_inputs_with_special_tokens(token_ids_0))
            both = len(self.build_inputs_with_special_tokens(token_ids_0, token_ids_1))
        else:
            first = len(token_ids_0)
            both = first + len(token_ids_1 or ())
        return [0] * first + [int(self.token_type_ids_pattern != "all_zeros")] * (both - first)

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Tokens joined to one text."""
        return " ".join(tokens)

    def vocabulary_files(self) -> dict[str, str | bytes]:
        """Name to content, of the files that the constructor reads."""
        raise NotImplementedError(f"{type(self).__name__} has no vocabulary_files()")

    # What follows from it.

    def __len__(self) -> int:
        return len({*self.get_vocab().values(), *self._added})

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Id to token, of the tokens that were added to the vocabulary, in the order of the ids."""
        return dict(sorted(self._added.items()))

    def add_tokens(
        self, new_tokens: str | AddedToken | Iterable[str | AddedToken], special_tokens: bool = False
    ) -> int:
        """As in every tokenizer; special ones become ``extra_special_tokens``, by which decoding knows them."""
        tokens = as_list(new_tokens)
        new = super().add_tokens(tokens, special_tokens)
        known = self.all_special_tokens
        added = [self._added[self._added_ids[str(token)]] for token in tokens if str(token)]
        extra = [token for token in added if token.special and token.content not in known]
        self._special.assign_extra(extra, replace=False)
        return new

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Special tokens that encoding adds to one text, or to a pair."""
        return len(self.build_inputs_with_special_tokens([], [] if pair else None))

    def tokenize(
        self,
        text: inputs.Text,
        pair: inputs.Text | None = None,
        add_special_tokens: bool = False,
        **options: Any,
    ) -> list[str]:
        """The tokens of a text, or of a pair, as strings."""
        words = bool(options.get("is_split_into_words"))
        split = bool(options.get("split_special_tokens", self.split_special_tokens))
        if add_special_tokens or options.keys() - {"is_split_into_words", "split_special_tokens"}:
            row = self.encode(text, pair, add_special_tokens, **{"verbose": False, **options})
            return list(self.convert_ids_to_tokens(row))
        return [
            token
            for part in (text, pair)
            if part is not None
            for token in self._split_tokens(part, words, split)
        ]

    def _encode(
        self,
        text: Texts,
        text_pair: Texts | None,
        words: bool,
        add_special_tokens: bool,
        truncation: limits.Truncation | None,
        padding: limits.Padding | None,
        columns: Columns,
        split_special_tokens: bool,
        flat: bool,
    ) -> BatchEncoding:
        if columns.offset_mapping:
            raise TextInputError(
                f"return_offsets_mapping=True: {type(self).__name__} is written in Python and knows no offsets; "
                "use the class over the tokenizers library"
            )
        single = not inputs.is_batch(text, words)
        batch: Sequence[Any] = [(text, text_pair)] if single else inputs.as_batch(text, text_pair)
        rows: list[dict[str, Any]] = []
        samples: list[int] = []
        for sample, item in enumerate(batch):
            first, second = (
                item if single or (inputs.is_pair(item, words) and len(item) == 2) else (item, None)
            )
            try:
                ids = self._text_to_ids(first, words, split_special_tokens)
                pair = None if second is None else self._text_to_ids(second, words, split_special_tokens)
            except TextInputError as error:
                if single:
                    inputs.explain_single(text, text_pair, words, error)
                inputs.explain(batch, words, error)
            found = self._cut_rows(ids, pair, add_special_tokens, truncation, columns)
            rows += found if columns.overflow else found[:1]
            samples += [sample] * (len(found) if columns.overflow else 1)
        longest = max((len(row["input_ids"]) for row in rows), default=0)
        rows = [pad_row(self, row, padding, longest, columns.attention_mask) for row in rows]
        if columns.length:
            rows = [{**row, "length": len(row["input_ids"])} for row in rows]
        names = rows[0] if rows else _names(columns)
        if single and flat and not columns.overflow:
            return BatchEncoding({**rows[0], "length": [rows[0]["length"]]} if columns.length else rows[0])
        data: dict[str, Any] = {name: [row[name] for row in rows] for name in names}
        if columns.overflow:
            data["overflow_to_sample_mapping"] = samples
        return BatchEncoding(data)

    def _cut_rows(
        self,
        ids: list[int],
        pair: list[int] | None,
        add_special_tokens: bool,
        truncation: limits.Truncation | None,
        columns: Columns,
    ) -> list[dict[str, Any]]:
        """The pieces of a text, or of a pair, each with its fields."""
        cut: list[tuple[Any, Any]] = [(ids, pair)]
        if truncation is not None:
            special = self.num_special_tokens_to_add(pair is not None) if add_special_tokens else 0
            limits.check_room(truncation, special)
            cut = pieces(ids, pair, truncation, truncation["max_length"] - special)
        return [self._finished_row(first, second, add_special_tokens, columns) for first, second in cut]

    def _finished_row(
        self, ids: list[int], pair: list[int] | None, add_special_tokens: bool, columns: Columns
    ) -> dict[str, Any]:
        plain = [*ids, *(pair or ())]
        row: dict[str, Any] = {
            "input_ids": self.build_inputs_with_special_tokens(ids, pair) if add_special_tokens else plain
        }
        if columns.token_type_ids:
            row["token_type_ids"] = (
                self.create_token_type_ids_from_sequences(ids, pair)
                if add_special_tokens
                else [0] * len(ids) + [1] * len(pair or ())
            )
        if columns.attention_mask:
            row["attention_mask"] = [1] * len(row["input_ids"])
        if columns.special_tokens_mask:
            row["special_tokens_mask"] = (
                self.get_special_tokens_mask(ids, pair) if add_special_tokens else [0] * len(plain)
            )
        return row

    def _special_mask(self, token_ids_0: list[int], token_ids_1: list[int] | None) -> list[int]:
        marked = self.build_inputs_with_special_tokens(
            [-1] * len(token_ids_0), None if token_ids_1 is None else [-1] * len(token_ids_1)
        )
        return [int(token_id >= 0) for token_id in marked]

    def _text_to_ids(self, text: Any, words: bool, split_special: bool) -> list[int]:
        return self.convert_tokens_to_ids(list(self._split_tokens(text, words, split_special)))

    def _split_tokens(self, text: Any, words: bool, split_special: bool) -> Iterator[str]:
        """The tokens of a text, or of words, added tokens kept whole."""
        problem = inputs.problem_of(text, words)
        if problem is not None:
            raise TextInputError(f"text: {problem}")
        for part in text if words else (text,):
            prepared, _ = self.prepare_for_tokenization(part, is_split_into_words=words)
            for piece, token in self._added_tokens.split(prepared, self._normalize, split_special):
                if token is None:
                    yield from self._tokenize(piece)
                else:
                    yield token.content

    def _decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        tokens = self.convert_ids_to_tokens(ids, skip_special_tokens)
        return self.convert_tokens_to_string([token for token in tokens if token is not None])

    def _token_id(self, token: str) -> int | None:
        found = self._added_ids.get(token)
        return self._convert_token_to_id(token) if found is None else found

    def _id_token(self, token_id: int) -> str | None:
        if not isinstance(token_id, int) or not 0 <= token_id < 2**32:  # as in the tokenizers library
            raise TypeError(f"{shorten(token_id)} is no id")
        token = self._added.get(token_id)
        return self._convert_id_to_token(token_id) if token is None else token.content

    def _add_tokens(self, tokens: list[AddedToken]) -> int:
        lost = vanishing(tokens, self._normalize)
        if lost is not None:
            raise TextInputError(lost)
        new = 0
        vocabulary = self.get_vocab()
        following = max((*vocabulary.values(), *self._added, -1)) + 1
        for token in tokens:
            if not token.content:
                continue
            known = self._added_ids.get(token.content, vocabulary.get(token.content))
            if known is None:
                known, following = following, following + 1
            new += self._added.get(known) != token
            self._added[known] = token
            self._added_ids[token.content] = known
        self._added_tokens = AddedTokens(self._added.values())
        return new

    def _backend_file(self) -> tuple[str, str] | None:
        return None


def _names(columns: Columns) -> list[str]:
    fields = columns._asdict()
    return [
        "input_ids",
        *(name for name, wanted in fields.items() if wanted and name not in ("overflow", "offset_mapping")),
    ]
