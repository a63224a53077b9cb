from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import formers_bert
from formers.cache import DynamicCache, EncoderDecoderCache
from formers.errors import FormersWarning
from formers.layout import Layout
from formers_bert import BertForMaskedLM, BertForMultipleChoice, BertModel
from formers_bert.configuration import tiny_config

IDS = torch.arange(1, 13).view(2, 6)
MODELS = [name for name in formers_bert.__all__ if name.startswith(("BertFor", "BertLMHead", "BertModel"))]
MODELS.remove("BertForPreTrainingOutput")


def build(name: str, **options: Any) -> Any:
    return getattr(formers_bert, name)(
        tiny_config(**({"is_decoder": True} if "LMHead" in name else {}) | options)
    )


def test_outputs_have_the_documented_shapes() -> None:
    output = BertModel(tiny_config())(IDS, output_hidden_states=True, output_attentions=True)
    assert output.last_hidden_state.shape == (2, 6, 16)
    assert output.pooler_output.shape == (2, 16)
    assert [state.shape for state in output.hidden_states] == [(2, 6, 16)] * 3
    assert [probs.shape for probs in output.attentions] == [(2, 2, 6, 6)] * 2
    assert torch.equal(output.hidden_states[-1], output.last_hidden_state)
    assert output.past_key_values is None


def test_the_pooler_reads_the_first_token() -> None:
    model = BertModel(tiny_config()).eval()
    output = model(IDS)
    assert torch.equal(output.pooler_output, torch.tanh(model.pooler.dense(output.last_hidden_state[:, 0])))


@pytest.mark.parametrize("name", MODELS)
def test_fresh_weights_are_truncated_normal(name: str) -> None:
    torch.manual_seed(0)
    model = build(name, initializer_range=0.5, vocab_size=4000, hidden_size=64)
    edge = 2 * 0.5 / 0.8796  # two standard deviations before the cut, which leaves 0.8796 of them
    for key, weight in model.named_parameters():
        if "LayerNorm" in key or key.endswith("bias"):
            assert torch.equal(weight, torch.full_like(weight, float(key.endswith("weight")))), key
            continue
        assert weight.abs().max() <= edge, key
        if weight.numel() > 50_000:
            drawn = weight[1:]  # row 0 is that of the padding token
            assert drawn.std().item() == pytest.approx(0.5, rel=0.01), key
            assert drawn.abs().max() > 0.999 * edge, key
            inside = (drawn.abs() < 0.5).float().mean().item()
            assert inside == pytest.approx(0.6505, abs=0.005), key  # 0.6827 for an uncut distribution


def test_without_a_pooler() -> None:
    assert BertModel(tiny_config(), add_pooling_layer=False)(IDS).pooler_output is None


@pytest.mark.parametrize("name", ["output_hidden_states", "output_attentions"])
def test_the_configuration_may_ask_for_more(name: str) -> None:
    key = name.removeprefix("output_")
    model = BertModel(tiny_config(**{name: True}))
    assert key in model(IDS)
    assert key not in model(IDS, **{name: False})


def test_tuples() -> None:
    model = BertModel(tiny_config(is_decoder=True)).eval()
    values = model(IDS, return_dict=False, output_hidden_states=True)
    assert isinstance(values, tuple)
    assert isinstance(values[2], DynamicCache)
    assert torch.equal(values[0], model(IDS).last_hidden_state)
    model.config.return_dict = False
    assert isinstance(model(IDS), tuple)


def test_explicit_positions_win() -> None:
    model = BertModel(tiny_config()).eval()
    mask = torch.ones_like(IDS)
    mask[:, :2] = 0
    positions = torch.arange(3, 9)[None].expand(2, -1)
    shifted = model(IDS, mask, position_ids=positions)[0]
    assert not torch.allclose(shifted, model(IDS, mask)[0])
    counted = torch.tensor([[0, 0, 0, 1, 2, 3]]).expand(2, -1)
    assert torch.equal(model(IDS, mask, position_ids=counted)[0], model(IDS, mask)[0])


