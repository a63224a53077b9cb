"""The varlen kernels beside float64: every dtype, head size and odd length, dropout included, forward and backward."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from formers.kernels import parity

if reason := parity.why_not():
    pytest.skip(reason, allow_module_level=True)

from formers.kernels.dropout import threshold_of
from formers.kernels.parity import Case, Inputs
from formers.kernels.spans import Spans
from formers.kernels.tables import Tiles
from formers_bert.kernels import launch, ops

pytestmark = pytest.mark.kernels

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
AROUND_16, AROUND_32 = (0, 1, 15, 16, 17), (31, 0, 32, 33)


def run(inputs: Inputs, **options: Any) -> dict[str, Tensor]:
    """The output and all gradients, with every uninitialised buffer full of NaN."""
    leaves = inputs.leaves()
    with parity.poisoned():
        out = ops.varlen_attention(
            *leaves, inputs.query, inputs.key, scale=inputs.case.scale, causal=inputs.case.causal, **options
        )
        gradients = torch.autograd.grad(out, leaves, inputs.grad)
    return {"out": out.detach(), **dict(zip(("q", "k", "v"), gradients, strict=True))}


def settings(case: Case, **changes: Any) -> launch.Settings:
    return launch.Settings(case.scale, case.causal, **changes)


@pytest.mark.parametrize("causal", [False, True], ids=["", "causal"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("lengths", [AROUND_16, AROUND_32], ids=str)
def test_documents_of_odd_lengths(lengths: tuple[int, ...], dtype: torch.dtype, causal: bool) -> None:
    case = Case(lengths, dtype=dtype, causal=causal, head_dim=20)
    inputs = case.inputs()
    parity.check(run(inputs), parity.reference(inputs), dtype)


@pytest.mark.parametrize("head_dim", [1, 16, 24, 64, 80, 128])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_heads_of_every_size(head_dim: int, dtype: torch.dtype) -> None:
    inputs = Case((5, 18), head_dim=head_dim, dtype=dtype, heads=1, scale=head_dim**-0.5).inputs()
    parity.check(run(inputs), parity.reference(inputs), dtype)


@pytest.mark.parametrize("causal", [False, True], ids=["", "causal"])
@pytest.mark.parametrize(
    ("queries", "keys"),
    [((5, 0, 17, 4), (33, 4, 0, 1)), ((40, 3), (7, 9))],
    ids=["some without keys", "fewer keys than queries"],
)
def test_keys_of_other_documents(queries: tuple[int, ...], keys: tuple[int, ...], causal: bool) -> None:
    """Cross-attention; if causal, the last query stands at the last key, and the first may read nothing."""
    inputs = Case(queries, keys, causal=causal).inputs()
    expected = parity.reference(inputs)
    found = run(inputs)
    parity.check(found, expected, torch.float32)
    dead = expected["lse"][0] == -torch.inf
    assert dead.any() or (0 not in keys and not causal)
    assert not found["out"].cpu()[dead].any()
    assert not found["q"].cpu()[dead].any()


def test_heads_may_share_keys() -> None:
    inputs = Case((17, 3), heads=4, key_heads=2, causal=True).inputs()
    parity.check(run(inputs), parity.reference(inputs), torch.float32)


@pytest.mark.parametrize("causal", [False, True], ids=["", "causal"])
def test_the_log_sum_exp(causal: bool) -> None:
    inputs = Case((17, 0, 40), (5, 3, 41), causal=causal).inputs()
    _, lse = launch.forward(
        inputs.q, inputs.k, inputs.v, None, inputs.query, inputs.key, settings(inputs.case)
    )
    parity.check({"lse": lse}, parity.reference(inputs), torch.float32)


@pytest.mark.parametrize("causal", [False, True], ids=["", "causal"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dropout_drops_the_same_forward_and_backward(dtype: torch.dtype, causal: bool) -> None:
    case = Case((17, 0, 33), (40, 3, 33), dtype=dtype, causal=causal)
    inputs = case.inputs()
    torch.manual_seed(5)
    found = run(inputs, dropout=0.3)
    torch.manual_seed(5)
    seed = int(torch.randint(0, 2**62, (1,), device=parity.DEVICE))
    threshold = threshold_of(0.3)
    kept = {
        (document, head): parity.keep_mask(seed, document * case.heads + head, queries, keys, threshold)
        for document, (queries, keys) in enumerate(zip(case.queries, case.keys or (), strict=True))
        for head in range(case.heads)
    }
    expected = parity.reference(inputs, dropout=threshold / 65536, kept=kept)
    parity.check(found, expected, dtype)


def test_dropout_keeps_the_expectation() -> None:
    """One document 100 times: each copy drops other entries, and their mean is the output without dropout."""
    copies, length = 100, 5
    one = Case((length,), heads=1).inputs()
    q, k, v = (tensor.repeat(copies, 1, 1) for tensor in (one.q, one.k, one.v))
    starts = torch.arange(copies, dtype=torch.int32, device=parity.DEVICE) * length
    spans = Spans(torch.stack([starts, starts + length]), length)
    torch.manual_seed(0)
    out = ops.varlen_attention(q, k, v, spans, spans, scale=0.3, dropout=0.1).view(copies, length, 16)
    exact = run(one)["out"][:, 0]
    error = (out.mean(0) - exact).abs() / (out.std(0) / copies**0.5)
    assert out.std(0).min() > 0
    assert error.max() < 5  # standard errors


def test_all_may_be_dropped() -> None:
    found = run(Case((17,)).inputs(), dropout=1.0)
    assert not any(tensor.any() for tensor in found.values())


def test_batch_mates_change_no_bit() -> None:
    lengths = (17, 1, 33, 0, 16)
    case = Case(lengths, causal=True, dtype=torch.float16)
    inputs = case.inputs()
    together = run(inputs)
    for start, end in inputs.query.bounds.T.tolist():
        documents = slice(start, end)
        bounds = torch.tensor([[0], [end - start]], dtype=torch.int32, device=parity.DEVICE)
        spans = Spans(bounds, inputs.query.longest)  # on which tiles may depend
        tensors = (tensor[documents] for tensor in (inputs.q, inputs.k, inputs.v, inputs.grad))
        alone = Inputs(case, *tensors, None, spans, spans)
        for name, tensor in run(alone).items():
            assert torch.equal(tensor, together[name][documents]), name


def test_a_longer_bucket_and_a_second_run_change_no_bit() -> None:
    inputs = Case((17, 5)).inputs()
    bucket = Spans(inputs.query.bounds, 64)
    roomy = Inputs(inputs.case, inputs.q, inputs.k, inputs.v, inputs.grad, None, bucket, bucket)
    first = run(inputs)
    for other in (run(inputs), run(roomy)):
        assert all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("blocks", [(16, 16), (16, 64), (64, 16)], ids=str)
@pytest.mark.parametrize("causal", [False, True], ids=["", "causal"])
def test_every_tiling_computes_the_same(blocks: tuple[int, int], causal: bool) -> None:
    case = Case((5, 40, 64), (23, 40, 9), causal=causal, heads=1)
    inputs = case.inputs()
    tiles = Tiles((("BLOCK_Q", blocks[0]), ("BLOCK_K", blocks[1])))
    names = ("forward", "query_gradients", "key_gradients")
    chosen = settings(case, tiles=tuple((name, tiles) for name in names))
    spans = inputs.query, inputs.key
    out, lse = launch.forward(inputs.q, inputs.k, inputs.v, None, *spans, chosen)
    given = inputs.grad, inputs.q, inputs.k, inputs.v, out, lse, None
    calls = launch.Backward(*given, *spans, chosen)
    dk, dv = calls.keys()
    found = {"out": out, "lse": lse, "q": calls.queries(), "k": dk, "v": dv}
    parity.check(found, parity.reference(inputs), torch.float32)


@pytest.mark.parametrize("lengths", [(), (0,), (0, 0, 0)], ids=str)
def test_nothing_at_all(lengths: tuple[int, ...]) -> None:
    for tensor in run(Case(lengths).inputs()).values():
        assert tensor.shape == (0, 2, 16)


def test_tokens_outside_all_documents_get_zero() -> None:
    inputs = Case((20,)).inputs()
    spans = Spans(torch.tensor([[1, 12], [9, 15]], dtype=torch.int32, device=parity.DEVICE), 8, full=False)
    found = run(Inputs(inputs.case, inputs.q, inputs.k, inputs.v, inputs.grad, None, spans, spans))
    outside = [0, 9, 10, 11, 15, 16, 17, 18, 19]
    for name, tensor in found.items():
        assert not tensor[outside].any(), name
        assert tensor[1:9].any(), name


def test_slices_of_one_projection_need_no_copy() -> None:
    """q, k and v as a fused linear map gives them, and the expanded gradient that sum() sends."""
    together = torch.randn(20, 3, 2, 16, device=parity.DEVICE, requires_grad=True)
    spans = Case((13, 7)).inputs().query
    options = {"scale": 0.25, "causal": True}
    (found,) = torch.autograd.grad(
        ops.varlen_attention(*together.unbind(1), spans, spans, **options).sum(), [together]
    )
    apart = [part.detach().contiguous().requires_grad_() for part in together.unbind(1)]
    ops.varlen_attention(*apart, spans, spans, **options).sum().backward()
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
        ops.varlen_attention(**given, scale=1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_operators_keep_their_promises_to_pytorch(dropout: float) -> None:
    inputs = Case((5, 18), (20, 3)).inputs()
    leaves = inputs.leaves()
    threshold = threshold_of(dropout)
    seed = torch.tensor([3], device=parity.DEVICE) if threshold else None
    rest = (inputs.query.bounds, inputs.key.bounds, 18, 20, True, 0.3, False, threshold)
    torch.library.opcheck(ops.forward, (*leaves, seed, *rest))
    out, lse = (tensor.detach() for tensor in ops.forward(*leaves, seed, *rest))
    plain = [leaf.detach() for leaf in leaves]
    torch.library.opcheck(ops.backward, (inputs.grad, *plain, out, lse, seed, *rest))


@pytest.mark.parametrize("dropout", [0.0, 0.25])
def test_a_graph_holds_it_forward_and_backward(dropout: float) -> None:
    def call(q: Tensor, k: Tensor, v: Tensor, bounds: Tensor, longest: int) -> Tensor:
        spans = Spans(bounds, longest)
        return ops.varlen_attention(q, k, v, spans, spans, scale=0.3, dropout=dropout).sin()

    torch._dynamo.reset()
    compiled = torch.compile(call, backend="aot_eager", fullgraph=True)
    for lengths in ((5, 18), (7, 33), (1, 2)):
        inputs = Case(lengths).inputs()
        arguments = (*inputs.leaves(), inputs.query.bounds, inputs.query.longest)
        results = []
        for function in (call, compiled):
            torch.manual_seed(0)
            out = function(*arguments)
            results.append([out, *torch.autograd.grad(out, arguments[:3], inputs.grad)])
        for ours, theirs in zip(*results, strict=True):
            torch.testing.assert_close(ours, theirs)
    torch._dynamo.reset()
