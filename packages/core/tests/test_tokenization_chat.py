"""``apply_chat_template`` and its like: call forms, choice of the template, what is wrong with an argument."""

from __future__ import annotations

import copy
import enum
import pickle
import subprocess
import sys
import warnings
from collections import OrderedDict, UserDict
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from chat_templates import CONVERSATIONS, PAPERS, SCHEMA, TEMPLATES, weather
from small_tokenizer import IDS, small

from formers.errors import MissingExtraError, TemplateError, TextInputError, TokenizerWarning
from formers.tokenization import BatchEncoding, TokenizersBackend

SIMPLE = "{% for m in messages %}{{ m.role }} {{ m.content }} .{% endfor %}{% if add_generation_prompt %}a{% endif %}"
CHAT = [{"role": "the", "content": "cat"}, {"role": "the", "content": "mat"}]


def tokenizer(template: Any = SIMPLE, **settings: Any) -> TokenizersBackend:
    return small(chat_template=template, **settings)


def text(template: str, conversation: Any = CHAT, **options: Any) -> str:
    rendered = tokenizer(template).apply_chat_template(conversation, tokenize=False, **options)
    assert type(rendered) is str
    return rendered


# What is returned.


def test_one_conversation_gives_its_row() -> None:
    found = tokenizer().apply_chat_template(CHAT)
    assert isinstance(found, BatchEncoding)
    assert found["input_ids"] == [IDS[word] for word in ("the", "cat", ".", "the", "mat", ".")]
    assert found["attention_mask"] == [1] * 6
    assert tokenizer().apply_chat_template(CHAT, return_dict=False) == found["input_ids"]


def test_several_conversations_give_a_batch() -> None:
    chats = [CHAT, CHAT[:1]]
    assert tokenizer().apply_chat_template(chats, tokenize=False) == ["the cat .the mat .", "the cat ."]
    found = tokenizer().apply_chat_template(chats, padding=True, return_tensors="pt")
    assert found["input_ids"].shape == (2, 6)
    assert found["attention_mask"].tolist() == [[1] * 6, [1] * 3 + [0] * 3]
    assert tokenizer().apply_chat_template([CHAT], return_dict=False) == [
        tokenizer().apply_chat_template(CHAT, return_dict=False)
    ]


def test_tensors_have_a_batch_of_one() -> None:
    found = tokenizer().apply_chat_template(CHAT, return_tensors="pt", return_dict=False)
    assert isinstance(found, torch.Tensor)
    assert found.shape == (1, 6)
    assert isinstance(
        tokenizer().apply_chat_template(CHAT, return_tensors="np", return_dict=False), np.ndarray
    )


def test_no_special_tokens_are_added_and_options_reach_the_tokenizer() -> None:
    found = tokenizer().apply_chat_template(
        CHAT, truncation=True, max_length=4, tokenizer_kwargs={"return_offsets_mapping": True}
    )
    assert len(found["input_ids"]) == 4
    assert found["offset_mapping"][0] == (0, 3)


def test_the_generation_prompt_and_other_variables_reach_the_template() -> None:
    assert text(SIMPLE, add_generation_prompt=True) == "the cat .the mat .a"
    assert text("{{ mood }}{{ add_generation_prompt }}{{ sep_token }}{{ bos_token }}", mood=3) == "3False</s>"
    assert text("{{ sep_token }}", sep_token="mine") == "mine"


def test_tools_and_documents_reach_the_template() -> None:
    shown = text("{{ tools | tojson }}{{ documents | tojson }}", tools=[weather, SCHEMA], documents=PAPERS)
    assert '"name": "weather"' in shown
    assert "«things»" in shown
    assert '"year": 1999' in shown
    assert text("{{ tools }}{{ documents }}") == "NoneNone"
    assert text("{{ tools }}{{ documents }}", tools=[], documents=[]) == "[][]"


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_conversation_is_not_changed(name: str) -> None:
    conversation = copy.deepcopy(CONVERSATIONS["tool"])
    before = pickle.dumps((conversation, PAPERS, SCHEMA))
    for options in (
        {},
        {"continue_final_message": True},
        {"tokenize": True, "sanitize_control_tokens": True},
    ):
        with suppress(ValueError):  # some templates refuse some conversations
            tokenizer(TEMPLATES[name]).apply_chat_template(
                conversation, tools=[SCHEMA], documents=PAPERS, **{"tokenize": False, **options}
            )
    assert pickle.dumps((conversation, PAPERS, SCHEMA)) == before


# Which template.


def test_templates_have_names() -> None:
    named = {"default": "D{{ messages | length }}", "tool_use": "T{{ tools | length }}", "rag": "R"}
    several = tokenizer(named)
    assert several.apply_chat_template(CHAT, tokenize=False) == "D2"
    assert several.apply_chat_template(CHAT, tools=[SCHEMA], tokenize=False) == "T1"
    assert several.apply_chat_template(CHAT, chat_template="rag", tokenize=False) == "R"
    assert several.apply_chat_template(CHAT, chat_template="{{ 1 }}", tokenize=False) == "1"
    assert several.get_chat_template() == named["default"]
    assert several.get_chat_template(tools=[]) == named["tool_use"]
    assert several.get_chat_template("rag") == "R"


