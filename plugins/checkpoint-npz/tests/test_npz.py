from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from formers import CorruptFileError, PreTrainedConfig, PreTrainedModel
from formers.errors import ResourceLimitError
from formers.files.commit import Commit
from formers_checkpoint_npz import NpzFile, write_npz

TENSORS = {
    "matrix": torch.randn(3, 5),
    "half": torch.randn(4).half(),
    "bfloat16": torch.randn(2, 3).bfloat16(),
    "scalar": torch.tensor(2.5, dtype=torch.float64),
    "bfloat16 scalar": torch.tensor(2.5, dtype=torch.bfloat16),
    "empty": torch.zeros(0, 3),
    "count": torch.tensor([1, 2**40]),
    "mask": torch.tensor([True, False]),
    "file": torch.ones(2),  # the name of an argument of numpy.savez
    "turned": torch.randn(3, 5).t(),
}


def save(folder: Path, tensors: dict[str, Tensor], name: str = "model.npz") -> Path:
    with Commit(folder) as commit:
        write_npz(commit, name, tensors, {})
    return folder / name


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = NpzFile(save(tmp_path, TENSORS))
    assert list(file) == list(TENSORS)
    assert len(file) == len(TENSORS)
    for key, tensor in TENSORS.items():
        assert file.info(key).dtype == tensor.dtype
        assert file.info(key).shape == tuple(tensor.shape)
        assert torch.equal(file.tensor(key), tensor)
        assert file.tensor(key).is_contiguous()
    assert torch.equal(file.tensor("matrix", dtype=torch.float64), TENSORS["matrix"].double())


def test_numpy_reads_it(tmp_path: Path) -> None:
    with np.load(save(tmp_path, TENSORS), allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["matrix"], TENSORS["matrix"].numpy())
        assert arrays["bfloat16"].dtype.itemsize == 2


@pytest.mark.parametrize("compressed", [False, True])
def test_what_numpy_writes_is_read(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / "model.npz"
    (np.savez_compressed if compressed else np.savez)(path, a=np.arange(6).reshape(2, 3), b=np.float32(3))
    file = NpzFile(path)
    assert file.tensor("a").tolist() == [[0, 1, 2], [3, 4, 5]]
    assert file.tensor("b").item() == 3.0


class Config(PreTrainedConfig):
    model_type = "npz-test"


class Model(PreTrainedModel):
    config_class = Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.first, self.second = nn.Linear(20, 30), nn.Linear(30, 20)


@pytest.mark.parametrize("size", ["5GB", "3KB"])
def test_models_are_saved_and_loaded(tmp_path: Path, size: str) -> None:
    model = Model(Config())
    model.save_pretrained(tmp_path, checkpoint_format="npz", max_shard_size=size)
    names = {path.name for path in tmp_path.glob("model*")}
    assert ("model.npz" in names) == (size == "5GB")
    assert ("model.npz.index.json" in names) == (size == "3KB")
    loaded = Model.from_pretrained(tmp_path)
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)
    model.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.glob("model*")} == {"model.safetensors"}


def test_types_that_numpy_lacks_are_refused_before_anything_changes(tmp_path: Path) -> None:
    before = save(tmp_path, {"a": torch.ones(1)}).read_bytes()
    with pytest.raises(ValueError, match=r"'b' has dtype torch\.float8"):
        save(tmp_path, {"b": torch.ones(2).to(torch.float8_e4m3fn)})
    assert (tmp_path / "model.npz").read_bytes() == before


class Canary:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle was run",))


def member(path: Path, name: str, content: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content)
    return path


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + (len(text) + 1).to_bytes(2, "little") + text.encode() + b"\n"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.txt", b"", "'a.txt' is no .npy file"),
        ("a.npy", b"no array", "has no readable header"),
        (
            "a.npy",
            header("{'descr': '<f4', 'fortran_order': False, 'shape': (9,), }") + bytes(8),
            "needs 36 bytes",
        ),
        (
            "a.npy",
            header("{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }") + bytes(4),
            "byte-swapped",
        ),
        (
            "a.npy",
            header("{'descr': '<f4', 'fortran_order': True, 'shape': (1, 1), }") + bytes(4),
            "by columns",
        ),
        ("a.npy", header("{'descr': '<f4', 'shape': __import__('os')}"), "has no readable header"),
    ],
)
def test_damaged_members_are_named(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    path = member(tmp_path / "model.npz", name, content)
    with pytest.raises(CorruptFileError, match=problem) as caught:
        NpzFile(path)
    assert str(path) in str(caught.value)


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "model.npz", a=np.array([Canary()], dtype=object), allow_pickle=True)
    with pytest.raises(CorruptFileError, match="numbers are expected"):
        NpzFile(tmp_path / "model.npz")


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = save(tmp_path, {"a": torch.ones(100_000)})
    whole = path.read_bytes()
    path.write_bytes(whole[:-60])
    with pytest.raises(CorruptFileError, match=r"model\.npz"):
        NpzFile(path)
    place = whole.index(b"\x00\x00\x80\x3f" * 50)
    path.write_bytes(whole[:place] + b"\x01" + whole[place + 1 :])
    with pytest.raises(CorruptFileError, match="'a' cannot be read"):
        NpzFile(path).tensor("a")
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(CorruptFileError, match="git lfs pull"):
        NpzFile(path)
    with pytest.raises(OSError, match=r"nothing\.npz"):
        NpzFile(tmp_path / "nothing.npz")


def test_a_long_list_of_members_is_a_named_and_overridable_limit(tmp_path: Path) -> None:
    path = save(tmp_path, TENSORS)
    with pytest.raises(ResourceLimitError, match="max_header_bytes="):
        NpzFile(path, max_header_bytes=100)
