"""What the parity tests of T5 share: configurations, models of both libraries with equal weights, padded batches.

A row of a padded batch is compared with the oracle on the row alone and unpadded, which is what it means (law 2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from padded_batches import close
from torch import Tensor

import formers_t5

SIZES: dict[str, Any] = {
    "vocab_size": 61,
    "d_model": 16,
    "d_kv": 6,
    "d_ff": 24,
    "num_layers": 2,
    "num_heads": 3,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 6,
    "dropout_rate": 0.0,
    "classifier_dropout": 0.0,
    "decoder_start_token_id": 0,
    "num_labels": 2,
}
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "v1.0": {},
    "v1.1": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "deeper decoder": {"num_decoder_layers": 3, "d_kv": 5},
    "shallower decoder": {"num_layers": 3, "num_decoder_layers": 1, "layer_norm_epsilon": 1e-2},
    "gated silu, unscaled": {"feed_forward_proj": "gated-silu", "scale_decoder_outputs": False, "d_kv": 7},
    "published buckets": {
        "relative_attention_num_buckets": 32, "relative_attention_max_distance": 128, "num_heads": 1, "d_kv": 9,
        "feed_forward_proj": "gelu_new",
    },
    "wide": {"d_model": 9, "num_heads": 5, "d_kv": 3, "d_ff": 7, "vocab_size": 37, "tie_word_embeddings": False},
}  # fmt: skip
QUICK = ("v1.0", "v1.1", "deeper decoder")
NAMES = (
    "T5Model",
    "T5ForConditionalGeneration",
    "T5EncoderModel",
    "T5ForSequenceClassification",
    "T5ForTokenClassification",
    "T5ForQuestionAnswering",
)
SOURCES = (7, 4, 6, 3)  # real tokens of what the encoder reads in each row, the end included
TARGETS = (5, 3, 2, 4)  # of what the decoder reads, where that is not the source
ROWS = range(len(SOURCES))


def make_pair(
    oracle: Any, name: str, attention: str | None = "eager", *, wide: bool = True, **options: Any
) -> tuple[Any, Any]:
    """Our model and theirs with the same random weights, in float64 and training mode (there is no dropout).

    Args:
        wide: whether their norms compute in float64, as all else does: they take float32 for it by themselves.
    """
    settings = SIZES | options
    theirs = getattr(oracle, name)(oracle.T5Config(**settings)).double()
    theirs.set_attn_implementation(attention or "eager")
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(0.1, 0.4)
    if wide:
        widen(theirs)
    config = formers_t5.T5Config(**settings)
    ours = getattr(formers_t5, name).from_config(config, attn_implementation=attention).double()
    untie(ours, theirs)
    ours.load_state_dict(theirs.state_dict())
    return ours.train(), theirs.train()


def untie(ours: Any, theirs: Any) -> None:
    """Give both a head of its own where the configuration says so: it ties neither by itself (stored values do)."""
    if not hasattr(theirs, "lm_head") or theirs.config.scale_decoder_outputs:
        return
    ours.lm_head.weight = torch.nn.Parameter(ours.lm_head.weight.detach().clone())
    theirs.lm_head.weight = torch.nn.Parameter(torch.randn_like(theirs.lm_head.weight))


def widen(theirs: Any) -> None:
    """Let the oracle's norms take the root of the mean square in the type of their input."""

    def norm(module: Any) -> Callable[[Tensor], Tensor]:
        def forward(states: Tensor) -> Tensor:
            square = states.square().mean(dim=-1, keepdim=True)
            scaled: Tensor = module.weight * states * torch.rsqrt(square + module.variance_epsilon)
            return scaled

        return forward

    for module in theirs.modules():
        if hasattr(module, "variance_epsilon"):
            module.forward = norm(module)


def make_lively(theirs: Any) -> None:
    """Weights with which a T5 generates different tokens, which depend on the source and on the tokens before."""
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            parameter.normal_()
            if name.endswith("final_layer_norm.weight"):
                parameter.mul_(0.3).add_(5.0)
            elif name.endswith("layer_norm.weight"):
                parameter.mul_(0.3).add_(1.0)
            elif name.endswith("relative_attention_bias.weight"):
                parameter.mul_(2.0)
            elif name in ("shared.weight", "lm_head.weight"):
                parameter.mul_(0.3)
            else:
                parameter.mul_(0.4 if "DenseReluDense" in name else 0.7)


