from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small_spiece import trained

from formers import AutoTokenizer, TokenizersBackend
from formers_t5.hooks import formers_tokenizer_converters
from formers_t5.tokenization import T5Tokenizer

TEXT = "the cat <extra_id_0> a mat"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("t5"))


def old_folder(file: Path, path: Path, model_type: str | None = None, **settings: Any) -> Path:
    shutil.copy(file, path)
    (path / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    if model_type is not None:
        (path / "config.json").write_text(json.dumps({"model_type": model_type}), "utf-8")
    return path


@pytest.mark.parametrize("model_type", ["t5", "mt5"])
@pytest.mark.parametrize("name", [None, "T5Tokenizer", "T5TokenizerFast"])
def test_its_own_class_reads_old_folders(
    file: Path, tmp_path: Path, model_type: str, name: str | None
) -> None:
    said = {} if name is None else {"tokenizer_class": name}
    tokenizer = AutoTokenizer.from_pretrained(old_folder(file, tmp_path, model_type, extra_ids=5, **said))
    assert type(tokenizer) is T5Tokenizer
    assert tokenizer.get_sentinel_tokens() == [f"<extra_id_{number}>" for number in range(5)]


@pytest.mark.parametrize("model_type", ["umt5", "longt5", "switch_transformers"])
@pytest.mark.parametrize("settings", [{}, {"extra_ids": 0}, {"legacy": False, "extra_ids": 3}], ids=str)
def test_relatives_are_read_without_their_packages(
    file: Path, tmp_path: Path, model_type: str, settings: dict[str, Any]
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(old_folder(file, tmp_path, model_type, **settings))
    own = T5Tokenizer(file, **settings)
    assert type(tokenizer) is TokenizersBackend
    assert tokenizer.get_vocab() == own.get_vocab()
    assert tokenizer(TEXT).data == own(TEXT).data
    assert tokenizer.special_tokens_map == own.special_tokens_map
    for skip in (True, False):
        assert tokenizer.decode(own(TEXT).input_ids, skip) == own.decode(own(TEXT).input_ids, skip)


def test_the_hook_imports_nothing_heavy() -> None:
    code = """
import sys
from formers_t5.hooks import formers_tokenizer_converters
assert formers_tokenizer_converters()
print([name for name in ("torch", "numpy", "sentencepiece", "google.protobuf") if name in sys.modules])
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
    (converter,) = formers_tokenizer_converters()
    assert converter.files == ("spiece.model",)


def test_a_pipeline_is_loaded_without_torch_and_without_the_reader(file: Path, tmp_path: Path) -> None:
    T5Tokenizer(file).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    code = f"""
import sys
from formers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained({str(tmp_path)!r})
assert type(tokenizer).__name__ == "T5Tokenizer"
tokenizer("the cat")
print([name for name in ("torch", "numpy", "sentencepiece", "google.protobuf") if name in sys.modules])
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
