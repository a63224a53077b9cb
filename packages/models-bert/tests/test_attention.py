from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from formers import AttentionUnsupported
from formers_bert import BertModel
from formers_bert.configuration import tiny_config

IDS = torch.arange(1, 13).view(2, 6)


def written_out(model: BertModel, hidden: Tensor, layer: int = 0) -> Tensor:
    """The formulas at the top of attention.py, query by query and key by key."""
    attention = model.encoder.layer[layer].attention.self
    batch, length, _ = hidden.shape
    heads, size = attention.num_attention_heads, attention.attention_head_size
    query, key, value = (
        part(hidden).view(batch, length, heads, size)
        for part in (attention.query, attention.key, attention.value)
    )
    scores = torch.zeros(batch, heads, length, length, dtype=hidden.dtype)
    for i in range(length):
        for j in range(length):
            score = (query[:, i] * key[:, j]).sum(-1)
            if attention.position_embedding_type != "absolute":
                distance = attention.distance_embedding.weight[
                    i - j + model.config.max_position_embeddings - 1
                ]
                score = score + (query[:, i] * distance).sum(-1)
                if attention.position_embedding_type == "relative_key_query":
                    score = score + (key[:, j] * distance).sum(-1)
            scores[:, :, i, j] = score / size**0.5
    context = torch.einsum("bhij,bjhd->bihd", scores.softmax(-1), value)
    return context.flatten(2)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("kind", ["absolute", "relative_key", "relative_key_query"])
def test_the_formulas(kind: str, attention: str) -> None:
    config = tiny_config(position_embedding_type=kind, initializer_range=0.5)
    model = BertModel.from_config(config, attn_implementation=attention).double().eval()
    seen: list[tuple[Tensor, Tensor]] = []
    part = model.encoder.layer[0].attention.self
    part.register_forward_hook(lambda module, args, output: seen.append((args[0], output[0])))
    model(IDS)
    ((hidden, context),) = seen
    torch.testing.assert_close(context, written_out(model, hidden), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_distances_are_trained(attention: str) -> None:
    model = BertModel.from_config(
        tiny_config(position_embedding_type="relative_key_query"), attn_implementation=attention
    )
    model(IDS).last_hidden_state.sin().sum().backward()
    for layer in model.encoder.layer:
        gradient = layer.attention.self.distance_embedding.weight.grad
        used = gradient.any(dim=1).nonzero().squeeze(1)
        assert used.tolist() == list(range(32 - 6, 31 + 6))


def test_probabilities_come_from_eager_when_nothing_else_was_chosen() -> None:
    model = BertModel(tiny_config()).eval()
    output = model(IDS, output_attentions=True)
    torch.testing.assert_close(output.attentions[0].sum(-1), torch.ones(2, 2, 6))
    plain = model(IDS)
    torch.testing.assert_close(output[0], plain[0])
    report = str(model.attention_report())
    assert "eager" in report
    assert "sdpa" in report


def test_a_name_never_falls_back() -> None:
    model = BertModel.from_config(tiny_config(), attn_implementation="sdpa").eval()
    with pytest.raises(AttentionUnsupported, match="output_attentions"):
        model(IDS, output_attentions=True)
    with pytest.raises(AttentionUnsupported, match="head_mask"):
        model(IDS, head_mask=torch.ones(2))
    model.set_attn_implementation("eager")
    assert model(IDS, output_attentions=True).attentions is not None


def test_a_masked_head_contributes_nothing() -> None:
    model = BertModel(tiny_config()).eval()
    silenced = model(IDS, head_mask=torch.tensor([0.0, 1.0]))[0]
    with torch.no_grad():
        for layer in model.encoder.layer:
            layer.attention.self.value.weight[:8] = 0
            layer.attention.self.value.bias[:8] = 0
    torch.testing.assert_close(model(IDS)[0], silenced)


class TestDropout:
    """The probability is that of each layer's own module, in training mode of that layer."""

    def probabilities(self, model: BertModel) -> list[Tensor]:
        torch.manual_seed(3)
        return list(model(IDS, output_attentions=True).attentions)

    def test_it_is_applied_to_the_probabilities_in_training(self) -> None:
        model = BertModel(tiny_config(attention_probs_dropout_prob=0.5))
        assert all((probs == 0).any() for probs in self.probabilities(model))
        assert not any((probs == 0).any() for probs in self.probabilities(model.eval()))

    def test_a_frozen_layer_has_none(self) -> None:
        model = BertModel(tiny_config(attention_probs_dropout_prob=0.5))
        model.encoder.layer[0].eval()
        frozen, trained = self.probabilities(model)
        assert not (frozen == 0).any()
        assert (trained == 0).any()

    def test_a_changed_module_counts(self) -> None:
        model = BertModel(tiny_config())
        for module in model.encoder.layer[1].modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.5
        plain, changed = self.probabilities(model)
        assert not (plain == 0).any()
        assert (changed == 0).any()


def test_pruned_layers_keep_their_numbering() -> None:
    model = BertModel(tiny_config(num_attention_heads=4)).eval()
    expected = model(IDS, head_mask=torch.tensor([[0.0, 1.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0]]))[0]
    model.prune_heads({0: [2]})
    model.prune_heads({0: [0, 2]})
    torch.testing.assert_close(model(IDS)[0], expected)
    assert model.encoder.layer[0].attention.self.num_attention_heads == 2
    with pytest.raises(ValueError, match="head 4"):
        model.prune_heads({1: [4]})


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_all_heads_of_a_layer_may_go(attention: str) -> None:
    model = BertModel.from_config(tiny_config(), attn_implementation=attention).eval()
    expected = BertModel.from_config(model.config, attn_implementation="eager").eval()
    expected.load_state_dict(model.state_dict())
    expected = expected(IDS, head_mask=torch.tensor([[1.0, 1.0], [0.0, 0.0]]))[0]
    model.prune_heads({-1: [0, 1]})
    torch.testing.assert_close(model(IDS)[0], expected)
    model(IDS)[0].sum().backward()


def test_a_head_mask_does_not_fit_a_pruned_model() -> None:
    model = BertModel(tiny_config())
    model.prune_heads({0: [1]})
    with pytest.raises(ValueError, match="prune the masked heads as well"):
        model(IDS, head_mask=torch.ones(2))


@pytest.mark.parametrize("options", [{}, {"is_decoder": True, "add_cross_attention": True}])
def test_layers_take_hidden_states_with_any_leading_axes(options: dict[str, Any]) -> None:
    """The linear maps and the feed-forward block know no batch; only attention reads the layout."""
    layer = BertModel(tiny_config(**options)).encoder.layer[0]
    hidden = torch.randn(2, 3, 16)
    torch.testing.assert_close(
        layer.feed_forward(hidden.flatten(0, 1)), layer.feed_forward(hidden).flatten(0, 1)
    )
