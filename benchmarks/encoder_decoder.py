"""T5 with the same weights in both libraries, taking turns in one process.

Nothing is reported unless both generate the same tokens. Overhead is the time of a token of
a model that computes almost nothing; speed is measured on the shape of t5-small. The last row counts bytes: what one
more encoder layer keeps for the backward pass, at a length at which a position bias of its own would be much of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from benchmarks import turns
from benchmarks.report import Row
from formers_t5 import T5Config, T5EncoderModel, T5ForConditionalGeneration

TOKENS = 64
TINY = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_heads": 2, "vocab_size": 200}
SMALL = {"d_model": 512, "d_kv": 64, "d_ff": 2048, "num_heads": 8, "vocab_size": 32128, "num_layers": 6}
LENGTH = 512  # tokens of the texts whose kept bytes are counted
MEBIBYTE = 1024 * 1024


def rows(checkpoint: Path, repeats: int) -> list[Row]:
    """Overhead of a token for each strategy; tokens a second of t5-small; what its layers keep."""
    transformers.logging.set_verbosity_error()
    measured = [
        overhead(name, settings, 2 * repeats)
        for name, settings in (
            ("greedy", {}),
            ("sampling", {"do_sample": True}),
            ("4 beams", {"num_beams": 4}),
        )
    ]
    return [*measured, decoding(pair(SMALL), repeats), kept()]


def pair(fields: dict[str, int]) -> tuple[Any, Any]:
    """The same random weights as a model of formers and as one of transformers."""
    torch.manual_seed(0)
    settings: dict[str, Any] = {**fields, "decoder_start_token_id": 0, "dropout_rate": 0.0}
    reference = transformers.T5ForConditionalGeneration(transformers.T5Config(**settings)).eval()
    model = T5ForConditionalGeneration(T5Config(**settings)).eval()
    model.load_state_dict(reference.state_dict())
    return model, reference


def source(length: int, vocabulary: int) -> Tensor:
    """A text, [1, length]."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(2, vocabulary, (1, length), generator=generator)


def generate(model: Any, text: Tensor, settings: dict[str, Any], tokens: int) -> Tensor:
    """Exactly so many tokens of an answer."""
    torch.manual_seed(0)
    made: Tensor = model.generate(
        text, attention_mask=torch.ones_like(text), max_new_tokens=tokens, min_new_tokens=tokens, **settings
    )
    return made


def take_turns(
    models: tuple[Any, Any], text: Tensor, settings: dict[str, Any], tokens: int, rounds: int
) -> turns.Turns:
    """Time a call of each, after both have generated the same."""
    ours, theirs = (generate(model, text, settings, tokens) for model in models)
    if not torch.equal(ours, theirs):
        raise SystemExit(
            f"T5, {settings}: the two libraries generate different tokens; there is nothing to time."
        )
    model, reference = models
    return turns.take_turns(
        lambda: generate(model, text, settings, tokens),
        lambda: generate(reference, text, settings, tokens),
        rounds,
    )


def overhead(name: str, settings: dict[str, Any], rounds: int) -> Row:
    """Time of a token, on one thread."""
    models = pair({**TINY, "num_layers": 4})
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ours, theirs, ratio = take_turns(models, source(8, TINY["vocab_size"]), settings, TOKENS, rounds)
    finally:
        torch.set_num_threads(threads)
    return Row(
        f"overhead of a token, T5 of 4 tiny layers, {name}",
        ours / TOKENS,
        theirs / TOKENS,
        1 / ratio,
        "ms",
        f"{ratio:.3f} x its time",
        "<= 0.5 x transformers' time",
        ratio <= 0.5,
    )


def decoding(models: tuple[Any, Any], rounds: int) -> Row:
    """Tokens a second of one row, the shape of t5-small."""
    tokens = 32
    ours, theirs, ratio = take_turns(models, source(64, SMALL["vocab_size"]), {}, tokens, rounds)
    return Row(
        "t5-small, greedy, 1 row",
        tokens / ours * 1000,
        tokens / theirs * 1000,
        1 / ratio,
        "tokens/s",
        f"{1 / ratio:.3f} x its speed",
        ">= 1.15 x transformers' speed",
        1 / ratio >= 1.15,
    )


def kept() -> Row:
    """Memory that one more encoder layer of t5-small's width keeps for the backward pass."""
    (ours, tables), (theirs, _) = (
        kept_by_a_layer(*classes)
        for classes in ((T5EncoderModel, T5Config), (transformers.T5EncoderModel, transformers.T5Config))
    )
    return Row(
        f"t5-small, kept for backward by a layer, 1 x {LENGTH}",
        ours / MEBIBYTE,
        theirs / MEBIBYTE,
        theirs / ours,
        "MiB",
        f"{tables:.0f} as large as the scores",
        "<= 1: the probabilities, and no bias",
        tables <= 1,
    )


def kept_by_a_layer(model_class: Any, config_class: Any) -> tuple[float, float]:
    """Bytes, and the number of arrays that are at least as large as the scores: the mean of four layers."""
    scores = SMALL["num_heads"] * LENGTH**2 * 4
    few, many = (
        saved(model_class(config_class(**{**SMALL, "num_layers": layers, "dropout_rate": 0.0})))
        for layers in (2, 6)
    )
    large = [sum(size >= scores for size in sizes) for sizes in (few, many)]
    return (sum(many) - sum(few)) / 4, (large[1] - large[0]) / 4


def saved(model: Any) -> list[int]:
    """The bytes of each array that a forward pass keeps for the backward pass, parameters left out."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    arrays: dict[int, torch.UntypedStorage] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            arrays[storage.data_ptr()] = storage
        return tensor

    text = source(LENGTH, SMALL["vocab_size"])
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output = model.train()(input_ids=text)
    assert output.last_hidden_state.requires_grad  # and what it keeps is still there
    return [storage.nbytes() for storage in arrays.values()]
