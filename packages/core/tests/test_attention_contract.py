from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from attention_cases import IMPLEMENTATIONS, SCALE
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from formers.attention import (
    AttentionImplementation,
    AttentionPass,
    AttentionRequest,
    DenseBias,
    TableBias,
    sdpa,
)
from formers.layout import Layout

every_implementation = pytest.mark.parametrize(
    "implementation", IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS
)


@given(
    low=st.integers(0, 6),
    high=st.integers(0, 6),
    queries=st.integers(1, 6),
    keys=st.integers(1, 8),
    offset=st.integers(-3, 8),
)
@settings(max_examples=60, deadline=None)
def test_a_table_is_dense_by_distance(low: int, high: int, queries: int, keys: int, offset: int) -> None:
    torch.manual_seed(0)
    table = torch.randn(2, low + high + 1, dtype=torch.float64, requires_grad=True)
    bias = TableBias(table, low, high, queries, keys, offset)
    dense = bias.dense()
    distance = torch.arange(keys) - torch.arange(queries)[:, None] - offset
    expected = table[:, distance.clamp(-low, high) + low][None]
    assert torch.equal(dense, expected)
    upstream = torch.randn_like(dense)
    (ours,) = torch.autograd.grad(dense, table, upstream)
    (theirs,) = torch.autograd.grad(expected, table, upstream)
    torch.testing.assert_close(ours, theirs)
    assert bias.table().values is table
    assert DenseBias(dense).table() is None


