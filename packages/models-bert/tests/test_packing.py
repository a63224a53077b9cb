"""A padded batch that runs without its padding gives what it gives with it, and what each row gives alone (law 2)."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

import formers_bert
from formers import pack_batch
from formers.cache import DynamicCache, StaticCache
from formers.layout import Layout
from formers_bert import BertForMaskedLM, BertModel
from formers_bert.configuration import tiny_config

pytestmark = pytest.mark.filterwarnings("ignore:BertLMHeadModel predicts")

ATTENTIONS = [None, "eager", "sdpa"]
LENGTH = 7

Labels = Callable[[Tensor], dict[str, Tensor]]


def per_row(name: str) -> Labels:
    return lambda ids: {name: torch.randint(0, 2, (len(ids),))}


def per_token(ids: Tensor) -> dict[str, Tensor]:
    labels = torch.randint(0, 2, ids.shape)
    return {"labels": labels.masked_fill(torch.rand(ids.shape) < 0.3, -100)}


HEADS: dict[str, Labels] = {
    "BertModel": lambda ids: {},
    "BertForPreTraining": lambda ids: per_token(ids) | per_row("next_sentence_label")(ids),
    "BertForMaskedLM": per_token,
    "BertLMHeadModel": per_token,
    "BertForNextSentencePrediction": per_row("labels"),
    "BertForSequenceClassification": per_row("labels"),
    "BertForTokenClassification": per_token,
    "BertForQuestionAnswering": lambda ids: {
        name: torch.randint(0, LENGTH, (len(ids),)) for name in ("start_positions", "end_positions")
    },
}


def build(name: str, packing: str, attention: str | None = None, **options: Any) -> Any:
    """A model in float64 with random biases, so that padding is not hidden by zeros; the same at each call."""
    torch.manual_seed(0)
    model = getattr(formers_bert, name).from_config(tiny_config(**options), attn_implementation=attention)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.1, 0.3)
    model.set_packing(packing)
    return model.double().eval()


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


def was_packed(model: Any) -> bool:
    return "packed" in model.attention_report().packing


@st.composite
def masks(draw: st.DrawFn) -> Tensor:
    """Padding on the right, on the left, in the middle; rows without any token, rows without padding."""
    kinds = draw(
        st.lists(st.sampled_from(["right", "left", "holes", "empty", "full"]), min_size=1, max_size=4)
    )
    mask = torch.zeros(len(kinds), LENGTH, dtype=torch.int64)
    for row, kind in zip(mask, kinds, strict=True):
        real = draw(st.integers(1, LENGTH - 1))
        if kind == "right":
            row[:real] = 1
        elif kind == "left":
            row[-real:] = 1
        elif kind == "holes":
            row[draw(st.lists(st.integers(0, LENGTH - 1), min_size=1, max_size=LENGTH))] = 1
        elif kind == "full":
            row[:] = 1
    return mask


def gradients(model: Any, output: Any, mask: Tensor) -> dict[str, Tensor]:
    """Of the loss and of something of every output at real positions and in rows that have some."""
    total = torch.zeros((), dtype=torch.float64)
    for name, value in output.items():
        if name == "loss":
            total = total + value
        elif isinstance(value, Tensor):
            real = mask.bool() if value.shape[:2] == mask.shape else mask.any(dim=1)
            total = total + value[real].sin().sum()
    model.zero_grad()
    if total.requires_grad:
        total.backward()
    return {key: value.grad for key, value in model.named_parameters() if value.grad is not None}


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("name", HEADS)
@settings(max_examples=12, deadline=None)
@given(mask=masks(), is_decoder=st.booleans(), seed=st.integers(0, 1000), given_positions=st.booleans())
def test_packed_is_padded(
    name: str, attention: str | None, mask: Tensor, is_decoder: bool, seed: int, given_positions: bool
) -> None:
    options = {"is_decoder": is_decoder, "use_cache": False}
    packed, padded = (build(name, mode, attention, **options) for mode in ("always", "never"))
    torch.manual_seed(seed)
    ids = torch.randint(1, 64, mask.shape)
    inputs = {
        "input_ids": ids,
        "attention_mask": mask,
        "token_type_ids": torch.randint(0, 2, mask.shape),
        "output_hidden_states": True,
        **HEADS[name](ids),
    }
    if given_positions:
        inputs["position_ids"] = torch.randint(0, 32, (1, LENGTH))
    found, expected = packed(**inputs), padded(**inputs)
    assert was_packed(packed) == bool(mask.any() and not mask.all())
    assert not was_packed(padded)
    assert found.keys() == expected.keys()
    real = mask.bool()
    for key, value in expected.items():
        if key == "hidden_states":
            for ours, theirs in zip(found[key], value, strict=True):
                close(ours[real], theirs[real])
                assert was_packed(packed) <= (not ours[~real].any())
        elif value.shape[:2] == mask.shape:
            close(found[key][real], value[real])
            assert found[key].isfinite().all()
        elif key == "loss":
            if mask.any(dim=1).all():  # what a head makes of a row without tokens is not defined
                close(found[key], value)
        else:
            close(found[key][mask.any(dim=1)], value[mask.any(dim=1)])
    if mask.any(dim=1).all():
        ours, theirs = gradients(packed, found, mask), gradients(padded, expected, mask)
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            close(ours[key], value)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("is_decoder", [False, True])
def test_packed_is_alone(attention: str | None, is_decoder: bool) -> None:
    model = build("BertModel", "always", attention, is_decoder=is_decoder)
    ids = torch.randint(1, 64, (4, 6))
    mask = torch.tensor([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1], [1, 1, 1, 1, 1, 1], [0, 1, 0, 0, 0, 0]])
    together = model(ids, mask)
    assert was_packed(model)
    for index, row in enumerate(mask.bool()):
        alone = model(ids[index : index + 1, row])
        close(together.last_hidden_state[index, row], alone.last_hidden_state[0])
        close(together.pooler_output[index], alone.pooler_output[0])


def test_choices_are_packed() -> None:
    packed, padded = (build("BertForMultipleChoice", mode) for mode in ("always", "never"))
    ids = torch.randint(1, 64, (2, 3, LENGTH))
    mask = (torch.arange(LENGTH) < torch.randint(1, LENGTH, (2, 3, 1))).long()
    labels = torch.tensor([0, 2])
    found, expected = (model(ids, mask, labels=labels) for model in (packed, padded))
    assert was_packed(packed)
    close(found.logits, expected.logits)
    close(found.loss, expected.loss)


def test_a_row_without_tokens_reads_nothing_and_passes_nothing_back() -> None:
    model = build("BertModel", "always")
    embedded = torch.randn(3, 4, 16, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]])
    output = model(inputs_embeds=embedded, attention_mask=mask)
    assert was_packed(model)
    assert not output.last_hidden_state[[0, 2]].any()
    assert output.pooler_output.isfinite().all()
    (output.pooler_output.sum() + output.last_hidden_state.sin().sum()).backward()
    assert embedded.grad is not None
    assert embedded.grad[1, :2].any()
    assert not embedded.grad[mask == 0].any()


def test_nothing_at_all_is_not_packed() -> None:
    model = build("BertModel", "always")
    assert model(torch.ones(2, 3, dtype=torch.int64), torch.zeros(2, 3)).last_hidden_state.isfinite().all()
    assert model.attention_report().packing == {"not packed: no token is real": 1}


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing(reentrant: bool) -> None:
    ids, mask = torch.randint(1, 64, (2, 6)), torch.tensor([[1, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1]])
    models = [build("BertForMaskedLM", mode).train() for mode in ("always", "never")]
    models[0].gradient_checkpointing_enable({"use_reentrant": reentrant})
    outputs = [model(ids, mask, labels=ids) for model in models]
    close(outputs[0].loss, outputs[1].loss)
    found, expected = (gradients(model, output, mask) for model, output in zip(models, outputs, strict=True))
    for key, value in expected.items():
        close(found[key], value)


def test_dropout_drops_as_much() -> None:
    """Other entries, as many of them: the mean over many draws is that of a padded batch."""
    ids, mask = torch.randint(1, 64, (4, 6)), torch.arange(6) < torch.tensor([[2], [6], [3], [5]])
    means = []
    for mode in ("always", "never"):
        model = build(
            "BertModel", mode, hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.3, num_hidden_layers=1
        ).train()
        with torch.no_grad():
            drawn = torch.stack([model(ids, mask).last_hidden_state[mask] for _ in range(800)])
        assert drawn.std(dim=0).mean() > 0.05
        means.append((drawn.mean(dim=0), drawn.std(dim=0) / len(drawn) ** 0.5))
    (found, error), (expected, other) = means
    assert ((found - expected).abs() / (error**2 + other**2).sqrt()).max() < 5


def test_training_is_reproducible() -> None:
    ids, mask = torch.randint(1, 64, (3, 6)), torch.arange(6) < torch.tensor([[2], [6], [3]])
    model = build(
        "BertForMaskedLM", "always", hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2
    ).train()
    runs = []
    for _ in range(2):
        torch.manual_seed(5)
        runs.append(gradients(model, model(ids, mask, labels=ids), mask))
    for key, value in runs[0].items():
        assert torch.equal(value, runs[1][key])


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_a_packed_prompt_fills_a_padded_cache(attention: str | None, side: str, kind: str) -> None:
    """What follows the prompt reads it as if it had been padded."""
    packed, padded = (
        build("BertLMHeadModel", mode, attention, is_decoder=True) for mode in ("always", "never")
    )
    ids, mask = torch.randint(1, 64, (3, 8)), torch.ones(3, 8, dtype=torch.int64)
    mask[0, : 3 if side == "left" else 5] = 0
    if side == "right":
        mask[0] = torch.tensor([1, 1, 1, 0, 0, 1, 1, 1])
    logits = []
    for model in (packed, padded):
        cache: Any = (
            DynamicCache() if kind == "dynamic" else StaticCache(config=model.config, max_cache_len=8)
        )
        found = []
        for start, end in ((0, 5), (5, 6), (6, 8)):
            output = model(ids[:, start:end], mask[:, :end], past_key_values=cache)
            found.append(output.logits)
        logits.append(torch.cat(found, dim=1))
    assert packed.attention_report().packing["packed"] == 1
    close(logits[0][mask.bool()], logits[1][mask.bool()])


def test_a_decoder_reads_an_encoder() -> None:
    options = {"is_decoder": True, "add_cross_attention": True}
    packed, padded = (build("BertLMHeadModel", mode, **options) for mode in ("always", "never"))
    ids, mask = torch.randint(1, 64, (2, 5)), torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    states = torch.randn(2, 4, 16, dtype=torch.float64)
    source = torch.tensor([[1, 1, 1, 1], [0, 1, 1, 0]])
    outputs = [
        model(
            ids,
            mask,
            encoder_hidden_states=states,
            encoder_attention_mask=source,
            labels=ids,
            use_cache=cached,
        )
        for model, cached in ((packed, True), (padded, False))
    ]
    assert was_packed(packed)
    close(outputs[0].loss, outputs[1].loss)
    close(outputs[0].logits[mask.bool()], outputs[1].logits[mask.bool()])
    cross = outputs[0].past_key_values.cross_attention_cache
    assert cross.get_seq_length() == 4


def test_the_last_columns_of_scores() -> None:
    packed, padded = (build("BertLMHeadModel", mode, is_decoder=True) for mode in ("always", "never"))
    ids, mask = torch.randint(1, 64, (2, 6)), torch.tensor([[0, 0, 0, 1, 1, 1], [1, 1, 1, 1, 1, 1]])
    found, expected = (model(ids, mask, labels=ids, logits_to_keep=2) for model in (packed, padded))
    assert was_packed(packed)
    close(found.logits, expected.logits)
    close(found.loss, expected.loss)


def documents(model: Any, ids: Tensor) -> list[Any]:
    return [model(ids[:, start:end]) for start, end in ((0, 3), (3, 4), (4, 9))]


@pytest.mark.parametrize("form", ["positions", "layout", "flat"])
@pytest.mark.parametrize("is_decoder", [False, True])
def test_documents_in_one_row_are_isolated(form: str, is_decoder: bool) -> None:
    model = build("BertModel", "auto", is_decoder=is_decoder, use_cache=False)
    ids = torch.randint(1, 64, (1, 9))
    positions = torch.tensor([[0, 1, 2, 0, 0, 1, 2, 3, 4]])
    layout = Layout.packed(torch.tensor([0, 3, 4, 9]))
    output = {
        "positions": lambda: model(ids, position_ids=positions, output_hidden_states=True),
        "layout": lambda: model(ids, layout, output_hidden_states=True),
        "flat": lambda: model(ids[0], layout, output_hidden_states=True),
    }[form]()
    expected = documents(model, ids)
    states = torch.cat([one.last_hidden_state for one in expected], dim=1)
    close(output.last_hidden_state, states[0] if form == "flat" else states)
    close(output.hidden_states[-1], output.last_hidden_state)
    close(output.pooler_output, torch.cat([one.pooler_output for one in expected]))


@pytest.mark.parametrize("name", ["BertForMaskedLM", "BertLMHeadModel", "BertForTokenClassification"])
def test_the_loss_of_documents_in_one_row(name: str) -> None:
    model = build(name, "auto", is_decoder=name == "BertLMHeadModel")
    ids = torch.randint(1, 64, (1, 9))
    labels, positions = ids % 2, torch.tensor([[0, 1, 2, 0, 0, 1, 2, 3, 4]])
    layout = Layout.packed(torch.tensor([0, 3, 4, 9]))
    padded = torch.zeros(3, 5, dtype=torch.int64), torch.zeros(3, 5), torch.zeros(3, 5, dtype=torch.int64)
    for row, (start, end) in enumerate(((0, 3), (3, 4), (4, 9))):
        padded[0][row, : end - start] = ids[0, start:end]
        padded[1][row, : end - start] = 1
        padded[2][row, : end - start] = labels[0, start:end]
    expected = model(padded[0], padded[1], labels=padded[2])
    by_positions = model(ids, position_ids=positions, labels=labels)
    by_layout = model(ids, layout, labels=labels)
    close(by_positions.loss, expected.loss)
    close(by_layout.loss, expected.loss)
    assert by_positions.logits.shape[:2] == (1, 9)
    close(by_positions.logits[0], expected.logits[padded[1].bool()])
    flat = model(ids[0], layout, labels=labels[0])
    close(flat.loss, expected.loss)
    close(flat.logits, by_layout.logits[0])


def test_answers_in_packed_documents() -> None:
    model = build("BertForQuestionAnswering", "auto")
    ids = torch.randint(1, 64, (1, 9))
    layout = Layout.packed(torch.tensor([0, 3, 9]))
    spans = {"start_positions": torch.tensor([1, 2]), "end_positions": torch.tensor([2, 5])}
    mask = torch.tensor([[1, 1, 1, 0, 0, 0], [1] * 6])
    rows = torch.zeros(2, 6, dtype=torch.int64)
    rows[mask.bool()] = ids[0]
    expected = model(rows, mask, **spans)
    found = model(ids[0], layout, **spans)
    close(found.loss, expected.loss)
    close(found.start_logits, expected.start_logits[mask.bool()])


@pytest.mark.parametrize(
    "positions",
    [
        torch.zeros(1, 6, dtype=torch.int64),  # every position 0
        torch.tensor([[1, 2, 3, 0, 1, 2]]),
        torch.tensor([[0, 1, 2, 3, 4, 5]]),
        torch.tensor([[0, 2, 4, 0, 2, 4]]),
        torch.tensor([[0, 1, 2, 2, 1, 0]]),
    ],
    ids=["zeros", "begins later", "one document", "steps of 2", "back"],
)
def test_other_positions_isolate_nothing(positions: Tensor) -> None:
    model = build("BertModel", "auto")
    ids = torch.randint(1, 64, (1, 6))
    explicit = model(ids, torch.ones(1, 6), position_ids=positions)  # with a mask they never do
    close(model(ids, position_ids=positions).last_hidden_state, explicit.last_hidden_state)


def test_positions_beside_a_mask_or_a_cache_or_other_rows_isolate_nothing() -> None:
    model = build("BertModel", "auto", is_decoder=True)
    ids, positions = torch.randint(1, 64, (2, 4)), torch.tensor([[0, 1, 0, 1]])
    one = ids[:1]
    expected = model(one, torch.ones(1, 4), position_ids=positions).last_hidden_state
    close(model(ids, position_ids=positions).last_hidden_state[:1], expected)
    close(model(one, position_ids=positions, past_key_values=DynamicCache()).last_hidden_state, expected)
    assert not torch.allclose(model(one, position_ids=positions).last_hidden_state, expected)


def test_auto_packs_what_is_worth_it() -> None:
    model = BertModel(tiny_config(hidden_size=256, num_attention_heads=4, num_hidden_layers=1)).eval()
    ids = torch.randint(1, 64, (8, 32))
    model(ids, torch.arange(32) < torch.arange(1, 33, 4)[:, None])
    assert model.attention_report().packing == {"packed": 1}
    assert model.attention_report().names() == ["varlen_cpu"]
    model(ids, torch.arange(32) < torch.tensor([[32]] * 7 + [[31]]))
    model(ids)
    assert str(model.attention_report()).splitlines()[-2:] == [
        "padded batches packed: 1",
        "padded batches not packed: more than 95% of the positions are real: 1",
    ]
    small = BertModel(tiny_config()).eval()
    small(ids[:2, :6], torch.tensor([[1, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0]]))
    (reason,) = small.attention_report().packing
    assert "is small" in reason


def test_the_mode_is_kept_by_copies_and_refused_if_unknown() -> None:
    model = build("BertForMaskedLM", "never")
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other._packing.mode == other.bert._packing.mode == "never"
    with pytest.raises(ValueError, match=r"set_packing\('sometimes'\): expected 'auto', 'always' or 'never'"):
        model.set_packing("sometimes")


IDS, MASK = torch.arange(1, 13).view(2, 6), torch.tensor([[1, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1]])


@pytest.mark.parametrize(
    ("options", "asked", "reason"),
    [
        ({}, {"output_attentions": True}, "output_attentions=True"),
        ({"output_attentions": True}, {}, "output_attentions=True"),
        ({}, {"head_mask": torch.ones(2)}, "head_mask"),
        ({"position_embedding_type": "relative_key"}, {}, "relative positions"),
    ],
)
def test_what_runs_padded_even_if_asked(options: dict[str, Any], asked: dict[str, Any], reason: str) -> None:
    packed, padded = (build("BertForMaskedLM", mode, **options) for mode in ("always", "never"))
    found, expected = (model(IDS, MASK, labels=IDS, **asked) for model in (packed, padded))
    assert torch.equal(found.logits, expected.logits)
    assert not was_packed(packed)
    assert reason in str(packed.attention_report())


def test_masks_of_more_dimensions_run_padded() -> None:
    model = build("BertModel", "always")
    pairs = torch.rand(2, 1, 6, 6) < 0.7
    for mask in (pairs, pairs[:, 0], torch.where(pairs, 0.0, -1e30)):
        assert model(IDS, mask).last_hidden_state.isfinite().all()
    assert model.attention_report().packing == {}


def test_a_hook_within_the_model_sees_padded_rows_unless_packing_is_asked_for() -> None:
    model = BertModel(tiny_config(hidden_size=256, num_attention_heads=4)).eval()
    ids, mask = torch.randint(1, 64, (4, 32)), torch.arange(32) < torch.tensor([[5], [32], [7], [9]])
    seen = []
    model.encoder.layer[0].register_forward_hook(lambda module, args, output: seen.append(output[0].shape))
    model(ids, mask)
    model.set_packing("always")
    model(ids, mask)
    assert seen == [(4, 32, 256), (53, 256)]
    assert "a BertLayer has a hook" in str(model.attention_report())


def test_inside_vmap() -> None:
    model = build("BertModel", "always", "eager")
    ids, mask = IDS.view(2, 1, 6), MASK.view(2, 1, 6)
    found = torch.vmap(lambda i, m: model(i, m).last_hidden_state)(ids, mask)
    close(found[:, 0][MASK.bool()], model(IDS, MASK).last_hidden_state[MASK.bool()])


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_a_trace_is_padded() -> None:
    model = build("BertModel", "always", torchscript=True)
    traced = torch.jit.trace(model, (IDS, MASK))
    other = torch.tensor([[1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]])
    close(traced(IDS, other)[0][other.bool()], model(IDS, other)[0][other.bool()])


def test_lengths_that_are_known_need_no_mask_from_the_caller() -> None:
    packed, padded = (build("BertForMaskedLM", mode) for mode in ("always", "never"))
    layout = Layout.from_lengths([4, 3], 6, side="left")
    mask = torch.tensor([[0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1]])
    found, expected = packed(IDS, layout), padded(IDS, mask)
    assert was_packed(packed)
    close(found.logits[mask.bool()], expected.logits[mask.bool()])


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("BertForMaskedLM", {"labels": torch.ones(2, 3, dtype=torch.int64)}, r"labels of shape \(2, 3\)"),
        (
            "BertModel",
            {"token_type_ids": torch.ones(3, 6, dtype=torch.int64)},
            r"token_type_ids of shape \(3, 6\)",
        ),
        ("BertModel", {"input_ids": torch.full((2, 6), 99)}, r"input_ids holds 99 at \[0, 0\]"),
        ("BertModel", {"position_ids": torch.full((2, 6), 32)}, r"position_ids holds 32"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, wrong: dict[str, Tensor], message: str) -> None:
    model = build(name, "always")
    with pytest.raises(ValueError, match=message):
        model(**{"input_ids": IDS, "attention_mask": MASK} | wrong)


def test_ids_at_padding_are_checked_as_well() -> None:
    """A batch is refused or not whether it would be packed or not."""
    ids = IDS.clone()
    ids[0, 5] = -100
    for mode in ("always", "never"):
        with pytest.raises(ValueError, match=r"input_ids holds -100 at \[0, 5\]"):
            build("BertForMaskedLM", mode)(ids, MASK)


def test_too_long_a_batch_is_refused_even_if_its_rows_would_fit() -> None:
    mask = torch.zeros(2, 40)
    mask[:, :5] = 1
    for mode in ("always", "never"):
        with pytest.raises(ValueError, match="40 tokens long"):
            build("BertModel", mode)(torch.ones(2, 40, dtype=torch.int64), mask)


def test_compiled_calls_run_padded_and_packed_ones_compile() -> None:
    model: BertForMaskedLM = build("BertForMaskedLM", "always")
    torch.compiler.reset()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    found, expected = compiled(IDS, MASK, labels=IDS), model(IDS, MASK, labels=IDS)
    close(found.loss, expected.loss)
    close(found.logits[MASK.bool()], expected.logits[MASK.bool()])
    assert "a graph is recorded" in str(model.attention_report())
    torch.compiler.reset()
    flat = torch.compile(model, backend="aot_eager", fullgraph=True)
    for lengths in ([4, 3], [2, 5]):
        bounds = torch.tensor([0, lengths[0], 7])
        mask = torch.arange(6) < torch.tensor(lengths)[:, None]
        packed = flat(IDS[mask], Layout.packed(bounds, 6, 7))
        close(packed.logits, model(IDS, mask).logits[mask])
    torch.compiler.reset()


def test_buckets_of_tokens_share_one_graph() -> None:
    model: BertForMaskedLM = build("BertForMaskedLM", "auto")
    torch.compiler.reset()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    for lengths in ([4, 3, 6], [2, 5, 1], [6, 6, 6], [1, 0, 2]):
        mask = (torch.arange(6) < torch.tensor(lengths)[:, None]).long()
        ids = torch.randint(1, 64, (3, 6))
        batch = {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids % 2, "labels": ids}
        inputs, rows = pack_batch(batch, multiple_of=24)
        found, expected = compiled(**inputs), model(**batch)
        close(rows.unpack(found.logits[: rows.tokens])[mask.bool()], expected.logits[mask.bool()])
        close(found.loss, expected.loss)
    assert counter.frame_count == 1
    torch.compiler.reset()


@pytest.mark.parametrize("name", ["BertModel", "BertLMHeadModel"])
def test_a_compiled_row_of_documents(name: str) -> None:
    """No shape may depend on the positions, so that a mask isolates the documents, and the pooler sees one row."""
    model = build(name, "auto", is_decoder=name == "BertLMHeadModel", use_cache=False)
    ids, positions = torch.randint(1, 64, (1, 6)), torch.tensor([[0, 1, 2, 0, 1, 2]])
    inputs = {} if name == "BertModel" else {"labels": ids}
    torch.compiler.reset()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    for these in (positions, torch.tensor([[0, 1, 2, 3, 4, 5]]), torch.tensor([[0, 0, 0, 0, 0, 0]])):
        found, expected = (one(ids, position_ids=these, **inputs) for one in (compiled, model))
        scores = "last_hidden_state" if name == "BertModel" else "logits"
        close(found[scores], expected[scores])
        if inputs:
            close(found.loss, expected.loss)
    torch.compiler.reset()
