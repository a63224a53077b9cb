"""Assisted decoding: with any assistant the same result as without, and fewer forwards with a good one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from toy_causal import ToyForCausalLM, toy_causal
from toy_seq2seq import toy_seq2seq

from formers.cache import DynamicCache, StaticCache
from formers.errors import GenerationArgumentError, GenerationError
from formers.generation.criteria import StoppingCriteria
from formers.generation.strategies.assisted import _Speculative
from formers.generation.strategies.candidates import PromptLookup

PROMPT = torch.tensor([[3, 4, 5, 6, 3, 4]])
END = 22


@pytest.fixture(scope="module")
def model() -> ToyForCausalLM:
    return toy_causal(seed=1).double()


def assistant_of(model: ToyForCausalLM, noise: float = 0.05, **wanted: Any) -> ToyForCausalLM:
    """A model that mostly agrees with ``model``."""
    assistant = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in assistant.parameters():
            weight += noise * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
    options = {"num_assistant_tokens": 4, "assistant_confidence_threshold": 0.0} | wanted
    for name, value in options.items():
        setattr(assistant.generation_config, name, value)
    return assistant


class Forwards:
    """Counts the forwards of a model, and the tokens of each, while it is open."""

    def __init__(self, model: nn.Module) -> None:
        self.lengths: list[int] = []
        self._hook = model.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        self.lengths.append(kwargs["input_ids"].shape[1])

    def __enter__(self) -> list[int]:
        return self.lengths

    def __exit__(self, *_: object) -> None:
        self._hook.remove()


# What it must be equal to.


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 5),
    other=st.integers(0, 5),
    prompt=st.lists(st.integers(0, 21), min_size=1, max_size=9),
    new=st.integers(1, 24),
    ahead=st.integers(1, 9),
    threshold=st.sampled_from([0.0, 0.4, 1.0]),
    ends=st.lists(st.integers(0, 23), max_size=3),
    cache=st.sampled_from([{}, {"use_cache": False}, {"cache_implementation": "static"}]),
)
def test_greedy_assisted_is_greedy(
    seed: int,
    other: int,
    prompt: list[int],
    new: int,
    ahead: int,
    threshold: float,
    ends: list[int],
    cache: dict[str, Any],
) -> None:
    model, assistant = toy_causal(seed).double(), toy_causal(other, num_hidden_layers=1).double()
    if seed == other:
        assistant = assistant_of(model)
    ids, options = torch.tensor([prompt]), {"max_new_tokens": new, "eos_token_id": ends or None, **cache}
    alone = model.generate(ids, **options).tolist()
    drafted = {"num_assistant_tokens": ahead, "assistant_confidence_threshold": threshold}
    assert model.generate(ids, assistant_model=assistant, **drafted, **options).tolist() == alone
    assert model.generate(ids, prompt_lookup_num_tokens=ahead, **options).tolist() == alone


PROCESSED: dict[str, dict[str, Any]] = {
    "repetition penalty": {"repetition_penalty": 1.6},
    "no repeated n-grams": {"no_repeat_ngram_size": 2},
    "minimum length": {"min_new_tokens": 8, "eos_token_id": [3, 22, 9]},
    "forced end": {"forced_eos_token_id": 5},
    "guidance, which keeps a cache": {"guidance_scale": 1.7},
    "prefixes": {"prefix_allowed_tokens_fn": lambda row, ids: range(ids.shape[-1] % 5, 24, 2)},
}


@pytest.mark.parametrize("name", PROCESSED)
@pytest.mark.parametrize("noise", [0.0, 0.05, 1.0])
def test_processors_see_what_they_see_without_guesses(model: ToyForCausalLM, name: str, noise: float) -> None:
    alone = model.generate(PROMPT, **PROCESSED[name]).tolist()
    assistant = assistant_of(model, noise)
    assert model.generate(PROMPT, assistant_model=assistant, **PROCESSED[name]).tolist() == alone
    assert model.generate(PROMPT, prompt_lookup_num_tokens=3, **PROCESSED[name]).tolist() == alone


def test_a_processor_with_a_memory_is_called_as_without_guesses(model: ToyForCausalLM) -> None:
    calls: list[tuple[int, ...]] = []

    def remember(ids: Tensor, scores: Tensor) -> Tensor:
        calls.append(tuple(ids[0].tolist()))
        return scores

    model.generate(PROMPT, logits_processor=[remember])
    alone = calls.copy()
    calls.clear()
    model.generate(PROMPT, logits_processor=[remember], prompt_lookup_num_tokens=4)
    assert calls == alone


class _Trailing(StoppingCriteria):
    """Ends a text whose last tokens add up to a multiple of a number."""

    def __init__(self, multiple: int) -> None:
        self.multiple, self.calls = multiple, 0

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        self.calls += 1
        assert scores.shape == (1, 24)
        return input_ids[:, -3:].sum(dim=1) % self.multiple == 0


@pytest.mark.parametrize("multiple", range(2, 40, 5))
def test_criteria_are_asked_for_each_token(model: ToyForCausalLM, multiple: int) -> None:
    alone, assisted = _Trailing(multiple), _Trailing(multiple)
    expected = model.generate(PROMPT, stopping_criteria=[alone])
    found = model.generate(PROMPT, stopping_criteria=[assisted], assistant_model=assistant_of(model))
    assert found.tolist() == expected.tolist()
    assert assisted.calls == alone.calls


@pytest.mark.parametrize("cache", [{}, {"use_cache": False}, {"cache_implementation": "static"}])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_all_outputs_are_those_of_the_greedy_search(
    model: ToyForCausalLM, cache: dict[str, Any], noise: float
) -> None:
    wanted = {
        f"output_{name}": True for name in ("scores", "logits", "attentions", "hidden_states")
    }  # fmt: skip
    options = {**wanted, **cache, "return_dict_in_generate": True, "eos_token_id": END}
    alone = model.generate(PROMPT, **options)
    assisted = model.generate(PROMPT, **options, assistant_model=assistant_of(model, noise))
    torch.testing.assert_close(dict(assisted) | {"past_key_values": 0}, dict(alone) | {"past_key_values": 0})
    if alone.past_key_values is not None:
        assert assisted.past_key_values.get_seq_length() == alone.past_key_values.get_seq_length()


@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_the_callers_cache_goes_on_as_without_guesses(model: ToyForCausalLM, kind: str) -> None:
    cache = DynamicCache() if kind == "dynamic" else StaticCache(model.config, max_cache_len=40)
    assistant = assistant_of(model)
    first = model.generate(PROMPT, assistant_model=assistant, max_new_tokens=9, past_key_values=cache)
    assert cache.get_seq_length() == first.shape[1] - 1
    longer = torch.cat((first, torch.tensor([[7, 8]])), dim=1)
    second = model.generate(longer, assistant_model=assistant, max_new_tokens=9, past_key_values=cache)
    assert second.tolist() == model.generate(longer, max_new_tokens=9).tolist()


def test_padding_in_front_changes_nothing(model: ToyForCausalLM) -> None:
    ids, mask = torch.cat((torch.full((1, 3), 23), PROMPT), dim=1), torch.tensor([[0] * 3 + [1] * 6])
    expected = model.generate(PROMPT)
    for source in ({"assistant_model": assistant_of(model)}, {"prompt_lookup_num_tokens": 3}):
        found = model.generate(ids, attention_mask=mask, **source)
        assert found[:, 3:].tolist() == expected.tolist()


def test_guesses_can_be_copied_behind_embeddings(model: ToyForCausalLM) -> None:
    embeds = model.get_input_embeddings()(PROMPT)
    expected = model.generate(inputs_embeds=embeds)
    assert model.generate(inputs_embeds=embeds, prompt_lookup_num_tokens=3).tolist() == expected.tolist()


@pytest.mark.parametrize("with_encoder", [True, False])
def test_a_decoder_behind_an_encoder(with_encoder: bool) -> None:
    model = toy_seq2seq(seed=2).double()
    assistant = toy_seq2seq(seed=2).double() if with_encoder else toy_causal(seed=3).double()
    options = {"attention_mask": torch.tensor([[1, 1, 1, 1, 1, 0]]), "max_new_tokens": 12}
    expected = model.generate(PROMPT, **options).tolist()
    calls: list[int] = []
    model.register_forward_pre_hook(lambda *_: calls.append(1))
    found = model.generate(
        PROMPT, assistant_model=assistant, assistant_confidence_threshold=0.0, num_assistant_tokens=3, **options
    )  # fmt: skip
    assert found.tolist() == expected
    if with_encoder:
        assert len(calls) == 3  # the assistant is the same model, and has read the same source


# Distribution.


def chi_square(observed: Tensor, probabilities: Tensor) -> float:
    """How many standard deviations Pearson's statistic lies above its mean; rare outcomes are counted together."""
    expected = probabilities * observed.sum()
    rare = expected < 5
    expected = torch.cat((expected[~rare], expected[rare].sum()[None]))
    observed = torch.cat((observed[~rare], observed[rare].sum()[None]))
    statistic = ((observed - expected) ** 2 / expected.clamp_min(1e-9)).sum()
    degrees = max(expected.shape[0] - 1, 1)
    return float((statistic - degrees) / (2 * degrees) ** 0.5)