def test_a_name_is_asked_for_where_there_is_no_default() -> None:
    several = tokenizer({"a": "A", "b": "B"})
    with pytest.raises(TemplateError, match="'a', 'b', and no default"):
        several.get_chat_template()
    assert several.get_chat_template("b") == "B"
    assert tokenizer({"tool_use": "T"}).get_chat_template(tools=[SCHEMA]) == "T"


def test_no_template_is_an_error_and_a_wrong_name_a_warning() -> None:
    with pytest.raises(TemplateError, match="has no chat template"):
        tokenizer(None).apply_chat_template(CHAT)
    assert tokenizer(None).get_chat_template("{{ 1 }}") == "{{ 1 }}"
    with pytest.warns(TokenizerWarning, match="'tool_use' is taken for a template"):
        assert tokenizer().apply_chat_template(CHAT, chat_template="tool_use", tokenize=False) == "tool_use"


def test_the_attribute_takes_templates_only() -> None:
    changed = tokenizer(None)
    assert changed.chat_template is None
    changed.chat_template = [{"name": "default", "template": "D"}, {"name": "b", "template": "B"}]
    assert changed.chat_template == {"default": "D", "b": "B"}
    for wrong in (3, {"a": 1}, {1: "a"}, [1], [{"name": "a"}]):
        with pytest.raises(TextInputError, match="chat_template"):
            changed.chat_template = wrong
    with pytest.raises(TextInputError, match="chat_template=3"):
        tokenizer(3)
    with pytest.raises(TextInputError, match="chat_template"):
        changed.apply_chat_template(CHAT, chat_template={"a": "b"})
    assert pickle.loads(pickle.dumps(changed)).chat_template == changed.chat_template


def test_a_class_may_bring_its_template() -> None:
    class Own(TokenizersBackend):
        chat_template = "own"  # type: ignore[assignment]

    made = Own(tokenizer_object=small().backend_tokenizer)
    assert made.get_chat_template() == "own"


# What is wrong.


@pytest.mark.parametrize(
    ("conversation", "problem"),
    [
        ([], "empty"),
        ((), "empty"),
        (None, "NoneType"),
        ("hello", "list of messages"),
        ({"role": "user", "content": "x"}, "list of messages"),
        (3, "list of messages"),
        ([1], r"conversation\[0\] is a int, 1"),
        ([CHAT[0], "x"], r"conversation\[1\] is a str, 'x'"),
        ([CHAT, [CHAT[0], None]], r"conversation\[1\]\[1\] is a NoneType"),
        ([CHAT, CHAT[0]], r"conversation\[1\] is a dict"),
    ],
)
def test_a_bad_conversation_is_named_with_its_index(conversation: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        tokenizer().apply_chat_template(conversation)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"tools": "weather"}, "tools of type str"),
        ({"tools": weather}, "tools of type function"),
        ({"tools": [SCHEMA, 1]}, r"tools\[1\] is a int"),
        ({"tools": [lambda x: x]}, r"tools\[0\]: <lambda>\(\) has no docstring"),
        ({"tools": [dict]}, r"tools\[0\] is a type"),
        ({"documents": ["text"]}, r"documents\[0\] is a str"),
        ({"documents": {"title": "a"}}, "documents of type dict"),
        ({"continue_final_message": True, "add_generation_prompt": True}, "contradict each other"),
        ({"continue_final_message": 3}, "continue_final_message=3"),
        (
            {"return_assistant_tokens_mask": True, "return_dict": False},
            "needs tokenize=True and return_dict=True",
        ),
        (
            {"return_assistant_tokens_mask": True, "tokenize": False},
            "needs tokenize=True and return_dict=True",
        ),
        ({"return_assistant_tokens_mask": True, "continue_final_message": True}, "cannot be combined"),
        ({"return_assistant_tokens_mask": True, "sanitize_control_tokens": True}, "cannot be combined"),
        ({"sanitize_control_tokens": True, "tokenize": False}, "needs tokenize=True"),
        ({"messages": CHAT}, "the first argument"),
        ({"tokenizer_kwargs": {"add_special_tokens": True}}, "the template writes the special tokens"),
        ({"tokenizer_kwargs": {"padding": True}}, "padding is an argument of apply_chat_template"),
        ({"padding": "max"}, "padding"),
        ({"nested": [[[]]] * 2, "tokenizer_kwargs": {"text_pair": "x", "return_length": "?"}}, ""),
    ],
)
def test_a_bad_argument_is_named(options: dict[str, Any], problem: str) -> None:
    if not problem:
        tokenizer().apply_chat_template(CHAT, **options)
        return
    with pytest.raises(TextInputError, match=problem):
        tokenizer().apply_chat_template(CHAT, **options)


