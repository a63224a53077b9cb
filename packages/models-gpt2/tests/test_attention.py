from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from formers import AttentionUnsupported
from formers_gpt2 import GPT2Model
from formers_gpt2.configuration import tiny_config

IDS = torch.arange(1, 13).view(2, 6)
FACTORS: dict[str, tuple[dict[str, Any], list[float]]] = {  # of the scores, layer by layer; heads are 8 wide
    "usual": ({}, [8**-0.5, 8**-0.5]),
    "unscaled": ({"scale_attn_weights": False}, [1.0, 1.0]),
    "by layer": ({"scale_attn_by_inverse_layer_idx": True}, [8**-0.5, 8**-0.5 / 2]),
    "both": ({"scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": True}, [1.0, 0.5]),
}


def written_out(module: Any, hidden: Tensor, factor: float, source: Tensor | None = None) -> Tensor:
    """Query by query and key by key; cross-attention reads ``source``."""
    batch, length, width = hidden.shape
    heads, size = module.num_heads, module.head_dim
    if source is None:
        query, key, value = (hidden @ module.c_attn.weight + module.c_attn.bias).split(width, dim=-1)
    else:
        query = hidden @ module.q_attn.weight + module.q_attn.bias
        key, value = (source @ module.c_attn.weight + module.c_attn.bias).split(width, dim=-1)
    query, key, value = (part.unflatten(-1, (heads, size)) for part in (query, key, value))
    context = torch.zeros(batch, length, heads, size, dtype=hidden.dtype)
    for i in range(length):
        reach = i + 1 if source is None else source.shape[1]
        scores = torch.stack([(query[:, i] * key[:, j]).sum(-1) * factor for j in range(reach)], dim=-1)
        context[:, i] = torch.einsum("bhj,bjhd->bhd", scores.softmax(-1), value[:, :reach])
    return context.flatten(2) @ module.c_proj.weight + module.c_proj.bias


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("kind", FACTORS)
def test_the_formula(kind: str, attention: str) -> None:
    options, factors = FACTORS[kind]
    config = tiny_config(initializer_range=0.5, add_cross_attention=True, **options)
    model = GPT2Model.from_config(config, attn_implementation=attention).double().eval()
    source = torch.randn(2, 3, 16, dtype=torch.float64)
    seen: list[tuple[Tensor, Tensor]] = []
    for layer in model.h:
        for part in (layer.attn, layer.crossattention):
            part.register_forward_hook(lambda module, args, output: seen.append((args[0], output[0])))
    model(IDS, encoder_hidden_states=source)
    modules = [part for layer in model.h for part in (layer.attn, layer.crossattention)]
    for index, (module, (hidden, output)) in enumerate(zip(modules, seen, strict=True)):
        expected = written_out(module, hidden, factors[index // 2], source if index % 2 else None)
        torch.testing.assert_close(output, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_scores_are_never_in_half_precision(dtype: torch.dtype, attention: str) -> None:
    """What ``reorder_and_upcast_attn`` asks for: float16 ends at 65504, and bfloat16 has 8 bits."""
    config = tiny_config(n_layer=1, scale_attn_weights=False, reorder_and_upcast_attn=True)
    model = GPT2Model.from_config(config, attn_implementation=attention).eval()
    part = model.h[0].attn
    with torch.no_grad():
        part.c_attn.weight.mul_(5000)
    seen: dict[str, Tensor] = {}
    part.c_attn.register_forward_hook(lambda module, args, output: seen.update(qkv=output))
    part.c_proj.register_forward_pre_hook(lambda module, args: seen.update(context=args[0]))
    model.to(dtype)(IDS)
    query, key, value = seen["qkv"].double().unflatten(-1, (3, 2, 8)).unbind(2)
    scores = torch.einsum("bihd,bjhd->bhij", query, key)
    assert scores.abs().max() > 65504
    scores = scores.masked_fill(torch.ones(6, 6, dtype=torch.bool).triu(1), -torch.inf)
    expected = torch.einsum("bhij,bjhd->bihd", scores.softmax(-1), value).flatten(2)
    close = 2 * torch.finfo(dtype).eps
    torch.testing.assert_close(
        seen["context"].double(), expected, rtol=close, atol=close * value.abs().max().item()
    )


def test_probabilities_come_from_eager_when_nothing_else_was_chosen() -> None:
    model = GPT2Model(tiny_config()).eval()
    output = model(IDS, output_attentions=True)
    torch.testing.assert_close(output.attentions[0].sum(-1), torch.ones(2, 2, 6))
    assert not output.attentions[0].triu(1).any()
    torch.testing.assert_close(output[0], model(IDS)[0])
    report = str(model.attention_report())
    assert "eager" in report
    assert "sdpa" in report


def test_a_name_never_falls_back() -> None:
    model = GPT2Model.from_config(tiny_config(), attn_implementation="sdpa").eval()
    with pytest.raises(AttentionUnsupported, match="output_attentions"):
        model(IDS, output_attentions=True)
    with pytest.raises(AttentionUnsupported, match="head_mask"):
        model(IDS, head_mask=torch.ones(2))
    model.set_attn_implementation("eager")
    assert model(IDS, output_attentions=True).attentions is not None


def test_a_masked_head_contributes_nothing() -> None:
    model = GPT2Model(tiny_config()).eval()
    silenced = model(IDS, head_mask=torch.tensor([0.0, 1.0]))[0]
    with torch.no_grad():
        for layer in model.h:
            layer.attn.c_attn.weight[:, 32:40] = 0
            layer.attn.c_attn.bias[32:40] = 0
    torch.testing.assert_close(model(IDS)[0], silenced)


class TestDropout:
    """The probability is that of each layer's own module, in training mode of that layer."""

    def probabilities(self, model: GPT2Model) -> list[Tensor]:
        torch.manual_seed(3)
        return [probs[..., -1, :] for probs in model(IDS, output_attentions=True).attentions]

    def test_it_is_applied_to_the_probabilities_in_training(self) -> None:
        model = GPT2Model(tiny_config(attn_pdrop=0.5))
        assert all((probs == 0).any() for probs in self.probabilities(model))
        assert not any((probs == 0).any() for probs in self.probabilities(model.eval()))

    def test_a_frozen_layer_has_none(self) -> None:
        model = GPT2Model(tiny_config(attn_pdrop=0.5))
        model.h[0].eval()
        frozen, trained = self.probabilities(model)
        assert not (frozen == 0).any()
        assert (trained == 0).any()

    def test_a_changed_module_counts(self) -> None:
        model = GPT2Model(tiny_config())
        for module in model.h[1].modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.5
        plain, changed = self.probabilities(model)
        assert not (plain == 0).any()
        assert (changed == 0).any()

    @pytest.mark.parametrize("attention", ["eager", "sdpa"])
    def test_the_mean_is_that_without_dropout(self, attention: str) -> None:
        """Over many draws; every place of dropout has its own."""
        for field in ("resid_pdrop", "embd_pdrop", "attn_pdrop"):
            model = GPT2Model.from_config(
                tiny_config(n_layer=1, **{field: 0.3}), attn_implementation=attention
            )
            seen: list[Tensor] = []
            place = model.drop if field == "embd_pdrop" else model.h[0].attn
            place.register_forward_hook(
                lambda module, args, output, seen=seen: seen.append(
                    output[0] if isinstance(output, tuple) else output
                )
            )
            ids = IDS[:1, :3].expand(6000, -1)
            with torch.no_grad():
                model(ids)
                model.eval()(ids[:1])
            drawn, plain = seen
            spread = drawn.std(dim=0) / len(ids) ** 0.5
            assert (drawn.std(dim=0).mean() > 0).all(), field
            assert ((drawn.mean(dim=0) - plain[0]).abs() < 5 * spread + 1e-6).all(), field


def test_pruned_layers_keep_their_numbering() -> None:
    model = GPT2Model(tiny_config(n_head=4)).eval()
    expected = model(IDS, head_mask=torch.tensor([[0.0, 1.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0]]))[0]
    model.prune_heads({0: [2]})
    model.prune_heads({0: [0, 2]})
    torch.testing.assert_close(model(IDS)[0], expected)
    assert model.h[0].attn.num_heads == 2
    with pytest.raises(ValueError, match="head 4"):
        model.prune_heads({1: [4]})


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_all_heads_of_a_layer_may_go(attention: str) -> None:
    model = GPT2Model.from_config(tiny_config(), attn_implementation=attention).eval()
    expected = GPT2Model.from_config(model.config, attn_implementation="eager").eval()
    expected.load_state_dict(model.state_dict())
    expected = expected(IDS, head_mask=torch.tensor([[1.0, 1.0], [0.0, 0.0]]))[0]
    model.prune_heads({-1: [0, 1]})
    torch.testing.assert_close(model(IDS)[0], expected)
    model(IDS)[0].sum().backward()


def test_a_head_mask_does_not_fit_a_pruned_model() -> None:
    model = GPT2Model(tiny_config())
    model.prune_heads({0: [1]})
    with pytest.raises(ValueError, match="prune the masked heads as well"):
        model(IDS, head_mask=torch.ones(2))