@pytest.mark.parametrize("chunk", [1, 4, 5, 100])
def test_feed_forward_in_chunks(chunk: int) -> None:
    whole = BertModel(tiny_config()).eval()
    chunked = BertModel(tiny_config(chunk_size_feed_forward=chunk)).eval()
    chunked.load_state_dict(whole.state_dict())
    torch.testing.assert_close(chunked(IDS)[0], whole(IDS)[0])


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("options", [{}, {"position_embedding_type": "relative_key"}, {"is_decoder": True}])
def test_gradient_checkpointing_gives_the_same_gradients(options: dict[str, Any], reentrant: bool) -> None:
    config = tiny_config(hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2, **options)
    model = BertForMaskedLM(config)
    mask = torch.ones_like(IDS)
    mask[0, :2] = 0

    def gradients() -> dict[str, Tensor]:
        model.zero_grad()
        torch.manual_seed(1)
        model(IDS, mask, labels=IDS).loss.backward()
        return {key: value.grad.clone() for key, value in model.named_parameters() if value.grad is not None}

    expected = gradients()
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    assert model.is_gradient_checkpointing
    torch.testing.assert_close(gradients(), expected)
    model.gradient_checkpointing_disable()
    assert not model.is_gradient_checkpointing


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_cross_attention_trains_the_encoder(reentrant: bool) -> None:
    model = BertModel(tiny_config(is_decoder=True, add_cross_attention=True))

    def gradient() -> Tensor:
        torch.manual_seed(2)
        states = torch.randn(2, 3, 16, requires_grad=True)
        model(IDS, encoder_hidden_states=states * 2).last_hidden_state.sin().sum().backward()
        assert states.grad is not None
        return states.grad

    expected = gradient()
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    torch.testing.assert_close(gradient(), expected)


def test_layers_are_not_kept_unless_asked() -> None:
    """Without gradients a forward holds on to no layer's output but the last."""
    alive: list[Any] = []
    model = BertModel(tiny_config(num_hidden_layers=3)).eval()

    def remember(module: nn.Module, args: Any, output: Any) -> None:
        alive.append(weakref.ref(output[0]))

    for layer in model.encoder.layer:
        layer.register_forward_hook(remember)
    with torch.no_grad():
        output = model(IDS)
    assert [reference() is not None for reference in alive] == [False, False, True]
    del output


def test_pruning_heads() -> None:
    model = BertModel(tiny_config()).eval()
    before = model.num_parameters()
    masked = model(IDS, head_mask=torch.tensor([[1.0, 0.0], [1.0, 1.0]]))[0]
    model.prune_heads({0: [1]})
    assert model.num_parameters() < before
    torch.testing.assert_close(model(IDS)[0], masked)
    assert model.config.pruned_heads == {0: [1]}
    again = BertModel(model.config).eval()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(IDS)[0], model(IDS)[0])


@pytest.mark.parametrize("name", MODELS)
def test_what_every_class_offers(name: str) -> None:
    model = build(name)
    output = model(**model.dummy_inputs)
    assert output.to_tuple()
    assert model.base_model is (model if name == "BertModel" else model.bert)
    assert model.base_model.base_model is model.base_model
    embedding = model.get_input_embeddings()
    assert embedding is model.base_model.embeddings.word_embeddings
    replacement = nn.Embedding(64, 16)
    model.set_input_embeddings(replacement)
    assert model.get_input_embeddings() is replacement
    assert model.supports_gradient_checkpointing
    head = model.get_output_embeddings()
    has_vocabulary = name in ("BertForPreTraining", "BertLMHeadModel", "BertForMaskedLM")
    assert (head is not None) == has_vocabulary


def test_a_head_model_runs_its_base_through_hooks() -> None:
    seen = []
    model = build("BertForMaskedLM")
    for name, module in model.named_modules():
        module.register_forward_hook(lambda module, args, output, name=name: seen.append(name))
    model(IDS)
    silent = {name for name, _ in model.named_modules()} - set(seen)
    assert {name.rsplit(".", 1)[-1] for name in silent} == {"layer", "dropout"}
    assert all(name.endswith(("encoder.layer", "attention.self.dropout")) for name in silent)


def test_a_replaced_part_is_used() -> None:
    """Adapters put their own modules in place of linear maps, by assignment or in ``_modules``."""
    model = BertModel(tiny_config()).eval()
    before = model(IDS)[0]
    attention = model.encoder.layer[0].attention.self
    attention.query = nn.Linear(16, 16)
    assert not torch.allclose(model(IDS)[0], before)
    after = model(IDS)[0]
    model.encoder.layer[1].output._modules["dense"] = nn.Linear(32, 16)
    assert not torch.allclose(model(IDS)[0], after)


