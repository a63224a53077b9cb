"""Golden files see every kind of change, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from toy import ToyConfig, ToyForMaskedLM

import formers
from formers import Architecture
from formers.cli import main
from formers.errors import CorruptFileError, LoadError
from formers.plugins import registry
from formers.testing.golden import differences, fill, record


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    with registry.temporary_registrations():
        formers.register(
            Architecture(
                "toy",
                api="1.0",
                config="toy:ToyConfig",
                auto={"AutoModelForMaskedLM": "toy:ToyForMaskedLM"},
                tiny="toy:ToyConfig",
            )
        )
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    record("toy", tmp_path)
    return tmp_path


def test_what_has_not_changed_is_equal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert differences("toy", folder) == []
    assert main(["golden", "check", "toy", "--folder", str(folder)]) == 0
    assert "answers as recorded" in capsys.readouterr().out


def test_weights_follow_from_their_names() -> None:
    torch.manual_seed(1)
    first = fill(ToyForMaskedLM(ToyConfig()))
    torch.manual_seed(2)
    second = fill(ToyForMaskedLM(ToyConfig()))
    assert all(torch.equal(*pair) for pair in zip(first.parameters(), second.parameters(), strict=True))


def test_other_answers_are_seen_in_every_dtype(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = ToyForMaskedLM.forward

    def shifted(self: Any, *args: Any, **kwargs: Any) -> Any:
        output = forward(self, *args, **kwargs)
        output.logits = output.logits * 1.001
        return output

    monkeypatch.setattr(ToyForMaskedLM, "forward", shifted)
    (problem,) = [one for one in differences("toy", folder) if "logits" in one]
    assert "off by 0.001 of its norm" in problem


def test_other_settings_and_keys_are_seen(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["transformers_version"] = "1.0"  # no change
    (name,) = [key for key in config if key == "vocab_size"]
    config[name] += 1
    (folder / "config.json").write_text(json.dumps(config))
    keys = (folder / "keys.txt").read_text()
    (folder / "keys.txt").write_text(keys.replace("float32", "float16", 1))
    problems = differences("toy", folder)
    assert sum("config.json: vocab_size" in one for one in problems) == 1
    assert sum("keys.txt" in one for one in problems) == 2
    assert len(problems) == 3
    assert main(["golden", "check", "toy", "--folder", str(folder)]) == 1


def test_missing_and_damaged_files_are_named(folder: Path) -> None:
    (folder / "outputs.safetensors").write_bytes(b"nothing")
    with pytest.raises(CorruptFileError, match="record them again"):
        differences("toy", folder)
    (folder / "outputs.safetensors").unlink()
    with pytest.raises(LoadError, match="formers golden record toy"):
        differences("toy", folder)
