"""Span corruption: the text can be put together again, lengths are exact, noise is spread evenly."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing

from formers import ConfigValidationError, MissingExtraError, PreTrainedTokenizerFast, TextInputError
from formers_t5 import DataCollatorForT5MLM as Collator
from formers_t5 import T5Config, T5ForConditionalGeneration, span_corruption_lengths
from formers_t5.spans import SpanCorruption

PAD, END, FIRST, WORDS, SENTINELS = 0, 1, 3, 50, 100
SIZE = FIRST + WORDS + SENTINELS


@cache
def tokenizer(sentinels: int = SENTINELS, **options: Any) -> PreTrainedTokenizerFast:
    """Words, then the sentinels in descending order, as in the published vocabulary."""
    names = ["<pad>", "</s>", "<unk>", *(f"w{number}" for number in range(WORDS))]
    marks = [f"<extra_id_{number}>" for number in range(sentinels)]
    ids = {token: index for index, token in enumerate([*names, *reversed(marks)])}
    backend = Tokenizer(WordLevel(ids, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    backend.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", END)])
    roles = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, extra_special_tokens=marks, **{**roles, **options}
    )


def sentinel(number: int) -> int:
    return SIZE - 1 - number


def put_together(inputs: list[int], labels: list[int]) -> list[int]:
    """The text: each sentinel of the inputs replaced by what stands behind it in the labels."""
    assert inputs[-1] == labels[-1] == END
    spans: list[list[int]] = []
    for token in labels[:-1]:
        if token >= FIRST + WORDS:
            assert token == sentinel(len(spans))
            spans.append([])
        else:
            spans[-1].append(token)
    last = spans.pop()
    assert last == []
    assert all(spans)
    text: list[int] = []
    for token in inputs[:-1]:
        if token >= FIRST + WORDS:
            assert token == sentinel(sum(mark >= FIRST + WORDS for mark in inputs[: inputs.index(token)]))
            text += spans.pop(0)
        else:
            text.append(token)
    assert not spans
    return text


TEXTS = st.lists(
    st.lists(st.integers(FIRST, FIRST + WORDS - 1), min_size=1, max_size=60), min_size=1, max_size=5
)
DENSITY = st.floats(0.01, 0.9)
LENGTH = st.floats(1.0, 10.0)


@settings(deadline=None)
@given(TEXTS, DENSITY, LENGTH, st.sampled_from(["left", "right"]), st.booleans(), st.integers(0, 2**32))
def test_inputs_and_labels_together_are_the_text(
    texts: list[list[int]], density: float, mean: float, side: str, ended: bool, seed: int
) -> None:
    assume(density / mean <= 1 - density)
    collate = Collator(tokenizer(padding_side=side), density, mean, return_tensors="np", seed=seed)
    rows = [[*text, END] if ended else text for text in texts]
    batch = collate(rows)
    assert set(batch) == {"input_ids", "attention_mask", "labels"}
    for text, ids, mask, labels in zip(
        texts, batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True
    ):
        assert (ids[mask == 0] == PAD).all()
        real = labels[labels != -100]
        assert (labels[: len(real)] == real).all()
        assert put_together(ids[mask == 1].tolist(), real.tolist()) == text
        noise, spans = SpanCorruption(density, mean).counts(len(text))
        assert len(real) == noise + spans + 2
        assert mask.sum() == len(text) - noise + spans + 1


@given(st.integers(1, 400), DENSITY, LENGTH)
def test_counts_are_the_shares(tokens: int, density: float, mean: float) -> None:
    assume(density / mean <= 1 - density)
    noise, spans = SpanCorruption(density, mean).counts(tokens)
    assert 1 <= spans <= noise
    assert spans <= tokens - noise + 1  # something stands between any two
    assert noise < tokens or tokens == 1
    assert abs(noise - tokens * density) <= 0.5 or noise in (1, tokens - 1)
    assert abs(spans - noise / mean) <= 0.5 or spans == 1


@given(st.integers(2, 3000), DENSITY, LENGTH)
def test_texts_fill_the_inputs_exactly(inputs: int, density: float, mean: float) -> None:
    assume(density / mean <= 1 - density)
    lengths = span_corruption_lengths(inputs, density, mean)
    assert lengths.inputs == inputs
    corruption = SpanCorruption(density, mean)
    assert corruption.lengths(lengths.tokens) == lengths
    assert corruption.lengths(lengths.tokens + 1).inputs == inputs + 1


def test_the_lengths_of_the_published_training() -> None:
    assert span_corruption_lengths(512) == (
        568,
        512,
        115,
    )  # with the last sentinel, which the paper describes
    assert span_corruption_lengths(512, 0.5, 3.0).inputs == 512


def test_every_arrangement_is_equally_likely() -> None:
    corruption = SpanCorruption(0.4, 2.0)
    assert corruption.counts(7) == (3, 2)
    random = np.random.default_rng(0)
    masks = [tuple(corruption.noise_mask(7, random).tolist()) for _ in range(12_000)]
    found = {mask: masks.count(mask) for mask in set(masks)}
    # Two spans of 1 + 2 or 2 + 1 tokens in four kept ones: five gaps, of which two are chosen.
    assert len(found) == 2 * 10
    expected = 12_000 / len(found)
    assert all(abs(count - expected) < 5 * expected**0.5 for count in found.values())


def test_no_place_is_spared_but_for_the_ends_of_the_law() -> None:
    random = np.random.default_rng(0)
    masks = np.array([SpanCorruption().noise_mask(100, random) for _ in range(4000)])
    assert (masks.sum(axis=1) == 15).all()
    inner = masks.mean(axis=0)[5:-5]
    assert abs(inner - 0.15).max() < 0.03
    assert masks[:, 0].any()
    assert not masks[:, -1].all()


def test_texts_that_fill_the_inputs_are_not_padded() -> None:
    collate = Collator(tokenizer(), input_length=64, seed=0)
    assert (collate.tokens_length, collate.target_length) == span_corruption_lengths(64)[::2]
    full = list(range(FIRST, FIRST + 30)) * 3
    batch = collate([full[: collate.tokens_length], full[:20]])
    assert batch["input_ids"].shape == (2, 64)
    assert batch["labels"].shape == (2, collate.target_length)
    assert batch["attention_mask"].sum(dim=1).tolist() == [64, 20 - 3 + 1 + 1]
    assert (batch["labels"][0] != -100).all()
    with pytest.raises(
        TextInputError, match=rf"features\[1\] has {collate.tokens_length + 1} tokens.*cut texts"
    ):
        collate([full[:20], full[: collate.tokens_length + 1]])


def test_padding_in_features_does_not_count() -> None:
    made = tokenizer(padding_side="left")
    rows = made(["w1 w2 w3 w4 w5 w6 w7", "w1"], padding=True)
    collate = Collator(made, return_tensors="np", seed=0)
    batch = collate([{name: rows[name][index] for name in rows} for index in (0, 1)])
    alone = Collator(made, return_tensors="np", seed=0)([made("w1 w2 w3 w4 w5 w6 w7"), made("w1")])
    assert all(np.array_equal(batch[name], alone[name]) for name in alone)


def test_the_shortest_texts() -> None:
    collate = Collator(tokenizer(), return_tensors="np", seed=0)
    (ids,), (labels,) = (collate([[7]])[name].tolist() for name in ("input_ids", "labels"))
    assert (ids, labels) == ([sentinel(0), END], [sentinel(0), 7, sentinel(1), END])
    seen = {tuple(collate([[7, 8]])["input_ids"][0].tolist()) for _ in range(50)}
    assert seen == {(sentinel(0), 8, END), (7, sentinel(0), END)}


def test_a_seed_repeats_itself_and_calls_differ() -> None:
    rows = [list(range(FIRST, FIRST + 50))] * 2
    first, again = Collator(tokenizer(), seed=7), Collator(tokenizer(), seed=7)
    batches = [first(rows)["labels"] for _ in range(3)]
    assert all(torch.equal(batch, again(rows)["labels"]) for batch in batches)
    assert not torch.equal(batches[0], batches[1])
    assert not torch.equal(batches[0][0], batches[0][1])
    state = np.random.get_state()[1].copy()
    first(rows)
    assert np.array_equal(np.random.get_state()[1], state)


def test_the_model_takes_the_batches() -> None:
    sizes = {"vocab_size": SIZE, "d_model": 16, "d_kv": 4, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    config = T5Config(**sizes, decoder_start_token_id=PAD, dropout_rate=0.0)
    batch = Collator(tokenizer(), pad_to_multiple_of=8, seed=0)([list(range(FIRST, 40)), [5, 6, 7]])
    assert [size % 8 for name in batch for size in batch[name].shape[1:]] == [0, 0, 0]
    model = T5ForConditionalGeneration(config)
    loss = model(**batch).loss
    loss.backward()
    assert torch.isfinite(loss)
    shifted = torch.cat((torch.zeros(2, 1, dtype=torch.int64), batch["labels"][:, :-1].clamp_min(0)), dim=1)
    assert torch.equal(model(**batch, decoder_input_ids=shifted).loss, loss)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise_density": 0}, "noise_density=0: expected a number between 0 and 1"),
        ({"noise_density": 1.0}, "noise_density=1.0"),
        ({"mean_noise_span_length": 0.5}, "mean_noise_span_length=0.5: expected a number of at least 1"),
        ({"noise_density": 0.8, "mean_noise_span_length": 2}, "expected a mean length of at least 4.00"),
        ({"input_length": 1}, "input_length=1: expected a whole number of at least 2"),
        (
            {"input_length": 4000},
            "input_length=4000: a text of .* needs .* sentinels, but the tokenizer has 100",
        ),
        ({"pad_to_multiple_of": 0}, "pad_to_multiple_of=0"),
        ({"seed": 1.5}, "seed=1.5"),
    ],
)
def test_wrong_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigValidationError, match=message):
        Collator(tokenizer(), **options)


def test_tokenizers_that_cannot_serve_are_refused() -> None:
    with pytest.raises(ConfigValidationError, match="no end token"):
        Collator(tokenizer(eos_token=None))
    with pytest.raises(ConfigValidationError, match="has 1 of the sentinels"):
        Collator(tokenizer(sentinels=1))


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ([], r"features\[1\] has no token that could be dropped"),
        ([END], r"features\[1\] has no token that could be dropped"),
        ({"input_ids": [5], "labels": [5]}, r"features\[1\] has labels, of which"),
        ([5, sentinel(3), 6], r"features\[1\] holds the sentinel <extra_id_3>"),
        ([5] * 2500, r"features\[1\]: a text of 2500 tokens has 125 spans and needs 126 sentinels"),
        ("w1", r"features\[1\]: input_ids='w1'"),
    ],
)
def test_wrong_features_are_named(feature: Any, message: str) -> None:
    with pytest.raises(TextInputError, match=message):
        Collator(tokenizer())([[5, 6], feature])


def test_a_missing_numpy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(MissingExtraError, match=r"DataCollatorForT5MLM needs numpy.*formers\[numpy\]"):
        Collator(tokenizer())


def test_torch_is_not_needed_for_arrays() -> None:
    code = """
import sys
sys.modules["torch"] = None
from formers_t5 import DataCollatorForT5MLM, T5Tokenizer
assert "numpy" not in sys.modules
pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁a", -1.0), ("▁b", -1.0)]
tokenizer = T5Tokenizer(pieces)
batch = DataCollatorForT5MLM(tokenizer, return_tensors="np", seed=0)([tokenizer("a b a")])
print(*batch["labels"].shape)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1 4\n"
