"""``continue_final_message``: the chat ends where the last message ends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_tokenizer import small

from formers.errors import TextInputError
from formers.tokenization.chat.continuing import PRINTABLE, PRIVATE, unused_characters

PLAIN = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>\n{% endfor %}"
TRIMMED = PLAIN.replace("m.content", "m.content | trim")
PARTS = PLAIN.replace(
    "{{ m.content }}", "{% for p in m.content %}{{ p.text if 'text' in p else '[i]' }}{% endfor %}"
)
FIRST = {"role": "u", "content": "q"}


def ended(template: str, content: Any, field: str | bool = True, **fields: Any) -> str:
    messages = [FIRST, {"role": "a", "content": content, **fields}]
    tokenizer = small(chat_template=template)
    text: str = tokenizer.apply_chat_template(messages, tokenize=False, continue_final_message=field)
    return text


@pytest.mark.parametrize(
    "content", ["hi", "hi ", " hi\n", "", " ", "q", "</>", "a</>b", "x\ny", "\U00013000 \U000f0000"]
)
def test_the_end_of_the_message_is_the_end_of_the_text(content: str) -> None:
    assert ended(PLAIN, content) == f"<u>q</>\n<a>{content}"
    assert ended(TRIMMED, content) == f"<u>q</>\n<a>{content.strip()}"


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ([{"type": "text", "text": "hi"}], "hi"),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b "}], "ab "),
        ([{"type": "text", "text": "a"}, {"type": "image"}], "a"),
        ([{"type": "image"}, {"type": "text", "text": "b"}], "[i]b"),
    ],
)
def test_the_last_text_of_a_list_is_continued(content: Any, shown: str) -> None:
    assert ended(PARTS, content) == ended(PARTS, content, "content")
    assert ended(PARTS, content).endswith(f"<a>{shown}")


def test_another_field_may_be_continued() -> None:
    template = PLAIN.replace("{{ m.content }}", "{{ '(' ~ m.thought ~ ')' if m.thought }}{{ m.content }}")
    assert ended(template, "answer", "thought", thought="hm") == "<u>q</>\n<a>(hm"
    assert ended(template, "answer", thought="hm") == "<u>q</>\n<a>(hm)answer"


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        ("{{ messages[-1].content }}|" + PLAIN, "hi|<u>q</>\n<a>hi"),
        ("{% for m in messages %}{{ m.content | upper }};{% endfor %}", "Q;HI"),
        (
            "{{ messages | tojson(ensure_ascii=true) }}",
            '[{"role": "u", "content": "q"}, {"role": "a", "content": "hi',
        ),
        ("{{ messages }}", "[{'role': 'u', 'content': 'q'}, {'role': 'a', 'content': 'hi"),
        ("{% for m in messages %}{{ m.content | wordwrap(3) }};{% endfor %}", "q;hi"),
    ],
)
def test_templates_may_work_on_the_message(template: str, shown: str) -> None:
    assert ended(template, "hi") == shown


@pytest.mark.parametrize(
    ("template", "content", "field", "problem"),
    [
        (PLAIN, None, True, r"conversation\[1\] has content=None; expected text to continue"),
        (PLAIN, 3, True, "has content=3"),
        (PARTS, [], True, r"has content=\[\]"),
        (PARTS, [{"type": "image"}], True, "or a list with a part that has 'text'"),
        (PLAIN, "x", "thought", "has thought=None"),
        ("{{ messages[0].content }}", "x", True, "does not show the 'content' of the last message"),
    ],
)
def test_nothing_to_continue_is_an_error(template: str, content: Any, field: Any, problem: str) -> None:
    with pytest.raises(TextInputError, match=problem):
        ended(template, content, field)


def test_every_chat_of_a_batch_is_continued() -> None:
    tokenizer = small(chat_template=PLAIN)
    chats = [[FIRST], [FIRST, {"role": "a", "content": "hi"}]]
    texts = tokenizer.apply_chat_template(chats, tokenize=False, continue_final_message=True)
    assert texts == ["<u>q", "<u>q</>\n<a>hi"]
    with pytest.raises(TextInputError, match=r"conversation\[1\] is empty"):
        tokenizer.apply_chat_template([[FIRST], []], continue_final_message=True)


@given(st.lists(st.characters(min_codepoint=PRINTABLE[0], max_codepoint=PRINTABLE[0] + 5)), st.integers(1, 4))
def test_marks_are_in_no_text(used: list[str], count: int) -> None:
    found = unused_characters([{"".join(used): [used]}], count, PRINTABLE)
    assert len(set(found)) == count
    assert not set(found) & set(used)
    assert all(mark.isprintable() and mark.upper() == mark.lower() == mark for mark in found)


def test_a_text_with_all_marks_is_an_error() -> None:
    everything = "".join(map(chr, range(PRIVATE[0], PRIVATE[1] + 1)))
    with pytest.raises(TextInputError, match="nearly all characters"):
        unused_characters([everything], 1, PRIVATE)
