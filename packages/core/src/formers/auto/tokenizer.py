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
from formers.tokenization.loading import BACKEND, GENERIC, SETTINGS, NoPipelineError, read_settings

from .construction import refuse_construction

if TYPE_CHECKING:
    from formers.config import PreTrainedConfig

__all__ = ["AutoTokenizer"]

FAST, SLOW = "AutoTokenizer", "AutoTokenizer:slow"  # the registry's names of the two roles


class AutoTokenizer:
    """Loads the tokenizer of a checkpoint, as an object of the class that serves it.

    The class is the one that ``tokenizer_config.json`` names, else that of the ``model_type``; where no installed
    plugin provides it, a ``tokenizer.json``, or old files that a plugin converts, are enough, and give the generic
    class. Needs no torch.
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
                ``subfolder``, ``token``); ``verify``, True to check the fingerprint that the files carry, or the
                fingerprint itself; and settings that override the loaded ones, such as ``pad_token``.

        Raises:
            UnknownModelTypeError: the class's plugin is not installed, and there is neither a ``tokenizer.json`` nor
                a converter for the files; the message has the line that installs it.
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
        missing: UnknownModelTypeError | None = None
        try:
            chosen = clues.find_class(use_fast)
        except UnknownModelTypeError as error:
            _refuse_remote_code(clues, trusted=bool(trust_remote_code))
            chosen, missing = None, error
        if chosen is not None:
            return chosen.from_pretrained(name, *inputs, **where, **settings)
        try:
            generic = TokenizersBackend.from_pretrained(name, *inputs, **where, **settings)
        except NoPipelineError as error:
            raise clues.explain(error, missing) from None
        clues.keep_name(generic)
        if missing is not None and "model_input_names" not in generic.init_kwargs:
            clues.complete_fields(generic)
        return generic

    @staticmethod
    def register(
        config_class: type[PreTrainedConfig],
        tokenizer_class: type[PreTrainedTokenizerBase] | None = None,
        slow_tokenizer_class: type[PreTrainedTokenizerBase] | None = None,
        fast_tokenizer_class: type[TokenizersBackend] | None = None,
        exist_ok: bool = False,
    ) -> None:
        """Make the tokenizer classes of a configuration class known in this process: both, or, if one is refused, none.

        Args:
            config_class: the configuration class.
            tokenizer_class: a class of either kind.
            slow_tokenizer_class: the class written in Python.
            fast_tokenizer_class: the class over the ``tokenizers`` library.
            exist_ok: replace what is registered or installed.

        The pair of transformers 4, ``register(Config, Slow, Fast)``, is understood, too.

        Raises:
            ConfigValidationError: no class is given, or one is of another kind than its argument says.
            PluginConflictError: there are such classes already, and ``exist_ok`` is False.
        """
        slow, fast = slow_tokenizer_class, fast_tokenizer_class
        if (
            fast is None
            and _is_kind(tokenizer_class, PreTrainedTokenizer)
            and _is_kind(slow, TokenizersBackend)
        ):
            tokenizer_class, slow, fast = None, tokenizer_class, slow
        given: dict[str, object] = {}
        if tokenizer_class is not None:
            given[FAST if _is_kind(tokenizer_class, TokenizersBackend) else SLOW] = tokenizer_class
        for role, argument, found, kind in (
            (SLOW, "slow_tokenizer_class", slow, PreTrainedTokenizer),
            (FAST, "fast_tokenizer_class", fast, TokenizersBackend),
        ):
            if found is None:
                continue
            if given.get(role, found) is not found:
                raise ConfigValidationError(
                    f"AutoTokenizer.register: tokenizer_class and {argument} are different classes of one kind; "
                    f"give {argument} alone."
                )
            _check_kind(argument, found, kind)
            given[role] = found
        if not given:
            raise ConfigValidationError(
                "AutoTokenizer.register needs tokenizer_class, slow_tokenizer_class or fast_tokenizer_class."
            )
        if SLOW in given:
            _check_kind("tokenizer_class", given[SLOW], PreTrainedTokenizer)
        registry.register_roles(given, config_class, exist_ok)  # type: ignore[arg-type]  # checked above


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

    @property
    def own_class(self) -> str | None:
        """The first class named that is not a generic one."""
        return next((name for name in self.class_names if name not in GENERIC), None)

    def find_class(self, fast: bool) -> type[PreTrainedTokenizerBase] | None:
        """The class; None where only the generic one may do. Raises ``UnknownModelTypeError`` for a missing plugin."""
        for name in self.class_names:
            if name in GENERIC and (self.backend is not None or self.model_type is None):
                return None
            found = _registered(name) or _of_name(name, self.model_type, fast)
            if found is not None:
                return found
        if registry.registered_classes(FAST) or registry.registered_classes(SLOW):
            found = self._of_config(fast)
            if found is not None:
                return found
        model_type, named = self.model_type, self.own_class
        if self.backend is None and named is not None:
            if model_type is not None:
                registry.provider_for(model_type)  # a missing plugin may well be the one with the class
            model_type = _home(named)  # another class would split text in its own way
        elif self.backend is None and model_type is None:
            place = self.folder.path if Path(self.name).is_file() else self.name
            model_type = catalogue.name_pattern(place, tokenizer=True)
        if model_type is not None:
            return _of_model_type(model_type, fast)
        if self.backend is None and named is None:
            raise LoadError(
                f"{self.folder.path} does not say which tokenizer it holds: looked for {SETTINGS} with a "
                f"tokenizer_class, config.json with a model_type, and {BACKEND}; found {shorten(self.folder.names())}. "
                "Pass tokenizer_type, or use from_pretrained of the tokenizer's class."
            )
        return None

    def explain(self, error: NoPipelineError, missing: UnknownModelTypeError | None) -> Exception:
        """The exception for a folder that no class and no converter reads."""
        if missing is not None:
            return UnknownModelTypeError(
                f"{missing}\nAsked for by {shorten(self.name)}, which holds no {BACKEND}; with one, no plugin is "
                f"needed.\n{error}"
            )
        if self.model_type is None or self.own_class is not None:
            return error
        return UnsupportedHeadError(f"The model type {self.model_type!r} has no tokenizer.\n{error}")

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

    def keep_name(self, generic: TokenizersBackend) -> None:
        """Have the generic tokenizer saved again under the class that it was loaded for."""
        if self.own_class is not None:
            generic.init_kwargs["tokenizer_class"] = self.own_class

    @staticmethod
    def complete_fields(generic: TokenizersBackend) -> None:
        """Have the generic tokenizer return the fields of the class that is not installed."""
        if any(generic.create_token_type_ids_from_sequences([0], [0])):
            generic.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]


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


def _is_kind(found: object, kind: type) -> bool:
    return isinstance(found, type) and issubclass(found, kind)


def _check_kind(argument: str, found: object, kind: type) -> None:
    if not _is_kind(found, kind):
        raise ConfigValidationError(
            f"AutoTokenizer.register: {argument}={shorten(found)}; expected a subclass of {kind.__name__}."
        )


def _refuse_remote_code(clues: _Clues, *, trusted: bool) -> None:
    if trusted and (clues.settings.get("auto_map") or clues.stored.get("auto_map")):
        from formers.plugins import messages

        raise UnknownModelTypeError(
            messages.remote_code(clues.model_type, shorten(clues.name), trusted=True)
        ) from None
