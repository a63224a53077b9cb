"""A tiny T5 with ``t5_relbias`` beside eager attention: the same numbers, forward, backward and in training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from formers.kernels import parity

if reason := parity.why_not():
    pytest.skip(reason, allow_module_level=True)

import formers_t5
from formers import AttentionUnsupported
from formers.attention import AttentionPass, AttentionRequest, DenseBias, TableBias
from formers.attention.eager import Eager
from formers.cache import DynamicCache, EncoderDecoderCache, StaticCache
from formers.kernels.support import interpreting
from formers.layout import Layout
from formers_t5.configuration import tiny_config
from formers_t5.relbias import RELBIAS

pytestmark = pytest.mark.kernels

MASK = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [1, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1]]).bool()
HOLES = torch.tensor([[1, 0, 1, 1, 0, 0, 1], [0, 1, 1, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0]]).bool()
TABLES = ("encoder", "decoder")


def models(name: str = "T5ForConditionalGeneration", *others: str, **options: Any) -> list[Any]:
    """Models of the same weights: eager, the others named, and with the kernels."""
    options = {"dropout_rate": 0.0, **options}
    made = [
        getattr(formers_t5, name).from_config(tiny_config(**options), attn_implementation=attention)
        for attention in ("eager", *others, "t5_relbias")
    ]
    with torch.no_grad():
        for key, parameter in made[0].named_parameters():
            parameter.normal_(0.0, 2.0 if "relative_attention_bias" in key else 0.3)
    for model in made[1:]:
        model.load_state_dict(made[0].state_dict())
    return [model.to(parity.DEVICE).eval() for model in made]


def tokens(*shape: int) -> Tensor:
    return torch.randint(2, 64, shape, device=parity.DEVICE)


def on_device(mask: Tensor) -> Tensor:
    return mask.to(parity.DEVICE)


def compare(given: list[Any], real: Tensor | None, *inputs: Any, **options: Any) -> None:
    """Hidden states or logits of real tokens, and every gradient of a loss of them."""
    gradients, states = [], []
    for model in given:
        model.zero_grad()
        hidden = model(*inputs, **options)[0]
        read = hidden if real is None else hidden[real]
        read.sin().sum().backward()
        states.append(read.detach())
        gradients.append({name: value.grad for name, value in model.named_parameters()})
    for index, state in enumerate(states[1:], start=1):
        torch.testing.assert_close(state, states[0], rtol=1e-5, atol=1e-5)
        for name, expected in gradients[0].items():
            if expected is not None:
                torch.testing.assert_close(gradients[index][name], expected, rtol=1e-4, atol=1e-4, msg=name)


def test_an_encoder() -> None:
    given = models("T5EncoderModel", "sdpa")
    compare(given, None, tokens(3, 40))
    assert given[-1].encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight.grad.any()


@pytest.mark.parametrize("mask", [MASK, HOLES], ids=["left and right", "holes, and a row of padding"])
def test_an_encoder_of_padded_rows(mask: Tensor) -> None:
    mask = on_device(mask)
    compare(models("T5EncoderModel"), mask, tokens(3, 7), mask)


def test_an_encoder_of_a_packed_batch() -> None:
    bounds = torch.tensor([0, 4, 5, 5, 38], device=parity.DEVICE)
    compare(models("T5EncoderModel"), None, tokens(38), Layout.packed(bounds, 40, 38))


def test_packed_is_padded_is_alone() -> None:
    model = models("T5EncoderModel")[1]
    mask = on_device(MASK)
    ids = tokens(3, 7)
    padded = model(ids, mask)[0][mask]
    packed = Layout.packed(torch.tensor([0, 4, 5, 12], device=parity.DEVICE), 7, 12)
    together = model(ids[mask], packed)[0]
    alone = torch.cat([model(row[real][None])[0][0] for row, real in zip(ids, mask, strict=True)])
    torch.testing.assert_close(padded, together)
    torch.testing.assert_close(alone, together)


def test_a_decoder_with_cross_attention() -> None:
    given = models("T5ForConditionalGeneration", "sdpa", num_layers=1)
    compare(given, None, tokens(2, 9), None, tokens(2, 36), use_cache=False)
    for model in given:
        for stack in TABLES:
            table = getattr(model, stack).block[0].layer[0].SelfAttention.relative_attention_bias.weight
            assert table.grad.any()


@pytest.mark.parametrize("mask", [MASK, HOLES], ids=["left and right", "holes, and a row of padding"])
def test_a_decoder_of_padded_rows_over_a_padded_source(mask: Tensor) -> None:
    mask, source_mask = on_device(mask), on_device(HOLES)
    compare(
        models("T5ForConditionalGeneration"),
        mask,
        tokens(3, 7),
        source_mask,
        tokens(3, 7),
        mask,
        use_cache=False,
    )


def test_a_decoder_over_a_packed_source() -> None:
    source = Layout.packed(torch.tensor([0, 4, 4, 11], device=parity.DEVICE), 7, 11)
    compare(models(num_layers=1), None, tokens(11), source, tokens(3, 7), use_cache=False)


@pytest.mark.parametrize("stack", TABLES)
def test_pruned_heads(stack: str) -> None:
    given = models("T5ForConditionalGeneration", num_heads=4, num_layers=1)
    for model in given:
        getattr(model, stack).prune_heads({0: [2]})
    compare(given, None, tokens(2, 9), None, tokens(2, 9), use_cache=False)


def test_a_prompt_in_chunks() -> None:
    """The queries of a chunk stand at the end of the keys in the cache."""
    eager, model = models(num_layers=1)
    source, target, mask = tokens(3, 6), tokens(3, 9), on_device(MASK)
    mask = torch.cat((mask, torch.ones_like(mask[:, :2])), dim=1)
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    with torch.no_grad():
        whole = eager(source, None, target, mask, use_cache=False).logits
        parts = [
            model(
                source, None, target[:, start:end], mask[:, :end], past_key_values=cache, use_cache=True
            ).logits
            for start, end in ((0, 4), (4, 7), (7, 9))
        ]
    torch.testing.assert_close(torch.cat(parts, dim=1)[mask], whole[mask], rtol=1e-5, atol=1e-5)


class TestTraining:
    def model(self, **options: Any) -> Any:
        options = {"dropout_rate": 0.5, "num_layers": 1, **options}
        return models("T5EncoderModel", **options)[1].train()

    def hidden(self, model: Any, seed: int) -> Tensor:
        torch.manual_seed(seed)
        state: Tensor = model(torch.arange(2, 9, device=parity.DEVICE)[None])[0]
        return state

    def test_dropout_follows_the_seed(self) -> None:
        model = self.model()
        first = self.hidden(model, 0)
        assert torch.equal(first, self.hidden(model, 0))
        assert not torch.equal(first, self.hidden(model, 1))
        assert torch.equal(self.hidden(model.eval(), 0), self.hidden(model, 1))

    @pytest.mark.parametrize("reentrant", [False, True])
    def test_gradient_checkpointing_repeats_what_was_dropped(self, reentrant: bool) -> None:
        gradients = []
        model = self.model(num_layers=2)
        for checkpointing in (False, True):
            if checkpointing:
                model.gradient_checkpointing_enable({"use_reentrant": reentrant})
            model.zero_grad()
            self.hidden(model, 3).sin().sum().backward()
            gradients.append({name: value.grad for name, value in model.named_parameters()})
        assert gradients[0]["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"].any()
        for name, plain in gradients[0].items():
            torch.testing.assert_close(gradients[1][name], plain, msg=name)


class TestCompiled:
    @pytest.fixture(autouse=True)
    def _fresh(self) -> Iterator[None]:
        torch._dynamo.reset()
        yield
        torch._dynamo.reset()

    @pytest.mark.parametrize("trained", [True, False], ids=["", "with a frozen table"])
    def test_it_is_part_of_one_graph(self, trained: bool) -> None:
        model = models("T5EncoderModel", num_layers=1)[1]
        model.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.requires_grad_(trained)
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
        ids, mask = tokens(3, 7), on_device(MASK)
        found = []
        for function in (model, compiled):
            model.zero_grad()
            hidden = function(ids, mask)[0]
            hidden[mask].sin().sum().backward()
            gradients = {name: one.grad for name, one in model.named_parameters()}
            found.append({"hidden": hidden.detach(), **gradients})
        for name, plain in found[0].items():
            if plain is None:
                assert found[1][name] is None
            else:
                torch.testing.assert_close(found[1][name], plain, msg=name)


class TestSelection:
    def request(self, *needs: str, **changes: Any) -> AttentionRequest:
        options: dict[str, Any] = {
            "phase": "encode",
            "dtype": torch.float32,
            "heads": 2,
            "head_dim": 8,
            **changes,
        }
        return AttentionRequest("t5", device=parity.DEVICE, needs=frozenset(needs), **options)

    def test_by_name(self) -> None:
        model = models()[1]
        model(tokens(1, 3), None, tokens(1, 3), use_cache=False)
        assert model.attention_report().names() == ["t5_relbias"]

    def test_multilingual_models_have_it_too(self) -> None:
        config = formers_t5.MT5Config(d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, vocab_size=64)
        formers_t5.T5EncoderModel.from_config(config, attn_implementation="t5_relbias")

    @pytest.mark.skipif(not interpreting(), reason="on a GPU it may")
    def test_the_interpreter_does_not_select_it_by_itself(self) -> None:
        model = formers_t5.T5EncoderModel(tiny_config())
        model(tokens(1, 3))
        assert "t5_relbias" not in model.attention_report().names()

    @pytest.mark.parametrize("needs", [("probs",), ("head_mask",), ("dense_mask",), ("cross", "bias")])
    def test_what_it_refuses(self, needs: tuple[str, ...]) -> None:
        (reason,) = RELBIAS.supports(self.request(*needs))
        assert reason

    @pytest.mark.parametrize(
        "changes",
        [{"phase": "decode"}, {"dtype": torch.float64}, {"head_dim": 129}],
        ids=lambda one: str(*one),
    )
    def test_calls_that_it_refuses(self, changes: dict[str, Any]) -> None:
        (reason,) = RELBIAS.supports(self.request(**changes))
        assert reason

    def test_what_it_serves(self) -> None:
        needs = ("causal", "packed", "padding", "bias", "bias_grad", "dropout", "cache")
        assert not RELBIAS.supports(self.request(*needs))
        assert not RELBIAS.supports(self.request("cross", "padding", "dropout"))

    @pytest.mark.parametrize(
        "options",
        [{"output_attentions": True}, {"head_mask": torch.ones(2)}],
        ids=lambda options: str(*options),
    )
    def test_a_name_never_falls_back(self, options: dict[str, Any]) -> None:
        with pytest.raises(AttentionUnsupported, match="t5_relbias"):
            models("T5EncoderModel")[1](tokens(1, 3), **options)


class TestCallsThatSelectionWouldNotMake:
    def call(self, step: AttentionPass, **options: Any) -> Tensor:
        q, k = torch.randn(step.query.tokens, 1, 16), torch.randn(step.key.tokens, 1, 16)
        return RELBIAS(on_device(q), on_device(k), on_device(k), step, scale=1.0, **options)[0]

    def rows(self, length: int = 2) -> Layout:
        return Layout.padded(1, length, device=torch.device(parity.DEVICE))

    def test_causal_without_a_bias(self) -> None:
        rows = self.rows(3)
        q = on_device(torch.randn(3, 1, 16))
        step = AttentionPass(rows, rows, causal=True)
        out, _ = RELBIAS(q, q, q, step, scale=1.0)
        torch.testing.assert_close(out[0], q[0])

    def test_padding_of_queries_at_the_end_of_their_keys(self) -> None:
        """The mask of the queries moves none of them."""
        keys = Layout.padded(1, 5, on_device(torch.tensor([[0, 1, 1, 1, 0]])))
        queries = Layout.padded(1, 2, on_device(torch.tensor([[1, 0]])))
        q, k = on_device(torch.randn(2, 1, 16)), on_device(torch.randn(5, 1, 16))
        bias = TableBias(on_device(torch.randn(1, 5)), 4, 0, 2, 5, 3)
        outs = [
            one(q, k, k, AttentionPass(queries, keys, causal=True), scale=1.0, bias=bias)[0]
            for one in (Eager(), RELBIAS)
        ]
        torch.testing.assert_close(outs[1], outs[0])

    def test_a_dense_bias(self) -> None:
        rows = self.rows()
        with pytest.raises(ValueError, match="not one by distance"):
            self.call(AttentionPass(rows, rows), bias=DenseBias(torch.zeros(1, 1, 2, 2)))

    def test_probabilities(self) -> None:
        rows = self.rows()
        with pytest.raises(ValueError, match="probabilities"):
            self.call(AttentionPass(rows, rows, need_probs=True))

    def test_a_mask_by_pairs(self) -> None:
        mask = on_device(torch.ones(1, 2, 2))
        rows = Layout.from_attention_mask(mask, 1, 2)
        with pytest.raises(ValueError, match="3 or 4 dimensions"):
            self.call(AttentionPass(rows, rows))

    def test_a_cache_of_fixed_shapes(self) -> None:
        cache = StaticCache(tiny_config(num_layers=1), max_cache_len=4)
        cache.update(on_device(torch.zeros(1, 1, 1, 16)), on_device(torch.zeros(1, 1, 1, 16)), 0)
        cache.fix_shapes()
        rows = self.rows()
        with pytest.raises(ValueError, match="one query at a time"):
            self.call(AttentionPass(rows, rows), cache=cache.layer(0))
