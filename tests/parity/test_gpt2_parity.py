"""GPT-2 gives the same numbers as transformers 5.23: outputs, hidden states, losses, gradients, in float64."""

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
)
from torch import Tensor
from torch.nn.functional import cross_entropy

import formers_gpt2

pytestmark = pytest.mark.parity

SIZES = {
    "vocab_size": 61,
    "n_embd": 24,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 20,
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
    "summary_first_dropout": 0.0,
    "classifier_dropout": 0.0,
    "initializer_range": 0.3,
    "num_labels": 3,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "small": {},
    "odd": {
        "vocab_size": 53, "n_embd": 33, "n_head": 3, "n_inner": 17, "n_layer": 3, "n_positions": 9,
        "num_labels": 1, "layer_norm_epsilon": 1e-3, "activation_function": "relu",
    },
    "cross": {"add_cross_attention": True, "scale_attn_by_inverse_layer_idx": True},
    "by layer": {"scale_attn_by_inverse_layer_idx": True, "n_layer": 3, "activation_function": "gelu"},
    "unscaled": {"scale_attn_weights": False, "n_inner": 40},
    "upcast": {"reorder_and_upcast_attn": True, "scale_attn_by_inverse_layer_idx": True},
    "untied": {"tie_word_embeddings": False, "activation_function": "silu"},
}  # fmt: skip
TASKS = {
    "GPT2Model": Task(by_token=("last_hidden_state",), reads_encoder=True),
    "GPT2LMHeadModel": Task(token_labels("vocab_size", shift=1), ("logits",), reads_encoder=True),
    "GPT2ForSequenceClassification": Task(row_labels, by_row=("logits",)),
    "GPT2ForTokenClassification": Task(token_labels("num_labels"), ("logits",)),
    "GPT2ForQuestionAnswering": Task(spans, ("start_logits", "end_logits")),
}
NAMES = [*TASKS, "GPT2DoubleHeadsModel"]
CASES = [
    pytest.param(name, marks=[] if name in ("small", "odd", "cross", "upcast") else pytest.mark.slow, id=name)
    for name in CONFIGURATIONS
]


def make_pair(oracle: Any, name: str, attention: str = "eager", **options: Any) -> tuple[Any, Any]:
    """Our model and theirs with the same random weights, in float64 and training mode (there is no dropout).

    In float32 where scores are upcast: their eager attention then takes nothing wider.
    """
    settings = SIZES | options
    dtype = torch.float32 if settings.get("reorder_and_upcast_attn") else torch.float64
    their_config = oracle.GPT2Config(**settings)
    their_config._attn_implementation = "eager" if attention == "auto" else attention
    theirs = getattr(oracle, name)(their_config).to(dtype)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(0.1, 0.3)
    config = formers_gpt2.GPT2Config(**settings)
    ours = getattr(formers_gpt2, name).from_config(config, attn_implementation=attention).to(dtype)
    ours.load_state_dict(theirs.state_dict())
    return ours.train(), theirs.train()


def make_batch(config: Any, task: Task, padding: str) -> Batch:
    return padded_batches.make_batch(config, task, padding, types=config.vocab_size)


def tolerance(name: str, configuration: str = "") -> float:
    """The oracle computes the loss of a language model in float32 always; see ``make_pair`` for the other."""
    if configuration == "upcast":
        return 2e-4
    return 1e-6 if name in ("GPT2LMHeadModel", "GPT2DoubleHeadsModel") else 1e-10


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
    same_outputs(found, expected, task, batch, 2e-5 if configuration == "upcast" else 1e-10)
    limit = tolerance(name, configuration)
    if name != "GPT2Model":
        close(found.loss, sum(output.loss for output in expected) / len(expected), limit)

    objective(found, task, batch.real, len(ROWS)).backward()
    for output in expected:
        rows = len(ROWS) // len(expected)
        (objective(output, task, ..., rows) / len(expected)).backward()
    same_gradients(ours, theirs, limit)


