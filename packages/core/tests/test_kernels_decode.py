"""The split-KV kernels beside float64: lengths around tiles and parts, poisoned caches, shared rows, every dtype."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from formers.kernels import parity

if reason := parity.why_not():
    pytest.skip(reason, allow_module_level=True)

from formers.kernels.decode import launch, ops, tuning
from formers.kernels.offline import compile_elsewhere
from formers.kernels.tables import Tiles

pytestmark = pytest.mark.kernels

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
BLOCK, SPLITS = 16, 4
TILES = Tiles((("BLOCK_K", BLOCK), ("SPLITS", SPLITS)), 1, 1)
ONE_PART = Tiles((("BLOCK_K", BLOCK), ("SPLITS", 1)), 1, 1)


@dataclass
class Step:
    """One decode step over a cache whose unfilled places, and whose padding, hold NaN.

    Attributes:
        spans: where the keys of each row begin and end, the newest included.
        holes: (row, place) that no query may read.
        fresh: whether the newest key is to be appended; else it is in the cache already.
    """

    spans: list[tuple[int, int]]
    room: int = 80
    heads: int = 2
    key_heads: int = 2
    head_dim: int = 16
    dtype: torch.dtype = torch.float32
    band: tuple[int, int] | None = None
    holes: list[tuple[int, int]] = field(default_factory=list)
    fresh: bool = True
    copies: int = 1

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(0)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator).to(self.dtype)

        sources, width = len(self.spans), self.head_dim
        q = torch.full((sources * self.copies, self.heads, 2 * width), torch.nan, dtype=self.dtype)
        q[..., :width] = normal(sources * self.copies, self.heads, width)
        self.q = q.to(parity.DEVICE)[..., :width]
        self.full = normal(2, sources, self.key_heads, self.room, width)
        cache = self.full.clone()
        for row, (start, end) in enumerate(self.spans):
            cache[:, row, :, :start] = torch.nan
            cache[:, row, :, max(start, end - self.fresh) :] = torch.nan
        self.keys, self.values = cache.to(parity.DEVICE)
        newest = torch.tensor([end - 1 for _, end in self.spans], dtype=torch.int64).clamp(0, self.room - 1)
        new = self.full[:, torch.arange(sources), :, newest].transpose(0, 1)  # [2, sources, heads, width]
        self.new = new.to(parity.DEVICE) if self.fresh else None
        self.bounds = torch.tensor(self.spans, dtype=torch.int32).view(-1, 2).T.contiguous().to(parity.DEVICE)
        self.real = torch.ones(sources, self.room, dtype=torch.bool)
        for row, place in self.holes:
            self.real[row, place] = False
        self.table = None
        if self.band is not None:
            self.table = torch.randn(self.heads, sum(self.band) + 1, generator=generator).to(parity.DEVICE)

    def call(self, tiles: Tiles = TILES) -> launch.Call:
        real = self.real.to(parity.DEVICE) if self.holes else None
        low, high = self.band or (0, 0)
        return launch.Call(self.bounds, real, self.table, 0.3, low, high, tiles=tiles)

    def run(self, tiles: Tiles = TILES) -> Tensor:
        new = None if self.new is None else (self.new[0], self.new[1])
        with parity.poisoned():
            return launch.decode(self.q, new, self.keys, self.values, self.call(tiles)).cpu()

    def reference(self) -> Tensor:
        """In float64, from all that the cache should hold."""
        out = torch.zeros(self.q.shape, dtype=torch.float64)
        for row in range(len(self.q)):
            source = row // self.copies
            start, end = self.spans[source]
            places = torch.tensor(
                [at for at in range(start, end) if self.real[source, at]], dtype=torch.int64
            )
            for head in range(self.heads if len(places) else 0):
                keys, values = self.full[:, source, head // (self.heads // self.key_heads), places].double()
                scores = keys @ self.q[row, head].double().cpu() * 0.3
                if self.band is not None and self.table is not None:
                    low, high = self.band
                    scores += self.table[head].cpu()[(places - (end - 1)).clamp(-low, high) + low]
                out[row, head] = scores.softmax(0) @ values
        return out

    def check(self, found: Tensor) -> None:
        parity.check({"out": found}, {"out": self.reference()}, self.dtype)
        for cache, full in zip((self.keys.cpu(), self.values.cpu()), self.full, strict=True):
            for row, (start, end) in enumerate(self.spans):
                assert torch.equal(cache[row, :, start:end], full[row, :, start:end]), "what the cache keeps"
                assert cache[row, :, end:].isnan().all(), "nothing is written behind the newest"
                assert cache[row, :, :start].isnan().all(), "nothing is written before the first"


AROUND_A_TILE = [(0, BLOCK + by) for by in (-15, -1, 0, 1)]
AROUND_PARTS = [(0, BLOCK * SPLITS + by) for by in (-1, 0, 1)] + [(0, 2 * BLOCK + 1)]


@pytest.mark.parametrize("tiles", [TILES, ONE_PART], ids=["parts", "one part"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_lengths_around_tiles_and_parts(dtype: torch.dtype, tiles: Tiles) -> None:
    step = Step(AROUND_A_TILE + AROUND_PARTS, dtype=dtype, head_dim=20, heads=1, key_heads=1)
    step.check(step.run(tiles))


@pytest.mark.parametrize("head_dim", [16, 17, 64, 80, 128])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_heads_of_every_size(head_dim: int, dtype: torch.dtype) -> None:
    step = Step([(0, 35)], head_dim=head_dim, dtype=dtype, heads=1, key_heads=1)
    step.check(step.run())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("band", [(5, 0), (40, 0), (7, 3), (0, 0)], ids=str)
def test_a_bias_by_distance(band: tuple[int, int], dtype: torch.dtype) -> None:
    step = Step([(0, 35), (30, 35)], band=band, dtype=dtype)
    step.check(step.run())


def test_padding_on_the_left_and_holes() -> None:
    spans = [(0, 40), (3, 40), (39, 40), (16, 40)]
    step = Step(spans, holes=[(0, 7), (0, 16), (3, 39), *((3, at) for at in range(16, 33))], band=(9, 0))
    step.check(step.run())


@pytest.mark.parametrize("tiles", [TILES, ONE_PART], ids=["parts", "one part"])
def test_rows_that_may_read_nothing_get_zero(tiles: Tiles) -> None:
    """All masked, and without keys."""
    step = Step([(0, 20), (0, 20)], holes=[(0, at) for at in range(80)])
    found = step.run(tiles)
    step.check(found)
    assert not found[0].any()
    assert found[1].any()
    nothing = Step([(4, 4), (0, 5)], fresh=False).run(tiles)
    assert not nothing[0].any()


def test_heads_may_share_keys() -> None:
    step = Step([(0, 35), (2, 35)], heads=4, key_heads=2)
    step.check(step.run())


@pytest.mark.parametrize("copies", [1, 3])
def test_keys_that_are_all_there(copies: int) -> None:
    """Cross-attention; of several rows that share a source, too. Its keys may be a view."""
    step = Step([(0, 17), (4, 70), (0, 1)], fresh=False, copies=copies)
    step.keys, step.values = (
        tensor.transpose(1, 2).contiguous().transpose(1, 2) for tensor in (step.keys, step.values)
    )
    step.check(step.run())


def test_a_full_cache_is_not_written_behind_its_end() -> None:
    """Nothing may wait for the device to find out; memory of others stays as it is."""
    step = Step([(0, 33), (0, 33)], room=32)
    guarded = torch.full((4, 2, 32, 16), 7.0, device=parity.DEVICE)
    step.keys = guarded[1:3]
    step.keys.copy_(step.full[0])
    step.run()
    assert (guarded[0] == 7).all()
    assert (guarded[3] == 7).all()
    assert torch.equal(guarded[1:3].cpu(), step.full[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_batch_mates_padding_and_a_second_run_change_no_bit(dtype: torch.dtype) -> None:
    spans = [(0, 70), (20, 70), (69, 70)]
    together = Step(spans, dtype=dtype, band=(9, 0))
    found = together.run()
    assert torch.equal(found, together.run())
    for row, (start, end) in enumerate(spans):
        alone = replace(together, spans=[(0, end - start)])
        alone.q, alone.table = together.q[row : row + 1], together.table
        for name in ("keys", "values"):
            moved = torch.full_like(getattr(alone, name), torch.nan)
            moved[0, :, : end - start] = getattr(together, name)[row, :, start:end]
            setattr(alone, name, moved)
        assert together.new is not None
        alone.new = together.new[:, row : row + 1]
        assert torch.equal(alone.run()[0], found[row])


@pytest.mark.parametrize("splits", [1, 2, 8])
@pytest.mark.parametrize("block", [8, 32])
def test_every_tiling_computes_the_same(block: int, splits: int) -> None:
    step = Step([(0, 70), (33, 70)], heads=1, key_heads=1, holes=[(0, 2)])
    step.check(step.run(Tiles((("BLOCK_K", block), ("SPLITS", splits)), 1, 1)))


def test_no_rows() -> None:
    assert Step([]).run().shape == (0, 2, 16)


class TestOperators:
    """They find their tiles in a package's table."""

    @pytest.fixture(autouse=True)
    def package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "toy_decode_tiles").mkdir()
        (tmp_path / "toy_decode_tiles" / "__init__.py").touch()
        rows = [{"op": "split", "blocks": dict(TILES.blocks), "warps": 1, "stages": 1}]
        (tmp_path / "toy_decode_tiles" / "tiles.json").write_text(json.dumps({"rows": rows}))
        monkeypatch.syspath_prepend(tmp_path)

    def options(self, step: Step) -> dict[str, Any]:
        low, high = step.band or (0, 0)
        given = {"scale": 0.3, "table": step.table, "low": low, "high": high}
        real = step.real.to(parity.DEVICE) if step.holes else None
        return {**given, "real": real, "package": "toy_decode_tiles"}

    def test_appending_and_reading(self) -> None:
        step = Step([(0, 35), (2, 35)], band=(5, 0), holes=[(0, 4)])
        assert step.new is not None
        cache = step.keys, step.values
        found = ops.append_attention(step.q, *step.new, *cache, step.bounds, **self.options(step))
        step.check(found.cpu())
        again = ops.read_attention(step.q, *cache, step.bounds, **self.options(step))
        assert torch.equal(found, again)

    @pytest.mark.parametrize("appends", [True, False])
    def test_they_keep_their_promises_to_pytorch(self, appends: bool) -> None:
        step = Step([(0, 18), (2, 18)], band=(5, 0), holes=[(0, 4)], room=20, fresh=appends)
        step.keys.nan_to_num_()
        step.values.nan_to_num_()
        given = () if step.new is None else tuple(step.new)
        rest = (step.bounds, step.real.to(parity.DEVICE), step.table, 0.3, 5, 0, "toy_decode_tiles")
        operator = ops.append if appends else ops.read
        torch.library.opcheck(operator, (step.q, *given, step.keys, step.values, *rest))

    def test_a_graph_holds_them(self) -> None:
        def two_steps(q: Tensor, new: Tensor, keys: Tensor, values: Tensor, bounds: Tensor) -> Tensor:
            out = ops.append_attention(q, new[0], new[1], keys, values, bounds, **options)
            return ops.append_attention(out.sin(), new[0], new[1], keys, values, bounds + ends, **options)

        torch._dynamo.reset()
        step = Step([(0, 17), (2, 17)], room=24)
        assert step.new is not None
        options, ends = self.options(step), torch.tensor([[0], [1]], dtype=torch.int32, device=parity.DEVICE)
        compiled = torch.compile(two_steps, backend="aot_eager", fullgraph=True)
        results = []
        for function in (two_steps, compiled):
            cache = step.keys.clone(), step.values.clone()
            results.append((function(step.q, step.new, *cache, step.bounds), *cache))
        for ours, theirs in zip(*results, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)
        torch._dynamo.reset()

    @pytest.mark.parametrize("reach", [0, 5])
    def test_what_tuning_tries_runs(self, monkeypatch: pytest.MonkeyPatch, reach: int) -> None:
        monkeypatch.setattr(tuning, "HEADS", 1)
        device = torch.device(parity.DEVICE)
        options: dict[str, Any] = {"head_dims": (16,), "lengths": (20,), "reach": reach}
        (problem,) = tuning.problems(device, "toy_decode_tiles", **options)
        assert len(set(problem.choices)) == len(problem.choices)
        first, other = problem.run(problem.choices[0]), problem.run(problem.choices[-1])
        assert first
        torch.testing.assert_close(first, other)

    def test_there_is_no_gradient(self) -> None:
        step = Step([(0, 5)])
        assert step.new is not None
        q = step.q.detach().requires_grad_()
        out = ops.append_attention(q, *step.new, step.keys, step.values, step.bounds, **self.options(step))
        with pytest.raises(RuntimeError, match="decode_append"):
            out.sum().backward()

    @pytest.mark.parametrize(
        ("name", "change", "message"),
        [
            ("q", lambda q: q[:1], "cannot append|do not fit"),
            ("q", lambda q: q[..., :8], "do not fit"),
            ("q", lambda q: q.half(), "float16"),
            ("values", lambda values: values[:, :, :8], "do not fit"),
            ("keys", lambda keys: keys.expand(2, -1, -1, -1).mT, "do not fit|dense"),
            ("new_key", lambda new: new[:1], "do not fit"),
            ("bounds", lambda bounds: bounds[:, :1], "bounds"),
            ("table", lambda table: table[:, :3], "bias table"),
            ("real", lambda real: real[:, :3], "mask"),
        ],
    )
    def test_what_does_not_fit(self, name: str, change: Any, message: str) -> None:
        step = Step([(0, 7), (2, 7)], band=(5, 0), holes=[(0, 4)], room=16)
        assert step.new is not None
        shared = {"q": step.q, "keys": step.keys, "values": step.values, "bounds": step.bounds}
        shared |= self.options(step)
        new = {"new_key": step.new[0], "new_value": step.new[1]}
        changed = {name: change((shared | new)[name])}
        with pytest.raises(ValueError, match=message):
            ops.append_attention(**(shared | new | changed))

    def test_reading_other_widths_and_dtypes(self) -> None:
        step = Step([(0, 7)], fresh=False)
        with pytest.raises(ValueError, match="do not fit"):
            ops.read_attention(step.q[..., :8], step.keys, step.values, step.bounds, **self.options(step))
        with pytest.raises(ValueError, match="float64"):
            ops.read_attention(
                step.q, step.keys.double(), step.values.double(), step.bounds, **self.options(step)
            )


