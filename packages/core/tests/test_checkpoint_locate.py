"""Which files make up a checkpoint, and what is wrong with an index."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from formers import refresh_plugins
from formers.checkpoint.formats import CheckpointFormat, ReadOptions, builtin, known_formats
from formers.checkpoint.header import TensorInfo
from formers.checkpoint.locate import candidates, locate, locate_file
from formers.checkpoint.save import write_checkpoint
from formers.checkpoint.source import Checkpoint, main_dtype, open_checkpoint
from formers.errors import CorruptFileError, FormersWarning, LoadError, UnsafePathError
from formers.files.commit import Commit
from formers.files.folder import Folder
from formers.plugins import hooks


@pytest.fixture(autouse=True)
def _only_the_core(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Formats that installed plugins bring would be candidates too."""
    monkeypatch.setenv("FORMERS_DISABLE_PLUGINS", "*")
    refresh_plugins()
    yield
    monkeypatch.undo()
    refresh_plugins()


TENSORS = {"a": torch.arange(300.0), "b": torch.ones(300), "c": torch.zeros(2, dtype=torch.int64)}


def save(folder: Path, tensors: dict[str, Tensor] = TENSORS, **options: Any) -> list[str]:
    with Commit(folder) as commit:
        return write_checkpoint(commit, tensors, **options)


def open_folder(path: Path, **options: Any) -> Checkpoint:
    folder = Folder.open(path)
    return open_checkpoint(folder, locate(folder, **options))


def equal(found: Checkpoint, tensors: dict[str, Tensor] = TENSORS) -> bool:
    return set(found.keys()) == set(tensors) and all(
        torch.equal(found.tensor(k), t) for k, t in tensors.items()
    )


def edit_index(folder: Path, **changes: Any) -> None:
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    save(tmp_path, max_shard_size="1KB")
    return tmp_path


def test_names_are_those_of_transformers() -> None:
    safetensors, pickle = builtin()
    assert safetensors.single() == "model.safetensors"
    assert safetensors.single("fp16") == "model.fp16.safetensors"
    assert safetensors.index("fp16") == "model.safetensors.index.fp16.json"
    assert safetensors.shard(1, 3) == "model-00001-of-00003.safetensors"
    assert safetensors.shard(1, 3, "fp16") == "model.fp16-00001-of-00003.safetensors"
    assert (pickle.single(), pickle.index()) == ("pytorch_model.bin", "pytorch_model.bin.index.json")
    assert pickle.shard(2, 3) == "pytorch_model-00002-of-00003.bin"


def test_a_format_owns_its_files_of_one_variant() -> None:
    safetensors = builtin()[0]
    mine = ["model.safetensors", "model.safetensors.index.json", "model-00002-of-00017.safetensors"]
    others = [
        "model.fp16.safetensors",
        "my-model.safetensors",
        "model-1-of-2.safetensors",
        "adapter_model.safetensors",
    ]
    assert all(safetensors.owns(name) for name in mine)
    assert not any(safetensors.owns(name) for name in others)
    assert safetensors.owns("model.fp16.safetensors", "fp16")


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("size", ["1KB", "1GB"])
@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.filterwarnings("ignore:.*pickle")
def test_what_is_saved_is_found_and_read(tmp_path: Path, safe: bool, size: str, variant: str | None) -> None:
    save(tmp_path, max_shard_size=size, safe_serialization=safe, variant=variant)
    assert equal(open_folder(tmp_path, variant=variant))
    assert main_dtype(open_folder(tmp_path, variant=variant)) == torch.float32


def test_safetensors_come_first_and_pickles_are_warned_about(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "pytorch_model.bin")
    with pytest.warns(FormersWarning, match=r"pytorch_model\.bin is a pickle"):
        assert equal(open_folder(tmp_path), {"a": torch.ones(1)})
    with pytest.raises(LoadError, match=r"use_safetensors=True.*pytorch_model\.bin"):
        open_folder(tmp_path, use_safetensors=True)
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    assert equal(open_folder(tmp_path), {"a": torch.zeros(1)})
    with pytest.warns(FormersWarning, match="pickle"):
        assert equal(open_folder(tmp_path, use_safetensors=False), {"a": torch.ones(1)})


def test_candidates_are_in_order_of_preference() -> None:
    assert candidates() == [
        "model.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
    ]
    assert candidates(variant="fp16", use_safetensors=True) == [
        "model.fp16.safetensors",
        "model.safetensors.index.fp16.json",
    ]
    assert [one.name for one in known_formats(use_safetensors=False)] == ["torch"]


def test_leftovers_of_another_tool_are_warned_about(sharded: Path) -> None:
    save_file({"a": torch.ones(1)}, sharded / "model.safetensors")
    with pytest.warns(FormersWarning, match="holds both"):
        assert equal(open_folder(sharded), {"a": torch.ones(1)})


@pytest.mark.parametrize("variant", ["../x", "", "a/b", ".", "a\\b"])
def test_a_variant_is_a_word(tmp_path: Path, variant: str) -> None:
    with pytest.raises(ValueError, match="variant"):
        locate(Folder.open(tmp_path), variant=variant)


def test_an_absent_checkpoint_says_what_is_there_instead(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"looked for model\.safetensors, .*Found: nothing"):
        open_folder(tmp_path)
    (tmp_path / "tf_model.h5").touch()
    with pytest.raises(LoadError, match="TensorFlow"):
        open_folder(tmp_path)
    save(tmp_path)
    with pytest.raises(LoadError, match="without the variant 'fp16'"):
        open_folder(tmp_path, variant="fp16")


