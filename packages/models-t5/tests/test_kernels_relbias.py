"""The kernels with a bias by distance beside float64: every dtype, head size and odd length, forward and backward."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest
import torch
from torch import Tensor

from formers.kernels import parity

if reason := parity.why_not():
    pytest.skip(reason, allow_module_level=True)

from formers.attention import BiasTable
from formers.kernels.dropout import threshold_of
from formers.kernels.parity import Case, Inputs
from formers.kernels.spans import Spans
from formers.kernels.tables import Tiles
from formers_t5.kernels import launch, ops
from formers_t5.kernels.distances import EDGE, extended

pytestmark = pytest.mark.kernels

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
BANDS = [pytest.param((21, 13), False, id="both ways"), pytest.param((21, 0), True, id="causal")]
NAMES = ("q", "k", "v", "table")


def run(inputs: Inputs, **options: Any) -> dict[str, Tensor]:
    """The output and all gradients, with every uninitialised buffer full of NaN."""
    leaves = inputs.leaves()
    with parity.poisoned():
        out = call(inputs, leaves, **options)
        gradients = torch.autograd.grad(out, leaves, inputs.grad)
    return {"out": out.detach(), **dict(zip(NAMES, gradients, strict=False))}


def call(inputs: Inputs, leaves: list[Tensor], **options: Any) -> Tensor:
    case, (q, k, v), bias = inputs.case, leaves[:3], None
    if case.band is not None:
        bias = ops.distances_of(BiasTable(leaves[3], *case.band), causal=case.causal)
    return ops.relative_attention(q, k, v, inputs.query, inputs.key, scale=case.scale, bias=bias, **options)


def launched(inputs: Inputs, **changes: Any) -> dict[str, Tensor]:
    """What :func:`run` gives, without autograd, with the tiles of ``changes``."""
    case = inputs.case
    low, high = case.band or (0, 0)
    table = None if inputs.table is None else extended(inputs.table, low, high, causal=case.causal)
    given = launch.Matrices(inputs.q, inputs.k, inputs.v, table, None, None, inputs.query, inputs.key)
    settings = launch.Settings(case.scale, low, high, case.causal, **changes)
    with parity.poisoned():
        out, lse = launch.forward(given, settings)
        calls = launch.Backward(inputs.grad, out, lse, given, settings, trained=table is not None)
        q = calls.queries()
        k, v = calls.keys()
        found = {"out": out, "lse": lse, "q": q, "k": k, "v": v}
        return found if table is None else {**found, "table": calls.table()}


@pytest.mark.parametrize(("band", "causal"), BANDS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("lengths", [(0, 1, 31), (33, 0, 32)], ids=str)
def test_documents_of_odd_lengths(
    lengths: tuple[int, ...], dtype: torch.dtype, band: tuple[int, int], causal: bool
) -> None:
    inputs = Case(lengths, dtype=dtype, causal=causal, head_dim=20, band=band).inputs()
    parity.check(run(inputs), parity.reference(inputs), dtype)


@pytest.mark.parametrize(
    ("band", "causal"),
    [((34, 34), False), ((3, 70), False), ((34, 0), True), ((56, 3), True)],
    ids=str,
)
def test_keys_far_from_their_queries(band: tuple[int, int], causal: bool) -> None:
    """Whole tiles on either side of the band; one that reaches 34 takes a single entry of another tile of 32."""
    inputs = Case((97, 160), heads=1, causal=causal, band=band).inputs()
    parity.check(run(inputs), parity.reference(inputs), torch.float32)


@pytest.mark.parametrize(
    ("head_dim", "dtype"),
    [
        (1, torch.float32),
        (24, torch.float32),
        (80, torch.float16),
        (16, torch.bfloat16),
        (64, torch.bfloat16),
        (128, torch.bfloat16),
    ],
    ids=str,
)
def test_heads_of_every_size(head_dim: int, dtype: torch.dtype) -> None:
    case = Case((5, 40), head_dim=head_dim, dtype=dtype, heads=1, scale=head_dim**-0.5, band=(4, 4))
    inputs = case.inputs()
    parity.check(run(inputs), parity.reference(inputs), dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("queries", "keys"),
    [((5, 0, 33, 4), (33, 4, 0, 1)), ((40, 3), (7, 9))],
    ids=["some without keys", "fewer keys than queries"],
)
def test_keys_of_other_documents(queries: tuple[int, ...], keys: tuple[int, ...], dtype: torch.dtype) -> None:
    """Cross-attention: no bias, no positions."""
    inputs = Case(queries, keys, dtype=dtype).inputs()
    expected, found = parity.reference(inputs), run(inputs)
    parity.check(found, expected, dtype)
    dead = expected["lse"][0] == -torch.inf
    assert not found["out"].cpu()[dead].any()
    assert not found["q"].cpu()[dead].any()


@pytest.mark.parametrize(("band", "causal"), BANDS)
@pytest.mark.parametrize(
    ("queries", "keys"),
    [((3, 0, 33), (40, 5, 33)), ((40, 33), (7, 0))],
    ids=["a cached prefix", "queries before all keys"],
)
def test_the_last_query_stands_at_the_last_key(
    queries: tuple[int, ...], keys: tuple[int, ...], band: tuple[int, int], causal: bool
) -> None:
    inputs = Case(queries, keys, causal=causal, band=band).inputs()
    parity.check(run(inputs), parity.reference(inputs), torch.float32)


@pytest.mark.parametrize(("band", "causal"), BANDS)
def test_the_log_sum_exp(band: tuple[int, int], causal: bool) -> None:
    inputs = Case((17, 0, 40), (5, 3, 41), causal=causal, band=band).inputs()
    parity.check({"lse": launched(inputs)["lse"]}, parity.reference(inputs), torch.float32)


@pytest.mark.parametrize(("band", "causal"), BANDS)
def test_a_bias_shifts_no_probability_of_its_row(band: tuple[int, int], causal: bool) -> None:
    """A number added to all scores changes nothing: the gradients of a head's table sum to 0."""
    gradient = run(Case((70, 0, 21), heads=1, causal=causal, band=band).inputs())["table"]
    assert gradient.abs().sum() > 1
    assert (gradient.double().sum(1).abs() < 1e-6 * gradient.double().abs().sum(1)).all()


