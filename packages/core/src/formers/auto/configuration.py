"""``AutoConfig``: the configuration class that a checkpoint asks for."""

from __future__ import annotations

import os
from typing import Any, Literal, overload

from formers.config import PreTrainedConfig, reading
from formers.errors import ConfigValidationError, UnknownModelTypeError, shorten
from formers.files.resolve import Source
from formers.plugins import messages, registry

from .construction import refuse_construction

__all__ = ["AutoConfig", "load_config"]


class AutoConfig:
    """Loads the configuration of a checkpoint as an object of the class that its ``model_type`` names.

    The class comes from an installed plugin, or from ``AutoConfig.register``. Needs neither torch nor weights.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        refuse_construction(type(self).__name__, "from_pretrained(name) or for_model(model_type)")

    @classmethod
    def for_model(cls, model_type: str, *args: Any, **kwargs: Any) -> PreTrainedConfig:
        """A new configuration of a model type; the arguments are those of its class."""
        return _config_class(model_type)(*args, **kwargs)

    @overload
    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        return_unused_kwargs: Literal[False] = False,
        trust_remote_code: bool | None = False,
        code_revision: str | None = None,
        **kwargs: Any,
    ) -> PreTrainedConfig: ...

    @overload
    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        return_unused_kwargs: Literal[True],
        trust_remote_code: bool | None = False,
        code_revision: str | None = None,
        **kwargs: Any,
    ) -> tuple[PreTrainedConfig, dict[str, Any]]: ...

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        return_unused_kwargs: bool = False,
        trust_remote_code: bool | None = False,
        code_revision: str | None = None,
        **kwargs: Any,
    ) -> PreTrainedConfig | tuple[PreTrainedConfig, dict[str, Any]]:
        """Load a configuration.

        Args:
            pretrained_model_name_or_path: a folder, a JSON file, or the id of a repository on the hub.
            return_unused_kwargs: also return the keyword arguments that are not attributes of the configuration;
                otherwise these are ignored.
            trust_remote_code: code in a checkpoint's folder is never run. True is refused, but only where the
                folder has such code and no plugin provides its model type.
            code_revision: accepted, and of no effect while no code is run.
            kwargs: where to look (``cache_dir``, ``force_download``, ``local_files_only``, ``proxies``,
                ``revision``, ``subfolder``, ``token``), and values that override the loaded ones.

        Raises:
            UnknownModelTypeError: no installed plugin provides the model type.
            PluginLoadError, PluginConflictError: one does but cannot be used, or several do.
            LoadError: there is no configuration, or it cannot be read.
        """
        source = Source.from_kwargs(pretrained_model_name_or_path, kwargs)
        config, unused = load_config(source, kwargs, trusted=bool(trust_remote_code))
        return (config, unused) if return_unused_kwargs else config

    @classmethod
    def from_json_file(cls, json_file: str | os.PathLike[str]) -> PreTrainedConfig:
        """The configuration in a JSON file, of the class that its ``model_type`` names."""
        return cls.from_pretrained(json_file)

    @staticmethod
    def register(model_type: str, config: type[PreTrainedConfig], exist_ok: bool = False) -> None:
        """Make a configuration class known in this process, under its own ``model_type``.

        An installed plugin needs no such call, and is known in worker processes too.

        Raises:
            PluginConflictError: the type is registered or installed already, and ``exist_ok`` is False.
            ConfigValidationError: ``config`` is not a configuration class, or has another ``model_type``.
        """
        if not (isinstance(config, type) and issubclass(config, PreTrainedConfig)):
            raise ConfigValidationError(
                f"AutoConfig.register({model_type!r}, {shorten(config)}): expected a subclass of PreTrainedConfig."
            )
        registry.register_config(model_type, config, exist_ok)


def load_config(
    source: Source, overrides: dict[str, Any], *, trusted: bool = False
) -> tuple[PreTrainedConfig, dict[str, Any]]:
    """The configuration of a checkpoint, and the overrides that are not attributes of it.

    Raises as ``AutoConfig.from_pretrained``.
    """
    file = reading.read_config(source)
    return reading.of_chosen_class(_class_for_file(file, source, trusted), file, source.name, overrides)


def _class_for_file(file: reading.ConfigFile, source: Source, trusted: bool) -> type[PreTrainedConfig]:
    model_type = file.values.get("model_type")
    brings_code = bool(file.values.get("auto_map"))
    if model_type is None:
        model_type = registry.name_pattern(source.name)
    if model_type is None and not brings_code:
        raise UnknownModelTypeError(
            f"{file.path} has no model_type, and the name {shorten(source.name)} suggests none. "
            f"Write the model_type into the file. {messages.installed(registry.known_model_types())}"
        )
    try:
        return _config_class(model_type)
    except UnknownModelTypeError as error:
        if brings_code:
            text = messages.remote_code(model_type, file.path, trusted=trusted)
            raise UnknownModelTypeError(text) from None
        raise UnknownModelTypeError(f"{error}\nAsked for by: {file.path}") from None


def _config_class(model_type: object) -> type[PreTrainedConfig]:
    config_class = registry.config_class_for(model_type)
    if not issubclass(config_class, PreTrainedConfig):
        raise ConfigValidationError(
            f"The configuration class {config_class.__qualname__} of model type {model_type!r} "
            "is not a subclass of PreTrainedConfig."
        )
    return config_class
