"""The example that trains a tiny GPT-2, with few steps: the loss falls, and the command line goes on from there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from formers import AutoModelForCausalLM, AutoTokenizer

EXAMPLE = Path(__file__).parents[2] / "examples" / "train_tiny_gpt2.py"


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", *command], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder that holds the model's, and what the training printed."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, run(folder, str(EXAMPLE), "tiny-gpt2", "--steps", "25")


def test_the_loss_falls(trained: tuple[Path, str]) -> None:
    _, shown = trained
    before, after = map(float, re.findall(r"held-out loss (\d\.\d+)", shown))
    assert before == pytest.approx(6.93, abs=0.1)  # log(1024): nothing is known
    assert after < before - 0.5, shown
    assert re.search(r"step +25 of 25 +loss +\d\.\d{3} +[\d,]+ tokens/s +0:00 left", shown)


def test_the_command_line_goes_on(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    command = ("-m", "formers.cli", "run", "text-generation", "--model", "tiny-gpt2", "The with statement")
    shown = run(folder, *command, "--max-new-tokens", "8")
    tokenizer = AutoTokenizer.from_pretrained(folder / "tiny-gpt2")
    model = AutoModelForCausalLM.from_pretrained(folder / "tiny-gpt2")
    rows = model.generate(**tokenizer("The with statement", return_tensors="pt"), max_new_tokens=8)
    assert shown == tokenizer.decode(rows[0], skip_special_tokens=True) + "\n"
    (report,) = json.loads(run(folder, *command, "--max-new-tokens", "8", "--json"))
    assert shown == report["prompt"] + report["text"] + "\n"
