from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from formers_bert import (
    BertForMultipleChoice,
    BertForNextSentencePrediction,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)
from formers_bert.configuration import tiny_config

IDS = torch.arange(1, 13).view(2, 6)


@pytest.mark.parametrize(
    ("num_labels", "problem", "labels", "expected"),
    [
        (1, None, torch.tensor([0.5, -1.0]), lambda logits, labels: F.mse_loss(logits.squeeze(1), labels)),
        (1, None, torch.tensor([1, 0]), lambda logits, labels: F.mse_loss(logits.squeeze(1), labels.float())),
        (3, None, torch.tensor([2, 0]), F.cross_entropy),
        (3, None, torch.eye(3)[:2], F.binary_cross_entropy_with_logits),
        (3, "regression", torch.randn(2, 3), F.mse_loss),
        (3, "multi_label_classification", torch.tensor([[0, 1, 1], [0, 0, 1]]), lambda logits, labels:
            F.binary_cross_entropy_with_logits(logits, labels.float())),
        (2, "single_label_classification", torch.tensor([1, 1]), F.cross_entropy),
    ],
)  # fmt: skip
def test_losses_of_a_sequence(num_labels: int, problem: str | None, labels: Any, expected: Any) -> None:
    config = tiny_config(num_labels=num_labels, problem_type=problem)
    model = BertForSequenceClassification(config).eval()
    output = model(IDS, labels=labels)
    assert output.logits.shape == (2, num_labels)
    torch.testing.assert_close(output.loss, expected(output.logits, labels))
    assert model.config.problem_type == problem  # a forward changes no setting


def test_the_classifier_has_its_own_dropout() -> None:
    assert BertForSequenceClassification(tiny_config(hidden_dropout_prob=0.3)).dropout.p == 0.3
    config = tiny_config(hidden_dropout_prob=0.3, classifier_dropout=0.0)
    for head in (BertForSequenceClassification, BertForMultipleChoice, BertForTokenClassification):
        assert head(config).dropout.p == 0.0


def test_next_sentence() -> None:
    model = BertForNextSentencePrediction(tiny_config()).eval()
    labels = torch.tensor([0, 1])
    output = model(IDS, labels=labels)
    assert output.logits.shape == (2, 2)
    torch.testing.assert_close(output.loss, F.cross_entropy(output.logits, labels))
    with pytest.warns(FutureWarning, match="labels"):
        assert torch.equal(model(IDS, next_sentence_label=labels).loss, output.loss)


def test_multiple_choice() -> None:
    model = BertForMultipleChoice(tiny_config()).eval()
    choices = torch.randint(1, 64, (2, 3, 5))
    mask = torch.ones_like(choices)
    mask[0, 1, 3:] = 0
    labels = torch.tensor([2, 0])
    output = model(choices, mask, labels=labels)
    assert output.logits.shape == (2, 3)
    torch.testing.assert_close(output.loss, F.cross_entropy(output.logits, labels))
    embedded = model.get_input_embeddings()(choices)
    torch.testing.assert_close(model(inputs_embeds=embedded, attention_mask=mask).logits, output.logits)


def test_tokens() -> None:
    model = BertForTokenClassification(tiny_config(num_labels=5)).eval()
    labels = IDS % 5
    labels[0, 2:] = -100
    output = model(IDS, labels=labels)
    assert output.logits.shape == (2, 6, 5)
    torch.testing.assert_close(output.loss, F.cross_entropy(output.logits.flatten(0, 1), labels.flatten()))
    assert output.loss_terms["token"].count.item() == 8


def test_spans() -> None:
    model = BertForQuestionAnswering(tiny_config()).eval()
    starts, ends = torch.tensor([1, 2]), torch.tensor([[3], [5]])
    output = model(IDS, start_positions=starts, end_positions=ends)
    assert output.start_logits.shape == output.end_logits.shape == (2, 6)
    first, last = F.cross_entropy(output.start_logits, starts), F.cross_entropy(output.end_logits, ends[:, 0])
    torch.testing.assert_close(output.loss, (first + last) / 2)
    assert model(IDS, start_positions=starts).loss is None
    terms = model.loss_terms(input_ids=IDS, start_positions=starts, end_positions=ends)
    torch.testing.assert_close(sum(term.weight * term.mean() for term in terms.values()), output.loss)


def test_a_span_whose_start_is_padding_is_left_out() -> None:
    model = BertForQuestionAnswering(tiny_config()).eval()
    mask = torch.ones_like(IDS)
    mask[1, :2] = 0
    terms = model.loss_terms(
        input_ids=IDS,
        attention_mask=mask,
        start_positions=torch.tensor([1, 1]),
        end_positions=torch.tensor([3, 4]),
    )
    assert {name: term.count.item() for name, term in terms.items()} == {"start": 1, "end": 2}
