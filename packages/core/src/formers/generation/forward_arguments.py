"""Which arguments a model's ``forward`` has; looked up once for each class."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Iterable
from typing import Any

from formers.errors import GenerationArgumentError

__all__ = ["ForwardArguments"]

_KEYWORDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class ForwardArguments:
    """The names that ``forward`` and ``prepare_inputs_for_generation`` of a class take."""

    __slots__ = ("_open", "_taken", "names")

    def __init__(self, model_class: type) -> None:
        forward = inspect.signature(model_class.forward).parameters  # type: ignore[attr-defined]
        prepare = inspect.signature(model_class.prepare_inputs_for_generation).parameters  # type: ignore[attr-defined]
        self.names = frozenset(name for name, one in forward.items() if one.kind in _KEYWORDS)
        self._taken = self.names | {name for name, one in prepare.items() if one.kind in _KEYWORDS}
        self._open = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in forward.values())

    @classmethod
    def of(cls, model: Any) -> ForwardArguments:
        """The arguments of a model's class."""
        return _of_class(model.__class__)

    def has(self, name: str) -> bool:
        """Whether ``forward`` names this argument."""
        return name in self.names

    def refuse_unknown(
        self, given: Iterable[str], settings: Iterable[str], caller: str = "generate()"
    ) -> None:
        """Raise for an argument of ``generate``, or of another caller, that nothing would read.

        Raises:
            GenerationArgumentError: names it, and what it may have been meant to be.
        """
        for name in given:
            if name in self._taken or (self._open and name != "self"):
                continue
            near = difflib.get_close_matches(name, [*settings, *sorted(self._taken - {"self"})], n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise GenerationArgumentError(
                f"{caller} got the argument {name!r}, which is neither a setting of GenerationConfig nor an argument "
                f"of the model's forward.{hint}"
            )


@functools.cache
def _of_class(model_class: Any) -> ForwardArguments:
    return ForwardArguments(model_class)
