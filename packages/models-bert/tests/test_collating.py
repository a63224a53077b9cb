"""Masking of tokens: shares and places, reproducibility, words, and what is refused."""

from __future__ import annotations

import pickle
import subprocess
import sys
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from formers import ConfigValidationError, MissingExtraError, TextInputError
from formers_bert import BertConfig, BertForMaskedLM, BertForPreTraining, BertTokenizer
from formers_bert import DataCollatorForLanguageModeling as Collator

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [f"w{number}" for number in range(40)]
PIECES = [f"##p{number}" for number in range(20)]
VOCABULARY = {word: index for index, word in enumerate([*SPECIAL, *WORDS, *PIECES])}
FIRST, SIZE, MASK = len(SPECIAL), len(VOCABULARY), 4
ORDINARY = st.integers(FIRST, SIZE - 1)
ROWS = st.lists(st.lists(ORDINARY, max_size=12).map(lambda row: [2, *row, 3]), min_size=1, max_size=5)


@cache
def tokenizer(**options: Any) -> BertTokenizer:
    return BertTokenizer(VOCABULARY, **options)


def collated(rows: list[list[int]], padding_side: str = "right", **options: Any) -> dict[str, np.ndarray]:
    collate = Collator(tokenizer(padding_side=padding_side), return_tensors="np", **options)
    return dict(collate([{"input_ids": row} for row in rows]))


def long_text(seed: int = 0, rows: int = 64, length: int = 500) -> list[list[int]]:
    random = np.random.default_rng(seed)
    return [[2, *random.integers(FIRST, SIZE, length).tolist(), 3] for _ in range(rows)]


def within(count: int, total: int, probability: float) -> bool:
    """Whether a count lies within five standard deviations of what is expected."""
    return abs(count - total * probability) <= 5 * (total * probability * (1 - probability)) ** 0.5


@settings(deadline=None)
@given(ROWS, st.sampled_from(["left", "right"]), st.booleans(), st.integers(0, 2**32))
def test_what_is_not_selected_stays_and_what_is_can_be_restored(
    rows: list[list[int]], side: str, words: bool, seed: int
) -> None:
    batch = collated(rows, side, mlm_probability=0.5, whole_word_mask=words, seed=seed)
    chosen = batch["labels"] != -100
    restored = np.where(chosen, batch["labels"], batch["input_ids"])
    for row, found, mask in zip(rows, restored, batch["attention_mask"], strict=True):
        assert found[mask == 1].tolist() == row
        assert (found[mask == 0] == 0).all()
    # Only ordinary tokens are selected, and become the mask or an ordinary token.
    assert (restored[chosen] >= FIRST).all()
    assert (batch["input_ids"][chosen] >= MASK).all()


@settings(deadline=None)
@given(ROWS, st.integers(0, 2**32))
def test_a_replaced_token_is_another_one(rows: list[list[int]], seed: int) -> None:
    batch = collated(rows, mlm_probability=1.0, mask_replace_prob=0.0, random_replace_prob=1.0, seed=seed)
    chosen = batch["labels"] != -100
    assert chosen.sum() == sum(len(row) - 2 for row in rows)
    assert (batch["input_ids"] != batch["labels"])[chosen].all()
    assert (batch["input_ids"][chosen] >= FIRST).all()


@settings(max_examples=10, deadline=None)
@given(
    st.floats(0.05, 0.95), st.sampled_from([(0.8, 0.1), (1.0, 0.0), (0.0, 1.0), (0.3, 0.2)]), st.booleans()
)
def test_the_shares_are_those_asked_for(selected: float, shares: tuple[float, float], words: bool) -> None:
    rows = [[token for token in row if token < FIRST + len(WORDS)] for row in long_text()]
    batch = collated(
        rows,
        mlm_probability=selected,
        mask_replace_prob=shares[0],
        random_replace_prob=shares[1],
        whole_word_mask=words,
        seed=1,
    )
    chosen = batch["labels"] != -100
    kept = batch["input_ids"] == batch["labels"]
    masked = chosen & (batch["input_ids"] == MASK)
    assert within(int(chosen.sum()), sum(len(row) - 2 for row in rows), selected)
    assert within(int(masked.sum()), int(chosen.sum()), shares[0])
    assert within(int(kept.sum()), int(chosen.sum()), 1 - shares[0] - shares[1])


def test_the_defaults_are_those_of_the_paper() -> None:
    rows = long_text()
    batch = collated(rows, seed=0)
    chosen = batch["labels"] != -100
    count = int(chosen.sum())
    assert within(count, 64 * 500, 0.15)
    assert within(int((batch["input_ids"][chosen] == MASK).sum()), count, 0.8)
    assert within(int((batch["input_ids"] == batch["labels"]).sum()), count, 0.1)


