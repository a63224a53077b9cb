"""``AutoTokenizer``: the tokenizer class that a checkpoint asks for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from formers.errors import (
    ConfigValidationError,
    LoadError,
    UnknownModelTypeError,
    UnsupportedHeadError,
    shorten,
)
from formers.files.folder import Folder
from formers.files.resolve import Source, resolve_folder, resolve_single_file
from formers.plugins import catalogue, registry
from formers.tokenization import PreTrainedTokenizer, PreTrainedTokenizerBase, TokenizersBackend
from formers.tokenization.loading import BACKEND, SETTINGS, read_settings

from .construction import refuse_construction

if TYPE_CHECKING:
    from formers.config import PreTrainedConfig

__all__ = ["AutoTokenizer"]

FAST, SLOW = "AutoTokenizer", "AutoTokenizer:slow"  # the registry's names of the two roles
_GENERIC = ("PreTrainedTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend")


class AutoTokenizer:
    """Loads the tokenizer of a checkpoint, as an object of the class that serves it.

    The class is the one that ``tokenizer_config.json`` names, else that of the ``model_type``; where no installed
    plugin provides it, a ``tokenizer.json`` is enough, and gives the generic class. Needs no torch.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        refuse_construction(type(self).__name__, "from_pretrained(name)")

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *inputs: Any,
        config: PreTrainedConfig | None = None,
        use_fast: bool = True,
        tokenizer_type: str | None = None,
        trust_remote_code: bool | None = False,
        code_revision: str | None = None,
        **kwargs: Any,
    ) -> PreTrainedTokenizerBase:
        """Load a tokenizer.

        Args:
            pretrained_model_name_or_path: a folder, the id of a repository on the hub, or the one file of a
                tokenizer that needs no other.
            inputs: further positional arguments of the class.
            config: decides the class in place of the checkpoint's ``config.json``.
            use_fast: the class over the ``tokenizers`` library if there is one; else, or where there is no
                such class, the one written in Python.
            tokenizer_type: the model type whose tokenizer to take, whatever the files say.
            trust_remote_code: as for ``AutoConfig.from_pretrained``; no code of a folder is ever run.
            code_revision: accepted, and of no effect.
            kwargs: where to look (``cache_dir``, ``force_download``, ``local_files_only``, ``revision``,
                ``subfolder``, ``token``), and settings that override the loaded ones, such as ``pad_token``.

        Raises:
            UnknownModelTypeError: the class's plugin is not installed and there is no ``tokenizer.json``; the
                message has the line that installs it.
            PluginLoadError, PluginConflictError: the plugin cannot be used, or there are several.
            LoadError: the files are missing, or cannot be read.
        """
        settings = dict(kwargs)
        source = Source.from_kwargs(pretrained_model_name_or_path, settings)
        name = os.fspath(pretrained_model_name_or_path)
        clues = _Clues.read(source, name, config)
        where = _where(source)
        if tokenizer_type is not None:
            chosen = _of_model_type(tokenizer_type, use_fast)
            if chosen is None:
                raise UnsupportedHeadError(f"The model type {tokenizer_type!r} has no tokenizer.")
            return chosen.from_pretrained(name, *inputs, **where, **settings)
        try:
            chosen = clues.find_class(use_fast)
        except UnknownModelTypeError as error:
            _refuse_remote_code(clues, trusted=bool(trust_remote_code))
            if clues.backend is None:
                raise UnknownModelTypeError(
                    f"{error}\nAsked for by {shorten(name)}, which holds no {BACKEND}; with one, no plugin is needed."
                ) from None
            generic = TokenizersBackend.from_pretrained(name, *inputs, **where, **settings)
            return clues.stand_in(generic, overridden="model_input_names" in settings)
        chosen = TokenizersBackend if chosen is None else chosen
        return chosen.from_pretrained(name, *inputs, **where, **settings)

    @staticmethod
    def register(
        config_class: type[PreTrainedConfig],
        slow_tokenizer_class: type[PreTrainedTokenizer] | None = None,
        fast_tokenizer_class: type[TokenizersBackend] | None = None,
        exist_ok: bool = False,
        *,
        tokenizer_class: type[PreTrainedTokenizerBase] | None = None,
    ) -> None:
        """Make the tokenizer classes of a configuration class known in this process.

        ``tokenizer_class`` is the argument of transformers 5, for a class of either kind.

        Raises:
            ConfigValidationError: neither class is given, or one is of the other kind.
            PluginConflictError: there are such classes already, and ``exist_ok`` is False.
        """
        slow: type[PreTrainedTokenizerBase] | None = slow_tokenizer_class
        fast: type[PreTrainedTokenizerBase] | None = fast_tokenizer_class
        if isinstance(tokenizer_class, type) and issubclass(tokenizer_class, TokenizersBackend):
            fast = fast or tokenizer_class
        else:
            slow = slow or tokenizer_class
        if slow is None and fast is None:
            raise ConfigValidationError(
                "AutoTokenizer.register needs slow_tokenizer_class, fast_tokenizer_class, or both."
            )
        _check_kind("slow_tokenizer_class", slow, PreTrainedTokenizer)
        _check_kind("fast_tokenizer_class", fast, TokenizersBackend)
        if fast is not None:
            registry.register_class(FAST, config_class, fast, exist_ok)
        if slow is not None:
            registry.register_class(SLOW, config_class, slow, exist_ok)


