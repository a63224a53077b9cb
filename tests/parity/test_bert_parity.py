"""BERT gives the same numbers as transformers 5.23: outputs, hidden states, losses, gradients, in float64.

A padded batch is compared with the oracle on each row alone and unpadded, which is what a row means here (law 2);
labels at padding and start positions in columns are therefore part of every padded case.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import formers_bert
from formers.cache import DynamicCache

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore:BertLMHeadModel predicts")]

SIZES = {
    "vocab_size": 61,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 20,
    "type_vocab_size": 2,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.3,
    "num_labels": 3,
}
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "small": {},
    "odd": {
        "vocab_size": 53, "hidden_size": 33, "num_attention_heads": 3, "intermediate_size": 17,
        "num_hidden_layers": 3, "max_position_embeddings": 9, "type_vocab_size": 3, "num_labels": 1,
        "layer_norm_eps": 1e-3, "pad_token_id": None,
    },
    "decoder": {"is_decoder": True},
    "cross": {"is_decoder": True, "add_cross_attention": True},
    "gelu_new": {"hidden_act": "gelu_new", "num_hidden_layers": 1},
    "chunked": {"chunk_size_feed_forward": 2, "hidden_act": "relu"},
    "untied": {"tie_word_embeddings": False, "hidden_act": "silu"},
}  # fmt: skip
LENGTHS = (8, 4, 6, 4)  # real tokens of each row; even, as the oracle needs for chunks of 2
SOURCE_LENGTHS = (5, 3, 5, 1)  # of what cross-attention reads
LABELLED = 2  # labelled tokens in each row: as many in all, so that the mean over rows is the mean over items
ROWS = range(len(LENGTHS))


@dataclass
class Batch:
    """Inputs and labels of a padded batch, and where its rows are real."""

    tensors: dict[str, Tensor]
    starts: list[int]
    ends: list[int]

    def row(self, index: int) -> dict[str, Tensor]:
        """The inputs and labels of one row by itself, unpadded."""
        start, end = self.starts[index], self.ends[index]
        row = {}
        for name, tensor in self.tensors.items():
            value = tensor[index : index + 1]
            if name in ("attention_mask", "encoder_attention_mask"):
                continue
            if name == "encoder_hidden_states":
                value = value[:, : SOURCE_LENGTHS[index]]
            elif name.endswith("_positions"):
                value = value - start
            elif value.dim() > 1:
                value = value[:, start:end]
            row[name] = value
        return row

    def columns(self, index: int) -> tuple[slice, slice]:
        """The index of a row's real tokens in a tensor [batch, length, ...]."""
        return slice(index, index + 1), slice(self.starts[index], self.ends[index])

    @property
    def real(self) -> Tensor:
        """Bool [batch, length], True where a token is real."""
        columns = torch.arange(max(LENGTHS))
        starts, ends = torch.tensor(self.starts)[:, None], torch.tensor(self.ends)[:, None]
        return (starts <= columns) & (columns < ends)


Labels = Callable[[Any, Batch], dict[str, Tensor]]


@dataclass(frozen=True)
class Task:
    """One model class: its labels, and its outputs by token and by row."""

    labels: Labels = lambda config, batch: {}
    by_token: tuple[str, ...] = ()
    by_row: tuple[str, ...] = ()
    reads_encoder: bool = False


def token_labels(classes: str, shift: int = 0) -> Labels:
    """Labels for ``LABELLED`` real tokens of each row, and for all padding, where they must not count.

    With ``shift`` 1 the first real token has a label too: nothing stands before it that could predict it.
    """

    def labels(config: Any, batch: Batch) -> dict[str, Tensor]:
        drawn = torch.randint(0, getattr(config, classes), batch.tensors["input_ids"].shape)
        for row, start, end in zip(drawn, batch.starts, batch.ends, strict=True):
            row[start + shift + LABELLED : end] = -100
        return {"labels": drawn}

    return labels


def row_labels(config: Any, batch: Batch) -> dict[str, Tensor]:
    if config.num_labels == 1:
        return {"labels": torch.randn(len(ROWS), dtype=torch.float64)}
    return {"labels": torch.randint(0, config.num_labels, (len(ROWS),))}


def two_labels(name: str) -> Labels:
    return lambda config, batch: {name: torch.randint(0, 2, (len(ROWS),))}


def pretraining_labels(config: Any, batch: Batch) -> dict[str, Tensor]:
    return token_labels("vocab_size")(config, batch) | two_labels("next_sentence_label")(config, batch)


