"""``PreTrainedModel``: a torch module with a configuration, that can be loaded, saved and reshaped.

The class is a table of contents: each method hands its work to the module named after it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor, nn

from formers.config import PreTrainedConfig
from formers.errors import ConfigValidationError, shorten
from formers.files.push import PushToHubMixin
from formers.plugins import registry

from . import attending, initialisation, loading, packing, pruning, saving, tying
from .checkpointing import CheckpointingMixin
from .construction import finishing, is_building_on_meta
from .embeddings import EmbeddingsMixin
from .utilities import ModuleUtilsMixin

if TYPE_CHECKING:
    from formers.attention.report import AttentionReport
    from formers.checkpoint.report import LoadReport
    from formers.losses import LossTerm

__all__ = ["PreTrainedModel"]


class PreTrainedModel(EmbeddingsMixin, CheckpointingMixin, ModuleUtilsMixin, PushToHubMixin):
    """Base class of every model.

    A subclass sets the class attributes, builds its modules in ``__init__(self, config, ...)`` with plain
    ``torch.nn`` and defines ``forward``. Nothing needs to be called at the end of ``__init__``: the outermost
    constructor initialises the weights and ties what ``tied_weights`` declares.

    Class attributes:
        config_class: the configuration class.
        base_model_prefix: attribute under which the heads of the architecture hold the base model.
        main_input_name: name of the main argument of ``forward``.
        key_rules: how published tensor names map to the names of this class (see ``formers.checkpoint.rules``).
        optional_weights: regular expressions of weights that a checkpoint may lack, such as a new head;
            they are initialised, with a warning.
        ignored_weights: regular expressions of stored tensors that are dropped without a word.
        tied_weights: ``alias -> canonical`` names of one shared parameter, applied if
            ``config.tie_word_embeddings``.
        float32_weights: regular expressions of parameters that stay in float32 when float16 is asked, whose range is
            too small for what they make; bfloat16 has the range of float32.
    """

    config_class: ClassVar[type[PreTrainedConfig] | None] = None
    base_model_prefix: ClassVar[str] = ""
    main_input_name: ClassVar[str] = "input_ids"
    key_rules: ClassVar[tuple[Any, ...]] = ()
    optional_weights: ClassVar[tuple[str, ...]] = ()
    ignored_weights: ClassVar[tuple[str, ...]] = ()
    tied_weights: ClassVar[Mapping[str, str]] = {}
    float32_weights: ClassVar[tuple[str, ...]] = ()
    is_parallelizable: ClassVar[bool] = False

    _kind: ClassVar[str] = "model"

    config: PreTrainedConfig
    load_report: LoadReport | None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__:
            cls.__init__ = finishing(cls.__dict__["__init__"])  # type: ignore[method-assign]

    @finishing
    def __init__(self, config: PreTrainedConfig, *inputs: Any, **kwargs: Any) -> None:
        """Store the configuration.

        Raises:
            TypeError: ``config`` is not a configuration object, or there are further arguments.
        """
        if not isinstance(config, PreTrainedConfig):
            raise TypeError(
                f"{type(self).__name__}({shorten(config)}) needs a configuration object. "
                f"To load a checkpoint, call {type(self).__name__}.from_pretrained(...)."
            )
        if inputs or kwargs:
            names = [shorten(value) for value in inputs] + sorted(kwargs)
            raise TypeError(f"{type(self).__name__} got arguments that it does not know: {', '.join(names)}.")
        super().__init__()
        self.config = config
        self.load_report = None
        self._attending = attending.Attending(config)
        self._packing = packing.Packing()

    def _finish_construction(self) -> None:
        if self.config.pruned_heads:
            self.base_model._prune_heads(_as_layers(self.config.pruned_heads))
        attending.find_implementations(self)
        if not is_building_on_meta():
            initialisation.initialise_all(self)
            self.tie_weights()

    def _construct_again(self) -> PreTrainedModel:
        """A second model of the same shape, really initialised; what loading falls back on."""
        return type(self)(self.config, *self._constructor_arguments[0], **self._constructor_arguments[1])

    _constructor_arguments: tuple[tuple[Any, ...], Mapping[str, Any]] = ((), {})

    def _init_weights(self, module: nn.Module) -> None:
        """Initialise one module in place; override for an architecture's own scheme."""
        initialisation.default_init_weights(module, getattr(self.config, "initializer_range", 0.02))

    def post_init(self) -> None:
        """Nothing: construction finishes by itself. For code that was written for transformers."""

    def init_weights(self) -> None:
        """Initialise every weight again and tie what is declared tied."""
        initialisation.initialise_all(self)
        self.tie_weights()

    @classmethod
    def from_config(
        cls,
        config: PreTrainedConfig,
        *,
        attn_implementation: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Build the model with fresh weights; further arguments go to the constructor."""
        return loading.from_config(
            cls, config, attn_implementation=attn_implementation, dtype=dtype, kwargs=kwargs
        )

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | None,
        *model_args: Any,
        config: PreTrainedConfig | str | os.PathLike[str] | None = None,
        state_dict: Mapping[str, Tensor] | None = None,
        output_loading_info: bool = False,
        strict: bool = True,
        ignore_mismatched_sizes: bool = False,
        dtype: str | torch.dtype | None = None,
        torch_dtype: str | torch.dtype | None = None,
        device_map: str | int | torch.device | Mapping[str, Any] | None = None,
        attn_implementation: str | None = None,
        use_safetensors: bool | None = None,
        variant: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Load a model with its weights, in evaluation mode.

        Args:
            pretrained_model_name_or_path: a folder, a single weights file (then ``config`` is needed), the id of a
                repository on the hub, or None when ``config`` and ``state_dict`` are given.
            config: a configuration, or where to find one, in place of the checkpoint's.
            state_dict: weights in place of the checkpoint's.
            output_loading_info: return ``(model, report)``; the report is also ``model.load_report``.
            strict: refuse a checkpoint that lacks weights which the class does not declare optional.
            ignore_mismatched_sizes: initialise tensors of another shape afresh instead of refusing them.
            dtype: dtype of the floating-point weights; ``"auto"`` or None take the configuration's, else the
                checkpoint's. ``torch_dtype`` is its older name.
            device_map: one device for the whole model, such as ``"cuda"`` or ``{"": 0}``.
            attn_implementation: see :meth:`set_attn_implementation`.
            use_safetensors: True refuses pickled weights, False skips safetensors files.
            variant: such as ``"fp16"`` for ``model.fp16.safetensors``.
            kwargs: where to look (``cache_dir``, ``revision``, ``token``, ``subfolder``, ``local_files_only``,
                ``force_download``); how to read (``disable_mmap``, ``check_finite``, ``max_header_bytes``); values
                that override the configuration's; arguments of the constructor. With an explicit ``config`` the
                configuration is left alone.

        Raises:
            LoadError: a file is missing or cannot be read (``CorruptFileError``, ``UnsafePathError`` ...).
            MissingWeightsError: weights are absent that the class does not declare optional.
            ShapeMismatchError: a stored tensor has another shape or kind than the model's.
        """
        request = loading.LoadRequest.from_arguments(
            cls,
            pretrained_model_name_or_path,
            model_args,
            config=config,
            state_dict=state_dict,
            strict=strict,
            ignore_mismatched_sizes=ignore_mismatched_sizes,
            dtype=torch_dtype if dtype is None else dtype,
            device_map=device_map,
            attn_implementation=attn_implementation,
            use_safetensors=use_safetensors,
            variant=variant,
            kwargs=kwargs,
        )
        model = loading.load(request)
        return (model, model.load_report) if output_loading_info else model

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        is_main_process: bool = True,
        state_dict: Mapping[str, Tensor] | None = None,
        save_function: Callable[..., None] | None = None,
        push_to_hub: bool = False,
        max_shard_size: int | str = "50GB",
        safe_serialization: bool = True,
        variant: str | None = None,
        save_config: bool = True,
        checkpoint_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Write the configuration and the weights as one atomic change of the folder.

        A reader, or a crash at any moment, finds the old checkpoint or the new one. Weights files of an earlier save
        with another sharding are removed; other files in the folder stay.

        Args:
            save_directory: created if missing.
            is_main_process: False writes nothing (other ranks of a distributed run).
            state_dict: saved in place of ``self.state_dict()``.
            save_function: called as ``save_function(state_dict, path)`` to write pickled weights; implies
                ``safe_serialization=False``.
            push_to_hub: upload the folder too; ``kwargs`` are those of :meth:`push_to_hub`.
            max_shard_size: largest weights file, as bytes or a text like ``"5MB"``.
            safe_serialization: safetensors files; False writes ``pytorch_model.bin``.
            variant: such as ``"fp16"``, put into the weights' file names.
            save_config: False leaves ``config.json`` out.
            checkpoint_format: name of a format that a plugin writes, in place of what ``safe_serialization`` says.
        """
        if not push_to_hub:
            saving.refuse_unknown(kwargs)
        if is_main_process:
            saving.save(
                self,
                save_directory,
                state_dict=state_dict,
                save_function=save_function,
                max_shard_size=max_shard_size,
                safe_serialization=safe_serialization,
                checkpoint_format=checkpoint_format,
                variant=variant,
                save_config=save_config,
            )
        if push_to_hub:
            self._push_saved(save_directory, {"max_shard_size": max_shard_size, **kwargs})

    def _save_to_push(self, folder: Path, max_shard_size: int | str | None) -> None:
        self.save_pretrained(folder, max_shard_size=max_shard_size or "50GB")

    @classmethod
    def register_for_auto_class(cls, auto_class: str | type = "AutoModel") -> None:
        """Make an Auto class return this class, of your own, for its ``config_class`` in this process.

        A plugin that is installed needs no registration. Code is never copied into a model's folder or run from one.

        Raises:
            ConfigValidationError: ``auto_class`` is no Auto class of models, or there is no ``config_class``.
            PluginConflictError: another class serves the configuration; ``AutoModel.register`` can replace it.
        """
        name = auto_class if isinstance(auto_class, str) else auto_class.__name__
        if not name.startswith("AutoModel") or cls.config_class is None:
            raise ConfigValidationError(
                f"{cls.__name__}.register_for_auto_class({shorten(auto_class)}): an Auto class of models, such as "
                f"'AutoModel', is expected, and a class with a config_class; this one has {cls.config_class}."
            )
        registry.register_class(name, cls.config_class, cls, exist_ok=cls.__dict__.get("_auto_class") == name)
        cls._auto_class = name

    _auto_class: ClassVar[str | None] = None

    @property
    def base_model(self) -> Any:
        """The model without its head; a bare model is its own base."""
        return getattr(self, self.base_model_prefix, self) if self.base_model_prefix else self

    @property
    def dummy_inputs(self) -> dict[str, Tensor]:
        """Inputs that run through ``forward``: three short sequences, with padding on the right of the last."""
        size = getattr(self.config.get_text_config(), "vocab_size", None) or 8
        ids = torch.arange(12, device=self.device).reshape(3, 4) % size
        mask = torch.ones_like(ids)
        mask[2, 2:] = 0
        return {"input_ids": ids, "attention_mask": mask}

    @property
    def name_or_path(self) -> str:
        """What was given to ``from_pretrained``; empty for a model made in code."""
        return str(self.config.name_or_path)

    @classmethod
    def can_generate(cls) -> bool:
        """Whether ``generate`` works on this class."""
        return callable(getattr(cls, "generate", None))

    def _ties(self) -> Mapping[str, str]:
        """``alias -> canonical`` names that hold for this configuration."""
        return self.tied_weights if getattr(self.config, "tie_word_embeddings", True) else {}

    def tie_weights(self) -> None:
        """Make the declared aliases share their canonical parameter."""
        tying.tie(self, tying.tied_names(self))

    def prune_heads(self, heads_to_prune: Mapping[int, Iterable[int]]) -> None:
        """Remove attention heads, given per layer and numbered as in the unpruned model: ``{1: [0, 2]}``."""
        pruning.prune_heads(self, heads_to_prune)

    def _prune_heads(self, heads_to_prune: Mapping[int, Iterable[int]]) -> None:
        raise NotImplementedError(f"{type(self).__name__} cannot prune heads.")

    def set_attn_implementation(self, attn_implementation: str | None) -> None:
        """Choose the attention by name; None or ``"auto"`` chooses the best that can serve each call.

        Several names with commas between them choose the first that can: ``"toy_decode,sdpa"``.

        Raises:
            AttentionUnsupported: no implementation of that name is installed.
        """
        attending.choose(self, attn_implementation)

    def set_packing(self, mode: packing.PackingMode) -> None:
        """Choose whether padded batches run without their padding, as documents one after another.

        Args:
            mode: ``"auto"``, the default, where that is faster; ``"always"``, wherever it is possible; ``"never"``.

        Raises:
            ValueError: there is no such mode.
        """
        packing.choose(self, mode)

    def attention_report(self) -> AttentionReport:
        """Which implementation served each kind of call so far, why better ones were passed over, what was packed."""
        return attending.report(self)

    def loss_terms(self, **batch: Any) -> Mapping[str, LossTerm]:
        """The sum and the count of each term of the loss for a batch with labels.

        Sums and counts add over micro-batches and ranks, so that ``sum(sums) / sum(counts)`` is exact however a batch
        is split.

        Raises:
            ValueError: the batch holds no labels.
        """
        terms: Mapping[str, LossTerm] | None = getattr(self(**batch, return_dict=True), "loss_terms", None)
        if not terms:
            raise ValueError(
                f"{type(self).__name__}.loss_terms needs labels in the batch; got {sorted(batch)}."
            )
        return terms


def _as_layers(pruned: Mapping[Any, Iterable[int]]) -> dict[int, list[int]]:
    return {int(layer): sorted(heads) for layer, heads in pruned.items()}  # JSON keys are strings