def test_speculative_sampling_has_the_models_distribution() -> None:
    torch.manual_seed(0)
    scores = torch.randn(2, 7)
    p, q = scores[0].softmax(-1), (0.7 * scores[0] + 0.8 * torch.randn(7)).softmax(-1)
    drawn, always = torch.zeros(7), torch.zeros(7)
    for _ in range(3000):
        guess = torch.multinomial(q, 1)
        rule = _Speculative(guess, q[None])
        taken = bool(rule.holds(scores, 0))
        drawn[guess if taken else rule.instead(0)] += 1
        always[guess] += 1
    assert chi_square(drawn, p) < 4
    assert chi_square(always, p) > 20  # what taking every guess would give


@pytest.mark.parametrize(
    "source",
    [{"num_assistant_tokens": 1}, {"assistant_confidence_threshold": 0.5}, {"prompt_lookup_num_tokens": 2}],
    ids=["one ahead", "unsure", "copied"],
)
@pytest.mark.parametrize("shape", [{"top_k": 0}, {"top_k": 3, "temperature": 1.4, "repetition_penalty": 1.2}])
def test_sampled_texts_have_the_models_distribution(source: dict[str, Any], shape: dict[str, Any]) -> None:
    size = {"vocab_size": 4, "hidden_size": 8, "num_hidden_layers": 1}
    model, assistant = toy_causal(seed=4, **size), toy_causal(seed=5, **size)
    prompt = torch.tensor([[0, 1, 2, 0, 1]])
    options: dict[str, Any] = {"do_sample": True, "max_new_tokens": 3, **shape, **source}
    if "prompt_lookup_num_tokens" not in source:
        options = {"num_assistant_tokens": 3, "assistant_confidence_threshold": 0.0, **options}
        options["assistant_model"] = assistant
    torch.manual_seed(1)
    counts = torch.zeros(4, 4, 4)
    for _ in range(400):
        counts[tuple(model.generate(prompt, **options)[0, 5:])] += 1
    torch.testing.assert_close(counts.sum(), torch.tensor(400.0))
    assert chi_square(counts.flatten(), _joint(model, prompt, shape)) < 4


