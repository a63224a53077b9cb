"""``Decoding``: rows of tokens that grow, and everything a model needs to go on with them.

Buffers are set aside ahead and written in place, so that the host's work for a token does not grow with the length.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from formers.errors import GenerationError
from formers.outputs import ModelOutput

from .adjusting import adjustment_of
from .fixed import FixedSteps, fixed_steps
from .prompts import Prompt, real_positions
from .recording import Record
from .synced import goes_on

if TYPE_CHECKING:
    from formers.cache import Cache

    from .plan import GenerationPlan
    from .processors import LogitsProcessorList
    from .stopping import Stopping

__all__ = ["Decoding"]

# What the beams of a prompt can share, beside the cache of it.
_OF_ENCODER = ("encoder_outputs", "attention_mask")

# Rooms grow by at least so many columns, where no limit says how many will be needed.
_ROOM = 256


class Decoding:
    """One run of generation.

    Strategies call :meth:`next_logits`, choose tokens, :meth:`append` them, and look at :attr:`is_over`.

    Args:
        model: with :class:`~formers.generation.mixin.GenerationMixin`.
        plan: the resolved settings.
        prompt: what the rows begin with.
        cache: what the model keeps from step to step; None computes everything anew at each step.
        processors: what changes the scores.
        stopping: when a row, or all of them, has ended.

    Attributes:
        length: columns of :attr:`tokens`; the prompt's included.
        finished: bool [rows], which rows have ended.
        steps: tokens generated so far.
        assistant: a smaller model that guesses ahead, if the caller gave one.
        tokenizer: that of the prompt, if the caller gave it.
        trails: int64 [rows, length], the row that each token was chosen in, -1 for the prompt; None unless
            :meth:`follow_rows` was called.
    """

    def __init__(
        self,
        model: Any,
        plan: GenerationPlan,
        prompt: Prompt,
        *,
        cache: Cache | None,
        processors: LogitsProcessorList,
        stopping: Stopping,
    ) -> None:
        self.model = model
        self.plan = plan
        self.processors = processors
        self.stopping = stopping
        self.cache = cache
        self.prompt = prompt
        self.record = Record.wanted_by(plan, cross=prompt.encoder_outputs is not None)
        self.rows, self.prompt_length = prompt.ids.shape
        self.length = self.prompt_length
        self.steps = 0
        self.finished = torch.zeros(self.rows, dtype=torch.bool, device=prompt.ids.device)
        self._padding: int | None = plan.pad_token_id
        self._ids = prompt.ids
        self._mask = prompt.mask
        self._positions = real_positions(prompt.mask) if prompt.wants_positions else None
        self._flags: Mapping[str, bool] = {} if self.record is None else self.record.flags
        self._fixed: FixedSteps | None = None
        self.trails: Tensor | None = None
        self.assistant: Any = None
        self.tokenizer: Any = None
        self._context: dict[str, Any] = dict(prompt.context)
        self._row_numbers: Tensor | None = None
        self._adjust = adjustment_of(model)
        self._has_run = False

    # What a strategy reads.

    @property
    def device(self) -> torch.device:
        """Where the tokens live."""
        return self._ids.device

    @property
    def tokens(self) -> Tensor:
        """int64 [rows, length], prompts and what was generated; a view of a larger buffer."""
        return self._ids[:, : self.length]

    @property
    def last_tokens(self) -> Tensor:
        """int64 [rows], the newest column."""
        return self._ids[:, self.length - 1]

    @property
    def mask(self) -> Tensor | None:
        """int64 [rows, offset + length], 1 where a position is real; None if all are."""
        return None if self._mask is None else self._mask[:, : self.prompt.offset + self.length]

    @property
    def last_positions(self) -> Tensor | None:
        """int64 [rows, 1], where the newest tokens stand; None if the model counts them itself."""
        column = self.prompt.offset + self.length
        return None if self._positions is None else self._positions[:, column - 1 : column]

    @property
    def context(self) -> Mapping[str, Any]:
        """The further arguments of every forward with this cache.

        Rows that share an encoder's outputs in the cache also share those here.
        """
        return self._context

    @property
    def is_over(self) -> bool:
        """Whether no row has anything left to do. Reads a flag from the device."""
        return not self.goes_on(not self.stopping.is_over(self))

    def goes_on(self, wanted: bool) -> bool:
        """``wanted``; with ``synced_gpus`` False is returned only when every process is done."""
        return goes_on(self, wanted)

    # What a strategy does.

    def next_logits(self) -> Tensor:
        """Run the model on what its cache does not hold yet: float32 [rows, vocabulary] for the next token."""
        output = self.forward(logits_to_keep=1)
        logits = self.adjusted(output.logits[:, -1].to(torch.float32))
        self.keep(output)
        return logits

    def adjusted(self, logits: Tensor, length: int | None = None) -> Tensor:
        """The logits of the next token after the model's own ``adjust_logits_during_generation``.

        ``length`` is how many columns come before that token, by default all there are.
        """
        if self._adjust is None:
            return logits
        length = self.length if length is None else length
        return self._adjust(logits, cur_len=length, max_length=self.stopping.max_length)

    @property
    def scores_need_tokens(self) -> bool:
        """Whether what is made of the model's scores depends on the tokens before, or on how many there are."""
        return self._adjust is not None or self.processors.uses_input_ids

    def forward(self, logits_to_keep: int = 0, **flags: bool) -> Any:
        """Run the model on the tokens that its cache does not hold yet, and keep the cache that it returns.

        ``flags`` are further arguments of the model's forward, such as ``output_hidden_states``.
        """
        if self._fixed is not None:
            return self._fixed.forward(self, {**self._flags, **flags})
        model, prompt = self.model, self.prompt
        given = dict(self._context)
        if logits_to_keep and prompt.takes_logits_to_keep:
            given["logits_to_keep"] = logits_to_keep
        columns = prompt.offset + self.length
        if self._mask is not None:
            given[prompt.mask_name] = self._mask[:, :columns]
        if self._positions is not None:
            given["position_ids"] = self._positions[:, :columns]
        inputs = model.prepare_inputs_for_generation(
            self._ids[:, : self.length],
            next_sequence_length=columns - (0 if self.cache is None else self.cache.get_seq_length()),
            past_key_values=self.cache,
            inputs_embeds=prompt.embeds,
            use_cache=self.cache is not None,
            is_first_iteration=not self._has_run,
            **given,
        )
        self._has_run = True
        output = model(**{**inputs, **self._flags, **flags}, return_dict=True)
        if self.cache is not None:
            self.cache = output.past_key_values
        return output

    def fix_shapes(self) -> None:
        """From now on run a compiled step, if the settings ask for one; for strategies that add one column a step."""
        self._fixed = fixed_steps(self)

    def close(self) -> None:
        """Give the cache back as it was lent."""
        if self._fixed is not None:
            self._fixed.close()
            self._fixed = None

    def keep(self, output: Any) -> None:
        """Record what the caller wants returned of a forward."""
        if self.record is not None:
            self.record.add_output(output)

    def processed(self, logits: Tensor, scores: Tensor | None = None) -> Tensor:
        """The scores, which are the logits if not given, after every processor: [rows, vocabulary]."""
        scores = logits if scores is None else scores
        if self.processors:
            scores = self.processors(self.tokens, scores)
        if self.record is not None:
            self.record.add_scores(logits, scores)
        return scores

    def expect_finite(self, best: Tensor) -> None:
        """Refuse scores from which nothing can be chosen.

        NaN and +inf show in a row's maximum, and a row without any choice has the maximum -inf.

        Args:
            best: [rows], the maximum of each row's scores.

        Raises:
            GenerationError: names the row and the step, and carries what was generated so far.
        """
        self.stopping.notice_invalid(best, self)

    def append(self, tokens: Tensor) -> Tensor:
        """Add one column, int64 [rows]; rows that have ended get padding instead. Returns what was added.

        Without a padding token, which only criteria of the caller's own make possible, such rows go on beside others.
        """
        if self._padding is not None and self.stopping.can_end_rows:
            tokens = torch.where(self.finished, self._padding, tokens)
        if self.length == self._ids.shape[1]:
            self._make_room()
        if torch.is_grad_enabled():
            self._ids = self._ids.clone()  # a graph may hold what was there before
        self._ids[:, self.length] = tokens
        self.length += 1
        self.steps += 1
        return tokens

    def rewrite(self, column: int, tokens: Tensor) -> None:
        """Put tokens in the place of every column from ``column`` on.

        The cache forgets what it holds of the new last column and of all behind it. What is left in it must belong to
        the tokens that are there now.

        Args:
            column: at most :attr:`length`, with which tokens are only added.
            tokens: int64 [rows, new], perhaps none; of rows that have not ended.
        """
        end = column + tokens.shape[1]
        missing = end - self._ids.shape[1]
        if missing > 0:
            self._make_room(missing)
        self._ids[:, column:end] = tokens
        self.steps += end - self.length
        self.length = end
        if self.cache is not None:
            surplus = self.cache.get_seq_length() - (self.prompt.offset + end - 1)
            if surplus > 0:
                self.cache.crop(-surplus)

    def end_rows(self, scores: Tensor | None) -> None:
        """Mark the rows that end with their last token."""
        self.stopping.update(self, scores)

    def expand(self, copies: int) -> None:
        """Turn each row into ``copies`` equal rows, one after another."""
        if copies == 1:
            return
        self.rows *= copies
        self._row_numbers = None
        self._ids = self.tokens.repeat_interleave(copies, dim=0)
        self.finished = self.finished.repeat_interleave(copies, dim=0)
        if self._mask is not None:
            self._mask = self._mask.repeat_interleave(copies, dim=0)
        if self._positions is not None:
            self._positions = self._positions.repeat_interleave(copies, dim=0)
        shared: tuple[str, ...] = ()
        if self.cache is not None and self.cache.fork_rows(copies):
            shared = _OF_ENCODER
        self._context = {
            name: value if name in shared else expanded(value, copies)
            for name, value in self._context.items()
        }
        if self.record is not None:
            self.record.expand(copies)

    def select(self, rows: Tensor) -> None:
        """Take row ``rows[i]`` as the new row i: tokens and cache; the prompts of both must be alike."""
        if self.trails is not None:
            self.trails = torch.cat((self.trails[rows], rows[:, None]), dim=1)
        if self.device.type == "cpu":
            if self._row_numbers is None:
                self._row_numbers = torch.arange(self.rows)
            if torch.equal(rows, self._row_numbers):
                return
        # A tensor of a graph, or one without room, which may be the caller's own, is not written to.
        if torch.is_grad_enabled() or self._ids.shape[1] == self.length:
            self._ids = self._ids[rows]
        else:
            self._ids[:, : self.length] = self.tokens[rows]
        if self.cache is not None:
            self.cache.reorder_within_prompts(rows)

    def branch(self, copies: int) -> Decoding:
        """A run over ``copies`` rows for each row, to try tokens in; it takes the cache with it and records nothing."""
        other = copy.copy(self)
        other.record = None
        other._ids = self.tokens.clone()
        other.expand(copies)
        return other

    def follow_rows(self) -> None:
        """Keep :attr:`trails` from now on."""
        self.trails = torch.full_like(self.tokens, -1)

    def context_of_rows(self) -> dict[str, Any]:
        """The further arguments of a forward without the cache."""
        copies = 1 if self.cache is None else self.cache.copies
        return {
            name: expanded(value, copies) if copies > 1 and name in _OF_ENCODER else value
            for name, value in self._context.items()
        }

    def model_inputs(self) -> dict[str, Any]:
        """What every forward is given beside tokens: context, mask and cache."""
        given = dict(self._context)
        if self._mask is not None:
            given[self.prompt.mask_name] = self._mask[:, : self.prompt.offset + self.length]
        if self.cache is not None:
            given["past_key_values"] = self.cache
        return given

    def trimmed(self) -> Tensor:
        """:attr:`tokens` without columns that were begun after every row had ended."""
        needed = self.stopping.needed_steps(self)
        if self.record is not None:
            self.record.trim(needed)
        return self.tokens[:, : self.length - (self.steps - needed)]

    def error(self, message: str, *, row: int | None = None) -> GenerationError:
        """An exception that carries what was generated so far."""
        return GenerationError(message, sequences=self.tokens.clone(), row=row, step=self.steps)

    def _make_room(self, needed: int = 1) -> None:
        limit, width = self.stopping.max_length, self._ids.shape[1]
        new = max(_ROOM, width // 2)
        if limit is not None:
            new = min(new, limit - width)
        new = max(new, needed)
        self._ids = _wider(self._ids, new, self._padding or 0)
        if self._mask is not None:
            self._mask = _wider(self._mask, new, 1)
        if self._positions is not None:
            last = self._positions[:, -1:]
            ahead = torch.arange(1, new + 1, device=last.device)
            self._positions = torch.cat((self._positions, last + ahead), dim=1)


def expanded(value: Any, copies: int) -> Any:
    """A value for each row, for ``copies`` times as many rows; what is not a tensor stays as it is."""
    if isinstance(value, Tensor) and value.dim():
        return value.repeat_interleave(copies, dim=0)
    if isinstance(value, ModelOutput):
        return type(value)(**{name: expanded(part, copies) for name, part in value.items()})
    if isinstance(value, tuple):
        return tuple(expanded(part, copies) for part in value)
    return value


def _wider(rows: Tensor, new: int, value: int) -> Tensor:
    return torch.cat((rows, rows.new_full((rows.shape[0], new), value)), dim=1)
