"""The attention of packed documents on a CPU; that it computes the right thing is in test_attention_laws.py."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from formers.attention import AttentionPass, AttentionRequest, TableBias, varlen_cpu
from formers.attention.eager import Eager
from formers.attention.select import select
from formers.attention.varlen_cpu import VarlenCpu
from formers.layout import Layout

LENGTHS = [3, 3, 0, 5, 2, 2, 2]


def layout(lengths: list[int] = LENGTHS) -> Layout:
    return Layout.packed(torch.tensor([0, *lengths]).cumsum(0))


def heads(tokens: int = sum(LENGTHS)) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(tokens, 2, 4, requires_grad=True) for _ in range(3)]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The calls of torch's kernel: shape of the queries, shape of what is added, causality."""
    calls: list[tuple[Any, ...]] = []
    kernel = varlen_cpu.scaled_dot_product_attention

    def count(*args: Any, **options: Any) -> Tensor:
        query, _, _, added, _, causal = args
        calls.append((tuple(query.shape), None if added is None else tuple(added.shape), causal))
        return kernel(*args, **options)

    monkeypatch.setattr(varlen_cpu, "scaled_dot_product_attention", count)
    return calls


def test_neighbours_of_one_length_share_a_call_and_nothing_is_masked(made: list[tuple[Any, ...]]) -> None:
    for causal in (False, True):
        made.clear()
        packed = layout()
        out, _ = VarlenCpu()(*heads(), AttentionPass(packed, packed, causal=causal), scale=0.5)
        assert out.shape == (17, 2, 4)
        assert made == [
            ((2, 2, 3, 4), None, causal),
            ((1, 2, 5, 4), None, causal),
            ((3, 2, 2, 4), None, causal),
        ]


def test_documents_of_one_length_are_one_call(made: list[tuple[Any, ...]]) -> None:
    packed = layout([4] * 6)
    VarlenCpu()(*heads(24), AttentionPass(packed, packed), scale=0.5)
    assert made == [((6, 2, 4, 4), None, False)]


def test_a_bias_is_made_once_and_cut_to_each_length(made: list[tuple[Any, ...]]) -> None:
    packed, table = layout(), torch.randn(2, 5, requires_grad=True)
    step = AttentionPass(packed, packed)
    bias = TableBias(table, 2, 2, packed.length, packed.length)
    implementation = VarlenCpu()
    implementation.prepare(step, bias, torch.float32)
    results = [implementation(*heads(), step, scale=0.5, bias=bias)[0] for _ in range(2)]
    assert [added for _, added, _ in made] == 2 * [(1, 2, 3, 3), (1, 2, 5, 5), (1, 2, 2, 2)]
    assert torch.equal(*results)


@pytest.mark.parametrize("causal", [False, True])
def test_twice_is_bit_for_bit_the_same(causal: bool) -> None:
    packed = layout()
    found = []
    for _ in range(2):
        leaves = heads()
        out, _ = VarlenCpu()(*leaves, AttentionPass(packed, packed, causal=causal), scale=0.5)
        out.sin().sum().backward()
        found.append([out, *(leaf.grad for leaf in leaves)])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_dropout_leaves_the_mean_and_is_not_the_same_in_documents_of_one_length() -> None:
    packed = layout([4, 4])
    q, k, v = (torch.cat([half, half]) for half in (one.detach()[:4] for one in heads()))
    expected, _ = Eager()(q, k, v, AttentionPass(packed, packed), scale=0.5)
    step = AttentionPass(packed, packed, dropout=0.4)
    drawn = torch.stack([VarlenCpu()(q, k, v, step, scale=0.5)[0] for _ in range(4000)])
    error = drawn.std(dim=0) / len(drawn) ** 0.5
    assert ((drawn.mean(dim=0) - expected).abs() / error).max() < 5
    assert not torch.equal(drawn[0, :4], drawn[0, 4:])


def request(*needs: str, device: str = "cpu") -> AttentionRequest:
    return AttentionRequest("toy", "encode", device, torch.float32, 2, 4, frozenset(needs))


def test_it_is_chosen_for_packed_batches_on_a_cpu() -> None:
    assert (
        select(request("packed", "dropout", "bias", "bias_grad", "causal")).implementation.name
        == "varlen_cpu"
    )
    for refused, reason in (
        (request("padding"), "packed batches"),
        (request("packed", device="cuda"), "for the CPU, not for cuda"),
        (request("packed", "cache"), "keeps its keys padded"),
        (request("packed", "probs"), "probabilities"),
        (request("packed", "head_mask"), "head_mask"),
    ):
        reasons = VarlenCpu().supports(refused)
        assert len(reasons) == 1
        assert reason in reasons[0]
        assert select(refused).implementation.name != "varlen_cpu"
