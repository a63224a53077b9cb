from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from toy import ToyConfig, ToyForMaskedLM, ToyForSequenceClassification, ToyModel

from formers.errors import ConfigValidationError, PluginConflictError
from formers.modeling import PreTrainedModel
from formers.modeling.pruning import kept_columns, prune_linear_layer
from formers.plugins import registry


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("rows", [20, 47])
@pytest.mark.parametrize("mean_resizing", [True, False])
def test_resizing_changes_every_vocabulary_sized_tensor_together(
    tied: bool, rows: int, mean_resizing: bool
) -> None:
    model = ToyForMaskedLM(ToyConfig(tie_word_embeddings=tied)).eval()
    with torch.no_grad():
        model.head.bias.normal_()
    ids = torch.arange(8).reshape(2, 4)
    before = model(ids).logits
    returned = model.resize_token_embeddings(rows, mean_resizing=mean_resizing)
    kept = min(rows, 32)
    assert returned is model.get_input_embeddings()
    assert (returned.num_embeddings, model.head.out_features, model.config.vocab_size) == (rows, rows, rows)
    assert model.head.bias.shape == (rows,)
    assert (model.head.weight is model.toy.embeddings.weight) is tied
    assert torch.equal(model(ids).logits[..., :kept], before[..., :kept])


def test_new_rows_lie_close_to_the_mean_of_the_old_ones() -> None:
    model = ToyModel(ToyConfig(initializer_range=1.0))
    mean = model.embeddings.weight.mean(0)
    model.resize_token_embeddings(40)
    assert torch.allclose(model.embeddings.weight[32:], mean.expand(8, -1), atol=1e-3)
    assert not torch.equal(model.embeddings.weight[32], model.embeddings.weight[33])


def test_resizing_without_a_number_changes_nothing() -> None:
    model = ToyModel(ToyConfig())
    weight = model.embeddings.weight
    assert model.resize_token_embeddings() is model.embeddings
    assert model.embeddings.weight is weight


def test_resizing_rounds_up_to_a_multiple() -> None:
    assert ToyModel(ToyConfig()).resize_token_embeddings(33, pad_to_multiple_of=64).num_embeddings == 64


@pytest.mark.parametrize("bad", [0, -3, True, 2.5, "8"])
def test_resizing_refuses_what_is_no_size(bad: object) -> None:
    with pytest.raises(ValueError, match="new_num_tokens"):
        ToyModel(ToyConfig()).resize_token_embeddings(bad)  # type: ignore[arg-type]


def test_tying_gives_a_copy_under_torchscript() -> None:
    model = ToyForMaskedLM(ToyConfig(torchscript=True))
    assert model.head.weight is not model.toy.embeddings.weight
    assert torch.equal(model.head.weight, model.toy.embeddings.weight)


def test_base_model_and_embeddings() -> None:
    model = ToyForMaskedLM(ToyConfig())
    assert model.base_model is model.toy
    assert model.toy.base_model is model.toy
    assert model.get_input_embeddings() is model.toy.embeddings
    fresh = nn.Embedding(32, 16)
    model.set_input_embeddings(fresh)
    assert model.toy.embeddings is fresh
    assert model.get_output_embeddings() is model.head
    assert model.toy.get_output_embeddings() is None


@given(
    heads=st.integers(1, 6),
    size=st.integers(1, 4),
    chosen=st.lists(st.sets(st.integers(0, 5)), min_size=1, max_size=3),
)
def test_pruning_in_steps_keeps_the_columns_of_the_heads_that_stay(
    heads: int, size: int, chosen: list[set[int]]
) -> None:
    columns = torch.arange(heads * size)
    pruned: set[int] = set()
    for step in chosen:
        wanted = {head for head in step if head < heads}
        new, index = kept_columns(wanted, heads - len(pruned), size, pruned)
        columns = columns[index]
        pruned |= new
    expected = [head * size + i for head in range(heads) if head not in pruned for i in range(size)]
    assert columns.tolist() == expected


@pytest.mark.parametrize("dim", [0, 1])
def test_a_pruned_linear_layer_computes_with_what_is_left(dim: int) -> None:
    layer = nn.Linear(6, 4)
    index = torch.tensor([0, 2, 3])
    pruned = prune_linear_layer(layer, index, dim)
    x = torch.randn(2, 6)
    if dim == 0:
        assert torch.allclose(pruned(x), layer(x)[:, index])
    else:
        zeroed = torch.zeros_like(x)
        zeroed[:, index] = x[:, index]
        assert torch.allclose(pruned(x[:, index]), layer(zeroed), atol=1e-6)


