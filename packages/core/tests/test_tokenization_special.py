from __future__ import annotations

import pytest
from small_tokenizer import IDS, ROLES, small

from formers.errors import CorruptFileError, TextInputError, TokenizerWarning
from formers.tokenization import AddedToken, TokenizersBackend


@pytest.fixture
def tokenizer() -> TokenizersBackend:
    return small()


def test_roles(tokenizer: TokenizersBackend) -> None:
    assert tokenizer.pad_token == "<pad>"
    assert tokenizer.pad_token_id == IDS["<pad>"]
    assert tokenizer.bos_token is None
    assert tokenizer.bos_token_id is None
    assert tokenizer.special_tokens_map == ROLES
    assert tokenizer.all_special_tokens == ["<unk>", "</s>", "<pad>", "<s>"]
    assert tokenizer.all_special_ids == [IDS[token] for token in tokenizer.all_special_tokens]
    assert tokenizer.extra_special_tokens == tokenizer.additional_special_tokens == []


def test_setting_a_role(tokenizer: TokenizersBackend) -> None:
    tokenizer.eos_token = tokenizer.sep_token
    assert tokenizer.eos_token_id == IDS["</s>"]
    tokenizer.mask_token_id = IDS["cat"]
    assert tokenizer.mask_token == "cat"
    tokenizer.mask_token = None
    assert "mask_token" not in tokenizer.special_tokens_map
    tokenizer.bos_token = AddedToken("<s>", lstrip=True)
    assert tokenizer.bos_token == "<s>"
    with pytest.raises(ValueError, match="pad_token=3: expected a string"):
        tokenizer.pad_token = 3  # type: ignore[assignment]
    with pytest.raises(ValueError, match="pad_token_id=99: no token has this id"):
        tokenizer.pad_token_id = 99
    with pytest.warns(
        TokenizerWarning, match=r"pad_token='<new>' is not in the vocabulary.*add_special_tokens"
    ):
        tokenizer.pad_token = "<new>"
    assert tokenizer.pad_token_id == IDS["<unk>"]


def test_adding_special_tokens(tokenizer: TokenizersBackend) -> None:
    size = len(tokenizer)
    assert (
        tokenizer.add_special_tokens({"mask_token": "<mask>", "additional_special_tokens": ["<a>", "<b>"]})
        == 3
    )
    assert len(tokenizer) == size + 3
    assert tokenizer.vocab_size == len(IDS)
    assert tokenizer.mask_token_id == size
    assert tokenizer.extra_special_tokens == ["<a>", "<b>"]
    assert tokenizer.extra_special_tokens_ids == [size + 1, size + 2]
    assert tokenizer.tokenize("the<mask><b>") == ["the", "<mask>", "<b>"]
    tokenizer.add_special_tokens({"extra_special_tokens": ["<c>"]}, replace_extra_special_tokens=False)
    assert tokenizer.extra_special_tokens == ["<a>", "<b>", "<c>"]
    tokenizer.add_special_tokens({"extra_special_tokens": ["<d>"]})
    assert tokenizer.additional_special_tokens == ["<d>"]
    assert tokenizer.decode(tokenizer("the <d>").input_ids, skip_special_tokens=True) == "the"
    with pytest.raises(
        ValueError, match="'colour' is not the role of a special token; expected one of bos_token"
    ):
        tokenizer.add_special_tokens({"colour": "red"})
    with pytest.raises(ValueError, match="bos_token=3: expected a string or an AddedToken"):
        tokenizer.add_special_tokens({"bos_token": 3})


def test_named_tokens_of_a_model() -> None:
    tokenizer = small(extra_special_tokens={"image_token": "<image>"})
    assert tokenizer.image_token == "<image>"
    assert tokenizer.image_token_id == len(IDS)
    assert tokenizer.special_tokens_map == {**ROLES, "image_token": "<image>"}
    assert tokenizer.extra_special_tokens == []
    with pytest.raises(AttributeError, match="TokenizersBackend has no attribute 'sound_token'"):
        _ = tokenizer.sound_token


def test_adding_tokens(tokenizer: TokenizersBackend) -> None:
    size = len(tokenizer)
    assert tokenizer.add_tokens(["<new>", "cat", "<new>"]) == 2
    assert tokenizer.add_tokens("") == 0
    assert tokenizer.add_tokens([AddedToken("one", single_word=True)], special_tokens=True) == 1
    assert tokenizer.get_added_vocab()["<new>"] == tokenizer.convert_tokens_to_ids("<new>") == size
    assert tokenizer.added_tokens_decoder[size + 1].content == "one"
    assert tokenizer.tokenize("one the<NEW>") == ["one", "the", "<new>"]
    assert list(tokenizer.added_tokens_encoder.values()) == sorted(tokenizer.added_tokens_encoder.values())
    with pytest.raises(ValueError, match=r"new_tokens\[1\]=3: expected a string or an AddedToken"):
        tokenizer.add_tokens(["x", 3])  # type: ignore[list-item]


