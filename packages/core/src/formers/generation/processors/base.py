"""What a logits processor is, and how several are applied one after another."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import ClassVar

from torch import Tensor

__all__ = ["LogitsProcessor", "LogitsProcessorList", "LogitsWarper"]


class LogitsProcessor:
    """Changes the scores of the next token.

    A subclass defines ``__call__(input_ids, scores)`` with ``input_ids`` int64 [rows, length], all tokens so far, and
    ``scores`` [rows, vocabulary]; it returns the new scores and leaves those that it was given as they are. Parameters
    after these two are filled by name from what the decoding strategy passes to the list.

    Processors hold no state that depends on the rows, so that beam search may reorder rows between two calls; those
    of this package that cannot avoid it say so. None of them makes the host wait for a GPU, but for watermarks and
    for what a caller's own function does.
    """

    uses_input_ids: ClassVar[bool] = True
    """False: the result depends on the scores alone, so that the call may be part of a captured graph."""

    extra_arguments: ClassVar[tuple[str, ...]] = ()
    """Names of the parameters of ``__call__`` after the two; found when a subclass is defined."""

    def __init_subclass__(cls, **keywords: object) -> None:
        super().__init_subclass__(**keywords)
        cls.extra_arguments = _extra_arguments(cls.__call__)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The new scores, [rows, vocabulary]."""
        raise NotImplementedError(
            f"{type(self).__name__} does not define __call__(input_ids, scores); a logits processor must."
        )


LogitsWarper = LogitsProcessor
"""The name of processors that shape a distribution for sampling, in code written for older versions."""


class LogitsProcessorList(list[Callable[..., Tensor]]):
    """Processors, applied in order; plain functions of ``(input_ids, scores)`` may be among them."""

    def __call__(self, input_ids: Tensor, scores: Tensor, **extra: object) -> Tensor:
        """The scores after every processor, [rows, vocabulary].

        Args:
            input_ids: int64 [rows, length].
            scores: [rows, vocabulary].
            extra: what processors with further parameters may ask for by name.

        Raises:
            ValueError: a processor has a parameter that is not among ``extra``.
            TypeError: a processor did not return scores.
        """
        for processor in self:
            wanted = _wanted_by(processor)
            given = _choose(processor, wanted, extra) if wanted else {}
            scores = processor(input_ids, scores, **given)
            if not isinstance(scores, Tensor):
                raise TypeError(
                    f"{_name_of(processor)} returned {type(scores).__name__}; a logits processor returns the scores, "
                    "a tensor [rows, vocabulary]."
                )
        return scores

    @property
    def uses_input_ids(self) -> bool:
        """Whether any member looks at the tokens so far; taken for granted of functions and foreign classes."""
        return any(getattr(processor, "uses_input_ids", True) for processor in self)


_ALL = "**"


@lru_cache(maxsize=64)
def _extra_arguments(call: Callable[..., object]) -> tuple[str, ...]:
    """Parameters after ``self, input_ids, scores``; one without which the call works ends in ``=``."""
    found = []
    for parameter in list(inspect.signature(call).parameters.values())[3:]:
        if parameter.kind is parameter.VAR_KEYWORD:
            found.append(_ALL)
        elif parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            found.append(parameter.name + ("" if parameter.default is parameter.empty else "="))
    return tuple(found)


def _wanted_by(processor: Callable[..., Tensor]) -> tuple[str, ...]:
    if isinstance(processor, LogitsProcessor):
        return processor.extra_arguments
    return _extra_arguments(type(processor).__call__)


def _choose(
    processor: Callable[..., Tensor], wanted: tuple[str, ...], extra: dict[str, object]
) -> dict[str, object]:
    if _ALL in wanted:
        return extra
    missing = [name for name in wanted if not name.endswith("=") and name not in extra]
    if missing:
        raise ValueError(
            f"{_name_of(processor)} needs {missing}, but the call passed {sorted(extra)}; pass them by name to the "
            "list, or remove the processor for a strategy that does not know them."
        )
    return {name.rstrip("="): extra[name.rstrip("=")] for name in wanted if name.rstrip("=") in extra}


def _name_of(processor: object) -> str:
    return getattr(processor, "__name__", type(processor).__name__)
