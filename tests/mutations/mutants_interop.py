from __future__ import annotations

from pathlib import Path
from typing import Any

import fake_reference
import torch
from bench import Bench, mutant

from formers.testing import Subject
from formers_gpt2 import GPT2Config, GPT2LMHeadModel

LM = "AutoModelForCausalLM"


def _beside(bench: Bench) -> Subject:
    return bench.subject("gpt2", LM, reference="fake_reference")


@mutant("interop.config")
def written_otherwise(bench: Bench) -> Subject:
    """What is written means another number of layers there."""

    def more(folder: Any) -> GPT2Config:
        config = GPT2Config.from_pretrained(folder)
        config.n_layer += 1
        return config

    bench.patch.setattr(fake_reference.AutoConfig, "from_pretrained", staticmethod(more))
    return _beside(bench)


@mutant("interop.keys")
def name_of_its_own(bench: Bench) -> Subject:
    """A weight has a name that is not the published one."""

    def state_dict(self: Any) -> dict[str, Any]:
        return {
            name.replace("wte", "tokens"): value for name, value in GPT2LMHeadModel.state_dict(self).items()
        }

    bench.patch.setattr(fake_reference.GPT2LMHeadModel, "state_dict", state_dict)
    return _beside(bench)


@mutant("interop.outputs")
def other_numbers(bench: Bench) -> Subject:
    """The numbers are a little different."""

    bench.forward(fake_reference.GPT2LMHeadModel, after=lambda self, values, output: _shifted(output))
    return _beside(bench)


def _shifted(output: Any) -> Any:
    output.logits = output.logits * 1.01
    return output


@mutant("interop.checkpoints")
def saved_otherwise(bench: Bench) -> Subject:
    """What the other library saved comes back with other weights."""
    original = GPT2LMHeadModel.from_pretrained.__func__  # type: ignore[attr-defined]

    def from_pretrained(cls: Any, folder: Path, *args: Any, **kwargs: Any) -> Any:
        found = original(cls, folder, *args, **kwargs)
        model = found[0] if isinstance(found, tuple) else found
        if cls is GPT2LMHeadModel:
            with torch.no_grad():
                model.transformer.wte.weight.add_(0.01)
        return found

    bench.patch.setattr(GPT2LMHeadModel, "from_pretrained", classmethod(from_pretrained))
    return _beside(bench)


@mutant("interop.generation")
def other_tokens(bench: Bench) -> Subject:
    """The last token is another."""
    original = GPT2LMHeadModel.generate

    def generate(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = original(self, *args, **kwargs)
        return found if type(self) is GPT2LMHeadModel else found.flip(0, 1)

    bench.patch.setattr(GPT2LMHeadModel, "generate", generate)
    return _beside(bench)
