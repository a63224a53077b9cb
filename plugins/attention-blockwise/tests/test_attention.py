from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import dropout

from formers.attention import AttentionPass, AttentionRequest, DenseBias, ScoreBias, TableBias
from formers.attention.eager import Eager
from formers.cache import DynamicCache
from formers.layout import Layout
from formers_attention_blockwise import Blockwise

HEADS, DIM, SCALE = 2, 5, 0.4


def tensors(query: Layout, key: Layout, key_heads: int = HEADS) -> list[Tensor]:
    shapes = (query.tokens, HEADS), (key.tokens, key_heads), (key.tokens, key_heads)
    return [torch.randn(*shape, DIM, dtype=torch.float64, requires_grad=True) for shape in shapes]


@st.composite
def layouts(draw: st.DrawFn) -> tuple[Layout, Layout, bool]:
    torch.manual_seed(draw(st.integers(0, 10**6)))
    causal = draw(st.booleans())
    batch, queries, more = draw(st.integers(1, 3)), draw(st.integers(0, 9)), draw(st.integers(0, 4))
    kind = draw(st.sampled_from(["none", "2-D", "3-D", "4-D added", "packed"]))
    if kind == "packed":
        lengths = torch.tensor([0, *draw(st.lists(st.integers(0, 7), min_size=1, max_size=4))])
        packed = Layout.packed(lengths.cumsum(0), int(lengths.max()), int(lengths.sum()))
        return packed, packed, causal
    keys = queries + more
    mask = None
    if kind == "2-D":
        mask = torch.rand(batch, keys) < 0.6
    elif kind == "3-D":
        mask = torch.rand(batch, queries, keys) < 0.6
    elif kind == "4-D added":
        allowed = torch.rand(batch, HEADS, queries, keys) < 0.6
        mask = torch.where(allowed, torch.randn(allowed.shape).double(), -1e9)
    key = Layout.from_attention_mask(mask, batch, keys, queries)
    return Layout.padded(batch, queries), key, causal


@given(
    given=layouts(),
    block=st.integers(1, 6),
    biased=st.sampled_from(["", "dense", "table"]),
    grouped=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_outputs_and_gradients_are_those_of_the_reference(
    given: tuple[Layout, Layout, bool], block: int, biased: str, grouped: bool
) -> None:
    query, key, causal = given
    q, k, v = tensors(query, key, 1 if grouped else HEADS)
    leaves = [q, k, v]
    make: Callable[[], ScoreBias | None] = lambda: None  # noqa: E731
    if biased == "dense":
        dense = torch.randn(1, HEADS, query.length, key.length, dtype=torch.float64, requires_grad=True)
        leaves.append(dense)
        make = lambda: DenseBias(dense)  # noqa: E731
    elif biased == "table":
        table = torch.randn(HEADS, 6, dtype=torch.float64, requires_grad=True)
        leaves.append(table)
        make = lambda: TableBias(table, 3, 2, query.length, key.length, key.length - query.length)  # noqa: E731
    found = []
    for implementation in (Eager(), Blockwise(block)):
        step, bias = AttentionPass(query, key, causal=causal), make()
        implementation.prepare(step, bias, q.dtype)
        out, probs = implementation(q, k, v, step, scale=SCALE, bias=bias)
        assert probs is None
        weights = torch.arange(out.numel(), dtype=out.dtype).sin().view(out.shape)
        found.append((out, *torch.autograd.grad((out * weights).sum(), leaves, allow_unused=True)))
    for expected, ours in zip(*found, strict=True):
        if expected is None or ours is None:
            assert expected is None or not expected.any()
            continue
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)


def test_dropout_and_head_masks() -> None:
    layout = Layout.padded(2, 7, torch.tensor([[1] * 7, [1, 1, 1, 0, 0, 0, 0]]))
    q, k, v = tensors(layout, layout)
    head_mask = torch.tensor([1.0, 0.5])[None, :, None, None]
    step = AttentionPass(layout, layout, dropout=0.4)
    torch.manual_seed(3)
    out, _ = Blockwise(7)(q, k, v, step, scale=SCALE, head_mask=head_mask)
    torch.manual_seed(3)
    expected, _ = Eager()(q, k, v, step, scale=SCALE, head_mask=head_mask)
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-12)
    torch.manual_seed(3)
    torch.testing.assert_close(
        torch.autograd.grad(out.sum(), q)[0],
        torch.autograd.grad(expected.sum(), q)[0],
        rtol=1e-10,
        atol=1e-12,
    )
    assert not torch.equal(dropout(out, 0.4), out)


def test_a_cache_is_appended_to() -> None:
    layout = Layout.padded(2, 6)
    q, k, v = (tensor.detach() for tensor in tensors(layout, layout))
    expected, _ = Eager()(q, k, v, AttentionPass(layout, layout, causal=True), scale=SCALE)
    cache, rows = DynamicCache(), []
    for past, new in ((0, 4), (4, 2)):
        query = Layout.padded(2, new)
        step = AttentionPass(query, Layout.padded(2, past + new), causal=True)
        parts = (layout.rows(tensor)[:, past : past + new].flatten(0, 1) for tensor in (q, k, v))
        out, _ = Blockwise(3)(*parts, step, scale=SCALE, cache=cache.layer(0))
        rows.append(out.view(2, new, HEADS, DIM))
    torch.testing.assert_close(torch.cat(rows, dim=1).flatten(0, 1), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("length", [256, 1024])
def test_what_is_kept_for_the_backward_pass_grows_with_the_length(length: int) -> None:
    layout = Layout.padded(1, length)
    q, k, v = (tensor.float().detach().requires_grad_() for tensor in tensors(layout, layout))
    table = torch.randn(HEADS, 9, requires_grad=True)
    seen: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    step = AttentionPass(layout, layout, causal=True)
    bias = TableBias(table, 4, 4, length, length)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        Blockwise(64)(q, k, v, step, scale=SCALE, bias=bias)
    assert 0 < sum(seen.values()) <= 8 * (q.nbytes + k.nbytes + v.nbytes)


def test_what_it_does_not_serve() -> None:
    def request(*needs: str) -> AttentionRequest:
        return AttentionRequest("any", "train", "cpu", torch.float32, 2, 8, frozenset(needs))

    assert (
        Blockwise().supports(request("bias", "bias_grad", "causal", "packed", "dropout", "head_mask")) == ()
    )
    assert "output_attentions" in Blockwise().supports(request("probs"))[0]
    layout = Layout.padded(1, 2)
    with pytest.raises(ValueError, match="attn_implementation='eager'"):
        Blockwise()(*tensors(layout, layout), AttentionPass(layout, layout, need_probs=True), scale=1.0)
    with pytest.raises(ValueError, match="block=0; expected"):
        Blockwise(0)
