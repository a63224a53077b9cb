"""Reading and writing the files of the two built-in formats."""

from __future__ import annotations

import errno
import json
import os
import pickle
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from formers.checkpoint.header import DTYPES, read_header
from formers.checkpoint.safetensors_file import SafetensorsFile, write_safetensors
from formers.checkpoint.torch_file import TorchFile, write_torch
from formers.errors import CorruptFileError, LoadError, ResourceLimitError
from formers.files import _os
from formers.files.commit import Commit

shapes = st.lists(st.integers(0, 4), max_size=3).map(tuple)
PLAIN = [dtype for dtype in DTYPES.values() if "float8" not in str(dtype)]


def example(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> Tensor:
    numbers = torch.randint(
        0, 2 if dtype == torch.bool else 100, shape, generator=torch.Generator().manual_seed(seed)
    )
    return numbers.to(dtype)


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda key: key != "__metadata__" and key.isprintable()),
        st.tuples(shapes, st.sampled_from(PLAIN), st.integers(0, 99)),
        max_size=5,
    )
)
def test_writes_what_the_library_reads_and_reads_what_it_writes(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, tuple[tuple[int, ...], torch.dtype, int]]
) -> None:
    folder = tmp_path_factory.mktemp("files")
    tensors = {key: example(*arguments) for key, arguments in content.items()}
    with Commit(folder) as commit:
        write_safetensors(commit, "ours", tensors, {"format": "pt"})
    save_file(tensors, folder / "theirs", {"format": "pt"})
    loaded = load_file(folder / "ours")
    assert loaded.keys() == tensors.keys()
    assert all(
        torch.equal(loaded[key], tensors[key]) and loaded[key].dtype == tensors[key].dtype for key in tensors
    )
    assert all(
        info.start % info.dtype.itemsize == 0 for info in read_header(folder / "ours").tensors.values()
    )
    for mmap in (True, False):
        file = SafetensorsFile(folder / "theirs", mmap=mmap)
        assert set(file.keys()) == set(tensors)
        for key, tensor in tensors.items():
            assert torch.equal(file.tensor(key), tensor)
            assert (file.info(key).shape, file.info(key).dtype) == (tuple(tensor.shape), tensor.dtype)


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES.values() if dtype not in PLAIN])
def test_eight_bit_floats_round_trip(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = torch.tensor([1.0, 2.0, 4.0]).to(dtype)
    with Commit(tmp_path) as commit:
        write_safetensors(commit, "x", {"a": tensor}, {})
    assert torch.equal(SafetensorsFile(tmp_path / "x").tensor("a").float(), tensor.float())


def test_views_conjugates_and_gradients_are_written_as_their_values(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    tensors = {
        "transposed": base.t(),
        "row": base[1],
        "expanded": base[:1].expand(5, 4),
        "conjugate": torch.tensor([1 + 2j]).conj(),
        "gradient": torch.nn.Parameter(base),
    }
    with Commit(tmp_path) as commit:
        write_safetensors(commit, "model.safetensors", tensors, {})
        write_torch(commit, "pytorch_model.bin", tensors, {})
    pickled = TorchFile(tmp_path / "pytorch_model.bin")
    for key, tensor in tensors.items():
        assert torch.equal(SafetensorsFile(tmp_path / "model.safetensors").tensor(key), tensor)
        assert torch.equal(pickled.tensor(key), tensor)
    assert (tmp_path / "pytorch_model.bin").stat().st_size < 5000


def test_mapped_tensors_alias_the_file_and_are_private(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(1 << 20)}, path)
    before = path.read_bytes()
    file = SafetensorsFile(path)
    tensor = file.tensor("a")
    assert tensor.data_ptr() == file.tensor("a").data_ptr()
    maps = [line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(str(path))]
    ranges = [tuple(int(end, 16) for end in line.split()[0].split("-")) for line in maps]
    assert any(start <= tensor.data_ptr() < end for start, end in ranges)
    tensor.fill_(1)
    assert path.read_bytes() == before


def test_unmapped_tensors_survive_truncation_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.ones(1 << 16)}, path)
    file = SafetensorsFile(path, mmap=False)
    tensor = file.tensor("a")
    os.truncate(path, 100)
    assert bool((tensor == 1).all())
    with pytest.raises(CorruptFileError, match="truncated meanwhile"):
        file.tensor("a")


def test_an_open_file_may_be_replaced(tmp_path: Path) -> None:
    def save(value: float) -> None:
        with Commit(tmp_path) as commit:
            write_safetensors(commit, "model.safetensors", {"a": torch.full((1000,), value)}, {})

    save(1.0)
    files = [SafetensorsFile(tmp_path / "model.safetensors", mmap=mmap) for mmap in (True, False)]
    save(2.0)
    assert [float(file.tensor("a")[0]) for file in files] == [1.0, 1.0]


