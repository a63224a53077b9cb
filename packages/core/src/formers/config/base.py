"""``PreTrainedConfig``: the settings of one model, in memory and in ``config.json``.

The class is a table of contents: fields and their checks are in ``declared``, the rest in the module of its name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, overload

from formers.config import keys, reading, strings, text, writing
from formers.config.declared import Declared
from formers.config.dtypes import dict_dtype_to_str, dtype_field
from formers.config.fields import field
from formers.config.labels import id2label_field, label2id_field, num_labels_field
from formers.errors import ConfigValidationError, PluginConflictError, shorten
from formers.files.commit import Commit
from formers.files.push import PushToHubMixin
from formers.files.resolve import Source

if TYPE_CHECKING:
    import torch

__all__ = ["PreTrainedConfig", "PretrainedConfig"]


def _pruned_heads(value: Any) -> Any:
    """Layer indices are strings in JSON."""
    try:
        return {int(layer): sorted(int(head) for head in heads) for layer, heads in value.items()}
    except (AttributeError, TypeError, ValueError):
        return value  # refused by the check of the type or by whoever prunes


class PreTrainedConfig(Declared, PushToHubMixin):
    """Base class of all configurations.

    Subclasses declare fields by annotation, with ``field`` where there are limits:

        class NewConfig(PreTrainedConfig):
            model_type = "new"
            hidden_size: int = field(64, minimum=1, maximum=1_000_000)

    A value of the wrong type or out of range raises ``ConfigValidationError`` with the field's name, in the
    constructor, on assignment and from a file, before anything is allocated. Checks that concern several fields
    go into ``validate``. Unknown keys are kept as attributes and survive saving; one that is given in code and
    looks like a misspelt field is warned about (``ConfigWarning``). A hand-written ``__init__`` in the style of
    transformers 4 works as well.

    Generation parameters (``max_length``, ``temperature``, ...) belong to a ``GenerationConfig``. Those that a
    ``config.json`` holds are kept and returned by ``generation_parameters``; setting one in code, in the
    constructor included, raises ``ConfigValidationError``. (transformers 5.23 drops them without a word when
    loading, and raises on saving.) A class that declares a field of such a name keeps it as its own.

    In a file, ``attn_implementation``, ``trust_remote_code`` and their relatives mean nothing: only a caller
    may decide these, so the keys are dropped.

    Args:
        output_hidden_states: return the hidden states of all layers by default.
        output_attentions: return the attention probabilities of all layers by default.
        return_dict: return a ``ModelOutput`` rather than a tuple.
        dtype: type of the weights, as name or ``torch.dtype``. Read, it is a ``torch.dtype`` once the program
            has imported torch, a name before; files hold the name. ``torch_dtype`` is its old name.
        chunk_size_feed_forward: positions that a feed-forward block computes at a time; 0 for all at once.
        is_encoder_decoder: whether the model has both halves.
        architectures: names of the model classes that the weights belong to.
        num_labels: number of classes of a classification head.
        id2label: class index to name. ``LABEL_0``, ... unless given.
        label2id: name to class index; the inverse of ``id2label`` unless given.
        problem_type: ``"regression"``, ``"single_label_classification"`` or ``"multi_label_classification"``.
        tie_word_embeddings: use the input embeddings as the output layer of a language-model head.
        pruned_heads: layer index to the indices of removed attention heads.
        torchscript: keep tied weights apart, as tracing needs.

    Class attributes:
        model_type: the key by which AutoConfig finds the class; written to the file.
        attribute_map: standard name to the name used here; both work everywhere.
        sub_configs: nested configurations, name to class or ``"module:Name"``; AutoConfig stands for the class
            of the ``model_type`` that the nested one has. Dicts and instances are accepted.
        has_no_defaults_at_init: the nested configurations must be given.
        keys_to_ignore_at_inference: outputs that a training loop drops.
        base_model_tp_plan, base_model_pp_plan: module names to parallel plans.
    """

    keys_to_ignore_at_inference: ClassVar[tuple[str, ...] | list[str]] = ()
    base_config_key: ClassVar[str] = ""
    base_model_tp_plan: ClassVar[dict[str, Any] | None] = None
    base_model_pp_plan: ClassVar[dict[str, Any] | None] = None
    _auto_class: ClassVar[str | None] = None

    output_hidden_states: bool | None = False
    output_attentions: bool | None = False
    return_dict: bool | None = True
    dtype: str | torch.dtype | None = dtype_field()
    chunk_size_feed_forward: int = field(0, minimum=0, maximum=2**31 - 1)
    is_encoder_decoder: bool = False
    architectures: list[str] | None = None
    num_labels: int = num_labels_field()
    id2label: dict[int, str] = id2label_field()
    label2id: dict[str, int] = label2id_field()
    problem_type: str | None = field(
        None, choices=("regression", "single_label_classification", "multi_label_classification")
    )
    tie_word_embeddings: bool = True
    pruned_heads: dict[int, list[int]] = field({}, convert=_pruned_heads)
    torchscript: bool = False
    transformers_version: str | None = None

    @property
    def _attn_implementation(self) -> Any:
        """What the caller chose; never read from a file and never written to one."""
        return self.__dict__.get("_attn_implementation")

    @_attn_implementation.setter
    def _attn_implementation(self, value: Any) -> None:
        self.__dict__["_attn_implementation"] = value

    @property
    def _commit_hash(self) -> str | None:
        """The hub commit that this was read from; not written."""
        return self.__dict__.get("_commit_hash")

    @_commit_hash.setter
    def _commit_hash(self, value: str | None) -> None:
        self.__dict__["_commit_hash"] = value

    @property
    def name_or_path(self) -> str:
        """What was given to ``from_pretrained``; empty for a configuration made in code."""
        return str(self.__dict__.get("_name_or_path", ""))

    @name_or_path.setter
    def name_or_path(self, value: Any) -> None:
        self.__dict__["_name_or_path"] = "" if value is None else str(value)

    @property
    def use_return_dict(self) -> bool:
        """``return_dict``, unless tracing for torchscript needs tuples."""
        return bool(self.return_dict) and not self.torchscript

    @overload
    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        return_unused_kwargs: Literal[True],
        **kwargs: Any,
    ) -> tuple[Self, dict[str, Any]]: ...

    @overload
    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *args: Any, **kwargs: Any
    ) -> Self: ...

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        cache_dir: str | os.PathLike[str] | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        revision: str = "main",
        **kwargs: Any,
    ) -> Self | tuple[Self, dict[str, Any]]:
        """Read a configuration from a folder, a JSON file or the hub; no weights are read.

        A path never touches the network. Further keyword arguments that name settings override what the file
        says; the others are ignored, or returned with ``return_unused_kwargs=True``.

        Args:
            pretrained_model_name_or_path: a folder with a ``config.json``, a JSON file, or a model id.
            cache_dir: where downloads are kept, if not in the usual cache.
            force_download: download again what is cached.
            local_files_only: use the cache alone.
            token: access token; True or None for the stored one.
            revision: branch, tag or commit.
            **kwargs: ``subfolder``, ``return_unused_kwargs``, and overrides.

        Returns:
            The configuration, or ``(configuration, unused)`` with ``return_unused_kwargs=True``.

        Raises:
            LoadError: there is no such file, or it is not JSON.
            ConfigValidationError: a value is not accepted; the message names the file and the key.
        """
        overrides = kwargs | {
            "cache_dir": cache_dir,
            "force_download": force_download,
            "local_files_only": local_files_only,
            "token": token,
            "revision": revision,
        }
        return_unused = overrides.pop("return_unused_kwargs", False)
        source = Source.from_kwargs(pretrained_model_name_or_path, overrides)
        file = reading.read_config(source)
        config, unused = reading.from_config_file(cls, file, source.name, overrides)
        return (config, unused) if return_unused else config

    @classmethod
    def get_config_dict(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the file of a configuration holds, and the keyword arguments that did not say where it is.

        Raises as ``from_pretrained``.
        """
        rest = dict(kwargs)
        source = Source.from_kwargs(pretrained_model_name_or_path, rest)
        return reading.read_config(source).values, rest

    @overload
    @classmethod
    def from_dict(
        cls, config_dict: Mapping[str, Any], *, return_unused_kwargs: Literal[True], **kwargs: Any
    ) -> tuple[Self, dict[str, Any]]: ...

    @overload
    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any], **kwargs: Any) -> Self: ...

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any], **kwargs: Any) -> Self | tuple[Self, dict[str, Any]]:
        """Build a configuration from a dict; keyword arguments override it.

        With ``return_unused_kwargs=True`` also returns the arguments that are no settings.
        Raises ``ConfigValidationError`` for a value that is not accepted.
        """
        if not isinstance(config_dict, Mapping):
            raise ConfigValidationError(
                f"{cls.__name__}.from_dict({shorten(config_dict)}): a dict is expected; "
                "use from_pretrained or from_json_file for a path."
            )
        return_unused = kwargs.pop("return_unused_kwargs", False)
        config, unused = reading.build(cls, config_dict, kwargs)
        return (config, unused) if return_unused else config

    @classmethod
    def from_json_file(cls, json_file: str | os.PathLike[str]) -> Self:
        """Build a configuration from one JSON file. Raises as ``from_pretrained``."""
        return reading.from_config_file(cls, reading.read_config_file(json_file), "", {})[0]

    def to_dict(self) -> dict[str, Any]:
        """Every setting, as a deep copy; dtypes as names, nested configurations as dicts."""
        return writing.to_dict(self)

    def to_diff_dict(self) -> dict[str, Any]:
        """``to_dict`` without what is at the default of ``PreTrainedConfig``; always with ``model_type``.

        Everything that the class itself declares is there, so that a later default cannot change a saved model.
        """
        return writing.to_diff_dict(self)

    def to_json_string(self, use_diff: bool = True) -> str:
        """The text of a ``config.json``, from ``to_diff_dict`` or, without ``use_diff``, from ``to_dict``.

        Raises ``ConfigValidationError`` naming a setting that JSON cannot hold.
        """
        return writing.to_json(self, use_diff)

    def to_json_file(self, json_file_path: str | os.PathLike[str], use_diff: bool = True) -> None:
        """Write ``to_json_string`` to a file, at one moment: a reader finds the old or the new content."""
        path = Path(json_file_path)
        text = self.to_json_string(use_diff)
        with Commit(path.parent) as commit:
            commit.write_text(path.name, text)

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], push_to_hub: bool = False, **kwargs: Any
    ) -> None:
        """Save as ``config.json`` in a folder, which is created if it is missing; all or nothing.

        Args:
            save_directory: the folder.
            push_to_hub: also upload, to ``repo_id`` or the name of the folder.
            **kwargs: arguments of ``push_to_hub``.

        Raises:
            NotADirectoryError: ``save_directory`` is a file.
            ConfigValidationError: the settings contradict each other, or cannot be written.
            TypeError: arguments for uploading without ``push_to_hub=True``.
        """
        if kwargs and not push_to_hub:
            raise TypeError(f"save_pretrained() got {', '.join(sorted(kwargs))}, but push_to_hub is not set")
        self.validate()
        text = self.to_json_string()
        with Commit(save_directory) as commit:
            commit.write_text(reading.CONFIG_NAME, text)
        if push_to_hub:
            self._push_saved(save_directory, kwargs)

    def update(self, config_dict: Mapping[str, Any]) -> None:
        """Set several settings; all or, if one raises ``ConfigValidationError``, none."""
        before = dict(self.__dict__)
        cls = type(self)
        try:
            for name, value in config_dict.items():
                keys.refuse_reserved(cls, name, cls._known)
                if name != "model_type":  # that is for the class to say
                    setattr(self, name, value)
            self.validate()
        except ConfigValidationError:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def update_from_string(self, update_str: str) -> None:
        """Set existing settings from ``"n_embd=10,resid_pdrop=0.2,scale_attn_weights=false,summary_type=cls_index"``.

        Raises ``ConfigValidationError`` for an unknown key or a value that is not of the key's type.
        """
        self.update(strings.parse_settings(self, update_str))

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> PreTrainedConfig:
        """The configuration of the text model: of its input (``encoder=True``), its output (``decoder=True``).

        The configuration itself for most models; the nested text part of a composite one; for an encoder-decoder
        with ``encoder_...`` and ``decoder_...`` settings, a copy without those of the other half.
        Raises ``ConfigValidationError`` if several parts qualify.
        """
        return text.text_config(self, decoder, encoder)

    def generation_parameters(self) -> dict[str, Any]:
        """The generation parameters that the file of this configuration held."""
        known = type(self)._known
        return {
            name: value
            for name, value in self.__dict__.items()
            if name in keys.GENERATION_PARAMETERS and name not in known
        }

    @staticmethod
    def dict_dtype_to_str(d: dict[str, Any]) -> None:
        """Replace, in place and in nested dicts, a ``torch.dtype`` under the key ``dtype`` by its bare name."""
        dict_dtype_to_str(d)

    @classmethod
    def register_for_auto_class(cls, auto_class: str | type = "AutoConfig") -> None:
        """Make AutoConfig return this class, of your own, for its ``model_type`` in this process.

        An installed plugin needs no registration. Raises ``ConfigValidationError`` for another Auto class or
        without a ``model_type``, ``PluginConflictError`` if another class serves the type.
        """
        from formers.plugins import registry

        name = auto_class if isinstance(auto_class, str) else auto_class.__name__
        if name != "AutoConfig" or not cls.model_type:
            raise ConfigValidationError(
                f"{cls.__name__}.register_for_auto_class({shorten(auto_class)}): 'AutoConfig' is expected, and a "
                f"class with a model_type; this one has {cls.model_type!r}."
            )
        try:
            registry.register_config(cls.model_type, cls)
        except PluginConflictError:
            if registry.config_class_for(cls.model_type) is not cls:
                raise
        cls._auto_class = name

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return writing.comparable(self) == writing.comparable(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        try:
            return f"{type(self).__name__} {self.to_json_string()}"
        except ConfigValidationError:  # a value that JSON cannot hold must not hide the rest
            return f"{type(self).__name__} {shorten(self.to_diff_dict(), 10_000)}"


PretrainedConfig = PreTrainedConfig
