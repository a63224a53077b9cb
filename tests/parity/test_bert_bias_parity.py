"""The bias of the language-model head has two names; checkpoints hold one of them, both or none."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import formers_bert
from formers.errors import FormersWarning, MissingWeightsWarning

pytestmark = pytest.mark.parity

SIZES = {
    "vocab_size": 31,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 10,
}
HEAD = "cls.predictions."
BIASES = (HEAD + "bias", HEAD + "decoder.bias")
SCORES = HEAD + "decoder.weight"


def shared(model: nn.Module) -> set[tuple[str, str]]:
    """Pairs of names of the head and of the embeddings that are one parameter."""
    named = dict(model.named_parameters(remove_duplicate=False))
    names = [name for name in named if name.startswith(HEAD) or "word_embeddings" in name]
    return {
        (left, right) for left in names for right in names if left < right and named[left] is named[right]
    }


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    "absent", [(), BIASES[:1], BIASES[1:], BIASES, (SCORES, BIASES[1]), (SCORES,)], ids=str
)
@pytest.mark.parametrize("name", ["BertForMaskedLM", "BertForPreTraining"])
def test_any_of_the_names_may_be_absent(
    oracle: Any, tmp_path: Path, name: str, absent: tuple[str, ...], tied: bool
) -> None:
    config = oracle.BertConfig(**SIZES, tie_word_embeddings=False)
    stored = {
        key: torch.randn_like(value) for key, value in getattr(oracle, name)(config).state_dict().items()
    }
    config.tie_word_embeddings = tied
    config.save_pretrained(tmp_path)
    kept = {key: value for key, value in stored.items() if key not in absent}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})

    theirs, their_info = getattr(oracle, name).from_pretrained(tmp_path, output_loading_info=True)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        ours, our_info = getattr(formers_bert, name).from_pretrained(tmp_path, output_loading_info=True)

    assert our_info["missing_keys"] == sorted(their_info["missing_keys"])
    assert our_info["unexpected_keys"] == sorted(their_info["unexpected_keys"]) == []
    assert shared(ours) == shared(theirs)
    expected: dict[str, Tensor] = theirs.state_dict()
    for key, value in ours.state_dict().items():
        if key in kept or "bias" in key:  # other absent weights are drawn at random
            assert torch.equal(value, expected[key]), key
    ids = torch.randint(1, SIZES["vocab_size"], (2, 7))
    ours.load_state_dict(expected)
    torch.testing.assert_close(ours(ids)[0], theirs(ids)[0])

    alarms = [warning.category for warning in seen if issubclass(warning.category, FormersWarning)]
    assert (MissingWeightsWarning in alarms) == bool(their_info["missing_keys"])
    if not their_info["missing_keys"] and (not tied or set(absent) == {SCORES, BIASES[1]}):
        assert alarms == []  # with ties, values that differ are named, in FormersWarning