def test_large_biases_overflow_nothing() -> None:
    inputs = Case((37, 20), heads=1, band=(9, 9)).inputs()
    assert inputs.table is not None
    inputs.table.mul_(30).add_(500)
    found = run(inputs)
    assert all(tensor.isfinite().all() for tensor in found.values())
    parity.check(found, parity.reference(inputs), torch.float16)


def test_one_number_for_all_distances() -> None:
    inputs = Case((40,), heads=1, band=(0, 0)).inputs()
    found = run(inputs)
    assert found.pop("table").abs() < 1e-5
    parity.check(found, parity.reference(inputs), torch.float32)


def test_a_table_that_nobody_trains_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = Case((20,), band=(5, 5)).inputs()
    monkeypatch.delattr(launch.Backward, "table")
    leaves = inputs.leaves()
    leaves[3].requires_grad_(False)
    torch.autograd.grad(call(inputs, leaves), leaves[:3], inputs.grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("band", "causal"), [*BANDS, pytest.param(None, False, id="no bias")])
def test_dropout_drops_the_same_forward_and_backward(
    dtype: torch.dtype, band: tuple[int, int] | None, causal: bool
) -> None:
    case = Case((5, 0, 40), dtype=dtype, causal=causal, band=band)
    inputs = case.inputs()
    torch.manual_seed(5)
    found = run(inputs, dropout=0.3)
    torch.manual_seed(5)
    seed = int(torch.randint(0, 2**62, (1,), device=parity.DEVICE))
    threshold = threshold_of(0.3)
    kept = {
        (document, head): parity.keep_mask(seed, document * case.heads + head, length, length, threshold)
        for document, length in enumerate(case.queries)
        for head in range(case.heads)
    }
    parity.check(found, parity.reference(inputs, dropout=threshold / 65536, kept=kept), dtype)


