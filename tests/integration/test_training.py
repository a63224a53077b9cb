"""The examples that train tiny models, with few steps: the loss falls, and the command line goes on from there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from formers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

EXAMPLES = Path(__file__).parents[2] / "examples"


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
    return folder, run(folder, str(EXAMPLES / "train_tiny_gpt2.py"), "tiny-gpt2", "--steps", "25")


@pytest.fixture(scope="module")
def trained_to_fill(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The same of the model that fills gaps."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, run(folder, str(EXAMPLES / "train_tiny_t5.py"), "tiny-t5", "--steps", "25")


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


def test_the_loss_of_gaps_falls(trained_to_fill: tuple[Path, str]) -> None:
    _, shown = trained_to_fill
    before, after = map(float, re.findall(r"held-out loss (\d\.\d+)", shown))
    assert after < min(before, 6.93) - 0.5, shown  # log(1024) is what one knows who knows nothing
    assert re.search(r"step +25 of 25 +loss +\d\.\d{3} +0:00 left", shown)


def test_the_command_line_fills_gaps(trained_to_fill: tuple[Path, str]) -> None:
    folder, _ = trained_to_fill
    text = "The <extra_id_0> statement"
    command = ("-m", "formers.cli", "run", "text2text-generation", "--model", "tiny-t5", text)
    tokenizer = AutoTokenizer.from_pretrained(folder / "tiny-t5")
    model = AutoModelForSeq2SeqLM.from_pretrained(folder / "tiny-t5")
    encoded = tokenizer(text, return_tensors="pt")
    assert encoded["input_ids"][0, -1] == tokenizer.eos_token_id
    for options, settings in (((), {}), (("--num-beams", "3", "--json"), {"num_beams": 3})):
        (row,) = model.generate(**encoded, **settings)
        answer = tokenizer.decode(row, skip_special_tokens=True)
        shown = run(folder, *command, *options)
        if "--json" in options:
            (report,) = json.loads(shown)
            assert (report["prompt"], report["text"]) == (text, answer)
        else:
            assert shown == f"{answer}\n"
