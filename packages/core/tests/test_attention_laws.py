"""What every implementation must do, by its own reference: loops in float64, and each row by itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attention_cases import IMPLEMENTATIONS, SCALE, Call, by_loops, calls
from hypothesis import HealthCheck, given, settings
from torch import Tensor

from formers.attention import AttentionImplementation, AttentionPass, DenseBias, TableBias, sdpa
from formers.cache import Cache, DynamicCache, EncoderDecoderCache, StaticLayer
from formers.layout import Layout

every_implementation = pytest.mark.parametrize(
    "implementation", IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS
)


@pytest.fixture(params=["as it is", "where torch gives no zeros"])
def dead_queries(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run once as on a CPU, and once as on a device where the implementation clears dead queries itself."""
    if request.param != "as it is":
        monkeypatch.setattr(sdpa, "_ZERO_FOR_DEAD_QUERIES", frozenset())


def gradients(out: Tensor, call: Call) -> list[Tensor]:
    torch.manual_seed(0)
    upstream = torch.randn(out.shape, dtype=torch.float64).to(out.dtype)
    found = torch.autograd.grad((out * upstream).sum(), call.leaves(), allow_unused=True)
    return [
        torch.zeros_like(leaf) if one is None else one for one, leaf in zip(found, call.leaves(), strict=True)
    ]


@every_implementation
@pytest.mark.usefixtures("dead_queries")
@given(call=calls())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_output_and_gradients_equal_loops_in_float64(
    implementation: AttentionImplementation, call: Call
) -> None:
    out, probs = call.run(implementation)
    exact = call.double()
    expected = by_loops(exact)
    assert probs is None
    torch.testing.assert_close(out, expected.float(), rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(gradients(out, call), gradients(expected, exact), strict=True):
        torch.testing.assert_close(ours, theirs.float(), rtol=1e-4, atol=1e-4)


@every_implementation
@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("form", ["2-D", "4-D", "4-D added", "causal"])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.usefixtures("dead_queries")
def test_a_query_without_keys_gives_zero_and_passes_zero_back(
    implementation: AttentionImplementation, dropout: float, dtype: torch.dtype, form: str, biased: bool
) -> None:
    torch.manual_seed(0)
    batch, length, heads, dim = 2, 5, 2, 8
    if form in ("2-D", "causal"):
        mask = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 0, 0, 0]])
    else:
        mask = torch.ones(batch, 1, length, length, dtype=torch.bool)
        mask[1] = False
    if form == "4-D added":
        mask = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)
    layout = Layout.from_attention_mask(mask, batch, length)
    q, k, v = (torch.randn(batch * length, heads, dim, dtype=dtype, requires_grad=True) for _ in range(3))
    tensor = torch.randn(batch, heads, length, length, dtype=dtype, requires_grad=True)
    step = AttentionPass(layout, layout, causal=form == "causal", dropout=dropout)
    out, _ = implementation(q, k, v, step, scale=SCALE, bias=DenseBias(tensor) if biased else None)
    dead = slice(length, None)
    assert not out[dead].any()
    assert out[:length].any()
    out.float().square().sum().backward()
    for leaf in (q, k, v):
        assert torch.isfinite(leaf.grad).all()
        assert not leaf.grad[dead].any()
    if biased:
        assert torch.isfinite(tensor.grad).all()
        assert not tensor.grad[1].any()


