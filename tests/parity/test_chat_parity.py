"""Chat templates against transformers 5.23.0: text, ids, masks, schemas of tools and saved files."""

from __future__ import annotations

import enum
import itertools
import warnings
from collections import OrderedDict, UserDict
from pathlib import Path
from typing import Any, Literal, Optional, Union

import chat_templates
import numpy as np
import pytest
from chat_templates import CONVERSATIONS, PAPERS, SCHEMA, TEMPLATES, weather
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from formers import tokenization
from formers.errors import FormersError
from formers.tokenization.chat.tools import get_json_schema
from formers_bert import tokenization as formers_bert

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

Pair = tuple[Any, Any]  # the oracle's tokenizer and ours
TOOLS = [weather, SCHEMA]


@pytest.fixture(scope="module")
def pair(minilm: Path) -> Pair:
    made = (
        transformers.AutoTokenizer.from_pretrained(minilm),
        formers_bert.BertTokenizer.from_pretrained(minilm),
    )
    for tokenizer in made:
        tokenizer.add_special_tokens({"extra_special_tokens": ["<|im_start|>", "<|im_end|>", "</s>"]})
        tokenizer.add_tokens(["<start_of_turn>", "[INST]"])
    return made


def plain(found: Any) -> Any:
    if hasattr(found, "items"):
        return {name: plain(value) for name, value in found.items()}
    return found.tolist() if hasattr(found, "tolist") else found


def outcomes(pair: Pair, conversation: Any, **options: Any) -> tuple[Any, ...]:
    """What each returns; of an exception, only that there was one, and that ours is a ValueError."""
    found = []
    for tokenizer in pair:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # each warns in its own words
                found.append(plain(tokenizer.apply_chat_template(conversation, **options)))
        except Exception as error:
            found.append(error)
    assert not isinstance(found[1], Exception) or isinstance(found[1], ValueError), repr(found[1])
    return tuple("an exception" if isinstance(result, Exception) else result for result in found)


OPTIONS: dict[str, dict[str, Any]] = {
    "text": {"tokenize": False},
    "prompt": {"tokenize": False, "add_generation_prompt": True},
    "continued": {"tokenize": False, "continue_final_message": True},
    "continued ids": {"continue_final_message": "content", "return_dict": False},
    "ids": {},
    "cut": {"return_dict": False, "truncation": True, "max_length": 12},
    "padded": {"return_tensors": "pt", "padding": "max_length", "max_length": 64, "truncation": True},
    "sanitized": {"sanitize_control_tokens": True},
    "arrays": {"return_tensors": "np", "tokenizer_kwargs": {"return_offsets_mapping": True}},
    "everything": {
        "tokenize": False,
        "tools": TOOLS,
        "documents": PAPERS,
        "add_generation_prompt": True,
        "date_string": "1 May",
        "enable_thinking": False,
    },
}


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("options", OPTIONS)
def test_every_template_for_every_conversation(pair: Pair, name: str, options: str) -> None:
    for label, conversation in CONVERSATIONS.items():
        if name == "columns" and "continued" in options:
            continue  # the mark of transformers is too long a word for this template, so that it raises
        theirs, ours = outcomes(pair, conversation, chat_template=TEMPLATES[name], **OPTIONS[options])
        assert ours == theirs, label


@pytest.mark.parametrize("name", TEMPLATES)
def test_batches(pair: Pair, name: str) -> None:
    batch = [CONVERSATIONS[label] for label in ("answered", "long", "question")]
    for options in (
        {"tokenize": False},
        {"return_dict": False},
        {"padding": True, "return_tensors": "pt"},
        {"sanitize_control_tokens": True, "padding": True, "return_tensors": "pt"},
        {"padding": True, "tokenizer_kwargs": {"pad_to_multiple_of": 8, "padding_side": "left"}},
    ):
        theirs, ours = outcomes(pair, batch, chat_template=TEMPLATES[name], **options)
        assert ours == theirs, options


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("return_tensors", [None, "pt"])
def test_masks(pair: Pair, side: str, return_tensors: str | None) -> None:
    chats = [CONVERSATIONS[label] for label in ("long", "answered", "question")]
    templates = [
        TEMPLATES["generation"],
        "{% for m in messages %}[{{ m.role }}] {% if m.role == 'assistant' %}{% generation %}{{ m.content }} end"
        "{% endgeneration %}{% else %}{{ m.content }}{% endif %}\n{% endfor %}",
        "{% for m in messages %}un{% generation %}{{ m.role }}{% endgeneration %}able {% endfor %}",
        "{{ messages[0].content }} {% generation %}a {% generation %}b{% endgeneration %} c{% endgeneration %} d",
        "{{ messages[0].content }}",
    ]
    for tokenizer in pair:
        tokenizer.padding_side = side
    try:
        for template, chat in itertools.product(templates, [chats, *chats]):
            options = {
                "padding": True,
                "return_tensors": return_tensors,
                "return_assistant_tokens_mask": True,
            }
            theirs, ours = outcomes(pair, chat, chat_template=template, **options)
            assert ours == theirs
            assert "assistant_masks" in ours
            cut = {"truncation": True, "max_length": 14, "return_assistant_tokens_mask": True}
            theirs, ours = outcomes(pair, chat, chat_template=template, **cut)
            assert ours == theirs
    finally:
        for tokenizer in pair:
            tokenizer.padding_side = "right"


