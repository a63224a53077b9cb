"""Rows made without alignment are those made with it; and alignment is there when somebody asks for it."""

from __future__ import annotations

import copy
import itertools
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from small_tokenizer import IDS, ROLES, pipeline, small
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from formers.errors import TextInputError
from formers.tokenization import BatchEncoding, TokenizersBackend

TEXTS = [
    "the cat sat on a mat.",
    "",
    "words",
    "Ünknown <s> cat,  the é cat sat on the mat",
    "the\u200dcat 👩‍👩‍👧 \0a",
]
BEGIN, END = ("<s>", IDS["<s>"]), ("</s>", IDS["</s>"])


def with_post_processor(stage: Any) -> Tokenizer:
    backend = pipeline()
    if stage is not None:
        backend.post_processor = stage
    return backend


def of_bytes() -> Tokenizer:
    alphabet = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "th", "the", *ROLES.values()]
    ids = {token: index for index, token in enumerate(alphabet)}
    backend = Tokenizer(models.BPE(ids, [("t", "h"), ("th", "e")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.post_processor = processors.ByteLevel(trim_offsets=True)
    return backend


def of_pieces() -> Tokenizer:
    pieces = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", -2.0),
        ("▁", -1.0),
        ("▁the", -1.5),
        ("cat", -2.0),
        ("a", -3.0),
    ]
    backend = Tokenizer(models.Unigram(pieces, 2))
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("  ", " ")])
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.post_processor = processors.TemplateProcessing("$A </s>", "$A </s> $B </s>", [("</s>", 1)])
    return backend


PIPELINES: dict[str, Callable[[], Tokenizer]] = {
    "template": pipeline,
    "pair of tokens": lambda: with_post_processor(processors.BertProcessing(END, BEGIN)),
    "pair of tokens, trimmed": lambda: with_post_processor(processors.RobertaProcessing(END, BEGIN)),
    "bytes": of_bytes,
    "pieces": of_pieces,
}
PADDINGS: list[dict[str, Any]] = [{}, {"padding": True, "padding_side": "left", "pad_to_multiple_of": 4}]
CUTS: list[dict[str, Any]] = [
    {},
    {"truncation": True, "max_length": 8},
    {"truncation": "longest_first", "max_length": 12, "stride": 2},
]
OTHERS: list[dict[str, Any]] = [{}, {"add_special_tokens": False}, {"split_special_tokens": True}]
FORMS = [{**a, **b, **c} for a, b, c in itertools.product(PADDINGS, CUTS, OTHERS)]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("build", PIPELINES.values(), ids=PIPELINES)
def test_rows_are_the_same_without_alignment(build: Callable[[], Tokenizer], side: str) -> None:
    tokenizer = TokenizersBackend(tokenizer_object=build(), truncation_side=side, **ROLES)
    batches: list[tuple[Any, ...]] = [(TEXTS,), (TEXTS, TEXTS[::-1]), (TEXTS[3],), (TEXTS[3], TEXTS[0])]
    for form, texts in itertools.product(FORMS, batches):
        every = {
            "return_special_tokens_mask": True,
            "return_token_type_ids": True,
            "return_length": True,
            **form,
        }
        expected = tokenizer(*texts, return_offsets_mapping=True, **every)
        offsets = expected.pop("offset_mapping")
        actual = tokenizer(*texts, **every)
        assert actual.data == expected.data
        assert [row.offsets for row in actual.encodings] == (
            offsets if isinstance(actual.input_ids[0], list) else [offsets]
        )


@pytest.fixture
def changed() -> BatchEncoding:
    """A batch whose tokenizer has been changed since."""
    tokenizer = small()
    batch = tokenizer(["the cat", "a <new> mat"])
    tokenizer.add_tokens(["<new>"])
    return batch


def test_a_tokenizer_that_was_changed_knows_no_alignment(changed: BatchEncoding) -> None:
    for ask in (changed.tokens, changed.word_ids, lambda: changed[0], lambda: changed.char_to_token(0, 1)):
        with pytest.raises(TextInputError, match=r"the tokenizer was changed.*Encode the text again"):
            ask()
    assert changed.is_fast
    assert len(changed.input_ids) == 2


def test_changes_that_do_not_matter() -> None:
    tokenizer = small()
    batch = tokenizer(["the cat", "a mat"])
    batch["input_ids"][0][1] = 0  # as masking does
    tokenizer.add_tokens(["<new>"])
    tokenizer.truncation_side = "left"
    assert batch.tokens(0) == ["<s>", "the", "cat", "</s>"]


def test_the_texts_of_a_batch_may_change() -> None:
    texts = ["the cat", "a mat"]
    batch = small()(texts)
    texts.clear()
    assert batch.tokens(1) == ["<s>", "a", "mat", "</s>"]


def test_alignment_is_kept_once_somebody_has_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = small()
    assert tokenizer("the cat").tokens() == ["<s>", "the", "cat", "</s>"]
    batch = tokenizer("a mat")
    tokenizer.add_tokens(["mat"])
    assert batch.tokens() == ["<s>", "a", "mat", "</s>"]


def test_tokenize_leaves_no_trace() -> None:
    tokenizer = small()
    tokenizer.tokenize("the cat")
    batch = tokenizer("a mat")
    assert callable(batch.__dict__["_encodings"])


def test_chance_is_thrown_once() -> None:
    """With dropout, a second time would give other tokens."""
    backend = of_bytes()
    backend.model.dropout = 0.5
    tokenizer = TokenizersBackend(tokenizer_object=backend, **ROLES)
    for _ in range(20):
        batch = tokenizer("the the the")
        assert batch.encodings is not None
        assert batch.encodings[0].ids == batch.input_ids


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda b: pickle.loads(pickle.dumps(b))])
def test_copies_know_their_alignment(duplicate: Callable[[BatchEncoding], BatchEncoding]) -> None:
    batch = duplicate(small()(["the words", "a mat"], padding=True))
    assert batch.word_ids(0) == [None, 0, 1, 1, None]
    assert batch.word_ids(1) == [None, 0, 1, None, None]


def test_threads_that_ask_for_alignment() -> None:
    tokenizer = small()
    short, long = {"truncation": True, "max_length": 4}, {"padding": "max_length", "max_length": 12}

    def work(index: int) -> int:
        return len(tokenizer(TEXTS[0], **(long if index % 2 else short)).tokens())

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(200))) == [4, 12] * 100
