"""What the heads refuse, and the precision that they keep."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from formers_t5.classification import T5ForQuestionAnswering, T5ForSequenceClassification
from formers_t5.configuration import T5Config, tiny_config
from formers_t5.heads import T5ForConditionalGeneration

IDS = torch.tensor([[5, 9, 33, 1], [8, 6, 4, 1]])


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"input_ids": IDS}, "exactly one of decoder_input_ids"),
        ({"decoder_input_ids": IDS}, "exactly one of input_ids"),
        (
            {"input_ids": IDS, "attention_mask": torch.ones(2, 3), "labels": IDS},
            r"attention_mask has shape \(2, 3\)",
        ),
        ({"input_ids": IDS, "labels": IDS + 100}, r"labels holds 105 at \[0, 0\]; expected 0 to 63"),
        ({"input_ids": IDS, "labels": IDS - 7}, r"labels holds -2 at \[0, 0\]"),
        ({"input_ids": IDS, "labels": IDS.float()}, "labels have dtype torch.float32"),
        ({"input_ids": IDS, "decoder_input_ids": IDS, "labels": IDS + 60}, r"labels.* 65 .*"),
        ({"input_ids": IDS, "decoder_input_ids": IDS, "labels": IDS[:, 1:]}, r"labels have shape \(2, 3\)"),
        ({"input_ids": IDS, "decoder_input_ids": IDS + 64}, r"decoder_input_ids holds 69 at \[0, 0\]"),
        (
            {"input_ids": IDS, "decoder_input_ids": IDS, "decoder_attention_mask": torch.ones(2, 3)},
            r"^decoder_attention_mask has shape \(2, 3\)",
        ),
        ({"input_ids": IDS, "decoder_input_ids": IDS[:1]}, "The encoder read 2 rows.*expected 1"),
        (
            {"encoder_outputs": (torch.zeros(2, 3, 16),), "attention_mask": torch.ones(2, 4), "labels": IDS},
            r"encoder_attention_mask has shape \(2, 4\)",
        ),
    ],
)
def test_wrong_inputs_are_named(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        T5ForConditionalGeneration(tiny_config())(**given)


def test_labels_need_a_start_token() -> None:
    config = T5Config(vocab_size=64, d_model=16, d_kv=6, d_ff=32, num_layers=1, num_heads=2)
    with pytest.raises(ValueError, match="decoder_start_token_id is not set"):
        T5ForConditionalGeneration(config)(IDS, labels=IDS)


def test_labels_are_shifted_right() -> None:
    model = T5ForConditionalGeneration(tiny_config())
    labels = torch.tensor([[7, 8, -100]])
    assert model.prepare_decoder_input_ids_from_labels(labels).tolist() == [[0, 7, 8]]
    assert model.prepare_decoder_input_ids_from_labels(labels[:, [2, 0, 1]]).tolist() == [[0, 0, 7]]


def test_a_text_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no EOS token .* in row 1"):
        T5ForSequenceClassification(tiny_config())(torch.tensor([[5, 1], [5, 6]]))


@pytest.mark.parametrize("head", [T5ForSequenceClassification, T5ForQuestionAnswering])
def test_padding_in_front_changes_no_score(head: type[Any]) -> None:
    model = head(tiny_config()).double().eval()
    padded = torch.nn.functional.pad(IDS, (2, 0))
    with torch.no_grad():
        alone, moved = model(IDS), model(padded, (padded != 0).long())
    for name in alone.keys() - {"past_key_values"}:
        one, other = alone[name], moved[name]
        torch.testing.assert_close(other if other.shape == one.shape else other[:, 2:], one)


def test_float16_keeps_the_sums_wide() -> None:
    weights = T5ForConditionalGeneration(tiny_config()).state_dict()
    model = T5ForConditionalGeneration.from_pretrained(
        None, config=tiny_config(), state_dict=weights, dtype=torch.float16
    )
    output = model(IDS, labels=IDS, output_hidden_states=True)
    assert model.encoder.block[0].layer[1].DenseReluDense.wo.weight.dtype == torch.float32
    assert output.logits.dtype == torch.float16
    assert [one.dtype for one in output.encoder_hidden_states] == [torch.float32] * 2 + [torch.float16]


def test_all_float16_weights_stay_finite() -> None:
    model = T5ForConditionalGeneration(tiny_config()).half().eval()
    model.encoder.block[0].layer[1].DenseReluDense.wo.weight.data.fill_(60000)
    assert torch.isfinite(model(IDS, labels=IDS).logits).all()


def test_bfloat16_keeps_no_weight_wide() -> None:
    weights = T5ForConditionalGeneration(tiny_config()).state_dict()
    model = T5ForConditionalGeneration.from_pretrained(
        None, config=tiny_config(), state_dict=weights, dtype=torch.bfloat16
    )
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    output = model(IDS, labels=IDS, output_hidden_states=True)
    assert {one.dtype for one in (output.logits, *output.encoder_hidden_states)} == {torch.bfloat16}
    output.loss.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


@pytest.mark.parametrize("gated", [False, True])
def test_float16_survives_what_overflows_it(gated: bool) -> None:
    """Sums of 100,000 inside a feed-forward block and along the layers, as in the published models."""
    proj = "gated-gelu" if gated else "relu"
    config = tiny_config(feed_forward_proj=proj, num_layers=3)
    source = T5ForConditionalGeneration(config)
    with torch.no_grad():
        for name, parameter in source.named_parameters():
            if "DenseReluDense" in name:
                parameter.fill_(3.0 if "wi" in name else 90.0)
                parameter[::2] *= 1.5
    with torch.no_grad():
        wanted = source.eval()(IDS, labels=IDS)
    model = T5ForConditionalGeneration.from_pretrained(
        None, config=config, state_dict=source.state_dict(), dtype=torch.float16
    ).eval()
    with torch.no_grad():
        found = model(IDS, labels=IDS, output_hidden_states=True)
    assert max(float(one.abs().max()) for one in found.encoder_hidden_states[:-1]) > 65504
    torch.testing.assert_close(found.logits.float(), wanted.logits, atol=2e-2, rtol=2e-2)
