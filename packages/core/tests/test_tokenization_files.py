from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_dists import python
from small_tokenizer import IDS, NAMES, ROLES, folder_of, pipeline, small

from formers.errors import ConfigWarning, CorruptFileError, LoadError, TokenizerWarning
from formers.tokenization import AddedToken, PreTrainedTokenizerFast, TokenizersBackend

TEXTS = ["the cat sat", "Words, <new> and <a>", "", "one someone"]


def load(folder: Path, **options: Any) -> TokenizersBackend:
    return PreTrainedTokenizerFast.from_pretrained(folder, **options)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    tokenizer = small(
        model_max_length=9, padding_side="left", truncation_side="left", clean_up_tokenization_spaces=True
    )
    tokenizer.add_tokens(["<new>", AddedToken("one", single_word=True)])
    tokenizer.add_special_tokens({"mask_token": "<mask>", "extra_special_tokens": ["<a>"]})
    written = tokenizer.save_pretrained(tmp_path / "saved")
    assert written == tuple(
        str(tmp_path / "saved" / name) for name in ("tokenizer_config.json", "tokenizer.json")
    )
    loaded = load(tmp_path / "saved")
    assert loaded(TEXTS) == tokenizer(TEXTS)
    for name in (
        "model_max_length",
        "padding_side",
        "truncation_side",
        "special_tokens_map",
        "extra_special_tokens",
    ):
        assert getattr(loaded, name) == getattr(tokenizer, name)
    assert loaded.clean_up_tokenization_spaces
    assert loaded.model_input_names == NAMES
    assert loaded.name_or_path == str(tmp_path / "saved")


def test_settings_of_the_pipeline_for_cutting_and_padding_are_kept_but_not_used(tmp_path: Path) -> None:
    backend = pipeline()
    backend.enable_truncation(3)
    backend.enable_padding(length=8, pad_id=0, pad_token="<pad>")
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load(tmp_path)
    assert tokenizer.pad_token == "<pad>"
    assert len(tokenizer("the cat sat on").input_ids) == 6
    tokenizer.save_pretrained(tmp_path / "again")
    again = json.loads((tmp_path / "again" / "tokenizer.json").read_text("utf-8"))
    assert again["truncation"]["max_length"] == 3
    assert again["padding"]["strategy"] == {"Fixed": 8}


def test_names_with_a_prefix_and_stale_files(tmp_path: Path) -> None:
    (tmp_path / "special_tokens_map.json").write_text('{"mask_token": "<old>"}')
    (tmp_path / "added_tokens.json").write_text('{"<old>": 17}')
    (tmp_path / "notes.txt").write_text("mine")
    small().save_pretrained(tmp_path)
    assert sorted(files(tmp_path)) == ["notes.txt", "tokenizer.json", "tokenizer_config.json"]
    small().save_pretrained(tmp_path / "other", filename_prefix="en")
    assert sorted(files(tmp_path / "other")) == ["en-tokenizer.json", "en-tokenizer_config.json"]
    assert small().save_vocabulary(tmp_path / "other") == (str(tmp_path / "other" / "vocab.txt"),)


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        small().save_pretrained(tmp_path / "file")


def test_settings_of_the_caller_win(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "f", model_max_length=9, padding_side="left")
    tokenizer = load(folder, model_max_length=5, pad_token="cat", eos_token="<eos>")
    assert tokenizer.model_max_length == 5
    assert tokenizer.padding_side == "left"
    assert tokenizer.pad_token_id == IDS["cat"]
    assert tokenizer.eos_token_id == len(IDS)


def test_options_of_the_caller_change_the_pipeline(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "f")
    assert load(folder).tokenize("The") == ["the"]
    cased = load(folder, do_lower_case=False)
    assert cased.tokenize("The") == ["<unk>"]
    assert cased.do_lower_case is False
    assert load(folder).tokenize("é") == ["é"]
    assert load(folder, strip_accents=True).tokenize("é") == ["e"]
    cased.save_pretrained(tmp_path / "saved")
    assert load(tmp_path / "saved").tokenize("The") == ["<unk>"]
    with pytest.warns(TokenizerWarning, match="add_prefix_space=True has no effect"):
        load(folder, add_prefix_space=True)


def test_the_pipeline_is_the_truth(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "f", do_lower_case=False, strip_accents=None)
    with pytest.warns(
        TokenizerWarning, match="says do_lower_case=False, but the pipeline in tokenizer.json has True"
    ):
        tokenizer = load(folder)
    assert tokenizer.tokenize("The") == ["the"]
    assert tokenizer.do_lower_case is True
    assert load(folder, do_lower_case=False).tokenize("The") == ["<unk>"]


def test_a_misspelt_setting_is_warned_about(tmp_path: Path) -> None:
    with pytest.warns(ConfigWarning, match="has no setting 'do_lowercase'; did you mean 'do_lower_case'"):
        load(folder_of(tmp_path / "f"), do_lowercase=False)
    assert load(tmp_path / "f", colour="red").init_kwargs["colour"] == "red"