def test_saving_tensors_over_the_file_that_they_are_mapped_from(tmp_path: Path) -> None:
    save_file({"a": torch.arange(1000.0)}, tmp_path / "model.safetensors")
    mapped = SafetensorsFile(tmp_path / "model.safetensors").tensor("a")
    with Commit(tmp_path) as commit:
        write_safetensors(commit, "model.safetensors", {"a": mapped}, {})
    assert torch.equal(load_file(tmp_path / "model.safetensors")["a"], torch.arange(1000.0))


def test_a_bin_file_is_mapped_unless_its_layout_is_too_old(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(5.0), "b": torch.ones(2, dtype=torch.bool)}
    torch.save(tensors, tmp_path / "new.bin")
    torch.save(tensors, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    for name in ("new.bin", "old.bin"):
        for mmap in (True, False):
            file = TorchFile(tmp_path / name, mmap=mmap)
            assert all(torch.equal(file.tensor(key), tensors[key]) for key in tensors)
            assert file.info("b").shape == (2,)


class Canary:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_pickle_is_refused_without_being_run_and_without_bad_advice(
    tmp_path: Path, zipped: bool
) -> None:
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": Canary(str(tmp_path / "canary"))}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(LoadError, match=r"pytorch_model\.bin.*safetensors") as caught:
        TorchFile(path)
    assert not (tmp_path / "canary").exists()
    assert "weights_only" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "mkdir" in str(caught.value)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_plain_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(pickle.dumps({"a": Canary(str(tmp_path / "canary"))}))
    with pytest.raises(LoadError, match=r"pytorch_model\.bin"):
        TorchFile(path)
    assert not (tmp_path / "canary").exists()


def test_compressed_members_are_refused_before_they_grow(tmp_path: Path) -> None:
    plain, bomb = tmp_path / "plain.bin", tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.zeros(1 << 20)}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as target:
        for member in source.infolist():
            target.writestr(member.filename, source.read(member))
    with pytest.raises(ResourceLimitError, match=r"pytorch_model\.bin.*compressed"):
        TorchFile(bomb)


def test_a_long_pickle_is_a_named_and_overridable_limit(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    torch.save({f"{index:0500d}": torch.zeros(1) for index in range(10)}, path)
    with pytest.raises(ResourceLimitError, match="max_header_bytes"):
        TorchFile(path, max_header_bytes=1000)
    assert len(TorchFile(path)) == 10


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"abc",
        b"PK\x03\x04" + b"\0" * 100,
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        b"\x80\x02.",
    ],
)
def test_damaged_bin_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(content)
    with pytest.raises(LoadError, match=r"pytorch_model\.bin") as caught:
        TorchFile(path)
    assert "weights_only" not in str(caught.value)


def test_a_truncated_bin_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.zeros(1000)}, path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 211):
        path.write_bytes(whole[:length])
        with pytest.raises(CorruptFileError, match=r"pytorch_model\.bin"):
            TorchFile(path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([torch.zeros(1)], "list"),
        ({"model": {"a": torch.zeros(1)}}, "'model' is of type dict"),
        ({3: torch.zeros(1)}, "3"),
        ({"a": 3}, "'a'"),
        ({"a": torch.eye(2).to_sparse()}, "sparse"),
    ],
)
def test_what_is_not_a_dictionary_of_tensors_is_refused(
    tmp_path: Path, content: object, problem: str
) -> None:
    torch.save(content, tmp_path / "x.bin")
    with pytest.raises(CorruptFileError, match=problem):
        TorchFile(tmp_path / "x.bin")


def test_a_full_disk_while_pickling_is_an_os_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(_os, "write", full)
    with pytest.raises(OSError, match="No space") as caught, Commit(tmp_path / "out") as commit:
        write_torch(commit, "pytorch_model.bin", {"a": torch.zeros(1000)}, {})
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path) == []


def test_the_header_is_json_with_the_metadata_first(tmp_path: Path) -> None:
    with Commit(tmp_path) as commit:
        write_safetensors(
            commit, "x", {"b": torch.zeros(3, dtype=torch.uint8), "a": torch.zeros(2)}, {"format": "pt"}
        )
    raw = (tmp_path / "x").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    assert length % 8 == 0
    assert list(json.loads(raw[8 : 8 + length])) == ["__metadata__", "a", "b"]
    with warnings.catch_warnings(), safe_open(tmp_path / "x", "pt") as file:
        assert file.metadata() == {"format": "pt"}
