"""A processor that leaves the choice to a function of the caller's, as retrieval and grammars need."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from formers.errors import shorten

from .base import LogitsProcessor
from .checks import whole

__all__ = ["PrefixConstrainedLogitsProcessor"]


class PrefixConstrainedLogitsProcessor(LogitsProcessor):
    """Allows only the tokens that a function names for each row (De Cao et al. 2021).

    Args:
        prefix_allowed_tokens_fn: ``(batch_id, tokens [length]) -> ids`` that may come next; called for every row.
        num_beams: rows of each item of the batch.
    """

    def __init__(
        self, prefix_allowed_tokens_fn: Callable[[int, Tensor], Iterable[int] | Tensor], num_beams: int
    ) -> None:
        if not callable(prefix_allowed_tokens_fn):
            raise ValueError(
                f"`prefix_allowed_tokens_fn` is {shorten(prefix_allowed_tokens_fn)}; expected a function of the batch "
                "item's number and its tokens that returns the ids that may follow."
            )
        self._allowed = prefix_allowed_tokens_fn
        self._num_beams = whole("num_beams", num_beams, 1, "1 without beams")

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The new scores, [rows, vocabulary].

        Raises:
            ValueError: the function allows nothing, or an id that the scores have no column for.
        """
        rows: list[int] = []
        columns: list[int] = []
        for row, tokens in enumerate(input_ids):
            ids = self._ids(row // self._num_beams, tokens, scores.shape[-1])
            rows += [row] * len(ids)
            columns += ids
        places = torch.tensor([rows, columns], device=scores.device).unbind()
        return torch.full_like(scores, float("-inf")).index_put_(places, scores[places])

    def _ids(self, item: int, tokens: Tensor, vocabulary: int) -> list[int]:
        answer = self._allowed(item, tokens)
        ids = (
            answer.flatten().tolist()
            if isinstance(answer, Tensor)
            else [int(token) for token in answer or ()]
        )
        if not ids:
            raise ValueError(
                f"`prefix_allowed_tokens_fn` allows no token for batch item {item} after {tokens.shape[0]} tokens; a "
                "constraint that is fulfilled allows the EOS token."
            )
        if min(ids) < 0 or max(ids) >= vocabulary:
            wrong = next(token for token in ids if not 0 <= token < vocabulary)
            raise ValueError(
                f"`prefix_allowed_tokens_fn` allows token {wrong} for batch item {item}; expected ids from 0 to "
                f"{vocabulary - 1}, those of the model's vocabulary."
            )
        return ids