def choices_of(batch: Batch) -> dict[str, Tensor]:
    """Two questions of two choices."""
    return {name: value.unflatten(0, (2, 2)) for name, value in batch.tensors.items()}


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("padding", ["none", "right", "left"])
@pytest.mark.parametrize("configuration", [name for name in CASES if name.id != "cross"])
def test_double_heads(oracle: Any, configuration: str, padding: str, attention: str) -> None:
    """The oracle scores each choice alone and unpadded; the softmax is over the choices."""
    ours, theirs = make_pair(oracle, "GPT2DoubleHeadsModel", attention, **CONFIGURATIONS[configuration])
    batch = make_batch(ours.config, Task(token_labels("vocab_size", shift=1)), padding)
    batch.tensors["mc_token_ids"] = torch.tensor(batch.starts) + torch.tensor([3, 1, 0, 2])
    mc_labels = torch.tensor([1, 0])
    found = ours(**choices_of(batch), mc_labels=mc_labels)

    rows = []
    for index in ROWS:
        row = {name: value[:, None] for name, value in batch.row(index).items()}
        row["mc_token_ids"] = row["mc_token_ids"] - batch.starts[index]
        rows.append(theirs(**row))
    scores = torch.cat([row.mc_logits for row in rows]).view(2, 2)
    mc_loss = cross_entropy(scores, mc_labels)
    loss = sum(row.loss for row in rows) / len(rows)
    limit = tolerance("GPT2DoubleHeadsModel", configuration)
    for index, row in enumerate(rows):
        logits = found.logits.flatten(0, 1)[batch.columns(index)]
        close(logits, row.logits[0], limit)
    close(found.mc_logits, scores, limit)
    close(found.mc_loss, mc_loss, limit)
    close(found.loss, loss, limit)
    (found.loss + 2 * found.mc_loss).backward()
    (loss + 2 * mc_loss).backward()
    same_gradients(ours, theirs, limit)


@pytest.mark.parametrize("kind", ["cls_index", "last", "first", "mean"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"summary_activation": "tanh"},
        {"summary_proj_to_labels": False},
        {"summary_use_proj": False, "summary_activation": "relu"},
    ],
    ids=lambda options: " ".join(options),
)
def test_kinds_of_summaries(oracle: Any, kind: str, options: dict[str, Any]) -> None:
    """Without an axis of choices: with one, theirs takes it for the tokens, but for ``cls_index``."""
    ours, theirs = make_pair(oracle, "GPT2DoubleHeadsModel", "sdpa", summary_type=kind, **options)
    ids = make_batch(ours.config, Task(), "none").tensors["input_ids"]
    close(ours(ids).mc_logits, theirs(ids).mc_logits)
    places = torch.tensor([0, 3, 7, 2])
    close(ours(ids, mc_token_ids=places).mc_logits, theirs(ids, mc_token_ids=places).mc_logits)


@pytest.mark.parametrize("labels", ["labels", "mc_labels", "both"])
def test_double_heads_as_they_are_called(oracle: Any, labels: str) -> None:
    ours, theirs = make_pair(oracle, "GPT2DoubleHeadsModel", "eager")
    ids = torch.randint(1, 61, (2, 3, 7))
    given = {"labels": ids, "mc_labels": torch.tensor([2, 0])}
    given = given if labels == "both" else {labels: given[labels]}
    asked = {"output_hidden_states": True, "output_attentions": True}
    found, expected = ours(ids, **given, **asked), theirs(ids, **given, **asked)
    assert list(found) == list(expected)
    for name in set(given) & {"mc_loss", "logits", "mc_logits"}:
        close(found[name], expected[name])
    for name in ("attentions", "hidden_states"):
        for ours_layer, theirs_layer in zip(found[name], expected[name], strict=True):
            close(ours_layer, theirs_layer.view(ours_layer.shape))
    found_tuple, expected_tuple = (model(ids, **given, return_dict=False) for model in (ours, theirs))
    assert not_empty(found_tuple) == not_empty(expected_tuple)


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.parametrize("name", NAMES)
def test_names_and_shapes_of_weights(oracle: Any, name: str, configuration: str) -> None:
    settings = SIZES | CONFIGURATIONS[configuration]
    ours = getattr(formers_gpt2, name)(formers_gpt2.GPT2Config(**settings))
    theirs = getattr(oracle, name)(oracle.GPT2Config(**settings))
    assert shapes(ours) == shapes(theirs)
    assert [key for key, _ in ours.named_parameters()] == [key for key, _ in theirs.named_parameters()]