class Name(str, enum.Enum):  # noqa: UP042 - the older form
    A = "a"


class Thing:
    pass


VALUES = [
    None, True, 3, 2.5, float("nan"), "é", [1, ["a"]], (1, (2,)), {"a": {"b": None}}, {1: 2, None: 3, (1, 2): 4},
    Thing(), [Thing(), {"k": Thing}], Name.A, np.float32(2), np.int64(3), np.arange(3), b"x", {1, 2}, UserDict(a=1),
    OrderedDict(b=1, a=2), print, range(3), 1j, {Thing: 1, b"k": 2}, np.bool_(True),
]  # fmt: skip


@pytest.mark.parametrize("index", range(len(VALUES)))
def test_what_a_template_sees_of_a_value(pair: Pair, index: int) -> None:
    for template in (
        "{{ value }}|{{ value.a }}",
        "{{ value | tojson }}",
        "{{ value is mapping }}{{ value is string }}",
    ):
        options = {"chat_template": template, "tokenize": False, "value": VALUES[index]}
        theirs, ours = outcomes(pair, CONVERSATIONS["question"], **options)
        assert ours == theirs


EXPRESSIONS = [
    "{{ cls_token }}{{ sep_token }}{{ unk_token }}{{ bos_token }}{{ extra_special_tokens }}",
    "{{ tools }}{{ documents }}{{ add_generation_prompt }}{{ continue_final_message }}",
    "{{ '<b>é' | tojson }}{{ {'b': 1, 'a': [1.5, none, true]} | tojson(indent=2) }}{{ ({1: 2}) | tojson }}",
    "{{ {'b': 1, 'a': 2} | tojson(separators=(',', ':'), sort_keys=true) }}{{ 'é' | tojson(true) }}",
    "   {% if true %}\n  a\n  {% endif %}\nb\n",
    "a\n\n",
    "{{ 'x' }}\n",
    "{%- if true -%} a {%- endif %} b",
    "{{ raise_exception('no') }}",
    "{{ messages.append(1) }}",
    "{{ ''.__class__ }}",
    "{{ ''.__class__.x }}",
    "{{ nothing.x }}",
    "{{ messages | map(attribute='role') | list }}{{ messages | groupby('role') | list | length }}",
    "{% do [].append(1) %}",
    "{% trans %}a{% endtrans %}",
    "{% include 'x' %}",
    "{% for %}",
    "{{ 1 / 0 }}",
    "{{ 'a' + 1 }}",
    "{{ range(100000) | list | length }}",
    "{{ range(100001) | list | length }}",
    "{{ dict(a=1) }}{{ dict([['a', 1]]) }}",
    "{% set ns = namespace(a=1) %}{% set ns.a = 2 %}{{ ns.a }}{{ namespace({'b': 2}).b }}",
    "{{ strftime_now('%Y') | int > 2000 }}",
    "{% for i in range(5) %}{% if i == 2 %}{% continue %}{% elif i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% autoescape true %}{{ '<' }}{% endautoescape %}",
    "{{ messages[0] | items | list }}",
    "{{ messages[9] }}{{ messages[0].no }}",
]


@pytest.mark.parametrize("template", EXPRESSIONS)
def test_what_a_template_can_do(pair: Pair, template: str) -> None:
    theirs, ours = outcomes(pair, CONVERSATIONS["answered"], chat_template=template, tokenize=False)
    assert ours == theirs


