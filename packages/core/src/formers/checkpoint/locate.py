"""Which files of a folder make up its checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from formers.errors import FormersWarning, LoadError, shorten, warn
from formers.files.folder import Folder
from formers.files.names import flat_name

from .formats import CheckpointFormat, known_formats
from .index import read_index

__all__ = ["CheckpointFiles", "candidates", "locate", "locate_file"]

_FOREIGN = {
    "tf_model.h5": "TensorFlow",
    "model.ckpt.index": "TensorFlow 1",
    "flax_model.msgpack": "Flax",
}


@dataclass(frozen=True, slots=True)
class CheckpointFiles:
    """The files of one checkpoint: one weight file, or an index and its shards."""

    format: CheckpointFormat
    names: tuple[str, ...]
    """The weight files, in the order in which they are opened."""
    index: str | None = None
    weight_map: dict[str, str] = field(default_factory=dict)
    """Tensor name -> weight file, as the index says; empty for a single file."""


def candidates(*, variant: str | None = None, use_safetensors: bool | None = None) -> list[str]:
    """Names to look for, in this order: the first that exists decides. An index names further files."""
    _check_variant(variant)
    formats = known_formats(use_safetensors=use_safetensors)
    return [name for one in formats for name in (one.single(variant), one.index(variant))]


def locate(
    folder: Folder, *, variant: str | None = None, use_safetensors: bool | None = None
) -> CheckpointFiles:
    """The checkpoint of a folder; an index is read and checked, no weight file is opened.

    Safetensors come before pickles, a single file before shards, as in transformers. Saving removes what is
    stale, so a folder with both was not saved by this library; a ``FormersWarning`` says which one is read.

    Raises:
        LoadError: there are no weights; the message says what is there instead.
        CorruptFileError, UnsafePathError: the index cannot be used.
    """
    _check_variant(variant)
    for one in known_formats(use_safetensors=use_safetensors):
        single, index = folder.file(one.single(variant)), folder.file(one.index(variant))
        if single is not None:
            if index is not None:
                warn(
                    f"{folder.path} holds both {one.single(variant)} and {one.index(variant)}. The first is read; "
                    "delete the one that is out of date.",
                    FormersWarning,
                )
            return CheckpointFiles(one, (one.single(variant),))
        if index is not None:
            return _sharded(one, index, one.index(variant))
    raise LoadError(_nothing_found(folder, variant, use_safetensors))


def locate_file(path: Path) -> tuple[Folder, CheckpointFiles]:
    """The checkpoint that a path to a single weight file, or to an index, means."""
    folder = Folder.open(path.parent)
    folder.require(path.name)
    for one in known_formats():
        if path.name.endswith(one.suffix):
            return folder, CheckpointFiles(one, (path.name,))
        if path.name.startswith(f"{one.stem}{one.suffix}.index."):
            return folder, _sharded(one, folder.require(path.name), path.name)
    known = ", ".join(one.suffix for one in known_formats())
    raise LoadError(f"{path}: no installed format reads this file; known suffixes: {known}")


def _sharded(one: CheckpointFormat, index: Path, name: str) -> CheckpointFiles:
    weight_map = read_index(index, one.suffix)
    return CheckpointFiles(one, tuple(sorted(set(weight_map.values()))), name, weight_map)


def _check_variant(variant: str | None) -> None:
    if variant is None:
        return
    if flat_name(variant, source="variant").strip(".") != variant:
        raise ValueError(f"variant={shorten(variant)}: a word like 'fp16' is expected")


def _nothing_found(folder: Folder, variant: str | None, use_safetensors: bool | None) -> str:
    looked_for = ", ".join(candidates(variant=variant, use_safetensors=use_safetensors))
    message = f"no weights in {folder.path}: looked for {looked_for}."
    names = folder.names()
    if use_safetensors is not None:
        others = [one for one in known_formats() if any(one.owns(name, variant) for name in names)]
        if others:
            message += (
                f" There are {others[0].name} weights, but use_safetensors={use_safetensors} refuses them."
            )
    if variant is not None and any(one.owns(name) for one in known_formats() for name in names):
        message += f" There are weights without the variant {variant!r}; leave variant out to load them."
    for name, framework in _FOREIGN.items():
        if name in names:
            message += f" {name} is a {framework} checkpoint; convert it to safetensors first."
    return f"{message} Found: {', '.join(names[:20]) or 'nothing'}{' ...' if len(names) > 20 else ''}"
