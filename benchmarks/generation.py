"""Generation with the same weights in both libraries, taking turns in one process.

Nothing is reported unless both generate the same tokens. Overhead is the time of a token of a model that computes
almost nothing; speed is measured on the shape of GPT-2 124M, where time is the reading of weights.
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

TOKENS = 64
STRATEGIES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "sampling": {"do_sample": True},
    "4 beams": {"num_beams": 4},
}


def rows(checkpoint: Path, repeats: int) -> list[Row]:
    """Overhead of a token for each strategy and depth; then tokens a second, and the prompt's forward."""
    transformers.logging.set_verbosity_error()
    measured = [
        overhead(layers, name, settings, 2 * repeats)
        for layers in (2, 12)
        for name, settings in STRATEGIES.items()
    ]
    large = pair({"n_layer": 12, "n_embd": 768, "n_head": 12, "n_positions": 1024, "vocab_size": 50257})
    return [*measured, decoding(large, repeats), prefill(large, repeats)]


def pair(fields: dict[str, int]) -> tuple[Any, Any]:
    """The same random weights as a model of formers and as one of transformers."""
    torch.manual_seed(0)
    last = fields["vocab_size"] - 1
    settings: dict[str, Any] = {**fields, "eos_token_id": last, "bos_token_id": last, "pad_token_id": last}
    reference = transformers.GPT2LMHeadModel(transformers.GPT2Config(**settings)).eval()
    model = GPT2LMHeadModel(GPT2Config(**settings)).eval()
    model.load_state_dict(reference.state_dict())
    return model, reference


def generate(model: Any, prompt: Tensor, settings: dict[str, Any], tokens: int) -> Tensor:
    """Exactly so many tokens behind a prompt."""
    torch.manual_seed(0)
    rows: Tensor = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        **settings,
    )
    return rows


def take_turns(
    models: tuple[Any, Any], prompt: Tensor, settings: dict[str, Any], tokens: int, rounds: int
) -> turns.Turns:
    """Time a call of each, after both have generated the same."""
    ours, theirs = (generate(model, prompt, settings, tokens) for model in models)
    if not torch.equal(ours, theirs):
        raise SystemExit(
            f"{settings}: the two libraries generate different tokens, so there is nothing to time."
        )
    model, reference = models
    return turns.take_turns(
        lambda: generate(model, prompt, settings, tokens),
        lambda: generate(reference, prompt, settings, tokens),
        rounds,
    )


def overhead(layers: int, name: str, settings: dict[str, Any], rounds: int) -> Row:
    """Time of a token, on one thread."""
    models = pair({"n_layer": layers, "n_embd": 32, "n_head": 2, "n_positions": 128, "vocab_size": 200})
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        prompt = torch.arange(8)[None]
        ours, theirs, ratio = take_turns(models, prompt, settings, TOKENS, rounds)
    finally:
        torch.set_num_threads(threads)
    return Row(
        f"overhead of a token, {layers} tiny layers, {name}",
        ours / TOKENS,
        theirs / TOKENS,
        1 / ratio,
        "ms",
        f"{ratio:.3f} x its time",
        "<= 0.5 x transformers' time",
        ratio <= 0.5,
    )


def decoding(models: tuple[Any, Any], rounds: int) -> Row:
    """Tokens a second of one row, the shape of GPT-2 124M."""
    tokens = 32
    ours, theirs, ratio = take_turns(models, torch.arange(8)[None], {}, tokens, rounds)
    return Row(
        "GPT-2 124M, greedy, 1 row",
        tokens / ours * 1000,
        tokens / theirs * 1000,
        1 / ratio,
        "tokens/s",
        f"{1 / ratio:.3f} x its speed",
        ">= 1.05 x transformers' speed",
        1 / ratio >= 1.05,
    )


def prefill(models: tuple[Any, Any], rounds: int) -> Row:
    """The forward of a long prompt, up to its first token."""
    prompt = torch.randint(0, 50_000, (4, 256), generator=torch.Generator().manual_seed(0))
    ours, theirs, ratio = take_turns(models, prompt, {}, 1, rounds)
    return Row(
        "GPT-2 124M, prompts of 4 x 256",
        ours,
        theirs,
        1 / ratio,
        "ms",
        f"{1 / ratio:.3f} x its speed",
        ">= 1.0 x transformers' speed",
        1 / ratio >= 1.0,
    )
