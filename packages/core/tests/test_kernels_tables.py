"""Which row of a table of tiles serves a call, and which tables are refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from formers.errors import CorruptFileError
from formers.kernels.tables import Tiles, TunedTable, padded_head_dim


def row(size: int, **conditions: Any) -> dict[str, Any]:
    return {"op": "forward", "blocks": {"BLOCK_Q": size}, **conditions}


CALL: dict[str, Any] = {"dtype": torch.float16, "head_dim": 64, "max_length": 512}


@pytest.mark.parametrize(
    ("conditions", "fits"),
    [
        ({"dtype": "float16"}, True),
        ({"dtype": "float32"}, False),
        ({"head_dim": 64}, True),
        ({"head_dim": 128}, True),
        ({"head_dim": 32}, False),
        ({"max_length": 511}, False),
        ({"max_length": 512, "head_dim": 64, "dtype": "float16"}, True),
        ({"causal": True}, False),
        ({"causal": False}, True),
        ({"note": "a remark is no condition", "dtype": "float16"}, True),
    ],
)
def test_a_row_fits_if_all_its_conditions_hold(conditions: dict[str, Any], fits: bool) -> None:
    table = TunedTable([row(128, **conditions), row(16)])
    assert table.tiles("forward", **CALL)["BLOCK_Q"] == (128 if fits else 16)


def test_flags_are_conditions() -> None:
    table = TunedTable([row(128, causal=True, dropout=False), row(16)])
    assert table.tiles("forward", **CALL, causal=True, dropout=False)["BLOCK_Q"] == 128
    assert table.tiles("forward", **CALL, causal=True)["BLOCK_Q"] == 128
    assert table.tiles("forward", **CALL, causal=True, dropout=True)["BLOCK_Q"] == 16


def test_the_first_row_that_fits_serves() -> None:
    table = TunedTable([row(32, max_length=256), row(64, max_length=1024), row(128)])
    found = [
        table.tiles("forward", **{**CALL, "max_length": length})["BLOCK_Q"] for length in (1, 256, 257, 4096)
    ]
    assert found == [32, 32, 64, 128]


@pytest.mark.parametrize("interpreted", [False, True])
def test_the_interpreter_may_have_rows_of_its_own(interpreted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1" if interpreted else "0")
    table = TunedTable([row(16, backend="interpreter"), row(128)])
    assert table.tiles("forward", **CALL)["BLOCK_Q"] == (16 if interpreted else 128)


def test_tiles_are_the_options_of_a_launch() -> None:
    tiles = Tiles((("BLOCK_Q", 64), ("BLOCK_K", 32)), warps=8, stages=3)
    assert tiles.options() == {"BLOCK_Q": 64, "BLOCK_K": 32, "num_warps": 8, "num_stages": 3}


def test_an_op_without_rows() -> None:
    with pytest.raises(KeyError, match="no row for op 'decode'"):
        TunedTable([row(16)]).tiles("decode", **CALL)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(48)], "powers of two"),
        ([{"op": "forward"}], "powers of two"),
        ([{"blocks": {}}], "op None"),
        ([row(16, causal=True)], "exactly the last row"),
        ([row(16), row(32, causal=True)], "exactly the last row"),
        ([row(16), row(32)], "exactly the last row"),
    ],
)
def test_a_table_that_could_leave_a_call_unserved_is_refused(rows: list[Any], message: str) -> None:
    with pytest.raises(CorruptFileError, match=message):
        TunedTable(rows, "some.json")


def test_widths_of_tiles() -> None:
    assert [padded_head_dim(size) for size in (1, 16, 17, 32, 64, 80, 128)] == [16, 16, 32, 32, 64, 128, 128]
