"""The index of a sharded checkpoint: which file holds which tensor."""

from __future__ import annotations

import os

from formers.errors import CorruptFileError, UnsafePathError, shorten
from formers.files.names import contained_name
from formers.files.strict_json import dump_json, read_json

__all__ = ["dump_index", "read_index"]


def read_index(path: str | os.PathLike[str], suffix: str) -> dict[str, str]:
    """Tensor name -> shard name. Every shard name lies inside the folder and ends in ``suffix``.

    ``metadata`` may be missing; nothing in it is used.

    Raises:
        CorruptFileError: not JSON, or ``weight_map`` is missing or not a mapping of strings.
        UnsafePathError: a shard name leads elsewhere or belongs to another format.
    """
    source = os.fspath(path)
    content = read_json(source)
    if not isinstance(content, dict):
        raise CorruptFileError(f"{source}: an object with 'weight_map' is expected, not {shorten(content)}")
    weight_map = content.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CorruptFileError(
            f"{source}: 'weight_map' must map tensor names to shard files, not {shorten(weight_map)}"
        )
    for key, shard in weight_map.items():
        if not isinstance(shard, str):
            raise CorruptFileError(
                f"{source}: weight_map[{shorten(key)}] is {shorten(shard)}; a name is expected"
            )
        contained_name(shard, source=f"{source}: weight_map[{shorten(key)}]")
        if not shard.endswith(suffix):
            raise UnsafePathError(
                f"{source}: weight_map[{shorten(key)}] is {shorten(shard)}; a name ending in {suffix!r} is expected"
            )
    return dict(weight_map)


def dump_index(shards: dict[str, str], *, total_size: int, total_parameters: int) -> str:
    """The text of an index for ``shards`` (tensor name -> shard name); ``total_size`` is in bytes."""
    metadata = {"total_parameters": total_parameters, "total_size": total_size}
    return dump_json({"metadata": metadata, "weight_map": shards})
