"""Saving tensors: shards, ties, variants, and what must not stay behind."""

from __future__ import annotations

import errno
import gc
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from formers.checkpoint.rules import Legacy, Rename
from formers.checkpoint.save import parse_size, plan_shards, select_tensors, write_checkpoint
from formers.errors import FormersError
from formers.files import _os
from formers.files.commit import Commit

TENSORS = {"a": torch.arange(300.0), "b": torch.ones(300), "c": torch.zeros(2)}


def save(folder: Path, tensors: dict[str, Tensor] = TENSORS, **options: Any) -> list[str]:
    with Commit(folder) as commit:
        return write_checkpoint(commit, tensors, **options)


@pytest.mark.parametrize(
    ("text", "size"),
    [("5MB", 5 * 10**6), ("50GB", 50 * 10**9), ("10 KB", 10_000), ("2KiB", 2048), ("1tb", 10**12), (7, 7)],
)
def test_sizes_are_digits_and_a_unit(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "5", "MB", "-5MB", "5.5GB", "5XB", "0MB", 0, -1, True, 2.5, None, "\u0665MB"]
)
def test_other_sizes_are_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="max_shard_size"):
        parse_size(text)


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=12), st.integers(1, 8000))
def test_law_every_tensor_is_in_one_shard_and_shards_are_small(lengths: list[int], limit: int) -> None:
    tensors = {f"t{index}": torch.empty(length, dtype=torch.uint8) for index, length in enumerate(lengths)}
    shards = plan_shards(tensors, limit)
    assert [key for shard in shards for key in shard] == list(tensors)
    assert all(len(shard) == 1 or sum(tensors[key].nbytes for key in shard) < limit for shard in shards)


def test_each_file_is_smaller_than_the_limit(tmp_path: Path) -> None:
    tensors = {f"some.long.name.of.a.tensor.{index}": torch.zeros(100 + index) for index in range(100)}
    save(tmp_path, tensors, max_shard_size="10KB")
    sizes = [path.stat().st_size for path in tmp_path.glob("*.safetensors")]
    assert 5 <= len(sizes) <= 12
    assert max(sizes) < 10_000


def test_the_index_counts_what_is_stored(tmp_path: Path) -> None:
    names = save(tmp_path, max_shard_size="1KB")
    assert sorted(names) == sorted(os.listdir(tmp_path))
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"] == {"total_parameters": 602, "total_size": 2408}
    found: dict[str, Tensor] = {}
    for shard in set(index["weight_map"].values()):
        found |= load_file(tmp_path / shard)
    assert found.keys() == index["weight_map"].keys() == TENSORS.keys()


@pytest.mark.parametrize("before", ["1KB", "2KB", "1GB"])
@pytest.mark.parametrize("after", ["1KB", "2KB", "1GB"])
@pytest.mark.parametrize("safe", [True, False])
def test_weights_of_an_earlier_save_do_not_stay(tmp_path: Path, before: str, after: str, safe: bool) -> None:
    save(tmp_path, max_shard_size=before, safe_serialization=not safe)
    save(tmp_path, max_shard_size=before)
    (tmp_path / "adapter_model.safetensors").touch()
    names = save(tmp_path, max_shard_size=after, safe_serialization=safe)
    assert sorted(os.listdir(tmp_path)) == sorted([*names, "adapter_model.safetensors"])


def test_variants_leave_each_other_alone(tmp_path: Path) -> None:
    save(tmp_path)
    save(tmp_path, variant="fp16", max_shard_size="1KB")
    save(tmp_path, variant="fp16")
    assert sorted(os.listdir(tmp_path)) == ["model.fp16.safetensors", "model.safetensors"]


def test_a_tie_is_stored_once_under_its_canonical_name() -> None:
    weight = torch.ones(3)
    state = {"head": weight, "embeddings": weight, "bias": torch.zeros(1)}
    assert select_tensors(state, tied={"head": "embeddings"}).keys() == {"embeddings", "bias"}
    assert (
        select_tensors(state | {"head": weight.clone()}, tied={"head": "embeddings"}).keys() == state.keys()
    )
    assert select_tensors({"head": weight}, tied={"head": "embeddings"}).keys() == {"head"}


