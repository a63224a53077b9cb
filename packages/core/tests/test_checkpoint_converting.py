"""Tensors that are read in another type than they are stored in."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from formers.checkpoint import buffers
from formers.checkpoint.safetensors_file import SafetensorsFile
from formers.checkpoint.torch_file import TorchFile
from formers.errors import CorruptFileError

LONG = 3 * buffers._PIECE // 4 + 5  # of float32: several pieces, the last one incomplete


def stored() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {
        "long": torch.randn(LONG),
        "matrix": torch.randn(7, 5),
        "scalar": torch.tensor(3.25),
        "empty": torch.zeros(0, 4),
        "half": torch.randn(300).half(),
        "whole": torch.arange(9),
    }


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64, None])
@pytest.mark.parametrize("form", ["safetensors", "bin", "old bin"])
def test_conversion_in_pieces_is_that_of_the_whole(
    tmp_path: Path, form: str, dtype: torch.dtype | None, mmap: bool
) -> None:
    tensors = stored()
    file: SafetensorsFile | TorchFile
    if form == "safetensors":
        save_file(tensors, tmp_path / "weights")
        file = SafetensorsFile(tmp_path / "weights", mmap=mmap)
    else:
        torch.save(tensors, tmp_path / "weights", _use_new_zipfile_serialization=form == "bin")
        file = TorchFile(tmp_path / "weights", mmap=mmap)
    for key, expected in tensors.items():
        found = file.tensor(key, dtype=dtype)
        assert found.dtype == (dtype or expected.dtype)
        assert found.is_contiguous()
        assert torch.equal(found, expected.to(dtype or expected.dtype))


def test_views_of_a_pickle_are_read_from_their_place(tmp_path: Path) -> None:
    whole = torch.randn(6, 5)
    tensors = {
        "whole": whole,
        "rows": whole[2:4],
        "columns": whole[:, 1:3],
        "turned": whole.t(),
        "imaginary": torch.randn(4, dtype=torch.complex64).conj(),
    }
    torch.save(tensors, tmp_path / "a.bin")
    file = TorchFile(tmp_path / "a.bin")
    assert file._starts.keys() == {"whole", "rows"}
    for key, expected in tensors.items():
        wider = torch.complex128 if expected.is_complex() else torch.float64
        assert torch.equal(file.tensor(key, dtype=wider), expected.to(wider))


def rewritten(source: Path, target: Path, *, padding: int = 0, order: bytes = b"little") -> None:
    """The archive as another program would write it: other places, perhaps with another byte order."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for number, member in enumerate(old.infolist()):
            content = old.read(member)
            entry = zipfile.ZipInfo(member.filename)
            entry.extra = b"FB" + (padding * number).to_bytes(2, "little") + bytes(padding * number)
            if member.filename.endswith("/byteorder"):
                content = order
            if "/data/" in member.filename and order == b"big":
                content = b"".join(content[at : at + 4][::-1] for at in range(0, len(content), 4))
            new.writestr(entry, content)


@pytest.mark.parametrize("padding", [0, 8, 64])
def test_an_archive_with_its_members_elsewhere_is_read_right(tmp_path: Path, padding: int) -> None:
    tensors = {str(number): torch.randn(100 + number) for number in range(5)}
    torch.save(tensors, tmp_path / "a.bin")
    rewritten(tmp_path / "a.bin", tmp_path / "b.bin", padding=padding)
    file = TorchFile(tmp_path / "b.bin")
    for key, expected in tensors.items():
        assert torch.equal(file.tensor(key, dtype=torch.float64), expected.double())


def test_bytes_in_another_order_are_turned(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(64), "b": torch.randn(3, 4)}
    torch.save(tensors, tmp_path / "a.bin")
    rewritten(tmp_path / "a.bin", tmp_path / "b.bin", order=b"big")
    file = TorchFile(tmp_path / "b.bin")
    assert file._starts == {}
    for key, expected in tensors.items():
        assert torch.equal(file.tensor(key, dtype=torch.float64), expected.double())


def test_a_file_that_shrinks_meanwhile_is_named(tmp_path: Path) -> None:
    save_file({"a": torch.ones(LONG)}, tmp_path / "model.safetensors")
    file = SafetensorsFile(tmp_path / "model.safetensors", mmap=False)
    with open(tmp_path / "model.safetensors", "r+b") as shrinking:
        shrinking.truncate(buffers._PIECE + 1000)
    with pytest.raises(CorruptFileError, match=r"model\.safetensors ends at byte .* truncated meanwhile"):
        file.tensor("a", dtype=torch.float16)


PEAK = """
import sys, torch
from pathlib import Path
from formers.checkpoint.load import load_into
from formers.checkpoint.locate import locate
from formers.checkpoint.source import open_checkpoint
from formers.files.folder import Folder
def status(field):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))
with torch.device("meta"):
    model = torch.nn.Sequential(*(torch.nn.Linear(1000, size) for size in (12_000, *[2_000] * 20)))
folder = Folder.open(Path(sys.argv[1]))
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before = status("VmRSS")
load_into(model, open_checkpoint(folder, locate(folder)), dtype=torch.bfloat16)
size = sum(weight.nbytes for weight in model.parameters())
print(size, status("VmHWM") - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_a_converted_checkpoint_is_never_in_memory_twice(tmp_path: Path, form: str) -> None:
    sizes = (12_000, *[2_000] * 20)
    weights = {
        f"{index}.{name}": torch.zeros(shape)
        for index, size in enumerate(sizes)
        for name, shape in (("weight", (size, 1000)), ("bias", (size,)))
    }
    if form == "bin":
        torch.save(weights, tmp_path / "pytorch_model.bin")
    else:
        save_file(weights, tmp_path / "model.safetensors")
    command = [sys.executable, "-W", "ignore", "-c", PEAK, str(tmp_path)]
    size, peak = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert peak <= 1.05 * size + 30e6
