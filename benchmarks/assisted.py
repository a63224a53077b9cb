"""Assisted decoding with the same weights in both libraries, taking turns in one process.

The model has the shape of GPT-2 124M. Its layers behind the first two do little, and the assistant is those two, so
that the assistant is a good one; how good is measured as tokens for each forward of the model. Nothing is reported
unless both libraries generate the same tokens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from benchmarks import turns
from benchmarks.report import Row
from formers_gpt2 import GPT2Config, GPT2LMHeadModel

TOKENS = 48
SHAPE = {"n_embd": 768, "n_head": 12, "n_positions": 1024, "vocab_size": 50257}
DRAFT_LAYERS = 2
LITTLE = 0.3  # of the weights' size behind the assistant's layers


def rows(checkpoint: Path, repeats: int) -> list[Row]:
    """Speed with an assistant and with guesses copied from the text; the latter against no guesses, too."""
    transformers.logging.set_verbosity_error()
    ours, our_assistant, theirs, their_assistant = _models()
    prompt = torch.randint(0, 50_000, (1, 16), generator=torch.Generator().manual_seed(0))
    alone = _generate(ours, prompt)
    measured = []
    for name, mine, others in (
        ("an assistant", {"assistant_model": our_assistant}, {"assistant_model": their_assistant}),
        ("guesses from the text", {"prompt_lookup_num_tokens": 5}, {"prompt_lookup_num_tokens": 5}),
    ):
        if not torch.equal(_generate(ours, prompt, **mine), alone):
            raise SystemExit(f"{name}: not the tokens of the greedy search, so there is nothing to time.")
        if not torch.equal(_generate(theirs, prompt, **others), alone):
            raise SystemExit(
                f"{name}: the two libraries generate different tokens, so there is nothing to time."
            )
        each = TOKENS / _forwards(ours, prompt, mine)
        label = f"GPT-2 124M, {name}, {each:.2f} tokens a forward"
        measured.append(_row(label, "transformers'", (ours, mine), (theirs, others), prompt, repeats))
    label = "GPT-2 124M, guesses from the text, beside none"
    return [*measured, _row(label, "the greedy", (ours, mine), (ours, {}), prompt, repeats)]


def _row(
    name: str,
    whose: str,
    ours: tuple[Any, dict[str, Any]],
    theirs: tuple[Any, dict[str, Any]],
    prompt: Tensor,
    rounds: int,
) -> Row:
    model, mine = ours
    reference, others = theirs
    times = turns.take_turns(
        lambda: _generate(model, prompt, **mine), lambda: _generate(reference, prompt, **others), rounds
    )
    speed = 1 / times.ratio
    return Row(
        name,
        TOKENS / times.ours * 1000,
        TOKENS / times.theirs * 1000,
        speed,
        "tokens/s",
        f"{speed:.3f} x its speed",
        f">= 1.0 x {whose} speed",
        speed >= 1.0,
    )


def _generate(model: Any, prompt: Tensor, **settings: Any) -> Tensor:
    mask = torch.ones_like(prompt)
    rows: Tensor = model.generate(prompt, attention_mask=mask, max_new_tokens=TOKENS, **settings)
    return rows


def _forwards(model: Any, prompt: Tensor, settings: dict[str, Any]) -> int:
    calls: list[None] = []
    hook = model.register_forward_pre_hook(lambda *_: calls.append(None))
    _generate(model, prompt, **settings)
    hook.remove()
    return len(calls)


def _models() -> tuple[Any, Any, Any, Any]:
    """Model and assistant of formers, model and assistant of transformers, with the same weights."""
    torch.manual_seed(0)
    made: list[Any] = []
    for layers in (12, DRAFT_LAYERS):
        # Without an end every call generates as much.
        settings: dict[str, Any] = {**SHAPE, "n_layer": layers, "eos_token_id": None, "bos_token_id": None}
        made.append(GPT2LMHeadModel(GPT2Config(**settings)).eval())
        made.append(transformers.GPT2LMHeadModel(transformers.GPT2Config(**settings)).eval())
    ours, theirs, our_assistant, their_assistant = made
    with torch.no_grad():
        for block in ours.transformer.h[DRAFT_LAYERS:]:
            block.attn.c_proj.weight *= LITTLE
            block.mlp.c_proj.weight *= LITTLE
    weights = ours.state_dict()
    theirs.load_state_dict(weights)
    shared = {name: weights[name] for name in our_assistant.state_dict()}
    for assistant in (our_assistant, their_assistant):
        assistant.load_state_dict(shared)
        assistant.generation_config.num_assistant_tokens = 5
        assistant.generation_config.assistant_confidence_threshold = 0.0
    return ours, our_assistant, theirs, their_assistant
