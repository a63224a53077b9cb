"""JSON files: what is refused, within which limits, and that what is written reads back."""

from __future__ import annotations

import contextlib
import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formers.errors import CorruptFileError, LoadError, ResourceLimitError
from formers.files.strict_json import MAX_BYTES, DuplicateKeyError, dump_json, parse_json, read_json

SCALARS = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


def finite(value: Any) -> bool:
    if isinstance(value, list | dict):
        return all(finite(item) for item in (value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)


@given(VALUES.filter(finite))
def test_what_is_dumped_reads_back(value: Any) -> None:
    assert parse_json(dump_json(value), "value") == value


@given(VALUES.filter(finite))
def test_agrees_with_the_standard_library_on_good_input(value: Any) -> None:
    text = json.dumps(value)
    assert parse_json(text, "value") == json.loads(text)


@given(st.text() | st.text(alphabet='{}[]",:0129.eE-+ \\nutruefalsn'))
def test_any_text_is_a_value_or_a_load_error(text: str) -> None:
    with contextlib.suppress(LoadError):
        parse_json(text, "some.json")


def test_the_layout_is_that_of_transformers() -> None:
    assert dump_json({"b": [1], "a": "é"}) == '{\n  "a": "\\u00e9",\n  "b": [\n    1\n  ]\n}\n'
    with pytest.raises(ValueError, match="JSON compliant"):
        dump_json({"a": math.nan})
    with pytest.raises(TypeError, match="serializable"):
        dump_json({"a": object()})


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("", CorruptFileError, "empty"),
        (" \n", CorruptFileError, "empty"),
        ('{"a": 1,\n "b": }', CorruptFileError, "line 2, column 7"),
        ("{} {}", CorruptFileError, "line 1, column 4"),
        ('{"a": 1, "a": 2}', DuplicateKeyError, "'a' is given twice, as 1 and as 2"),
        ('{"x": [{"a": 1, "a": true}]}', DuplicateKeyError, "'a' is given twice"),
        ('{"a": NaN}', CorruptFileError, "NaN"),
        ('{"a": -Infinity}', CorruptFileError, "-Infinity"),
        ('{"a": 1e999}', CorruptFileError, "1e999"),
        ("1" * 5000, ResourceLimitError, "5000 digits"),
        ("[" * 101 + "]" * 101, ResourceLimitError, "100 levels"),
        ('{"a":' * 900 + "1" + "}" * 900, ResourceLimitError, "100 levels"),
        ("[" * 100_000, ResourceLimitError, "100 levels"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", CorruptFileError, "git lfs pull"),
    ],
)
def test_bad_text(text: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        parse_json(text, "folder/some.json")
    assert str(caught.value).startswith("folder/some.json")
    assert len(str(caught.value)) < 400


def test_what_looks_bad_and_is_not() -> None:
    assert parse_json('{"a": 1, "a": 1}', "x") == {"a": 1}
    assert parse_json("[" * 100 + "]" * 100, "x") is not None
    brackets = json.dumps(["[{" * 300, '"[\\"' * 300])
    assert parse_json(brackets, "x") == json.loads(brackets)
    assert parse_json('{"a": [NaN, Infinity, 1e999]}', "x", allow_nan=True)["a"][1:] == [math.inf, math.inf]


@pytest.mark.parametrize("piece", ['\\"', '"[', '\\\\"[', '"', "[]", '{"a":', "[1,", "\\", '"\\'])
def test_time_is_linear_in_the_length(piece: str) -> None:
    start = time.perf_counter()
    for prefix in ("", '"', "[" * 101):
        with pytest.raises(LoadError):
            parse_json(prefix + piece * 300_000, "x")
    assert time.perf_counter() - start < 5


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": "\xc3\xa9"}')
    assert read_json(path) == {"a": "é"}
    path.write_bytes(b'{"a": "\xe9"}')
    with pytest.raises(CorruptFileError, match=r"some\.json: byte 7 is .* not UTF-8"):
        read_json(path)
    with pytest.raises(LoadError, match=r"absent\.json"):
        read_json(tmp_path / "absent.json")
    with pytest.raises(LoadError, match="cannot be read"):
        read_json(tmp_path)
    with pytest.raises(LoadError, match="cannot be read"):
        read_json(tmp_path / "a\0b")


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with open(path, "wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ResourceLimitError, match=f"at most {MAX_BYTES:,}"):
        read_json(path)
