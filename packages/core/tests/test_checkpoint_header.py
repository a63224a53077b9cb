"""Hostile and damaged safetensors headers; each is refused with the file's name, before anything is mapped."""

from __future__ import annotations

import json
import resource
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from formers.checkpoint.header import MAX_HEADER_BYTES, read_header
from formers.checkpoint.safetensors_file import SafetensorsFile
from formers.errors import CorruptFileError, LoadError, ResourceLimitError

GOOD = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}


def write(path: Path, header: bytes | dict[str, Any], data: bytes = b"\0" * 8) -> Path:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def test_reads_types_and_shapes_without_data(file: Path) -> None:
    save_file(
        {"a": torch.zeros(2, 3, dtype=torch.bfloat16), "b": torch.ones((), dtype=torch.bool)},
        file,
        {"format": "pt"},
    )
    header = read_header(file)
    assert header.metadata == {"format": "pt"}
    assert {key: (info.dtype, info.shape, info.file) for key, info in header.tensors.items()} == {
        "a": (torch.bfloat16, (2, 3), "model.safetensors"),
        "b": (torch.bool, (), "model.safetensors"),
    }


def test_a_truncated_file_is_refused_at_every_length(file: Path) -> None:
    save_file({"a": torch.zeros(100), "b": torch.zeros(7)}, file)
    whole = file.read_bytes()
    for length in (*range(160), *range(160, len(whole), 37), len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(CorruptFileError, match=r"model\.safetensors.*again"):
            read_header(file)


def test_trailing_bytes_are_refused(file: Path) -> None:
    write(file, GOOD, b"\0" * 9)
    with pytest.raises(CorruptFileError, match=r"behind the last tensor.*8 bytes of data, it holds 9"):
        read_header(file)


def test_a_git_lfs_pointer_is_recognised(file: Path) -> None:
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    with pytest.raises(CorruptFileError, match="git lfs pull"):
        read_header(file)


def test_an_absent_file_is_named(file: Path) -> None:
    with pytest.raises(LoadError, match=r"model\.safetensors"):
        read_header(file)


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 200 * 10**6])
def test_a_huge_header_length_costs_nothing(file: Path, length: int) -> None:
    file.write_bytes(struct.pack("<Q", length) + b"{}")
    with pytest.raises(CorruptFileError, match=r"model\.safetensors"):
        read_header(file)


def test_a_long_header_is_a_named_and_overridable_limit(file: Path) -> None:
    write(file, {"__metadata__": {"note": "x" * MAX_HEADER_BYTES}} | GOOD)
    with pytest.raises(ResourceLimitError, match=r"max_header_bytes=(\d+)"):
        read_header(file)
    assert read_header(file, max_header_bytes=2 * MAX_HEADER_BYTES).tensors.keys() == {"a"}


def test_a_header_of_many_empty_tensors_is_refused_quickly(file: Path) -> None:
    entry = b'"%07d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},'
    write(file, b"{" + b"".join(entry % i for i in range(1_300_000))[:-1] + b"}", b"")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    with pytest.raises(ResourceLimitError):
        read_header(file)
    assert time.perf_counter() - start < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_a_duplicate_tensor_is_refused(file: Path) -> None:
    first, second = (
        b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}',
        b'"a":' + json.dumps(GOOD["a"]).encode(),
    )
    write(file, b"{" + first + b"," + second + b"}")
    with pytest.raises(CorruptFileError, match="duplicate tensor 'a'"):
        read_header(file)


def entry(**changes: Any) -> dict[str, Any]:
    return {"a": GOOD["a"] | changes}


HUGE = 2**40


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (b"{bad", "header"),
        (b" " + json.dumps(GOOD).encode(), "expected"),
        (b"[]", "expected"),
        (b'{"\xff": 1}', "UTF-8"),
        (b'{"a":' * 100_000, "deep"),
        ({"__metadata__": {"x": 1}} | GOOD, "__metadata__"),
        ({"a": 3}, "'a'"),
        ({"a": {"dtype": "F32", "shape": [2]}}, "data_offsets"),
        (entry(dtype="F31"), "F31"),
        (entry(dtype=None), "dtype"),
        (entry(shape=[-2]), "shape"),
        (entry(shape=[2.0]), "shape"),
        (entry(shape=[True, 2]), "shape"),
        (entry(shape="2"), "shape"),
        (entry(shape=[HUGE] * 3), "'a'"),
        (entry(shape=[2**70]), "shape"),
        (entry(data_offsets=[8, 0]), "'a'"),
        (entry(data_offsets=[0, 8, 8]), "data_offsets"),
        (entry(shape=[1]), "needs 4 bytes"),
        (entry(data_offsets=[4, 12]), "hole"),
        (GOOD | {"b": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, "overlap"),
    ],
)
def test_what_the_format_does_not_promise_is_refused(file: Path, header: Any, problem: str) -> None:
    write(file, header)
    with pytest.raises(LoadError, match=problem) as caught:
        SafetensorsFile(file)
    assert "model.safetensors" in str(caught.value)


def test_a_hostile_header_fits_into_a_small_address_space(file: Path) -> None:
    """A subprocess with 3 GiB for torch itself; the header claims 2**63 bytes."""
    file.write_bytes(struct.pack("<Q", 2**63) + b"{}" * 50)
    code = (
        "import resource, sys; from formers.checkpoint.header import read_header\n"
        "resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))\n"
        "try: read_header(sys.argv[1])\n"
        "except ValueError: print('refused')"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True
    )
    assert found.stdout == "refused\n"
