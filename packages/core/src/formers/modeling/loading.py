"""From a request to a model: resolve, build on the meta device, put the stored tensors in, initialise the rest."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from formers.checkpoint.load import Declarations, load_into
from formers.checkpoint.locate import CheckpointFiles, candidates, locate, locate_file
from formers.checkpoint.matching import matches_any
from formers.checkpoint.source import StateDict, TensorSource, main_dtype, open_checkpoint
from formers.config.reading import CONFIG_NAME, from_config_file, read_config_file
from formers.errors import ConfigValidationError, ResourceLimitError, shorten
from formers.files.folder import Folder, read_consistently
from formers.files.resolve import Source, resolve_file, resolve_folder

from . import tying
from .arguments import LoadRequest, parse_dtype
from .companions import companion_names, read_companions
from .construction import building_on_meta
from .initialisation import initialise_missing

if TYPE_CHECKING:
    from formers.checkpoint.report import LoadReport
    from formers.config import PreTrainedConfig

    from .base import PreTrainedModel

__all__ = ["LoadRequest", "from_config", "load"]

M = TypeVar("M", bound="PreTrainedModel")


def from_config(
    cls: type[M],
    config: PreTrainedConfig,
    *,
    attn_implementation: str | None,
    dtype: Any,
    kwargs: dict[str, Any],
) -> M:
    """See :meth:`PreTrainedModel.from_config`."""
    wanted = parse_dtype(dtype) or parse_dtype(config.dtype)
    model = cls(config, **kwargs)
    _remember_arguments(model, (), kwargs)
    if wanted is not None and wanted != model.dtype:
        _cast(model, wanted)
    if attn_implementation is not None:
        model.set_attn_implementation(attn_implementation)
    return model


def load(request: LoadRequest) -> PreTrainedModel:
    """See :meth:`PreTrainedModel.from_pretrained`."""
    if request.source is None:
        assert request.config is not None
        assert request.state_dict is not None
        return _assemble(request, request.config, dict(request.overrides), StateDict(request.state_dict))
    if request.source.single_file is not None:
        return _load_file(request, request.source)
    if request.source.is_local:
        return read_consistently(resolve_folder(request.source, ()).path, partial(_load_folder, request))
    return _load_folder(request, _download(request, request.source))


def _load_folder(request: LoadRequest, folder: Folder) -> PreTrainedModel:
    config, arguments = request.config, dict(request.overrides)
    if config is None:
        assert request.source is not None
        file = read_config_file(folder.require(CONFIG_NAME))
        file = file._replace(commit=request.source.commit_of(folder.path))
        config, arguments = from_config_file(request.config_class, file, request.source.name, arguments)
    tensors: TensorSource
    if request.state_dict is not None:
        tensors = StateDict(request.state_dict)
    else:
        files = locate(folder, variant=request.variant, use_safetensors=request.use_safetensors)
        tensors = open_checkpoint(folder, files, request.reading)
    model = _assemble(request, config, arguments, tensors)
    read_companions(model, folder)
    return model


def _load_file(request: LoadRequest, source: Source) -> PreTrainedModel:
    path = source.single_file
    assert path is not None
    return read_consistently(path.parent, lambda _: _load_located(request, source, *locate_file(path)))


def _load_located(
    request: LoadRequest, source: Source, folder: Folder, files: CheckpointFiles
) -> PreTrainedModel:
    if request.config is None:
        file = read_config_file(folder.require(CONFIG_NAME))
        config, arguments = from_config_file(request.config_class, file, source.name, request.overrides)
    else:
        config, arguments = request.config, dict(request.overrides)
    return _assemble(request, config, arguments, open_checkpoint(folder, files, request.reading))


def _download(request: LoadRequest, source: Source) -> Folder:
    """The snapshot folder of a hub repository, with its configuration and the weights that loading will choose."""
    folder = resolve_folder(source, [CONFIG_NAME, *companion_names(request.model_class)])
    if request.state_dict is not None:
        return folder
    for name in candidates(variant=request.variant, use_safetensors=request.use_safetensors):
        path = resolve_file(source, name)
        if path is None:
            continue
        if name.endswith(".json"):
            return resolve_folder(source, locate_file(path)[1].names)
        return folder
    return folder


def _assemble(
    request: LoadRequest, config: PreTrainedConfig, arguments: dict[str, Any], tensors: TensorSource
) -> PreTrainedModel:
    _refuse_quantisation(config, tensors)
    _refuse_more_layers_than_tensors(config, tensors)
    dtype = request.dtype or parse_dtype(config.dtype) or main_dtype(tensors)
    with building_on_meta():
        model = request.model_class(config, *request.model_args, **arguments)
    _remember_arguments(model, request.model_args, arguments)
    if dtype is not None:
        config.dtype = dtype
    declared = _declarations(model)
    report = load_into(
        model,
        tensors,
        declared,
        dtype=dtype,
        device=request.device,
        strict=request.strict,
        ignore_mismatched_sizes=request.ignore_mismatched_sizes,
        check_finite=request.check_finite,
    )
    _complete(model, report, declared, dtype)
    if request.device is not None:
        model.to(request.device)
    model.load_report = report
    if request.attn_implementation is not None:
        model.set_attn_implementation(request.attn_implementation)
    return model.eval()


def _complete(
    model: PreTrainedModel, report: LoadReport, declared: Declarations, dtype: torch.dtype | None
) -> None:
    """Initialise what the checkpoint did not give, and tie what became equal by that."""
    absent = set(report.initialised)
    tensors = chain(
        model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False)
    )
    fresh = sorted(absent | {name for name, tensor in tensors if tensor.is_meta})
    if fresh:
        initialise_missing(model, fresh, dtype)
        report.initialised = fresh
    ties = declared.tied or {}
    if model.config.torchscript:
        tying.tie(model, report.tied)
    tying.tie(model, {alias: name for alias, name in ties.items() if alias in absent and name in absent})


def _declarations(model: PreTrainedModel) -> Declarations:
    """What the class of a model, and those of the models inside it, say about their weights."""
    from .base import PreTrainedModel

    classes = dict.fromkeys(type(module) for module in model.modules() if isinstance(module, PreTrainedModel))
    return Declarations(
        rules=model.key_rules,
        base_prefix=model.base_model_prefix,
        optional=[pattern for cls in classes for pattern in cls.optional_weights],
        ignored=[pattern for cls in classes for pattern in cls.ignored_weights],
        tied=tying.tied_names(model),
        float32=[pattern for cls in classes for pattern in cls.float32_weights],
        apart=_names_of_head(model) if getattr(model.config, "tie_word_embeddings", True) is False else [],
    )


def _names_of_head(model: PreTrainedModel) -> list[str]:
    head = model.get_output_embeddings()
    return (
        [] if head is None else [f"{name}.weight" for name, module in model.named_modules() if module is head]
    )


def _refuse_quantisation(config: PreTrainedConfig, tensors: TensorSource) -> None:
    settings = getattr(config, "quantization_config", None)
    if settings is not None:
        raise ConfigValidationError(
            f"{tensors.label}: the configuration has quantization_config={shorten(settings)}, and no installed plugin "
            "reads quantised weights. Load the checkpoint that it was made from."
        )


def _refuse_more_layers_than_tensors(config: PreTrainedConfig, tensors: TensorSource) -> None:
    layers = getattr(config, "num_hidden_layers", None)
    stored = len(list(tensors.keys()))
    if isinstance(layers, int) and layers > max(stored, 1):
        raise ResourceLimitError(
            f"{tensors.label}: the configuration asks for num_hidden_layers={layers}, but the checkpoint has only "
            f"{stored} tensors. Correct num_hidden_layers in config.json, or load the weights that belong to it."
        )


def _remember_arguments(model: PreTrainedModel, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    model._constructor_arguments = (args, dict(kwargs))


def _cast(model: PreTrainedModel, dtype: torch.dtype) -> None:
    kept = _declarations(model).float32 if dtype == torch.float16 else ()
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and not matches_any(kept, name):
            parameter.data = parameter.data.to(dtype)