def test_tokens_that_files_list_get_their_ids() -> None:
    size = len(IDS)
    tokenizer = small(
        added_tokens_decoder={size + 1: "<y>", size: AddedToken("<x>", special=True)}, eos_token="<z>"
    )
    assert tokenizer.convert_tokens_to_ids(["<x>", "<y>", "<z>"]) == [size, size + 1, size + 2]
    with pytest.raises(CorruptFileError, match=r"'<y>': the files say id 90, but .* it has id"):
        small(added_tokens_decoder={90: "<y>"})


def test_converting(tokenizer: TokenizersBackend) -> None:
    assert tokenizer.convert_tokens_to_ids("cat") == IDS["cat"]
    assert tokenizer.convert_tokens_to_ids(["cat", "dog"]) == [IDS["cat"], IDS["<unk>"]]
    assert small(unk_token=None).convert_tokens_to_ids("dog") is None
    assert tokenizer.convert_ids_to_tokens(IDS["cat"]) == "cat"
    assert tokenizer.convert_ids_to_tokens([2, IDS["cat"]], skip_special_tokens=True) == ["cat"]
    assert tokenizer.convert_ids_to_tokens(99) is None
    with pytest.raises(TextInputError, match="tokens=None"):
        tokenizer.convert_tokens_to_ids(None)  # type: ignore[call-overload]
    with pytest.raises(TextInputError, match=r"tokens\[1\]=3"):
        tokenizer.convert_tokens_to_ids(["cat", 3])  # type: ignore[list-item]
    with pytest.raises(TextInputError, match="token id -1 at index 0"):
        tokenizer.convert_ids_to_tokens([-1])


def test_special_tokens_around_ids(tokenizer: TokenizersBackend) -> None:
    assert tokenizer.num_special_tokens_to_add() == 2
    assert tokenizer.num_special_tokens_to_add(pair=True) == 3
    assert tokenizer.build_inputs_with_special_tokens([7, 8]) == [2, 7, 8, 3]
    assert tokenizer.build_inputs_with_special_tokens([7, 8], [9]) == [2, 7, 8, 3, 9, 3]
    assert tokenizer.create_token_type_ids_from_sequences([7, 8], [9]) == [0, 0, 0, 0, 1, 1]
    assert tokenizer.create_token_type_ids_from_sequences([7, 8]) == [0, 0, 0, 0]
    assert tokenizer.get_special_tokens_mask([7, 8], [9]) == [1, 0, 0, 1, 0, 1]
    assert tokenizer.get_special_tokens_mask([2, 7, 3, 0], already_has_special_tokens=True) == [1, 0, 1, 1]
    with pytest.raises(ValueError, match="token_ids_1 is given with already_has_special_tokens=True"):
        tokenizer.get_special_tokens_mask([2], [3], already_has_special_tokens=True)


def test_lengths() -> None:
    tokenizer = small(model_max_length=10)
    assert tokenizer.max_len_single_sentence == 8
    assert tokenizer.max_len_sentences_pair == 7
    assert small().model_max_length == int(1e30)
    assert small(model_max_length=1e30).model_max_length == int(1e30)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"padding_side": "up"}, "padding_side='up': expected 'left' or 'right'"),
        ({"truncation_side": 1}, "truncation_side=1"),
        ({"model_max_length": -5}, "model_max_length=-5"),
        ({"model_max_length": "many"}, "model_max_length='many'"),
        ({"pad_token": 4}, "pad_token=4"),
        ({"extra_special_tokens": 4}, "extra_special_tokens=4: expected a list"),
        ({"extra_special_tokens": ["a", 4]}, r"extra_special_tokens\[1\]=4"),
        ({"extra_special_tokens": {"not a name": "x"}}, "'not a name' is no name"),
        ({"do_lower_case": "yes"}, "do_lower_case='yes': expected True or False"),
    ],
)
def test_wrong_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(TextInputError, match=message):
        small(**settings)


def test_sides_are_checked_when_they_are_set(tokenizer: TokenizersBackend) -> None:
    with pytest.raises(TextInputError, match="padding_side='up'"):
        tokenizer.padding_side = "up"
    assert tokenizer.padding_side == "right"


def test_a_special_token_is_found_as_it_is_unless_it_says_otherwise(tokenizer: TokenizersBackend) -> None:
    given = [
        AddedToken("<A>", lstrip=True),
        AddedToken("<B>", normalized=True),
        AddedToken("<C>", special=True),
    ]
    tokenizer.add_tokens(given, special_tokens=True)
    tokenizer.add_special_tokens({"mask_token": AddedToken("<D>", rstrip=True), "eos_token": "<E>"})
    added = {token.content: token for token in tokenizer.added_tokens_decoder.values()}
    assert {content: added[content].normalized for content in ("<A>", "<B>", "<C>", "<D>", "<E>")} == {
        "<A>": False,
        "<B>": True,
        "<C>": False,
        "<D>": False,
        "<E>": False,
    }
    assert not given[0].special  # the caller's own token does not change


def test_a_token_of_which_normalisation_leaves_nothing(tokenizer: TokenizersBackend) -> None:
    with pytest.raises(TextInputError, match=r"normalisation leaves nothing of the added token '\\x00'"):
        tokenizer.add_tokens(["<new>", "\0"])
    assert "<new>" not in tokenizer.get_vocab()
    assert tokenizer.add_tokens(AddedToken("\0", normalized=False)) == 1
    assert tokenizer.tokenize("the\0cat") == ["the", "\0", "cat"]
