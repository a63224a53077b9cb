"""``train_new_from_iterator``: the same pipeline with a vocabulary learnt from other text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tokenizers import AddedToken, Tokenizer

from formers.errors import TextInputError, shorten
from formers.tokenization import inputs, limits, pipeline, saving
from formers.tokenization.special import EXTRA, NAMES, special

if TYPE_CHECKING:
    from formers.tokenization.backend import TokenizersBackend

__all__ = ["train_new_from_iterator"]

Description = dict[str, Any]  # a pipeline or a stage of one, as tokenizer.json has it
Rename = Callable[[str], str]  # special token to the one in its place

_COMMON = ("show_progress", "initial_alphabet")
_CONTINUATION = ("continuing_subword_prefix", "end_of_word_suffix")
_PIECES = ("min_frequency", "limit_alphabet", *_CONTINUATION)
_OPTIONS: dict[str, tuple[str, tuple[str, ...]]] = {  # kind of model: its trainer, and what that can be told
    "BPE": ("BpeTrainer", (*_COMMON, *_PIECES, "max_token_length")),
    "WordPiece": ("WordPieceTrainer", (*_COMMON, *_PIECES)),
    "WordLevel": ("WordLevelTrainer", ("show_progress", "min_frequency")),
    "Unigram": ("UnigramTrainer", (*_COMMON, "shrinking_factor", "max_piece_length", "n_sub_iterations")),
}


def train_new_from_iterator(
    self: TokenizersBackend,
    text_iterator: Iterable[str | Sequence[str]],
    vocab_size: int,
    length: int | None = None,
    new_special_tokens: Sequence[str | AddedToken] | None = None,
    special_tokens_map: Mapping[str, str] | None = None,
    **kwargs: Any,
) -> TokenizersBackend:
    """A tokenizer of the same class and pipeline, whose vocabulary is learnt from a corpus.

    Its settings, and the special tokens and their roles, are those of this tokenizer, which does not change. The
    special tokens have the first ids; added tokens that are not special come after the vocabulary.

    Args:
        text_iterator: the corpus: texts, or lists of texts.
        vocab_size: tokens of the new vocabulary, at most.
        length: texts in the corpus, for the display of progress.
        new_special_tokens: further special tokens.
        special_tokens_map: present special token to the one that takes its place.
        kwargs: for the trainer of the ``tokenizers`` library: ``show_progress``, ``min_frequency``,
            ``limit_alphabet``, ``initial_alphabet``, ``continuing_subword_prefix``, ``end_of_word_suffix``,
            ``max_token_length``; for Unigram ``shrinking_factor``, ``max_piece_length``, ``n_sub_iterations``.

    Raises:
        TextInputError: an argument is wrong, or an item of the corpus is no text; the message has its number.
    """
    renamed = _Renaming(special_tokens_map or {})
    new = special(_tokens(new_special_tokens or ()))
    added = list(self.added_tokens_decoder.values())
    special_tokens = [*(renamed.token(token) for token in added if token.special), *new]
    file = self._backend_file()
    assert file is not None
    description: Description = json.loads(file[1])
    trainer = _trainer(
        self, description, limits.natural("vocab_size", vocab_size), renamed.text, special_tokens, kwargs
    )
    model = _without_vocabulary(description["model"], renamed.text)
    # Without ids there can be neither special tokens around a text nor padding; training needs none.
    without_ids: Description = {
        "added_tokens": [],
        "post_processor": None,
        "truncation": None,
        "padding": None,
    }
    backend = Tokenizer.from_str(json.dumps({**description, **without_ids, "model": model}))
    try:
        backend.train_from_iterator(_checked(text_iterator), trainer=trainer, length=length)
    except BaseException as error:
        raise pipeline.as_readable(error, "text_iterator") from error
    trained = {
        **json.loads(backend.to_str()),
        "post_processor": _renumbered(description["post_processor"], backend, renamed.text),
        "truncation": description["truncation"],
        "padding": _repadded(description["padding"], backend, renamed.text),
    }
    tokenizer = type(self)(
        tokenizer_object=Tokenizer.from_str(json.dumps(trained)), **_settings(self, renamed.text, new)
    )
    tokenizer.add_tokens([token for token in added if not token.special])
    return tokenizer


class _Renaming:
    """Special tokens under the names that they get."""

    def __init__(self, names: Mapping[str, str]) -> None:
        for old, new in names.items():
            if not isinstance(old, str) or not isinstance(new, str):
                raise TextInputError(
                    f"special_tokens_map: {shorten(old)} to {shorten(new)}; expected a token, and the one in its place"
                )
        self._names = names

    def text(self, token: str) -> str:
        return self._names.get(token, token)

    def token(self, token: AddedToken) -> AddedToken:
        return AddedToken(
            self.text(token.content),
            single_word=token.single_word,
            lstrip=token.lstrip,
            rstrip=token.rstrip,
            normalized=token.normalized,
            special=True,
        )


def _tokens(tokens: Iterable[str | AddedToken]) -> Iterator[str | AddedToken]:
    for index, token in enumerate([tokens] if isinstance(tokens, (str, AddedToken)) else tokens):
        if not isinstance(token, (str, AddedToken)):
            raise TextInputError(
                f"new_special_tokens[{index}]={shorten(token)}: expected a string or an AddedToken"
            )
        yield token


def _without_vocabulary(model: Description, renamed: Rename) -> Description:
    """The model with nothing learnt; the unknown token under its new name."""
    emptied = {**model, "vocab": {}}
    if model["type"] == "Unigram":
        unknown = model["unk_id"]
        emptied["vocab"] = [] if unknown is None else [[renamed(model["vocab"][unknown][0]), 0.0]]
        emptied["unk_id"] = None if unknown is None else 0
    elif model["unk_token"] is not None:
        emptied["unk_token"] = renamed(model["unk_token"])
    if "merges" in model:
        emptied["merges"] = []
    return emptied


def _trainer(
    tokenizer: TokenizersBackend,
    description: Description,
    vocab_size: int,
    renamed: Rename,
    special_tokens: list[AddedToken],
    given: Mapping[str, Any],
) -> Any:
    """The trainer for the kind of model, which continues words as the model does."""
    from tokenizers import trainers
    from tokenizers.pre_tokenizers import ByteLevel

    model = description["model"]
    if model["type"] not in _OPTIONS:
        raise TextInputError(
            f"a model of the kind {shorten(model['type'])} cannot be trained; expected one of {', '.join(_OPTIONS)}"
        )
    name, known = _OPTIONS[model["type"]]
    for option in given:
        if option not in known:
            raise TextInputError(f"{name} has no option {option!r}; expected one of {', '.join(known)}")
    options = {key: model[key] for key in _CONTINUATION if key in known and model.get(key) is not None}
    if "initial_alphabet" in known and _has_stage(description["pre_tokenizer"], "ByteLevel"):
        options["initial_alphabet"] = ByteLevel.alphabet()
    if model["type"] == "Unigram":
        unknown = tokenizer.unk_token if model["unk_id"] is None else model["vocab"][model["unk_id"]][0]
        options["unk_token"] = None if unknown is None else renamed(unknown)
    try:
        return getattr(trainers, name)(
            vocab_size=vocab_size, special_tokens=special_tokens, **{**options, **given}
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise TextInputError(f"{name}: {error}; its options were {shorten(dict(given))}") from error


def _has_stage(stage: Description | None, kind: str) -> bool:
    if stage is None:
        return False
    return stage["type"] == kind or any(_has_stage(part, kind) for part in stage.get("pretokenizers", ()))


def _checked(corpus: Iterable[str | Sequence[str]]) -> Iterator[str | Sequence[str]]:
    """The items of the corpus, until one is neither a text nor a list of texts."""
    if isinstance(corpus, str):
        raise TextInputError("text_iterator is one string; expected several texts, or lists of texts")
    for index, item in enumerate(corpus):
        problem = inputs.problem_of(item, words=not isinstance(item, str))
        if problem is not None:
            problem = problem.removesuffix(", as is_split_into_words=True says")
            raise TextInputError(f"text_iterator, item {index}: {problem}")
        yield item


def _renumbered(stage: Description | None, backend: Tokenizer, renamed: Rename) -> Description | None:
    """The special tokens around a text, with their new names and ids; those in the template keep their labels."""
    if stage is None:
        return None

    def pair(token: str) -> tuple[str, int]:
        token_id = backend.token_to_id(renamed(token))
        if token_id is None:
            raise TextInputError(
                f"the pipeline puts {token!r} around every text, but it is not a special token, so the new "
                f"vocabulary has no id for it; add it: add_special_tokens({{'extra_special_tokens': [{token!r}]}})"
            )
        return renamed(token), token_id

    changed = dict(stage)
    for role in ("cls", "sep"):
        if isinstance(stage.get(role), list):
            changed[role] = list(pair(stage[role][0]))
    if "processors" in stage:
        changed["processors"] = [_renumbered(part, backend, renamed) for part in stage["processors"]]
    if "special_tokens" in stage:
        found = {
            label: [pair(token) for token in one["tokens"]] for label, one in stage["special_tokens"].items()
        }
        changed["special_tokens"] = {
            label: {"id": label, "ids": [i for _, i in pairs], "tokens": [t for t, _ in pairs]}
            for label, pairs in found.items()
        }
    return changed


def _repadded(stored: Description | None, backend: Tokenizer, renamed: Rename) -> Description | None:
    if stored is None:
        return None
    token = renamed(stored["pad_token"])
    return {**stored, "pad_token": token, "pad_id": backend.token_to_id(token) or 0}


def _settings(tokenizer: TokenizersBackend, renamed: Rename, new: list[AddedToken]) -> dict[str, Any]:
    """The constructor's settings: the present ones, with the special tokens under their new names."""
    kept = saving.settings(tokenizer)
    own = kept.pop("model_specific_special_tokens", {})
    left_out = {*EXTRA, "tokenizer_class"} - tokenizer.init_kwargs.keys() | set(EXTRA)
    settings = {name: value for name, value in kept.items() if name not in left_out and name not in own}
    settings["chat_template"] = tokenizer.chat_template
    for name in NAMES:
        if isinstance(settings.get(name), str):
            settings[name] = renamed(settings[name])
    if own:
        settings["model_specific_special_tokens"] = {name: renamed(token) for name, token in own.items()}
    settings["extra_special_tokens"] = [*map(renamed, tokenizer.extra_special_tokens), *map(str, new)]
    return settings
