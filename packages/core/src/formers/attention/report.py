"""Which attention served which calls of a model, as a value and as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from .contract import AttentionRequest
from .select import Selection

__all__ = ["AttentionReport"]


class AttentionReport:
    """The kinds of calls that a model has made so far, in the order in which they came up.

    ``str()`` of it is meant to be read; iteration gives pairs of :class:`AttentionRequest` and :class:`Selection`.

    Attributes:
        packing: how many padded batches were packed, or were not, for which reason.
    """

    __slots__ = ("_chosen", "packing")

    def __init__(
        self, chosen: Iterable[tuple[AttentionRequest, Selection]], packing: Mapping[str, int] | None = None
    ) -> None:
        self._chosen = tuple(chosen)
        self.packing = dict(packing or {})

    def names(self, phase: str | None = None) -> list[str]:
        """The implementations in use, each once: of all calls, or of one phase."""
        used = (
            selection.implementation.name
            for request, selection in self._chosen
            if phase is None or request.phase == phase
        )
        return list(dict.fromkeys(used))

    def __iter__(self) -> Iterator[tuple[AttentionRequest, Selection]]:
        return iter(self._chosen)

    def __len__(self) -> int:
        return len(self._chosen)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, AttentionReport)
            and self._chosen == other._chosen
            and self.packing == other.packing
        )

    def __hash__(self) -> int:
        return hash(self._chosen)

    def __repr__(self) -> str:
        return f"AttentionReport({list(self._chosen)!r})"

    def __str__(self) -> str:
        if not self._chosen and not self.packing:
            return "No attention call has been made yet."
        lines = []
        for request, selection in self._chosen:
            lines.append(f"{request.architecture}: {request} -> {selection.implementation.name}")
            lines.extend(
                f"    not {name}: {reason}" for name, reasons in selection.passed_over for reason in reasons
            )
        lines.extend(f"padded batches {outcome}: {count}" for outcome, count in self.packing.items())
        return "\n".join(lines)
