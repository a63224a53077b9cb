from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from formers.layout import Layout
from formers_gpt2 import GPT2DoubleHeadsModel, GPT2LMHeadModel
from formers_gpt2.configuration import tiny_config

IDS = torch.arange(1, 13).view(2, 6)
CHOICES = torch.arange(1, 31).view(2, 3, 5)


class TestLanguageModel:
    @pytest.fixture
    def model(self) -> GPT2LMHeadModel:
        return GPT2LMHeadModel(tiny_config()).eval()

    def test_each_position_predicts_the_next_token(self, model: GPT2LMHeadModel) -> None:
        output = model(IDS, labels=IDS)
        assert output.logits.shape == (2, 6, 64)
        expected = cross_entropy(output.logits[:, :-1].flatten(0, 1), IDS[:, 1:].flatten())
        torch.testing.assert_close(output.loss, expected)
        torch.testing.assert_close(model(IDS, labels=IDS, num_items_in_batch=20).loss, expected * 10 / 20)

    def test_labels_to_leave_out(self, model: GPT2LMHeadModel) -> None:
        labels = IDS.where(IDS % 3 == 0, -100)
        output = model(IDS, labels=labels)
        expected = cross_entropy(output.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        torch.testing.assert_close(output.loss, expected)
        assert output.loss_terms["next_token"].count.item() == 4

    @pytest.mark.parametrize("keep", [1, 4, torch.tensor([0, 3])], ids=str)
    def test_fewer_scores(self, model: GPT2LMHeadModel, keep: Any) -> None:
        whole = model(IDS).logits
        kept = whole[:, -keep:] if isinstance(keep, int) else whole[:, keep]
        torch.testing.assert_close(model(IDS, logits_to_keep=keep).logits, kept)

    def test_a_loss_over_the_scores_that_were_kept(self, model: GPT2LMHeadModel) -> None:
        output = model(IDS, labels=IDS, logits_to_keep=3)
        expected = cross_entropy(model(IDS).logits[:, 3:5].flatten(0, 1), IDS[:, 4:].flatten())
        torch.testing.assert_close(output.loss, expected)

    @pytest.mark.parametrize("padded", [False, True])
    def test_labels_beside_a_cache(self, model: GPT2LMHeadModel, padded: bool) -> None:
        cache = model(IDS[:, :2]).past_key_values
        mask = torch.ones_like(IDS)
        mask[:, -1] = not padded
        found = model(IDS[:, 2:], cache, mask, labels=IDS[:, 2:]).loss
        last = -2 if padded else -1
        logits, labels = model(IDS).logits[:, 2:last], IDS[:, 3 : last + 1 or None]
        torch.testing.assert_close(found, cross_entropy(logits.flatten(0, 1), labels.flatten()))


def test_the_loss_of_a_batch_is_that_of_its_parts() -> None:
    """Law 9: with the number of items of the whole batch, the losses of micro-batches add up to its loss."""
    model = GPT2DoubleHeadsModel(tiny_config()).eval()
    labels = CHOICES.where(torch.arange(30).view(2, 3, 5) % 7 > 0, -100)
    right = torch.tensor([2, 0])
    whole = model(CHOICES, labels=labels, mc_labels=right)
    counts = {"next_token": (labels[..., 1:] != -100).sum(), "choice": 2}
    assert {name: term.count.item() for name, term in whole.loss_terms.items()} == {
        name: int(count) for name, count in counts.items()
    }
    parts = [
        model(CHOICES[row], labels=labels[row], mc_labels=right[row], num_items_in_batch=counts)
        for row in (slice(0, 1), slice(1, 2))
    ]
    for name in ("loss", "mc_loss"):
        torch.testing.assert_close(sum(part[name] for part in parts), whole[name])
    with pytest.raises(ValueError, match="next_token"):
        model(CHOICES, labels=labels, mc_labels=right, num_items_in_batch=7)
    alone = model(CHOICES, labels=labels, num_items_in_batch=counts["next_token"])
    torch.testing.assert_close(alone.loss, whole.loss)
    assert alone.mc_loss is None


class TestDoubleHeads:
    @pytest.fixture
    def model(self) -> GPT2DoubleHeadsModel:
        return GPT2DoubleHeadsModel(tiny_config()).eval()

    def test_choices_are_scored_one_by_one(self, model: GPT2DoubleHeadsModel) -> None:
        output = model(CHOICES)
        assert output.logits.shape == (2, 3, 5, 64)
        assert output.mc_logits.shape == (2, 3)
        alone = model(CHOICES[1:, 2:])
        torch.testing.assert_close(output.mc_logits[1, 2], alone.mc_logits[0, 0])
        torch.testing.assert_close(output.logits[1, 2], alone.logits[0, 0])

    def test_without_an_axis_of_choices(self, model: GPT2DoubleHeadsModel) -> None:
        output = model(CHOICES[0], mc_labels=torch.tensor([1]))
        assert output.logits.shape == (3, 5, 64)
        torch.testing.assert_close(output.mc_logits, model(CHOICES).mc_logits[0])
        torch.testing.assert_close(output.mc_loss, cross_entropy(output.mc_logits[None], torch.tensor([1])))

    def test_embeddings_and_token_types(self, model: GPT2DoubleHeadsModel) -> None:
        types = CHOICES % 7
        embedded = model.get_input_embeddings()(CHOICES)
        found = model(inputs_embeds=embedded, token_type_ids=types).mc_logits
        torch.testing.assert_close(found, model(CHOICES, token_type_ids=types).mc_logits)

    @pytest.mark.parametrize("kind", ["cls_index", "last", "first", "mean"])
    @pytest.mark.parametrize("side", ["left", "right"])
    def test_summaries_read_real_tokens_only(self, kind: str, side: str) -> None:
        model = GPT2DoubleHeadsModel(tiny_config(summary_type=kind)).eval()
        mask = torch.ones_like(CHOICES)
        columns = slice(2, None) if side == "left" else slice(0, 3)
        mask[0, 1] = 0
        mask[0, 1, columns] = 1
        padded = model(CHOICES, attention_mask=mask).mc_logits
        torch.testing.assert_close(padded[0, 1], model(CHOICES[:1, 1:2, columns]).mc_logits[0, 0])
        torch.testing.assert_close(padded[1], model(CHOICES).mc_logits[1])

    def test_a_summary_that_never_was(self) -> None:
        with pytest.raises(NotImplementedError, match="cls_index, last, first or mean"):
            GPT2DoubleHeadsModel(tiny_config(summary_type="attn"))

    def test_what_the_summary_consists_of(self) -> None:
        options = {
            "summary_activation": "tanh",
            "summary_proj_to_labels": False,
            "summary_first_dropout": 0.25,
        }
        head = GPT2DoubleHeadsModel(tiny_config(**options)).multiple_choice_head
        assert head.summary.out_features == 16
        assert head.first_dropout.p == 0.25
        assert head(torch.randn(2, 3, 16), Layout.padded(2, 3)).abs().max() < 1
        bare = GPT2DoubleHeadsModel(tiny_config(summary_use_proj=False)).multiple_choice_head
        hidden = torch.randn(2, 3, 16)
        assert torch.equal(bare(hidden, Layout.padded(2, 3)), hidden[:, -1])


@pytest.mark.parametrize("head", [GPT2LMHeadModel, GPT2DoubleHeadsModel])
class TestOutputEmbeddings:
    def test_are_tied(self, head: type[Any]) -> None:
        model = head(tiny_config())
        assert model.get_output_embeddings().weight is model.get_input_embeddings().weight

    def test_are_apart_when_the_configuration_says_so(self, head: type[Any]) -> None:
        model = head(tiny_config(tie_word_embeddings=False))
        assert model.get_output_embeddings().weight is not model.get_input_embeddings().weight

    def test_are_copies_for_torchscript(self, head: type[Any]) -> None:
        model = head(tiny_config(torchscript=True))
        weight = model.get_output_embeddings().weight
        assert weight is not model.get_input_embeddings().weight
        assert torch.equal(weight, model.get_input_embeddings().weight)

    @pytest.mark.parametrize("tied", [True, False])
    @pytest.mark.parametrize("rows", [70, 50])
    def test_are_resized(self, head: type[Any], rows: int, tied: bool, tmp_path: Any) -> None:
        model = head(tiny_config(tie_word_embeddings=tied)).eval()
        before = model(IDS).logits
        model.resize_token_embeddings(rows)
        after: Tensor = model(IDS).logits
        kept = min(rows, 64)
        assert after.shape == (2, 6, rows)
        torch.testing.assert_close(after[..., :kept], before[..., :kept])
        assert model.config.vocab_size == rows
        model.save_pretrained(tmp_path)
        torch.testing.assert_close(head.from_pretrained(tmp_path)(IDS).logits, after)

    def test_can_be_replaced(self, head: type[Any]) -> None:
        model = head(tiny_config(tie_word_embeddings=False))
        replacement = nn.Linear(16, 64)
        model.set_output_embeddings(replacement)
        assert model.get_output_embeddings() is replacement
        assert model(IDS).logits.shape == (2, 6, 64)
