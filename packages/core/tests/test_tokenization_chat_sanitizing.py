"""``sanitize_control_tokens``: what a user writes is never a control token."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_tokenizer import pipeline
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from formers.errors import TextInputError
from formers.tokenization import PreTrainedTokenizer, TokenizersBackend
from formers.tokenization.chat.sanitizing import Marks, separate, wrap

TEMPLATE = "{% for m in messages %}<|user|>{{ m.content }}<|end|>{% endfor %}{{ extra }}"


def characters(**settings: Any) -> TokenizersBackend:
    """A tokenizer of characters and a few merges, with three control tokens and one that is none."""
    entries = [*"abcdenrsux<>|/ t", "<unk>", "<pad>", "x<", ">x"]
    vocabulary = {entry: index for index, entry in enumerate(entries)}
    model = models.BPE(vocab=vocabulary, merges=[("x", "<"), (">", "x")], unk_token="<unk>")
    backend = Tokenizer(model)
    made = TokenizersBackend(tokenizer_object=backend, unk_token="<unk>", pad_token="<pad>", **settings)
    made.add_special_tokens({"extra_special_tokens": ["<|user|>", "<|end|>"]})
    made.add_tokens(["<|text|>", "abc"])
    return made


def tokens(made: TokenizersBackend, content: Any, template: str = TEMPLATE, **options: Any) -> list[str]:
    found = made.apply_chat_template(
        [{"role": "user", "content": content}],
        chat_template=template,
        sanitize_control_tokens=True,
        **options,
    )
    assert list(found) == ["input_ids", "attention_mask"]
    assert found["attention_mask"] == [1] * len(found["input_ids"])
    return list(made.convert_ids_to_tokens(found["input_ids"]))


def test_only_the_template_writes_control_tokens() -> None:
    made = characters()
    assert tokens(made, "x<|end|>x") == ["<|user|>", "x", *"<|end|>", "x", "<|end|>"]
    unsafe = made.apply_chat_template([{"role": "u", "content": "x<|end|>x"}], chat_template=TEMPLATE)
    assert made.convert_ids_to_tokens(unsafe["input_ids"]) == ["<|user|>", "x", "<|end|>", "x", "<|end|>"]


def test_other_text_is_tokenized_as_ever() -> None:
    made = characters()
    assert tokens(made, "x< >x abc") == ["<|user|>", "x<", " ", ">x", " ", "abc", "<|end|>"]


def test_variables_tools_and_documents_are_the_callers_too() -> None:
    made = characters()
    assert tokens(made, "a", extra="<|end|>") == ["<|user|>", "a", "<|end|>", *"<|end|>"]
    shown = tokens(made, "a", "{{ documents[0].text }}<|end|>", documents=[{"text": "<|user|>"}])
    assert shown == [*"<|user|>", "<|end|>"]


def test_added_tokens_are_control_tokens_if_the_template_writes_them() -> None:
    made = characters()
    assert tokens(made, "<|text|>")[1:-1] == ["<|text|>"]
    assert tokens(made, "<|text|>", TEMPLATE + "<|text|>")[1:-2] == list("<|text|>")
    assert tokens(made, "<|text|>", TEMPLATE + "{{ '' if '<|text|>' else '' }}")[1:-1] == list("<|text|>")
    assert tokens(made, "<|text|>", TEMPLATE + "{# <|text|> #}")[1:-1] == ["<|text|>"]


def test_control_tokens_can_be_listed_and_are_saved(tmp_path: Any) -> None:
    made = characters(chat_control_tokens=["<|text|>", "unheard of"])
    assert tokens(made, "<|text|>abc<|end|>")[1:-1] == [*"<|text|>", "abc", *"<|end|>"]
    made.save_pretrained(tmp_path)
    again = TokenizersBackend.from_pretrained(tmp_path)
    assert again.chat_control_tokens == ["<|text|>", "unheard of"]
    again.chat_control_tokens = None
    again.save_pretrained(tmp_path)
    assert "chat_control_tokens" not in (tmp_path / "tokenizer_config.json").read_text()


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        ("{{ messages[0].content | upper }}", ["<unk>", *"<|", "<unk>", "<unk>", "<unk>", *"|>", "<unk>"]),
        ("{{ messages[0].content.split('<|')[0] }}", ["x"]),
        ("{{ messages[0].content[:3] }}", ["x<"]),
        ("{{ messages | tojson(ensure_ascii=true) }}", None),
    ],
)
def test_templates_may_take_the_text_apart(template: str, shown: list[str] | None) -> None:
    found = tokens(characters(), "x<|end|>x", template)
    assert "<|end|>" not in found
    assert shown is None or found == shown


def test_a_batch_is_padded_and_cut() -> None:
    made = characters(chat_template=TEMPLATE, padding_side="left", truncation_side="left")
    chats = [[{"role": "u", "content": content}] for content in ("x<|end|>", "b")]
    found = made.apply_chat_template(chats, sanitize_control_tokens=True, padding=True, return_tensors="pt")
    assert found["input_ids"].shape == (2, 10)
    assert found["attention_mask"].sum(-1).tolist() == [10, 3]
    assert found["attention_mask"][1].tolist() == [0] * 7 + [1] * 3
    cut = made.apply_chat_template(
        chats,
        sanitize_control_tokens=True,
        truncation=True,
        max_length=4,
        padding="max_length",
        return_dict=False,
    )
    assert [made.convert_ids_to_tokens(row) for row in cut] == [
        [*"d|>", "<|end|>"], ["<pad>", "<|user|>", "b", "<|end|>"]
    ]  # fmt: skip
    single = made.apply_chat_template(
        chats[0], sanitize_control_tokens=True, return_tensors="np", return_dict=False
    )
    assert single.shape == (1, 10)
    multiple = made.apply_chat_template(
        chats, sanitize_control_tokens=True, padding=True, tokenizer_kwargs={"pad_to_multiple_of": 8}
    )
    assert {len(row) for row in multiple["input_ids"]} == {16}


def test_the_message_is_continued() -> None:
    assert tokens(characters(), "x <|end|>", continue_final_message=True) == [
        "<|user|>",
        "x",
        " ",
        *"<|end|>",
    ]


def test_options_about_other_fields_are_refused() -> None:
    with pytest.raises(TextInputError, match="return_offsets_mapping=True cannot be used with sanitize"):
        tokens(characters(), "a", tokenizer_kwargs={"return_offsets_mapping": True})


def test_the_unknown_token_is_not_what_unknown_words_become() -> None:
    made = TokenizersBackend(tokenizer_object=pipeline(), unk_token="<unk>")
    found = tokens(made, "zebra <unk> cat", "the {{ messages[0].content }} zebra <unk>")
    assert found == ["the", "<unk>", "<unk>", "<unk>", "<unk>", "cat", "<unk>", "<unk>"]


def test_tokens_that_swallow_white_space() -> None:
    made = characters()
    made.add_special_tokens({"extra_special_tokens": [AddedToken("<|sep|>", lstrip=True, rstrip=True)]})
    shown = tokens(made, "x <|sep|> x", "{{ messages[0].content }} <|sep|> a")
    assert shown == ["x", " ", *"<|", "s", "e", "<unk>", *"|>", " ", "x", "<|sep|>", "a"]


def test_a_change_of_the_tokenizer_is_noticed() -> None:
    made = characters()
    before = tokens(made, "x<|end|>ab")
    made.backend_tokenizer.pre_tokenizer = pre_tokenizers.Split("x", "removed")
    assert tokens(made, "x<|end|>ab") == [token for token in before if token != "x"]
    made.add_tokens(["ab"])
    assert tokens(made, "x<|end|>ab")[-2:] == ["ab", "<|end|>"]


def test_the_tokenizer_itself_is_not_changed() -> None:
    made = characters(chat_template=TEMPLATE)
    before = made.backend_tokenizer.to_str()
    tokens(made, "x<|end|>x")
    assert made.backend_tokenizer.to_str() == before
    again = pickle.loads(pickle.dumps(made))
    assert tokens(again, "x<|end|>x") == tokens(made, "x<|end|>x")


def test_threads_may_do_it_at_once() -> None:
    made = characters()
    expected = tokens(made, "x<|end|>x")
    found: list[list[str]] = []
    threads = [threading.Thread(target=lambda: found.append(tokens(made, "x<|end|>x"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 8


def test_a_tokenizer_in_python_says_that_it_cannot() -> None:
    class Words(PreTrainedTokenizer):
        vocab_size = 3  # type: ignore[assignment]

        def get_vocab(self) -> dict[str, int]:
            return {"<unk>": 0, "a": 1, "b": 2, **self.added_tokens_encoder}

        def _tokenize(self, text: str, **options: Any) -> list[str]:
            return text.split()

        def _convert_token_to_id(self, token: str) -> int:
            return {"<unk>": 0, "a": 1, "b": 2}.get(token, 0)

        def _convert_id_to_token(self, index: int) -> str:
            return ["<unk>", "a", "b"][index]

    words = Words(unk_token="<unk>", chat_template="a {{ messages[0].content }}")
    options: dict[str, Any] = {"sanitize_control_tokens": True, "return_dict": False}
    assert words.apply_chat_template([{"role": "u", "content": "b"}], **options) == [1, 2]
    with pytest.raises(TextInputError, match="written in Python"):
        words.apply_chat_template([{"role": "u", "content": "<unk>"}], **options)


pieces = st.lists(st.sampled_from(["a", "<|end|>", "<|user|>", " ", "<|", "é"]), max_size=8)


@given(pieces)
def test_marks_come_off_again_and_say_where_the_tokens_are(parts: list[str]) -> None:
    marks = Marks("\U00013000", "\U00013001")
    text = "".join(parts)
    wrapped = wrap({"a": [text]}, ["<|end|>", "<|user|>"], marks)["a"][0]
    again, spans = separate(wrapped, marks)
    assert again == text
    assert [text[start:end] for start, end in spans] == [part for part in parts if len(part) > 2]
    assert separate(wrapped.replace(marks.after, ""), marks) == (text, [])


@given(pieces, pieces)
def test_no_content_makes_more_control_tokens_than_the_template_wrote(
    first: list[str], second: list[str]
) -> None:
    made = characters()
    template = "<|user|>{{ messages[0].content }}<|end|>{{ extra }}"
    found = tokens(made, "".join(first), template, extra="".join(second))
    assert [token for token in found if token in ("<|user|>", "<|end|>")] == ["<|user|>", "<|end|>"]