def _places(lengths: tuple[int, ...], padding: str) -> list[slice]:
    """Where each row is real."""
    longest = max(lengths)
    if padding == "none":
        return [slice(0, longest) for _ in lengths]
    if padding == "left":
        return [slice(longest - length, longest) for length in lengths]
    return [slice(0, length) for length in lengths]


def _mask(places: list[slice], length: int) -> Tensor:
    mask = torch.zeros(len(places), length, dtype=torch.long)
    for row, place in zip(mask, places, strict=True):
        row[place] = 1
    return mask


@dataclass
class Batch:
    """Inputs and labels of a padded batch, where its rows are real, and what share of all items each row has."""

    tensors: dict[str, Tensor]
    source: list[slice]
    target: list[slice]
    shares: list[float]

    def row(self, index: int) -> dict[str, Tensor]:
        """The inputs and labels of one row by itself, unpadded."""
        row = {}
        for name, tensor in self.tensors.items():
            if name.endswith("attention_mask"):
                continue
            value = tensor[index : index + 1]
            if name.endswith("_positions"):
                value = value - self.source[index].start
            elif name.startswith("decoder_") or (name == "labels" and "decoder_input_ids" in self.tensors):
                value = value[:, self.target[index]]
            elif value.dim() > 1:
                value = value[:, self.source[index]]
            row[name] = value
        return row


@dataclass(frozen=True)
class Task:
    """One model class: how its decoder is fed and labelled, and which outputs are by source or target token, or row."""

    fill: Callable[[Any, Batch, str], None]
    by_source: tuple[str, ...] = ()
    by_target: tuple[str, ...] = ()
    by_row: tuple[str, ...] = ()
    decoder_reads_source: bool = False


def _fill_decoder(config: Any, batch: Batch, padding: str) -> None:
    batch.target = _places(TARGETS, padding)
    shape = (len(ROWS), max(TARGETS))
    batch.tensors["decoder_input_ids"] = torch.randint(1, config.vocab_size, shape)
    if padding != "none":
        batch.tensors["decoder_attention_mask"] = _mask(batch.target, shape[1])


def _fill_labelled_decoder(config: Any, batch: Batch, padding: str) -> None:
    """Labels at all padding, where they must not count, and one that is left out within each row."""
    _fill_decoder(config, batch, padding)
    labels = torch.randint(0, config.vocab_size, (len(ROWS), max(TARGETS)))
    counts = []
    for row, place in zip(labels, batch.target, strict=True):
        row[place.start] = -100
        counts.append(place.stop - place.start - 1)
    batch.tensors["labels"] = labels
    batch.shares = [count / sum(counts) for count in counts]


def _fill_classes(config: Any, batch: Batch, padding: str) -> None:
    batch.tensors["labels"] = torch.randint(0, config.num_labels, (len(ROWS),))


def _fill_tokens(config: Any, batch: Batch, padding: str) -> None:
    labels = torch.randint(0, config.num_labels, batch.tensors["input_ids"].shape)
    counts = []
    for row, place in zip(labels, batch.source, strict=True):
        row[place.stop - 1] = -100
        counts.append(place.stop - place.start - 1)
    batch.tensors["labels"] = labels
    batch.shares = [count / sum(counts) for count in counts]


def _fill_spans(config: Any, batch: Batch, padding: str) -> None:
    batch.tensors["start_positions"] = torch.tensor([place.start + 1 for place in batch.source])
    batch.tensors["end_positions"] = torch.tensor([place.stop - 1 for place in batch.source])