def test_dropout_of_a_cached_prefix() -> None:
    """All three backward kernels find the entries that the forward dropped, wherever their tiles begin."""
    inputs = Case((17,), (30,), heads=1, causal=True, band=(9, 0)).inputs()
    leaves = inputs.leaves()

    def loss() -> Tensor:
        torch.manual_seed(0)
        return (call(inputs, leaves, dropout=0.5) * inputs.grad).sum()

    for leaf, gradient in zip(leaves, torch.autograd.grad(loss(), leaves), strict=True):
        with torch.no_grad():
            direction = torch.randn_like(leaf)
            leaf.add_(direction, alpha=1e-2)
            above = loss()
            leaf.add_(direction, alpha=-2e-2)
            slope = (above - loss()) / 2e-2
            leaf.add_(direction, alpha=1e-2)
        torch.testing.assert_close(slope, (gradient * direction).sum(), rtol=2e-2, atol=2e-2)


def test_all_may_be_dropped() -> None:
    found = run(Case((17,), band=(3, 3)).inputs(), dropout=1.0)
    assert not any(tensor.any() for tensor in found.values())


@pytest.mark.parametrize(("band", "causal"), BANDS)
def test_batch_mates_change_no_bit(band: tuple[int, int], causal: bool) -> None:
    case = Case((1, 40, 0, 16), heads=1, causal=causal, dtype=torch.float16, band=band)
    inputs = case.inputs()
    together = run(inputs)
    for start, end in inputs.query.bounds.T.tolist():
        documents = slice(start, end)
        spans = Spans(
            torch.tensor([[0], [end - start]], dtype=torch.int32, device=parity.DEVICE), end - start
        )
        alone = Inputs(
            case, inputs.q[documents], inputs.k[documents], inputs.v[documents], inputs.grad[documents],
            inputs.table, spans, spans,
        )  # fmt: skip
        found = run(alone)
        del found["table"]
        for name, tensor in found.items():
            assert torch.equal(tensor, together[name][documents]), name


def test_a_second_run_changes_no_bit() -> None:
    inputs = Case((5, 40), band=(21, 13)).inputs()
    first, second = run(inputs), run(inputs)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("blocks", "other"), [((16, 16), (16, 64)), ((64, 16), (32, 16))], ids=str)
@pytest.mark.parametrize(("band", "causal"), BANDS)
def test_every_tiling_computes_the_same(
    blocks: tuple[int, int], other: tuple[int, int], band: tuple[int, int], causal: bool
) -> None:
    inputs = Case((5, 70), (23, 70), causal=causal, heads=1, band=band).inputs()
    rows, others = (Tiles((("BLOCK_Q", one[0]), ("BLOCK_K", one[1]))) for one in (blocks, other))
    tiles = (
        ("forward", others), ("query_gradients", rows), ("key_gradients", others),
        ("band_gradients", Tiles((("SPLITS", 4),))), ("table_gradients", Tiles((("BLOCK", 16),))),
    )  # fmt: skip
    parity.check(launched(inputs, tiles=tiles), parity.reference(inputs), torch.float32)


def test_the_band_must_be_cut_alike_in_all_rows() -> None:
    tiles = (("query_gradients", Tiles((("BLOCK_Q", 16), ("BLOCK_K", 32)))),)
    with pytest.raises(ValueError, match="must divide"):
        launched(Case((5,), band=(3, 3)).inputs(), tiles=tiles)


