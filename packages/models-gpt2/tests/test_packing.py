"""A padded batch that runs without its padding gives what it gives with it, and what each row gives alone (law 2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import formers_gpt2
from formers.cache import DynamicCache, StaticCache
from formers.layout import Layout
from formers_gpt2.configuration import tiny_config

ATTENTIONS = [None, "eager", "sdpa"]
LENGTH = 7

Labels = Callable[[Tensor], dict[str, Tensor]]


def per_token(ids: Tensor) -> dict[str, Tensor]:
    labels = torch.randint(0, 2, ids.shape)
    return {"labels": labels.masked_fill(torch.rand(ids.shape) < 0.3, -100)}


HEADS: dict[str, Labels] = {
    "GPT2Model": lambda ids: {},
    "GPT2LMHeadModel": per_token,
    "GPT2ForSequenceClassification": lambda ids: {"labels": torch.randint(0, 2, (len(ids),))},
    "GPT2ForTokenClassification": per_token,
    "GPT2ForQuestionAnswering": lambda ids: {
        name: torch.randint(0, LENGTH, (len(ids),)) for name in ("start_positions", "end_positions")
    },
}


def build(name: str, packing: str, attention: str | None = None, **options: Any) -> Any:
    """A model in float64 with random biases; the same at each call."""
    torch.manual_seed(0)
    model = getattr(formers_gpt2, name).from_config(tiny_config(**options), attn_implementation=attention)
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


def gradients(model: Any, total: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    total.backward()
    return {key: value.grad for key, value in model.named_parameters() if value.grad is not None}


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("name", HEADS)
@settings(max_examples=12, deadline=None)
@given(mask=masks(), seed=st.integers(0, 1000), given_positions=st.booleans())
def test_packed_is_padded(
    name: str, attention: str | None, mask: Tensor, seed: int, given_positions: bool
) -> None:
    packed, padded = (build(name, mode, attention, use_cache=False) for mode in ("always", "never"))
    torch.manual_seed(seed)
    ids = torch.randint(1, 60, mask.shape)
    inputs = {"input_ids": ids, "attention_mask": mask, "output_hidden_states": True, **HEADS[name](ids)}
    if given_positions:
        inputs["position_ids"] = torch.randint(0, 30, (1, LENGTH))
    found, expected = packed(**inputs), padded(**inputs)
    assert was_packed(packed) == bool(mask.any() and not mask.all())
    assert found.keys() == expected.keys()
    real, rows = mask.bool(), mask.any(dim=1)
    totals = []
    for output in (found, expected):
        total = output.hidden_states[-1][real].sin().sum()
        if "loss" in output and rows.all():
            total = total + output.loss
        totals.append(total)
    for key, value in expected.items():
        if key == "hidden_states":
            for ours, theirs in zip(found[key], value, strict=True):
                close(ours[real], theirs[real])
        elif key == "loss":
            if rows.all():  # what a head makes of a row without tokens is not defined
                close(found[key], value)
        else:
            by_token = value.shape[:2] == mask.shape
            close(found[key][real if by_token else rows], value[real if by_token else rows])
            assert found[key].isfinite().all()
    ours, theirs = (gradients(model, total) for model, total in zip((packed, padded), totals, strict=True))
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        close(ours[key], value)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("side", ["left", "right", "middle"])
@pytest.mark.parametrize("kind", ["dynamic", "static", "own"])
def test_a_packed_prompt_fills_a_padded_cache(attention: str | None, side: str, kind: str) -> None:
    packed, padded = (build("GPT2LMHeadModel", mode, attention) for mode in ("always", "never"))
    ids, mask = torch.randint(1, 60, (3, 8)), torch.ones(3, 8, dtype=torch.int64)
    mask[0, {"left": slice(0, 3), "right": slice(3, 5), "middle": slice(2, 4)}[side]] = 0
    logits, lengths = [], []
    for model in (packed, padded):
        caches: dict[str, Any] = {
            "dynamic": DynamicCache(),
            "static": StaticCache(config=model.config, max_cache_len=8),
            "own": None,
        }
        cache, found = caches[kind], []
        for start, end in ((0, 5), (5, 6), (6, 8)):
            output = model(ids[:, start:end], cache, mask[:, :end])
            cache = output.past_key_values
            found.append(output.logits)
        logits.append(torch.cat(found, dim=1))
        lengths.append(cache.get_seq_length())
    assert packed.attention_report().packing["packed"] == 1
    assert lengths == [8, 8]
    close(logits[0][mask.bool()], logits[1][mask.bool()])


def test_a_cache_of_fixed_shapes_stays_padded() -> None:
    ids = torch.randint(1, 60, (2, 5))
    mask = torch.ones(2, 8, dtype=torch.int64)
    mask[0, :2] = 0
    model = build("GPT2LMHeadModel", "always")
    cache = StaticCache(config=model.config, max_cache_len=8)
    model(ids[:, :4], cache, mask[:, :4])
    cache.fix_shapes()
    found = model(ids[:, 4:], cache, mask).logits
    close(found[0], model(ids[:1, 2:]).logits[0, -1:])
    reasons = model.attention_report().packing
    assert reasons == {"packed": 1, "not packed: a cache of fixed shapes keeps padded rows": 1}


@pytest.mark.parametrize("strategy", [{}, {"num_beams": 3}, {"use_cache": False}], ids=str)
def test_generated_tokens_are_the_same(strategy: dict[str, Any]) -> None:
    packed, padded = (build("GPT2LMHeadModel", mode) for mode in ("always", "never"))
    ids = torch.randint(1, 60, (3, 6))
    mask = torch.arange(6) >= torch.tensor([[4], [0], [2]])
    options = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0, "eos_token_id": None, **strategy}
    found, expected = (
        model.generate(ids, attention_mask=mask.long(), **options) for model in (packed, padded)
    )
    assert was_packed(packed)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("form", ["positions", "layout", "flat"])
def test_documents_in_one_row_are_isolated(form: str) -> None:
    model = build("GPT2LMHeadModel", "auto")
    ids = torch.randint(1, 60, (1, 9))
    positions = torch.tensor([[0, 1, 2, 0, 0, 1, 2, 3, 4]])
    layout = Layout.packed(torch.tensor([0, 3, 4, 9]))
    output = {
        "positions": lambda: model(ids, position_ids=positions, labels=ids),
        "layout": lambda: model(ids, attention_mask=layout, labels=ids),
        "flat": lambda: model(ids[0], attention_mask=layout, labels=ids[0]),
    }[form]()
    spans = ((0, 3), (3, 4), (4, 9))
    alone = [model(ids[:, start:end], labels=ids[:, start:end]) for start, end in spans]
    logits = torch.cat([one.logits for one in alone], dim=1)
    close(output.logits, logits[0] if form == "flat" else logits)
    close(output.loss, (2 * alone[0].loss + 4 * alone[2].loss) / 6)
    assert output.past_key_values is None


def test_a_packed_batch_is_trained_like_a_padded_one() -> None:
    """In training mode, with gradient checkpointing, without a cache."""
    ids, mask = torch.randint(1, 60, (2, 6)), torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]])
    found = []
    for mode in ("always", "never"):
        model = build("GPT2LMHeadModel", mode).train()
        model.gradient_checkpointing_enable()
        output = model(ids, attention_mask=mask, labels=ids)
        found.append((output.loss, gradients(model, output.loss)))
    close(found[0][0], found[1][0])
    for key, value in found[1][1].items():
        close(found[0][1][key], value)


def test_a_compiled_row_of_documents() -> None:
    model = build("GPT2LMHeadModel", "auto", use_cache=False)
    ids = torch.randint(1, 60, (1, 6))
    torch.compiler.reset()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    for positions in (torch.tensor([[0, 1, 2, 0, 1, 2]]), torch.arange(6)[None]):
        found, expected = (one(ids, position_ids=positions, labels=ids) for one in (compiled, model))
        close(found.logits, expected.logits)
        close(found.loss, expected.loss)
    torch.compiler.reset()