def test_files_of_older_versions(tmp_path: Path) -> None:
    pipeline().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "special_tokens_map.json").write_text(
        json.dumps(
            {**ROLES, "cls_token": {"content": "<s>", "lstrip": True}, "additional_special_tokens": ["<x>"]}
        )
    )
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<y>": len(IDS) + 1, "<x>": len(IDS)}))
    tokenizer = load(tmp_path)
    assert tokenizer.special_tokens_map == ROLES
    assert tokenizer.extra_special_tokens == ["<x>"]
    assert tokenizer.convert_tokens_to_ids(["<x>", "<y>"]) == [len(IDS), len(IDS) + 1]


def test_paths_in_a_file_are_not_followed(tmp_path: Path) -> None:
    folder = folder_of(
        tmp_path / "f", tokenizer_file="/etc/passwd", vocab_file="/etc/passwd", name_or_path="x"
    )
    tokenizer = load(folder)
    assert tokenizer.name_or_path == str(folder)
    assert "tokenizer_file" not in tokenizer.init_kwargs


def test_the_file_itself(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "f")
    assert load(folder / "tokenizer.json")("the").input_ids == small()("the").input_ids
    assert TokenizersBackend(tokenizer_file=folder / "tokenizer.json").vocab_size == len(IDS)
    (folder / "vocab.txt").write_text("the")
    with pytest.raises(
        LoadError, match=r"vocab\.txt is one file, but TokenizersBackend is made of tokenizer\.json"
    ):
        load(folder / "vocab.txt")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe", b'{"version": "1.0"}', b'{"a": {"b": [' * 40000]
)
def test_a_broken_pipeline(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(CorruptFileError, match=r"tokenizer\.json: not a tokenizer"):
        load(tmp_path)


def test_a_pipeline_cut_off_anywhere(tmp_path: Path) -> None:
    content = folder_of(tmp_path / "f").joinpath("tokenizer.json").read_bytes()
    for length in range(0, len(content) - 1, 97):
        (tmp_path / "f" / "tokenizer.json").write_bytes(content[:length])
        with pytest.raises(CorruptFileError, match=r"tokenizer\.json"):
            load(tmp_path / "f")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer_config.json", "{", r"tokenizer_config\.json"),
        ("tokenizer_config.json", "[]", r"tokenizer_config\.json: \[\]; a JSON object is expected"),
        ("tokenizer_config.json", '{"pad_token": "a", "pad_token": "b"}', "pad_token"),
        ("tokenizer_config.json", '{"padding_side": "up"}', r"tokenizer_config\.json: padding_side='up'"),
        ("tokenizer_config.json", '{"pad_token": 3}', r"tokenizer_config\.json: pad_token=3"),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"x": "<a>"}}', "not whole numbers"),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"70": {"content": "<a>"}}}', "say id 70"),
        ("special_tokens_map.json", "{", r"special_tokens_map\.json"),
        ("added_tokens.json", '{"<a>": "one"}', r"added_tokens\.json"),
    ],
)
def test_broken_settings(name: str, content: str, message: str, tmp_path: Path) -> None:
    pipeline().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / name).write_text(content)
    with pytest.raises(CorruptFileError, match=message):
        load(tmp_path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "readme.md").touch()
    with pytest.raises(LoadError, match=r"looked for tokenizer\.json; found \['readme\.md'\]"):
        load(tmp_path)
    with pytest.raises(LoadError, match="does not exist"):
        load(tmp_path / "nowhere")


def test_two_tokens_with_one_id(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "f")
    data = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    data["model"]["vocab"]["mat"] = data["model"]["vocab"]["cat"]
    (folder / "tokenizer.json").write_text(json.dumps(data))
    with pytest.raises(CorruptFileError, match=r"'(cat|mat)' and '(cat|mat)' both have the id 5"):
        load(folder)


def test_an_added_token_of_which_normalisation_leaves_nothing(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "f")
    data = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}
    data["added_tokens"].append({"id": len(IDS), "content": "\0", **flags})
    (folder / "tokenizer.json").write_text(json.dumps(data))
    with pytest.raises(
        CorruptFileError, match=r"tokenizer\.json: normalisation leaves nothing of the added token"
    ):
        load(folder)


def test_ids_with_large_gaps(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "f")
    data = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    data["model"]["vocab"]["mat"] = 4_000_000_000
    (folder / "tokenizer.json").write_text(json.dumps(data))
    with pytest.warns(TokenizerWarning, match="the id of 'mat' is 4,000,000,000"):
        tokenizer = load(folder)
    assert tokenizer("mat").input_ids[1] == 4_000_000_000


def test_no_pipeline_at_all() -> None:
    with pytest.raises(LoadError, match="TokenizersBackend needs a pipeline"):
        TokenizersBackend()


def test_nothing_heavy_is_imported(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "f")
    code = f"""
import sys
from formers import PreTrainedTokenizerFast
tokenizer = PreTrainedTokenizerFast.from_pretrained({str(folder)!r})
tokenizer(["the cat", "sat"], padding=True, truncation=True, max_length=3)
tokenizer.save_pretrained({str(tmp_path / "saved")!r})
print(*sorted({{name.partition(".")[0] for name in sys.modules}} & {{"torch", "numpy", "huggingface_hub", "jinja2"}}))
"""
    assert python(code).stdout.split() == []
