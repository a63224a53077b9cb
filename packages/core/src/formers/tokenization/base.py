"""``PreTrainedTokenizerBase``: what every tokenizer offers, whatever makes its tokens."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

from tokenizers import AddedToken

from formers.errors import TextInputError, TokenizerWarning, warn
from formers.files.push import PushToHubMixin
from formers.tokenization import (
    adding,
    calling,
    converting,
    decoding,
    limits,
    loading,
    padding,
    preparing,
    saving,
)
from formers.tokenization.batch import BatchEncoding
from formers.tokenization.calling import Columns
from formers.tokenization.chat import methods as chat
from formers.tokenization.chat.budget import Budget
from formers.tokenization.chat.templates import ChatTemplate
from formers.tokenization.inputs import Texts
from formers.tokenization.special import (
    EXTRA,
    NAMES,
    SpecialToken,
    SpecialTokenId,
    SpecialTokens,
    revive,
)

__all__ = ["PreTrainedTokenizerBase"]


class PreTrainedTokenizerBase(PushToHubMixin, ABC):
    """Text to token ids and back, with padding, truncation, special tokens, and files that hold all of it.

    Subclasses choose what makes the tokens: ``TokenizersBackend`` (the ``tokenizers`` library) or
    ``PreTrainedTokenizer`` (Python). Ids are ints; a row is a list of them; texts are counted in characters.

    Args:
        settings: the special tokens (``pad_token=...``), ``extra_special_tokens``, ``model_max_length`` (tokens),
            ``padding_side`` and ``truncation_side`` ("left" or "right"), ``model_input_names``,
            ``pad_token_type_id``, ``clean_up_tokenization_spaces``, ``split_special_tokens``, ``chat_template``,
            ``chat_control_tokens``. Others are kept in ``init_kwargs`` and saved again.

    Raises:
        TextInputError: a setting has a wrong type, or lies outside its range.
    """

    vocab_files_names: ClassVar[dict[str, str]] = {}
    """Constructor argument to the name of the file that it takes."""
    carried_files: ClassVar[tuple[str, ...]] = ()
    """Those arguments that are passed beside a ``tokenizer.json``, too: their files are saved with it as they are."""
    model_input_names: list[str] = ["input_ids", "attention_mask"]  # noqa: RUF012 - instances may have their own
    padding_side: str = "right"
    truncation_side: str = "right"
    is_fast: ClassVar[bool] = False
    slow_tokenizer_class: ClassVar[type[PreTrainedTokenizerBase] | None] = None
    SPECIAL_TOKENS_ATTRIBUTES: ClassVar[tuple[str, ...]] = NAMES
    chat_template = ChatTemplate()
    chat_control_tokens: Sequence[str] | None = None
    """Tokens that ``apply_chat_template(sanitize_control_tokens=True)`` keeps users from writing."""
    chat_template_budget: Budget = Budget()
    """What a template may cost; raise it for templates that you trust."""
    _kind: ClassVar[str] = "tokenizer"
    _auto_class: ClassVar[str | None] = None

    bos_token, bos_token_id = SpecialToken(), SpecialTokenId()
    eos_token, eos_token_id = SpecialToken(), SpecialTokenId()
    unk_token, unk_token_id = SpecialToken(), SpecialTokenId()
    sep_token, sep_token_id = SpecialToken(), SpecialTokenId()
    pad_token, pad_token_id = SpecialToken(), SpecialTokenId()
    cls_token, cls_token_id = SpecialToken(), SpecialTokenId()
    mask_token, mask_token_id = SpecialToken(), SpecialTokenId()

    def __init__(self, **settings: Any) -> None:
        self.init_kwargs: dict[str, Any] = dict(settings)
        self.name_or_path: str = settings.pop("name_or_path", "")
        limit = settings.pop("model_max_length", settings.pop("max_len", None))
        self.model_max_length: int = (
            limits.UNLIMITED if limit is None else limits.maximum("model_max_length", limit)
        )
        self.padding_side = settings.pop("padding_side", type(self).padding_side)
        self.truncation_side = settings.pop("truncation_side", type(self).truncation_side)
        self.pad_token_type_id: int = limits.natural(
            "pad_token_type_id", settings.pop("pad_token_type_id", 0)
        )
        self.model_input_names = list(settings.pop("model_input_names", type(self).model_input_names))
        self.clean_up_tokenization_spaces: bool = bool(settings.pop("clean_up_tokenization_spaces", False))
        self.split_special_tokens: bool = bool(settings.pop("split_special_tokens", False))
        if settings.get("chat_template") is not None:
            self.chat_template = settings["chat_template"]
        self.chat_control_tokens = settings.get("chat_control_tokens")
        self._notices: set[str] = set()
        self._special = SpecialTokens()
        for name in NAMES:
            self._special.assign(name, revive(settings.pop(name, None)))
        for name in ("model_specific_special_tokens", *EXTRA):
            if settings.get(name):
                self._special.assign_extra(settings[name], replace=False)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("padding_side", "truncation_side"):
            limits.side(name, value)
        super().__setattr__(name, value)

    # What a subclass provides.

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Tokens of the vocabulary, without the added ones."""

    @abstractmethod
    def __len__(self) -> int:
        """Tokens of the vocabulary, with the added ones."""

    @abstractmethod
    def get_vocab(self) -> dict[str, int]:
        """Every token and its id, the added ones too."""

    @property
    @abstractmethod
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Id to token, of the tokens that were added to the vocabulary, in the order of the ids."""

    @abstractmethod
    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Special tokens that encoding adds to one text, or to a pair."""

    @abstractmethod
    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """One sequence of ids, or two, with the special tokens."""

    @abstractmethod
    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """The type of each token of ``build_inputs_with_special_tokens``."""

    @abstractmethod
    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Tokens joined to one text."""

    @abstractmethod
    def vocabulary_files(self) -> dict[str, str | bytes]:
        """Name to content, of the files from which a tokenizer in Python is made."""

    @abstractmethod
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
        """The rows of a call, without tensors; with ``flat``, one text gives its row instead of a batch of one."""

    @abstractmethod
    def _decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        """The text of a row."""

    def _decode_batch(self, rows: list[list[int]], skip_special_tokens: bool) -> list[str]:
        """The text of each row."""
        texts: list[str] = []
        for index, row in enumerate(rows):
            try:
                texts.append(self._decode(row, skip_special_tokens))
            except TextInputError as error:
                raise TextInputError(f"row {index}: {error}") from error
        return texts

    @abstractmethod
    def _token_id(self, token: str) -> int | None:
        """The id of a token; None if there is no such token."""

    @abstractmethod
    def _id_token(self, token_id: int) -> str | None:
        """The token of an id; None if there is no such id."""

    @abstractmethod
    def _add_tokens(self, tokens: list[AddedToken]) -> int:
        """Add tokens, special or not as they say; return how many were new."""

    @abstractmethod
    def _special_mask(self, token_ids_0: list[int], token_ids_1: list[int] | None) -> list[int]:
        """1 for the special tokens of ``build_inputs_with_special_tokens``, 0 for the others."""

    @abstractmethod
    def _backend_file(self) -> tuple[str, str] | None:
        """Name and content of the file that describes the whole pipeline, if there is such a file."""

    # The methods of daily use; each lives in the module of its job.

    __call__ = calling.call
    encode = calling.encode
    encode_plus = calling.encode_plus
    batch_encode_plus = calling.batch_encode_plus
    tokenize = calling.tokenize
    apply_chat_template = chat.apply_chat_template
    get_chat_template = chat.get_chat_template
    encode_message_with_chat_template = chat.encode_message_with_chat_template
    pad = padding.pad
    decode = decoding.decode
    batch_decode = decoding.batch_decode
    clean_up_tokenization = staticmethod(decoding.clean_up)
    convert_tokens_to_ids = converting.convert_tokens_to_ids
    convert_ids_to_tokens = converting.convert_ids_to_tokens
    get_special_tokens_mask = converting.get_special_tokens_mask
    save_pretrained = saving.save_pretrained
    save_vocabulary = saving.save_vocabulary
    add_tokens = adding.add_tokens
    add_special_tokens = adding.add_special_tokens
    _add_known = adding.add_known
    prepare_for_model = preparing.prepare_for_model
    truncate_sequences = preparing.truncate_sequences

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *init_inputs: Any,
        cache_dir: str | os.PathLike[str] | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        revision: str = "main",
        trust_remote_code: bool = False,
        **kwargs: Any,
    ) -> Self:
        """Load a tokenizer that was saved.

        Args:
            pretrained_model_name_or_path: a folder, the id of a repository on the hub, or the file of a
                tokenizer that needs exactly one.
            init_inputs: further positional arguments of the class.
            cache_dir: where downloads are kept; by default the hub's own cache.
            force_download: download again what is in the cache.
            local_files_only: use the cache alone.
            token: access token; True or None for the stored one.
            revision: branch, tag or commit of the repository.
            trust_remote_code: accepted; no code of a folder is ever run.
            kwargs: ``subfolder``; ``verify``, True to check the fingerprint that the files carry, or the
                fingerprint itself; and settings that override the loaded ones.

        Raises:
            LoadError: the files are missing; the message says which were looked for.
            CorruptFileError: a file is not what its name promises, or ids differ from what ``verify`` says.
        """
        where = {
            "cache_dir": cache_dir,
            "force_download": force_download,
            "local_files_only": local_files_only,
            "token": token,
            "revision": revision,
        }
        return loading.from_pretrained(cls, pretrained_model_name_or_path, init_inputs, {**where, **kwargs})

    @classmethod
    def register_for_auto_class(cls, auto_class: str | type = "AutoTokenizer") -> None:
        """Remember the Auto class of a tokenizer of your own; a plugin or ``AutoTokenizer.register`` provides it."""
        cls._auto_class = auto_class if isinstance(auto_class, str) else auto_class.__name__

    # Vocabulary and special tokens.

    @property
    def vocab(self) -> dict[str, int]:
        """``get_vocab()``."""
        return self.get_vocab()

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """Text to id, of the added tokens, in the order of the ids."""
        return {token.content: token_id for token_id, token in self.added_tokens_decoder.items()}

    def get_added_vocab(self) -> dict[str, int]:
        """Text to id, of the added tokens, in the order of the ids."""
        return self.added_tokens_encoder

    def knows(self, token: str) -> bool:
        """Whether a token is in the vocabulary, or was added to it."""
        return self._token_id(token) is not None

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """Role to text, of the special tokens that have a role."""
        return self._special.texts()

    @property
    def extra_special_tokens(self) -> list[str]:
        """The special tokens without a role."""
        return [str(token) for token in self._special.extra]

    @extra_special_tokens.setter
    def extra_special_tokens(self, tokens: Sequence[str | AddedToken]) -> None:
        self._special.assign_extra(tokens)

    additional_special_tokens = extra_special_tokens
    """The name of ``extra_special_tokens`` before transformers 5."""

    @property
    def extra_special_tokens_ids(self) -> list[int]:
        """The ids of ``extra_special_tokens``."""
        return self.convert_tokens_to_ids(self.extra_special_tokens)

    additional_special_tokens_ids = extra_special_tokens_ids
    """The name of ``extra_special_tokens_ids`` before transformers 5."""

    @property
    def all_special_tokens(self) -> list[str]:
        """Every special token once, those with a role first."""
        return [str(token) for token in self._special.tokens()]

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of ``all_special_tokens``."""
        return self.convert_tokens_to_ids(self.all_special_tokens)

    # The rest.

    @property
    def max_len_single_sentence(self) -> int:
        """Tokens of one text that fit beside the special ones."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=False)

    @property
    def max_len_sentences_pair(self) -> int:
        """Tokens of two texts together that fit beside the special ones."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    def notice(self, key: str, message: str) -> None:
        """Warn once in the life of this tokenizer."""
        if key not in self._notices:
            self._notices.add(key)
            warn(message, TokenizerWarning)

    def __getattr__(self, name: str) -> Any:
        own: SpecialTokens | None = self.__dict__.get("_special")
        if own is not None and name in own.named:
            token = own.named[name]
            return None if token is None else str(token)
        if own is not None and name.removesuffix("_id") in own.named:
            return self.convert_tokens_to_ids(getattr(self, name.removesuffix("_id")))
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(name_or_path={self.name_or_path!r}, vocab_size={self.vocab_size}, "
            f"model_max_length={self.model_max_length}, padding_side={self.padding_side!r}, "
            f"truncation_side={self.truncation_side!r}, special_tokens={self.special_tokens_map}, "
            f"added_tokens={len(self) - self.vocab_size})"
        )