def _joint(model: ToyForCausalLM, prompt: Tensor, shape: dict[str, Any]) -> Tensor:
    """The probability of each continuation of three tokens: [4 * 4 * 4]."""
    texts, probabilities = prompt, torch.ones(1)
    for _ in range(3):
        step = model.generate(
            texts, do_sample=True, max_new_tokens=1, output_scores=True, return_dict_in_generate=True, **shape
        )  # fmt: skip
        probabilities = (probabilities[:, None] * step.scores[0].softmax(-1)).flatten()
        texts = torch.cat(
            (texts.repeat_interleave(4, 0), torch.arange(4).repeat(texts.shape[0])[:, None]), dim=1
        )
    return probabilities


# How often the model runs.


@pytest.mark.parametrize(("ahead", "forwards"), [(1, 10), (3, 5), (4, 4), (9, 2), (30, 1)])
def test_a_perfect_assistant_saves_forwards(model: ToyForCausalLM, ahead: int, forwards: int) -> None:
    assistant = assistant_of(model, 0.0, num_assistant_tokens=ahead)
    with Forwards(model) as main, Forwards(assistant) as draft:
        model.generate(PROMPT, assistant_model=assistant, max_new_tokens=20)
    assert len(main) == forwards
    assert sum(main) == 5 + 20  # nothing is computed twice
    assert sum(draft) <= 5 + 20