class _Clues(NamedTuple):
    """What the files, and the caller's configuration, say about the class."""

    name: str
    folder: Folder
    settings: Mapping[str, Any]  # tokenizer_config.json
    stored: Mapping[str, Any]  # config.json
    config: PreTrainedConfig | None
    backend: Path | None

    @classmethod
    def read(cls, source: Source, name: str, config: PreTrainedConfig | None) -> _Clues:
        single = resolve_single_file(source)
        if single is not None:
            folder = Folder.open(single.parent)
            backend = single if single.suffix == ".json" else None
        else:
            folder = resolve_folder(source, (SETTINGS, BACKEND, "config.json"))
            backend = folder.file(BACKEND)
        stored = {} if config is not None else read_settings(folder, "config.json")
        return cls(name, folder, read_settings(folder), stored, config, backend)

    @property
    def model_type(self) -> str | None:
        found = self.stored.get("model_type") if self.config is None else self.config.model_type
        return found if isinstance(found, str) and found else None

    @property
    def class_names(self) -> Iterator[str]:
        of_config = getattr(self.config, "tokenizer_class", None) or self.stored.get("tokenizer_class")
        return (
            name
            for name in (self.settings.get("tokenizer_class"), of_config)
            if isinstance(name, str) and name
        )

    def find_class(self, fast: bool) -> type[PreTrainedTokenizerBase] | None:
        """The class; None for the generic one. Raises ``UnknownModelTypeError`` if its plugin is missing."""
        for name in self.class_names:
            if name in _GENERIC and self.backend is not None:
                return None
            found = _registered(name) or _of_name(name, self.model_type, fast)
            if found is not None:
                return found
        if registry.registered_classes(FAST) or registry.registered_classes(SLOW):
            found = self._of_config(fast)
            if found is not None:
                return found
        model_type = self.model_type
        if model_type is None and self.backend is None:
            model_type = next(filter(None, map(_home, self.class_names)), None) or catalogue.name_pattern(
                self.folder.path if Path(self.name).is_file() else self.name, tokenizer=True
            )
        if model_type is not None:
            found = _of_model_type(model_type, fast)
        elif self.backend is None:
            raise LoadError(
                f"{self.folder.path} does not say which tokenizer it holds: looked for {SETTINGS} with a "
                f"tokenizer_class, config.json with a model_type, and {BACKEND}; found {shorten(self.folder.names())}. "
                "Pass tokenizer_type, or use from_pretrained of the tokenizer's class."
            )
        else:
            found = None
        if found is None and self.backend is None:
            raise UnsupportedHeadError(
                f"The model type {model_type!r} has no tokenizer, and {self.folder.path} holds no {BACKEND}."
            )
        return found

    def _of_config(self, fast: bool) -> type[PreTrainedTokenizerBase] | None:
        """The class registered in this process for the checkpoint's configuration, or for a base of its class."""
        config = self.config
        if config is None and self.model_type is not None:
            from formers.auto.configuration import AutoConfig

            with suppress(UnsupportedHeadError):  # a type that has tokenizers only
                config = AutoConfig.from_pretrained(self.folder.path)
        for role in (FAST, SLOW) if fast else (SLOW, FAST):
            if config is not None:
                with suppress(UnsupportedHeadError):
                    return _checked(registry.auto_class_for(role, config))
        return None

    def stand_in(self, generic: TokenizersBackend, *, overridden: bool) -> TokenizersBackend:
        """The generic tokenizer made to return the fields of the class that is not installed."""
        named = next((name for name in self.class_names if name not in _GENERIC), None)
        if named is not None:
            generic.init_kwargs["tokenizer_class"] = named  # saved again under the name it was loaded from
        if not overridden and "model_input_names" not in self.settings:
            types = generic.create_token_type_ids_from_sequences([0], [0])
            if any(types):
                generic.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
        return generic


