"""What data collators share: random draws of their own, features, padding, special tokens."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from small_tokenizer import IDS, small

from formers import ConfigValidationError, MissingExtraError, TextInputError
from formers.collating import (
    IGNORED,
    Draws,
    batch_of,
    fraction,
    import_numpy,
    ordinary_tokens,
    padded,
    positive,
    read_features,
    stacked,
    whole,
)

BAD_IDS = ([1.5], ["a"], [True], 7, [[1]])


# Draws.


def test_a_seed_decides_what_is_drawn() -> None:
    first, again, other = (Draws(seed, "this").generator.random(8) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(*(Draws(None, "this").generator.random(8) for _ in range(2)))
    draws = Draws(3, "this")
    assert np.array_equal(np.concatenate([draws.generator.random(4) for _ in range(2)]), first)


def test_a_generator_is_used_as_it_is() -> None:
    own = np.random.default_rng(5)
    assert Draws(own, "this").generator is own


def test_no_global_generator_is_touched() -> None:
    python, numpy = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    Draws(3, "this").generator.random(8)
    assert torch.equal(torch.random.get_rng_state(), python)
    assert np.array_equal(np.random.get_state()[1], numpy)


@pytest.mark.parametrize("seed", [-1, 1.5, "3", True, np.random.RandomState(3)])
def test_a_seed_that_is_none_is_refused(seed: Any) -> None:
    with pytest.raises(ConfigValidationError, match="seed="):
        Draws(seed, "this")


def test_workers_draw_different_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(worker_seed: int | None, seed: int = 3) -> tuple[float, ...]:
        worker = None if worker_seed is None else SimpleNamespace(seed=worker_seed)
        monkeypatch.setattr(torch.utils.data, "get_worker_info", lambda: worker)
        draws = Draws(seed, "this")
        return tuple(draws.generator.random() for _ in range(4))

    assert drawn(10) == drawn(10)
    assert len({drawn(10), drawn(11), drawn(None), drawn(10, seed=4)}) == 4
    assert len(set(drawn(10))) == 4


def test_a_worker_of_the_next_epoch_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = SimpleNamespace(seed=10)
    monkeypatch.setattr(torch.utils.data, "get_worker_info", lambda: worker)
    draws = Draws(3, "this")
    first = draws.generator
    assert draws.generator is first
    worker.seed = 12
    assert draws.generator is not first


def test_a_missing_numpy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(MissingExtraError, match=r"DataCollator needs numpy.*pip install 'formers\[numpy\]'"):
        import_numpy("DataCollator")
    with pytest.raises(MissingExtraError, match="this needs numpy"):
        Draws(0, "this")


# Features.


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor])
def test_features_are_encodings_or_rows_of_ids(kind: Any) -> None:
    expected = [{"input_ids": [4, 5]}, {"input_ids": [6]}]
    assert read_features([{"input_ids": kind([4, 5])}, {"input_ids": kind([6])}]) == expected
    assert read_features([kind([4, 5]), kind([6])]) == expected
    assert read_features([small()("the cat")]) == [dict(small()("the cat"))]
    assert read_features([{"input_ids": [], "next": 1}]) == [{"input_ids": [], "next": 1}]


def test_features_are_not_changed() -> None:
    feature = {"input_ids": [4, 5]}
    read_features([feature])[0]["input_ids"].append(6)
    assert feature == {"input_ids": [4, 5]}


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([], "features is empty"),
        ({"input_ids": [[1]]}, "features of type dict"),
        ("the cat", "features of type str"),
        ([{"input_ids": [1]}, {"ids": [1]}], r"features\[1\] has no 'input_ids'"),
        *(([{"input_ids": ids}], r"features\[0\]: input_ids=") for ids in BAD_IDS),
        ([[1], [2, -3]], r"features\[1\]: the id -3 is negative"),
        ([{"input_ids": [1], "attention_mask": [1, 1]}], "attention_mask has 2 items, but there are 1 ids"),
        ([{"input_ids": [1], "special_tokens_mask": []}], "special_tokens_mask has 0 items"),
    ],
)
def test_what_is_no_feature_is_named(features: Any, message: str) -> None:
    with pytest.raises(TextInputError, match=message):
        read_features(features)


# Batches.


@pytest.mark.parametrize("side", ["left", "right"])
def test_rows_are_padded_where_the_tokenizer_pads(side: str) -> None:
    tokenizer = small(padding_side=side)
    rows = [{"input_ids": [4, 5, 6], "next": 1}, {"input_ids": [4], "next": 0}]
    batch = padded(tokenizer, rows)
    short = [0, 0, 4] if side == "left" else [4, 0, 0]
    assert batch["input_ids"].tolist() == [[4, 5, 6], short]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [int(token > 0) for token in short]]
    assert batch["next"].tolist() == [1, 0]
    assert padded(tokenizer, rows, multiple=8)["input_ids"].shape == (2, 8)
    assert padded(tokenizer, rows, length=5)["input_ids"].shape == (2, 5)


def test_a_field_that_makes_no_array_is_named() -> None:
    with pytest.raises(TextInputError, match="other: rows of different lengths"):
        padded(small(), [{"input_ids": [4], "other": [1, 2]}, {"input_ids": [5], "other": [1]}])
    with pytest.raises(TextInputError, match="pad_token"):
        padded(small(pad_token=None), [{"input_ids": [4]}, {"input_ids": [5, 6]}])


def test_rows_are_stacked() -> None:
    rows = [np.array([1, 2]), np.array([3])]
    assert stacked(rows, IGNORED).tolist() == [[1, 2], [3, -100]]
    assert stacked(rows, 0, 3).tolist() == [[1, 2, 0], [3, 0, 0]]


def test_special_tokens_are_the_marked_ones_or_those_of_the_tokenizer() -> None:
    tokenizer = small()
    ids = [IDS[word] for word in ("<s>", "the", "<unk>", "</s>")]
    batch = padded(tokenizer, [{"input_ids": ids}, {"input_ids": ids[:2]}])
    assert ordinary_tokens(tokenizer, batch).tolist() == [
        [False, True, False, False],
        [False, True, False, False],
    ]
    marked = padded(
        tokenizer,
        [
            {"input_ids": ids, "special_tokens_mask": [1, 0, 0, 1]},
            {"input_ids": ids[:2], "special_tokens_mask": [0, 0]},
        ],
    )
    assert ordinary_tokens(tokenizer, marked).tolist() == [
        [False, True, True, False],
        [True, True, False, False],
    ]


def test_batches_have_the_kind_that_is_asked_for() -> None:
    arrays = {"input_ids": np.array([[1, 2]])}
    assert torch.equal(batch_of(arrays, "pt")["input_ids"], torch.tensor([[1, 2]]))
    assert batch_of(arrays, "np").input_ids is arrays["input_ids"]
    with pytest.raises(TextInputError, match="return_tensors"):
        batch_of(arrays, "tf")


# Settings.


def test_settings_lie_in_their_range() -> None:
    assert (fraction("p", 0), fraction("p", 1), fraction("p", 0.5, ends=False)) == (0.0, 1.0, 0.5)
    assert (positive("n", 1.5), whole("n", np.int64(3))) == (1.5, 3)


@pytest.mark.parametrize("value", [-0.1, 1.1, True, "0.5", None, float("nan")])
def test_a_fraction_is_refused(value: Any) -> None:
    with pytest.raises(ConfigValidationError, match=r"p=.*: expected a number from 0 to 1\."):
        fraction("p", value)


@pytest.mark.parametrize("value", [0, 1])
def test_the_ends_of_a_fraction_may_be_out_of_it(value: int) -> None:
    with pytest.raises(ConfigValidationError, match="between 0 and 1"):
        fraction("p", value, ends=False)


@pytest.mark.parametrize("value", [0.5, True, float("inf"), float("nan"), "3", None])
def test_a_number_is_refused(value: Any) -> None:
    with pytest.raises(ConfigValidationError, match=r"n=.*: expected a number of at least 1"):
        positive("n", value)
    with pytest.raises(ConfigValidationError, match=r"n=.*: expected a whole number of at least 1"):
        whole("n", value)