@every_implementation
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("form", ["right", "left", "packed"])
def test_padding_and_batch_mates_change_nothing(
    implementation: AttentionImplementation, causal: bool, form: str
) -> None:
    torch.manual_seed(0)
    lengths, heads, dim = [3, 7, 1], 2, 8
    longest = max(lengths)
    alone = [[torch.randn(n, heads, dim, requires_grad=True) for _ in range(3)] for n in lengths]
    if form == "packed":
        layout = Layout.packed(torch.tensor([0, 3, 10, 11]), longest, sum(lengths))
    else:
        columns, sizes = torch.arange(longest), torch.tensor(lengths)[:, None]
        layout = Layout.padded(3, longest, columns < sizes if form == "right" else columns >= longest - sizes)

    def together(which: int) -> Tensor:
        rows = [row[which].detach() for row in alone]
        if form == "packed":
            return torch.cat(rows).requires_grad_()
        flat = torch.full((3 * longest, heads, dim), 9.0)  # what stands in the padding must not matter
        flat[layout.mask.flatten()] = torch.cat(rows)
        return flat.requires_grad_()

    q, k, v = (together(which) for which in range(3))
    out, _ = implementation(q, k, v, AttentionPass(layout, layout, causal=causal), scale=SCALE)
    real = slice(None) if form == "packed" else layout.mask.flatten()
    upstream = torch.randn(sum(lengths), heads, dim)
    (out[real] * upstream).sum().backward()
    expected = []
    for row, given_upstream in zip(alone, upstream.split(lengths), strict=True):
        single = Layout.padded(1, len(row[0]))
        one, _ = implementation(*row, AttentionPass(single, single, causal=causal), scale=SCALE)
        (one * given_upstream).sum().backward()
        expected.append(one)
    torch.testing.assert_close(out[real], torch.cat(expected))
    for which, leaf in enumerate((q, k, v)):
        torch.testing.assert_close(leaf.grad[real], torch.cat([row[which].grad for row in alone]))
        if form != "packed":
            assert not leaf.grad[~real].any()


class Decoder:
    """Two layers of attention with weights of their own; as little of a model as a cache needs."""

    heads, dim = 2, 4

    def __init__(self, implementation: AttentionImplementation) -> None:
        torch.manual_seed(0)
        self.implementation = implementation
        width = self.heads * self.dim
        self.weights = torch.randn(2, 6, width, width) / width**0.5
        self.table = torch.randn(self.heads, 6)

    def __call__(self, x: Tensor, mask: Tensor | None, encoder: Tensor | None, cache: Cache | None) -> Tensor:
        batch, length, width = x.shape
        past = 0 if cache is None else cache.get_seq_length()
        query = Layout.padded(batch, length)
        key = Layout.from_attention_mask(mask, batch, past + length, length)
        own = AttentionPass(query, key, causal=True)
        bias = TableBias(self.table, 5, 0, length, past + length, past)
        x = x.reshape(-1, width)
        for index, weights in enumerate(self.weights):
            q, k, v = (self.split(x, weight) for weight in weights[:3])
            layer = None if cache is None else cache.layer(index)
            out, _ = self.implementation(q, k, v, own, scale=SCALE, cache=layer, bias=bias)
            x = x + out.reshape(-1, width)
            if encoder is not None:
                x = x + self.read_encoder(x, encoder, weights, index, query, cache).reshape(-1, width)
        return x.view(batch, length, width)

    def read_encoder(
        self, x: Tensor, encoder: Tensor, weights: Tensor, index: int, query: Layout, cache: Cache | None
    ) -> Tensor:
        step = AttentionPass(query, Layout.padded(*encoder.shape[:2]))
        layer = cache.cross_layer(index) if isinstance(cache, EncoderDecoderCache) else None
        k = v = None
        if layer is None or not layer.is_filled:
            k, v = (self.split(encoder.reshape(-1, x.shape[1]), weight) for weight in weights[4:])
        return self.implementation(self.split(x, weights[3]), k, v, step, scale=SCALE, cache=layer)[0]

    def split(self, x: Tensor, weight: Tensor) -> Tensor:
        return (x @ weight).view(-1, self.heads, self.dim)


@every_implementation
@pytest.mark.parametrize("chunks", [[1] * 7, [4, 1, 2], [7], [1, 6]], ids=str)
@pytest.mark.parametrize("kind", ["dynamic", "static", "encoder-decoder", "static encoder-decoder"])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("grad", [False, True])
def test_cached_equals_uncached(
    implementation: AttentionImplementation, chunks: list[int], kind: str, padded: bool, grad: bool
) -> None:
    decoder = Decoder(implementation)
    x, encoder = torch.randn(2, 7, 8), torch.randn(2, 5, 8) if "encoder" in kind else None
    mask = torch.tensor([[0, 0, 1, 1, 1, 0, 1], [1] * 7]) if padded else None
    static = Cache([StaticLayer(9), StaticLayer(9)])
    cache = {
        "dynamic": DynamicCache(),
        "static": static,
        "encoder-decoder": EncoderDecoderCache(DynamicCache(), DynamicCache()),
        "static encoder-decoder": EncoderDecoderCache(static, Cache([StaticLayer(5), StaticLayer(5)])),
    }[kind]
    with torch.set_grad_enabled(grad):
        whole = decoder(x, mask, encoder, None)
        parts, start = [], 0
        for size in chunks:
            end = start + size
            seen = None if mask is None else mask[:, :end]
            parts.append(decoder(x[:, start:end], seen, encoder, cache))
            start = end
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)
    assert cache.get_seq_length() == 7