def test_the_tiles_in_the_file_fit_the_kernels() -> None:
    rows = json.loads(files("formers_t5.kernels").joinpath("tiles.json").read_text("utf-8"))["rows"]
    for row in rows:
        queries, keys = row["blocks"].get("BLOCK_Q", 0), row["blocks"].get("BLOCK_K", 0)
        assert queries + keys + 2 * max(queries, keys) <= EDGE, row
        assert row["op"] != "query_gradients" or queries % keys == 0, row


def test_memory_does_not_grow_with_the_square_of_the_length() -> None:
    """What the backward sets aside for the table's gradient is the same for all lengths, but for two sums a block."""
    sizes = []
    for length in (40, 160):
        inputs = Case((length,), heads=1, band=(9, 9)).inputs()
        assert inputs.table is not None
        table = extended(inputs.table, 9, 9, causal=False)
        given = launch.Matrices(inputs.q, inputs.k, inputs.v, table, None, None, inputs.query, inputs.key)
        settings = launch.Settings(0.3, 9, 9)
        out, lse = launch.forward(given, settings)
        calls = launch.Backward(inputs.grad, out, lse, given, settings, trained=True)
        calls.queries()
        sizes.append(calls.band().numel())
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("lengths", [(), (0,), (0, 0, 0)], ids=str)
def test_nothing_at_all(lengths: tuple[int, ...]) -> None:
    found = run(Case(lengths, band=(2, 3)).inputs())
    assert not found.pop("table").any()
    for tensor in found.values():
        assert tensor.shape == (0, 2, 16)


def test_tokens_outside_all_documents_get_zero() -> None:
    inputs = Case((20,), band=(2, 2)).inputs()
    spans = Spans(torch.tensor([[1, 12], [9, 15]], dtype=torch.int32, device=parity.DEVICE), 8, full=False)
    found = run(Inputs(inputs.case, inputs.q, inputs.k, inputs.v, inputs.grad, inputs.table, spans, spans))
    outside = [0, 9, 10, 11, 15, 16, 17, 18, 19]
    for name in ("out", "q", "k", "v"):
        assert not found[name][outside].any(), name
        assert found[name][1:9].any(), name


@pytest.mark.parametrize(("band", "causal"), [*BANDS, pytest.param(None, False, id="no bias")])
def test_holes_are_not_read(band: tuple[int, int] | None, causal: bool) -> None:
    """As if their scores were -inf; distances around them stay."""
    inputs = Case((33, 9), heads=1, causal=causal, band=band).inputs()
    real = torch.rand(42, generator=torch.Generator().manual_seed(0)) < 0.5
    real[33:] = False
    found = run(inputs, real=real.to(parity.DEVICE))
    leaves = [leaf.detach().double().cpu().requires_grad_() for leaf in inputs.leaves()]
    scores = leaves[0][:33, 0] @ leaves[1][:33, 0].T * 0.3
    distance = torch.arange(33) - torch.arange(33)[:, None]
    if band is not None:
        scores = scores + leaves[3][0][distance.clamp(-band[0], band[1]) + band[0]]
    read = real[:33] & (distance <= 0 if causal else distance == distance)
    some = read.any(1)
    probs = scores[some].masked_fill(~read[some], -torch.inf).softmax(-1)
    (probs @ leaves[2][:33, 0] * inputs.grad[:33, 0].double().cpu()[some]).sum().backward()
    out = torch.zeros(42, 1, 16, dtype=torch.float64)
    out[:33, 0][some] = (probs @ leaves[2][:33, 0]).detach()
    expected = {name: leaf.grad for name, leaf in zip(NAMES, leaves, strict=False) if leaf.grad is not None}
    parity.check(found, {"out": out, **expected}, torch.float32)
    for name in ("k", "v"):
        assert not found[name].cpu()[~real].any()


