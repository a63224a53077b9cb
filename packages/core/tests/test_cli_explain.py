"""``formers explain`` over toy models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from toy import ToyConfig, ToyForMaskedLM
from toy_causal import ToyCausalConfig, ToyForCausalLM, toy_causal

from formers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForPreTraining
from formers.cli import main
from formers.generation import GenerationConfig
from formers.plugins import registry

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    with registry.temporary_registrations():
        AutoConfig.register("toy_causal", ToyCausalConfig)
        AutoModelForPreTraining.register(ToyCausalConfig, ToyForCausalLM)
        AutoModelForCausalLM.register(ToyCausalConfig, ToyForCausalLM)
        AutoConfig.register("toy", ToyConfig)
        AutoModelForMaskedLM.register(ToyConfig, ToyForMaskedLM)
        yield


def test_a_model_that_generates(tmp_path: Path, capsys: Captured) -> None:
    model = toy_causal(seed=2)
    model.generation_config = GenerationConfig(max_new_tokens=8, temperature=0.5, do_sample=True)
    model.save_pretrained(tmp_path)
    assert main(["explain", str(tmp_path), "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    lines = {line.split("  ")[0]: line for line in out.splitlines()}
    assert "ToyForCausalLM through AutoModelForCausalLM, named by config.json" in lines["class"]
    assert "AutoModelForPreTraining" in lines["also through"]
    assert f"{model.num_parameters():,} in float32 on cpu" in lines["parameters"]
    assert "registered in this process" in lines["model"]
    for phase in ("prefill", "decode", "train"):
        assert f"toy_causal: {phase}, cpu, float32" in out
    assert "temperature" in out
    assert "generation_config.json" in out


def test_a_model_without_generation_and_an_attention_by_name(tmp_path: Path, capsys: Captured) -> None:
    ToyForMaskedLM(ToyConfig()).half().save_pretrained(tmp_path)
    state = torch.random.get_rng_state()
    words = ["--device", "cpu", "--dtype", "float16", "--attention", "eager"]
    assert main(["explain", str(tmp_path), *words]) == 0
    assert torch.equal(torch.random.get_rng_state(), state)
    out = capsys.readouterr().out
    assert "ToyForMaskedLM through AutoModelForMaskedLM" in out
    assert "float16 on cpu" in out
    assert "-> eager" in out
    assert "sdpa" not in out
    assert "Generation plan" not in out


def test_what_is_wrong_is_said_plainly(tmp_path: Path, capsys: Captured) -> None:
    ToyForMaskedLM(ToyConfig()).save_pretrained(tmp_path)
    assert main(["explain", str(tmp_path), "--attention", "eagre"]) == 1
    assert "Did you mean 'eager'?" in capsys.readouterr().err
    assert main(["explain", str(tmp_path / "nothing")]) == 1
    assert "nothing" in capsys.readouterr().err
