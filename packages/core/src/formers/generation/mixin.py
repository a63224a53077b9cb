"""``GenerationMixin``: what a model with a language-model head offers beside ``forward``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from formers.files.folder import Folder

from . import files, lowlevel
from .adjusting import adjust_logits_during_generation
from .configuration import GenerationConfig
from .criteria import StoppingCriteria
from .files import GENERATION_CONFIG_NAME
from .fixed import CompiledSteps
from .outputs import output_of
from .preparing import Request, prepare, resolve_plan
from .processors import LogitsProcessor
from .scores import compute_transition_scores
from .step_inputs import step_inputs
from .steps import Steps, feed, stream_in_thread, stream_steps

if TYPE_CHECKING:
    from formers.outputs import ModelOutput

    from .plan import GenerationPlan
    from .strategies import Strategy
    from .streaming import BaseStreamer, StreamStep

__all__ = ["GenerationMixin"]


class GenerationMixin:
    """Generates tokens with a model whose ``forward`` returns ``logits`` [rows, length, vocabulary].

    Add it to the bases of a model with a language-model head; nothing else is needed. A model whose forward takes
    unusual arguments overrides :meth:`prepare_inputs_for_generation`.
    """

    companion_files = (GENERATION_CONFIG_NAME,)

    shares_encoder_outputs: ClassVar[bool] = False
    """Whether ``forward`` reads an encoder's outputs and mask with one row for all beams of a prompt, as
    :func:`formers.modeling.runs.begin_run` does where the cache says so. Others get a copy for each beam."""

    _generation_config: GenerationConfig | None = None

    @property
    def generation_config(self) -> GenerationConfig:
        """The settings that calls fall back on: of the checkpoint, or made from the model's configuration."""
        if self._generation_config is None:
            self._generation_config = GenerationConfig.from_model_config(self.config)  # type: ignore[attr-defined]
        return self._generation_config

    @generation_config.setter
    def generation_config(self, value: GenerationConfig) -> None:
        self._generation_config = value

    @property
    def compiled_steps(self) -> CompiledSteps:
        """The compiled decode steps of this model, kept from call to call."""
        steps: CompiledSteps | None = self.__dict__.get("_compiled_steps")
        if steps is None:
            steps = self.__dict__["_compiled_steps"] = CompiledSteps()
        return steps

    def read_companions(self, folder: Folder) -> None:
        """Take the settings of a checkpoint; see :class:`formers.modeling.companions.Companion`."""
        self._generation_config = files.in_folder(GenerationConfig, folder)

    def companion_texts(self) -> dict[str, str]:
        """The settings as they are saved with the weights."""
        return {GENERATION_CONFIG_NAME: self.generation_config.to_json_string()}

    def generate(
        self,
        inputs: Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        logits_processor: Sequence[LogitsProcessor] | None = None,
        stopping_criteria: Sequence[StoppingCriteria] | None = None,
        prefix_allowed_tokens_fn: Callable[[int, Tensor], list[int]] | None = None,
        synced_gpus: bool | None = None,
        assistant_model: Any = None,
        streamer: BaseStreamer | None = None,
        negative_prompt_ids: Tensor | None = None,
        negative_prompt_attention_mask: Tensor | None = None,
        custom_generate: str | Strategy | Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> Tensor | ModelOutput:
        """Continue each row of a prompt.

        Args:
            inputs: int64 [batch, length], the prompt of a decoder or the input of an encoder; without one, a text
                begins with the BOS token. Prompts of different lengths are padded on the left.
            generation_config: settings for this call, before those of ``self.generation_config``.
            logits_processor: run after those that the settings ask for.
            stopping_criteria: looked at beside those of the settings.
            prefix_allowed_tokens_fn: ``(batch_id, tokens) -> ids`` that may come next.
            synced_gpus: go on until every process is done, as sharded parameters need.
            assistant_model: a smaller model whose guesses this one checks.
            streamer: its ``put`` is called with the prompt and then with the tokens of each step, ``end`` when all is
                done, or has failed.
            negative_prompt_ids: what classifier-free guidance leads away from.
            negative_prompt_attention_mask: of the same shape.
            custom_generate: the name of an installed strategy, a strategy, or a function that generates (called as
                :class:`~formers.generation.strategies.function.Function` says).
            kwargs: settings of :class:`~formers.generation.GenerationConfig` by name, and arguments of ``forward``,
                such as ``attention_mask`` [batch, length].

        Returns:
            int64 [batch * num_return_sequences, length], prompts included and padded behind the end; or an output
            object with ``return_dict_in_generate=True``.

        Raises:
            GenerationArgumentError: a setting or an argument cannot be right; before the model runs.
            GenerationError: the model's scores leave nothing to choose from; carries what was generated so far.
        """
        request = Request(
            inputs=inputs,
            generation_config=generation_config,
            processors=logits_processor or (),
            criteria=stopping_criteria or (),
            prefix_allowed_tokens_fn=prefix_allowed_tokens_fn,
            synced=bool(synced_gpus),
            assistant=assistant_model,
            negative_ids=negative_prompt_ids,
            negative_mask=negative_prompt_attention_mask,
            strategy=custom_generate,
            arguments=kwargs,
        )
        with torch.no_grad():
            strategy, run = prepare(self, request)
            steps = Steps(strategy, run)
            if streamer is None:
                for _ in steps:
                    pass
            else:
                feed(streamer, steps, run)
            return output_of(run, steps.generated)

    def stream(
        self,
        inputs: Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        logits_processor: Sequence[LogitsProcessor] | None = None,
        stopping_criteria: Sequence[StoppingCriteria] | None = None,
        prefix_allowed_tokens_fn: Callable[[int, Tensor], list[int]] | None = None,
        assistant_model: Any = None,
        negative_prompt_ids: Tensor | None = None,
        negative_prompt_attention_mask: Tensor | None = None,
        custom_generate: str | Strategy | Callable[..., Any] | None = None,
        *,
        tokenizer: Any = None,
        skip_special_tokens: bool = True,
        **kwargs: Any,
    ) -> Generator[StreamStep]:
        """Generate, and yield each step as it is decided; :meth:`generate` returns all of them at once.

        With beams everything is decided in the last step. ``close()`` on the iterator ends generation and frees the
        cache.

        Args:
            tokenizer: decodes the text of each row; without one only ids are yielded.
            skip_special_tokens: whether the text leaves them out.
            kwargs: and the others: as of :meth:`generate`.
        """
        request = Request(
            inputs=inputs,
            generation_config=generation_config,
            processors=logits_processor or (),
            criteria=stopping_criteria or (),
            prefix_allowed_tokens_fn=prefix_allowed_tokens_fn,
            assistant=assistant_model,
            negative_ids=negative_prompt_ids,
            negative_mask=negative_prompt_attention_mask,
            strategy=custom_generate,
            arguments={**kwargs, "tokenizer": tokenizer},
        )
        with torch.no_grad():
            strategy, run = prepare(self, request)
        return stream_steps(strategy, run, tokenizer, {"skip_special_tokens": skip_special_tokens})

    def astream(
        self,
        inputs: Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        **arguments: Any,
    ) -> AsyncGenerator[StreamStep]:
        """:meth:`stream` for ``async for``; everything, also preparation, runs in a thread beside the event loop.

        Closing the iterator, or cancelling the task that waits for it, ends generation after the step that is under
        way, and frees the cache. Leave the loop early under ``contextlib.aclosing``, which closes at once. Modes that
        belong to a thread, such as ``torch.autocast``, are those of the other thread.

        Args:
            inputs: and all others: as of :meth:`stream`.
        """
        return stream_in_thread(partial(self.stream, inputs, generation_config, **arguments))

    def generation_plan(
        self, generation_config: GenerationConfig | None = None, **settings: Any
    ) -> GenerationPlan:
        """What a call with these settings would do, each value with its origin; ``print`` it."""
        return resolve_plan(self, Request(generation_config=generation_config, arguments=settings))[0]

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        next_sequence_length: int | None = None,
        past_key_values: Any = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        is_first_iteration: bool | None = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """The arguments of the next ``forward``; called at every step, and meant to be overridden.

        Args:
            input_ids: [rows, length], every token so far.
            next_sequence_length: how many of the last tokens to run; by default those that the cache lacks.
            past_key_values: the cache.
            attention_mask: [rows, length], or of the encoder's input; None if nothing is padding.
            inputs_embeds: [rows, prompt length, hidden], in place of the prompt's ids.
            is_first_iteration: whether this is the prompt's forward.
            kwargs: further arguments of ``forward``.
        """
        return step_inputs(
            self,
            input_ids,
            next_sequence_length,
            past_key_values,
            attention_mask,
            inputs_embeds,
            kwargs,
        )

    adjust_logits_during_generation = adjust_logits_during_generation
    compute_transition_scores = compute_transition_scores
    greedy_search = lowlevel.greedy_search
    sample = lowlevel.sample
    beam_search = lowlevel.beam_search
    beam_sample = lowlevel.beam_sample
    group_beam_search = lowlevel.group_beam_search
