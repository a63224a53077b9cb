"""``return_assistant_tokens_mask``: the tokens between ``{% generation %}`` tags, wherever these are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_tokenizer import small

from formers.errors import TemplateError, TextInputError, TokenizerWarning
from formers.tokenization import PreTrainedTokenizer
from formers.tokenization.chat.spans import Marked, Span, joined, token_mask

CHAT = [{"role": "the", "content": "cat sat"}, {"role": "a", "content": "words on mat"}]
LOOP = "{% for m in messages %}BODY . {% endfor %}"
MARKED = "{% generation %}{{ m.content }}{% endgeneration %}"


def marked(template: str, conversation: Any = CHAT, **options: Any) -> Any:
    """The words with a star before those of the mask."""
    tokenizer = small(chat_template=template)
    found = tokenizer.apply_chat_template(conversation, return_assistant_tokens_mask=True, **options)
    rows, masks = found["input_ids"], found["assistant_masks"]
    if not isinstance(rows[0], list):
        rows, masks = [rows], [masks]
    shown = [
        " ".join(
            "*" * bit + token for token, bit in zip(tokenizer.convert_ids_to_tokens(row), mask, strict=True)
        )
        for row, mask in zip(rows, masks, strict=True)
    ]
    return shown if isinstance(found["input_ids"][0], list) else shown[0]


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("the " + MARKED, "the *cat *sat . the *word *##s *on *mat ."),
        (MARKED + " a", "*cat *sat a . *word *##s *on *mat a ."),
        ("the {% generation %}{% endgeneration %} a", "the a . the a ."),
        ("the {% generation %}  {% endgeneration %} a", "the a . the a ."),
        ("the{% generation %}  a \n{% endgeneration %} mat", "the *a mat . the *a mat ."),
        ("wo{% generation %}rds{% endgeneration %}", "*word *##s . *word *##s ."),
        ("word{% generation %}s{% endgeneration %}", "word *##s . word *##s ."),
        ("{% generation %}a {% generation %}the{% endgeneration %}{% endgeneration %} on", "*a *the on . *a *the on ."),
        ("{% generation %}{% set x = 'a' %}{{ x }}{% endgeneration %}{{ x }}", "*a . *a ."),
        ("{% generation %}{{ 'on' if loop.first else 'a' }}{% endgeneration %}", "*on . *a ."),
        ("{% set x %}the " + MARKED + "{% endset %}a {{ x }}", "a the *cat *sat . a the *word *##s *on *mat ."),
        ("{% set x %}a " + MARKED + "{% endset %}{{ x }} {{ x }}",
         "a *cat *sat a *cat *sat . a *word *##s *on *mat a *word *##s *on *mat ."),
        ("{% for w in m.content.split() %}{% generation %}{{ w }}{% endgeneration %} the {% endfor %}",
         "*cat the *sat the . *word *##s the *on the *mat the ."),
        ("{%- generation -%} the {%- endgeneration -%} on", "*the ##on . *the ##on ."),
    ],
)  # fmt: skip
def test_the_tokens_between_the_tags(body: str, shown: str) -> None:
    expected = shown.replace("##on", "<unk>").replace("*the <unk>", "*<unk>")
    assert marked(LOOP.replace("BODY", body)) == expected


def test_a_macro_keeps_the_place() -> None:
    template = "{% macro f(m) %}the " + MARKED + " on{% endmacro %}" + LOOP.replace("BODY", "a {{ f(m) }}")
    assert marked(template) == "a the *cat *sat on . a the *word *##s *on *mat on ."
    caller = "{% macro f() %}the {{ caller() }} on{% endmacro %}" + LOOP.replace(
        "BODY", "{% call f() %}a " + MARKED + "{% endcall %}"
    )
    assert marked(caller) == "the a *cat *sat on . the a *word *##s *on *mat on ."


@pytest.mark.parametrize(
    "body",
    ["{{ (' a ' ~ x) }}", "{{ x | trim }}", "{{ x.upper() }}", "{{ x + 'a' }}", "the"],
)
def test_a_lost_place_is_an_error_not_a_wrong_mask(body: str) -> None:
    template = "{% set x %}{% generation %}cat{% endgeneration %}{% endset %}" + body
    with pytest.raises(TemplateError, match="assistant's part of conversation 0 is not known"):
        marked(template)
    small(chat_template=template).apply_chat_template(CHAT)  # without a mask it does not matter


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_and_truncation_move_the_mask_with_the_tokens(side: str) -> None:
    template = LOOP.replace("BODY", "the " + MARKED)
    tokenizer = small(chat_template=template, padding_side=side, truncation_side=side)
    chats = [CHAT, CHAT[:1]]
    options = {"return_assistant_tokens_mask": True, "padding": True, "return_tensors": "pt"}
    found = tokenizer.apply_chat_template(chats, **options)
    assert isinstance(found["assistant_masks"], torch.Tensor)
    alone = [0, 1, 1, 0]
    padding = [0] * (found["input_ids"].shape[1] - len(alone))
    assert found["assistant_masks"][1].tolist() == (padding + alone if side == "left" else alone + padding)
    cut = tokenizer.apply_chat_template(
        CHAT, return_assistant_tokens_mask=True, truncation=True, max_length=6
    )
    assert cut["assistant_masks"] == ([0, 1, 1, 1, 1, 0] if side == "left" else [0, 1, 1, 0, 0, 1])


def test_every_piece_of_a_cut_chat_has_its_mask() -> None:
    template = LOOP.replace("BODY", "the " + MARKED)
    options = {"truncation": True, "max_length": 4, "tokenizer_kwargs": {"return_overflowing_tokens": True}}
    assert marked(template, **options) == ["the *cat *sat .", "the *word *##s *on", "*mat ."]
    assert marked(template, [CHAT[:1], CHAT], **options) == [
        "the *cat *sat .", "the *cat *sat .", "the *word *##s *on", "*mat ."
    ]  # fmt: skip


def test_arrays() -> None:
    found = small(chat_template="a " + MARKED.replace("m.", "messages[0].")).apply_chat_template(
        CHAT, return_assistant_tokens_mask=True, return_tensors="np"
    )
    assert isinstance(found["assistant_masks"], np.ndarray)
    assert found["assistant_masks"].tolist() == [[0, 1, 1]]


def test_a_template_without_the_tag_is_a_warning() -> None:
    with pytest.warns(TokenizerWarning, match=r"no \{% generation %\} block"):
        assert marked("{{ messages[0].content }}") == "cat sat"


def test_a_tokenizer_in_python_cannot_tell() -> None:
    class Words(PreTrainedTokenizer):
        vocab_size = 3  # type: ignore[assignment]

        def get_vocab(self) -> dict[str, int]:
            return {"<unk>": 0, "a": 1, "b": 2}

        def _tokenize(self, text: str, **options: Any) -> list[str]:
            return text.split()

        def _convert_token_to_id(self, token: str) -> int:
            return self.get_vocab().get(token, 0)

        def _convert_id_to_token(self, index: int) -> str:
            return list(self.get_vocab())[index]

    words = Words(unk_token="<unk>", chat_template="{% generation %}a{% endgeneration %} b")
    assert words.apply_chat_template(CHAT, return_dict=False) == [1, 2]
    with pytest.raises(TextInputError, match="written in Python"):
        words.apply_chat_template(CHAT, return_assistant_tokens_mask=True)


spans = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 12)).map(lambda pair: Span(*sorted(pair))), max_size=4
)


@given(st.lists(st.integers(0, 3), max_size=8), spans)
def test_a_token_is_marked_if_a_span_has_a_character_of_it_or_goes_on_after_it(
    widths: list[int], marked_spans: list[Span]
) -> None:
    offsets, place = [], 0
    for width in widths:
        offsets.append((place, place + width) if width else (0, 0))
        place += width
    expected = [0] * len(offsets)
    for span in marked_spans:
        characters = set(range(span.start, span.end))
        inside = [token for token, (start, end) in enumerate(offsets) if characters & set(range(start, end))]
        for token in range(inside[0], inside[-1] + 1) if inside else ():
            expected[token] = 1
    assert token_mask(offsets, marked_spans) == expected


@given(st.lists(st.tuples(st.text(max_size=4), st.booleans()), max_size=6))
def test_joining_keeps_every_span(parts: list[tuple[str, bool]]) -> None:
    chunks = [Marked(text, (Span(0, len(text), 1),)) if is_marked else text for text, is_marked in parts]
    whole = joined(iter(chunks))
    assert whole == "".join(text for text, _ in parts)
    kept = whole.spans if isinstance(whole, Marked) else ()
    assert [whole[span.start : span.end] for span in kept] == [text for text, is_marked in parts if is_marked]
