"""The decoding methods by name, with the examples of the specification."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from toy_causal import ToyForCausalLM, toy_causal
from toy_seq2seq import toy_seq2seq

from formers import BeamScorer, BeamSearchScorer
from formers.cache import StaticCache
from formers.errors import FormersWarning, GenerationArgumentError, GenerationError
from formers.generation import GenerationConfig
from formers.generation.criteria import MaxLengthCriteria, MaxTimeCriteria, StoppingCriteriaList
from formers.generation.outputs import (
    BeamSampleDecoderOnlyOutput,
    BeamSearchDecoderOnlyOutput,
    BeamSearchEncoderDecoderOutput,
    GreedySearchDecoderOnlyOutput,
    GreedySearchEncoderDecoderOutput,
    SampleDecoderOnlyOutput,
)
from formers.generation.processors import (
    HammingDiversityLogitsProcessor,
    LogitsProcessorList,
    MinLengthLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
)

END, PAD, START = 22, 23, 0
IDS = torch.tensor([[3, 4, 5], [6, 7, 8]])
METHODS = ("greedy_search", "sample", "beam_search", "beam_sample", "group_beam_search")


@pytest.fixture(scope="module")
def model() -> ToyForCausalLM:
    return toy_causal(seed=1, eos_token_id=END, pad_token_id=PAD, bos_token_id=1).double()


def up_to(length: int) -> StoppingCriteriaList:
    return StoppingCriteriaList([MaxLengthCriteria(max_length=length)])


def scorer(beams: int = 3, batch: int = 2, **options: Any) -> BeamSearchScorer:
    return BeamSearchScorer(batch_size=batch, num_beams=beams, device=torch.device("cpu"), **options)


def repeated(beams: int = 3) -> Tensor:
    return IDS.repeat_interleave(beams, dim=0)


def ends_soon(scores: Tensor) -> Tensor:
    """Scores by which the end is always the likeliest token."""
    return scores + 50.0 * torch.eye(scores.shape[1])[END]


class EndsSoon(ToyForCausalLM):
    def forward(self, *arguments: Any, **options: Any) -> Any:
        output = super().forward(*arguments, **options)
        output.logits = output.logits + 50.0 * torch.eye(output.logits.shape[-1])[END]
        return output


def test_greedy_search_with_a_minimum() -> None:
    model = EndsSoon(toy_causal(eos_token_id=END, pad_token_id=PAD).config).eval()
    processors = LogitsProcessorList([MinLengthLogitsProcessor(15, eos_token_id=END)])
    found = model.greedy_search(IDS, logits_processor=processors)
    assert found.shape == (2, 16)
    assert not (found[:, :15] == END).any()
    assert (found[:, 15] == END).all()
    assert model.greedy_search(IDS).tolist() == [[3, 4, 5, END], [6, 7, 8, END]]


def test_greedy_search_is_generate(model: ToyForCausalLM) -> None:
    processors = LogitsProcessorList([MinLengthLogitsProcessor(10, eos_token_id=END)])
    for cache in ({}, {"use_cache": False}, {"past_key_values": StaticCache(model.config, max_cache_len=20)}):
        found = model.greedy_search(IDS, processors, up_to(16), **cache)
        assert torch.equal(found, model.generate(IDS, min_length=10, max_length=16))


def test_sample_applies_processors_then_warpers_then_draws(model: ToyForCausalLM) -> None:
    order: list[str] = []

    def noting(name: str) -> Callable[[Tensor, Tensor], Tensor]:
        def processor(tokens: Tensor, scores: Tensor) -> Tensor:
            order.append(name)
            return scores

        return processor

    warpers = LogitsProcessorList([TopKLogitsWarper(5), TemperatureLogitsWarper(0.7), noting("warper")])
    torch.manual_seed(0)
    found = model.sample(
        IDS,
        LogitsProcessorList([noting("processor")]),
        up_to(12),
        warpers,
        output_scores=True,
        return_dict_in_generate=True,
    )
    assert isinstance(found, SampleDecoderOnlyOutput)
    assert order == ["processor", "warper"] * len(found.scores)
    assert all(int(step.isfinite().sum(dim=1).max()) <= 5 for step in found.scores)
    torch.manual_seed(0)
    same = model.generate(IDS, do_sample=True, top_k=5, temperature=0.7, max_length=12)
    torch.manual_seed(0)
    other = model.generate(IDS, do_sample=True, top_k=0, temperature=0.7, max_length=12)
    assert torch.equal(found.sequences, same)
    assert not torch.equal(found.sequences, other)


def test_beam_search_is_generate(model: ToyForCausalLM) -> None:
    found = model.beam_search(
        repeated(), scorer(num_beam_hyps_to_keep=3), stopping_criteria=up_to(12),
        output_scores=True, return_dict_in_generate=True,
    )  # fmt: skip
    expected = model.generate(
        IDS,
        num_beams=3,
        num_return_sequences=3,
        max_length=12,
        output_scores=True,
        return_dict_in_generate=True,
    )
    assert isinstance(found, BeamSearchDecoderOnlyOutput)
    assert torch.equal(found.sequences, expected.sequences)
    assert torch.equal(found.beam_indices, expected.beam_indices)
    torch.testing.assert_close(found.sequences_scores, expected.sequences_scores)


def test_group_beam_search_is_generate(model: ToyForCausalLM) -> None:
    processors = LogitsProcessorList([HammingDiversityLogitsProcessor(5.5, num_beams=6, num_beam_groups=3)])
    found = model.group_beam_search(
        repeated(6),
        scorer(6, num_beam_groups=3, num_beam_hyps_to_keep=6, max_length=12),
        processors,
        up_to(12),
    )
    expected = model.generate(
        IDS, num_beams=6, num_beam_groups=3, diversity_penalty=5.5, num_return_sequences=6, max_length=12
    )
    assert torch.equal(found, expected)
    for rows in found.view(2, 6, -1):
        assert len({int(row[3]) for row in rows}) == 3


def test_without_diversity_all_groups_find_the_same(model: ToyForCausalLM) -> None:
    found = model.group_beam_search(
        repeated(6), scorer(6, num_beam_groups=3, num_beam_hyps_to_keep=6), stopping_criteria=up_to(12)
    )
    assert all(len({tuple(row) for row in rows.tolist()}) == 2 for rows in found.view(2, 6, -1))


def test_beam_sample_draws_and_sorts(model: ToyForCausalLM) -> None:
    warpers = LogitsProcessorList([TopKLogitsWarper(50), TemperatureLogitsWarper(0.7)])
    texts = set()
    for seed in range(4):
        torch.manual_seed(seed)
        found = model.beam_sample(
            repeated(), scorer(max_length=12), logits_warper=warpers, stopping_criteria=up_to(12),
            output_scores=True, return_dict_in_generate=True,
        )  # fmt: skip
        assert isinstance(found, BeamSampleDecoderOnlyOutput)
        each = model.compute_transition_scores(found.sequences, found.scores, found.beam_indices)
        lengths = (found.beam_indices >= 0).sum(dim=1)
        torch.testing.assert_close(each.sum(dim=1) / lengths, found.sequences_scores, rtol=1e-4, atol=1e-4)
        texts.add(tuple(found.sequences.flatten().tolist()))
    assert len(texts) > 1


def test_beam_sample_of_a_cold_distribution_is_beam_search(model: ToyForCausalLM) -> None:
    """What is drawn with hardly any chance is sorted, so that the best beams come first."""
    options = {"stopping_criteria": up_to(8), "eos_token_id": [END]}
    torch.manual_seed(0)
    drawn = model.beam_sample(
        repeated(), scorer(), logits_warper=LogitsProcessorList([TemperatureLogitsWarper(0.05)]), **options
    )
    assert torch.equal(drawn, model.beam_search(repeated(), scorer(), **options))


SEARCHES: dict[str, Callable[..., Any]] = {
    "greedy_search": lambda model, **options: model.greedy_search(IDS, **options),
    "sample": lambda model, **options: model.sample(IDS, **options),
    "beam_search": lambda model, **options: model.beam_search(repeated(), scorer(), **options),
    "beam_sample": lambda model, **options: model.beam_sample(repeated(), scorer(), **options),
    "group_beam_search": lambda model, **options: model.group_beam_search(
        repeated(4), scorer(4, num_beam_groups=2), **options
    ),
}


@pytest.mark.parametrize("name", METHODS)
def test_without_a_limit_a_result_has_20_columns(model: ToyForCausalLM, name: str) -> None:
    assert SEARCHES[name](model, eos_token_id=21).shape[1] <= 20
    free = toy_causal(seed=1)
    assert SEARCHES[name](free).shape[1] == 20
    free.generation_config = GenerationConfig(max_length=9)
    assert SEARCHES[name](free).shape[1] == 9


@pytest.mark.parametrize("name", METHODS)
def test_max_length_is_deprecated(model: ToyForCausalLM, name: str) -> None:
    torch.manual_seed(0)
    with pytest.warns(FutureWarning, match=rf"{name}.*StoppingCriteriaList\(\[MaxLengthCriteria\(9\)\]\)"):
        found = SEARCHES[name](model, max_length=9)
    torch.manual_seed(0)
    assert torch.equal(found, SEARCHES[name](model, stopping_criteria=up_to(9)))


@pytest.mark.parametrize("name", METHODS)
def test_the_signature_is_the_specified_one(name: str) -> None:
    parameters = list(inspect.signature(getattr(ToyForCausalLM, name)).parameters)
    beams = ["beam_scorer"] if "beam" in name else []
    warper = ["logits_warper"] if "sample" in name else []
    assert parameters == [
        "self", "input_ids", *beams, "logits_processor", "stopping_criteria", *warper, "max_length",
        "pad_token_id", "eos_token_id", "output_attentions", "output_hidden_states", "output_scores",
        "return_dict_in_generate", "synced_gpus", "model_kwargs",
    ]  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_everything_can_be_returned(model: ToyForCausalLM, name: str) -> None:
    output = SEARCHES[name](
        model, stopping_criteria=up_to(8), output_scores=True, output_attentions=True,
        output_hidden_states=True, return_dict_in_generate=True, synced_gpus=True,
    )  # fmt: skip
    rows = output.scores[0].shape[0]
    assert len(output.scores) == len(output.attentions) == len(output.hidden_states) == 5
    assert output.attentions[1][0].shape == (rows, 2, 1, 4)
    assert output.hidden_states[0][0].shape == (rows, 3, 16)
    assert ("sequences_scores" in output) == ("beam" in name)
    plain = SEARCHES[name](model, stopping_criteria=up_to(8))
    assert isinstance(plain, Tensor)


@pytest.mark.parametrize("name", METHODS)
def test_gradients_are_kept_unless_switched_off(model: ToyForCausalLM, name: str) -> None:
    options = {"stopping_criteria": up_to(6), "output_scores": True, "return_dict_in_generate": True}
    output = SEARCHES[name](model, **options)
    chosen = output.scores[-1].logsumexp(dim=-1).sum()
    (gradient,) = torch.autograd.grad(chosen, [model.embeddings.weight])
    assert gradient.abs().sum() > 0
    with torch.no_grad():
        assert not SEARCHES[name](model, **options).scores[-1].requires_grad


@pytest.mark.parametrize("name", METHODS)
def test_the_model_s_settings_add_nothing(name: str) -> None:
    model = toy_causal(seed=1, eos_token_id=END, pad_token_id=PAD)
    torch.manual_seed(0)
    expected = SEARCHES[name](model, stopping_criteria=up_to(12))
    model.generation_config = GenerationConfig(
        do_sample=True, num_beams=4, num_return_sequences=2, temperature=0.2, repetition_penalty=9.0,
        no_repeat_ngram_size=1, max_new_tokens=2, length_penalty=7.0, eos_token_id=END, pad_token_id=PAD,
    )  # fmt: skip
    torch.manual_seed(0)
    assert torch.equal(SEARCHES[name](model, stopping_criteria=up_to(12)), expected)


def test_special_tokens_and_outputs_are_the_model_s_unless_given() -> None:
    model = EndsSoon(toy_causal(eos_token_id=END, pad_token_id=PAD, vocab_size=24).config).eval()
    assert model.greedy_search(IDS).shape == (2, 4)
    assert model.greedy_search(IDS, eos_token_id=[5, 21]).shape == (2, 20)
    model.generation_config.return_dict_in_generate = True
    assert isinstance(model.greedy_search(IDS), GreedySearchDecoderOnlyOutput)
    assert isinstance(model.greedy_search(IDS, return_dict_in_generate=False), Tensor)
    model.generation_config.eos_token_id = None
    assert model.greedy_search(IDS, return_dict_in_generate=False).shape == (2, 20)


def test_left_padding_is_seen(model: ToyForCausalLM) -> None:
    ids, mask = torch.tensor([[PAD, PAD, 3, 4], [6, 7, 8, 9]]), torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    expected = model.generate(ids, attention_mask=mask, max_length=12, num_beams=3)
    assert torch.equal(
        model.greedy_search(ids, None, up_to(12)), model.generate(ids, attention_mask=mask, max_length=12)
    )
    found = model.beam_search(
        ids.repeat_interleave(3, dim=0), scorer(), stopping_criteria=up_to(12),
        attention_mask=mask.repeat_interleave(3, dim=0),
    )  # fmt: skip
    assert torch.equal(found, expected)


def test_time_is_a_limit(model: ToyForCausalLM) -> None:
    for name in METHODS:
        found = SEARCHES[name](model, stopping_criteria=StoppingCriteriaList([MaxTimeCriteria(0.0)]))
        assert found.shape == (2, 4), name


def test_a_criterion_of_the_caller_s_own(model: ToyForCausalLM) -> None:
    def first_row_is_long(tokens: Tensor, scores: Any, **_: Any) -> Tensor:
        done = torch.zeros(tokens.shape[0], dtype=torch.bool)
        done[0] = tokens.shape[1] >= 6
        return done

    found = model.greedy_search(IDS, stopping_criteria=StoppingCriteriaList([first_row_is_long, *up_to(9)]))
    assert (found[0, 6:] == PAD).all()
    assert not (found[1, 6:] == PAD).all()
    assert model.beam_search(
        repeated(), scorer(), stopping_criteria=StoppingCriteriaList([first_row_is_long, *up_to(9)])
    ).shape[1] == 9, "beams go on until every row meets it"  # fmt: skip


def test_prompts_of_the_caller_stay_as_they_are(model: ToyForCausalLM) -> None:
    ids = repeated()
    model.beam_search(ids, scorer(), stopping_criteria=up_to(9))
    assert torch.equal(ids, repeated())


class Encoded:
    """The encoder-decoder example of the specification."""

    def __init__(self, beams: int) -> None:
        self.model = toy_seq2seq(eos_token_id=END, pad_token_id=PAD, decoder_start_token_id=START)
        self.source = torch.tensor([[4, 8, 15]])
        self.beams = beams
        self.input_ids = torch.ones((beams, 1), dtype=torch.long) * self.model.config.decoder_start_token_id
        self.encoder_outputs = self.model.get_encoder()(
            self.source.repeat_interleave(beams, dim=0), return_dict=True
        )
        self.processors = LogitsProcessorList([MinLengthLogitsProcessor(5, eos_token_id=END)])


def test_beam_search_behind_an_encoder() -> None:
    one = Encoded(3)
    found = one.model.beam_search(
        one.input_ids, scorer(batch=1), logits_processor=one.processors, encoder_outputs=one.encoder_outputs
    )
    assert torch.equal(found, one.model.generate(one.source, num_beams=3, min_length=5, max_length=20))


def test_group_beam_search_behind_an_encoder() -> None:
    one = Encoded(6)
    one.processors.insert(0, HammingDiversityLogitsProcessor(5.5, num_beams=6, num_beam_groups=3))
    found = one.model.group_beam_search(
        one.input_ids, scorer(6, batch=1, num_beam_groups=3, max_length=20, num_beam_hyps_to_keep=6),
        logits_processor=one.processors, encoder_outputs=one.encoder_outputs, return_dict_in_generate=True,
    )  # fmt: skip
    assert isinstance(found, BeamSearchEncoderDecoderOutput)
    expected = one.model.generate(
        one.source, num_beams=6, num_beam_groups=3, diversity_penalty=5.5, min_length=5, max_length=20,
        num_return_sequences=6,
    )  # fmt: skip
    assert torch.equal(found.sequences, expected)
    assert len({int(row[1]) for row in found.sequences}) == 3


def test_beam_sample_and_greedy_search_behind_an_encoder() -> None:
    one = Encoded(3)
    warpers = LogitsProcessorList([TopKLogitsWarper(50), TemperatureLogitsWarper(0.7)])
    found = one.model.beam_sample(
        one.input_ids, scorer(batch=1, max_length=20), one.processors, logits_warper=warpers,
        encoder_outputs=one.encoder_outputs,
    )  # fmt: skip
    assert found.shape[0] == 1
    assert int(found[0, 0]) == START
    greedy = one.model.greedy_search(
        one.input_ids, one.processors, encoder_outputs=one.encoder_outputs, return_dict_in_generate=True
    )
    assert isinstance(greedy, GreedySearchEncoderDecoderOutput)
    assert torch.equal(greedy.sequences[:1], one.model.generate(one.source, min_length=5, max_length=20))


def test_a_decoder_s_rows_may_begin_as_they_like() -> None:
    one = Encoded(2)
    begun = torch.tensor([[7, 3], [9, 3]])
    found = one.model.greedy_search(begun, encoder_outputs=one.encoder_outputs)
    assert torch.equal(found[:, :2], begun)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: m.beam_search(IDS, scorer()), "expected 6, 3 for each of 2 prompts"),
        (lambda m: m.beam_sample(repeated(), scorer(batch=1)), "expected 3"),
        (lambda m: m.beam_search(repeated(4), scorer(4, num_beam_groups=2)), "call group_beam_search"),
        (lambda m: m.greedy_search(IDS, temperature=0.5), "temperature=0.5, a setting of generate"),
        (lambda m: m.sample(IDS, atention_mask=IDS), "sample.. got the argument 'atention_mask'"),
        (lambda m: m.greedy_search(IDS, stopping_criteria=up_to(3)), "the prompt has 3 already"),
        (lambda m: m.greedy_search(IDS, stopping_criteria=up_to(65)), "64 positions"),
        (lambda m: m.greedy_search(IDS, eos_token_id="stop"), "eos_token_id"),
        (lambda m: m.greedy_search(IDS.float()), "torch.float32"),
        (lambda m: m.greedy_search([[1, 2]]), "expected a tensor"),
    ],
)
def test_calls_that_cannot_be_right(model: ToyForCausalLM, call: Callable[[Any], Any], said: str) -> None:
    ran = []
    handle = model.register_forward_pre_hook(lambda *_: ran.append(1))
    with pytest.raises(GenerationArgumentError, match=said):
        call(model)
    handle.remove()
    assert not ran, "refused before the model ran"


def test_a_scorer_serves_one_call(model: ToyForCausalLM) -> None:
    one = scorer(do_early_stopping=True)
    model.beam_search(repeated(), one, stopping_criteria=up_to(40), eos_token_id=list(range(8, 24)))
    assert one.is_done
    with pytest.raises(GenerationArgumentError, match="make a new one"):
        model.beam_search(repeated(), one)


class Greediest(BeamScorer):
    """A caller's own scorer: every beam goes on with its best token, and all are returned."""

    num_beams = 3
    is_done = False

    def process(
        self, input_ids: Tensor, next_scores: Tensor, next_tokens: Tensor, next_indices: Tensor, **kwargs: Any
    ) -> dict[str, Tensor]:
        assert kwargs["decoder_prompt_len"] == 3
        rows = torch.arange(next_tokens.shape[0])[:, None] * 3
        return {
            "next_beam_scores": next_scores[:, :3].flatten(),
            "next_beam_tokens": next_tokens[:, :3].flatten(),
            "next_beam_indices": (next_indices[:, :3] + rows).flatten(),
        }

    def finalize(
        self, input_ids: Tensor, final_beam_scores: Tensor, final_beam_tokens: Tensor,
        final_beam_indices: Tensor, max_length: int | None, **kwargs: Any,
    ) -> dict[str, Any]:  # fmt: skip
        assert torch.equal(input_ids[:, -1], final_beam_tokens)
        return {"sequences": input_ids, "sequence_scores": final_beam_scores}


def test_a_scorer_of_the_caller_s_own(model: ToyForCausalLM) -> None:
    free = toy_causal(seed=1).double()
    found = free.beam_search(repeated(), Greediest(), stopping_criteria=up_to(9))
    expected = free.generate(IDS, num_beams=3, num_return_sequences=3, max_length=9)
    assert torch.equal(found, expected)


def test_what_was_generated_is_not_lost(model: ToyForCausalLM) -> None:
    def spoilt(tokens: Tensor, scores: Tensor) -> Tensor:
        return scores if tokens.shape[1] < 6 else torch.full_like(scores, float("nan"))

    for name in METHODS:
        with pytest.raises(GenerationError, match="no finite score") as caught:
            SEARCHES[name](model, logits_processor=LogitsProcessorList([spoilt]))
        assert caught.value.sequences.shape[1] == 6


def test_padding_behind_a_prompt_is_moved_with_a_warning(model: ToyForCausalLM) -> None:
    with pytest.warns(FormersWarning, match="padding_side"):
        found = model.greedy_search(torch.tensor([[3, 4, PAD, PAD], [6, 7, 8, 9]]), None, up_to(8))
    assert found[0, :4].tolist() == [PAD, PAD, 3, 4]