def test_dropout_drops_the_same_probabilities_in_both() -> None:
    layout = Layout.padded(2, 6, torch.tensor([[1, 1, 1, 1, 0, 0], [0, 1, 1, 1, 1, 1]]))
    q, k, v = (torch.randn(12, 2, 8) for _ in range(3))
    outs = []
    for implementation in IMPLEMENTATIONS.values():
        torch.manual_seed(3)
        step = AttentionPass(layout, layout, causal=True, dropout=0.4)
        outs.append(implementation(q, k, v, step, scale=SCALE)[0])
    torch.testing.assert_close(outs[0], outs[1])
    step = AttentionPass(layout, layout, causal=True)
    assert not torch.allclose(outs[0], IMPLEMENTATIONS["eager"](q, k, v, step, scale=SCALE)[0])


@every_implementation
def test_dropout_keeps_the_mean(implementation: AttentionImplementation) -> None:
    torch.manual_seed(0)
    layout = Layout.padded(4000, 6)
    q, k = torch.zeros(24000, 1, 4), torch.zeros(24000, 1, 4)
    step = AttentionPass(layout, layout, dropout=0.25)
    out, _ = implementation(q, k, torch.ones(24000, 1, 4), step, scale=1.0)
    assert abs(out.mean().item() - 1.0) < 0.01
    # Six keys of probability 1/6, each dropped or scaled by 4/3: the variance is 6 * (1/6)**2 * (1/3).
    assert abs(out[:, 0, 0].var().item() - 1 / 18) < 0.005


def test_probabilities_on_request() -> None:
    eager = IMPLEMENTATIONS["eager"]
    layout = Layout.padded(2, 5, torch.tensor([[1, 1, 1, 0, 0], [0, 0, 0, 0, 0]]))
    q, k, v = (torch.randn(10, 3, 4) for _ in range(3))
    head_mask = torch.tensor([1.0, 0.0, 0.5]).view(1, 3, 1, 1)
    _, probs = eager(q, k, v, AttentionPass(layout, layout, need_probs=True), scale=SCALE)
    assert probs.shape == (2, 3, 5, 5)
    torch.testing.assert_close(probs[0].sum(-1), torch.ones(3, 5))
    assert not probs[0, ..., 3:].any()
    assert not probs[1].any()
    out, masked = eager(
        q, k, v, AttentionPass(layout, layout, need_probs=True), scale=SCALE, head_mask=head_mask
    )
    torch.testing.assert_close(masked, probs * head_mask)
    assert not out[:, 1].any()
    torch.manual_seed(1)
    out, dropped = eager(q, k, v, AttentionPass(layout, layout, dropout=0.5, need_probs=True), scale=SCALE)
    torch.testing.assert_close(dropped[dropped != 0], 2 * probs[dropped != 0])
    torch.testing.assert_close(
        out.view(2, 5, 3, 4).transpose(1, 2), dropped @ v.view(2, 5, 3, 4).transpose(1, 2)
    )


@every_implementation
@pytest.mark.parametrize("causal", [False, True])
def test_packed_documents_have_probabilities_and_biases_of_their_own(
    implementation: AttentionImplementation, causal: bool
) -> None:
    torch.manual_seed(0)
    layout = Layout.packed(torch.tensor([0, 2, 6]), 4, 6)
    q, k, v = (torch.randn(6, 2, 4) for _ in range(3))
    bias = DenseBias(torch.randn(2, 2, 4, 4))
    needs_probs = implementation.name == "eager"
    step = AttentionPass(layout, layout, causal=causal, need_probs=needs_probs)
    out, probs = implementation(q, k, v, step, scale=SCALE, bias=bias)
    for document, rows in enumerate((slice(0, 2), slice(2, 6))):
        size = rows.stop - rows.start
        single = Layout.padded(1, size)
        own = DenseBias(bias.dense()[document : document + 1, :, :size, :size])
        step = AttentionPass(single, single, causal=causal, need_probs=needs_probs)
        expected, own_probs = implementation(q[rows], k[rows], v[rows], step, scale=SCALE, bias=own)
        torch.testing.assert_close(out[rows], expected)
        if needs_probs:
            torch.testing.assert_close(probs[document, :, :size, :size], own_probs[0])


