from __future__ import annotations

from pathlib import Path

import pytest

import formers
import formers_tokenizer_tiktoken
from formers import AutoTokenizer
from formers.tokenization.converters import known_converters


def test_the_core_finds_the_converter() -> None:
    assert "qwen-tiktoken" in {converter.name for converter in known_converters()}


def test_without_the_plugin_the_error_says_what_the_folder_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "qwen.tiktoken").write_bytes(b"IQ== 0\n")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "QWenTokenizer"}')
    monkeypatch.setenv("FORMERS_DISABLE_PLUGINS", "formers-tokenizer-tiktoken")
    formers.refresh_plugins()
    with pytest.raises(OSError, match="QWen"):
        AutoTokenizer.from_pretrained(tmp_path)
    monkeypatch.undo()
    formers.refresh_plugins()


def test_every_public_name_can_be_imported() -> None:
    for name in formers_tokenizer_tiktoken.__all__:
        assert getattr(formers_tokenizer_tiktoken, name) is not None
