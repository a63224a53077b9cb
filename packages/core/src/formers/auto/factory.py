"""What every Auto class of models does: find the class, then leave the work to it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from formers.config import PreTrainedConfig
from formers.config.reading import CONFIG_NAME
from formers.errors import ConfigValidationError, LoadError, shorten
from formers.files.folder import Folder, read_consistently
from formers.files.resolve import Source
from formers.plugins import registry
from formers.plugins.elsewhere import require_torch

from .configuration import load_config
from .construction import refuse_construction

if TYPE_CHECKING:
    from formers.modeling import PreTrainedModel

__all__ = ["AUTO_MODELS", "AutoModelFactory"]

AUTO_MODELS: dict[str, type[AutoModelFactory]] = {}
"""Every Auto class of models by its name; an entry for each subclass of ``AutoModelFactory``."""

# Attributes of a configuration that are also arguments of loading: the model's from_pretrained decides about them.
_FOR_THE_MODEL = ("attn_implementation", "dtype", "quantization_config", "torch_dtype")
_WHERE = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")


class AutoModelFactory:
    """Base of the Auto classes of models; a subclass is a name with a docstring."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        AUTO_MODELS[cls.__name__] = cls

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        refuse_construction(type(self).__name__, "from_pretrained(name) or from_config(config)")

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | None,
        *model_args: Any,
        config: PreTrainedConfig | str | os.PathLike[str] | None = None,
        trust_remote_code: bool | None = False,
        code_revision: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Load a model of the class that the checkpoint's configuration asks for, in evaluation mode.

        Args:
            pretrained_model_name_or_path: a folder or the id of a repository on the hub; with ``config`` also a
                single weights file, or None together with ``state_dict``.
            model_args: further arguments of the model's constructor.
            config: a configuration, or where to find one, in place of the checkpoint's. All other keyword
                arguments are then the model's and leave the configuration alone.
            trust_remote_code: as for ``AutoConfig.from_pretrained``; no code of a folder is ever run.
            code_revision: accepted, and of no effect while no code is run.
            kwargs: those of ``PreTrainedModel.from_pretrained``: how to load (``dtype``, ``device_map``,
                ``state_dict``, ``output_loading_info`` ...), where to look (``revision``, ``subfolder``,
                ``cache_dir``, ``token`` ...), values that override the configuration's, and arguments of the
                constructor.

        Returns:
            The model, or ``(model, report)`` with ``output_loading_info=True``.

        Raises:
            UnsupportedHeadError: the architecture has no class for this Auto class.
            UnknownModelTypeError, PluginLoadError, PluginConflictError: no plugin can serve the model type.
            LoadError: the checkpoint cannot be read, or does not fit the class.
            MissingExtraError: PyTorch is not installed.
        """
        require_torch(cls.__name__)
        name = pretrained_model_name_or_path
        if config is None and name is None:
            raise LoadError(
                f"{cls.__name__}.from_pretrained(None) needs config=, and state_dict= for the weights."
            )

        def load(folder: Folder | None = None) -> Any:
            if folder is not None:
                folder.file(CONFIG_NAME)  # looked at again afterwards: the weights must be of the same save
            if isinstance(config, PreTrainedConfig):
                return cls._load(name, model_args, config, kwargs)
            if config is not None:
                explicit, _ = load_config(
                    _source_of_config(config, kwargs), {}, trusted=bool(trust_remote_code)
                )
                return cls._load(name, model_args, explicit, kwargs)
            loaded, remaining = _load_own_config(name, kwargs, trusted=bool(trust_remote_code))
            return cls._load(name, model_args, loaded, remaining)

        place = _local_folder(name, kwargs)
        return load() if place is None else read_consistently(place, load)

    @classmethod
    def from_config(
        cls,
        config: PreTrainedConfig,
        *,
        attn_implementation: str | None = None,
        trust_remote_code: bool | None = False,
        code_revision: str | None = None,
        **kwargs: Any,
    ) -> PreTrainedModel:
        """Build a model with fresh weights; nothing is read from disk.

        Args:
            config: its class, or ``model_type``, decides the model's class.
            attn_implementation: ``"eager"``, ``"sdpa"`` or the name of another implementation; None chooses the
                best one that can serve each call.
            trust_remote_code: accepted; a configuration in memory brings no code.
            code_revision: accepted, and of no effect.
            kwargs: ``dtype``, and arguments of the model's constructor.

        Raises:
            UnsupportedHeadError: the architecture has no class for this Auto class.
            UnknownModelTypeError, PluginLoadError, PluginConflictError: no plugin can serve the model type.
            MissingExtraError: PyTorch is not installed.
        """
        require_torch(cls.__name__)
        if not isinstance(config, PreTrainedConfig):
            raise ConfigValidationError(
                f"{cls.__name__}.from_config({shorten(config)}) needs a configuration object. "
                f"To load a checkpoint, call {cls.__name__}.from_pretrained(name)."
            )
        if "torch_dtype" in kwargs:
            kwargs.setdefault("dtype", kwargs.pop("torch_dtype"))
        with registry.attribution(config.model_type):
            model_class: Any = cls._model_class(config)
            model: PreTrainedModel = model_class.from_config(
                config, attn_implementation=attn_implementation, **kwargs
            )
        return model

    @classmethod
    def register(
        cls, config_class: type[PreTrainedConfig], model_class: type[PreTrainedModel], exist_ok: bool = False
    ) -> None:
        """Let this Auto class give ``model_class`` for configurations of ``config_class``, in this process.

        Raises:
            PluginConflictError: there is a class already, and ``exist_ok`` is False.
            ConfigValidationError: ``model_class.config_class`` is another class.
        """
        registry.register_class(cls.__name__, config_class, model_class, exist_ok)

    @classmethod
    def _model_class(cls, config: PreTrainedConfig) -> type:
        return registry.auto_class_for(cls.__name__, config)

    @classmethod
    def _load(
        cls,
        name: str | os.PathLike[str] | None,
        model_args: tuple[Any, ...],
        config: PreTrainedConfig,
        kwargs: dict[str, Any],
    ) -> Any:
        with registry.attribution(config.model_type):
            model_class: Any = cls._model_class(config)
            return model_class.from_pretrained(name, *model_args, config=config, **kwargs)


def _load_own_config(
    name: Any, kwargs: dict[str, Any], *, trusted: bool
) -> tuple[PreTrainedConfig, dict[str, Any]]:
    """The checkpoint's configuration with its overrides, and the keyword arguments left for the model."""
    overrides = {key: value for key, value in kwargs.items() if key not in _FOR_THE_MODEL}
    source = Source.from_kwargs(name, overrides)
    config, unused = load_config(source, overrides, trusted=trusted)
    remaining = {key: kwargs[key] for key in _FOR_THE_MODEL if key in kwargs} | unused
    where = {key: getattr(source, key) for key in _WHERE}
    remaining |= {key: value for key, value in where.items() if value != Source._field_defaults[key]}
    if config._commit_hash is not None:
        remaining["_commit_hash"] = (
            config._commit_hash
        )  # the weights of the same commit, whatever comes meanwhile
    return config, remaining


def _source_of_config(config: str | os.PathLike[str], kwargs: dict[str, Any]) -> Source:
    """Where a configuration given by name is: the options about access hold for it, those about place do not."""
    access = {key: kwargs[key] for key in _WHERE if key in kwargs and key not in ("revision", "subfolder")}
    return Source.from_kwargs(config, access)


def _local_folder(name: str | os.PathLike[str] | None, kwargs: dict[str, Any]) -> str | None:
    """The folder in which configuration and weights must be of one save; None if they are not in one."""
    if name is None:
        return None
    folder = os.path.join(os.fspath(name), kwargs.get("subfolder") or "")
    return folder if os.path.isdir(folder) else None