LAUNCHES = """
import torch
from formers.kernels.decode import launch
from formers.kernels.tables import Tiles
bounds, real = torch.tensor([[0, 0], [5, 5]], dtype=torch.int32), torch.ones(2, 256, dtype=torch.bool)
for dtype, head_dim, splits in ((torch.float16, 64, 8), (torch.bfloat16, 80, 1)):
    tiles = Tiles((("BLOCK_K", 32), ("SPLITS", splits)), 4, 2)
    q, k, v = torch.zeros(2, 3, 12, head_dim, dtype=dtype).unbind(1)
    keys = torch.zeros(2, 12, 256, head_dim, dtype=dtype)
    table = torch.zeros(12, 129)
    launch.decode(q, (k, v), keys, keys, launch.Call(bounds, real, table, 0.125, 128, 0, tiles=tiles))
    launch.decode(q, None, keys[:1], keys[:1], launch.Call(bounds[:, :1], None, None, 0.125, tiles=tiles))
"""


def test_they_fit_an_h200() -> None:
    found = compile_elsewhere(LAUNCHES)
    assert [one.name for one in found] == ["split", "combine"] * 2 + ["split"] * 2
    for one in found:
        assert one.stack == 0, f"{one.name} keeps {one.stack} bytes of each thread outside its registers"
        assert one.registers <= 168
