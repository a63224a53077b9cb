"""Old folders of BERT's relatives, read by converters, against transformers on the real MiniLM vocabulary."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from formers import AutoTokenizer
from formers_bert.hooks import SAME

pytestmark = pytest.mark.parity

CLASSES = [*(f"{name}Tokenizer" for name in SAME if name != "Bert"), "DistilBertTokenizer"]
TEXTS = ["Hello, wörld!", "unaffable naïve CAFÉ", "", "[MASK] of [SEP]", "東京 tower", "a\u0301 \x07 tab\t\n"]


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("settings", [{}, {"do_lower_case": False, "pad_token": "[unused0]"}])
def test_every_field_is_equal(
    oracle: Any, minilm: Path, tmp_path: Path, name: str, settings: dict[str, Any]
) -> None:
    shutil.copy(minilm / "vocab.txt", tmp_path)
    stored = {"tokenizer_class": name, "model_max_length": 16, **settings}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(stored))
    theirs = getattr(oracle, name).from_pretrained(tmp_path)
    ours = AutoTokenizer.from_pretrained(tmp_path)
    assert ours(TEXTS, TEXTS[::-1], padding=True).data == theirs(TEXTS, TEXTS[::-1], padding=True).data
    for text in TEXTS:
        expected = theirs(text, truncation=True)
        assert ours(text, truncation=True).data == expected.data
        assert ours.decode(expected["input_ids"]) == theirs.decode(expected["input_ids"])
    ours.save_pretrained(tmp_path / "saved")
    again = getattr(oracle, name).from_pretrained(tmp_path / "saved")
    assert again(TEXTS, padding=True).data == theirs(TEXTS, padding=True).data
