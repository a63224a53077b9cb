"""Classes that mutants name in their manifests."""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import nn

from formers.attention.eager import Eager
from formers.config import PreTrainedConfig
from formers_gpt2 import GPT2Config, GPT2LMHeadModel, GPT2Model
from formers_gpt2.configuration import tiny_config


class OtherTypeConfig(GPT2Config):
    model_type = "gpt3"


class ForgetfulConfig(GPT2Config):
    model_type = "gpt2"

    def to_dict(self) -> dict[str, Any]:
        return {name: value for name, value in super().to_dict().items() if name != "n_layer"}


class LooseConfig(GPT2Config):
    model_type = "gpt2"
    vocab_size: Any = 64


class UnmappedConfig(PreTrainedConfig):
    model_type = "gpt2"
    width: int = 8


def tiny_unmapped(**settings: Any) -> UnmappedConfig:
    return UnmappedConfig(**settings)


def tiny_forgetful(**settings: Any) -> ForgetfulConfig:
    return ForgetfulConfig(**{**tiny_config().to_dict(), "n_layer": 2, **settings})


def tiny_loose(**settings: Any) -> LooseConfig:
    return LooseConfig(**settings)


def tiny_dropping(**settings: Any) -> GPT2Config:
    return tiny_config(**{"resid_pdrop": 0.1, **settings})


def tiny_large(**settings: Any) -> GPT2Config:
    return tiny_config(**{"n_embd": 128, "n_inner": 1024, **settings})


class AllocatingModel(GPT2Model):
    """Its extra matrix is made where it is not needed."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config)
        self.extra = nn.Parameter(torch.full((8, 8), 0.5))


class LuckyModel(GPT2Model):
    """Its extra weight comes from a generator that torch does not seed."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config)
        self.extra = nn.Parameter(torch.tensor([random.random(), random.random()]))


class UntyingModel(GPT2LMHeadModel):
    def tie_weights(self) -> None:
        pass


class WrongScale(Eager):
    """Scores are too large."""

    name = "wrong_scale"
    priority = -5

    def __call__(self, *args: Any, scale: float, **kwargs: Any) -> Any:
        return super().__call__(*args, scale=scale * 1.1, **kwargs)


class NoProbabilities(Eager):
    """Takes calls that ask for the probabilities, and returns none."""

    name = "no_probs"
    priority = -5

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs)[0], None
