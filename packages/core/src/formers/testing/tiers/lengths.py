"""Tier ``generation``: where texts end."""

from __future__ import annotations

import torch
from torch import Tensor

from formers.testing.checks import Cases, NotApplicable, check, require
from formers.testing.models import Head
from formers.testing.subject import Subject

from .generation import NEW, Prompt, prompts


def _endings(subject: Subject, head: Head) -> tuple[Prompt, Tensor, int]:
    """A model, its tokens without an end, and one of the first row that will be the end: not its first."""
    for seed in range(20):
        prompt = Prompt(subject, head, seed)
        tokens = prompt.new()
        for column in range(1, NEW - 1):
            token = int(tokens[0, column])
            if token not in tokens[0, :column].tolist():
                return prompt, tokens, token
    raise NotApplicable("the tiny model repeats one token")


def _until(row: list[int], end: int, pad: int) -> list[int]:
    if end not in row:
        return row
    kept = row[: row.index(end) + 1]
    return kept + [pad] * (len(row) - len(kept))


@check("generation.end", needs=("decoder",))
def end(subject: Subject, cases: Cases) -> None:
    """A row ends with the first end-of-text token and is padded behind it; the others go on."""
    for head in subject.models.generating():
        with cases(head):
            prompt, tokens, token = _endings(subject, head)
            pad = 0 if token else 1
            found = prompt.new(eos_token_id=token, pad_token_id=pad)
            expected = [_until(row, token, pad) for row in tokens.tolist()]
            width = max(NEW - row[::-1].index(token) if token in row else NEW for row in expected)
            require(found.tolist() == [row[:width] for row in expected], f"{found.tolist()}, not {expected}")


@check("generation.several_ends", needs=("decoder",))
def several_ends(subject: Subject, cases: Cases) -> None:
    """Each of several end-of-text tokens ends a row."""
    for head in subject.models.generating():
        with cases(head):
            prompt, tokens, token = _endings(subject, head)
            alone = tokens[0].tolist()
            never = next(identity for identity in range(NEW + 1) if identity not in alone)
            found = prompt.generate(prompt.row(0), eos_token_id=[never, token], pad_token_id=0)
            require(found[0].tolist() == alone[: alone.index(token) + 1], f"{found[0].tolist()}")


@check("generation.lengths", needs=("decoder",))
def lengths(subject: Subject, cases: Cases) -> None:
    """``max_new_tokens``, ``max_length`` and ``min_new_tokens`` count what they say."""
    for head in subject.models.generating():
        prompt = Prompt(subject, head)
        with cases(head, "max_new_tokens"):
            for count in (1, NEW):
                require(prompt.new(max_new_tokens=count).shape[1] == count, f"{count} tokens were asked for")
        with cases(head, "max_length"):
            start = 1 if prompt.crosses else prompt.inputs["input_ids"].shape[1]
            found = prompt.generate(prompt.inputs, max_new_tokens=None, max_length=start + 3)
            require(found.shape[1] == 3, f"{found.shape[1]} new tokens up to max_length={start + 3}")
        with cases(head, "min_new_tokens"):
            prompt, _, token = _endings(subject, head)
            settings = {"eos_token_id": token, "pad_token_id": 0}
            short = prompt.generate(prompt.row(0), **settings)
            longer = prompt.generate(prompt.row(0), **settings, min_new_tokens=NEW)
            require(
                short.shape[1] < NEW == longer.shape[1], f"{short.shape[1]} and {longer.shape[1]} new tokens"
            )
            require(token not in longer[0, :-1].tolist(), "the end came before the least length")


@check("generation.prompts_unchanged", needs=("decoder",))
def prompts_unchanged(subject: Subject, cases: Cases) -> None:
    """The prompt stands before what is generated, and ``generate`` leaves model and prompt as they were."""
    for head, prompt in prompts(subject):
        with cases(head):
            before = {name: value.clone() for name, value in prompt.inputs.items()}
            settings = prompt.model.generation_config.to_dict()
            prompt.model.train()
            found = prompt.model.eval().generate(**prompt.inputs, max_new_tokens=2)
            if not prompt.crosses:
                require(torch.equal(found[:, :-2], before["input_ids"]), "the prompt is another")
            for name, value in before.items():
                require(torch.equal(prompt.inputs[name], value), f"{name} was changed")
            require(prompt.model.generation_config.to_dict() == settings, "generation_config was changed")
