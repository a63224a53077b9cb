"""Forward passes of the same weights in both libraries, taking turns in one process.

Nothing is reported unless both give the same numbers: a fast wrong answer has no ratio.
"""

from __future__ import annotations

from pathlib import Path

import torch
import transformers
from torch import nn

from benchmarks import turns
from benchmarks.report import Row
from formers_bert import BertConfig, BertModel

Batch = dict[str, torch.Tensor]


def rows(checkpoint: Path, repeats: int) -> list[Row]:
    """Overhead of a tiny model, where time is mostly Python's; then dense batches, where it is arithmetic."""
    transformers.logging.disable_progress_bar()
    tiny = {
        "vocab_size": 100,
        "hidden_size": 32,
        "num_hidden_layers": 12,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
    }
    return [
        overhead(random_pair(tiny), 8 * repeats),
        dense("dense batch, MiniLM, 8 x 128", stored_pair(checkpoint), (8, 128), 4 * repeats),
        dense("dense batch, BERT base, 4 x 128", random_pair({}), (4, 128), 3 * repeats),
    ]


def random_pair(fields: dict[str, int]) -> tuple[nn.Module, nn.Module]:
    """The same random weights as a model of formers and as one of transformers."""
    torch.manual_seed(0)
    reference = transformers.BertModel(transformers.BertConfig(**fields)).eval()
    model = BertModel(BertConfig(**fields)).eval()
    model.load_state_dict(reference.state_dict())
    return model, reference


def stored_pair(checkpoint: Path) -> tuple[nn.Module, nn.Module]:
    """A checkpoint loaded by both libraries."""
    return (
        BertModel.from_pretrained(str(checkpoint)).eval(),
        transformers.BertModel.from_pretrained(str(checkpoint)).eval(),
    )


def overhead(pair: tuple[nn.Module, nn.Module], rounds: int) -> Row:
    """Time of a forward pass that computes almost nothing, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ours, theirs, ratio = take_turns(pair, batch_of(100, 1, 8), rounds, calls=20)
    finally:
        torch.set_num_threads(threads)
    return Row(
        "overhead, 12 tiny layers, 1 x 8",
        ours,
        theirs,
        1 / ratio,
        "ms",
        f"{ratio:.3f} x its time",
        "<= 0.7 x transformers' time",
        ratio <= 0.7,
    )


def dense(name: str, pair: tuple[nn.Module, nn.Module], shape: tuple[int, int], rounds: int) -> Row:
    """Speed on a batch without padding."""
    ours, theirs, ratio = take_turns(pair, batch_of(30_000, *shape), rounds)
    speed = 1 / ratio
    return Row(
        name,
        ours,
        theirs,
        speed,
        "ms",
        f"{speed:.3f} x its speed",
        ">= 1.0 x transformers' speed",
        speed >= 1,
    )


def batch_of(vocabulary: int, rows: int, length: int) -> Batch:
    """A batch in which every position is real, with the mask that a tokenizer gives."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, vocabulary, (rows, length), generator=generator)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def take_turns(pair: tuple[nn.Module, nn.Module], batch: Batch, rounds: int, calls: int = 1) -> turns.Turns:
    """Time one forward pass of each, after both have agreed on the answer."""
    model, reference = pair
    with torch.no_grad():
        expected = reference(**batch).last_hidden_state
        torch.testing.assert_close(model(**batch).last_hidden_state, expected, atol=1e-4, rtol=1e-4)
        return turns.take_turns(lambda: model(**batch), lambda: reference(**batch), rounds, calls)
