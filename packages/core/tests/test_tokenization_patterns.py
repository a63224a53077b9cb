from __future__ import annotations

from typing import Any

import pytest

from formers.errors import TextInputError
from formers.tokenization import PreTrainedTokenizer

WORDS = ["<unk>", "<s>", "</s>", "<cls>", "<sep>", "a", "b"]
BOS, EOS, CLS, SEP, A, B = range(1, 7)


class Words(PreTrainedTokenizer):
    prefix_tokens = (BOS, CLS)
    suffix_tokens = (EOS,)

    def __init__(self, **settings: Any) -> None:
        roles = {
            "unk_token": "<unk>",
            "bos_token": "<s>",
            "eos_token": "</s>",
            "cls_token": "<cls>",
            "sep_token": "<sep>",
        }
        super().__init__(**{**roles, **settings})

    @property
    def vocab_size(self) -> int:
        return len(WORDS)

    def get_vocab(self) -> dict[str, int]:
        return {**{word: index for index, word in enumerate(WORDS)}, **self.added_tokens_encoder}

    def _tokenize(self, text: str) -> list[str]:
        return text.split()

    def _convert_token_to_id(self, token: str) -> int | None:
        return WORDS.index(token) if token in WORDS else None

    def _convert_id_to_token(self, index: int) -> str | None:
        return WORDS[index] if index < len(WORDS) else None


@pytest.mark.parametrize(
    ("pattern", "single", "pair", "types"),
    [
        ("none", [A], [A, B], [0, 1]),
        ("cls_sep", [CLS, A, SEP], [CLS, A, SEP, B, SEP], [0, 0, 0, 1, 1]),
        ("cls_double_sep", [CLS, A, SEP], [CLS, A, SEP, SEP, B, SEP], [0, 0, 0, 1, 1, 1]),
        ("bos", [BOS, A], [BOS, A, BOS, B], [0, 0, 1, 1]),
        ("eos", [A, EOS], [A, EOS, B, EOS], [0, 0, 1, 1]),
        ("bos_eos", [BOS, A, EOS], [BOS, A, EOS, B, EOS], [0, 0, 0, 1, 1]),
        ("prefix_suffix", [BOS, CLS, A, EOS], [BOS, CLS, A, B, EOS], [0, 0, 0, 0, 1]),
    ],
)
def test_the_special_tokens_of_a_pattern(
    pattern: str, single: list[int], pair: list[int], types: list[int]
) -> None:
    tokenizer = Words(special_tokens_pattern=pattern)
    assert tokenizer("a").input_ids == single
    encoded = tokenizer("a", "b", return_token_type_ids=True, return_special_tokens_mask=True)
    assert encoded.input_ids == pair
    assert encoded.token_type_ids == types
    assert encoded.special_tokens_mask == [int(token not in (A, B)) for token in pair]
    assert tokenizer.num_special_tokens_to_add() == len(single) - 1
    assert tokenizer.num_special_tokens_to_add(pair=True) == len(pair) - 2


def test_the_types_of_tokens() -> None:
    zeros = Words(special_tokens_pattern="cls_sep", token_type_ids_pattern="all_zeros")
    assert zeros.create_token_type_ids_from_sequences([A], [B]) == [0] * 5
    plain = Words(special_tokens_pattern="cls_sep", token_type_ids_include_special_tokens=False)
    assert plain.create_token_type_ids_from_sequences([A, A], [B]) == [0, 0, 1]
    assert plain.create_token_type_ids_from_sequences([A, A]) == [0, 0]


def test_an_unknown_pattern_and_a_missing_token() -> None:
    with pytest.raises(
        TextInputError, match="special_tokens_pattern='cls': expected one of 'none', 'cls_sep'"
    ):
        Words(special_tokens_pattern="cls")
    with pytest.raises(
        TextInputError, match="special_tokens_pattern='cls_sep' needs a sep_token; this Words has"
    ):
        Words(special_tokens_pattern="cls_sep", sep_token=None)("a")


def test_text_is_prepared_before_it_is_split() -> None:
    class Prepared(Words):
        def prepare_for_tokenization(
            self, text: str, is_split_into_words: bool = False, **kwargs: Any
        ) -> tuple[str, dict[str, Any]]:
            return text.replace("#", "b b" if is_split_into_words else "b"), kwargs

    tokenizer = Prepared()
    assert tokenizer("a # <s>").input_ids == [A, B, BOS]
    assert tokenizer(["a", "#"], is_split_into_words=True).input_ids == [A, B, B]
    assert tokenizer.tokenize("#") == ["b"]
    assert Words().prepare_for_tokenization("a", speed=3) == ("a", {"speed": 3})