def test_repetition_is_copied() -> None:
    model = toy_causal(seed=1, num_hidden_layers=0)
    nn.init.zeros_(
        model.positions.weight
    )  # what follows depends on the last token alone, and so it comes round
    with Forwards(model) as main:
        model.generate(PROMPT, prompt_lookup_num_tokens=9, max_matching_ngram_size=1, max_new_tokens=50)
    assert len(main) < 25


@pytest.mark.parametrize("sampled", [False, True])
def test_a_confidence_of_one_draws_one_guess_at_a_time(model: ToyForCausalLM, sampled: bool) -> None:
    with Forwards(model) as main:
        model.generate(
            PROMPT, assistant_model=assistant_of(model), assistant_confidence_threshold=1.0, do_sample=sampled
        )  # fmt: skip
    assert max(main[1:]) == 2


def test_settings_of_the_call_come_before_those_of_the_assistant(model: ToyForCausalLM) -> None:
    assistant = assistant_of(model, num_assistant_tokens=3)
    for options, width in (({}, 4), ({"num_assistant_tokens": 2}, 3)):
        with Forwards(model) as main:
            model.generate(PROMPT, assistant_model=assistant, max_new_tokens=12, **options)
        assert max(main[1:]) == width


def _widths(model: ToyForCausalLM, assistant: ToyForCausalLM, schedule: str, **options: Any) -> list[int]:
    """How many guesses were made in each round, but for the last ones, for which there is less room."""
    with Forwards(model) as main:
        model.generate(
            PROMPT, assistant_model=assistant, num_assistant_tokens_schedule=schedule, max_new_tokens=24, **options
        )  # fmt: skip
    return [length - 1 for length in [main[0] - PROMPT.shape[1] + 1, *main[1:]]][:3]


def test_schedules(model: ToyForCausalLM) -> None:
    perfect, bad = assistant_of(model, 0.0, num_assistant_tokens=2), toy_causal(seed=9).double()
    bad.generation_config.num_assistant_tokens = 4
    bad.generation_config.assistant_confidence_threshold = 0.0
    for schedule in ("constant", "heuristic_transient", "constant"):
        expected = [2, 2, 2] if schedule == "constant" else [2, 4, 6]
        assert _widths(model, perfect, schedule) == expected
    assert _widths(model, bad, "heuristic_transient") == [4, 3, 2]
    assert _widths(model, bad, "heuristic") == [4, 3, 2]
    assert _widths(model, bad, "heuristic")[0] == 1  # where the last call ended
    assert _widths(model, bad, "heuristic", num_assistant_tokens=3) == [3, 2, 1]


def test_an_assistant_with_fewer_positions_falls_silent(model: ToyForCausalLM) -> None:
    assistant = toy_causal(seed=2, max_position_embeddings=10).double()
    expected = model.generate(PROMPT, max_new_tokens=15)
    found = model.generate(
        PROMPT, assistant_model=assistant, max_new_tokens=15, assistant_confidence_threshold=0.0
    )
    assert found.tolist() == expected.tolist()


# Streams and faults.


def test_a_stream_yields_several_tokens_at_once(model: ToyForCausalLM) -> None:
    assistant = assistant_of(model, 0.0)
    steps = list(model.stream(PROMPT, assistant_model=assistant, max_new_tokens=20))
    assert [step.ids.shape for step in steps] == [(1, 5)] * 4
    assert [step.finished for step in steps] == [(False,)] * 3 + [(True,)]
    streamed = torch.cat([step.ids for step in steps], dim=1)
    assert streamed.tolist() == model.generate(PROMPT, max_new_tokens=20)[:, PROMPT.shape[1] :].tolist()


def test_a_text_that_ends_among_the_guesses_is_cut_there(model: ToyForCausalLM) -> None:
    new = model.generate(PROMPT, max_new_tokens=20)[0, PROMPT.shape[1] :].tolist()
    end = next(token for index, token in enumerate(new) if 0 < index % 5 < 4 and token not in new[:index])
    steps = list(
        model.stream(PROMPT, assistant_model=assistant_of(model, 0.0), max_new_tokens=20, eos_token_id=end)
    )
    assert torch.cat([step.ids for step in steps], dim=1)[0].tolist() == new[: new.index(end) + 1]
    assert steps[-1].finished == (True,)


class _Broken(ToyForCausalLM):
    """Gives NaN for every token from a column on."""

    column = 10

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(*args, **kwargs)
        first = output.past_key_values.get_seq_length() - output.logits.shape[1]
        output.logits[:, max(self.column - first, 0) :] = float("nan")
        return output