TASKS = {
    "T5Model": Task(
        _fill_decoder, by_source=("encoder_last_hidden_state",), by_target=("last_hidden_state",)
    ),
    "T5ForConditionalGeneration": Task(
        _fill_labelled_decoder, by_source=("encoder_last_hidden_state",), by_target=("logits",)
    ),
    "T5EncoderModel": Task(lambda config, batch, padding: None, by_source=("last_hidden_state",)),
    "T5ForSequenceClassification": Task(
        _fill_classes,
        by_source=("encoder_last_hidden_state",),
        by_row=("logits",),
        decoder_reads_source=True,
    ),
    "T5ForTokenClassification": Task(_fill_tokens, by_source=("logits",)),
    "T5ForQuestionAnswering": Task(
        _fill_spans,
        by_source=("start_logits", "end_logits", "encoder_last_hidden_state"),
        decoder_reads_source=True,
    ),
}


def make_batch(config: Any, task: Task, padding: str) -> Batch:
    """A batch of ``SOURCES`` (all of the longest without padding), each row with an end token, and its labels."""
    source = _places(SOURCES, padding)
    ids = torch.randint(2, config.vocab_size, (len(ROWS), max(SOURCES)))
    for row, place in zip(ids, source, strict=True):
        row[place.stop - 1] = config.eos_token_id
    batch = Batch({"input_ids": ids}, source, source, [1 / len(ROWS)] * len(ROWS))
    if padding != "none":
        batch.tensors["attention_mask"] = _mask(source, max(SOURCES))
    task.fill(config, batch, padding)
    return batch


def axes(name: str, task: Task, encoder_only: bool) -> tuple[str, ...]:
    """Which axis of an output is the source's and which the target's, from the first after the batch."""
    if name in task.by_row:
        return ()
    if name in task.by_source:
        return ("source",)
    if name in task.by_target:
        return ("target",)
    own = "source" if encoder_only or name.startswith("encoder_") else "target"
    if name == "cross_attentions":
        return ("heads", "target", "source")
    return ("heads", own, own) if name.endswith("attentions") else (own,)


def tensors_of(output: Any) -> Iterator[tuple[str, Tensor]]:
    """Every tensor but the loss and the cache, with the name of its field."""
    for name, value in output.items():
        if isinstance(value, Tensor) and name != "loss":
            yield name, value
        elif isinstance(value, tuple):
            yield from ((name, layer) for layer in value)


def same_outputs(found: Any, expected: list[Any], task: Task, batch: Batch, tolerance: float = 1e-10) -> None:
    """Everything that a model returns for the real tokens; probabilities on padding are 0."""
    encoder_only = "encoder_last_hidden_state" not in found
    for index, theirs in enumerate(expected):
        ours, reference = list(tensors_of(found)), list(tensors_of(theirs))
        assert [name for name, _ in ours] == [name for name, _ in reference]
        places: Mapping[str, slice] = {
            "source": batch.source[index], "target": batch.target[index], "heads": slice(None),
        }  # fmt: skip
        for (name, value), (_, wanted) in zip(ours, reference, strict=True):
            if len(expected) == 1:
                close(value, wanted, tolerance)
                continue
            real = axes(name, task, encoder_only)
            part = value[(slice(index, index + 1), *(places[axis] for axis in real))]
            close(part, wanted, tolerance)
            if real[:1] == ("heads",):  # what queries read of all columns is what they read of real ones
                whole = value[index : index + 1, :, places[real[1]]]
                close(whole.sum(dim=-1), part.sum(dim=-1), tolerance)


def by_row(batch: Batch, padding: str, model: Any, **asked: Any) -> list[Any]:
    """The oracle's outputs: for each row alone, or without padding for the batch as it is."""
    if padding == "none":
        return [model(**batch.tensors, **asked)]
    return [model(**batch.row(index), **asked) for index in ROWS]


def objective(output: Any, task: Task, batch: Batch | None) -> Tensor:
    """A function of all outputs at real tokens, whose gradients reach everything; without a batch, of one row."""
    total = torch.zeros((), dtype=torch.float64)
    for name in (*task.by_source, *task.by_target, *task.by_row):
        value = output[name]
        if batch is not None and name not in task.by_row:
            places = batch.source if name in task.by_source else batch.target
            value = value[_mask(places, value.shape[1]).bool()]
        total = total + value.sin().sum()
    return total
