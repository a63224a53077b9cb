from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from formers.errors import TextInputError, TokenizerWarning
from formers.tokenization import TokenizersBackend

BEGIN, END, A = 1, 2, 3
ROLES: dict[str, Any] = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "a:</s>"}
TEMPLATE = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B:1", special_tokens=[("<s>", BEGIN)])
BOTH = processors.Sequence([processors.ByteLevel(), TEMPLATE])


def backend(post_processor: Any = None) -> Tokenizer:
    made = Tokenizer(models.WordLevel({"<unk>": 0, "<s>": 1, "a:</s>": 2, "a": 3, "Ġ": 4}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    if post_processor is not None:
        made.post_processor = post_processor
    return made


def made_of(post_processor: Any = None, **settings: Any) -> TokenizersBackend:
    return TokenizersBackend(tokenizer_object=backend(post_processor), **{**ROLES, **settings})


def test_what_the_pipeline_does() -> None:
    assert (made_of().add_bos_token, made_of().add_eos_token) == (False, False)
    assert (made_of(TEMPLATE).add_bos_token, made_of(TEMPLATE).add_eos_token) == (True, False)
    assert not TokenizersBackend(tokenizer_object=Tokenizer(models.WordLevel({}))).add_bos_token


@pytest.mark.parametrize("post_processor", [None, TEMPLATE, processors.ByteLevel(), BOTH])
@pytest.mark.parametrize("begin", [True, False])
@pytest.mark.parametrize("end", [True, False])
def test_options_of_the_caller(post_processor: Any, begin: bool, end: bool) -> None:
    tokenizer = made_of(post_processor, add_bos_token=begin, add_eos_token=end)
    assert (tokenizer.add_bos_token, tokenizer.add_eos_token) == (begin, end)
    one = [BEGIN] * begin + [A] + [END] * end
    assert tokenizer("a").input_ids == one
    pair = tokenizer("a", "a", return_token_type_ids=True)
    unchanged = post_processor in (TEMPLATE, BOTH) and begin and not end
    second = one[1:] if unchanged else one
    assert pair.input_ids == one + second
    assert pair.token_type_ids == [0] * len(one) + [1] * len(second)


def test_setting_and_saving(tmp_path: Path) -> None:
    tokenizer = made_of(TEMPLATE)
    tokenizer.add_eos_token = True
    assert tokenizer("a").input_ids == [BEGIN, A, END]
    tokenizer.add_bos_token = False
    assert tokenizer("a").input_ids == [A, END]
    tokenizer.save_pretrained(tmp_path)
    loaded = TokenizersBackend.from_pretrained(tmp_path)
    assert loaded("a").input_ids == [A, END]
    assert TokenizersBackend.from_pretrained(tmp_path, add_bos_token=True)("a").input_ids == [BEGIN, A, END]


def test_offsets_stay_as_they_were() -> None:
    def offsets(**settings: Any) -> Any:
        made = backend(processors.ByteLevel(trim_offsets=True))
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.model = models.BPE({"Ġ": 0, "a": 1, "Ġa": 2, "<s>": 3, "a:</s>": 4}, [("Ġ", "a")])
        tokenizer = TokenizersBackend(tokenizer_object=made, **ROLES, **settings)
        return tokenizer("a a", return_offsets_mapping=True, add_special_tokens=True).offset_mapping

    assert offsets() == [(0, 1), (2, 3)]
    assert offsets(add_bos_token=True)[1:] == [(0, 1), (2, 3)]


def test_what_a_file_says_does_not_change_the_pipeline(tmp_path: Path) -> None:
    backend(TEMPLATE).save(str(tmp_path / "tokenizer.json"))
    stated = {**ROLES, "add_bos_token": True, "add_eos_token": False}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(stated))
    tokenizer = TokenizersBackend.from_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "tokenizer_config.json").read_text("utf-8"))
    assert (saved["add_bos_token"], saved["add_eos_token"]) == (True, False)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**stated, "add_eos_token": True}))
    with pytest.warns(
        TokenizerWarning, match="says add_eos_token=True, but the pipeline in tokenizer.json has False"
    ):
        tokenizer = TokenizersBackend.from_pretrained(tmp_path)
    assert tokenizer("a").input_ids == [BEGIN, A]
    assert TokenizersBackend.from_pretrained(tmp_path, add_eos_token=True)("a").input_ids == [BEGIN, A, END]


def test_a_token_that_is_missing_and_a_value_that_is_none() -> None:
    with pytest.raises(TextInputError, match="add_eos_token=True: the tokenizer has no eos_token; pass one"):
        made_of(eos_token=None, add_eos_token=True)
    with pytest.raises(TextInputError, match="add_bos_token='yes': expected True or False"):
        made_of(add_bos_token="yes")
