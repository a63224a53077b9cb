"""Contrastive search: likely tokens whose hidden state is unlike those of the text so far.

Su et al. 2022, "A Contrastive Framework for Neural Text Generation", equation 5.
"""

from __future__ import annotations

from collections.abc import Generator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from formers import Generated, GenerationArgumentError
from formers.errors import shorten

if TYPE_CHECKING:
    from formers import Decoding

__all__ = ["ContrastiveSearch", "degeneration"]


class ContrastiveSearch:
    """Takes, of the ``top_k`` likeliest tokens v, the one with the highest

    ``(1 - penalty_alpha) * p(v) - penalty_alpha * degeneration(v)``.

    Every candidate goes through the model, so a step runs ``top_k`` rows for each row. Probabilities are those of the
    processed scores. ``low_memory`` has no effect.
    """

    name = "contrastive_search"
    priority = 0

    def decode(self, run: Decoding) -> Generator[Tensor, None, Generated]:
        """See :meth:`formers.Strategy.decode`.

        Raises:
            GenerationArgumentError: ``penalty_alpha`` or ``top_k`` is missing or out of range, or the model returns no
                hidden states.
        """
        alpha, wanted = _settings(run)
        output = run.forward(logits_to_keep=1, output_hidden_states=True)
        logits = run.adjusted(output.logits[:, -1].to(torch.float32))
        context = _directions(output)
        width = min(wanted, logits.shape[-1])
        ahead = run.branch(width)
        rows = torch.arange(run.rows, device=run.device)
        over = run.is_over
        while not over:
            run.keep(output)
            scores = run.processed(logits)
            probabilities, candidates = scores.softmax(dim=-1).topk(width, dim=-1)
            run.expect_finite(scores.amax(dim=-1))
            ahead.append(candidates.flatten())
            output = ahead.forward(logits_to_keep=1, output_hidden_states=True)
            states = _directions(output)[:, -1].view(run.rows, width, -1)
            penalties = degeneration(context, states, run.mask)
            best = ((1.0 - alpha) * probabilities - alpha * penalties).argmax(dim=-1)
            chosen = rows * width + best
            tokens = run.append(candidates[rows, best])
            run.end_rows(scores)
            ahead.select(chosen.repeat_interleave(width))
            context = torch.cat((context, states[rows, best, None]), dim=1)
            output = _of_rows(output, chosen)
            logits = run.adjusted(output.logits[:, -1].to(torch.float32))
            over = run.is_over
            yield tokens[:, None]
        run.cache = ahead.cache
        if (
            run.cache is not None
        ):  # one row for each prompt, and without the newest token, as other strategies leave it
            run.cache.batch_select_indices(rows * width)
            run.cache.crop(-1)
        return Generated(run.trimmed())


def degeneration(context: Tensor, candidates: Tensor, mask: Tensor | None) -> Tensor:
    """The greatest cosine of each candidate with the text so far.

    Args:
        context: [rows, columns, hidden], of length 1 each.
        candidates: [rows, candidates, hidden], of length 1 each.
        mask: [rows, columns], 0 where a column is padding; None if none is.

    Returns:
        [rows, candidates].
    """
    cosines = torch.einsum("rch,rkh->rck", context, candidates)
    if mask is not None:
        cosines = cosines.masked_fill((mask == 0)[:, :, None], torch.finfo(cosines.dtype).min)
    return cosines.amax(dim=1)


def _settings(run: Decoding) -> tuple[float, int]:
    alpha, width = run.plan.penalty_alpha, run.plan.top_k
    if alpha is None or not 0.0 <= alpha <= 1.0:
        raise GenerationArgumentError(
            f"generate(): penalty_alpha={shorten(alpha)}; contrastive search expects a number from 0 to 1, such as 0.6."
        )
    if not width or width < 1:
        raise GenerationArgumentError(
            f"generate(): top_k={shorten(width)}; contrastive search expects the number of candidates, such as 4."
        )
    if not run.prompt.takes.has("output_hidden_states"):
        raise GenerationArgumentError(
            f"{type(run.model).__name__} has no output_hidden_states, and contrastive search compares hidden states; "
            "leave penalty_alpha out."
        )
    return alpha, width


def _directions(output: Any) -> Tensor:
    """The last layer's states as float32 vectors of length 1, [rows, columns, hidden]."""
    states = getattr(output, "decoder_hidden_states", None) or output.hidden_states
    return normalize(states[-1].to(torch.float32), dim=-1)


def _of_rows(output: Any, rows: Tensor) -> SimpleNamespace:
    """An output with these rows of its tensors only.

    Left out are the cache, which has been reordered, and what an encoder gave, which may have a row for each prompt.
    """
    kept = {name: value for name, value in output.items() if name != "past_key_values"}
    return SimpleNamespace(
        **{name: _rows(value, rows) for name, value in kept.items() if not name.startswith("encoder_")}
    )


def _rows(value: Any, rows: Tensor) -> Any:
    if isinstance(value, tuple):
        return tuple(_rows(part, rows) for part in value)
    return value[rows] if isinstance(value, Tensor) and value.dim() else value
