"""What a caller wants returned beside the tokens: scores, logits, attentions, hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from .plan import GenerationPlan

__all__ = ["Record"]


class Record:
    """Lists with one entry for each generated token.

    Attributes:
        flags: arguments of ``forward`` that make the model return what is wanted.
    """

    __slots__ = ("_collected", "flags", "logits", "scores")

    def __init__(self, plan: GenerationPlan, *, cross: bool) -> None:
        self.scores: list[Tensor] | None = [] if plan.output_scores else None
        self.logits: list[Tensor] | None = [] if plan.output_logits else None
        self.flags: dict[str, bool] = {}
        wanted = []
        if plan.output_attentions:
            self.flags["output_attentions"] = True
            wanted += (
                ["decoder_attentions", "cross_attentions"] if cross else ["attentions", "cross_attentions"]
            )
        if plan.output_hidden_states:
            self.flags["output_hidden_states"] = True
            wanted += ["decoder_hidden_states"] if cross else ["hidden_states"]
        self._collected: dict[str, list[Any]] = {name: [] for name in wanted}

    @classmethod
    def wanted_by(cls, plan: GenerationPlan, *, cross: bool) -> Record | None:
        """A record if the caller gets more than the tokens back, else None."""
        return cls(plan, cross=cross) if plan.return_dict_in_generate else None

    def add_output(self, output: Any) -> None:
        """Keep the attentions and hidden states of a forward."""
        for name, steps in self._collected.items():
            value = getattr(output, name, None)
            if value is not None:
                steps.append(tuple(value))

    def add_split(self, output: Any, parts: Sequence[tuple[slice, int]]) -> None:
        """Keep the attentions and hidden states of a forward that decided several tokens.

        Args:
            output: of the model.
            parts: for each token the queries that are its own, and the number of keys that it was chosen by.
        """
        for name, steps in self._collected.items():
            value = getattr(output, name, None)
            if value is not None:
                steps += [tuple(_part(name, layer, *part) for layer in value) for part in parts]

    def expand(self, copies: int) -> None:
        """What was kept so far stands for ``copies`` rows each."""
        for steps in self._collected.values():
            steps[:] = [tuple(_repeated(layer, copies) for layer in step) for step in steps]

    def add_scores(self, logits: Tensor, scores: Tensor) -> None:
        """Keep the model's scores, and what the processors made of them."""
        if self.logits is not None:
            self.logits.append(logits.clone())
        if self.scores is not None:
            self.scores.append(scores)

    def trim(self, steps: int) -> None:
        """Forget what came after so many tokens."""
        for kept in (self.scores, self.logits, *self._collected.values()):
            if kept is not None:
                del kept[steps:]

    def fields(self) -> dict[str, Any]:
        """Everything kept, under the names of the output classes; one entry for each generated token."""
        kept: dict[str, Any] = {name: tuple(steps) for name, steps in self._collected.items() if steps}
        if self.scores is not None:
            kept["scores"] = tuple(self.scores)
        if self.logits is not None:
            kept["logits"] = tuple(self.logits)
        return kept


def _repeated(layer: Any, copies: int) -> Any:
    return layer.repeat_interleave(copies, dim=0) if isinstance(layer, Tensor) else layer


def _part(name: str, layer: Any, queries: slice, keys: int) -> Any:
    """Of one layer's hidden states [rows, queries, hidden] or attentions [rows, heads, queries, keys]."""
    if not isinstance(layer, Tensor):
        return layer
    if name.endswith("hidden_states"):
        return layer[:, queries]
    return layer[:, :, queries] if name == "cross_attentions" else layer[:, :, queries, :keys]