def test_single_files(sharded: Path) -> None:
    path = sharded / "my_own.safetensors"
    save_file(TENSORS, path)
    assert equal(open_checkpoint(*locate_file(path)))
    assert equal(open_checkpoint(*locate_file(sharded / "model.safetensors.index.json")))
    (sharded / "x.gguf").touch()
    with pytest.raises(LoadError, match=r"x\.gguf.*\.safetensors, \.bin"):
        locate_file(sharded / "x.gguf")
    with pytest.raises(LoadError, match="absent"):
        locate_file(sharded / "absent.safetensors")


def test_reading_may_copy(sharded: Path) -> None:
    folder = Folder.open(sharded)
    assert equal(open_checkpoint(folder, locate(folder), ReadOptions(mmap=False)))


UNSAFE = [
    "../x.safetensors",
    "/etc/passwd",
    "/x.safetensors",
    "..\\x.safetensors",
    "C:x.safetensors",
    "\\x.safetensors",
]


@pytest.mark.parametrize(
    "shard", [*UNSAFE, "pytorch_model.bin", "x.pkl", "\\\\host\\x.safetensors", "a/../../x.safetensors"]
)
def test_an_index_cannot_point_outside_or_at_a_pickle(sharded: Path, shard: str) -> None:
    torch.save({"a": torch.ones(1)}, sharded / "pytorch_model.bin")
    edit_index(sharded, weight_map={"a": shard})
    with pytest.raises(UnsafePathError, match=r"model\.safetensors\.index\.json: weight_map\['a'\]"):
        open_folder(sharded)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{bad",
        "[]",
        "3",
        '""',
        "{}",
        '{"weight_map": []}',
        '{"weight_map": {"a": 3}}',
        '{"weight_map": {}}',
        "{" * 10**5,
    ],
)
def test_a_malformed_index_is_named(sharded: Path, text: str) -> None:
    (sharded / "model.safetensors.index.json").write_text(text)
    with pytest.raises(LoadError, match=r"model\.safetensors\.index\.json"):
        open_folder(sharded)


def test_a_key_given_twice_is_refused(sharded: Path) -> None:
    text = (
        '{"weight_map": {"a": "model-00001-of-00002.safetensors", "a": "model-00002-of-00002.safetensors"}}'
    )
    (sharded / "model.safetensors.index.json").write_text(text)
    with pytest.raises(CorruptFileError, match="'a'"):
        open_folder(sharded)


def test_metadata_may_be_missing(sharded: Path) -> None:
    path = sharded / "model.safetensors.index.json"
    content = json.loads(path.read_text())
    del content["metadata"]
    path.write_text(json.dumps(content))
    assert equal(open_folder(sharded))


def test_all_missing_shards_are_named_at_once(sharded: Path) -> None:
    shards = sorted(sharded.glob("*.safetensors"))
    for path in shards[:2]:
        os.remove(path)
    with pytest.raises(
        LoadError, match=f"2 of {len(shards)} weight files.*{shards[0].name}, {shards[1].name}"
    ):
        open_folder(sharded)


def test_a_corrupt_shard_is_named(sharded: Path) -> None:
    shard = sorted(sharded.glob("*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(CorruptFileError, match=shard.name):
        open_folder(sharded)


def test_a_key_that_its_shard_lacks_is_refused(sharded: Path) -> None:
    shard = sorted(sharded.glob("*.safetensors"))[0]
    save_file({"other": torch.ones(1)}, shard)
    with pytest.raises(CorruptFileError, match=rf"{shard.name} lacks the tensor 'a'"):
        open_folder(sharded)


def test_shards_may_lie_in_a_subfolder(sharded: Path) -> None:
    (sharded / "sub").mkdir()
    weight_map = json.loads((sharded / "model.safetensors.index.json").read_text())["weight_map"]
    for name in set(weight_map.values()):
        os.rename(sharded / name, sharded / "sub" / name)
    edit_index(sharded, weight_map={key: f"sub/{name}" for key, name in weight_map.items()})
    assert equal(open_folder(sharded))


def test_a_format_of_a_plugin_is_found_by_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A format with a reader that turns a text file into tensors."""

    class Lines:
        def __init__(self, path: Path, options: ReadOptions) -> None:
            self._tensors = {line: torch.ones(1) for line in path.read_text().split()}

        def keys(self) -> list[str]:
            return list(self._tensors)

        def info(self, key: str) -> TensorInfo:
            return TensorInfo(torch.float32, (1,), "names.txt")

        def tensor(
            self, key: str, *, dtype: torch.dtype | None = None, device: torch.device | None = None
        ) -> Tensor:
            return self._tensors[key].to(device=device, dtype=dtype)

    ours = CheckpointFormat(name="lines", stem="names", suffix=".txt", reader=Lines, priority=200)
    monkeypatch.setattr(hooks, "call", lambda name: [builtin(), [ours]])
    (tmp_path / "names.txt").write_text("a b")
    assert equal(open_folder(tmp_path), {"a": torch.ones(1), "b": torch.ones(1)})
    save(tmp_path)
    assert os.listdir(tmp_path) == ["model.safetensors"], "what would be read first is stale"