@pytest.mark.parametrize("options", [{}, {"tie_word_embeddings": False}], ids=["tied", "untied"])
@pytest.mark.parametrize("name", NAMES)
def test_each_reads_what_the_other_saved(
    oracle: Any, name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    ours, theirs = make_pair(oracle, name, "sdpa", **options)
    ids = make_batch(ours.config, Task(), "none").tensors["input_ids"]
    expected = [value for value in theirs(ids).to_tuple() if isinstance(value, Tensor)]

    ours.save_pretrained(tmp_path / "ours")
    read_by_them, info = getattr(oracle, name).from_pretrained(
        tmp_path / "ours", output_loading_info=True, dtype=torch.float64
    )
    assert not any(info.values()), info
    theirs.save_pretrained(tmp_path / "theirs")
    read_by_us, report = getattr(formers_gpt2, name).from_pretrained(
        tmp_path / "theirs", output_loading_info=True, dtype=torch.float64
    )
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), report

    for model in (ours, read_by_them, read_by_us):
        found = [value for value in model(ids).to_tuple() if isinstance(value, Tensor)]
        for value, reference in zip(found, expected, strict=True):
            close(value, reference)
    for key, value in vars(theirs.config).items():
        if key in SIZES and (key != "num_labels" or name != "GPT2DoubleHeadsModel"):
            assert getattr(read_by_us.config, key) == value, key


@pytest.mark.parametrize("name", NAMES)
def test_signature(oracle: Any, name: str) -> None:
    same_signature(getattr(formers_gpt2, name), getattr(oracle, name))