class TestDecoder:
    def test_the_future_is_hidden(self) -> None:
        model = BertModel(tiny_config(is_decoder=True)).eval()
        changed = IDS.clone()
        changed[:, 3:] = 40
        assert torch.equal(model(changed)[0][:, :3], model(IDS)[0][:, :3])
        assert not torch.equal(model(changed)[0][:, 3:], model(IDS)[0][:, 3:])

    def test_an_encoder_has_no_cache(self) -> None:
        assert BertModel(tiny_config())(IDS, use_cache=True).past_key_values is None

    def test_the_cache_is_the_one_given(self) -> None:
        model = BertModel(tiny_config(is_decoder=True)).eval()
        cache = DynamicCache()
        assert model(IDS, past_key_values=cache).past_key_values is cache
        assert model(IDS, use_cache=False).past_key_values is None
        assert isinstance(model(IDS).past_key_values, DynamicCache)

    def test_cross_attention_reads_the_cache_when_the_states_are_not_given_again(self) -> None:
        model = BertModel(tiny_config(is_decoder=True, add_cross_attention=True)).eval()
        source, mask = torch.randn(2, 3, 16), torch.tensor([[1, 1, 1], [1, 1, 0]])
        given = {"encoder_hidden_states": source, "encoder_attention_mask": mask}
        whole = model(IDS, **given)
        assert isinstance(whole.past_key_values, EncoderDecoderCache)
        prompt = model(IDS[:, :4], **given)
        rest = model(IDS[:, 4:], encoder_attention_mask=mask, past_key_values=prompt.past_key_values)
        torch.testing.assert_close(rest[0], whole[0][:, 4:])

    def test_cross_attentions_are_returned(self) -> None:
        model = BertModel(tiny_config(is_decoder=True, add_cross_attention=True))
        output = model(IDS, encoder_hidden_states=torch.randn(2, 3, 16), output_attentions=True)
        assert [probs.shape for probs in output.cross_attentions] == [(2, 2, 6, 3)] * 2

    def test_without_an_encoder_cross_attention_is_left_out(self) -> None:
        model = BertModel(tiny_config(is_decoder=True, add_cross_attention=True)).eval()
        plain = BertModel(tiny_config(is_decoder=True)).eval()
        plain.load_state_dict(model.state_dict(), strict=False)
        assert torch.equal(model(IDS)[0], plain(IDS)[0])


def test_autocast() -> None:
    model = BertForMaskedLM(tiny_config())
    mask = torch.ones_like(IDS)
    mask[0, 3:] = 0
    expected = model(IDS, mask).logits
    with torch.autocast("cpu", torch.bfloat16):
        output = model(IDS, mask, labels=IDS)
    output.loss.backward()
    torch.testing.assert_close(output.logits.float(), expected, rtol=0.1, atol=0.05)


def test_a_language_model_that_sees_the_future_warns() -> None:
    with pytest.warns(FormersWarning, match="is_decoder=True"):
        formers_bert.BertLMHeadModel(tiny_config())


def test_fresh_weights_have_the_deviation_of_the_configuration() -> None:
    model = BertModel(tiny_config(hidden_size=128, intermediate_size=256, initializer_range=0.05))
    dense = model.encoder.layer[0].intermediate.dense
    assert dense.weight.std().item() == pytest.approx(0.05, rel=0.05)
    assert not dense.bias.any()
    norm = model.encoder.layer[0].output.LayerNorm
    assert torch.equal(norm.weight, torch.ones(128))
    assert not model.embeddings.word_embeddings.weight[0].any()


def test_the_choices_of_a_question_are_scored_one_by_one() -> None:
    model = BertForMultipleChoice(tiny_config()).eval()
    choices = torch.randint(1, 64, (2, 3, 5))
    logits = model(choices).logits
    assert logits.shape == (2, 3)
    torch.testing.assert_close(logits[1, 2], model(choices[1:2, 2:3]).logits[0, 0])
    with pytest.raises(ValueError, match=r"\[batch, choices, length\]"):
        model(choices[0])


def test_a_packed_batch_is_not_cached_by_default() -> None:
    model = build("BertLMHeadModel").eval()
    packed = Layout.packed(torch.tensor([0, 4, 6]), 4, 6)
    output = model(IDS[0], packed)
    assert output.past_key_values is None
    torch.testing.assert_close(output.logits[:4], model(IDS[:1, :4]).logits[0])
