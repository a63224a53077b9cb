from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from formers.layout import Layout
from formers.losses import (
    LossTerm,
    classification_term,
    combine,
    cross_entropy_term,
    means,
    multi_label_term,
    next_token_labels,
    next_token_term,
    position_term,
    regression_term,
    with_loss,
)
from formers.outputs import SequenceClassifierOutput


@given(seed=st.integers(0, 10**6), ignored=st.floats(0.0, 0.9))
@settings(max_examples=25, deadline=None)
def test_cross_entropy_is_the_mean_over_the_items(seed: int, ignored: float) -> None:
    torch.manual_seed(seed)
    logits = torch.randn(3, 5, 7, requires_grad=True)
    labels = torch.randint(0, 7, (3, 5)).masked_fill(torch.rand(3, 5) < ignored, -100)
    labels[0, 0] = 3
    loss = combine({"loss": cross_entropy_term(logits, labels)})
    expected = F.cross_entropy(logits.view(-1, 7), labels.view(-1))
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, logits), torch.autograd.grad(expected, logits))


def test_accumulation_over_batches_is_exact() -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 6, 9, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, 9, (4, 6))
    labels[0, 1:] = -100
    labels[3] = -100
    whole = combine({"lm": cross_entropy_term(logits, labels)})
    items = int((labels != -100).sum())
    parts = sum(
        combine({"lm": cross_entropy_term(logits[row], labels[row])}, given)
        for row, given in enumerate([items, float(items), torch.tensor(items), {"lm": items}])
    )
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(torch.autograd.grad(parts, logits), torch.autograd.grad(whole, logits))


def test_no_items_give_zero_and_zero_gradients() -> None:
    logits = torch.randn(2, 3, requires_grad=True)
    for given_items in (None, 0, torch.tensor(0)):
        loss = combine({"loss": cross_entropy_term(logits, torch.full((2,), -100))}, given_items)
        assert loss == 0
        (gradient,) = torch.autograd.grad(loss, logits)
        assert not gradient.any()


def test_padding_is_no_item_whatever_its_label() -> None:
    logits = torch.randn(1, 3, 5)
    labels = torch.tensor([[1, 4, 99]])
    real = torch.tensor([[True, True, False]])
    term = cross_entropy_term(logits, labels, real=real)
    assert term.count == 2
    torch.testing.assert_close(term.mean(), F.cross_entropy(logits[0, :2], labels[0, :2]))


def test_half_precision_is_summed_in_float32() -> None:
    logits = torch.randn(64, 50, dtype=torch.bfloat16)
    labels = torch.randint(0, 50, (64,))
    term = cross_entropy_term(logits, labels)
    assert term.sum.dtype == torch.float32
    torch.testing.assert_close(term.mean(), F.cross_entropy(logits.float(), labels))


def test_regression_and_multi_label() -> None:
    predictions, targets = torch.randn(4, 3), torch.randn(4, 3)
    torch.testing.assert_close(regression_term(predictions, targets).mean(), F.mse_loss(predictions, targets))
    labels = torch.randint(0, 2, (4, 3))
    torch.testing.assert_close(
        multi_label_term(predictions, labels).mean(),
        F.binary_cross_entropy_with_logits(predictions, labels.float()),
    )


def test_terms_are_weighted_and_added() -> None:
    terms = {
        "start": LossTerm(torch.tensor(6.0), torch.tensor(3), weight=0.5),
        "end": LossTerm(torch.tensor(8.0), torch.tensor(2), weight=0.5),
    }
    assert combine(terms) == 0.5 * 2 + 0.5 * 4
    assert combine(terms, {"start": 6, "end": torch.tensor(4)}) == 0.5 * 1 + 0.5 * 2


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (5, "one number, but this loss has the terms"),
        ({"a": 5}, r"names \['a'\]; this loss has the terms \['a', 'b'\]"),
        ({"a": 5, "b": 1, "c": 2}, "names"),
        ({"a": -1, "b": 1}, "num_items_in_batch is -1"),
    ],
)
def test_counts_that_do_not_fit_the_terms_are_refused(items: object, message: str) -> None:
    term = LossTerm(torch.ones(()), torch.ones(()))
    with pytest.raises(ValueError, match=message):
        combine({"a": term, "b": term}, items)  # type: ignore[arg-type]


def test_no_terms_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        combine({})


def test_bad_labels_are_named() -> None:
    logits = torch.zeros(2, 3, 5)
    with pytest.raises(ValueError, match=r"labels hold 5 at \[1, 2\]; expected a class from 0 to 4"):
        cross_entropy_term(logits, torch.tensor([[0, 0, 0], [0, 0, 5]]))
    with pytest.raises(ValueError, match=r"labels hold -1 at \[0, 0\]"):
        cross_entropy_term(logits, torch.full((2, 3), -1))
    with pytest.raises(ValueError, match=r"shape \(2, 4\) .* expected \(2, 3\)"):
        cross_entropy_term(logits, torch.zeros(2, 4, dtype=torch.long))
    with pytest.raises(ValueError, match=r"dtype torch.float32"):
        cross_entropy_term(logits, torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"\(2, 3\); expected the shape of the logits, \(2, 3, 5\)"):
        multi_label_term(logits, torch.zeros(2, 3))
    with pytest.raises(ValueError, match="expected the shape"):
        regression_term(logits, torch.zeros(2, 3))


