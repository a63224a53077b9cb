"""Losses as sums and counts, so that accumulating them over batches is exact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's customary name

from formers.errors import shorten
from formers.layout import Layout, may_look_at
from formers.outputs import ModelOutput

__all__ = [
    "ItemCount",
    "LossTerm",
    "classification_term",
    "combine",
    "cross_entropy_term",
    "means",
    "multi_label_term",
    "next_token_labels",
    "next_token_term",
    "position_term",
    "regression_term",
    "with_loss",
]

ItemCount = float | Tensor | Mapping[str, float | Tensor]
"""How many items a loss is the mean over: a number, or one for each term of a loss that has several."""

Output = TypeVar("Output", bound=ModelOutput)


@dataclass(frozen=True, slots=True, eq=False)
class LossTerm:
    """One term of a loss.

    Attributes:
        sum: the losses of all items added up; scalar, at least float32, differentiable.
        count: how many items those are; scalar, on the same device.
        weight: factor of the term's mean in the total.
    """

    sum: Tensor
    count: Tensor
    weight: float = 1.0

    def mean(self, num_items_in_batch: float | Tensor | None = None) -> Tensor:
        """``sum / count``, or ``sum / num_items_in_batch``; 0 with zero gradients if there are no items.

        transformers gives NaN without items, which one micro-batch of ignored labels then spreads to all weights.

        Raises:
            ValueError: a negative number of items.
        """
        items = self.count if num_items_in_batch is None else num_items_in_batch
        if isinstance(items, Tensor):
            return self.sum / items.to(self.sum.device).clamp_min(1)
        if items < 0:
            raise ValueError(f"num_items_in_batch is {shorten(items)}; expected a number of items.")
        return self.sum / max(items, 1)


def combine(terms: Mapping[str, LossTerm], num_items_in_batch: ItemCount | None = None) -> Tensor:
    """The loss: the weighted means of its terms, added up.

    Args:
        terms: by name; at least one.
        num_items_in_batch: see :func:`means`.

    Raises:
        ValueError: there is no term, the names are not those of the terms, or one number is given for several.
    """
    if not terms:
        raise ValueError("A loss needs at least one term.")
    total, *others = means(terms, num_items_in_batch).values()
    for mean in others:
        total = total + mean
    return total


def means(terms: Mapping[str, LossTerm], num_items_in_batch: ItemCount | None = None) -> dict[str, Tensor]:
    """The weighted mean of each term.

    Args:
        terms: by name.
        num_items_in_batch: what to divide by instead of each term's own count, so that the losses of several
            batches add up to the mean over all their items: a number for a single term, else one for each term.

    Raises:
        ValueError: the names are not those of the terms, or one number is given for several.
    """
    if num_items_in_batch is None:
        return {name: term.weight * term.mean() for name, term in terms.items()}
    items = _items_by_term(terms, num_items_in_batch)
    return {name: term.weight * term.mean(items[name]) for name, term in terms.items()}


def with_loss(
    output: Output,
    terms: Mapping[str, LossTerm],
    num_items_in_batch: ItemCount | None,
    return_dict: bool | None,
) -> Output | tuple[Any, ...]:
    """``output`` with the loss that its terms make, if there are any; as a tuple if ``return_dict`` is False."""
    if terms:
        output.loss = combine(terms, num_items_in_batch)  # type: ignore[attr-defined]
        output.loss_terms = terms
    return output if return_dict else output.to_tuple()


def _items_by_term(terms: Mapping[str, LossTerm], given: ItemCount) -> Mapping[str, float | Tensor]:
    if isinstance(given, Mapping):
        if given.keys() != terms.keys():
            raise ValueError(
                f"num_items_in_batch names {shorten(sorted(given))}; this loss has the terms {sorted(terms)}."
            )
        return given
    if len(terms) > 1:
        raise ValueError(
            f"num_items_in_batch is one number, but this loss has the terms {sorted(terms)}, each of which counts "
            "items of its own; pass a mapping from term to number."
        )
    return dict.fromkeys(terms, given)


def cross_entropy_term(
    logits: Tensor,
    labels: Tensor,
    ignore_index: int = -100,
    real: Tensor | None = None,
    weight: float = 1.0,
) -> LossTerm:
    """Negative log-likelihood of one class for each item, in float32 at least.

    Args:
        logits: [..., classes].
        labels: [...], integers; ``ignore_index`` where there is no item.
        ignore_index: the label to leave out.
        real: bool [...], False where there is no item either, such as padding.
        weight: of the term in the total.

    Raises:
        ValueError: shapes differ, or (seen on the CPU only) a label is no class.
    """
    if labels.shape != logits.shape[:-1]:
        raise ValueError(
            f"labels have shape {tuple(labels.shape)} for logits of shape {tuple(logits.shape)}; "
            f"expected {tuple(logits.shape[:-1])}."
        )
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(f"labels have dtype {labels.dtype}; expected integers, the numbers of classes.")
    labels = labels.to(logits.device, torch.int64)
    if real is not None:
        labels = labels.masked_fill(~real, ignore_index)
    classes = logits.shape[-1]
    items = labels != ignore_index
    _check_labels(labels, items, classes, ignore_index)
    total = F.cross_entropy(
        _precise(logits).reshape(-1, classes), labels.reshape(-1), ignore_index=ignore_index, reduction="sum"
    )
    return LossTerm(total, items.sum(), weight)


def regression_term(predictions: Tensor, targets: Tensor, weight: float = 1.0) -> LossTerm:
    """Squared errors; every number is an item.

    Raises:
        ValueError: shapes differ.
    """
    _same_shape(predictions, targets)
    predictions = _precise(predictions)
    total = F.mse_loss(predictions, targets.to(predictions), reduction="sum")
    return LossTerm(total, _number_of(predictions), weight)


def multi_label_term(logits: Tensor, labels: Tensor, weight: float = 1.0) -> LossTerm:
    """Binary cross-entropy of every label of every row, [batch, labels]; every number is an item.

    Raises:
        ValueError: shapes differ.
    """
    _same_shape(logits, labels)
    logits = _precise(logits)
    total = F.binary_cross_entropy_with_logits(logits, labels.to(logits), reduction="sum")
    return LossTerm(total, _number_of(logits), weight)


def classification_term(logits: Tensor, labels: Tensor, problem_type: str | None) -> LossTerm:
    """The loss of a classifier, or of a regressor, of whole sequences.

    Args:
        logits: [batch, num_labels].
        labels: [batch] classes; or [batch] or [batch, num_labels] numbers for a regression; or [batch, num_labels]
            numbers from 0 to 1 for several labels at once.
        problem_type: of the configuration; None takes a single label for a regression, and integers for classes.

    Raises:
        ValueError: shapes differ, or a label is no class.
    """
    num_labels = logits.shape[-1]
    if problem_type is None:
        if num_labels == 1:
            problem_type = "regression"
        elif labels.is_floating_point():
            problem_type = "multi_label_classification"
        else:
            problem_type = "single_label_classification"
    if problem_type == "regression":
        return regression_term(logits, labels.view(-1, num_labels))
    if problem_type == "multi_label_classification":
        return multi_label_term(logits, labels)
    return cross_entropy_term(logits, labels.view(-1))


def position_term(logits: Tensor, positions: Tensor, layout: Layout, weight: float = 1.0) -> LossTerm:
    """Cross-entropy over the columns of each row, for the rows whose position is a real token.

    Args:
        logits: [batch, length]; of documents that the caller packed, as packed.
        positions: [batch] or [batch, 1], columns, counted within a document; one outside the row is left out.
        layout: of the logits.
        weight: of the term in the total.
    """
    positions = positions.view(-1)
    mask = layout.key_mask()
    if layout.is_packed:
        logits = layout.rows(layout.pack(logits))
        if mask is not None:
            logits = logits.masked_fill(~mask, torch.finfo(logits.dtype).min)
    real = (positions >= 0) & (positions < layout.length)
    if mask is not None:
        inside = positions.clamp(0, layout.length - 1)
        real = real & mask.gather(1, inside[:, None]).squeeze(1)
    return cross_entropy_term(logits, positions, real=real, weight=weight)


def next_token_term(
    logits: Tensor,
    labels: Tensor,
    layout: Layout | None,
    kept: slice | Tensor = slice(None),
) -> LossTerm:
    """Cross-entropy of the *next* token at each position.

    Args:
        logits: [..., kept, vocabulary].
        labels: [..., length]; ``-100`` where there is none.
        layout: see :func:`next_token_labels`.
        kept: the positions that ``logits`` are of; all by default.
    """
    return cross_entropy_term(logits, next_token_labels(labels, layout)[..., kept])


def next_token_labels(labels: Tensor, layout: Layout | None = None, ignore_index: int = -100) -> Tensor:
    """The label of the *next* position at each position; ``ignore_index`` at the last.

    Args:
        labels: [batch, length]; [tokens] when packed by the caller.
        layout: if given, a position counts only if it and the next are real and of one document. It may begin with
            cached positions, which have no labels.
        ignore_index: what stands where there is nothing to predict.
    """
    if layout is not None and layout.places is not None:
        layout = layout.origin
    elif layout is not None and layout.origin is not None:
        alone = replace(layout, origin=None)
        return layout.unpack(next_token_labels(layout.pack(labels, "labels"), alone, ignore_index))
    shifted = F.pad(labels[..., 1:], (0, 1), value=ignore_index)
    if layout is None:
        return shifted
    if layout.is_packed:
        documents = layout.document_ids()
        together = F.pad(documents[1:] == documents[:-1], (0, 1), value=False)
    elif layout.mask is not None:
        real = layout.mask[:, layout.length - labels.shape[-1] :]
        together = real & F.pad(real[:, 1:], (0, 1), value=False)
    else:
        return shifted
    return shifted.masked_fill(~together, ignore_index)


def _precise(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _number_of(tensor: Tensor) -> Tensor:
    return torch.full((), tensor.numel(), device=tensor.device)


def _same_shape(predictions: Tensor, labels: Tensor) -> None:
    if predictions.shape != labels.shape:
        raise ValueError(
            f"labels have shape {tuple(labels.shape)}; expected the shape of the logits, "
            f"{tuple(predictions.shape)}."
        )


def _check_labels(labels: Tensor, items: Tensor, classes: int, ignore_index: int) -> None:
    if not may_look_at(labels):
        return
    wrong = items & ((labels < 0) | (labels >= classes))
    if bool(wrong.any()):
        place = tuple(wrong.nonzero()[0].tolist())
        raise ValueError(
            f"labels hold {labels[place].item()} at {list(place)}; expected a class from 0 to {classes - 1}, or "
            f"{ignore_index} to leave a position out."
        )
