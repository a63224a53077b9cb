"""A tiny BERT with ``bert_varlen`` beside eager attention: the same numbers, forward, backward and in training."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from formers.kernels import parity

if reason := parity.why_not():
    pytest.skip(reason, allow_module_level=True)

import formers_bert
from formers import AttentionUnsupported
from formers.attention import AttentionPass, AttentionRequest
from formers.kernels.support import interpreting
from formers.layout import Layout
from formers_bert.configuration import tiny_config
from formers_bert.varlen import VARLEN

pytestmark = pytest.mark.kernels

LENGTHS = [4, 1, 7]
MASK = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [1, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1]]).bool()
HOLES = torch.tensor([[1, 0, 1, 1, 0, 0, 1], [0, 1, 1, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0]]).bool()
PAIR = tuple[Any, Any]


def pair(name: str = "BertModel", **options: Any) -> PAIR:
    """Two models of the same weights: one eager, one with the kernels."""
    options = {"attention_probs_dropout_prob": 0.0, "hidden_dropout_prob": 0.0, **options}
    models = [
        getattr(formers_bert, name).from_config(tiny_config(**options), attn_implementation=attention)
        for attention in ("eager", "bert_varlen")
    ]
    with torch.no_grad():
        for parameter in models[0].parameters():
            parameter.normal_(0.0, 0.3)
    models[1].load_state_dict(models[0].state_dict())
    first, second = (model.to(parity.DEVICE).eval() for model in models)
    return first, second


def tokens(*shape: int) -> Tensor:
    return torch.randint(1, 64, shape, device=parity.DEVICE)


def on_device(mask: Tensor) -> Tensor:
    return mask.to(parity.DEVICE)


def compare(models: PAIR, real: Tensor | None, *inputs: Any, **options: Any) -> None:
    """Hidden states of real tokens, and every gradient of a loss of them."""
    gradients, states = [], []
    for model in models:
        model.zero_grad()
        hidden = model(*inputs, **options)[0]
        read = hidden if real is None else hidden[real]
        read.sin().sum().backward()
        states.append(read.detach())
        gradients.append({name: value.grad for name, value in model.named_parameters()})
    torch.testing.assert_close(states[1], states[0], rtol=1e-5, atol=1e-5)
    for name, expected in gradients[0].items():
        if expected is not None:
            torch.testing.assert_close(gradients[1][name], expected, rtol=1e-4, atol=1e-4, msg=name)


def test_rows_without_padding() -> None:
    compare(pair(), None, tokens(3, 7))


@pytest.mark.parametrize("mask", [MASK, HOLES], ids=["left and right", "holes, and a row of padding"])
@pytest.mark.parametrize("is_decoder", [False, True])
def test_rows_with_padding(mask: Tensor, is_decoder: bool) -> None:
    mask = on_device(mask)
    options = {"use_cache": False} if is_decoder else {}
    compare(pair(is_decoder=is_decoder), mask, tokens(3, 7), mask, **options)


@pytest.mark.parametrize("is_decoder", [False, True])
def test_a_packed_batch(is_decoder: bool) -> None:
    bounds = torch.tensor([0, 4, 5, 5, 12], device=parity.DEVICE)
    compare(pair(is_decoder=is_decoder), None, tokens(12), Layout.packed(bounds, 8, 12), use_cache=False)


def test_cross_attention_over_a_padded_source() -> None:
    models = pair("BertLMHeadModel", is_decoder=True, add_cross_attention=True)
    source = torch.randn(3, 5, 16, device=parity.DEVICE)
    source_mask = on_device(torch.tensor([[1, 1, 1, 0, 0], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0]]))
    options = {"encoder_hidden_states": source, "encoder_attention_mask": source_mask, "use_cache": False}
    compare(models, on_device(MASK), tokens(3, 7), on_device(MASK), **options)


def test_the_loss_of_a_head() -> None:
    models = pair("BertForMaskedLM")
    ids, mask = tokens(3, 7), on_device(MASK)
    labels = torch.where(mask, ids, -100)
    first, second = (model(ids, mask, labels=labels).loss for model in models)
    torch.testing.assert_close(second, first)


class TestTraining:
    def model(self, **options: Any) -> Any:
        options = {"attention_probs_dropout_prob": 0.5, "num_hidden_layers": 1, **options}
        return pair(**options)[1].train()

    def hidden(self, model: Any, seed: int) -> Tensor:
        torch.manual_seed(seed)
        state: Tensor = model(TestTraining.ids())[0]
        return state

    @staticmethod
    def ids() -> Tensor:
        return torch.arange(1, 8, device=parity.DEVICE)[None]

    def test_dropout_follows_the_seed(self) -> None:
        model = self.model()
        first = self.hidden(model, 0)
        assert torch.equal(first, self.hidden(model, 0))
        assert not torch.equal(first, self.hidden(model, 1))
        assert torch.equal(self.hidden(model.eval(), 0), self.hidden(model, 1))

    def test_layers_drop_differently(self) -> None:
        model = self.model(num_hidden_layers=2)
        seen: list[Tensor] = []
        for layer in model.encoder.layer:
            layer.attention.self.register_forward_hook(lambda module, args, out: seen.append(out[0]))
        layers = model.encoder.layer
        layers[1].load_state_dict(layers[0].state_dict())
        layers[0].register_forward_hook(
            lambda module, args, out: (args[0], *out[1:])
        )  # both get the same input
        model(self.ids())
        assert not torch.equal(seen[0], seen[1])

    def test_its_mean_is_the_output_without_dropout(self) -> None:
        """The context of the attention is linear in what dropout scales, so that its mean is exact."""
        model = self.model()
        contexts: list[Tensor] = []
        model.encoder.layer[0].attention.self.register_forward_hook(
            lambda module, args, out: contexts.append(out[0].detach())
        )
        ids = self.ids().expand(40, -1)
        torch.manual_seed(0)
        model(ids)
        model.eval()(ids[:1])
        dropped, exact = contexts
        error = (dropped.mean(0) - exact[0]).abs() / (dropped.std(0) / len(ids) ** 0.5)
        assert error.max() < 5  # standard errors

    def test_gradient_checkpointing_repeats_what_was_dropped(self) -> None:
        gradients = []
        model = self.model()
        for checkpointing in (False, True):
            if checkpointing:
                model.gradient_checkpointing_enable()
            model.zero_grad()
            self.hidden(model, 3).sin().sum().backward()
            gradients.append([value.grad for value in model.parameters() if value.grad is not None])
        for plain, repeated in zip(*gradients, strict=True):
            assert torch.equal(plain, repeated)


def test_it_is_part_of_one_graph() -> None:
    torch._dynamo.reset()
    model = pair(num_hidden_layers=1)[1]
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    ids, mask = tokens(3, 7), on_device(MASK)
    found = []
    for function in (model, compiled):
        model.zero_grad()
        hidden = function(ids, mask)[0]
        hidden[mask].sin().sum().backward()
        found.append(
            {"hidden": hidden.detach(), **{name: one.grad for name, one in model.named_parameters()}}
        )
    for name, plain in found[0].items():
        if plain is not None:
            torch.testing.assert_close(found[1][name], plain, msg=name)
    torch._dynamo.reset()


class TestSelection:
    def request(self, *needs: str, **changes: Any) -> AttentionRequest:
        options: dict[str, Any] = {"dtype": torch.float32, "heads": 2, "head_dim": 8, **changes}
        return AttentionRequest("bert", "encode", parity.DEVICE, needs=frozenset(needs), **options)

    def test_by_name(self) -> None:
        model = pair()[1]
        model(tokens(1, 3))
        assert model.attention_report().names() == ["bert_varlen"]

    @pytest.mark.skipif(not interpreting(), reason="on a GPU it may")
    def test_the_interpreter_does_not_select_it_by_itself(self) -> None:
        model = formers_bert.BertModel(tiny_config())
        model(tokens(1, 3))
        assert "bert_varlen" not in model.attention_report().names()

    @pytest.mark.parametrize("need", ["probs", "head_mask", "dense_mask", "bias", "cache"])
    def test_what_it_refuses(self, need: str) -> None:
        (reason,) = VARLEN.supports(self.request(need))
        assert reason

    def test_what_it_serves(self) -> None:
        assert not VARLEN.supports(self.request("causal", "packed", "dropout", "cross", "padding"))

    @pytest.mark.parametrize(
        "options",
        [{"output_attentions": True}, {"head_mask": torch.ones(2)}],
        ids=lambda options: str(*options),
    )
    def test_a_name_never_falls_back(self, options: dict[str, Any]) -> None:
        with pytest.raises(AttentionUnsupported, match="bert_varlen"):
            pair()[1](tokens(1, 3), **options)


class TestCallsThatSelectionWouldNotMake:
    def call(self, query: Layout, key: Layout, causal: bool = False, **options: Any) -> Tensor:
        q, k = torch.randn(query.tokens, 1, 16), torch.randn(key.tokens, 1, 16)
        step = AttentionPass(query, key, causal=causal)
        return VARLEN(on_device(q), on_device(k), on_device(k), step, scale=1.0, **options)[0]

    def test_causal_over_keys_that_are_padded_otherwise(self) -> None:
        keys = Layout(1, 4, mask=on_device(torch.tensor([[False, True, True, True]])), device=parity.DEVICE)
        with pytest.raises(ValueError, match="needs one layout"):
            self.call(Layout.padded(1, 2, device=keys.device), keys, causal=True)

    def test_what_supports_refuses(self) -> None:
        rows = Layout.padded(1, 2, device=torch.device(parity.DEVICE))
        with pytest.raises(ValueError, match="probabilities"):
            self.call(rows, rows, head_mask=torch.ones(1))
        with pytest.raises(ValueError, match="can be added"):
            self.call(rows, rows, bias=object())
        with pytest.raises(ValueError, match="cache"):
            self.call(rows, rows, cache=object())
