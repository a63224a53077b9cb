"""Stands for the library to compare with: GPT-2 under transformers' names, which mutants then change."""

from __future__ import annotations

import formers
import formers_gpt2


class AutoConfig:
    @staticmethod
    def from_pretrained(folder: object) -> formers_gpt2.GPT2Config:
        return formers_gpt2.GPT2Config.from_pretrained(folder)


class GPT2LMHeadModel(formers_gpt2.GPT2LMHeadModel):
    """The same as ours."""


class GPT2Model(formers_gpt2.GPT2Model):
    """The same as ours."""


__version__ = formers.__version__
