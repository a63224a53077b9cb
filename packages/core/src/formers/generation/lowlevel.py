"""The decoding methods by name: each does one thing, with the processors and criteria that its caller passes.

``GenerationMixin`` has them as methods. Unlike ``generate`` they copy no rows, take nothing from the model's settings
but special tokens and what to return, and keep gradients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from formers.errors import GenerationArgumentError

from .direct import Direct, run_directly
from .strategies.beams import Choose, best_candidates
from .strategies.sampling import Greedy, Multinomial
from .strategies.scored import Scored, drawn_best_first

if TYPE_CHECKING:
    from formers.outputs import ModelOutput

    from .beam_scorer import BeamScorer
    from .criteria import StoppingCriteriaList
    from .processors import LogitsProcessorList

__all__ = ["beam_sample", "beam_search", "greedy_search", "group_beam_search", "sample"]


def greedy_search(
    self: Any,
    input_ids: Tensor,
    logits_processor: LogitsProcessorList | None = None,
    stopping_criteria: StoppingCriteriaList | None = None,
    max_length: int | None = None,
    pad_token_id: int | None = None,
    eos_token_id: int | list[int] | None = None,
    output_attentions: bool | None = None,
    output_hidden_states: bool | None = None,
    output_scores: bool | None = None,
    return_dict_in_generate: bool | None = None,
    synced_gpus: bool | None = False,
    **model_kwargs: Any,
) -> Tensor | ModelOutput:
    """Continue each row with the best token at every step.

    Args:
        input_ids: int64 [rows, length], what the decoder begins with.
        logits_processor: applied to the model's scores, in order.
        stopping_criteria: when to stop. Without any, at 20 columns, or ``generation_config.max_length``.
        max_length: deprecated, for ``StoppingCriteriaList([MaxLengthCriteria(max_length)])``.
        pad_token_id: what follows a row that has ended; by default the model's, or the first end token.
        eos_token_id: what ends a row; by default the model's.
        output_attentions: return them.
        output_hidden_states: return them.
        output_scores: return the processed scores.
        return_dict_in_generate: return an output object.
        synced_gpus: go on until every process is done.
        model_kwargs: arguments of every forward, ``attention_mask`` [rows, length] among them; for a decoder behind an
            encoder ``encoder_outputs``, with as many rows as ``input_ids``.

    Returns:
        int64 [rows, length], or an output object.

    Raises:
        GenerationArgumentError: an argument cannot be right; before the model runs.
        GenerationError: the model's scores leave nothing to choose from; carries what was generated so far.
    """
    call = Direct(
        method="greedy_search",
        input_ids=input_ids,
        processors=logits_processor or (),
        criteria=stopping_criteria or (),
        max_length=max_length,
        synced=bool(synced_gpus),
        settings={
            "pad_token_id": pad_token_id,
            "eos_token_id": eos_token_id,
            "output_attentions": output_attentions,
            "output_hidden_states": output_hidden_states,
            "output_scores": output_scores,
            "return_dict_in_generate": return_dict_in_generate,
        },
        given=model_kwargs,
    )
    return run_directly(self, call, Greedy())


def sample(
    self: Any,
    input_ids: Tensor,
    logits_processor: LogitsProcessorList | None = None,
    stopping_criteria: StoppingCriteriaList | None = None,
    logits_warper: LogitsProcessorList | None = None,
    max_length: int | None = None,
    pad_token_id: int | None = None,
    eos_token_id: int | list[int] | None = None,
    output_attentions: bool | None = None,
    output_hidden_states: bool | None = None,
    output_scores: bool | None = None,
    return_dict_in_generate: bool | None = None,
    synced_gpus: bool | None = False,
    **model_kwargs: Any,
) -> Tensor | ModelOutput:
    """Draw each token from the softmax of the scores.

    Args:
        input_ids: and the other arguments: as of :func:`greedy_search`.
        logits_warper: applied behind ``logits_processor``.
    """
    call = Direct(
        method="sample",
        input_ids=input_ids,
        processors=[*(logits_processor or ()), *(logits_warper or ())],
        criteria=stopping_criteria or (),
        max_length=max_length,
        synced=bool(synced_gpus),
        settings={
            "pad_token_id": pad_token_id,
            "eos_token_id": eos_token_id,
            "output_attentions": output_attentions,
            "output_hidden_states": output_hidden_states,
            "output_scores": output_scores,
            "return_dict_in_generate": return_dict_in_generate,
        },
        given=model_kwargs,
    )
    return run_directly(self, call, Multinomial())


def beam_search(
    self: Any,
    input_ids: Tensor,
    beam_scorer: BeamScorer,
    logits_processor: LogitsProcessorList | None = None,
    stopping_criteria: StoppingCriteriaList | None = None,
    max_length: int | None = None,
    pad_token_id: int | None = None,
    eos_token_id: int | list[int] | None = None,
    output_attentions: bool | None = None,
    output_hidden_states: bool | None = None,
    output_scores: bool | None = None,
    return_dict_in_generate: bool | None = None,
    synced_gpus: bool | None = False,
    **model_kwargs: Any,
) -> Tensor | ModelOutput:
    """Continue each prompt with the best beams; a scorer decides which they are, and what is returned.

    Args:
        input_ids: int64 [batch * num_beams, length], the rows of a prompt one after another: of
            ``prompts.repeat_interleave(num_beams, dim=0)``. The other arguments are as of :func:`greedy_search`.
        beam_scorer: made for one call.
    """
    call = Direct(
        method="beam_search",
        input_ids=input_ids,
        processors=logits_processor or (),
        criteria=stopping_criteria or (),
        max_length=max_length,
        synced=bool(synced_gpus),
        settings={
            "pad_token_id": pad_token_id,
            "eos_token_id": eos_token_id,
            "output_attentions": output_attentions,
            "output_hidden_states": output_hidden_states,
            "output_scores": output_scores,
            "return_dict_in_generate": return_dict_in_generate,
        },
        given=model_kwargs,
    )
    return run_directly(self, call, _scored("beam_search", input_ids, beam_scorer))


def beam_sample(
    self: Any,
    input_ids: Tensor,
    beam_scorer: BeamScorer,
    logits_processor: LogitsProcessorList | None = None,
    stopping_criteria: StoppingCriteriaList | None = None,
    logits_warper: LogitsProcessorList | None = None,
    max_length: int | None = None,
    pad_token_id: int | None = None,
    eos_token_id: int | list[int] | None = None,
    output_attentions: bool | None = None,
    output_hidden_states: bool | None = None,
    output_scores: bool | None = None,
    return_dict_in_generate: bool | None = None,
    synced_gpus: bool | None = False,
    **model_kwargs: Any,
) -> Tensor | ModelOutput:
    """Beam search whose candidates are drawn from the softmax of the beams' scores.

    Args:
        input_ids: and the other arguments: as of :func:`beam_search`.
        logits_warper: applied behind ``logits_processor``, to the scores of the next token alone.
    """
    call = Direct(
        method="beam_sample",
        input_ids=input_ids,
        processors=[*(logits_processor or ()), *(logits_warper or ())],
        criteria=stopping_criteria or (),
        max_length=max_length,
        synced=bool(synced_gpus),
        settings={
            "pad_token_id": pad_token_id,
            "eos_token_id": eos_token_id,
            "output_attentions": output_attentions,
            "output_hidden_states": output_hidden_states,
            "output_scores": output_scores,
            "return_dict_in_generate": return_dict_in_generate,
        },
        given=model_kwargs,
    )
    return run_directly(self, call, _scored("beam_sample", input_ids, beam_scorer, choose=drawn_best_first))


def group_beam_search(
    self: Any,
    input_ids: Tensor,
    beam_scorer: BeamScorer,
    logits_processor: LogitsProcessorList | None = None,
    stopping_criteria: StoppingCriteriaList | None = None,
    max_length: int | None = None,
    pad_token_id: int | None = None,
    eos_token_id: int | list[int] | None = None,
    output_attentions: bool | None = None,
    output_hidden_states: bool | None = None,
    output_scores: bool | None = None,
    return_dict_in_generate: bool | None = None,
    synced_gpus: bool | None = False,
    **model_kwargs: Any,
) -> Tensor | ModelOutput:
    """Beam search in groups; each sees what the beams of earlier groups chose in the same step.

    Without a ``HammingDiversityLogitsProcessor`` among the processors all groups find the same.

    Args:
        input_ids: and the other arguments: as of :func:`beam_search`. Processors are called for one group at a time,
            and may have the further parameters ``current_tokens``, int64 [batch * num_beams], and ``beam_group_idx``.
    """
    call = Direct(
        method="group_beam_search",
        input_ids=input_ids,
        processors=logits_processor or (),
        criteria=stopping_criteria or (),
        max_length=max_length,
        synced=bool(synced_gpus),
        settings={
            "pad_token_id": pad_token_id,
            "eos_token_id": eos_token_id,
            "output_attentions": output_attentions,
            "output_hidden_states": output_hidden_states,
            "output_scores": output_scores,
            "return_dict_in_generate": return_dict_in_generate,
        },
        given=model_kwargs,
    )
    return run_directly(self, call, _scored("group_beam_search", input_ids, beam_scorer, grouped=True))


def _scored(
    method: str,
    input_ids: Tensor,
    scorer: Any,
    *,
    choose: Choose = best_candidates,
    grouped: bool = False,
) -> Scored:
    """The search with this scorer, if that fits the call."""
    beams, groups = scorer.num_beams, getattr(scorer, "num_beam_groups", 1)
    if scorer.is_done:
        raise GenerationArgumentError(
            f"{method}(): the beam_scorer has been used before, and keeps the sequences of that call; make a new one."
        )
    if groups > 1 and not grouped:
        raise GenerationArgumentError(
            f"{method}(): the beam_scorer has num_beam_groups={groups}; call group_beam_search() with it."
        )
    batch = getattr(scorer, "batch_size", None)
    rows = input_ids.shape[0]
    if rows % beams or (batch is not None and rows != batch * beams):
        wanted = (
            f"a multiple of {beams}"
            if batch is None
            else f"{batch * beams}, {beams} for each of {batch} prompts"
        )
        raise GenerationArgumentError(
            f"{method}(): input_ids has {rows} rows; expected {wanted}. Pass "
            f"input_ids.repeat_interleave({beams}, dim=0), and masks and encoder outputs likewise."
        )
    return Scored(scorer, choose, groups)
