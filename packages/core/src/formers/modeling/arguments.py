"""The arguments of ``from_pretrained``, checked once and then trusted."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from formers.checkpoint.formats import ReadOptions
from formers.checkpoint.header import MAX_HEADER_BYTES
from formers.config import PreTrainedConfig
from formers.config.reading import from_config_file, read_config
from formers.errors import FormersWarning, shorten, warn
from formers.files.resolve import Source

if TYPE_CHECKING:
    from .base import PreTrainedModel

__all__ = ["LoadRequest", "one_device", "parse_dtype"]

# Accepted from older code: they chose between ways of loading that no longer differ.
_WITHOUT_EFFECT = (
    "_fast_init",
    "low_cpu_mem_usage",
    "max_memory",
    "offload_buffers",
    "offload_folder",
    "offload_state_dict",
)
# What transformers can do with a model while it loads it; False and None ask for nothing.
_UNSUPPORTED = (
    "adapter_kwargs",
    "device_mesh",
    "distributed_config",
    "experts_implementation",
    "fusion_config",
    "generation_config",
    "gguf_file",
    "key_mapping",
    "load_in_4bit",
    "load_in_8bit",
    "quantization_config",
    "tp_plan",
    "tp_size",
    "use_kernels",
)


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What to load, from where, and how.

    Attributes:
        source: where the checkpoint lies; None if configuration and weights are both given.
        config: a copy of the caller's configuration; None to read the checkpoint's.
        overrides: keyword arguments that the configuration may take; the rest of them constructs the model.
        reading: how the weights files are read.
        check_finite: whether NaN and infinite weights are refused.
        dtype: None for the configuration's, else the checkpoint's.
        device: None leaves the weights where they are read, on the CPU.
    """

    model_class: type[PreTrainedModel]
    source: Source | None
    config: PreTrainedConfig | None
    state_dict: Mapping[str, Tensor] | None
    model_args: tuple[Any, ...]
    overrides: Mapping[str, Any]
    strict: bool
    ignore_mismatched_sizes: bool
    dtype: torch.dtype | None
    device: torch.device | None
    attn_implementation: str | None
    use_safetensors: bool | None
    variant: str | None
    reading: ReadOptions
    check_finite: bool

    @classmethod
    def from_arguments(
        cls,
        model_class: type[PreTrainedModel],
        name: str | os.PathLike[str] | None,
        model_args: tuple[Any, ...],
        *,
        config: PreTrainedConfig | str | os.PathLike[str] | None,
        state_dict: Mapping[str, Tensor] | None,
        dtype: Any,
        device_map: Any,
        kwargs: dict[str, Any],
        **checked: Any,
    ) -> LoadRequest:
        """Check what a caller gave; see :meth:`PreTrainedModel.from_pretrained`."""
        _refuse_other_frameworks(kwargs)
        _refuse_unsupported(kwargs)
        _drop_without_effect(kwargs)
        if kwargs.pop("weights_only", True) is not True:
            raise ValueError(
                "weights_only=False would run code from the weights file; only True is supported."
            )
        reading = ReadOptions(
            mmap=not kwargs.pop("disable_mmap", False),
            max_header_bytes=kwargs.pop("max_header_bytes", MAX_HEADER_BYTES),
        )
        check_finite = bool(kwargs.pop("check_finite", False))
        if name is None and (config is None or state_dict is None):
            raise ValueError("from_pretrained(None) needs both config= and state_dict=.")
        source = Source.from_kwargs("" if name is None else name, kwargs)
        if isinstance(config, PreTrainedConfig):
            config = copy.deepcopy(config)  # two models that share one would share their settings
        elif config is not None:
            config, kwargs = _read_config(model_class, config, source, kwargs)
        return cls(
            model_class=model_class,
            source=None if name is None else source,
            config=config,
            state_dict=state_dict,
            model_args=model_args,
            overrides=kwargs,
            dtype=parse_dtype(dtype),
            device=one_device(device_map),
            reading=reading,
            check_finite=check_finite,
            **checked,
        )

    @property
    def config_class(self) -> type[PreTrainedConfig]:
        """The configuration class of the model class."""
        return _config_class(self.model_class)


def _config_class(model_class: type[PreTrainedModel]) -> type[PreTrainedConfig]:
    if model_class.config_class is None:
        raise TypeError(
            f"{model_class.__name__}.config_class is not set; name the model's configuration class there."
        )
    return model_class.config_class


def _read_config(
    model_class: type[PreTrainedModel],
    name: str | os.PathLike[str],
    source: Source,
    kwargs: dict[str, Any],
) -> tuple[PreTrainedConfig, dict[str, Any]]:
    """The configuration of that name with the settings in ``kwargs``, and the arguments that are none.

    It is looked for with the options of ``source``.
    """
    options = ("revision", "subfolder", "cache_dir", "token", "local_files_only", "force_download")
    where = Source.from_kwargs(name, {option: getattr(source, option) for option in options})
    return from_config_file(_config_class(model_class), read_config(where), where.name, kwargs)


def _refuse_other_frameworks(kwargs: dict[str, Any]) -> None:
    for name in ("from_tf", "from_flax"):
        if kwargs.pop(name, False):
            raise NotImplementedError(
                f"{name}=True: formers reads PyTorch weights only. Convert the checkpoint to safetensors first, "
                "for instance with transformers 4."
            )


def _refuse_unsupported(kwargs: dict[str, Any]) -> None:
    for name in _UNSUPPORTED:
        value = kwargs.pop(name, None)
        if value not in (None, False):
            raise ValueError(f"{name}={shorten(value)} is not supported; leave it out.")


def _drop_without_effect(kwargs: dict[str, Any]) -> None:
    for name in _WITHOUT_EFFECT:
        kwargs.pop(name, None)
    kwargs.pop("code_revision", None)
    if kwargs.pop("trust_remote_code", False):
        warn(
            "trust_remote_code=True has no effect on a class that is called by its name: code is never run from a "
            "model's folder. Make the architecture a plugin.",
            FormersWarning,
        )


def parse_dtype(value: Any) -> torch.dtype | None:
    """A floating-point dtype from a ``torch.dtype`` or its name; None for None and ``"auto"``.

    Raises:
        ValueError: anything else.
    """
    if value is None or value == "auto":
        return None
    dtype = getattr(torch, value.removeprefix("torch."), None) if isinstance(value, str) else value
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ValueError(
            f"dtype={shorten(value)} is not a floating-point dtype; expected for instance torch.bfloat16, 'float16' "
            "or 'auto'."
        )
    return dtype


def one_device(device_map: Any) -> torch.device | None:
    """The device that a ``device_map`` of one device names.

    Raises:
        ValueError: it names several devices, or asks for an automatic split.
    """
    if device_map is None:
        return None
    if isinstance(device_map, Mapping):
        if len(set(map(str, device_map.values()))) != 1:
            raise ValueError(
                f"device_map={shorten(device_map)} spreads the model; formers puts a model on one device, "
                'such as device_map="cuda:0".'
            )
        device_map = next(iter(device_map.values()))
    if isinstance(device_map, str) and device_map in ("auto", "balanced", "balanced_low_0", "sequential"):
        return torch.device("cuda") if torch.cuda.is_available() else None
    if isinstance(device_map, int) and not isinstance(device_map, bool):
        return torch.device("cuda", device_map)
    try:
        return torch.device(device_map)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device_map={shorten(device_map)} is not a device: {error}") from error
