"""``TokenizersBackend``: a tokenizer over the ``tokenizers`` library. It serves any ``tokenizer.json`` as it is."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar

from tokenizers import AddedToken, Encoding, Tokenizer

from formers.errors import LoadError, TextInputError, shorten
from formers.tokenization import inputs, limits, pipeline, rows, training
from formers.tokenization.base import PreTrainedTokenizerBase
from formers.tokenization.batch import BatchEncoding
from formers.tokenization.boundaries import BOUNDARIES, Boundary, change_boundaries, with_template
from formers.tokenization.calling import Columns
from formers.tokenization.decoding import explain_ids
from formers.tokenization.special import check_tokens
from formers.tokenization.template import Template

if TYPE_CHECKING:
    from formers.tokenization.inputs import Texts

__all__ = ["TokenizersBackend"]


class TokenizersBackend(PreTrainedTokenizerBase):
    """A tokenizer whose tokens the ``tokenizers`` library makes.

    Safe to use from several threads: what a call needs is set and used under a lock, and no call leaves a trace
    in what is saved. A subclass that builds its pipeline from a vocabulary passes it as ``tokenizer_object``.

    Args:
        tokenizer_object: the pipeline.
        tokenizer_file: a ``tokenizer.json`` to read it from.
        added_tokens_decoder: id to token, of tokens to be added where the pipeline lacks them.
        settings: as in ``PreTrainedTokenizerBase``, and the options of the pipeline (``do_lower_case``,
            ``strip_accents``, ``tokenize_chinese_chars``, ``clean_text``, ``add_prefix_space``,
            ``add_bos_token``, ``add_eos_token``): None leaves the pipeline as it is.

    Raises:
        LoadError: neither a pipeline nor a file is given.
        CorruptFileError: the file is no pipeline.
    """

    vocab_files_names: ClassVar[dict[str, str]] = {"tokenizer_file": "tokenizer.json"}
    is_fast: ClassVar[bool] = True
    add_prefix_space: bool = False
    add_bos_token, add_eos_token = Boundary(), Boundary()

    def __init__(
        self,
        *,
        tokenizer_object: Tokenizer | None = None,
        tokenizer_file: str | os.PathLike[str] | None = None,
        added_tokens_decoder: Mapping[Any, Any] | None = None,
        **settings: Any,
    ) -> None:
        if tokenizer_object is None and tokenizer_file is None:
            raise LoadError(
                f"{type(self).__name__} needs a pipeline: tokenizer_file='.../tokenizer.json', or tokenizer_object="
                "a tokenizers.Tokenizer; from a folder, use from_pretrained"
            )
        backend = tokenizer_object
        if backend is None:
            assert tokenizer_file is not None
            backend = pipeline.read_backend(tokenizer_file)
        if not isinstance(backend, Tokenizer):
            raise TextInputError(f"tokenizer_object={shorten(backend)}: expected a tokenizers.Tokenizer")
        self._tokenizer = with_template(backend)
        self._lock = threading.Lock()
        self._wants_alignment = getattr(backend.model, "dropout", None) is not None
        self._stored = (backend.truncation, backend.padding)  # what the file says, for saving it again
        if settings.get("pad_token") is None and backend.padding is not None:
            settings["pad_token"] = backend.padding["pad_token"]
        super().__init__(**settings)
        wanted = {name: settings[name] for name in pipeline.OPTIONS if settings.get(name) is not None}
        pipeline.change_options(backend, wanted)
        for name, value in pipeline.options_of(backend).items():
            setattr(self, name, value)
        backend.no_truncation()
        backend.no_padding()
        self._add_known(added_tokens_decoder or {})
        change_boundaries(
            self, {name: settings[name] for name in BOUNDARIES if settings.get(name) is not None}
        )

    train_new_from_iterator = training.train_new_from_iterator

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """The pipeline. Changes to its stages take effect at once."""
        return self._tokenizer

    @property
    def decoder(self) -> Any:
        """The pipeline's last stage, which joins tokens to text; None if it has none."""
        return self._tokenizer.decoder

    @property
    def vocab_size(self) -> int:
        """Tokens of the vocabulary, without the added ones."""
        return self._tokenizer.get_vocab_size(with_added_tokens=False)

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    def get_vocab(self) -> dict[str, int]:
        """Every token and its id, the added ones too."""
        return self._tokenizer.get_vocab(with_added_tokens=True)

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Id to token, of the tokens that were added to the vocabulary, in the order of the ids."""
        return dict(sorted(self._tokenizer.get_added_tokens_decoder().items()))

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Special tokens that encoding adds to one text, or to a pair."""
        return self._tokenizer.num_special_tokens_to_add(pair)

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """One sequence of ids, or two, with the special tokens."""
        return self._with_template(Template.ids, token_ids_0, token_ids_1)

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """The type of each token of ``build_inputs_with_special_tokens``."""
        return self._with_template(Template.type_ids, token_ids_0, token_ids_1)

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Tokens joined to one text, as the pipeline's decoder does."""
        check_tokens("tokens", tokens)
        decoder = self._tokenizer.decoder
        return " ".join(tokens) if decoder is None else decoder.decode(list(tokens))

    def vocabulary_files(self) -> dict[str, str | bytes]:
        """The files in which the library keeps the model's vocabulary by itself."""
        from tempfile import TemporaryDirectory

        with TemporaryDirectory() as folder:
            paths = self._tokenizer.model.save(folder)
            files: dict[str, str | bytes] = {}
            for path in paths:
                with open(path, "rb") as file:
                    files[os.path.basename(path)] = file.read()
        return files

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in self.__dict__.items() if name != "_lock"}
        return {**state, "_tokenizer": self._tokenizer.to_str()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._tokenizer = pipeline.from_json(state["_tokenizer"].encode("utf-8"))
        self._lock = threading.Lock()

    def _special_mask(self, token_ids_0: list[int], token_ids_1: list[int] | None) -> list[int]:
        return self._with_template(Template.special_mask, token_ids_0, token_ids_1)

    def _with_template(
        self, method: Callable[..., list[int]], token_ids_0: list[int], token_ids_1: list[int] | None
    ) -> list[int]:
        with self._lock:
            self._set_limits(None, None, False)
            template = Template.of(self._tokenizer, pair=token_ids_1 is not None)
        return (
            method(template, token_ids_0)
            if token_ids_1 is None
            else method(template, token_ids_0, token_ids_1)
        )

    def _set_limits(
        self, truncation: limits.Truncation | None, padding: limits.Padding | None, split_special: bool
    ) -> None:
        """Set the pipeline for the next texts; the caller holds the lock."""
        backend = self._tokenizer
        if truncation is None:
            backend.no_truncation()
        else:
            backend.enable_truncation(**truncation)
        if padding is None:
            backend.no_padding()
        else:
            backend.enable_padding(**padding)
        backend.encode_special_tokens = split_special

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
        batch: Any
        single = (type(text) is str and not words) or not inputs.is_batch(text, words)
        if single:
            batch = (text if text_pair is None else (text, text_pair),)
        else:
            batch = inputs.as_batch(text, text_pair)
        if truncation is not None:
            pair = text_pair is not None or (not single and bool(batch) and inputs.is_pair(batch[0], words))
            special = self._tokenizer.num_special_tokens_to_add(pair) if add_special_tokens else 0
            limits.check_room(truncation, special)
        # Without alignment the library is faster, but it mistakes the type ids of overflowing pieces.
        aligned = (
            words or self._wants_alignment or columns.aligned or columns.offset_mapping or columns.overflow
        )
        arguments = (batch, words, add_special_tokens, truncation, padding, split_special_tokens)
        try:
            encodings = self._run(aligned, *arguments)
        except TypeError as error:
            if single:
                inputs.explain_single(text, text_pair, words, error)
            inputs.explain(batch, words, error)
        except BaseException as error:
            raise pipeline.as_readable(error, "text") from error
        if columns.overflow:
            encodings, samples = rows.pieces(encodings)
            return BatchEncoding(
                {**rows.fields(encodings, columns), "overflow_to_sample_mapping": samples}, encodings
            )
        if single and flat:
            data = rows.fields_of_one(encodings[0], columns)
            ids = [data["input_ids"]]
        else:
            data = rows.fields(encodings, columns)
            ids = data["input_ids"]
        return BatchEncoding(data, encodings if aligned else rows.Alignment(self._align, arguments, ids))

    def _run(
        self,
        aligned: bool,
        batch: Any,
        words: bool,
        add_special_tokens: bool,
        truncation: limits.Truncation | None,
        padding: limits.Padding | None,
        split_special_tokens: bool,
    ) -> list[Encoding]:
        """One call of the library; ``aligned`` keeps which words and characters each token is from."""
        backend = self._tokenizer
        encode = backend.encode_batch if aligned else backend.encode_batch_fast
        with self._lock:
            self._set_limits(truncation, padding, split_special_tokens)
            return encode(batch, words, add_special_tokens)

    def _align(self, *arguments: Any) -> list[Encoding]:
        self._wants_alignment = True  # who asks once asks again: from now on it is kept at once
        return self._run(True, *arguments)

    def _decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        try:
            return self._tokenizer.decode(ids, skip_special_tokens)
        except (TypeError, OverflowError) as error:
            raise explain_ids(ids, error) from error
        except BaseException as error:
            raise pipeline.as_readable(error, "token ids") from error

    def _decode_batch(self, rows: list[list[int]], skip_special_tokens: bool) -> list[str]:
        try:
            return self._tokenizer.decode_batch(rows, skip_special_tokens)
        except (TypeError, OverflowError):
            return super()._decode_batch(rows, skip_special_tokens)  # the row with the odd id says so
        except BaseException as error:
            raise pipeline.as_readable(error, "token ids") from error

    def _token_id(self, token: str) -> int | None:
        try:
            return self._tokenizer.token_to_id(token)
        except UnicodeEncodeError:  # a lone surrogate, which no vocabulary holds
            return None

    def _id_token(self, token_id: int) -> str | None:
        return self._tokenizer.id_to_token(token_id)

    def _add_tokens(self, tokens: list[AddedToken]) -> int:
        backend = self._tokenizer
        lost = pipeline.vanishing(tokens, pipeline.normalise_with(backend))
        if lost is not None:
            raise TextInputError(lost)
        with self._lock:
            return sum(
                backend.add_special_tokens(list(group)) if is_special else backend.add_tokens(list(group))
                for is_special, group in groupby(tokens, key=lambda token: token.special)
            )

    def _backend_file(self) -> tuple[str, str] | None:
        with self._lock:
            truncation, padding = self._stored
            self._set_limits(truncation, padding, False)  # type: ignore[arg-type]  # dicts of this very form
            text = self._tokenizer.to_str(pretty=True)
            self._set_limits(None, None, False)
        return self.vocab_files_names["tokenizer_file"], text
