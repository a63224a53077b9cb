"""``save_pretrained``: all the state of a tokenizer in files, committed at one moment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from formers.files.commit import Commit
from formers.files.strict_json import dump_json
from formers.tokenization import pipeline
from formers.tokenization.adding import WORDS, words_with_roles
from formers.tokenization.boundaries import BOUNDARIES
from formers.tokenization.chat import saved
from formers.tokenization.loading import ADDED, FINGERPRINT, ROLES, SETTINGS
from formers.tokenization.special import EXTRA, NAMES

if TYPE_CHECKING:
    from tokenizers import AddedToken

    from formers.tokenization.base import PreTrainedTokenizerBase

__all__ = ["save_pretrained", "save_vocabulary", "settings"]

_CHAT = (saved.KEY, "chat_control_tokens")


def save_pretrained(
    self: PreTrainedTokenizerBase,
    save_directory: str | os.PathLike[str],
    legacy_format: bool | None = None,
    filename_prefix: str | None = None,
    push_to_hub: bool = False,
    save_format: str | None = None,
    fingerprint: bool | None = None,
    save_jinja_files: bool = True,
    **hub: Any,
) -> tuple[str, ...]:
    """Save the tokenizer, so that ``from_pretrained`` gives it back; transformers reads the files, too.

    The folder is the old one or the new one at every moment. Files of an older form that would contradict the
    new ones are removed with the save; vocabulary files that are there already are written anew.

    Args:
        save_directory: the folder; it is created if it is missing.
        legacy_format: also write the vocabulary files of a tokenizer in Python. None: if the class carries them
            (``carried_files``).
        filename_prefix: put before the files' names, with a dash.
        push_to_hub: upload the folder afterwards; ``hub`` takes ``repo_id`` and what ``push_to_hub`` takes.
        save_format: accepted, and of no effect.
        fingerprint: write the tokenizer's fingerprint (see ``formers.tokenization.fingerprint``) into
            ``tokenizer_config.json``, for ``from_pretrained(..., verify=True)``. None: if it was loaded with one.
        save_jinja_files: write chat templates as files; False puts them into ``tokenizer_config.json``, where older
            programs look for them.
        hub: as above.

    Returns:
        The paths written.

    Raises:
        NotADirectoryError: ``save_directory`` is a file.
        TypeError: arguments for uploading without ``push_to_hub=True``.
    """
    if hub and not push_to_hub:
        raise TypeError(f"save_pretrained() got {', '.join(sorted(hub))}, but push_to_hub is not set")
    prefix = f"{filename_prefix}-" if filename_prefix else ""
    stated = settings(self)
    if fingerprint or (fingerprint is None and stated.get(FINGERPRINT)):
        from formers.tokenization import fingerprint as fingerprints

        stated[FINGERPRINT] = fingerprints.fingerprint(self)
    else:
        stated.pop(FINGERPRINT, None)
    templates = saved.template_files(self.chat_template)
    if not save_jinja_files:
        stated, templates = {**stated, **saved.template_settings(self.chat_template)}, {}
    contents: dict[str, str | bytes] = {SETTINGS: dump_json(stated), **templates}
    backend = self._backend_file()
    if backend is not None:
        contents[backend[0]] = backend[1]
    folder = Path(save_directory)
    own = [name for name in self.vocab_files_names.values() if backend is None or name != backend[0]]
    asked = bool(self.carried_files) if legacy_format is None else legacy_format
    if backend is None or asked or any((folder / (prefix + name)).is_file() for name in own):
        contents.update(self.vocabulary_files())
    paths = _write(folder, contents, prefix, stale=(ROLES, ADDED, saved.TEMPLATE))
    if push_to_hub:
        self._push_saved(folder, hub)
    return paths


def save_vocabulary(
    self: PreTrainedTokenizerBase, save_directory: str | os.PathLike[str], filename_prefix: str | None = None
) -> tuple[str, ...]:
    """Write the vocabulary files alone, without settings and added tokens; returns their paths."""
    prefix = f"{filename_prefix}-" if filename_prefix else ""
    return _write(Path(save_directory), self.vocabulary_files(), prefix, stale=())


def settings(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """The content of ``tokenizer_config.json``: what was loaded and is not known here, and the present state."""
    special = tokenizer._special
    left_out = {
        *EXTRA,
        *_CHAT,
        WORDS,
        "name_or_path",
        "max_len",
        "added_tokens_decoder",
        *tokenizer.vocab_files_names,
    }
    data = {
        key: value for key, value in tokenizer.init_kwargs.items() if key not in left_out and _is_json(value)
    }
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        actual = pipeline.options_of(backend)
        data |= {key: actual[key] for key in actual.keys() & tokenizer.init_kwargs.keys()}
        data |= {
            key: getattr(tokenizer, key) for key in BOUNDARIES if tokenizer.init_kwargs.get(key) is not None
        }
    for name in NAMES:
        token = special.named[name]
        if token is not None:
            data[name] = str(token)
        elif name in tokenizer.init_kwargs:
            data[name] = None
    if special.extra:
        data["additional_special_tokens"] = tokenizer.extra_special_tokens  # the name that 4 and 5 both read
    words = words_with_roles(tokenizer)
    if words:
        data[WORDS] = words
    own = special.own()
    if own:
        data |= {**own, "model_specific_special_tokens": own}
    data |= {
        "model_max_length": tokenizer.model_max_length,
        "padding_side": tokenizer.padding_side,
        "truncation_side": tokenizer.truncation_side,
    }
    for name, default in (
        ("model_input_names", type(tokenizer).model_input_names),
        ("clean_up_tokenization_spaces", False),
        ("split_special_tokens", False),
        ("pad_token_type_id", 0),
    ):
        value = getattr(tokenizer, name)
        if value != default or name in data:
            data[name] = value
    if tokenizer.chat_control_tokens is not None:
        data["chat_control_tokens"] = list(tokenizer.chat_control_tokens)
    if not tokenizer.is_fast:
        data["added_tokens_decoder"] = {str(i): flags(t) for i, t in tokenizer.added_tokens_decoder.items()}
    data["tokenizer_class"] = _class_name(tokenizer)
    return data


def flags(token: AddedToken) -> dict[str, Any]:
    """An added token as JSON files hold it."""
    return {
        "content": token.content,
        "lstrip": token.lstrip,
        "normalized": token.normalized,
        "rstrip": token.rstrip,
        "single_word": token.single_word,
        "special": token.special,
    }


def _class_name(tokenizer: PreTrainedTokenizerBase) -> str:
    """The class to load with; for the generic one, its name before transformers 5, which both ages know."""
    from formers.tokenization.backend import TokenizersBackend

    if type(tokenizer) is not TokenizersBackend:
        return type(tokenizer).__name__
    stored = tokenizer.init_kwargs.get("tokenizer_class")
    return stored if isinstance(stored, str) else "PreTrainedTokenizerFast"


def _write(
    folder: Path, contents: Mapping[str, str | bytes], prefix: str, stale: tuple[str, ...]
) -> tuple[str, ...]:
    with Commit(folder) as commit:
        for name, content in contents.items():
            commit.write_bytes(
                prefix + name, content.encode("utf-8") if isinstance(content, str) else content
            )
        if stale:
            commit.remove([prefix + name for name in stale])
            commit.remove(lambda name: name.endswith(saved.SUFFIX), below=prefix + saved.ADDITIONAL)
    return tuple(os.path.join(folder, prefix + name) for name in contents)


def _is_json(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_json, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(item) for key, item in value.items())
    return value is None or isinstance(value, (str, int, float, bool))
