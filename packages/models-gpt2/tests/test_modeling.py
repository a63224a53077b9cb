from __future__ import annotations

import copy
import pickle
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import formers_gpt2
from formers.cache import DynamicCache, EncoderDecoderCache
from formers_gpt2 import GPT2LMHeadModel, GPT2Model
from formers_gpt2.configuration import tiny_config
from formers_gpt2.layers import Conv1D

IDS = torch.arange(1, 13).view(2, 6)
MODELS = [
    "GPT2Model",
    "GPT2LMHeadModel",
    "GPT2DoubleHeadsModel",
    "GPT2ForSequenceClassification",
    "GPT2ForTokenClassification",
    "GPT2ForQuestionAnswering",
]


def build(name: str, **options: Any) -> Any:
    return getattr(formers_gpt2, name)(tiny_config(**{"pad_token_id": 0} | options))


def test_every_model_is_listed() -> None:
    named = {name for name in formers_gpt2.__all__ if "Model" in name or "For" in name}
    assert named == {*MODELS, "GPT2DoubleHeadsModelOutput", "GPT2PreTrainedModel"}


def test_outputs_have_the_documented_shapes() -> None:
    output = GPT2Model(tiny_config())(IDS, output_hidden_states=True, output_attentions=True)
    assert output.last_hidden_state.shape == (2, 6, 16)
    assert [state.shape for state in output.hidden_states] == [(2, 6, 16)] * 3
    assert [probs.shape for probs in output.attentions] == [(2, 2, 6, 6)] * 2
    assert torch.equal(output.hidden_states[-1], output.last_hidden_state)
    assert output.cross_attentions is None
    assert isinstance(output.past_key_values, DynamicCache)


@pytest.mark.parametrize("name", ["output_hidden_states", "output_attentions"])
def test_the_configuration_may_ask_for_more(name: str) -> None:
    key = name.removeprefix("output_")
    model = GPT2Model(tiny_config(**{name: True}))
    assert key in model(IDS)
    assert key not in model(IDS, **{name: False})


def test_tuples() -> None:
    model = GPT2Model(tiny_config()).eval()
    values = model(IDS, return_dict=False, output_hidden_states=True)
    assert isinstance(values, tuple)
    assert isinstance(values[1], DynamicCache)
    assert torch.equal(values[0], model(IDS).last_hidden_state)
    model.config.return_dict = False
    assert isinstance(model(IDS), tuple)


def test_token_types_are_tokens() -> None:
    model = GPT2Model(tiny_config()).eval()
    types = IDS.flip(0)
    embedded = model.wte(IDS) + model.wte(types)
    torch.testing.assert_close(model(IDS, token_type_ids=types)[0], model(inputs_embeds=embedded)[0])


def test_explicit_positions_win() -> None:
    model = GPT2Model(tiny_config()).eval()
    mask = torch.ones_like(IDS)
    mask[:, :2] = 0
    positions = torch.arange(3, 9)[None].expand(2, -1)
    shifted = model(IDS, attention_mask=mask, position_ids=positions)[0]
    assert not torch.allclose(shifted, model(IDS, attention_mask=mask)[0])
    counted = torch.tensor([[0, 0, 0, 1, 2, 3]]).expand(2, -1)
    found = model(IDS, attention_mask=mask, position_ids=counted)[0]
    assert torch.equal(found, model(IDS, attention_mask=mask)[0])


def test_the_future_is_hidden() -> None:
    model = GPT2Model(tiny_config()).eval()
    changed = IDS.clone()
    changed[:, 3:] = 40
    assert torch.equal(model(changed)[0][:, :3], model(IDS)[0][:, :3])
    assert not torch.equal(model(changed)[0][:, 3:], model(IDS)[0][:, 3:])


