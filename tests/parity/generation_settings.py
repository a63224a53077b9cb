"""Settings of ``generate`` that every architecture is compared with the oracle over, and the comparison.

The ids fit vocabularies of 61 and more.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

END, PAD = 58, 59
DETERMINISTIC: dict[str, dict[str, Any]] = {
    "greedy": {},
    "without a cache": {"use_cache": False},
    "static cache": {"cache_implementation": "static"},
    "several ends": {"eos_token_id": [3, 9, 17, 58]},
    "an end that is the padding": {"eos_token_id": 7, "pad_token_id": 7},
    "minimum length": {"min_length": 15, "eos_token_id": [3, 9, 17]},
    "minimum of new tokens": {"min_new_tokens": 6, "eos_token_id": [3, 9, 17]},
    "repetition penalty": {"repetition_penalty": 1.7},
    "no repeated n-grams": {"no_repeat_ngram_size": 2},
    "no n-grams of the prompt": {"encoder_no_repeat_ngram_size": 2},
    "encoder repetition penalty": {"encoder_repetition_penalty": 1.4},
    "bad words": {"bad_words_ids": [[3], [4, 5], [9, 1, 2]]},
    "sequence bias": {"sequence_bias": [[[5], 4.0], [[8, 6], -3.0]]},
    "forced beginning": {"forced_bos_token_id": 5, "forced_eos_token_id": 58},
    "suppressed tokens": {"suppress_tokens": [1, 2, 3], "begin_suppress_tokens": [4, 5]},
    "longer is costly": {"exponential_decay_length_penalty": (4, 1.3)},
    "invalid values removed": {"remove_invalid_values": True, "renormalize_logits": True},
    "maximum length": {"max_length": 17, "max_new_tokens": None},
    "guidance": {"guidance_scale": 1.6},
    "beams": {"num_beams": 3},
    "beams without a cache": {"num_beams": 3, "use_cache": False},
    "beams in a static cache": {"num_beams": 3, "cache_implementation": "static"},
    "several of the beams": {"num_beams": 4, "num_return_sequences": 3},
    "short beams": {"num_beams": 3, "length_penalty": -1.0, "eos_token_id": [3, 9, 17, 20, 21]},
    "long beams": {"num_beams": 3, "length_penalty": 2.0, "eos_token_id": [3, 9, 17, 20, 21]},
    "beams that stop early": {"num_beams": 3, "early_stopping": True, "eos_token_id": [3, 9, 17]},
    "beams that never stop early": {
        "num_beams": 3, "early_stopping": "never", "length_penalty": 1.5, "eos_token_id": [3, 9, 17],
    },
    "beams with processors": {"num_beams": 4, "no_repeat_ngram_size": 3, "repetition_penalty": 1.2, "min_length": 12},
}  # fmt: skip
SAMPLED: dict[str, dict[str, Any]] = {
    "plain": {},
    "all tokens": {"top_k": 0},
    "top-k": {"top_k": 5, "temperature": 0.7},
    "top-p": {"top_k": 0, "top_p": 0.7},
    "min-p": {"top_k": 0, "min_p": 0.1},
    "typical": {"top_k": 0, "typical_p": 0.6},
    "epsilon": {"top_k": 0, "epsilon_cutoff": 0.02},
    "eta": {"top_k": 0, "eta_cutoff": 0.05},
    "several": {"num_return_sequences": 3, "temperature": 1.5},
    "beams": {"num_beams": 3},
    "beams with warpers": {"num_beams": 3, "top_p": 0.8, "temperature": 1.3, "num_return_sequences": 2},
    "an end": {"eos_token_id": [3, 9, 17, 20], "repetition_penalty": 1.2},
    "without a cache": {"use_cache": False},
    "static cache": {"cache_implementation": "static"},
}

# What 4.53.3 has and 5.23 has not.
SOON = {"eos_token_id": 7}  # a likely token of these models
GROUPS: dict[str, dict[str, Any]] = {
    "two groups": {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.8},
    "strong penalty": {"num_beams": 6, "num_beam_groups": 3, "diversity_penalty": 5.5},
    "a beam a group": {"num_beams": 3, "num_beam_groups": 3, "diversity_penalty": 1.0, "num_return_sequences": 3},
    "all of them": {"num_beams": 6, "num_beam_groups": 2, "diversity_penalty": 0.5, "num_return_sequences": 6},
    "without a cache": {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.8, "use_cache": False},
    "ends soon": {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.8, "num_return_sequences": 4, **SOON},
    "the end is the padding": {
        "num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 2.0, "num_return_sequences": 4,
        "eos_token_id": 7, "pad_token_id": 7,
    },
    "short": {
        "num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.8, "length_penalty": -1.0,
        "num_return_sequences": 4, **SOON,
    },
    "long": {
        "num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.8, "length_penalty": 2.0,
        "early_stopping": "never", **SOON,
    },
    "early": {
        "num_beams": 6, "num_beam_groups": 3, "diversity_penalty": 0.8, "early_stopping": True,
        "num_return_sequences": 2, **SOON,
    },
    "processors": {
        "num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.8, "no_repeat_ngram_size": 2, "min_new_tokens": 5,
        "bad_words_ids": [[3], [4, 5]], **SOON,
    },
    "suppressed": {
        "num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.8, "suppress_tokens": [1, 2, 16, 17],
        "sequence_bias": [[[5], 4.0], [[8, 6], -3.0]], "exponential_decay_length_penalty": (4, 1.3),
    },
}  # fmt: skip
CONTRASTIVE: dict[str, dict[str, Any]] = {
    "usual": {"penalty_alpha": 0.6, "top_k": 4},
    "weak": {"penalty_alpha": 0.1, "top_k": 2},
    "strong": {"penalty_alpha": 1.0, "top_k": 9},
    "all tokens": {"penalty_alpha": 0.5, "top_k": 61},
    "ends soon": {"penalty_alpha": 0.6, "top_k": 4, **SOON},
    "the end is the padding": {"penalty_alpha": 0.6, "top_k": 4, "eos_token_id": 7, "pad_token_id": 7},
    "processors": {"penalty_alpha": 0.6, "top_k": 4, "no_repeat_ngram_size": 2, "min_new_tokens": 5, **SOON},
    "low memory": {"penalty_alpha": 0.6, "top_k": 4, "low_memory": False},
}
WANTED = {
    "return_dict_in_generate": True,
    "output_scores": True,
    "output_logits": True,
    "output_hidden_states": True,
}


def prompts() -> dict[str, Tensor]:
    """Three prompts of different lengths, padded on the left."""
    ids = torch.randint(0, 56, (3, 7), generator=torch.Generator().manual_seed(3))
    mask = torch.ones_like(ids)
    for row, padding in ((1, 3), (2, 1)):
        ids[row, :padding], mask[row, :padding] = 59, 0
    return {"input_ids": ids, "attention_mask": mask}


def same(pair: tuple[Any, Any], inputs: dict[str, Any], settings: dict[str, Any], **of_oracle: Any) -> Any:
    """Both generate the same, and return the same beside it; ours is returned.

    Args:
        pair: the oracle and our model.
        of_oracle: settings that the oracle has in place of ours.
    """
    wanted = {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}
    results = []
    for model, own in zip(pair, (of_oracle, {}), strict=True):
        torch.manual_seed(5)
        results.append(model.generate(**inputs, **{"max_new_tokens": 12, **settings, **wanted, **own}))
    oracle, ours = results
    torch.testing.assert_close(ours.sequences, oracle.sequences, rtol=0, atol=0)
    for name in ("scores", "logits"):
        theirs, mine = getattr(oracle, name), getattr(ours, name)
        assert len(mine) == len(theirs)
        for expected, actual in zip(theirs, mine, strict=True):
            # Guidance leaves the oracle's scores in the dtype of its model.
            torch.testing.assert_close(actual, expected.float(), rtol=1e-5, atol=1e-5)
    if "beam_indices" in oracle:
        assert torch.equal(ours.beam_indices, oracle.beam_indices)
        torch.testing.assert_close(ours.sequences_scores, oracle.sequences_scores, rtol=1e-5, atol=1e-6)
    transitions = [
        model.compute_transition_scores(
            result.sequences, result.scores, result.get("beam_indices"), normalize_logits=False
        )
        for model, result in zip(pair, results, strict=True)
    ]
    torch.testing.assert_close(transitions[1], transitions[0].float(), rtol=1e-5, atol=1e-5)
    return ours


def close(ours: Any, theirs: Any, tolerance: float = 1e-4) -> None:
    assert len(ours) == len(theirs)
    for mine, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.float(), expected.float(), rtol=tolerance, atol=tolerance)


def old_search(
    oracle: Any, rows: Tensor, scorer: Any, processors: list[Any], limit: int, **context: Any
) -> Any:
    """The search of 4.53.3 with a scorer; with one group of beams it is the former ``beam_search``.

    Args:
        rows: [batch * beams, length], what the decoder begins with.
        context: further arguments of each forward, such as an encoder's outputs; by default a mask of ``rows``.
    """
    from transformers import DynamicCache, EncoderDecoderCache, GenerationConfig
    from transformers.generation import LogitsProcessorList as Processors
    from transformers.generation import MaxLengthCriteria as Limit
    from transformers.generation import StoppingCriteriaList as Criteria

    config = GenerationConfig(
        eos_token_id=7, pad_token_id=PAD, return_dict_in_generate=True, output_scores=True,
        decoder_start_token_id=oracle.config.decoder_start_token_id,
    )  # fmt: skip
    oracle._prepare_special_tokens(config, device="cpu")
    cache = DynamicCache()
    if oracle.config.is_encoder_decoder:
        cache = EncoderDecoderCache(cache, DynamicCache())
    context = context or {"attention_mask": torch.ones_like(rows)}
    with torch.no_grad():
        return oracle._group_beam_search(
            rows, scorer, Processors(processors), Criteria([Limit(limit)]), config, False,
            use_cache=True, past_key_values=cache, **context,
        )  # fmt: skip
