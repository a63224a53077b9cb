from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from small_tokenizer import folder_of, small

from formers.cli import main
from formers.tokenization.fingerprint import fingerprint

EXPECTED = fingerprint(small())
OTHER = "v1:" + "0" * 64


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(folder_of(tmp_path / "f"))


def test_it_is_printed(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tokenizer", "fingerprint", folder]) == 0
    assert capsys.readouterr().out == f"{EXPECTED}\n"
    assert main(["tokenizer", "fingerprint", folder, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report.pop("tokenizers")
    assert report == {
        "fingerprint": EXPECTED,
        "name": folder,
        "tokenizer_class": "TokenizersBackend",
        "vocabulary": 17,
        "texts": 2000,
    }


def test_it_is_compared(folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["tokenizer", "fingerprint", folder]
    assert main([*command, "--json"]) == 0
    (tmp_path / "report.json").write_text(capsys.readouterr().out)
    (tmp_path / "line.txt").write_text(f"{EXPECTED}\n")
    small().save_pretrained(tmp_path / "saved", fingerprint=True)
    places = ["report.json", "line.txt", "saved/tokenizer_config.json"]
    for good in (EXPECTED, *(str(tmp_path / place) for place in places)):
        assert main([*command, "--check", good]) == 0
    capsys.readouterr()
    assert main([*command, "--check", OTHER]) == 1
    output = capsys.readouterr()
    assert output.out == f"{EXPECTED}\n"
    assert f"gives other ids than expected: {OTHER}" in output.err
    assert main([*command, "--check", OTHER, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["expected"], report["equal"]) == (OTHER, False)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "neither a fingerprint nor a file that can be read"),
        ("hello", "'hello' is no fingerprint; expected 'v1:' and 64 hexadecimal digits"),
        ('{"other": 1}', "None is no fingerprint; .* as 'fingerprint' or 'tokenizer_fingerprint'"),
        ('{"fingerprint": 1}', "1 is no fingerprint"),
        ('{"fingerprint"', "JSON"),
        ("v2:" + "0" * 64, "is of another version than v1"),
    ],
)
def test_what_is_no_fingerprint_is_refused_at_once(
    tmp_path: Path, content: str | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "expected"
    if content is not None:
        file.write_text(content)
    assert main(["tokenizer", "fingerprint", str(tmp_path / "nowhere"), "--check", str(file)]) == 1
    error = capsys.readouterr().err
    assert "nowhere" not in error
    assert re.search(said, error)