class TestCache:
    def test_it_is_the_one_given(self) -> None:
        model = GPT2Model(tiny_config()).eval()
        cache = DynamicCache()
        assert model(IDS, past_key_values=cache).past_key_values is cache
        assert model(IDS, use_cache=False).past_key_values is None

    @pytest.mark.parametrize("training", [False, True])
    def test_the_configuration_decides_otherwise(self, training: bool) -> None:
        for use_cache in (True, False):
            model = GPT2LMHeadModel(tiny_config(use_cache=use_cache)).train(training)
            assert (model(IDS, labels=IDS).past_key_values is not None) == use_cache

    def test_an_encoder_makes_it_two(self) -> None:
        model = GPT2Model(tiny_config(add_cross_attention=True)).eval()
        output = model(IDS, encoder_hidden_states=torch.randn(2, 3, 16), output_attentions=True)
        assert isinstance(output.past_key_values, EncoderDecoderCache)
        assert [probs.shape for probs in output.cross_attentions] == [(2, 2, 6, 3)] * 2

    def test_without_an_encoder_cross_attention_is_left_out(self) -> None:
        model = GPT2Model(tiny_config(add_cross_attention=True)).eval()
        plain = GPT2Model(tiny_config()).eval()
        plain.load_state_dict(model.state_dict(), strict=False)
        assert torch.equal(model(IDS)[0], plain(IDS)[0])

    def test_nested_tuples(self) -> None:
        model = GPT2Model(tiny_config()).eval()
        past = model(IDS[:, :4]).past_key_values.to_legacy_cache()
        torch.testing.assert_close(model(IDS[:, 4:], past)[0], model(IDS)[0][:, 4:])


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_gives_the_same_gradients(reentrant: bool) -> None:
    model = GPT2LMHeadModel(tiny_config(resid_pdrop=0.2, attn_pdrop=0.2, embd_pdrop=0.2))
    mask = torch.ones_like(IDS)
    mask[0, :2] = 0

    def gradients() -> dict[str, Tensor]:
        model.zero_grad()
        torch.manual_seed(1)
        model(IDS, attention_mask=mask, labels=IDS).loss.backward()
        return {key: value.grad.clone() for key, value in model.named_parameters() if value.grad is not None}

    expected = gradients()
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    assert model.is_gradient_checkpointing
    torch.testing.assert_close(gradients(), expected)
    model.gradient_checkpointing_disable()
    assert not model.is_gradient_checkpointing


def test_checkpointed_cross_attention_trains_the_encoder() -> None:
    model = GPT2Model(tiny_config(add_cross_attention=True))

    def gradient() -> Tensor:
        torch.manual_seed(2)
        states = torch.randn(2, 3, 16, requires_grad=True)
        model(IDS, encoder_hidden_states=states * 2).last_hidden_state.sin().sum().backward()
        assert states.grad is not None
        return states.grad

    expected = gradient()
    model.gradient_checkpointing_enable()
    torch.testing.assert_close(gradient(), expected)


def test_layers_are_not_kept_unless_asked() -> None:
    """Without gradients a forward holds on to no layer's output but the last."""
    alive: list[Any] = []
    model = GPT2Model(tiny_config(n_layer=3)).eval()

    def remember(module: nn.Module, args: Any, output: Any) -> None:
        alive.append(weakref.ref(output[0]))

    for layer in model.h:
        layer.register_forward_hook(remember)
    model.ln_f.register_forward_hook(lambda module, args, output: alive.append(weakref.ref(output)))
    with torch.no_grad():
        output = model(IDS)
    assert [reference() is not None for reference in alive] == [False, False, False, True]
    del output


def test_pruning_heads() -> None:
    model = GPT2Model(tiny_config()).eval()
    before = model.num_parameters()
    masked = model(IDS, head_mask=torch.tensor([[1.0, 0.0], [1.0, 1.0]]))[0]
    model.prune_heads({0: [1]})
    assert model.num_parameters() < before
    torch.testing.assert_close(model(IDS)[0], masked)
    assert model.config.pruned_heads == {0: [1]}
    again = GPT2Model(model.config).eval()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(IDS)[0], model(IDS)[0])