def test_which_template_is_meant(pair: Pair) -> None:
    choices: list[Any] = [
        None,
        "S",
        {"default": "D", "tool_use": "T", "rag": "R"},
        {"tool_use": "T"},
        {"a": "A", "b": "B"},
    ]
    for stored, chosen, tools in itertools.product(choices, [None, "rag", "{{ 1 }}"], [None, [], [SCHEMA]]):
        found = []
        for tokenizer in pair:
            tokenizer.chat_template = stored
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found.append(tokenizer.get_chat_template(chosen, tools))
            except ValueError:
                found.append("an exception")
            tokenizer.chat_template = None
        assert found[1] == found[0], (stored, chosen, tools)


def test_one_message_more(pair: Pair) -> None:
    chat = CONVERSATIONS["long"]
    for size in range(len(chat)):
        theirs, ours = (
            tokenizer.encode_message_with_chat_template(
                chat[size], chat[:size], chat_template=TEMPLATES["chatml"]
            )
            for tokenizer in pair
        )
        assert ours == theirs


# Tools.


class Letter(enum.Enum):
    A = "a"
    B = 2


HINTS = [
    int,
    float,
    str,
    bool,
    Any,
    None,
    list,
    list[int],
    tuple,
    tuple[int, str],
    tuple[()],
    tuple[int],
    tuple[int, ...],
    dict,
    dict[str, int],
    Optional[int],  # noqa: UP045
    Union[int, str],  # noqa: UP007
    int | None,
    str | int | None,
    int | list[str],
    Literal["a", "b"],
    Literal[1, "a", None],
    Literal["a"] | None,
    Letter,
    Letter | None,
    Thing,
    set[int],
    bytes,
    list[dict[str, Any]],
    list[int | None],
    dict[str, int | str],
    object,
    "int",
]
DOCSTRINGS = [
    "Does it.",
    "Does it.\n\nArgs:\n    x: the x",
    "Does it.\nArgs:\n  x: the x\n  y: the y",
    "Args:\n    x: the x",
    "Does it.\n\n  More.\n\nArgs:\n    x: the x\n        goes on\n    - and on: so\n    y: no",
    "Does it.\n\nArgs:\n    x:\n        below",
    'Does it.\n\nArgs:\n    x: the x (choices: ["a", "b"])',
    "Does it.\n\nArgs:\n    x: the x (Choices:[1]) ",
    "Does it.\n\nArgs:\n    x: the x (choices: [1]) more",
    "Does it.\n\nArgs:\n    x: the x (choices: ['a'])",
    "Does it.\n\nArgs:\n    x: the x\n\nReturns:\n    a lot\n      more",
    "Does it.\n\nArgs:\n    x: the x\n\nRaises:\n    ValueError: no",
    "Does it.\n\nArgs:\n    x: the x\n\nReturns:\n    int: much\n\nRaises:\n    ValueError: no",
    "Does it.\n\nArgs:\n    y: no",
    "",
]


def schemas(function: Any) -> tuple[Any, ...]:
    found = []
    for make in (transformers.utils.get_json_schema, get_json_schema):
        try:
            found.append(make(function))
        except Exception as error:
            found.append(error)
    assert not isinstance(found[1], Exception) or isinstance(found[1], FormersError), repr(found[1])
    return tuple("an exception" if isinstance(result, Exception) else result for result in found)


@pytest.mark.parametrize("index", range(len(HINTS)))
def test_schemas_of_types(index: int) -> None:
    def tool(x, y=None):  # type: ignore[no-untyped-def]
        """Does it.

        Args:
            x: the x
            y: the y

        Returns:
            something
        """

    tool.__annotations__ = {"x": HINTS[index], "y": int, "return": HINTS[index]}
    theirs, ours = schemas(tool)
    assert ours == theirs


@pytest.mark.parametrize("docstring", DOCSTRINGS)
def test_schemas_of_docstrings(docstring: str) -> None:
    def tool(x: int) -> int:
        return x

    tool.__doc__ = docstring
    theirs, ours = schemas(tool)
    if docstring.startswith("Args:"):
        assert theirs == "an exception"  # a function without a description; here the description is empty
        return
    assert ours == theirs