def _where(source: Source) -> dict[str, Any]:
    """The options of ``source``, to be given to ``from_pretrained`` once more."""
    options = source._asdict()
    options["_commit_hash"] = options.pop("commit")
    return {key: value for key, value in options.items() if key not in ("name", "file") and value is not None}


def _registered(class_name: str) -> type[PreTrainedTokenizerBase] | None:
    """The class of this name that was registered in this process."""
    for role in (FAST, SLOW):
        for one in registry.registered_classes(role):
            if one.__name__ == class_name:
                return _checked(one)
    return None


def _home(class_name: str) -> str | None:
    """The model type to which a tokenizer class seems to belong."""
    return catalogue.model_type_of_class(class_name, tuple(registry.known_model_types()))


def _of_name(class_name: str, model_type: str | None, fast: bool) -> type[PreTrainedTokenizerBase] | None:
    """The class of an installed plugin that goes by this name, with or without "Fast"."""
    plain = class_name.removesuffix("Fast")
    for candidate in dict.fromkeys(filter(None, (model_type, _home(class_name)))):
        with suppress(UnknownModelTypeError):
            provider = registry.provider_for(candidate)
            by_role = {role: provider.architecture.references(role) for role in (FAST, SLOW)}
            named = {
                reference.rpartition(":")[2] for references in by_role.values() for reference in references
            }
            if named & {plain, f"{plain}Fast"}:
                return _of_model_type(candidate, fast)
    return None


def _of_model_type(model_type: str, fast: bool) -> type[PreTrainedTokenizerBase] | None:
    """The class of a model type; None if the type has none. Raises as ``registry.provider_for``."""
    provider = registry.provider_for(model_type)
    for role in (FAST, SLOW) if fast else (SLOW, FAST):
        for reference in provider.architecture.references(role):
            return _checked(provider.load(reference))
    return None


def _checked(found: object) -> type[PreTrainedTokenizerBase]:
    if isinstance(found, type) and issubclass(found, PreTrainedTokenizerBase):
        return found
    raise ConfigValidationError(
        f"The tokenizer class {shorten(found)} is no subclass of PreTrainedTokenizerBase."
    )


def _check_kind(argument: str, found: object, kind: type) -> None:
    if found is not None and not (isinstance(found, type) and issubclass(found, kind)):
        raise ConfigValidationError(
            f"AutoTokenizer.register: {argument}={shorten(found)}; expected a subclass of {kind.__name__}."
        )


def _refuse_remote_code(clues: _Clues, *, trusted: bool) -> None:
    if trusted and (clues.settings.get("auto_map") or clues.stored.get("auto_map")):
        from formers.plugins import messages

        raise UnknownModelTypeError(
            messages.remote_code(clues.model_type, shorten(clues.name), trusted=True)
        ) from None