@pytest.mark.parametrize("name", MODELS)
def test_what_every_class_offers(name: str) -> None:
    model = build(name)
    output = model(**model.dummy_inputs)
    assert output.to_tuple()
    assert model.base_model is (model if name == "GPT2Model" else model.transformer)
    embedding = model.get_input_embeddings()
    assert embedding is model.base_model.wte
    replacement = nn.Embedding(64, 16)
    model.set_input_embeddings(replacement)
    assert model.get_input_embeddings() is replacement
    assert model.supports_gradient_checkpointing
    head = model.get_output_embeddings()
    assert (head is not None) == (name in ("GPT2LMHeadModel", "GPT2DoubleHeadsModel"))


@pytest.mark.parametrize("name", MODELS)
def test_copies_and_pickles(name: str) -> None:
    model = build(name).eval()
    inputs = model.dummy_inputs
    expected = model(**inputs)[0]
    assert torch.equal(copy.deepcopy(model)(**inputs)[0], expected)
    assert torch.equal(pickle.loads(pickle.dumps(model))(**inputs)[0], expected)


def test_a_head_model_runs_its_base_through_hooks() -> None:
    seen = []
    model = build("GPT2LMHeadModel")
    for name, module in model.named_modules():
        module.register_forward_hook(lambda module, args, output, name=name: seen.append(name))
    model(IDS)
    silent = {name for name, _ in model.named_modules()} - set(seen)
    assert all(name.endswith(("transformer.h", "attn.attn_dropout")) for name in silent)


def test_a_replaced_part_is_used() -> None:
    """Adapters put their own modules in place of linear maps, by assignment or in ``_modules``."""
    model = GPT2Model(tiny_config()).eval()
    before = model(IDS)[0]
    model.h[0].attn.c_attn = nn.Linear(16, 48)
    after = model(IDS)[0]
    assert not torch.allclose(after, before)
    model.h[1].mlp._modules["c_proj"] = nn.Linear(32, 16)
    assert not torch.allclose(model(IDS)[0], after)


def test_autocast() -> None:
    model = GPT2LMHeadModel(tiny_config())
    mask = torch.ones_like(IDS)
    mask[0, 3:] = 0
    expected = model(IDS, attention_mask=mask).logits
    with torch.autocast("cpu", torch.bfloat16):
        output = model(IDS, attention_mask=mask, labels=IDS)
    output.loss.backward()
    torch.testing.assert_close(output.logits.float(), expected, rtol=0.1, atol=0.05)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_trains(dtype: torch.dtype) -> None:
    model = GPT2LMHeadModel(tiny_config()).to(dtype)
    loss = model(IDS, labels=IDS).loss
    assert loss.dtype == torch.float32
    loss.backward()
    assert all(value.grad.isfinite().all() for value in model.parameters())


def test_fresh_weights() -> None:
    """Maps into the residual stream begin smaller by the root of their number, twice the layers (section 2.3)."""
    model = GPT2Model(
        tiny_config(n_embd=128, n_inner=512, n_layer=8, initializer_range=0.05, add_cross_attention=True)
    )
    for name, module in model.named_modules():
        if isinstance(module, Conv1D):
            expected = 0.05 / 4 if name.endswith("c_proj") else 0.05
            assert module.weight.std().item() == pytest.approx(expected, rel=0.05), name
            assert not module.bias.any()
    assert torch.equal(model.ln_f.weight, torch.ones(128))
    assert model.wte.weight.std().item() == pytest.approx(0.05, rel=0.05)


def test_one_row_of_positions_serves_all() -> None:
    """The published positions are given to every row of a batch without padding, however many there are."""
    model = GPT2Model(tiny_config()).eval()
    seen: list[Tensor] = []
    model.wpe.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    model(IDS)
    assert seen[0].tolist() == [[0, 1, 2, 3, 4, 5]]