@pytest.mark.parametrize("configuration", ["small", "cross"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_decoding_with_a_cache(oracle: Any, configuration: str, attention: str) -> None:
    """A prompt, a single token, a chunk: each call's scores, and the keys and values in the cache."""
    ours, theirs = make_pair(oracle, "GPT2LMHeadModel", attention, **CONFIGURATIONS[configuration])
    ours.eval(), theirs.eval()
    batch = make_batch(ours.config, TASKS["GPT2LMHeadModel"], "none")
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
    for layer in range(ours.config.n_layer):
        close(our_cache[layer][0], own.layers[layer].keys)
        close(our_cache[layer][1], own.layers[layer].values)


@pytest.mark.parametrize("name", ["GPT2LMHeadModel", "GPT2ForSequenceClassification", "GPT2DoubleHeadsModel"])
@pytest.mark.parametrize("training", [False, True])
def test_when_a_cache_is_returned(oracle: Any, name: str, training: bool) -> None:
    ours, theirs = (model.train(training) for model in make_pair(oracle, name))
    ids = make_batch(ours.config, Task(), "none").tensors["input_ids"]
    labels = {"labels": ids} if name != "GPT2ForSequenceClassification" else {}
    for asked in ({}, labels, {"use_cache": False}, {"use_cache": True}):
        assert ("past_key_values" in ours(ids, **asked)) == ("past_key_values" in theirs(ids, **asked))


@pytest.mark.parametrize("kind", ["bool", "one row", "additive"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_masks_of_four_dimensions(oracle: Any, attention: str, kind: str) -> None:
    ours, theirs = make_pair(oracle, "GPT2Model", "sdpa")  # its eager adds True as 1
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
    ours, theirs = make_pair(oracle, name, "eager")
    ids = make_batch(ours.config, Task(), "none").tensors["input_ids"]
    found, expected = ours(ids, return_dict=False, **asked), theirs(ids, return_dict=False, **asked)
    assert isinstance(found, tuple)
    assert not_empty(found) == not_empty(expected)
    assert sorted(not_empty(ours(ids, **asked))) == sorted(not_empty(theirs(ids, **asked)))


@pytest.mark.parametrize("keep", [0, 1, 3, torch.tensor([0, 5])], ids=str)
def test_logits_to_keep(oracle: Any, keep: Any) -> None:
    ours, theirs = make_pair(oracle, "GPT2LMHeadModel")
    ids = make_batch(ours.config, Task(), "none").tensors["input_ids"]
    close(ours(ids, logits_to_keep=keep).logits, theirs(ids, logits_to_keep=keep).logits)


def test_num_items_in_batch(oracle: Any) -> None:
    ours, theirs = make_pair(oracle, "GPT2LMHeadModel")
    ids = make_batch(ours.config, Task(), "none").tensors["input_ids"]
    found = ours(ids, labels=ids, num_items_in_batch=77)
    expected = theirs(ids, labels=ids, num_items_in_batch=torch.tensor(77))
    close(found.loss, expected.loss, 1e-6)


@pytest.mark.parametrize(
    "problem", [None, "regression", "single_label_classification", "multi_label_classification"]
)
@pytest.mark.parametrize("num_labels", [1, 3])
def test_problem_types(oracle: Any, problem: str | None, num_labels: int) -> None:
    if problem == "single_label_classification":
        num_labels += 1  # their configuration refuses a single class
    ours, theirs = make_pair(
        oracle, "GPT2ForSequenceClassification", num_labels=num_labels, problem_type=problem
    )
    ids = make_batch(ours.config, Task(), "none").tensors["input_ids"]
    labels = torch.rand(len(ROWS), num_labels).double()
    if num_labels == 1 and problem != "multi_label_classification":
        labels = labels.squeeze(1)
    if problem == "single_label_classification" or (problem is None and num_labels > 1):
        labels = torch.randint(0, num_labels, (len(ROWS),))
    close(ours(ids, labels=labels).loss, theirs(ids, labels=labels).loss)


def test_the_end_of_a_row_by_its_padding_token(oracle: Any) -> None:
    """Without a mask; one token is enough to make a row, and without a padding token a single row is."""
    ours, theirs = make_pair(oracle, "GPT2ForSequenceClassification")
    ids = torch.tensor([[5, 6, 0, 0], [7, 0, 5, 0], [1, 2, 3, 4], [9, 0, 0, 0]])
    close(ours(ids).logits, theirs(ids).logits)
    for model in (ours, theirs):
        model.config.pad_token_id = None
        with pytest.raises(ValueError, match="pad"):
            model(ids)
    close(ours(ids[1:2]).logits, theirs(ids[1:2]).logits)


@pytest.mark.parametrize("name", ["classifier_dropout", "hidden_dropout"])
def test_the_dropout_of_the_token_classifier(oracle: Any, name: str) -> None:
    for options in ({}, {name: 0.4}, {"classifier_dropout": 0.2, "hidden_dropout": 0.3}):
        ours = formers_gpt2.GPT2ForTokenClassification(formers_gpt2.GPT2Config(n_layer=0, **options))
        theirs = oracle.GPT2ForTokenClassification(oracle.GPT2Config(n_layer=0, **options))
        assert ours.dropout.p == theirs.dropout.p


def test_fresh_weights(oracle: Any) -> None:
    """The same means and standard deviations, those of the maps that end in the residual stream included."""
    settings = {"vocab_size": 300, "n_embd": 192, "n_layer": 4, "add_cross_attention": True}
    ours = formers_gpt2.GPT2LMHeadModel(formers_gpt2.GPT2Config(**settings))
    theirs = oracle.GPT2LMHeadModel(oracle.GPT2Config(**settings))
    for (name, found), expected in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert found.mean().item() == pytest.approx(expected.mean().item(), abs=1e-3), name
        assert found.std().item() == pytest.approx(expected.std().item(), rel=0.05), name


def test_the_default_configuration(oracle: Any) -> None:
    ours, theirs = formers_gpt2.GPT2Config().to_dict(), oracle.GPT2Config().to_dict()
    assert {key: ours[key] for key in theirs if key != "transformers_version"} == {
        key: value for key, value in theirs.items() if key != "transformers_version"
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("upcast", [False, True])
def test_lower_precision(oracle: Any, upcast: bool, attention: str, dtype: torch.dtype) -> None:
    """No further from the float64 result than twice the oracle in the same precision."""
    ours, theirs = make_pair(oracle, "GPT2LMHeadModel", attention, reorder_and_upcast_attn=upcast)
    batch = make_batch(ours.config, Task(), "right")
    theirs.double().config._attn_implementation = "sdpa"
    expected = torch.cat([theirs(**batch.row(index)).logits[0] for index in ROWS])
    theirs.config._attn_implementation = attention
    found = ours.to(dtype)(**batch.tensors).logits[batch.real].double()
    reference = theirs.to(dtype)(**batch.tensors).logits[batch.real].double()
    assert (found - expected).norm() <= 2 * (reference - expected).norm()
