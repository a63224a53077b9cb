"""Batches of rows of different lengths: formers leaves the padding out, transformers computes it.

Half of the positions are padding. Nothing is reported unless both give the same numbers at the real ones.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from benchmarks import forward, turns
from benchmarks.report import Row
from formers_t5 import T5Config, T5EncoderModel

Pair = tuple[nn.Module, nn.Module]

MINILM = {
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}
T5_SMALL = {"d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_heads": 8}


def rows(checkpoint: Path, repeats: int) -> list[Row]:
    """Inference and training of BERT's and T5's encoders on ragged batches, and of T5's on a dense one."""
    transformers.logging.disable_progress_bar()
    minilm, base, t5 = forward.stored_pair(checkpoint), forward.random_pair({}), t5_pair()
    trained, t5_trained = forward.random_pair(MINILM), t5_pair()
    return [
        ragged("ragged batch, MiniLM, 16 x 128", minilm, (16, 128), 3 * repeats, 1.8),
        ragged("ragged batch, MiniLM, 16 x 96", minilm, (16, 96), 3 * repeats, 1.8),
        ragged("ragged batch, MiniLM, 32 x 32", minilm, (32, 32), 4 * repeats, 1.5),
        ragged("ragged batch, BERT base, 8 x 128", base, (8, 128), repeats, 1.8),
        ragged("ragged batch, BERT base, 16 x 32", base, (16, 32), 2 * repeats, 1.5),
        ragged("ragged batch, T5 small encoder, 16 x 128", t5, (16, 128), 2 * repeats, 1.7),
        ragged("ragged training step, MiniLM, 16 x 128", trained, (16, 128), repeats, 1.8, train=True),
        ragged(
            "ragged training step, T5 small encoder, 16 x 128",
            t5_trained,
            (16, 128),
            repeats,
            1.7,
            train=True,
        ),
        forward.dense("dense batch, T5 small encoder, 8 x 128", t5, (8, 128), 2 * repeats),
    ]


def t5_pair() -> Pair:
    """The same random weights as an encoder of formers and as one of transformers."""
    torch.manual_seed(0)
    reference = transformers.T5EncoderModel(transformers.T5Config(**T5_SMALL)).eval()
    model = T5EncoderModel(T5Config(**T5_SMALL)).eval()
    model.load_state_dict(reference.state_dict())
    return model, reference


def ragged_batch(shape: tuple[int, int]) -> forward.Batch:
    """Rows whose lengths are spread evenly from 1 to the longest, in a random order, padded on the right."""
    count, longest = shape
    generator = torch.Generator().manual_seed(0)
    lengths = torch.linspace(1, longest, count).round().long()[torch.randperm(count, generator=generator)]
    ids = torch.randint(0, 30_000, shape, generator=generator)
    return {"input_ids": ids, "attention_mask": (torch.arange(longest) < lengths[:, None]).long()}


def ragged(
    name: str, pair: Pair, shape: tuple[int, int], rounds: int, budget: float, *, train: bool = False
) -> Row:
    """Speed on a batch of which half is padding."""
    batch = ragged_batch(shape)
    check(pair, batch)
    works = [training_step(model, batch) if train else inference(model, batch) for model in pair]
    try:
        for model in pair:
            model.train(train)
        ours, theirs, ratio = turns.take_turns(*works, rounds, warm_up=2)
    finally:
        for model in pair:
            model.eval()
            model.zero_grad(set_to_none=True)
    speed = 1 / ratio
    return Row(
        name,
        ours,
        theirs,
        speed,
        "ms",
        f"{speed:.2f} x its speed",
        f">= {budget} x transformers' speed",
        speed >= budget,
    )


def check(pair: Pair, batch: forward.Batch) -> None:
    """Both give the same hidden states at real positions, and ours was packed."""
    model, reference = pair
    real = batch["attention_mask"].bool()
    with torch.no_grad():
        found, expected = (one(**batch).last_hidden_state[real] for one in (model, reference))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    if "packed" not in model.attention_report().packing:
        raise SystemExit(f"The batch was not packed:\n{model.attention_report()}")


def inference(model: nn.Module, batch: forward.Batch) -> Callable[[], Any]:
    """One forward pass."""

    def work() -> None:
        with torch.no_grad():
            model(**batch)

    return work


def training_step(model: nn.Module, batch: forward.Batch) -> Callable[[], Any]:
    """One forward and one backward pass, with dropout."""
    real = batch["attention_mask"].bool()

    def work() -> None:
        model.zero_grad(set_to_none=True)
        model(**batch).last_hidden_state[real].square().mean().backward()

    return work