def spans(config: Any, batch: Batch) -> dict[str, Tensor]:
    return {"start_positions": torch.tensor(batch.starts), "end_positions": torch.tensor(batch.ends) - 1}


TASKS = {
    "BertModel": Task(by_token=("last_hidden_state",), by_row=("pooler_output",), reads_encoder=True),
    "BertForPreTraining": Task(pretraining_labels, ("prediction_logits",), ("seq_relationship_logits",)),
    "BertLMHeadModel": Task(token_labels("vocab_size", shift=1), ("logits",), reads_encoder=True),
    "BertForMaskedLM": Task(token_labels("vocab_size"), ("logits",), reads_encoder=True),
    "BertForNextSentencePrediction": Task(two_labels("labels"), by_row=("logits",)),
    "BertForSequenceClassification": Task(row_labels, by_row=("logits",)),
    "BertForTokenClassification": Task(token_labels("num_labels"), ("logits",)),
    "BertForQuestionAnswering": Task(spans, ("start_logits", "end_logits")),
}
NAMES = [*TASKS, "BertForMultipleChoice"]


def settings_for(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a configuration; question answering has two scores, the first and the last token's."""
    return SIZES | options | ({"num_labels": 2} if name == "BertForQuestionAnswering" else {})


def make_pair(oracle: Any, name: str, attention: str = "eager", **options: Any) -> tuple[Any, Any]:
    """Our model and theirs with the same random weights, in float64 and training mode (there is no dropout)."""
    settings = settings_for(name, options)
    their_config = oracle.BertConfig(**settings)
    their_config._attn_implementation = "eager" if attention == "auto" else attention
    theirs = getattr(oracle, name)(their_config).double()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(0.1, 0.3)
    config = formers_bert.BertConfig(**settings)
    ours = getattr(formers_bert, name).from_config(config, attn_implementation=attention).double()
    ours.load_state_dict(theirs.state_dict())
    return ours.train(), theirs.train()


def make_batch(config: Any, task: Task, padding: str) -> Batch:
    """A batch of ``LENGTHS`` (all of the longest without padding) with labels."""
    longest = max(LENGTHS)
    lengths = (longest,) * len(ROWS) if padding == "none" else LENGTHS
    starts = [longest - length if padding == "left" else 0 for length in lengths]
    ends = [start + length for start, length in zip(starts, lengths, strict=True)]
    shape = (len(ROWS), longest)
    batch = Batch({"input_ids": torch.randint(1, config.vocab_size, shape)}, starts, ends)
    batch.tensors["token_type_ids"] = torch.randint(0, config.type_vocab_size, shape)
    if padding != "none":
        batch.tensors["attention_mask"] = batch.real.long()
    if config.add_cross_attention and task.reads_encoder:
        source = max(SOURCE_LENGTHS)
        batch.tensors["encoder_hidden_states"] = torch.randn(len(ROWS), source, config.hidden_size).double()
        batch.tensors["encoder_attention_mask"] = torch.arange(source) < torch.tensor(SOURCE_LENGTHS)[:, None]
    batch.tensors |= task.labels(config, batch)
    return batch


def by_row(batch: Batch, padding: str, model: Any, **asked: Any) -> list[Any]:
    """The oracle's outputs: for each row alone, or without padding for the batch as it is."""
    if padding == "none":
        return [model(**batch.tensors, **asked)]
    return [model(**batch.row(index), **asked) for index in ROWS]


def objective(output: Any, task: Task, real: Any, rows: int) -> Tensor:
    """What is differentiated: the loss, and a function of all outputs at real tokens, as the mean over rows."""
    total = output.get("loss", torch.zeros((), dtype=torch.float64))
    for name in task.by_token:
        total = total + output[name][real].sin().sum() / rows
    for name in task.by_row:
        total = total + output[name].sin().sum() / rows
    return total


def close(ours: Tensor, theirs: Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(ours, theirs, rtol=10 * tolerance, atol=tolerance, check_dtype=False)


def loss_tolerance(name: str) -> float:
    """The oracle computes the loss of a causal language model in float32 always."""
    return 1e-6 if name == "BertLMHeadModel" else 1e-10


def same_gradients(ours: Any, theirs: Any, tolerance: float = 1e-10) -> None:
    parameters = dict(ours.named_parameters())
    for name, parameter in theirs.named_parameters():
        expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        found = parameters[name].grad
        close(torch.zeros_like(parameter) if found is None else found, expected, tolerance)


def same_outputs(found: Any, expected: list[Any], task: Task, batch: Batch) -> None:
    """Everything that a model returns for the real tokens; probabilities of padding are 0."""
    if len(expected) > 1:
        rows = [batch.columns(index) for index in ROWS]
    else:
        rows = [(slice(None), slice(None))]
    for (row, columns), theirs in zip(rows, expected, strict=True):
        for name in task.by_token:
            close(found[name][row, columns], theirs[name])
        for name in task.by_row:
            close(found[name][row], theirs[name])
        for ours, states in zip(found.hidden_states, theirs.hidden_states, strict=True):
            close(ours[row, columns], states)
        for ours, probs in zip(found.get("attentions", ()), theirs.get("attentions") or (), strict=True):
            close(ours[row, :, columns, columns], probs)
            close(ours[row, :, columns].sum(dim=-1), probs.sum(dim=-1))
        for ours, probs in zip(
            found.get("cross_attentions", ()), theirs.get("cross_attentions") or (), strict=True
        ):
            close(ours[row, :, columns, : probs.shape[-1]], probs)


SELECTED = ("small", "decoder", "cross")
CASES = [
    pytest.param(name, marks=[] if name in SELECTED else pytest.mark.slow, id=name) for name in CONFIGURATIONS
]


@pytest.mark.parametrize("attention", ["eager", "sdpa", "auto"])
@pytest.mark.parametrize("padding", ["none", "right", "left"])
@pytest.mark.parametrize("configuration", CASES)
@pytest.mark.parametrize("name", TASKS)
def test_outputs_losses_and_gradients(
    oracle: Any, name: str, configuration: str, padding: str, attention: str
) -> None:
    task = TASKS[name]
    ours, theirs = make_pair(oracle, name, attention, **CONFIGURATIONS[configuration])
    batch = make_batch(ours.config, task, padding)
    asked = {"output_hidden_states": True, "output_attentions": attention != "sdpa"}
    found = ours(**batch.tensors, **asked)
    expected = by_row(batch, padding, theirs, **asked)
    same_outputs(found, expected, task, batch)
    if name != "BertModel":
        close(found.loss, sum(output.loss for output in expected) / len(expected), loss_tolerance(name))

    objective(found, task, batch.real, len(ROWS)).backward()
    for output in expected:
        rows = len(ROWS) // len(expected)
        (objective(output, task, ..., rows) / len(expected)).backward()
    same_gradients(ours, theirs, loss_tolerance(name))


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("padding", ["none", "right", "left"])
@pytest.mark.parametrize("configuration", CASES)
def test_multiple_choice(oracle: Any, configuration: str, padding: str, attention: str) -> None:
    """Two questions of two choices; the oracle scores each choice alone, and the softmax is over the choices."""
    ours, theirs = make_pair(oracle, "BertForMultipleChoice", attention, **CONFIGURATIONS[configuration])
    batch = make_batch(ours.config, Task(), padding)
    labels = torch.tensor([1, 0])
    found = ours(**{name: value.unflatten(0, (2, 2)) for name, value in batch.tensors.items()}, labels=labels)

    rows = [{name: value[:, None] for name, value in batch.row(index).items()} for index in ROWS]
    scores = torch.cat([theirs(**row).logits for row in rows]).view(2, 2)
    loss = F.cross_entropy(scores, labels)
    close(found.logits, scores)
    close(found.loss, loss)
    found.loss.backward()
    loss.backward()
    same_gradients(ours, theirs)


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.parametrize("name", NAMES)
def test_names_and_shapes_of_weights(oracle: Any, name: str, configuration: str) -> None:
    settings = settings_for(name, CONFIGURATIONS[configuration])
    ours = getattr(formers_bert, name)(formers_bert.BertConfig(**settings))
    theirs = getattr(oracle, name)(oracle.BertConfig(**settings))

    def shapes(model: Any) -> list[tuple[str, tuple[int, ...]]]:
        return [(key, tuple(value.shape)) for key, value in model.state_dict().items()]

    assert shapes(ours) == shapes(theirs)
    assert [key for key, _ in ours.named_parameters()] == [key for key, _ in theirs.named_parameters()]


@pytest.mark.parametrize("options", [{}, {"tie_word_embeddings": False}], ids=["tied", "untied"])
@pytest.mark.parametrize("name", NAMES)
def test_each_reads_what_the_other_saved(
    oracle: Any, name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    ours, theirs = make_pair(oracle, name, "sdpa", **options)
    batch = make_batch(ours.config, TASKS.get(name, Task()), "none")
    inputs = {"input_ids": batch.tensors["input_ids"]}
    if name == "BertForMultipleChoice":
        inputs = {"input_ids": batch.tensors["input_ids"][None]}
    expected = theirs(**inputs).to_tuple()

    ours.save_pretrained(tmp_path / "ours")
    read_by_them, info = getattr(oracle, name).from_pretrained(
        tmp_path / "ours", output_loading_info=True, dtype=torch.float64
    )
    assert not any(info.values()), info
    theirs.save_pretrained(tmp_path / "theirs")
    read_by_us, report = getattr(formers_bert, name).from_pretrained(
        tmp_path / "theirs", output_loading_info=True, dtype=torch.float64
    )
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), report

    for model in (ours, read_by_them, read_by_us):
        for found, value in zip(model(**inputs).to_tuple(), expected, strict=True):
            close(found, value)
    for key, value in vars(theirs.config).items():
        if key in SIZES:
            assert getattr(read_by_us.config, key) == value, key


@pytest.mark.parametrize("name", NAMES)
def test_signature(oracle: Any, name: str) -> None:
    """Our positional parameters start with theirs, in the same order; what they take as **kwargs has a name."""
    theirs = inspect.signature(getattr(oracle, name).forward).parameters
    named = [key for key, value in theirs.items() if value.kind is not inspect.Parameter.VAR_KEYWORD]
    ours = inspect.signature(getattr(formers_bert, name).forward).parameters
    positional = [key for key in ours if key != "cache_position"]
    assert positional[: len(named)] == named
    assert not any(value.kind is inspect.Parameter.VAR_KEYWORD for value in ours.values())


@pytest.mark.parametrize("configuration", ["decoder", "cross"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_decoding_with_a_cache(oracle: Any, configuration: str, attention: str) -> None:
    """A prompt, a single token, a chunk: each call's scores, and the keys and values in the cache."""
    ours, theirs = make_pair(oracle, "BertLMHeadModel", attention, **CONFIGURATIONS[configuration])
    ours.eval(), theirs.eval()
    batch = make_batch(ours.config, TASKS["BertLMHeadModel"], "none")
    source = {key: value for key, value in batch.tensors.items() if key.startswith("encoder")}
    our_cache = their_cache = None
    for first, last in ((0, 3), (3, 4), (4, 8)):
        ids = batch.tensors["input_ids"][:, first:last]
        found = ours(ids, **source, past_key_values=our_cache)
        expected = theirs(ids, **source, past_key_values=their_cache)
        close(found.logits, expected.logits)
        our_cache, their_cache = found.past_key_values, expected.past_key_values
    assert type(our_cache).__name__ == type(their_cache).__name__
    own = getattr(their_cache, "self_attention_cache", their_cache)
    for layer in range(ours.config.num_hidden_layers):
        close(our_cache[layer][0], own.layers[layer].keys)
        close(our_cache[layer][1], own.layers[layer].values)


def test_a_prefix_of_keys_and_values_for_an_encoder(oracle: Any) -> None:
    """Prefix tuning gives an encoder a cache as well."""
    ours, theirs = make_pair(oracle, "BertModel")
    ids = make_batch(ours.config, Task(), "none").tensors["input_ids"]
    prefix = [(torch.randn(4, 4, 3, 6).double(), torch.randn(4, 4, 3, 6).double()) for _ in range(2)]
    mask = torch.ones(4, 3 + ids.shape[1])
    found = ours(ids, attention_mask=mask, past_key_values=DynamicCache(prefix))
    expected = theirs(ids, attention_mask=mask, past_key_values=oracle.DynamicCache(prefix))
    close(found[0], expected[0])
    assert found.past_key_values is None


def masks(rows: int, length: int) -> dict[str, Tensor]:
    """Masks of four dimensions; every query may read itself."""
    allowed = torch.rand(rows, 1, length, length) < 0.6
    allowed = allowed | torch.eye(length, dtype=torch.bool)
    return {
        "bool": allowed,
        "one row": allowed[:1],
        "additive": torch.where(allowed, torch.randn(rows, 1, length, length), -1e30).double(),
    }


@pytest.mark.parametrize("kind", ["bool", "one row", "additive"])
@pytest.mark.parametrize("is_decoder", [False, True])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_masks_of_four_dimensions(oracle: Any, attention: str, is_decoder: bool, kind: str) -> None:
    ours, theirs = make_pair(oracle, "BertModel", "sdpa", is_decoder=is_decoder)  # its eager adds True as 1
    ours.set_attn_implementation(attention)
    batch = make_batch(ours.config, Task(), "none")
    mask = masks(len(ROWS), max(LENGTHS))[kind]
    inputs = batch.tensors | {"attention_mask": mask}
    if kind == "one row":
        mask = mask.expand(len(ROWS), -1, -1, -1)
    close(ours(**inputs)[0], theirs(**(inputs | {"attention_mask": mask}))[0])


def not_empty(output: Any) -> list[tuple[Any, str]]:
    """Name (or place) and type of what an output holds; a decoder of theirs without cross-attention holds ``()``."""
    items = output.items() if hasattr(output, "items") else enumerate(output)
    return [
        (key, type(value).__name__) for key, value in items if not (isinstance(value, tuple) and not value)
    ]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "asked", [{}, {"output_hidden_states": True, "output_attentions": True}], ids=["plain", "all"]
)
def test_tuples(oracle: Any, name: str, asked: dict[str, bool]) -> None:
    ours, theirs = make_pair(oracle, name, "eager", is_decoder=name in ("BertModel", "BertLMHeadModel"))
    batch = make_batch(ours.config, TASKS.get(name, Task()), "none")
    ids = batch.tensors["input_ids"]
    ids = ids[None] if name == "BertForMultipleChoice" else ids
    found, expected = ours(ids, return_dict=False, **asked), theirs(ids, return_dict=False, **asked)
    assert isinstance(found, tuple)
    assert not_empty(found) == not_empty(expected)
    assert sorted(not_empty(ours(ids, **asked))) == sorted(not_empty(theirs(ids, **asked)))


@pytest.mark.parametrize("keep", [0, 1, 3, torch.tensor([0, 5])], ids=str)
def test_logits_to_keep(oracle: Any, keep: Any) -> None:
    ours, theirs = make_pair(oracle, "BertLMHeadModel", is_decoder=True)
    ids = make_batch(ours.config, Task(), "none").tensors["input_ids"]
    close(ours(ids, logits_to_keep=keep).logits, theirs(ids, logits_to_keep=keep).logits)


def test_num_items_in_batch(oracle: Any) -> None:
    ours, theirs = make_pair(oracle, "BertLMHeadModel", is_decoder=True)
    ids = make_batch(ours.config, Task(), "none").tensors["input_ids"]
    close(
        ours(ids, labels=ids, num_items_in_batch=77).loss,
        theirs(ids, labels=ids, num_items_in_batch=torch.tensor(77)).loss,
        loss_tolerance("BertLMHeadModel"),
    )


@pytest.mark.parametrize(
    "problem", [None, "regression", "single_label_classification", "multi_label_classification"]
)
@pytest.mark.parametrize("num_labels", [1, 3])
def test_problem_types(oracle: Any, problem: str | None, num_labels: int) -> None:
    if problem == "single_label_classification":
        num_labels += 1  # their configuration refuses a single class
    ours, theirs = make_pair(
        oracle, "BertForSequenceClassification", num_labels=num_labels, problem_type=problem
    )
    ids = make_batch(ours.config, Task(), "none").tensors["input_ids"]
    labels = torch.rand(len(ROWS), num_labels).double()
    if num_labels == 1 and problem != "multi_label_classification":
        labels = labels.squeeze(1)
    if problem == "single_label_classification" or (problem is None and num_labels > 1):
        labels = torch.randint(0, num_labels, (len(ROWS),))
    close(ours(ids, labels=labels).loss, theirs(ids, labels=labels).loss)


def test_spans_that_end_behind_the_sequence(oracle: Any) -> None:
    ours, theirs = make_pair(oracle, "BertForQuestionAnswering")
    ids = make_batch(ours.config, Task(), "none").tensors["input_ids"]
    positions = {
        "start_positions": torch.tensor([1, 2, 8, 0]),
        "end_positions": torch.tensor([[3], [99], [8], [7]]),
    }
    close(ours(ids, **positions).loss, theirs(ids, **positions).loss)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_lower_precision(oracle: Any, attention: str, dtype: torch.dtype) -> None:
    """No further from the float64 result than twice the oracle in the same precision."""
    ours, theirs = make_pair(oracle, "BertForMaskedLM", attention)
    batch = make_batch(ours.config, Task(), "right")
    expected = torch.cat([theirs(**batch.row(index)).logits[0] for index in ROWS])
    inputs = batch.tensors
    found = ours.to(dtype)(**inputs).logits[batch.real].double()
    reference = theirs.to(dtype)(**inputs).logits[batch.real].double()
    assert (found - expected).norm() <= 2 * (reference - expected).norm()
