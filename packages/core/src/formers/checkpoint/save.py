"""Saving tensors: planned and checked as a whole, then staged in a commit shard by shard."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from formers.errors import shorten
from formers.files.commit import Commit

from .formats import CheckpointFormat, known_formats
from .header import DTYPES
from .index import dump_index
from .rules import KeyRules, Legacy, Rename
from .torch_file import write_with

__all__ = ["parse_size", "plan_shards", "select_tensors", "write_checkpoint"]

_UNITS = {
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}
_FRAME = 1024  # bytes of a file that belong to no tensor, generously
_ENTRY = 100  # bytes that a tensor takes in a header, beside its name


def parse_size(size: int | str) -> int:
    """Bytes of a size such as 5_000_000, ``"5MB"`` or ``"5GiB"``: digits followed by a unit.

    Raises ``ValueError`` for anything else.
    """
    if isinstance(size, int) and not isinstance(size, bool) and size > 0:
        return size
    if isinstance(size, str):
        found = re.fullmatch(r"([0-9]+) ?([KMGT]I?B)", size.strip(), flags=re.IGNORECASE | re.ASCII)
        if found and int(found[1]) > 0:
            return int(found[1]) * _UNITS[found[2].upper()]
    raise ValueError(
        f"max_shard_size={shorten(size)}: digits followed by a unit ({', '.join(_UNITS)}) are expected, as in '5GB'"
    )


def plan_shards(tensors: Mapping[str, Tensor], max_shard_size: int | str) -> list[list[str]]:
    """The names of each shard, in the order of ``tensors``.

    Each file, its header included, is smaller than ``max_shard_size``; a tensor that is larger by itself gets
    a shard of its own.
    """
    limit = parse_size(max_shard_size)
    shards: list[list[str]] = [[]]
    used = _FRAME
    for key, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size() + len(key.encode("utf-8")) + _ENTRY
        if shards[-1] and used + size >= limit:
            shards.append([])
            used = _FRAME
        shards[-1].append(key)
        used += size
    return shards


def select_tensors(
    state_dict: Mapping[str, Tensor],
    *,
    tied: Mapping[str, str] | None = None,
    rules: Sequence[Rename | Legacy] = (),
) -> dict[str, Tensor]:
    """What of a ``state_dict`` is stored, under published names; nothing is copied.

    An alias of ``tied`` (alias -> canonical) is left out if it is the same tensor as its canonical name.
    Other tensors that share memory are stored one by one.

    Raises:
        ValueError: a tensor without data (on the meta device), sparse, quantised or of a type without a name.
        FormersError: the rules are not reversible for a name.
    """
    aliases = {
        alias
        for alias, canonical in (tied or {}).items()
        if alias in state_dict and canonical in state_dict and _same(state_dict[alias], state_dict[canonical])
    }
    kept = {key: tensor for key, tensor in state_dict.items() if key not in aliases}
    for key, tensor in kept.items():
        _check_tensor(key, tensor)
    names = KeyRules(rules).published_names(kept)
    return {names[key]: tensor for key, tensor in kept.items()}


def write_checkpoint(
    commit: Commit,
    state_dict: Mapping[str, Tensor],
    *,
    tied: Mapping[str, str] | None = None,
    rules: Sequence[Rename | Legacy] = (),
    max_shard_size: int | str = "50GB",
    variant: str | None = None,
    safe_serialization: bool = True,
    save_function: Callable[[dict[str, Tensor], Path], object] | None = None,
    checkpoint_format: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> list[str]:
    """Stage the weight files of a model, and the removal of every weight file of this variant that is stale.

    Args:
        commit: the save that the files become part of.
        state_dict: tensors by the model's names.
        tied: alias -> canonical name; stored once where they are one tensor.
        rules: how the model's names map to the published ones.
        max_shard_size: see ``plan_shards``.
        variant: see ``formers.checkpoint.formats``.
        safe_serialization: False writes ``.bin`` pickles instead of safetensors.
        save_function: called as ``save_function(tensors, path)`` for each ``.bin`` file instead of ``torch.save``.
        checkpoint_format: name of a format, such as one that a plugin brings, in place of these two.
        metadata: written into safetensors headers beside ``{"format": "pt"}``.

    Returns:
        The names of the staged files.

    Raises ``ValueError`` before anything is staged if the arguments cannot be saved, ``OSError`` with path,
    needed and free bytes when the disk is full.
    """
    tensors = select_tensors(state_dict, tied=tied, rules=rules)
    shards = plan_shards(tensors, max_shard_size)
    if checkpoint_format is None:
        checkpoint_format = "safetensors" if safe_serialization and save_function is None else "torch"
    elif save_function is not None:
        raise ValueError(
            f"save_function writes .bin files, not {checkpoint_format!r}; pass only one of the two."
        )
    every_format = known_formats()
    one = _writable(every_format, checkpoint_format)
    if len(shards) == 1:
        files = {one.single(variant): shards[0]}
    else:
        files = {one.shard(number, len(shards), variant): keys for number, keys in enumerate(shards, 1)}
    commit.remove(lambda name: any(known.owns(name, variant) for known in every_format))
    for name, keys in files.items():
        part = {key: tensors[key] for key in keys}
        if save_function is not None:
            write_with(save_function, commit, name, part)
        elif one.writer is not None:
            one.writer(commit, name, part, {"format": "pt", **(metadata or {})})
    if len(files) == 1:
        return list(files)
    index = dump_index(
        {key: name for name, keys in files.items() for key in keys},
        total_size=sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()),
        total_parameters=sum(tensor.numel() for tensor in tensors.values()),
    )
    commit.write_text(one.index(variant), index)
    return [*files, one.index(variant)]


def _writable(formats: Sequence[CheckpointFormat], name: str) -> CheckpointFormat:
    names = [known.name for known in formats if known.writer is not None]
    for known in formats:
        if known.name == name and known.writer is not None:
            return known
    raise ValueError(
        f"checkpoint_format={shorten(name)}: no installed package writes it; expected one of "
        f"{', '.join(map(repr, names))}."
    )


def _same(left: Tensor, right: Tensor) -> bool:
    """Whether both are views of the same memory in the same way."""
    return (
        left.device == right.device
        and left.dtype == right.dtype
        and left.shape == right.shape
        and left.stride() == right.stride()
        and left.layout == right.layout == torch.strided
        and not left.is_meta
        and left.data_ptr() == right.data_ptr()
    )


def _check_tensor(key: str, tensor: Tensor) -> None:
    if not isinstance(tensor, Tensor):
        raise ValueError(f"state_dict[{shorten(key)}] is {type(tensor).__name__}; a tensor is expected")
    problem = None
    if tensor.is_meta:
        problem = "has no data (it is on the meta device); load or initialise the weights first"
    elif tensor.layout != torch.strided:
        problem = f"is {tensor.layout}; call .to_dense() first"
    elif tensor.dtype not in DTYPES.values():
        problem = f"has dtype {tensor.dtype}, which checkpoints cannot hold; convert it first"
    if problem is not None:
        raise ValueError(f"state_dict[{shorten(key)}] {problem}")