def test_schemas_of_methods() -> None:
    class Holder:
        def method(self, x: int) -> None:
            """A method.

            Args:
                x: the x
            """

        @classmethod
        def of_class(cls, x: int, *, k: str = "a") -> None:
            """Of the class.

            Args:
                x: the x
                k: the k
            """

    for function in (Holder().method, Holder.method, Holder.of_class, chat_templates.weather):
        theirs, ours = schemas(function)
        assert ours == theirs


# What users write.


def byte_level(prefix: bool) -> Tokenizer:
    vocabulary = {
        character: index for index, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))
    }
    merges = [("f", "o"), ("fo", "o"), ("b", "a"), ("ba", "r"), ("Ġ", "<"), ("Ġ", "b"), (">", "b")]
    for merge in merges:
        vocabulary["".join(merge)] = len(vocabulary)
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    return backend


def characters(normalizer: Any = None, pre_tokenizer: Any = None) -> Tokenizer:
    vocabulary = {character: index for index, character in enumerate("fobar<END>xy ▁endAB")}
    vocabulary |= {"<unk>": 50, "x<": 51, ">y": 52}
    vocabulary = {entry: index for index, entry in enumerate(vocabulary)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[("x", "<"), (">", "y")], unk_token="<unk>"))
    if normalizer is not None:
        backend.normalizer = normalizer
    if pre_tokenizer is not None:
        backend.pre_tokenizer = pre_tokenizer
    return backend


PIPELINES: dict[str, Any] = {
    "characters": characters,
    "metaspace": lambda: characters(pre_tokenizer=pre_tokenizers.Metaspace()),
    "metaspace, first": lambda: characters(pre_tokenizer=pre_tokenizers.Metaspace(prepend_scheme="first")),
    "words": lambda: characters(pre_tokenizer=pre_tokenizers.Whitespace()),
    "prepended": lambda: characters(
        normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    ),
    "bytes": lambda: byte_level(False),
    "bytes, prefixed": lambda: byte_level(True),
}


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize("flags", [{}, {"lstrip": True, "rstrip": True}])
def test_control_tokens_in_messages(name: str, flags: dict[str, bool]) -> None:
    made = []
    for kind in (transformers.PreTrainedTokenizerFast, tokenization.PreTrainedTokenizerFast):
        tokenizer = kind(tokenizer_object=PIPELINES[name](), unk_token="<unk>")
        tokenizer.add_special_tokens({"extra_special_tokens": [AddedToken("<END>", **flags)]})
        tokenizer.add_tokens(["AB"])
        made.append(tokenizer)
    template = "{% for m in messages %}{{ m.content }}<END>{% endfor %}"
    for content in (
        "foo<END>bar",
        "x<END>y",
        "a <END> b",
        "foo <END><END>",
        "x<EN<END>D>y",
        "é<END>\n",
        "AB < y",
        "foo",
    ):
        chat = [{"role": "u", "content": content}, {"role": "u", "content": "bar"}]
        options = {"chat_template": template, "sanitize_control_tokens": True}
        theirs, ours = outcomes((made[0], made[1]), chat, **options)
        assert ours == theirs, content


# Files.


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("template", ["A {{ 1 }}\n", {"default": "D", "rag": "R\n"}, {"rag": "é"}, None, ""])
def test_each_reads_what_the_other_saves(pair: Pair, template: Any, legacy: bool, tmp_path: Path) -> None:
    options = {"save_jinja_files": False} if legacy else {}
    for writer, name in zip(pair, ("theirs", "ours"), strict=True):
        writer.chat_template = template
        writer.save_pretrained(tmp_path / name, **options)
        writer.chat_template = None
        for reader in (transformers.AutoTokenizer, formers_bert.BertTokenizer):
            assert reader.from_pretrained(tmp_path / name).chat_template == template
    files = [
        {
            path.relative_to(tmp_path / name).as_posix(): path.read_bytes()
            for path in (tmp_path / name).rglob("*.jinja")
        }
        for name in ("theirs", "ours")
    ]
    assert files[1] == files[0]


def test_each_reads_what_the_other_says_of_control_tokens(pair: Pair, tmp_path: Path) -> None:
    for writer, reader in (pair, pair[::-1]):
        writer.chat_control_tokens = ["[INST]"]
        writer.save_pretrained(tmp_path)
        writer.chat_control_tokens = None
        assert type(reader).from_pretrained(tmp_path).chat_control_tokens == ["[INST]"]