@pytest.mark.parametrize(("heads", "match"), [({5: [0]}, "layer 5"), ({0: [9]}, "head 9")])
def test_pruning_outside_the_model_is_refused(heads: dict[int, list[int]], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        ToyModel(ToyConfig()).prune_heads(heads)


def test_negative_layers_count_from_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ToyModel(ToyConfig(num_hidden_layers=3))
    asked: dict[int, set[int]] = {}
    monkeypatch.setattr(model, "_prune_heads", asked.update)
    model.prune_heads({-1: [0], 2: [1], 0: [1]})
    assert asked == {0: {1}, 2: {0, 1}}
    assert model.config.pruned_heads == {0: [1], 2: [0, 1]}


def test_whether_a_class_generates_can_be_asked_of_the_class() -> None:
    assert not ToyModel.can_generate()
    assert not ToyModel(ToyConfig()).can_generate()
    assert type("Talker", (ToyModel,), {"generate": lambda self: None}).can_generate()


def test_resizing_draws_new_rows_of_a_tied_weight_once() -> None:
    tied, bare = ToyForMaskedLM(ToyConfig()), ToyModel(ToyConfig())
    bare.load_state_dict(tied.toy.state_dict())
    tied.head.bias = None
    torch.manual_seed(1)
    tied.resize_token_embeddings(40)
    after_tied = torch.rand(())
    torch.manual_seed(1)
    bare.resize_token_embeddings(40)
    assert torch.equal(torch.rand(()), after_tied)
    assert torch.equal(bare.embeddings.weight, tied.toy.embeddings.weight)


def test_counts() -> None:
    model = ToyForMaskedLM(ToyConfig())
    total = sum(parameter.numel() for parameter in model.parameters())
    embedding = model.toy.embeddings.weight.numel()
    assert model.num_parameters() == total
    assert model.num_parameters(exclude_embeddings=True) == total - embedding
    model.head.bias.requires_grad_(False)
    assert model.num_parameters(only_trainable=True) == total - 32
    inputs = {"input_ids": torch.zeros(3, 5, dtype=torch.long)}
    assert model.estimate_tokens(inputs) == 15
    assert model.floating_point_ops(inputs) == 6 * 15 * (total - embedding)
    assert model.floating_point_ops(inputs, exclude_embeddings=False) == 6 * 15 * total
    assert model.get_memory_footprint(return_buffers=False) == 4 * total
    assert model.get_memory_footprint() == 4 * total + 8 * 8


def test_memory_hooks_fill_and_reset() -> None:
    model = ToyModel(ToyConfig())
    model.add_memory_hooks()
    model(torch.zeros(1, 2, dtype=torch.long))
    assert isinstance(model.layers[0].mem_rss_diff, int)
    model.layers[0].mem_rss_diff = 5
    model.reset_memory_hooks_state()
    assert model.layers[0].mem_rss_diff == 0


def test_dummy_inputs_run() -> None:
    model = ToyModel(ToyConfig())
    assert model(**model.dummy_inputs).last_hidden_state.shape == (3, 4, 16)


def test_device_and_dtype_follow_the_parameters() -> None:
    model = ToyModel(ToyConfig()).to(torch.float64)
    assert (model.device, model.dtype) == (torch.device("cpu"), torch.float64)


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    model = ToyForMaskedLM(ToyConfig()).train()
    ids = torch.arange(8).reshape(2, 4)
    grads = []
    for checkpointed in (False, True):
        if checkpointed:
            model.gradient_checkpointing_enable()
        assert model.is_gradient_checkpointing is checkpointed
        model.zero_grad()
        model(ids, labels=ids).loss.backward()
        grads.append([parameter.grad.clone() for parameter in model.parameters()])
    model.gradient_checkpointing_disable()
    assert not model.is_gradient_checkpointing
    for plain, recomputed in zip(*grads, strict=True):
        assert torch.allclose(plain, recomputed)


def test_checkpointing_of_a_model_that_cannot_is_refused() -> None:
    model = ToyForSequenceClassification(ToyConfig())
    del model.toy.gradient_checkpointing
    with pytest.raises(ValueError, match="gradient checkpointing"):
        model.gradient_checkpointing_enable()


def test_loss_terms_add_up_over_any_split() -> None:
    torch.manual_seed(0)
    model = ToyForMaskedLM(ToyConfig()).eval()
    ids = torch.randint(0, 32, (6, 5))
    labels = torch.where(torch.rand(6, 5) < 0.6, ids, torch.full_like(ids, -100))
    whole = model(ids, labels=labels).loss
    parts = [
        model.loss_terms(input_ids=ids[rows], labels=labels[rows])["masked_lm"]
        for rows in ([0], [1, 2, 3], [4, 5])
    ]
    assert torch.allclose(sum(term.sum for term in parts) / sum(term.count for term in parts), whole)


def test_loss_terms_need_labels() -> None:
    with pytest.raises(ValueError, match="labels"):
        ToyForMaskedLM(ToyConfig()).loss_terms(input_ids=torch.zeros(1, 2, dtype=torch.long))


def test_weights_can_be_drawn_anew_and_stay_tied() -> None:
    model = ToyForMaskedLM(ToyConfig())
    before = model.head.weight.clone()
    model.init_weights()
    assert not torch.equal(model.head.weight, before)
    assert model.head.weight is model.toy.embeddings.weight


def test_gradients_flow_through_frozen_embeddings_only_while_required() -> None:
    model = ToyModel(ToyConfig()).requires_grad_(False)
    ids = torch.arange(8).reshape(2, 4)
    model.enable_input_require_grads()
    assert model(ids).last_hidden_state.requires_grad
    model.disable_input_require_grads()
    assert not model(ids).last_hidden_state.requires_grad


def test_an_auto_class_learns_of_a_class_of_ones_own() -> None:
    class OwnConfig(ToyConfig):
        model_type = "own"

    class Own(ToyModel):
        config_class = OwnConfig

    class Rival(ToyModel):
        config_class = OwnConfig

    with registry.temporary_registrations():
        for _ in range(2):
            Own.register_for_auto_class()
        assert registry.auto_class_for("AutoModel", OwnConfig()) is Own
        with pytest.raises(PluginConflictError, match="AutoModel already has a class for OwnConfig"):
            Rival.register_for_auto_class("AutoModel")
        with pytest.raises(ConfigValidationError, match=r"'AutoTokenizer'.*an Auto class of models"):
            Own.register_for_auto_class("AutoTokenizer")
        with pytest.raises(ConfigValidationError, match="this one has None"):
            PreTrainedModel.register_for_auto_class()
