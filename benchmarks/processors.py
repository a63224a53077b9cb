"""Logits processors of both libraries on a vocabulary of 50257, on one thread: what each adds to a decoded token.

Nothing is reported unless both give the same scores.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from benchmarks import turns
from benchmarks.report import Row
from formers.generation import processors

VOCABULARY = 50257
SIZES = ((1, 16), (8, 1000))  # rows, tokens so far
BUDGET = 1.05  # the noise of a turn; none may be slower

Members = list[tuple[str, tuple[Any, ...]]]


def rows(checkpoint: Path, repeats: int) -> list[Row]:
    """A line for each processor that works on every step, and for the usual three of sampling."""
    transformers.logging.set_verbosity_error()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [row for size in SIZES for row in _rows(*size, repeats)]
    finally:
        torch.set_num_threads(threads)


def _rows(batch: int, length: int, repeats: int) -> list[Row]:
    torch.manual_seed(0)
    scores = 2 * torch.randn(batch, VOCABULARY)
    scores[:, :300] += 12 * torch.rand(batch, 300)  # a few hundred likely tokens, as in a language model
    ids = torch.randint(0, VOCABULARY, (batch, length))
    words = [torch.randint(0, VOCABULARY, (1 + number % 4,)).tolist() for number in range(100)]
    kinds: dict[str, Members] = {
        "repetition penalty": [("RepetitionPenaltyLogitsProcessor", (1.3,))],
        "no repeated 3-gram": [("NoRepeatNGramLogitsProcessor", (3,))],
        "sequence bias, 100 sequences": [
            ("SequenceBiasLogitsProcessor", ({tuple(word): -1.5 for word in words},))
        ],
        "bad words, 100 words": [("NoBadWordsLogitsProcessor", (words, [VOCABULARY - 1]))],
        "minimum length": [("MinLengthLogitsProcessor", (2000, [VOCABULARY - 1]))],
        "top-k 50": [("TopKLogitsWarper", (50,))],
        "top-p 0.9": [("TopPLogitsWarper", (0.9,))],
        "min-p 0.05": [("MinPLogitsWarper", (0.05,))],
        "temperature, top-k, top-p": [
            ("TemperatureLogitsWarper", (0.7,)),
            ("TopKLogitsWarper", (50,)),
            ("TopPLogitsWarper", (0.9,)),
        ],
    }
    return [
        _row(f"{name}, {batch} x {length}", members, ids, scores, repeats) for name, members in kinds.items()
    ]


def _row(name: str, members: Members, ids: torch.Tensor, scores: torch.Tensor, repeats: int) -> Row:
    ours = processors.LogitsProcessorList(getattr(processors, kind)(*given) for kind, given in members)
    theirs: Any = transformers.LogitsProcessorList(
        getattr(transformers, kind)(*given) for kind, given in members
    )
    if not torch.equal(ours(ids, scores), theirs(ids, scores)):
        raise SystemExit(f"{name}: the scores differ")
    found = turns.take_turns(
        lambda: ours(ids, scores), lambda: theirs(ids, scores), rounds=4 * repeats, calls=10
    )
    return Row(
        name,
        1000 * found.ours,
        1000 * found.theirs,
        1 / found.ratio,
        "us",
        f"{found.ratio:.2f} x",
        f"<= {BUDGET} x",
        found.ratio <= BUDGET,
    )
