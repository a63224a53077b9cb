from __future__ import annotations

from typing import Any

import pytest
import torch
from one_head import OneHead, one_head
from torch import Tensor
from torch.nn.functional import cosine_similarity

from formers import GenerationArgumentError
from formers_decoding_contrastive import ContrastiveSearch
from formers_decoding_contrastive.search import degeneration

PROMPTS = [[5, 3, 8, 2], [7, 4], [11, 9, 6]]
SETTINGS = [(0.6, 4), (0.1, 2), (0.9, 17), (1.0, 3)]


def padded(prompts: list[list[int]]) -> dict[str, Tensor]:
    width = max(map(len, prompts))
    ids = [[0] * (width - len(prompt)) + prompt for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}


@torch.no_grad()
def by_definition(model: OneHead, prompt: list[int], alpha: float, width: int, new: int) -> list[int]:
    """The paper's equation, for one row, with everything computed anew for every candidate."""
    ids = list(prompt)
    for _ in range(new):
        probabilities = model(torch.tensor([ids])).logits[0, -1].softmax(dim=-1)
        found = []
        for token in probabilities.topk(width).indices.tolist():
            output = model(torch.tensor([[*ids, token]]), output_hidden_states=True)
            states = output.hidden_states[-1][0]
            penalty = cosine_similarity(states[-1:], states[:-1]).max()
            found.append((float((1 - alpha) * probabilities[token] - alpha * penalty), token))
        ids.append(max(found)[1])
    return ids[len(prompt) :]


@pytest.mark.parametrize(("alpha", "width"), SETTINGS)
@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_the_paper_s_equation_whatever_the_padding(seed: int, alpha: float, width: int) -> None:
    model = one_head(seed)
    found = model.generate(**padded(PROMPTS), penalty_alpha=alpha, top_k=width, max_new_tokens=9)
    expected = [by_definition(model, prompt, alpha, width, 9) for prompt in PROMPTS]
    assert found[:, -9:].tolist() == expected


@pytest.mark.parametrize("options", [{"use_cache": False}, {"cache_implementation": "static"}])
def test_the_cache_changes_nothing(options: dict[str, Any]) -> None:
    model, inputs = one_head(), padded(PROMPTS)
    settings = {"penalty_alpha": 0.6, "top_k": 4, "max_new_tokens": 9}
    expected = model.generate(**inputs, **settings)
    assert torch.equal(model.generate(**inputs, **settings, **options), expected)


def test_low_memory_changes_nothing() -> None:
    model, inputs = one_head(), padded(PROMPTS)
    settings = {"penalty_alpha": 0.6, "top_k": 4, "max_new_tokens": 5}
    expected = model.generate(**inputs, **settings)
    assert torch.equal(model.generate(**inputs, **settings, low_memory=True), expected)


def test_without_a_penalty_it_is_greedy() -> None:
    model, inputs = one_head(), padded(PROMPTS)
    found = model.generate(**inputs, custom_generate=ContrastiveSearch(), penalty_alpha=0.0, max_new_tokens=9)
    assert torch.equal(found, model.generate(**inputs, max_new_tokens=9))


def test_more_candidates_than_tokens() -> None:
    model, inputs = one_head(), padded(PROMPTS)
    found = model.generate(**inputs, penalty_alpha=0.6, top_k=100, max_new_tokens=5)
    assert torch.equal(found, model.generate(**inputs, penalty_alpha=0.6, top_k=17, max_new_tokens=5))


def test_the_penalty_keeps_from_repeating() -> None:
    """A model that says the same token for ever: its state is what the text already has."""
    model = one_head()
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.linspace(0, 0.1, 17))
    inputs = padded([[16]])
    assert model.generate(**inputs, max_new_tokens=6).tolist() == [[16] * 7]
    found = model.generate(**inputs, penalty_alpha=0.6, top_k=8, max_new_tokens=6)[0].tolist()
    assert len(set(found)) > 4


