"""A caller's own function as a strategy, with the arguments that transformers gives to ``custom_generate``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor

from formers.errors import GenerationError, shorten

from .base import Generated, Tokens

if TYPE_CHECKING:
    from formers.generation.state import Decoding

__all__ = ["Function"]


class Function:
    """Calls ``function(model, input_ids, logits_processor, stopping_criteria, generation_config, **inputs)``.

    ``generation_config`` is the resolved plan; ``inputs`` holds the attention mask and the cache.
    """

    name = "function"
    priority = 0

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def decode(self, run: Decoding) -> Tokens:
        """See :meth:`Strategy.decode`."""
        result = self._function(
            run.model,
            run.tokens,
            logits_processor=run.processors,
            stopping_criteria=run.stopping.as_criteria(),
            generation_config=run.plan,
            **run.model_inputs(),
        )
        sequences = getattr(result, "sequences", result)
        if not isinstance(sequences, Tensor):
            raise GenerationError(
                f"custom_generate returned {shorten(result)} of type {type(result).__name__}; expected the sequences, "
                "a tensor [rows, length], or an output object that has them."
            )
        run.finished.fill_(True)
        yield sequences[:, run.prompt_length :]
        return Generated(
            sequences, getattr(result, "sequences_scores", None), getattr(result, "beam_indices", None)
        )