def test_next_token_labels_stay_inside_what_is_real() -> None:
    labels = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
    assert next_token_labels(labels).tolist() == [[2, 3, 4, -100], [6, 7, 8, -100]]
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 0]])
    layout = Layout.padded(2, 4, mask)
    assert next_token_labels(labels, layout).tolist() == [[-100, -100, 4, -100], [6, 7, -100, -100]]
    assert next_token_labels(labels, Layout.padded(2, 4)).tolist() == next_token_labels(labels).tolist()


def test_next_token_labels_do_not_cross_documents() -> None:
    layout = Layout.packed(torch.tensor([0, 3, 3, 5]), 3, 5)
    assert next_token_labels(torch.tensor([1, 2, 3, 4, 5]), layout).tolist() == [2, 3, -100, 5, -100]


def test_gradients_of_single_examples() -> None:
    def loss(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return cross_entropy_term(logits[None], label[None]).mean()

    logits, labels = torch.randn(4, 3), torch.tensor([0, 2, 1, 0])
    each = torch.vmap(torch.func.grad(loss))(logits, labels)
    expected = logits.softmax(-1) - torch.nn.functional.one_hot(labels, 3)
    torch.testing.assert_close(each, expected)


@pytest.mark.parametrize(
    ("num_labels", "problem", "labels", "expected"),
    [
        (1, None, torch.tensor([0.5, -1.0]), lambda logits, labels: F.mse_loss(logits.squeeze(1), labels)),
        (1, None, torch.tensor([1, 0]), lambda logits, labels: F.mse_loss(logits.squeeze(1), labels.float())),
        (3, None, torch.tensor([2, 0]), F.cross_entropy),
        (3, None, torch.eye(3)[:2], F.binary_cross_entropy_with_logits),
        (3, "regression", torch.ones(2, 3), F.mse_loss),
        (2, "single_label_classification", torch.tensor([[1], [1]]), lambda logits, labels:
            F.cross_entropy(logits, labels[:, 0])),
    ],
)  # fmt: skip
def test_the_problem_decides_the_loss(
    num_labels: int, problem: str | None, labels: torch.Tensor, expected: Any
) -> None:
    logits = torch.randn(2, num_labels)
    torch.testing.assert_close(classification_term(logits, labels, problem).mean(), expected(logits, labels))


def test_a_position_counts_if_it_is_a_real_token() -> None:
    logits = torch.randn(4, 5)
    layout = Layout.padded(4, 5, torch.arange(5) < torch.tensor([5, 3, 5, 5])[:, None])
    term = position_term(logits, torch.tensor([[4], [3], [-1], [5]]), layout, weight=0.5)
    assert (term.count.item(), term.weight) == (1, 0.5)
    torch.testing.assert_close(term.sum, F.cross_entropy(logits[:1], torch.tensor([4])))


def test_beside_cached_columns_the_last_of_a_layout_have_labels() -> None:
    mask = torch.tensor([[0, 1, 1, 1, 1], [1, 1, 1, 1, 0]])
    found = next_token_labels(torch.arange(6).view(2, 3), Layout.padded(2, 5, mask))
    assert found.tolist() == [[1, 2, -100], [4, -100, -100]]


def test_scores_of_some_positions() -> None:
    logits, labels = torch.randn(2, 6, 9), torch.randint(0, 9, (2, 6))
    whole = next_token_term(logits, labels, None)
    assert whole.count.item() == 10
    kept = next_token_term(logits[:, -3:], labels, None, slice(-3, None))
    torch.testing.assert_close(
        kept.mean(), F.cross_entropy(logits[:, 3:5].flatten(0, 1), labels[:, 4:].flatten())
    )
    places = torch.tensor([0, 4])
    chosen = next_token_term(logits[:, places], labels, None, places)
    expected = F.cross_entropy(logits[:, places].flatten(0, 1), labels[:, places + 1].flatten())
    torch.testing.assert_close(chosen.mean(), expected)


def test_the_mean_of_each_term() -> None:
    terms = {
        "a": LossTerm(torch.tensor(6.0), torch.tensor(3)),
        "b": LossTerm(torch.tensor(4.0), torch.tensor(2), weight=0.5),
    }
    assert {name: mean.item() for name, mean in means(terms).items()} == {"a": 2.0, "b": 1.0}
    assert {name: mean.item() for name, mean in means(terms, {"a": 6, "b": 1}).items()} == {
        "a": 1.0,
        "b": 2.0,
    }
    assert means({}) == {}


def test_an_output_with_its_loss() -> None:
    terms = {"a": LossTerm(torch.tensor(6.0), torch.tensor(3))}
    output = with_loss(SequenceClassifierOutput(logits=torch.ones(1)), terms, None, True)
    assert output.loss.item() == 2.0
    assert output.loss_terms is terms
    assert with_loss(SequenceClassifierOutput(logits=torch.ones(1)), terms, 6, False)[0].item() == 1.0
    assert with_loss(SequenceClassifierOutput(logits=torch.ones(1)), {}, None, True).loss is None