def test_replacements_and_places_are_evenly_spread() -> None:
    original = FIRST + 7
    rows = [[2, *[original] * 1000, 3] for _ in range(60)]
    batch = collated(rows, mlm_probability=0.5, mask_replace_prob=0.0, random_replace_prob=1.0, seed=0)
    chosen = batch["labels"] != -100
    counts = np.bincount(batch["input_ids"][chosen], minlength=SIZE)
    assert counts[original] == 0
    expected = counts.sum() / (SIZE - FIRST - 1)
    others = np.delete(counts, [*range(FIRST), original])
    assert (abs(others - expected) < 5 * expected**0.5).all()
    by_place = chosen[:, 1:-1].sum(axis=0)
    assert (abs(by_place - 30) < 5 * 15**0.5).all()


def test_words_are_selected_whole() -> None:
    batch = collated(long_text(rows=8), whole_word_mask=True, seed=0)
    chosen = batch["labels"] != -100
    original = np.where(chosen, batch["labels"], batch["input_ids"])
    goes_on = original >= FIRST + len(WORDS)
    goes_on[:, :2] = False  # a piece behind [CLS] goes on with nothing
    rows, columns = np.nonzero(goes_on)
    same = chosen[rows, columns] == chosen[rows, columns - 1]
    assert same[original[rows, columns - 1] >= FIRST].all()
    # Tokens of a word are replaced by themselves.
    both = chosen[:, 1:] & chosen[:, :-1] & goes_on[:, 1:]
    is_mask = batch["input_ids"] == MASK
    assert (is_mask[:, 1:] != is_mask[:, :-1])[both].any()
    assert within(int(chosen[~goes_on].sum()), int((~goes_on & (original >= FIRST)).sum()), 0.15)


@pytest.mark.parametrize("side", ["left", "right"])
def test_words_may_be_given(side: str) -> None:
    ids = [2, *range(FIRST, FIRST + 6), 3]
    words = [None, 0, 0, 1, 1, 1, 0, None]  # the last 0 belongs to another text
    collate = Collator(
        tokenizer(padding_side=side),
        whole_word_mask=True,
        mlm_probability=0.5,
        return_tensors="np",
        seed=0,
    )
    seen = set()
    for _ in range(200):
        batch = collate([{"input_ids": ids, "word_ids": words}, {"input_ids": [2, *[9] * 9, 3]}])
        assert "word_ids" not in batch
        row = batch["labels"][0][batch["attention_mask"][0] == 1] != -100
        assert row[1] == row[2]
        assert row[3] == row[4] == row[5]
        seen.add((row[1], row[3], row[6]))
    assert len(seen) == 8


def test_the_words_of_a_tokenizer_are_those_of_its_pieces() -> None:
    text = tokenizer()("w1p2p3 w4 w5p6 unknown w7", return_special_tokens_mask=True)
    options: dict[str, Any] = {"whole_word_mask": True, "mlm_probability": 0.5, "return_tensors": "np"}
    given_words = {**text, "word_ids": text.word_ids()}
    for seed in range(20):
        one, other = (Collator(tokenizer(), seed=seed, **options)([row]) for row in (text, given_words))
        assert np.array_equal(one["labels"], other["labels"])


def test_a_seed_repeats_itself_and_calls_differ() -> None:
    rows = long_text(rows=2)
    first, again = Collator(tokenizer(), seed=7), Collator(tokenizer(), seed=7)
    batches = [first(rows)["input_ids"] for _ in range(3)]
    assert all(torch.equal(batch, again(rows)["input_ids"]) for batch in batches)
    assert not torch.equal(batches[0], batches[1])
    assert not torch.equal(Collator(tokenizer(), seed=8)(rows)["input_ids"], batches[0])


def test_global_generators_neither_decide_nor_change() -> None:
    rows = long_text(rows=2)
    batches = []
    for _ in range(2):
        torch.manual_seed(0)
        np.random.seed(0)
        batches.append(Collator(tokenizer())(rows)["input_ids"])
    assert not torch.equal(*batches)
    state, other = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    Collator(tokenizer())(rows)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], other)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")  # Python 3.12 about fork
def test_workers_and_epochs_differ_and_a_seeded_loader_repeats_itself() -> None:
    rows = [long_text(rows=1)[0]] * 4

    def epochs() -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        loader: DataLoader[Any] = DataLoader(
            rows,  # type: ignore[arg-type]
            batch_size=2,
            num_workers=2,
            collate_fn=Collator(tokenizer(), seed=0),
            generator=generator,
            multiprocessing_context="fork",
        )
        return [batch["input_ids"] for _ in range(2) for batch in loader]

    batches = epochs()
    assert len({tuple(row.tolist()) for batch in batches for row in batch}) == 8
    assert all(torch.equal(one, other) for one, other in zip(batches, epochs(), strict=True))


