"""From a model to the files of a checkpoint, as one commit."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from formers.checkpoint.save import write_checkpoint
from formers.config.reading import CONFIG_NAME
from formers.files.commit import Commit

from . import tying
from .companions import companion_texts

if TYPE_CHECKING:
    from formers.config import PreTrainedConfig

    from .base import PreTrainedModel

__all__ = ["refuse_unknown", "save"]

# Arguments of transformers that mean nothing unless the folder is uploaded or belongs to an adapter.
_WITHOUT_EFFECT = frozenset({"save_original_format", "save_peft_format", "token", "use_auth_token"})


def refuse_unknown(kwargs: Mapping[str, object]) -> None:
    """Refuse arguments of ``save_pretrained`` that only an upload, or nothing, knows.

    Raises:
        TypeError: names them.
    """
    unknown = sorted(kwargs.keys() - _WITHOUT_EFFECT)
    if unknown:
        raise TypeError(f"save_pretrained() got {', '.join(unknown)}, but push_to_hub is not set.")


def save(
    model: PreTrainedModel,
    folder: str | os.PathLike[str],
    *,
    state_dict: Mapping[str, Tensor] | None,
    save_function: Callable[..., None] | None,
    max_shard_size: int | str,
    safe_serialization: bool,
    checkpoint_format: str | None,
    variant: str | None,
    save_config: bool,
) -> None:
    """See :meth:`PreTrainedModel.save_pretrained`."""
    config = _saved_config(model)
    text = config.to_json_string()
    companions = companion_texts(model)
    tensors = model.state_dict() if state_dict is None else state_dict
    with Commit(folder) as commit:
        write_checkpoint(
            commit,
            tensors,
            tied=tying.tied_names(model),
            rules=model.key_rules,
            max_shard_size=max_shard_size,
            variant=variant,
            safe_serialization=safe_serialization,
            save_function=save_function,
            checkpoint_format=checkpoint_format,
        )
        if save_config:
            commit.write_text(CONFIG_NAME, text)
            for name, companion in companions.items():
                commit.write_text(name, companion)


def _saved_config(model: PreTrainedModel) -> PreTrainedConfig:
    """The configuration with the class and the dtype of these weights; the model's own stays as it is."""
    config = copy.deepcopy(model.config)
    config.architectures = [type(model).__name__]
    config.dtype = str(model.dtype).removeprefix("torch.")
    config.validate()
    return config
