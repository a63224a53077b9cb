"""``decode_append`` and ``decode_read``: the kernels as operators of PyTorch, for inference."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from formers.kernels.ops import define, row_major

from . import launch

__all__ = ["append", "append_attention", "read", "read_attention"]

_SHARED = "Tensor bounds, Tensor? real, Tensor? table, float scale, SymInt low, SymInt high, str package"


def append_attention(
    q: Tensor,
    new_key: Tensor,
    new_value: Tensor,
    keys: Tensor,
    values: Tensor,
    bounds: Tensor,
    *,
    scale: float,
    package: str,
    real: Tensor | None = None,
    table: Tensor | None = None,
    low: int = 0,
    high: int = 0,
) -> Tensor:
    """Attention of the newest token of each row over those before it and itself, whose key and value are kept.

    Args:
        q: [rows, heads, head_dim]; float32, float16 or bfloat16.
        new_key: [rows, key heads, head_dim]; the number of key heads divides that of the heads.
        new_value: like ``new_key``.
        keys: [rows, key heads, room, head_dim], the whole room of a cache; ``new_key`` is written to it, at the place
            before the row's end. Nothing is written to a room that is full.
        values: like ``keys``.
        bounds: int32 [2, rows], where the tokens of each row begin and end, the newest included; begins come first.
        scale: factor of the scores.
        package: whose ``tiles.json`` says how rows are cut.
        real: bool [rows, room], False where padding stands.
        table: float32 [heads, low + high + 1], added to the scores by distance, see
            :class:`formers.attention.contract.BiasTable`.
        low: distances below ``-low`` count as ``-low``.
        high: distances above ``high`` count as ``high``.

    Returns:
        [rows, heads, head_dim]; 0 where a row has no real token.

    Raises:
        ValueError: shapes or dtypes do not fit each other, or the cache's last axis is not dense.
    """
    _check(q, keys, values, bounds, real, table, low + high + 1)
    if new_key.shape != new_value.shape or new_key.shape != (*keys.shape[:2], keys.shape[3]):
        raise ValueError(
            f"New keys {tuple(new_key.shape)} and values {tuple(new_value.shape)} do not fit a cache of "
            f"{tuple(keys.shape)}; expected [rows, key heads, head_dim]."
        )
    if len(q) != len(keys):
        raise ValueError(f"{len(q)} rows cannot append to a cache of {len(keys)} rows.")
    if keys.stride(-1) != 1 or values.stride(-1) != 1:
        raise ValueError(f"The cache has strides {keys.stride()}; its last axis must be dense.")
    if not q.dtype == new_key.dtype == new_value.dtype == keys.dtype == values.dtype:
        raise ValueError(f"The cache holds {keys.dtype}, but the new token is {q.dtype}.")
    out: Tensor = append(
        q, new_key, new_value, keys, values, bounds, real, table, scale, low, high, package
    )  # fmt: skip
    return out


def read_attention(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    bounds: Tensor,
    *,
    scale: float,
    package: str,
    real: Tensor | None = None,
    table: Tensor | None = None,
    low: int = 0,
    high: int = 0,
) -> Tensor:
    """Attention of one query a row over keys that are all there, such as an encoder's.

    The arguments are those of :func:`append_attention`; keys and values may have fewer rows, of which consecutive rows
    of queries then share one, with its bounds and its row of ``real``.

    Raises:
        ValueError: shapes or dtypes do not fit each other.
    """
    _check(q, keys, values, bounds, real, table, low + high + 1)
    if not q.dtype == keys.dtype == values.dtype:
        raise ValueError(f"Queries are {q.dtype}, keys {keys.dtype} and values {values.dtype}.")
    out: Tensor = read(q, keys, values, bounds, real, table, scale, low, high, package)
    return out


def _check(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    bounds: Tensor,
    real: Tensor | None,
    table: Tensor | None,
    distances: int,
) -> None:
    sources, key_heads, room, width = keys.shape
    if (
        keys.shape != values.shape
        or q.shape[2] != width
        or q.shape[1] % max(key_heads, 1)
        or q.shape[0] % max(sources, 1)
    ):
        raise ValueError(
            f"Attention of q {tuple(q.shape)} over k {tuple(keys.shape)} and v {tuple(values.shape)}: widths, heads "
            "or rows do not fit."
        )
    if bounds.shape != (2, sources) or (real is not None and real.shape != (sources, room)):
        raise ValueError(
            f"bounds {tuple(bounds.shape)} and mask {None if real is None else tuple(real.shape)} do not fit keys "
            f"{tuple(keys.shape)}; expected [2, rows] and [rows, places]."
        )
    if table is not None and table.shape != (q.shape[1], distances):
        raise ValueError(
            f"The bias table has shape {tuple(table.shape)}; expected {(q.shape[1], distances)}."
        )


def _append(
    q: Tensor, new_key: Tensor, new_value: Tensor, keys: Tensor, values: Tensor, *rest: Any
) -> Tensor:
    return launch.decode(q, (new_key, new_value), keys, values, launch.Call(*rest))


def _read(q: Tensor, keys: Tensor, values: Tensor, *rest: Any) -> Tensor:
    return launch.decode(q, None, row_major(keys), row_major(values), launch.Call(*rest))


def _shapes(q: Tensor, *rest: Any) -> Tensor:
    return torch.empty(q.shape, dtype=q.dtype, device=q.device)


append = define(
    "formers::decode_append",
    f"(Tensor q, Tensor new_key, Tensor new_value, Tensor(a!) keys, Tensor(b!) values, {_SHARED}) -> Tensor",
    _append,
    _shapes,
    mutates=("keys", "values"),
)
read = define(
    "formers::decode_read", f"(Tensor q, Tensor keys, Tensor values, {_SHARED}) -> Tensor", _read, _shapes
)