def test_slices_of_one_projection_need_no_copy() -> None:
    """q, k and v as a fused linear map gives them, and the expanded gradient that sum() sends."""
    inputs = Case((13, 7), band=(3, 3)).inputs()
    together = torch.randn(20, 3, 2, 16, device=parity.DEVICE, requires_grad=True)
    apart = [part.detach().contiguous().requires_grad_() for part in together.unbind(1)]
    table = inputs.leaves()[3]
    (found,) = torch.autograd.grad(call(inputs, [*together.unbind(1), table]).sum(), [together])
    call(inputs, [*apart, table]).sum().backward()
    assert torch.equal(found, torch.stack([part.grad for part in apart if part.grad is not None], 1))


@pytest.mark.parametrize("changed", ["k", "v", "width", "documents"])
def test_shapes_that_do_not_fit(changed: str) -> None:
    inputs = Case((5, 3)).inputs()
    given = {"q": inputs.q, "k": inputs.k, "v": inputs.v, "query": inputs.query, "key": inputs.key}
    if changed == "documents":
        given["key"] = Case((8,)).inputs().key
    elif changed == "width":
        given["q"] = inputs.q[..., :8]
    else:
        given[changed] = given[changed][:4]  # type: ignore[index]
    with pytest.raises(ValueError, match="differ"):
        ops.relative_attention(**given, scale=1.0)  # type: ignore[arg-type]


def test_a_table_for_other_heads() -> None:
    inputs = Case((5, 3), band=(2, 2)).inputs()
    leaves = inputs.leaves()
    with pytest.raises(ValueError, match="bias table has shape"):
        call(inputs, [*leaves[:3], leaves[3][:1]])


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("band", [(3, 4), None], ids=["bias", "no bias"])
def test_the_operators_keep_their_promises_to_pytorch(dropout: float, band: tuple[int, int] | None) -> None:
    inputs = Case((5, 13), heads=1, band=band).inputs()
    leaves = inputs.leaves()
    seed = torch.tensor([3], device=parity.DEVICE) if dropout else None
    values, table, low, high = None, None, 0, 0
    if band is not None:
        values, table, low, high, _ = ops.distances_of(BiasTable(leaves[3], *band), causal=False)
    rest = (
        table, seed, None, inputs.query.bounds, inputs.key.bounds, 18, 18, True, 0.3, low, high, False,
        threshold_of(dropout),
    )  # fmt: skip
    trained = band is not None
    torch.library.opcheck(ops.forward, (*leaves[:3], values, trained, *rest))
    plain = [leaf.detach() for leaf in leaves[:3]]
    out, lse = ops.forward(*plain, None if values is None else values.detach(), trained, *rest)
    torch.library.opcheck(ops.backward, (inputs.grad, out, lse, trained, *plain, *rest))


@pytest.mark.parametrize("dropout", [0.0, 0.25])
def test_a_graph_holds_it_forward_and_backward(dropout: float) -> None:
    def attend(q: Tensor, k: Tensor, v: Tensor, table: Tensor, bounds: Tensor, longest: int) -> Tensor:
        spans = Spans(bounds, longest)
        bias = ops.distances_of(BiasTable(table, 5, 0), causal=True)
        return ops.relative_attention(q, k, v, spans, spans, scale=0.3, bias=bias, dropout=dropout).sin()

    torch._dynamo.reset()
    compiled = torch.compile(attend, backend="aot_eager", fullgraph=True)
    for lengths in ((5, 18), (7, 33)):
        inputs = Case(lengths, heads=1, causal=True, band=(5, 0)).inputs()
        arguments: Any = (*inputs.leaves(), inputs.query.bounds, inputs.query.longest)
        results = []
        for function in (attend, compiled):
            torch.manual_seed(0)
            out = function(*arguments)
            results.append([out, *torch.autograd.grad(out, arguments[:4], inputs.grad)])
        for ours, theirs in zip(*results, strict=True):
            torch.testing.assert_close(ours, theirs)
    torch._dynamo.reset()
