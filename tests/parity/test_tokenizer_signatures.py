"""Every public name of transformers 5.23.0's tokenizers is there, with the same parameters, or is listed here.

Parameters that formers adds come after those of transformers, or are keywords; ``**kwargs`` that swallow anything
are spelt out. Each entry of the lists below has its reason, and must still be true.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

import formers
import formers_bert
from formers import tokenization

transformers = pytest.importorskip("transformers", minversion="5", reason="compares with transformers 5")
pytestmark = pytest.mark.parity

OWN_STATE = "a note that transformers makes for itself"
NO_STATE = "a call sets what it needs and leaves nothing behind, so there is nothing to set or restore"
ABSENT: dict[str, str] = {
    "backend": "is_fast says it",
    "can_save_slow_tokenizer": "save_vocabulary writes the files of every tokenizer",
    "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output": "decoded text is never corrupted",
    "convert_added_tokens": "added tokens are turned into JSON and back where files are read and written",
    "convert_to_native_format": "files are read where a folder is, and old ones by the converters of plugins",
    "deprecation_warnings": OWN_STATE,
    "files_loaded": OWN_STATE,
    "get_response_parser": "taking answers apart is not a matter of tokens",
    "parse_response": "taking answers apart is not a matter of tokens",
    "response_template": "taking answers apart is not a matter of tokens",
    "init_inputs": OWN_STATE,
    "model": "the class of the model is type(backend_tokenizer.model)",
    "pretrained_vocab_files_map": "no class knows names of models",
    "save_chat_templates": "save_pretrained writes them with the other files, in one commit",
    "set_truncation_and_padding": NO_STATE,
    "update_post_processor": "setting add_bos_token or add_eos_token changes the pipeline at once",
    "verbose": "an argument of a call; warnings are filtered with the module warnings",
    "vocab_file": "what was read is in the vocabulary, and need not lie there any more",
    # Of the tokenizer in Python alone.
    "basic_tokenizer": "a part, which is not public",
    "ids_to_tokens": "convert_ids_to_tokens",
    "tokens_trie": "a part, which is not public",
    "total_vocab_size": "len(tokenizer)",
    "wordpiece_tokenizer": "a part, which is not public",
}
OTHERWISE: dict[str, str] = {
    "BertTokenizer.__init__(do_lower_case)": "None: what the pipeline says, and True for one made from a vocabulary",
    "BertTokenizer.__init__(tokenize_chinese_chars)": "the same",
    "TokenizersBackend.vocab_files_names": "old vocabulary files are read by the converters of plugins",
    "*.push_to_hub(repo_id)": "optional, because the names of transformers 4 may say it; a call without it raises",
    "BertTokenizerLegacy.model_input_names": "with token_type_ids, as its twin and transformers 4 have them",
}


def pairs() -> dict[str, tuple[Any, Any]]:
    legacy = transformers.models.bert.tokenization_bert_legacy
    return {
        "PreTrainedTokenizerBase": (transformers.PreTrainedTokenizerBase, formers.PreTrainedTokenizerBase),
        "PreTrainedTokenizer": (transformers.PreTrainedTokenizer, formers.PreTrainedTokenizer),
        "TokenizersBackend": (transformers.TokenizersBackend, formers.TokenizersBackend),
        "BatchEncoding": (transformers.BatchEncoding, formers.BatchEncoding),
        "BertTokenizer": (transformers.BertTokenizer, formers_bert.BertTokenizer),
        "BertTokenizerLegacy": (legacy.BertTokenizerLegacy, formers_bert.BertTokenizerLegacy),
    }


def places(place: str) -> set[str]:
    return {place, f"*.{place.partition('.')[2]}"}


def public(thing: Any) -> list[str]:
    return [name for name in dir(thing) if not name.startswith("_")] + ["__init__", "__call__", "__len__"]


def parameters(function: Any) -> dict[str, inspect.Parameter]:
    found = inspect.signature(function).parameters
    return {
        name: one for name, one in found.items() if name != "self" and not one.kind.name.startswith("VAR")
    }


def default(parameter: inspect.Parameter) -> Any:
    return getattr(parameter.default, "value", parameter.default)  # of an enumeration


def differences(where: str, theirs: Any, ours: Any) -> list[str]:
    """What is different in a signature, with the place in front."""
    expected, actual = parameters(theirs), parameters(ours)
    taken = list(actual)
    found = []
    for index, (name, parameter) in enumerate(expected.items()):
        place = f"{where}({name})"
        if name not in actual:
            found.append(f"{place}: missing")
        elif default(parameter) != default(actual[name]):
            found.append(f"{place}: {default(actual[name])!r}, expected {default(parameter)!r}")
        elif parameter.kind is parameter.POSITIONAL_OR_KEYWORD and taken[index] != name:
            found.append(f"{place}: {taken[index]!r} is in its place")
    return found


@pytest.mark.parametrize("name", pairs())
def test_every_public_name_has_its_parameters(name: str) -> None:
    theirs, ours = pairs()[name]
    found = []
    for member in public(theirs):
        if member in ABSENT or not hasattr(theirs, member):
            continue
        where = f"{name}.{member}"
        if not hasattr(ours, member) and not isinstance(inspect.getattr_static(theirs, member), property):
            found.append(
                f"{where}: missing"
            )  # properties of ours may be attributes of each object: see below
        elif callable(getattr(theirs, member)):
            found += differences(where, getattr(theirs, member), getattr(ours, member))
        elif isinstance(value := getattr(theirs, member), (str, list, dict)):
            actual = getattr(ours, member)
            if value != (list(actual) if isinstance(value, list) else actual):
                found.append(f"{where}: {actual!r}, expected {value!r}")
    unlisted = [one for one in found if OTHERWISE.keys().isdisjoint(places(one.split(":")[0]))]
    assert not unlisted, "\n".join(unlisted)


@pytest.mark.parametrize("name", ["BertTokenizer", "BertTokenizerLegacy"])
def test_every_public_attribute_is_there(name: str, minilm: Path) -> None:
    theirs, ours = (one.from_pretrained(minilm) for one in pairs()[name])
    for one in (theirs, ours):
        one.add_special_tokens({"eos_token": "</s>", "bos_token": "<s>"})
    assert [member for member in public(theirs) if member not in ABSENT and not hasattr(ours, member)] == []


@pytest.mark.parametrize("name", pairs())
def test_every_exception_is_still_needed(name: str) -> None:
    theirs, ours = pairs()[name]
    assert [member for member in ABSENT if hasattr(ours, member)] == []
    for place in OTHERWISE:
        owner, _, rest = place.rstrip(")").partition(".")
        if owner != name and not (owner == "*" and name != "BatchEncoding"):
            continue
        member, _, parameter = rest.partition("(")
        expected, actual = getattr(theirs, member), getattr(ours, member)
        if parameter:
            assert default(parameters(expected)[parameter]) != default(parameters(actual)[parameter]), place
        else:
            assert expected != actual, place


def test_every_absent_name_is_one_of_transformers(minilm: Path) -> None:
    objects = [pairs()[name][0].from_pretrained(minilm) for name in ("BertTokenizer", "BertTokenizerLegacy")]
    assert [name for name in ABSENT if not any(hasattr(one, name) for one in objects)] == []


def test_the_names_of_the_module() -> None:
    for name in ("AddedToken", "BatchEncoding", "CharSpan", "TensorType", "TokenSpan", "TokenizersBackend"):
        assert getattr(transformers, name).__name__ == getattr(tokenization, name).__name__
        assert getattr(formers, name) is getattr(tokenization, name)
    assert transformers.PreTrainedTokenizerFast is transformers.TokenizersBackend
    assert formers.PreTrainedTokenizerFast is formers.TokenizersBackend


def test_auto_tokenizer() -> None:
    theirs, ours = transformers.AutoTokenizer, formers.AutoTokenizer
    for method in ("from_pretrained", "register"):
        assert differences(method, getattr(theirs, method), getattr(ours, method)) == []