def test_a_collator_can_be_sent_to_another_process() -> None:
    rows = long_text(rows=2)
    collate = Collator(tokenizer(), whole_word_mask=True, seed=3)
    collate(rows)
    copy = pickle.loads(pickle.dumps(collate))
    assert torch.equal(copy(rows)["input_ids"], collate(rows)["input_ids"])


def test_short_rows_have_their_share_on_average() -> None:
    batch = collated([[2, FIRST, 3]] * 20_000, seed=0)
    assert within(int((batch["labels"] != -100).sum()), 20_000, 0.15)
    nothing = collated([[2, 3], [], [0]], mlm_probability=1.0, seed=0)
    assert (nothing["labels"] == -100).all()
    assert collated([[], []], whole_word_mask=True)["labels"].shape == (2, 0)


def test_models_take_the_batches() -> None:
    config = BertConfig(vocab_size=SIZE, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    rows = [tokenizer()(text) for text in ("w1 w2p3 w4", "w5")]
    batch = Collator(tokenizer(), seed=0, mlm_probability=0.9, pad_to_multiple_of=8)(rows)
    assert batch["input_ids"].shape == (2, 8)
    assert batch["input_ids"].dtype == batch["labels"].dtype == torch.int64
    assert BertForMaskedLM(config)(**batch).loss > 0
    pairs = [{**tokenizer()("w1", "w2 w3"), "next_sentence_label": label} for label in (0, 1)]
    assert BertForPreTraining(config)(**Collator(tokenizer(), seed=0)(pairs)).loss > 0
    # A batch without any selected token is no accident of training.
    nothing = Collator(tokenizer(), mlm_probability=0.0)(rows)
    assert BertForMaskedLM(config)(**nothing).loss == 0


def test_a_decoder_predicts_every_real_token() -> None:
    causal = Collator(tokenizer(mask_token=None), mlm=False)([[2, 9, 3], [2, 3]])
    assert causal["input_ids"].tolist() == [[2, 9, 3], [2, 3, 0]]
    assert causal["labels"].tolist() == [[2, 9, 3], [2, 3, -100]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mlm_probability": 1.5}, r"mlm_probability=1.5: expected a number from 0 to 1"),
        ({"mask_replace_prob": -0.1}, "mask_replace_prob=-0.1"),
        ({"random_replace_prob": "a"}, "random_replace_prob='a'"),
        ({"mask_replace_prob": 0.8, "random_replace_prob": 0.3}, "at most 1 together"),
        ({"pad_to_multiple_of": 0}, "pad_to_multiple_of=0"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_wrong_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigValidationError, match=message):
        Collator(tokenizer(), **options)


def test_tokenizers_that_cannot_serve_are_refused() -> None:
    with pytest.raises(ConfigValidationError, match="no mask token"):
        Collator(tokenizer(mask_token=None))
    with pytest.raises(ConfigValidationError, match="has 1 ordinary tokens"):
        Collator(
            BertTokenizer({**dict.fromkeys(SPECIAL), **{word: i for i, word in enumerate([*SPECIAL, "a"])}})
        )


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ({"input_ids": [2, 9, 3], "labels": [2, 9, 3]}, r"features\[1\] has labels"),
        ({"input_ids": [2, 9, 3], "word_ids": [None, 0]}, r"features\[1\]: word_ids has 2 items"),
        ({"input_ids": [2, 9, 3], "text": "w4"}, "text"),
        ({"text": "w4"}, r"features\[1\] has no 'input_ids'"),
    ],
)
def test_wrong_features_are_named(feature: dict[str, Any], message: str) -> None:
    with pytest.raises(TextInputError, match=message):
        Collator(tokenizer())([{"input_ids": [2, 3]}, feature])


def test_a_missing_numpy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(
        MissingExtraError, match=r"DataCollatorForLanguageModeling needs numpy.*formers\[numpy\]"
    ):
        Collator(tokenizer())


def test_torch_is_not_needed_for_arrays() -> None:
    code = """
import subprocess
import sys
sys.modules["torch"] = None
from formers_bert import BertTokenizer, DataCollatorForLanguageModeling, sentence_pairs
assert "numpy" not in sys.modules
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]
tokenizer = BertTokenizer({word: number for number, word in enumerate(words)})
pairs = sentence_pairs(tokenizer, [["a b", "b"], ["b", "a"]], max_length=9, seed=0)
batch = DataCollatorForLanguageModeling(tokenizer, return_tensors="np", seed=0)(list(pairs))
print(*sorted(batch))
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = ["attention_mask", "input_ids", "labels", "next_sentence_label", "token_type_ids"]
    assert done.stdout.split() == names