@every_implementation
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_stays_near_float64(
    implementation: AttentionImplementation, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    layout = Layout.padded(2, 33, torch.arange(33) < torch.tensor([[33], [20]]))
    q, k, v = ((3 * torch.randn(66, 2, 16)).to(dtype) for _ in range(3))
    step = AttentionPass(layout, layout)
    exact, _ = IMPLEMENTATIONS["eager"](q.double(), k.double(), v.double(), step, scale=0.25)
    out, _ = implementation(q, k, v, AttentionPass(layout, layout), scale=0.25)
    assert out.dtype == dtype
    error = ((out.double() - exact).norm() / exact.norm()).item()
    assert error < {torch.float16: 2e-3, torch.bfloat16: 1e-2}[dtype]


@every_implementation
@pytest.mark.parametrize(("batch", "length"), [(0, 3), (2, 0), (0, 0)])
def test_nothing_in_nothing_out(implementation: AttentionImplementation, batch: int, length: int) -> None:
    for mask in (None, torch.ones(batch, length)):
        layout = Layout.padded(batch, length, mask)
        q, k, v = (torch.randn(batch * length, 2, 4) for _ in range(3))
        out, _ = implementation(q, k, v, AttentionPass(layout, layout, causal=True), scale=SCALE)
        assert out.shape == (batch * length, 2, 4)


@every_implementation
@pytest.mark.parametrize("form", ["2-D", "4-D added", "packed"])
def test_no_step_waits_for_the_device(implementation: AttentionImplementation, form: str) -> None:
    meta: dict[str, Any] = {"device": "meta"}
    if form == "packed":
        layout = Layout.packed(torch.zeros(3, dtype=torch.int32, **meta), 4, 7)
    else:
        shape = (2, 4) if form == "2-D" else (2, 1, 4, 4)
        layout = Layout.from_attention_mask(torch.ones(shape, **meta), 2, 4)
    q, k, v = (torch.randn(layout.tokens, 2, 8, **meta) for _ in range(3))
    bias = TableBias(torch.randn(2, 5, **meta), 2, 2, 4, 4)
    step = AttentionPass(layout, layout, causal=form == "2-D", dropout=0.1)
    out, _ = implementation(q, k, v, step, scale=SCALE, bias=bias)
    assert out.shape == q.shape
    assert layout.positions().device.type == layout.last_real().device.type == "meta"


@every_implementation
@pytest.mark.parametrize("form", ["none", "2-D", "packed"])
def test_a_compiled_forward_gives_the_same(implementation: AttentionImplementation, form: str) -> None:
    def forward(q: Tensor, k: Tensor, v: Tensor, table: Tensor, where: Tensor | None) -> Tensor:
        if form == "packed":
            assert where is not None
            layout = Layout.packed(where, 4, q.shape[0])
        else:
            layout = Layout.from_attention_mask(where, 2, 4)
        bias = TableBias(table, 2, 1, 4, 4)
        step = AttentionPass(layout, layout, causal=True)
        implementation.prepare(step, bias, q.dtype)
        for _ in range(2):
            q, _ = implementation(q, k, v, step, scale=SCALE, bias=bias)
        return q + layout.positions().reshape(-1, 1, 1)

    tokens = 7 if form == "packed" else 8
    where = {
        "none": None,
        "2-D": torch.tensor([[0.0, 1, 1, 1], [1, 1, 1, 0]]),
        "packed": torch.tensor([0, 4, 7]),
    }[form]
    leaves = [torch.randn(tokens, 2, 4, requires_grad=True) for _ in range(3)]
    leaves.append(torch.randn(2, 4, requires_grad=True))
    torch.compiler.reset()  # what the other implementations left behind counts as recompilation
    compiled = torch.compile(forward, backend="aot_eager", fullgraph=True)
    out, expected = compiled(*leaves, where), forward(*leaves, where)
    torch.testing.assert_close(out, expected)
    for ours, theirs in zip(
        torch.autograd.grad(out.sum(), leaves), torch.autograd.grad(expected.sum(), leaves), strict=True
    ):
        torch.testing.assert_close(ours, theirs)