def test_biases_of_a_wrong_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 3\); expected \[batch or 1"):
        DenseBias(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"shape \(2, 5\); expected \[heads, 1 \+ 2 \+ 1 distances\]"):
        TableBias(torch.zeros(2, 5), 1, 2, 3, 3)
    layout = Layout.padded(1, 3)
    with pytest.raises(ValueError, match="for 3 queries and 3 keys"):
        AttentionPass(layout, layout).dense(DenseBias(torch.zeros(1, 1, 3, 4)))


def test_layouts_must_fit_each_other() -> None:
    packed = Layout.packed(torch.tensor([0, 2, 3]), 2, 3)
    with pytest.raises(ValueError, match="2 rows of queries cannot attend to 3 rows of keys"):
        AttentionPass(Layout.padded(2, 1), Layout.padded(3, 1))
    with pytest.raises(ValueError, match="4 queries over only 3 keys"):
        AttentionPass(Layout.padded(1, 4), Layout.padded(1, 3), causal=True)
    with pytest.raises(ValueError, match="one layout for queries and keys"):
        AttentionPass(Layout.padded(2, 2), packed, causal=True)
    mask = torch.ones(1, 1, 3, 4, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"\(1, 1, 3, 4\), but there are 2 queries"):
        AttentionPass(Layout.padded(1, 2), Layout.from_attention_mask(mask, 1, 4, 3))


def test_a_request_knows_its_words() -> None:
    with pytest.raises(ValueError, match="holds 'dropuot'; the known needs are causal"):
        AttentionRequest("toy", "train", "cpu", torch.float32, 2, 8, frozenset({"dropuot"}))
    request = AttentionRequest("toy", "train", "cpu", torch.float32, 2, 8, frozenset({"probs", "bias"}))
    assert str(request) == "train, cpu, float32, 2 heads of 8, needs bias probs"


def test_a_causal_query_beside_a_cache_reads_the_past() -> None:
    step = AttentionPass(Layout.padded(1, 2), Layout.padded(1, 4), causal=True)
    assert step.offset == 2
    assert step.allowed()[0, 0].int().tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert step.dead() is None
    one = AttentionPass(Layout.padded(1, 1), Layout.padded(1, 4), causal=True)
    assert one.allowed() is None
    assert one.added(None, torch.float32) is None


def test_a_mask_of_pairs_is_complete() -> None:
    layout = Layout.from_attention_mask(torch.ones(1, 3, 3), 1, 3)
    step = AttentionPass(layout, layout, causal=True)
    assert not step.causal
    assert step.allowed().all()


def test_masks_are_made_once() -> None:
    layout = Layout.padded(2, 3, torch.tensor([[1, 1, 0], [0, 0, 0]]))
    step = AttentionPass(layout, layout, causal=True)
    assert step.allowed() is step.allowed()
    assert step.dead() is step.dead()
    assert step.dead()[:, 0, :, 0].tolist() == [[False] * 3, [True] * 3]
    plain = step.added(None, torch.float32)
    assert step.added(None, torch.float32) is plain
    assert step.added(None, torch.float16).dtype == torch.float16
    revived = step.added(None, torch.float32, revive=True)
    assert not revived[1].any()
    assert plain[1].isinf().all()
    assert torch.equal(plain[0], revived[0])


class CountingBias(DenseBias):
    """Counts how often it is made dense."""

    __slots__ = ("made",)

    def __init__(self, tensor: Tensor) -> None:
        super().__init__(tensor)
        self.made = 0

    def dense(self) -> Tensor:
        self.made += 1
        return super().dense()


@every_implementation
@pytest.mark.parametrize("trained", [False, True])
def test_a_bias_of_all_layers_is_made_once(implementation: AttentionImplementation, trained: bool) -> None:
    layout = Layout.padded(2, 3, torch.tensor([[1, 1, 0], [1, 1, 1]]))
    step = AttentionPass(layout, layout)
    bias = CountingBias(torch.randn(1, 2, 3, 3, requires_grad=trained))
    implementation.prepare(step, bias, torch.float32)
    q, k, v = (torch.randn(6, 2, 4) for _ in range(3))
    for _ in range(4):
        implementation(q, k, v, step, scale=SCALE, bias=bias)
    assert bias.made == 1


@every_implementation
@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("prepared", [False, True])
def test_checkpointed_layers_pass_all_gradients_to_a_shared_bias(
    implementation: AttentionImplementation, reentrant: bool, prepared: bool
) -> None:
    torch.manual_seed(0)
    layout = Layout.padded(2, 4, torch.tensor([[1, 1, 1, 0], [0, 1, 1, 1]]))
    x = torch.randn(8, 2, 4, requires_grad=True)
    table = torch.randn(2, 5, requires_grad=True)

    def forward(checkpointed: bool) -> Iterator[Tensor]:
        step = AttentionPass(layout, layout, causal=True)
        bias = TableBias(table, 2, 2, 4, 4)
        if prepared:
            implementation.prepare(step, bias, x.dtype)

        def layer(h: Tensor) -> Tensor:
            return h + implementation(h, h, h, step, scale=SCALE, bias=bias)[0]

        h = x
        for _ in range(3):
            h = checkpoint(layer, h, use_reentrant=reentrant) if checkpointed else layer(h)
        h.square().sum().backward()
        for leaf in (x, table):
            yield leaf.grad
            leaf.grad = None

    torch.testing.assert_close(list(forward(True)), list(forward(False)))


@pytest.mark.parametrize(
    ("query", "mask", "causal", "biased", "passed"),
    [
        (4, None, False, False, (False, False)),
        (4, None, True, False, (False, True)),
        (1, None, True, False, (False, False)),
        (2, None, True, False, (True, False)),
        (4, "2-D", True, False, (True, False)),
        (4, "2-D", False, False, (True, False)),
        (4, "all real", True, False, (False, True)),
        (4, "all real", False, False, (False, False)),
        (4, None, True, True, (True, False)),
        (4, None, False, True, (True, False)),
    ],
)
def test_sdpa_gets_no_mask_it_does_not_need(
    monkeypatch: pytest.MonkeyPatch,
    query: int,
    mask: str | None,
    causal: bool,
    biased: bool,
    passed: tuple[bool, bool],
) -> None:
    seen: list[tuple[bool, bool]] = []
    original = sdpa.scaled_dot_product_attention

    def spy(
        q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, p: float, causal: bool, **options: Any
    ) -> Tensor:
        seen.append((mask is not None, causal))
        return original(q, k, v, mask, p, causal, **options)

    monkeypatch.setattr(sdpa, "scaled_dot_product_attention", spy)
    ask = Layout.padded(2, query)
    real = torch.ones(2, 4)
    real[1, 2] = mask != "2-D"
    answer = ask if query == 4 and mask is None else Layout.padded(2, 4, None if mask is None else real)
    q = torch.randn(2 * query, 2, 4)
    k, v = torch.randn(8, 2, 4), torch.randn(8, 2, 4)
    bias = DenseBias(torch.randn(1, 2, query, 4)) if biased else None
    IMPLEMENTATIONS["sdpa"](q, k, v, AttentionPass(ask, answer, causal=causal), scale=SCALE, bias=bias)
    assert seen == [passed]


def test_sdpa_refuses_to_leave_out_what_was_asked() -> None:
    layout = Layout.padded(1, 2)
    q, k, v = (torch.randn(2, 1, 4) for _ in range(3))
    with pytest.raises(ValueError, match="probabilities"):
        IMPLEMENTATIONS["sdpa"](q, k, v, AttentionPass(layout, layout, need_probs=True), scale=1.0)
    with pytest.raises(ValueError, match="head_mask"):
        IMPLEMENTATIONS["sdpa"](
            q, k, v, AttentionPass(layout, layout), scale=1.0, head_mask=torch.ones(1, 1, 1, 1)
        )


@every_implementation
def test_keys_that_are_nowhere_are_missed(implementation: AttentionImplementation) -> None:
    layout = Layout.padded(1, 2)
    with pytest.raises(ValueError, match="without keys and values"):
        implementation(torch.randn(2, 1, 4), None, None, AttentionPass(layout, layout), scale=1.0)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("queries", [1, 3, 5])
@pytest.mark.parametrize("form", ["plain", "padded", "packed", "pairwise"])
def test_what_needs_no_mask_is_known_beforehand(form: str, queries: int, causal: bool) -> None:
    mask = torch.tensor([[0, 1, 1, 1, 1], [1, 1, 1, 1, 1]])
    layouts = {
        "plain": Layout.padded(2, 5),
        "padded": Layout.padded(2, 5, mask),
        "packed": Layout.packed(torch.tensor([0, 5, 8]), 5, 8),
        "pairwise": Layout.from_attention_mask(torch.ones(2, queries, 5), 2, 5, queries),
    }
    key = layouts[form]
    if form == "packed" and queries != 5:
        return
    step = AttentionPass(key if queries == 5 else Layout.padded(2, queries), key, causal=causal)
    assert step.unmasked == (form == "plain" and step.allowed() is None)
    assert step.only_causal == (causal and queries == 5 and form in ("plain", "packed"))
    if step.only_causal:
        allowed = step.allowed()
        assert allowed is not None
        triangle = torch.ones(5, 5, dtype=torch.bool).tril()
        real = key.key_mask() if form == "packed" else None
        expected = triangle.expand(2, 1, 5, 5) if real is None else triangle & real[:, None, None, :]
        assert torch.equal(allowed.expand(2, 1, 5, 5), expected)
