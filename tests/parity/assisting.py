"""What the parity tests of assisted decoding share: settings, and models of both libraries beside assistants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

NOISE = {"the model itself": 0.0, "good": 0.02, "fair": 0.08, "another": 1.0}
PROCESSED: dict[str, dict[str, Any]] = {
    "plain": {},
    "several ends": {"eos_token_id": [3, 9, 17, 58]},
    "minimum length": {"min_length": 15, "eos_token_id": [3, 9, 17]},
    "repetition penalty": {"repetition_penalty": 1.7},
    "no repeated n-grams": {"no_repeat_ngram_size": 2},
    "forced end": {"forced_eos_token_id": 58},
    "bad words": {"bad_words_ids": [[3], [4, 5], [9, 1, 2]]},
    "maximum length": {"max_length": 30, "max_new_tokens": None},
}
# The oracle shapes an assistant's distribution twice, which shows with any filter that changes what is left.
SAMPLED: dict[str, dict[str, Any]] = {
    "all tokens": {"top_k": 0},
    "top-k": {"top_k": 5},
    "min-p": {"top_k": 0, "min_p": 0.1},
    "ends": {"top_k": 0, "eos_token_id": [3, 9, 17, 58]},
    "repetition penalty": {"top_k": 0, "repetition_penalty": 1.3},
}


class Pair:
    """Models of both libraries with the same weights, and how often each model ran."""

    def __init__(self, make: Callable[[], tuple[Any, Any]], noise: float) -> None:
        """Assistants have the weights of the models and some noise.

        Args:
            make: gives the oracle's model and ours, with the same weights at every call.
            noise: the standard deviation of what is added to each weight.
        """
        shared, assistants = make(), make()
        torch.manual_seed(12)
        weights = {
            name: value + noise * torch.randn_like(value) for name, value in shared[0].named_parameters()
        }
        for assistant in assistants:
            with torch.no_grad():
                for name, parameter in assistant.named_parameters():
                    parameter.copy_(weights[name])
            assistant.generation_config.num_assistant_tokens = 4
            assistant.generation_config.assistant_confidence_threshold = 0.0
            assistant.generation_config.num_assistant_tokens_schedule = "constant"
        self.models, self.assistants = shared, assistants
        self.lengths: list[list[int]] = [[], []]
        for model, lengths in zip(shared, self.lengths, strict=True):
            model.register_forward_pre_hook(_counter(lengths), with_kwargs=True)

    def generate(self, prompt: list[list[int]], **settings: Any) -> list[Any]:
        """What both return, the oracle first."""
        results = []
        for model, assistant, lengths in zip(self.models, self.assistants, self.lengths, strict=True):
            given = {} if "prompt_lookup_num_tokens" in settings else {"assistant_model": assistant}
            lengths.clear()
            torch.manual_seed(5)
            asked = {"max_new_tokens": 25, "return_dict_in_generate": True, "output_scores": True, **settings}
            results.append(model.generate(torch.tensor(prompt), output_logits=True, **asked, **given))
        return results


def _counter(lengths: list[int]) -> Any:
    def count(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        ids = kwargs["decoder_input_ids"] if "decoder_input_ids" in kwargs else kwargs["input_ids"]
        lengths.append(ids.shape[1])

    return count


def same(results: list[Any]) -> None:
    oracle, ours = results
    assert ours.sequences.tolist() == oracle.sequences.tolist()
    for name in ("scores", "logits"):
        theirs, mine = getattr(oracle, name), getattr(ours, name)
        for expected, actual in zip(theirs, mine, strict=False):
            torch.testing.assert_close(actual, expected.float(), rtol=1e-5, atol=1e-5)
        # The oracle may keep scores of guesses that the end of the text cut off.
        assert len(theirs) >= len(mine)
