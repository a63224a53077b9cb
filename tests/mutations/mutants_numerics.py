from __future__ import annotations

import random
from typing import Any

import torch
from bench import Bench, mutant

from formers.cache import DynamicCache, StaticCache
from formers.losses import combine, cross_entropy_term, next_token_labels
from formers.testing import Subject
from formers_bert import BertModel
from formers_gpt2 import GPT2ForQuestionAnswering, GPT2ForSequenceClassification, GPT2LMHeadModel, GPT2Model

LM = "AutoModelForCausalLM"
CLASSIFIER = "AutoModelForSequenceClassification"
Values = dict[str, Any]


def _length(values: Values) -> int:
    given = values.get("input_ids")
    given = values["inputs_embeds"] if given is None else given
    return int(given.shape[1])


def _past(values: Values) -> int:
    cache = values.get("past_key_values")
    return 0 if cache is None else int(cache.get_seq_length())


def _add(output: Any, value: Any) -> Any:
    output.last_hidden_state = output.last_hidden_state + value
    return output


@mutant("numerics.batch")
def of_the_batch(bench: Bench) -> Subject:
    """Something of every row comes into every other."""
    bench.forward(GPT2Model, after=lambda self, values, output: _add(output, output[0].mean(0, keepdim=True)))
    return bench.subject("gpt2", "AutoModel")


@mutant("numerics.right_padding")
def padding_read(bench: Bench) -> Subject:
    """Padding is attended to."""
    bench.forward(BertModel, before=lambda self, values: values.pop("attention_mask", None))
    return bench.subject("bert", "AutoModel")


@mutant("numerics.left_padding")
def absolute_columns(bench: Bench) -> Subject:
    """Positions count from the first column."""

    def count(self: Any, values: Values) -> None:
        if values.get("position_ids") is None:
            values["position_ids"] = torch.arange(_past(values), _past(values) + _length(values))[None]

    bench.forward(GPT2Model, before=count)
    return bench.subject("gpt2", "AutoModel")


@mutant("numerics.decoder_padding")
def decoder_mask_dropped(bench: Bench) -> Subject:
    """The decoder's mask is dropped."""
    from formers_t5 import T5Model

    bench.forward(T5Model, before=lambda self, values: values.pop("decoder_attention_mask", None))
    return bench.subject("t5", "AutoModel")


