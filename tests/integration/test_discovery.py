"""Installed architectures are found in every process, without an import line and without PyTorch."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from formers import AutoConfig

CONFIG = "import sys; from formers import AutoConfig; config = AutoConfig.from_pretrained(sys.argv[1]); "
TOKENIZER = (
    "import sys; from formers import AutoTokenizer; AutoTokenizer.from_pretrained(sys.argv[1])('One.'); "
)
HEAVY = ("torch", "numpy", "transformers", "huggingface_hub", "importlib_metadata", "pluggy")


@pytest.mark.parametrize("program", [CONFIG, TOKENIZER], ids=["AutoConfig", "AutoTokenizer"])
def test_nothing_heavy_is_imported(program: str, minilm: str, fresh: Callable[..., str]) -> None:
    loaded = fresh(f"{program}print([name for name in {HEAVY} if name in sys.modules])", minilm)
    assert loaded == "[]"


def test_importing_the_core_imports_no_plugin(fresh: Callable[..., str]) -> None:
    assert (
        fresh("import sys, formers; print([name for name in sys.modules if name.startswith('formers_')])")
        == "[]"
    )


def test_a_spawned_worker_finds_the_plugin(minilm: str) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply_async(AutoConfig.from_pretrained, (minilm,)).get(timeout=60)
    assert type(found).__name__ == "BertConfig"


def test_a_class_of_an_architecture_is_asked_of_the_core() -> None:
    with pytest.raises(ImportError, match="from formers_bert import BertModel"):
        exec("from formers import BertModel", {})


def test_the_command_line_lists_what_is_installed() -> None:
    command = [sys.executable, "-m", "formers.cli", "plugins", "list", "--json"]
    listed = json.loads(
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    )
    assert "formers-bert" in json.dumps(listed)


def test_the_doctor_finds_nothing_wrong(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "formers.cli", "plugins", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
