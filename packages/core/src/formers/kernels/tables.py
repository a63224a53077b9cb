"""Sizes of tiles as data: a JSON file in each package says which suit which call, as measured on a GPU.

``triton.autotune`` would measure them anew in every process, could not run without a GPU, and would make a forward's
last bits depend on the noise of a clock; see docs/adr/0015. ``tools/tune_attention.py`` writes the files. One is a
list of rows, and the first row that fits serves the call::

    {"measured_on": "NVIDIA H200, triton 3.6.0",
     "rows": [
       {"op": "forward", "dtype": "float16", "head_dim": 64, "max_length": 512,
        "blocks": {"BLOCK_Q": 128, "BLOCK_K": 64}, "warps": 4, "stages": 3},
       {"op": "forward", "blocks": {"BLOCK_Q": 64, "BLOCK_K": 64}, "warps": 4, "stages": 3}]}

A row fits if each of its conditions holds: ``op``, ``dtype`` (or one of a list), ``backend`` ("interpreter" or "gpu")
and flags such as ``causal`` are equal; ``head_dim`` and ``max_length`` are no less than the call's. A condition that is
left out holds always, and the last row of an op has none.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import torch

from formers.errors import CorruptFileError, shorten
from formers.files.strict_json import parse_json

from .support import interpreting

__all__ = ["Tiles", "TunedTable", "conditions_of", "padded_head_dim"]

_SETTINGS = {"blocks", "warps", "stages", "note"}
_UP_TO = {"head_dim", "max_length"}


@dataclass(frozen=True, slots=True)
class Tiles:
    """How one launch is cut: the sizes of blocks by name, warps of a program, stages of its pipeline."""

    blocks: tuple[tuple[str, int], ...]
    warps: int = 4
    stages: int = 2

    def __getitem__(self, name: str) -> int:
        """The size of a block."""
        return dict(self.blocks)[name]

    def options(self) -> dict[str, int]:
        """The keyword arguments of a launch."""
        return {**dict(self.blocks), "num_warps": self.warps, "num_stages": self.stages}


class TunedTable:
    """The rows of one file; see the module's text.

    Args:
        rows: conditions and settings.
        source: for error messages.

    Raises:
        CorruptFileError: a row has no blocks or sizes that are no power of two, an op has no last row without
            conditions, or that row is not its last.
    """

    def __init__(self, rows: list[dict[str, Any]], source: str = "a table of tiles") -> None:
        self._rows = [(conditions_of(row), _tiles(row, source)) for row in rows]
        self._source = source
        self._found: dict[tuple[Any, ...], Tiles] = {}
        for op in {conditions.get("op") for conditions, _ in self._rows}:
            defaults = [len(conditions) == 1 for conditions, _ in self._rows if conditions.get("op") == op]
            if op is None or not defaults[-1] or any(defaults[:-1]):
                raise CorruptFileError(
                    f"{source}: exactly the last row of op {op!r} must have no condition beside 'op'."
                )

    @classmethod
    @functools.cache
    def of(cls, package: str, name: str = "tiles.json") -> TunedTable:
        """The file of that name beside the modules of a package, read once."""
        source = f"{package}/{name}"
        data = parse_json(files(package).joinpath(name).read_text("utf-8"), source)
        if not isinstance(data, dict) or not isinstance(data.get("rows"), list):
            raise CorruptFileError(f"{source}: expected an object with a list 'rows', got {shorten(data)}.")
        return cls(data["rows"], source)

    def tiles(
        self, op: str, *, dtype: torch.dtype, head_dim: int, max_length: int, **flags: bool | int
    ) -> Tiles:
        """The settings for a call.

        Raises:
            KeyError: the table has no rows for that op.
        """
        key = (op, dtype, head_dim, max_length, *sorted(flags.items()))
        found = self._found.get(key)
        if found is None:
            call = {"op": op, "dtype": str(dtype).removeprefix("torch."), "head_dim": head_dim}
            backend = "interpreter" if interpreting() else "gpu"
            found = self._find({**call, "max_length": max_length, "backend": backend, **flags})
            if len(self._found) < 4096:
                self._found[key] = found
        return found

    def _find(self, call: dict[str, Any]) -> Tiles:
        for conditions, tiles in self._rows:
            if all(_holds(name, wanted, call) for name, wanted in conditions.items()):
                return tiles
        raise KeyError(f"{self._source} has no row for op {call['op']!r}.")


def padded_head_dim(head_dim: int) -> int:
    """The width of a tile that holds a head: a power of two, and at least 16 for the matrix instructions."""
    return max(16, 1 << (head_dim - 1).bit_length())


def conditions_of(row: dict[str, Any]) -> dict[str, Any]:
    """When a row fits: all in it that is no setting."""
    return {name: value for name, value in row.items() if name not in _SETTINGS}


def _holds(name: str, wanted: Any, call: dict[str, Any]) -> bool:
    if name in _UP_TO:
        return bool(call[name] <= wanted)
    given = call.get(name, False)
    return given in wanted if isinstance(wanted, list) else bool(given == wanted)


def _tiles(row: dict[str, Any], source: str) -> Tiles:
    blocks = row.get("blocks")
    if not isinstance(blocks, dict) or not all(_is_power_of_two(size) for size in blocks.values()):
        raise CorruptFileError(f"{source}: 'blocks' must map names to powers of two, got {shorten(blocks)}.")
    return Tiles(tuple(blocks.items()), row.get("warps", 4), row.get("stages", 2))


def _is_power_of_two(value: object) -> bool:
    return isinstance(value, int) and value > 0 and value & (value - 1) == 0