def test_other_shared_memory_is_stored_one_by_one(tmp_path: Path) -> None:
    base = torch.arange(12.0)
    tensors = {"a": base, "same": base, "part": base[2:5], "matrix": base.view(3, 4).t()}
    save(tmp_path, tensors)
    assert all(
        torch.equal(found, tensors[key]) for key, found in load_file(tmp_path / "model.safetensors").items()
    )


def test_names_are_published_ones(tmp_path: Path) -> None:
    rules = (Rename("encoder.layer.{i}", "layers.{i}"), Legacy("gamma", "weight"))
    save(tmp_path, {"layers.0.weight": torch.ones(1)}, rules=rules)
    assert load_file(tmp_path / "model.safetensors").keys() == {"encoder.layer.0.weight"}
    with pytest.raises(FormersError, match="not reversible"):
        save(tmp_path, {"encoder.layer.0.weight": torch.ones(1)}, rules=rules)


@pytest.mark.parametrize(
    ("tensor", "problem"),
    [
        (torch.empty(2, device="meta"), "meta device"),
        (torch.eye(2).to_sparse(), "to_dense"),
        (torch.zeros(2, dtype=torch.complex128), "complex128"),
        ("text", "str"),
    ],
)
def test_what_cannot_be_saved_is_refused_before_anything_is_written(
    tmp_path: Path, tensor: Any, problem: str
) -> None:
    save(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(ValueError, match=rf"'x\.y'.*{problem}"):
        save(tmp_path, TENSORS | {"x.y": tensor})
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_a_save_function_writes_bin_files(tmp_path: Path) -> None:
    written: list[str] = []

    def save_function(tensors: dict[str, Tensor], path: Path) -> None:
        written.append(path.name)
        torch.save(tensors, path)

    names = save(tmp_path, max_shard_size="3KB", save_function=save_function)
    assert written == ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]
    assert sorted(os.listdir(tmp_path)) == sorted(names)


def test_metadata_is_kept_beside_the_format(tmp_path: Path) -> None:
    save(tmp_path, metadata={"step": "3"})
    raw = (tmp_path / "model.safetensors").read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert header["__metadata__"] == {"format": "pt", "step": "3"}


def test_views_are_copied_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = {f"t{index}": torch.zeros(200, 300).t() for index in range(5)}
    copies: list[int] = []

    def write(descriptor: int, data: bytes) -> int:
        alive = [thing for thing in gc.get_objects() if type(thing) is Tensor and thing.shape == (300, 200)]
        copies.append(sum(tensor.is_contiguous() for tensor in alive))
        return os.write(descriptor, data)

    monkeypatch.setattr(_os, "write", write)
    save(tmp_path, tensors)
    assert max(copies) == 1


def test_a_full_disk_names_the_shard_and_keeps_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, max_shard_size="1KB")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    count = iter(range(10**6))

    def full(descriptor: int, data: bytes) -> int:
        if next(count) > 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.write(descriptor, data)

    monkeypatch.setattr(_os, "write", full)
    with pytest.raises(OSError, match=r"bytes free.*model-00002-of-00003\.safetensors"):
        save(tmp_path, {key: tensor + 1 for key, tensor in TENSORS.items()}, max_shard_size="1KB")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_format_is_asked_for_by_name(tmp_path: Path) -> None:
    tensors = {"a": torch.ones(2)}
    with Commit(tmp_path) as commit:
        assert write_checkpoint(commit, tensors, checkpoint_format="torch") == ["pytorch_model.bin"]
    with (
        pytest.raises(ValueError, match=r"'npy': no installed package writes it; .* 'safetensors'"),
        Commit(tmp_path) as commit,
    ):
        write_checkpoint(commit, tensors, checkpoint_format="npy")
    with pytest.raises(ValueError, match="pass only one of the two"), Commit(tmp_path) as commit:
        write_checkpoint(commit, tensors, checkpoint_format="torch", save_function=torch.save)
    assert (tmp_path / "pytorch_model.bin").is_file()