def test_rows_end_each_on_their_own() -> None:
    free = one_head().generate(**padded(PROMPTS), penalty_alpha=0.6, top_k=4, max_new_tokens=9)
    end = int(free[0, 6])
    model = one_head(eos_token_id=end)
    found = model.generate(**padded(PROMPTS), penalty_alpha=0.6, top_k=4, max_new_tokens=9)
    for row, expected in zip(found[:, 4:].tolist(), free[:, 4:].tolist(), strict=True):
        kept = expected[: expected.index(end) + 1] if end in expected else expected
        assert row == (kept + [0] * 9)[: len(row)]


def test_processors_come_first() -> None:
    model, inputs = one_head(), padded(PROMPTS)
    settings = {"penalty_alpha": 0.6, "top_k": 4, "max_new_tokens": 9}
    allowed = model.generate(**inputs, **settings, suppress_tokens=list(range(8, 17)))
    assert int(allowed[:, 4:].max()) < 8
    once = model.generate(**inputs, **settings, no_repeat_ngram_size=1)[:, 4:]
    assert all(len(set(row)) == 9 for row in once.tolist())


def test_the_stream_is_the_result() -> None:
    model, inputs = one_head(), padded(PROMPTS)
    settings = {"penalty_alpha": 0.6, "top_k": 4, "max_new_tokens": 9}
    steps = list(model.stream(**inputs, **settings))
    assert len(steps) == 9
    assert torch.equal(
        torch.cat([step.ids for step in steps], dim=1), model.generate(**inputs, **settings)[:, 4:]
    )
    assert [step.finished for step in steps[:-1]] == [(False, False, False)] * 8
    assert steps[-1].finished == (True, True, True)


def test_everything_can_be_returned() -> None:
    model, inputs = one_head(), padded(PROMPTS)
    output = model.generate(
        **inputs, penalty_alpha=0.6, top_k=4, max_new_tokens=5, return_dict_in_generate=True,
        output_scores=True, output_logits=True, output_hidden_states=True,
    )  # fmt: skip
    assert [tuple(step.shape) for step in output.scores] == [(3, 17)] * 5
    assert [tuple(step.shape) for step in output.logits] == [(3, 17)] * 5
    assert [tuple(step[-1].shape) for step in output.hidden_states] == [(3, 4, 12)] + [(3, 1, 12)] * 4
    assert output.past_key_values.batch_size == 3
    assert output.past_key_values.get_seq_length() == output.sequences.shape[1] - 1
    mask = torch.cat((inputs["attention_mask"], torch.ones(3, 5, dtype=torch.long)), dim=1)
    anew = model(output.sequences, attention_mask=mask, output_hidden_states=True)
    torch.testing.assert_close(torch.stack(output.logits, dim=1), anew.logits[:, 3:-1])
    later = torch.cat([step[-1] for step in output.hidden_states[1:]], dim=1)
    torch.testing.assert_close(later, anew.hidden_states[-1][:, 4:-1])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"penalty_alpha": 1.5}, "penalty_alpha=1.5"),
        ({}, "penalty_alpha=None"),
        ({"penalty_alpha": 0.5, "top_k": 0}, "top_k=0"),
    ],
)
def test_settings_that_cannot_be_right(settings: dict[str, Any], said: str) -> None:
    model = one_head()
    with pytest.raises(GenerationArgumentError, match=said):
        model.generate(**padded(PROMPTS), custom_generate="contrastive_search", **settings)


def test_a_model_without_hidden_states() -> None:
    class Silent(OneHead):
        def forward(self, input_ids: Tensor, past_key_values: Any = None, return_dict: bool = True) -> Any:
            raise AssertionError("the model ran")

    model = Silent(one_head().config)
    with pytest.raises(GenerationArgumentError, match="Silent has no output_hidden_states"):
        model.generate(torch.tensor([[5, 3]]), penalty_alpha=0.6, top_k=4)


def test_padding_is_no_context() -> None:
    context = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    candidates = torch.tensor([[[1.0, 0.0], [0.0, -1.0]]])
    assert degeneration(context, candidates, None).tolist() == [[1.0, 0.0]]
    assert degeneration(context, candidates, torch.tensor([[0, 1]])).tolist() == [[0.0, -1.0]]
