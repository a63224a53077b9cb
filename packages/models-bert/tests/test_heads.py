from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from formers_bert import BertForMaskedLM, BertForPreTraining, BertLMHeadModel
from formers_bert.configuration import tiny_config

IDS = torch.arange(1, 13).view(2, 6)


def test_a_loss_of_masked_tokens() -> None:
    model = BertForMaskedLM(tiny_config()).eval()
    labels = IDS.where(IDS % 3 == 0, -100)
    output = model(IDS, labels=labels)
    assert output.logits.shape == (2, 6, 64)
    torch.testing.assert_close(output.loss, cross_entropy(output.logits.flatten(0, 1), labels.flatten()))
    assert output.loss_terms["masked_lm"].count.item() == 4


def test_pretraining_adds_two_means() -> None:
    model = BertForPreTraining(tiny_config()).eval()
    follows = torch.tensor([0, 1])
    output = model(IDS, labels=IDS, next_sentence_label=follows)
    tokens = cross_entropy(output.prediction_logits.flatten(0, 1), IDS.flatten())
    sentences = cross_entropy(output.seq_relationship_logits, follows)
    torch.testing.assert_close(output.loss, tokens + sentences)
    assert {name: term.count.item() for name, term in output.loss_terms.items()} == {
        "masked_lm": 12,
        "next_sentence": 2,
    }


@pytest.mark.parametrize("given", [{"labels": IDS}, {"next_sentence_label": torch.tensor([0, 1])}, {}])
def test_pretraining_needs_both_labels(given: dict[str, Tensor]) -> None:
    model = BertForPreTraining(tiny_config())
    assert model(IDS, **given).loss is None
    with pytest.raises(ValueError, match="labels"):
        model.loss_terms(input_ids=IDS, **given)


class TestCausal:
    @pytest.fixture
    def model(self) -> BertLMHeadModel:
        return BertLMHeadModel(tiny_config(is_decoder=True)).eval()

    def test_each_position_predicts_the_next_token(self, model: BertLMHeadModel) -> None:
        output = model(IDS, labels=IDS)
        expected = cross_entropy(output.logits[:, :-1].flatten(0, 1), IDS[:, 1:].flatten())
        torch.testing.assert_close(output.loss, expected)
        torch.testing.assert_close(model(IDS, labels=IDS, num_items_in_batch=20).loss, expected * 10 / 20)

    def test_with_labels_no_cache_is_kept_unless_asked(self, model: BertLMHeadModel) -> None:
        assert model(IDS).past_key_values is not None
        assert model(IDS, labels=IDS).past_key_values is None
        assert model(IDS, labels=IDS, use_cache=True).past_key_values is not None

    @pytest.mark.parametrize("keep", [1, 4, torch.tensor([0, 3])], ids=str)
    def test_fewer_scores(self, model: BertLMHeadModel, keep: Any) -> None:
        whole = model(IDS).logits
        kept = whole[:, -keep:] if isinstance(keep, int) else whole[:, keep]
        torch.testing.assert_close(model(IDS, logits_to_keep=keep).logits, kept)

    def test_a_loss_over_the_scores_that_were_kept(self, model: BertLMHeadModel) -> None:
        output = model(IDS, labels=IDS, logits_to_keep=3)
        expected = cross_entropy(model(IDS).logits[:, 3:5].flatten(0, 1), IDS[:, 4:].flatten())
        torch.testing.assert_close(output.loss, expected)

    def test_labels_beside_a_cache(self, model: BertLMHeadModel) -> None:
        cache = model(IDS[:, :2]).past_key_values
        mask = torch.ones_like(IDS)
        loss = model(IDS[:, 2:], mask, labels=IDS[:, 2:], past_key_values=cache).loss
        expected = cross_entropy(model(IDS).logits[:, 2:-1].flatten(0, 1), IDS[:, 3:].flatten())
        torch.testing.assert_close(loss, expected)


class TestOutputEmbeddings:
    def test_are_tied(self) -> None:
        model = BertForMaskedLM(tiny_config())
        decoder = model.get_output_embeddings()
        assert decoder.weight is model.get_input_embeddings().weight
        assert decoder.bias is model.cls.predictions.bias

    def test_are_apart_when_the_configuration_says_so(self) -> None:
        model = BertForMaskedLM(tiny_config(tie_word_embeddings=False))
        decoder = model.get_output_embeddings()
        assert decoder.weight is not model.get_input_embeddings().weight

    def test_are_copies_for_torchscript(self) -> None:
        model = BertForMaskedLM(tiny_config(torchscript=True))
        weight = model.get_output_embeddings().weight
        assert weight is not model.get_input_embeddings().weight
        assert torch.equal(weight, model.get_input_embeddings().weight)

    @pytest.mark.parametrize("tied", [True, False])
    @pytest.mark.parametrize("rows", [70, 50])
    def test_are_resized_with_their_bias(self, rows: int, tied: bool, tmp_path: Any) -> None:
        model = BertForMaskedLM(tiny_config(tie_word_embeddings=tied)).eval()
        before = model(IDS).logits
        model.resize_token_embeddings(rows)
        after = model(IDS).logits
        kept = min(rows, 64)
        assert after.shape == (2, 6, rows)
        torch.testing.assert_close(after[..., :kept], before[..., :kept])
        assert model.get_output_embeddings().bias.shape == model.cls.predictions.bias.shape == (rows,)
        assert model.config.vocab_size == rows
        model.save_pretrained(tmp_path)
        again = BertForMaskedLM.from_pretrained(tmp_path)
        torch.testing.assert_close(again(IDS).logits, after)

    def test_can_be_replaced(self) -> None:
        model = BertForMaskedLM(tiny_config(tie_word_embeddings=False))
        decoder = nn.Linear(16, 64)
        model.set_output_embeddings(decoder)
        assert model.get_output_embeddings() is decoder
        assert model.cls.predictions.bias is decoder.bias