def broken(model: ToyForCausalLM) -> _Broken:
    other = _Broken(model.config).double().eval()
    other.load_state_dict(model.state_dict())
    return other


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("ids_matter", [{}, {"repetition_penalty": 1.01}])
def test_invalid_scores_lose_nothing(
    model: ToyForCausalLM, sampled: bool, ids_matter: dict[str, Any]
) -> None:
    options = {"assistant_model": assistant_of(model, 0.0), "do_sample": sampled, **ids_matter}
    with pytest.raises(GenerationError, match=r"Row 0 .* at step 5") as caught:
        broken(model).generate(PROMPT, **options)
    assert caught.value.sequences.shape == (1, 11)
    if not sampled:
        assert (
            caught.value.sequences.tolist() == model.generate(PROMPT, max_new_tokens=5, **ids_matter).tolist()
        )


@pytest.mark.parametrize("sampled", [False, True])
def test_invalid_scores_of_an_assistant_do_no_harm(model: ToyForCausalLM, sampled: bool) -> None:
    options = {"assistant_model": broken(model), "assistant_confidence_threshold": 0.0, "do_sample": sampled}
    found = model.generate(PROMPT, max_new_tokens=15, **options)
    assert found.shape == (1, 21)
    if not sampled:
        assert found.tolist() == model.generate(PROMPT, max_new_tokens=15).tolist()


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("2 rows", {"inputs": PROMPT.repeat(2, 1)}),
    ("num_return_sequences=3", {"do_sample": True, "num_return_sequences": 3}),
    ("vocab_size=30, but the model has 24", {"assistant_model": toy_causal(vocab_size=30)}),
    ("two sources", {"prompt_lookup_num_tokens": 3}),
    ("has an encoder", {"assistant_model": toy_seq2seq()}),
    ("of type Linear; expected a model that can generate", {"assistant_model": nn.Linear(2, 2)}),
    ("inputs_embeds", {"inputs": None, "inputs_embeds": torch.randn(1, 4, 16)}),
]


@pytest.mark.parametrize(("words", "wrong"), REFUSED, ids=[words for words, _ in REFUSED])
def test_what_cannot_be_is_refused_before_the_model_runs(words: str, wrong: dict[str, Any]) -> None:
    model = toy_causal()
    with Forwards(model) as main, pytest.raises(GenerationArgumentError, match=words):
        model.generate(**{"inputs": PROMPT, "assistant_model": toy_causal(1), **wrong})
    assert not main


@pytest.mark.parametrize("beams", [{"num_beams": 2}, {"num_beams": 2, "do_sample": True}])
def test_beams_take_no_guesses(model: ToyForCausalLM, beams: dict[str, Any]) -> None:
    with pytest.raises(GenerationArgumentError, match=r"assistant_model guesses .* ask for beam_s"):
        model.generate(PROMPT, assistant_model=model, **beams)


def test_the_strategy_by_name_needs_guesses(model: ToyForCausalLM) -> None:
    with pytest.raises(GenerationArgumentError, match="assistant_model, or prompt_lookup_num_tokens"):
        model.generate(PROMPT, custom_generate="assisted_generation")


# Guesses from the text.


def _looked_up(ids: Sequence[int], count: int, longest: int, ends: Sequence[int]) -> list[int]:
    """What :class:`PromptLookup` says, written out."""
    for size in range(min(longest, len(ids) - 1), 0, -1):
        for start in range(len(ids) - size):
            if ids[start : start + size] == ids[-size:]:
                copied = list(ids[start + size : start + size + count])
                return copied[: min((copied.index(end) for end in ends if end in copied), default=count)]
    return []


@given(
    ids=st.lists(st.integers(0, 3), min_size=1, max_size=14),
    count=st.integers(1, 5),
    room=st.integers(0, 6),
    longest=st.integers(1, 5),
    ends=st.sampled_from([(), (3,), (2, 3)]),
)
def test_prompt_lookup_copies_what_followed_the_longest_match(
    ids: list[int], count: int, room: int, longest: int, ends: tuple[int, ...]
) -> None:
    found = PromptLookup(count, longest, ends).propose(torch.tensor([ids]), room)
    assert found.tokens.tolist() == [_looked_up(ids, min(count, room), longest, ends)]
    assert found.probabilities is None
