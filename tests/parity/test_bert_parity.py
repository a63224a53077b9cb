"""BERT gives the same numbers as transformers 5.23: outputs, hidden states, losses, gradients, in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import padded_batches
import pytest
import torch
from padded_batches import (
    LENGTHS,
    ROWS,
    Batch,
    Task,
    by_row,
    close,
    masks,
    not_empty,
    objective,
    row_labels,
    same_gradients,
    same_outputs,
    same_signature,
    shapes,
    spans,
    token_labels,
    two_labels,
)
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


def pretraining_labels(config: Any, batch: Batch) -> dict[str, Tensor]:
    return token_labels("vocab_size")(config, batch) | two_labels("next_sentence_label")(config, batch)


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
    return padded_batches.make_batch(config, task, padding, types=config.type_vocab_size)


def loss_tolerance(name: str) -> float:
    """The oracle computes the loss of a causal language model in float32 always."""
    return 1e-6 if name == "BertLMHeadModel" else 1e-10


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
    same_signature(getattr(formers_bert, name), getattr(oracle, name))


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