@mutant("numerics.holes")
def holes_close(bench: Bench) -> Subject:
    """Positions count real tokens, so that a hole shifts what follows."""

    def count(self: Any, values: Values) -> None:
        mask = values.get("attention_mask")
        if values.get("position_ids") is None and isinstance(mask, torch.Tensor):
            values["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)

    bench.forward(BertModel, before=count)
    return bench.subject("bert", "AutoModel")


@mutant("numerics.padding_gradient")
def leak(bench: Bench) -> Subject:
    """The mean over all columns, padding included, is added."""

    def mean(self: Any, values: Values, output: Any) -> Any:
        given = values.get("inputs_embeds")
        return output if given is None else _add(output, 1e-3 * given.mean(1, keepdim=True))

    bench.forward(BertModel, after=mean)
    return bench.subject("bert", "AutoModel")


@mutant("numerics.masked_row")
def divided_by_nothing(bench: Bench) -> Subject:
    """Something is divided by the number of real tokens."""

    def divide(self: Any, values: Values, output: Any) -> Any:
        mask = values.get("attention_mask")
        if not isinstance(mask, torch.Tensor):
            return output
        real = mask.sum(-1)[:, None, None].to(output[0].dtype)
        return _add(output, 0 * output[0] / real)

    bench.forward(BertModel, after=divide)
    return bench.subject("bert", "AutoModel")


@mutant("numerics.cache_steps")
def begins_again(bench: Bench) -> Subject:
    """Beside a cache positions begin again at 0."""

    def begin(self: Any, values: Values) -> None:
        if _past(values):
            values["position_ids"] = torch.arange(_length(values))[None]

    bench.forward(GPT2Model, before=begin)
    return bench.subject("gpt2", LM)


@mutant("numerics.cache_chunks")
def one_by_one(bench: Bench) -> Subject:
    """Several tokens beside a cache have all the position of the first."""

    def one(self: Any, values: Values) -> None:
        if _past(values) and _length(values) > 1:
            values["position_ids"] = torch.full((1, _length(values)), _past(values))

    bench.forward(GPT2Model, before=one)
    return bench.subject("gpt2", LM)


@mutant("numerics.cache_left_padding")
def mask_forgotten(bench: Bench) -> Subject:
    """After the prompt the mask is forgotten."""

    def forget(self: Any, values: Values) -> None:
        if _past(values):
            values.pop("attention_mask", None)

    bench.forward(GPT2Model, before=forget)
    return bench.subject("gpt2", LM)


@mutant("numerics.cache_reuse")
def counts_itself(bench: Bench) -> Subject:
    """The model counts positions itself, and does not notice that the cache was cropped."""

    def count(self: Any, values: Values) -> None:
        cache = values.get("past_key_values")
        if cache is None:
            return
        start = getattr(cache, "counted", 0)
        cache.counted = start + _length(values)
        values["position_ids"] = torch.arange(start, cache.counted)[None].clamp(max=31)

    bench.forward(GPT2Model, before=count)
    return bench.subject("gpt2", LM)


@mutant("numerics.cache_reorder")
def rows_stay(bench: Bench) -> Subject:
    """Rows of the cache stay where they are."""
    for cls in (DynamicCache, StaticCache):
        bench.patch.setattr(cls, "reorder_cache", lambda self, order: None)
    return bench.subject("gpt2", LM)


@mutant("numerics.cross_attention")
def source_mask_dropped(bench: Bench) -> Subject:
    """Padding of the source is attended to."""
    bench.forward(GPT2Model, before=lambda self, values: values.pop("encoder_attention_mask", None))
    return bench.subject("gpt2", LM)


@mutant("numerics.seeds")
def not_seeded(bench: Bench) -> Subject:
    """Noise comes from a generator that torch does not seed."""
    bench.forward(GPT2Model, after=lambda self, values, output: _add(output, 1e-3 * random.random()))
    return bench.subject("gpt2", "AutoModel")


@mutant("numerics.calls_leave_nothing")
def in_place(bench: Bench) -> Subject:
    """The ids that were given are changed in place."""

    def change(self: Any, values: Values) -> None:
        if values.get("input_ids") is not None:
            values["input_ids"][:, 0] = 3

    bench.forward(GPT2Model, before=change)
    return bench.subject("gpt2", "AutoModel")


@mutant("numerics.dtypes")
def overflow(bench: Bench) -> Subject:
    """A factor on the way is too large for float16."""

    def grow(self: Any, values: Values, output: Any) -> Any:
        output.last_hidden_state = output.last_hidden_state * 1e5 / 1e5
        return output

    bench.forward(GPT2Model, after=grow)
    return bench.subject("gpt2", "AutoModel")


@mutant("numerics.loss_terms")
def weighted(bench: Bench) -> Subject:
    """The loss is twice what its terms say."""

    def double(self: Any, values: Values, output: Any) -> Any:
        if output.loss is not None:
            output.loss = output.loss * 2
        return output

    bench.forward(GPT2LMHeadModel, after=double)
    return bench.subject("gpt2", LM)


def _loss_of_every_position(self: Any, values: Values, output: Any) -> Any:
    """The loss, as if every position were real and all were of one document."""
    labels = values.get("labels")
    if labels is not None:
        terms = {"next_token": cross_entropy_term(output.logits, next_token_labels(labels))}
        output.loss, output.loss_terms = combine(terms, values.get("num_items_in_batch")), terms
    return output


@mutant("numerics.loss_padding")
def padding_counts(bench: Bench) -> Subject:
    """Labels in the padding count."""
    bench.forward(GPT2LMHeadModel, after=_loss_of_every_position)
    return bench.subject("gpt2", LM)


@mutant("numerics.accumulation")
def number_ignored(bench: Bench) -> Subject:
    """num_items_in_batch is taken and not used."""
    bench.forward(GPT2LMHeadModel, before=lambda self, values: values.pop("num_items_in_batch", None))
    return bench.subject("gpt2", LM)


@mutant("numerics.loss_of_nothing")
def mean_of_nothing(bench: Bench) -> Subject:
    """The loss is divided by the number of labels, which may be none."""

    def divide(self: Any, values: Values, output: Any) -> Any:
        labels = values.get("labels")
        if labels is not None:
            output.loss = output.loss / (labels != -100).sum()
        return output

    bench.forward(GPT2ForSequenceClassification, after=divide)
    return bench.subject("gpt2", CLASSIFIER)


@mutant("numerics.packed_loss")
def across_documents(bench: Bench) -> Subject:
    """The last token of a document predicts the first of the next."""
    bench.forward(GPT2LMHeadModel, after=_loss_of_every_position)
    return bench.subject("gpt2", LM)


@mutant("numerics.padded_positions")
def padding_may_answer(bench: Bench) -> Subject:
    """Padded positions have the score 0."""

    def zero(self: Any, values: Values, output: Any) -> Any:
        lowest = torch.finfo(output.start_logits.dtype).min
        output.start_logits = output.start_logits.masked_fill(output.start_logits == lowest, 0.0)
        return output

    bench.forward(GPT2ForQuestionAnswering, after=zero)
    return bench.subject("gpt2", "AutoModelForQuestionAnswering")


@mutant("numerics.padding_anywhere")
def one_side_at_a_time(bench: Bench) -> Subject:
    """A row that begins with padding is taken to end with its last column."""

    def count(self: Any, values: Values) -> None:
        mask = values.get("attention_mask")
        if isinstance(mask, torch.Tensor) and values.get("position_ids") is None:
            start = (mask.shape[1] - mask.sum(-1, keepdim=True)) * (1 - mask[:, :1])
            values["position_ids"] = (torch.arange(mask.shape[1]) - start).clamp(min=0)

    bench.forward(BertModel, before=count)
    return bench.subject("bert", "AutoModel")