def test_a_misspelt_argument_is_a_warning_unless_the_template_uses_it() -> None:
    with pytest.warns(TokenizerWarning, match="did you mean 'add_generation_prompt'"):
        text(SIMPLE, add_generation_promt=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text("{{ tool }}{{ enable_thinking }}", tool=1, enable_thinking=False, custom=2)


# What a template sees.


class Loud(str):
    def __str__(self) -> str:
        raise AssertionError("a method of the caller's object was called")

    def upper(self) -> str:
        raise AssertionError("a method of the caller's object was called")


class Colour(enum.Enum):
    RED = 1


class Named(str, enum.Enum):  # noqa: UP042 - the older form
    A = "a"


@dataclass
class Point:
    x: int
    inner: Any = None


class Dumped:
    def model_dump(self) -> dict[str, int]:
        return {"a": 1}


class Secret:
    token = "s3cret"

    def __repr__(self) -> str:
        return self.token

    def show(self) -> str:
        return self.token


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Secret(), "<Secret>"),
        ([Secret(), {"a": Secret}], "['<Secret>', {'a': '<type>'}]"),
        (Loud("a"), "a"),
        (Named.A, "a"),
        (Colour.RED, "<Colour>"),
        (True, "True"),
        (np.float32(2), "2.0"),
        (np.arange(3), "<ndarray>"),
        (torch.tensor(3), "<Tensor>"),
        (b"x", "<bytes>"),
        ({1, 2}, "<set>"),
        ((1, (2,)), "(1, (2,))"),
        (UserDict(a=1), "{'a': 1}"),
        (OrderedDict(a=1), "{'a': 1}"),
        ({1: 2, None: 3, (1, 2): 4}, "{1: 2, None: 3, (1, 2): 4}"),
        ({Secret: 1, b"k": 2}, "{'<type>': 1, '<bytes>': 2}"),
        (Point(1, Point(2)), "{'x': 1, 'inner': {'x': 2, 'inner': None}}"),
        (Dumped(), "{'a': 1}"),
        (print, "<builtin_function_or_method>"),
        (float("nan"), "nan"),
    ],
)
def test_objects_become_values_of_json(value: Any, shown: str) -> None:
    assert text("{{ value }}", value=value) == shown
    assert text("{{ messages[0].content }}", [{"role": "a", "content": value}]) == shown


def test_no_method_of_an_object_is_within_reach() -> None:
    with pytest.raises(TemplateError, match="has no attribute 'show'"):
        text("{{ value.show() }}", value=Secret())
    assert text("{{ value.upper() }}{{ value.token }}", value=Loud("a")) == "A"


def test_a_value_within_itself_is_an_error() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(TextInputError, match="value: nested more than 100 deep, or within itself"):
        text("x", value=endless)
    with pytest.raises(TextInputError, match=r"conversation: nested"):
        text("x", [{"role": "user", "content": endless}])


def test_a_trusted_template_may_have_a_larger_budget() -> None:
    slow = "{% for i in range(99999) %}{% if i %}{{ i }}{% endif %}{% endfor %}" * 3
    trusting = tokenizer(slow)
    with pytest.raises(TemplateError, match="stopped"):
        trusting.apply_chat_template(CHAT, tokenize=False)
    trusting.chat_template_budget = trusting.chat_template_budget._replace(units=10**8, seconds=60)
    assert trusting.apply_chat_template(CHAT, tokenize=False).endswith("99998")


# The rest.


def test_one_message_more() -> None:
    one = tokenizer()
    whole = one.apply_chat_template(CHAT, return_dict=False)
    assert one.encode_message_with_chat_template(CHAT[1], CHAT[:1]) == whole[3:]
    assert one.encode_message_with_chat_template(CHAT[0]) == whole[:3]
    for name in ("add_generation_prompt", "tokenize", "return_dict"):
        with pytest.raises(TextInputError, match=name):
            one.encode_message_with_chat_template(CHAT[0], **{name: True})


def test_without_jinja2_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("formers.tokenization.chat.")]:
        if name.rpartition(".")[2] in ("rendering", "sandbox", "metering"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("formers.tokenization.chat.rendering", raising=False)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'formers\[chat\]'"):
        tokenizer().apply_chat_template(CHAT)


def test_starting_up_imports_no_jinja2() -> None:
    program = (
        "import sys; import formers.tokenization\n"
        "from formers import AutoTokenizer\n"
        "late = {'jinja2', 'markupsafe', 'inspect', 'difflib', 'torch', 'numpy'} & set(sys.modules)\n"
        "chat = {name for name in sys.modules if name.startswith('formers.tokenization.chat.')}\n"
        "print(sorted(late), sorted(name.rpartition('.')[2] for name in chat))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[] ['budget', 'methods', 'saved', 'templates']"
