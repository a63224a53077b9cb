from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from formers.cache import DynamicCache
from formers_gpt2 import (
    GPT2ForQuestionAnswering,
    GPT2ForSequenceClassification,
    GPT2ForTokenClassification,
)
from formers_gpt2.configuration import tiny_config

IDS = torch.arange(1, 13).view(2, 6)


@pytest.mark.parametrize(
    ("num_labels", "problem", "labels", "expected"),
    [
        (1, None, torch.tensor([0.5, -1.0]), lambda logits, labels: F.mse_loss(logits.squeeze(1), labels)),
        (3, None, torch.tensor([2, 0]), F.cross_entropy),
        (3, None, torch.eye(3)[:2], F.binary_cross_entropy_with_logits),
        (3, "regression", torch.randn(2, 3), F.mse_loss),
        (2, "single_label_classification", torch.tensor([1, 1]), F.cross_entropy),
    ],
)
def test_losses_of_a_sequence(num_labels: int, problem: str | None, labels: Any, expected: Any) -> None:
    config = tiny_config(num_labels=num_labels, problem_type=problem, pad_token_id=0)
    model = GPT2ForSequenceClassification(config).eval()
    output = model(IDS, labels=labels)
    assert output.logits.shape == (2, num_labels)
    torch.testing.assert_close(output.loss, expected(output.logits, labels))
    assert model.config.problem_type == problem  # a forward changes no setting


class TestWhereASequenceEnds:
    @pytest.fixture
    def model(self) -> GPT2ForSequenceClassification:
        return GPT2ForSequenceClassification(tiny_config(pad_token_id=0)).eval()

    def score(self, model: GPT2ForSequenceClassification, row: list[int]) -> torch.Tensor:
        ids = torch.tensor([row])
        return model(ids, attention_mask=torch.ones_like(ids)).logits[0]

    def test_the_mask_says_it(self, model: GPT2ForSequenceClassification) -> None:
        """On either side; a real token may be the padding token, and padding may be any token."""
        ids = torch.tensor([[5, 6, 7, 8], [5, 6, 7, 8], [5, 0, 0, 0], [0, 0, 5, 0]])
        mask = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1]])
        found = model(ids, attention_mask=mask).logits
        expected = [self.score(model, row) for row in ([5, 6], [7, 8], [5, 0], [0, 0, 5, 0])]
        torch.testing.assert_close(found, torch.stack(expected))

    def test_a_full_mask_is_a_mask(self, model: GPT2ForSequenceClassification) -> None:
        ids = torch.tensor([[5, 6, 0, 0], [7, 8, 9, 0]])
        found = model(ids, attention_mask=torch.ones_like(ids)).logits
        torch.testing.assert_close(found[0], self.score(model, [5, 6, 0, 0]))

    @pytest.mark.parametrize("dimensions", [0, 3, 4])
    def test_without_one_the_padding_token_does(
        self, model: GPT2ForSequenceClassification, dimensions: int
    ) -> None:
        ids = torch.tensor([[5, 6, 0, 0], [7, 0, 8, 0]])
        causal = torch.ones(2, 4, 4, dtype=torch.bool).tril()
        mask = {0: None, 3: causal, 4: causal[:, None]}[dimensions]
        found = model(ids, attention_mask=mask).logits
        expected = [self.score(model, row) for row in ([5, 6], [7, 0, 8])]
        torch.testing.assert_close(found, torch.stack(expected))

    def test_something_must(self, model: GPT2ForSequenceClassification) -> None:
        model.config.pad_token_id = None
        with pytest.raises(ValueError, match=r"attention_mask.*config\.pad_token_id"):
            model(IDS)
        assert model(IDS[:1]).logits.shape == (1, 2)
        assert model(IDS, attention_mask=torch.ones_like(IDS)).logits.shape == (2, 2)

    def test_beside_a_cache(self, model: GPT2ForSequenceClassification) -> None:
        mask = torch.ones_like(IDS)
        mask[0, -1] = 0
        whole = model(IDS, attention_mask=mask).logits
        cache = DynamicCache()
        model(IDS[:, :3], cache, mask[:, :3])
        torch.testing.assert_close(model(IDS[:, 3:], cache, mask).logits, whole)


def test_tokens() -> None:
    model = GPT2ForTokenClassification(tiny_config(num_labels=5)).eval()
    labels = IDS % 5
    labels[0, 2:] = -100
    output = model(IDS, labels=labels)
    assert output.logits.shape == (2, 6, 5)
    torch.testing.assert_close(output.loss, F.cross_entropy(output.logits.flatten(0, 1), labels.flatten()))
    assert output.loss_terms["token"].count.item() == 8


def test_tokens_beside_a_cache() -> None:
    model = GPT2ForTokenClassification(tiny_config(num_labels=5)).eval()
    mask = torch.ones_like(IDS)
    mask[0, -1] = 0
    whole = model(IDS, attention_mask=mask).logits
    cache = DynamicCache()
    model(IDS[:, :3], cache, mask[:, :3])
    rest = model(IDS[:, 3:], cache, mask, labels=IDS[:, 3:] % 5)
    torch.testing.assert_close(rest.logits, whole[:, 3:])
    assert rest.loss_terms["token"].count.item() == 5


def test_spans() -> None:
    model = GPT2ForQuestionAnswering(tiny_config()).eval()
    starts, ends = torch.tensor([1, 2]), torch.tensor([[3], [5]])
    output = model(IDS, start_positions=starts, end_positions=ends)
    assert output.start_logits.shape == output.end_logits.shape == (2, 6)
    first, last = F.cross_entropy(output.start_logits, starts), F.cross_entropy(output.end_logits, ends[:, 0])
    torch.testing.assert_close(output.loss, (first + last) / 2)
    assert model(IDS, start_positions=starts).loss is None
    terms = model.loss_terms(input_ids=IDS, start_positions=starts, end_positions=ends)
    torch.testing.assert_close(sum(term.weight * term.mean() for term in terms.values()), output.loss)
