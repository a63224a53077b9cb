from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from formers.generation import processors as p

ENCODED = torch.tensor([[1, 2]])
NAN = float("nan")

REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: p.TemperatureLogitsWarper(0), r"`temperature` is 0; expected a finite number .*do_sample=False"),
    (lambda: p.TemperatureLogitsWarper(-1.0), r"`temperature` is -1.0"),
    (lambda: p.TemperatureLogitsWarper(1e-40), r"`temperature` is 1e-40"),
    (lambda: p.TemperatureLogitsWarper(NAN), r"`temperature` is nan"),
    (lambda: p.TemperatureLogitsWarper("hot"), r"`temperature` is 'hot'"),  # type: ignore[arg-type]
    (lambda: p.TemperatureLogitsWarper(True), r"`temperature` is True"),
    (lambda: p.TopKLogitsWarper(0), r"`top_k` is 0; expected an integer of at least 1: .*top_k=0 in the gen"),
    (lambda: p.TopKLogitsWarper(2.0), r"`top_k` is 2.0"),  # type: ignore[arg-type]
    (lambda: p.TopKLogitsWarper(2, min_tokens_to_keep=0), r"`min_tokens_to_keep` is 0"),
    (
        lambda: p.TopPLogitsWarper(1.1),
        r"`top_p` is 1.1; expected a finite number from 0 to 1: 1.0 keeps every",
    ),
    (lambda: p.TopPLogitsWarper(-0.1), r"`top_p` is -0.1"),
    (lambda: p.MinPLogitsWarper(2), r"`min_p` is 2; expected a finite number from 0 to 1"),
    (lambda: p.TypicalLogitsWarper(0), r"`typical_p` is 0; expected a finite number above 0 below 1"),
    (lambda: p.TypicalLogitsWarper(1.0), r"`typical_p` is 1.0"),
    (lambda: p.EpsilonLogitsWarper(1), r"`epsilon_cutoff` is 1"),
    (lambda: p.EtaLogitsWarper(0), r"`eta_cutoff` is 0"),
    (lambda: p.TopHLogitsWarper(0), r"`top_h` is 0; expected a finite number above 0 to 1"),
    (
        lambda: p.RepetitionPenaltyLogitsProcessor(0),
        r"`penalty` is 0; expected .* above 0: 1.0 changes nothing",
    ),
    (lambda: p.RepetitionPenaltyLogitsProcessor(1.0, -1), r"`prompt_ignore_length` is -1"),
    (lambda: p.EncoderRepetitionPenaltyLogitsProcessor(-2, ENCODED), r"`penalty` is -2"),
    (lambda: p.NoRepeatNGramLogitsProcessor(0), r"`ngram_size` is 0; expected an integer of at least 1"),
    (lambda: p.EncoderNoRepeatNGramLogitsProcessor(0, ENCODED), r"`encoder_ngram_size` is 0"),
    (
        lambda: p.MinLengthLogitsProcessor(-1, 2),
        r"`min_length` is -1; expected .* at least 0: 0 sets no minimum",
    ),
    (
        lambda: p.MinLengthLogitsProcessor(3, [2, -1]),
        r"`eos_token_id` is \[2, -1\]; expected a token id or several",
    ),
    (lambda: p.MinLengthLogitsProcessor(3, []), r"`eos_token_id` is \[\]"),
    (lambda: p.MinLengthLogitsProcessor(3, torch.tensor([1.5])), r"`eos_token_id` is tensor"),
    (lambda: p.MinNewTokensLengthLogitsProcessor(-1, 3, 2), r"`prompt_length_to_skip` is -1"),
    (lambda: p.MinNewTokensLengthLogitsProcessor(1, 2.5, 2), r"`min_new_tokens` is 2.5"),  # type: ignore[arg-type]
    (lambda: p.ForcedBOSTokenLogitsProcessor(-1), r"`bos_token_id` is -1"),
    (lambda: p.ForcedEOSTokenLogitsProcessor(0, 2), r"`max_length` is 0"),
    (lambda: p.SuppressTokensLogitsProcessor([True]), r"`suppress_tokens` is \[True\]"),
    (lambda: p.SuppressTokensAtBeginLogitsProcessor([1], -1), r"`begin_index` is -1"),
    (lambda: p.ExponentialDecayLengthPenalty((1,), 2, 3), r"expected a pair \(start, factor\): for example"),  # type: ignore[arg-type]
    (lambda: p.ExponentialDecayLengthPenalty((1, 0), 2, 3), r"`exponential_decay_length_penalty\[1\]` is 0"),
    (lambda: p.HammingDiversityLogitsProcessor(0, 4, 2), r"`diversity_penalty` is 0"),
    (lambda: p.HammingDiversityLogitsProcessor(1.0, 1, 2), r"`num_beams` is 1"),
    (lambda: p.HammingDiversityLogitsProcessor(1.0, 4, 1), r"`num_beam_groups` is 1"),
    (
        lambda: p.HammingDiversityLogitsProcessor(1.0, 4, 3),
        r"`num_beam_groups` is 3 for 4 beams; expected a divisor",
    ),
    (lambda: p.SequenceBiasLogitsProcessor({}), r"`sequence_bias` is \{\}; expected a dictionary"),
    (lambda: p.SequenceBiasLogitsProcessor({(1, -2): 1.0}), r"not \(1, -2\): 1.0"),
    (lambda: p.SequenceBiasLogitsProcessor({(1, 2): NAN}), r"not \(1, 2\): nan"),
    (lambda: p.SequenceBiasLogitsProcessor({(): 1.0}), r"not \(\): 1.0"),
    (lambda: p.SequenceBiasLogitsProcessor([[[1, 2]]]), r"`sequence_bias` is \[\[\[1, 2\]\]\]"),
    (lambda: p.NoBadWordsLogitsProcessor([]), r"`bad_words_ids` is \[\]; expected a list with the token ids"),
    (lambda: p.NoBadWordsLogitsProcessor([[]]), r"none of them empty"),
    (lambda: p.NoBadWordsLogitsProcessor([1]), r"`bad_words_ids` is \[1\]"),  # type: ignore[list-item]
    (lambda: p.NoBadWordsLogitsProcessor([[1, -1]]), r"`bad_words_ids` is \[\[1, -1\]\]"),
    (lambda: p.PrefixConstrainedLogitsProcessor([1], 1), r"`prefix_allowed_tokens_fn` is \[1\]"),  # type: ignore[arg-type]
    (lambda: p.PrefixConstrainedLogitsProcessor(lambda item, ids: [1], 0), r"`num_beams` is 0"),
    (
        lambda: p.ClassifierFreeGuidanceLogitsProcessor(1),
        r"`guidance_scale` is 1; expected .* above 1: leave",
    ),
    (lambda: p.UnbatchedClassifierFreeGuidanceLogitsProcessor(NAN, None), r"`guidance_scale` is nan"),
    (
        lambda: p.UnbatchedClassifierFreeGuidanceLogitsProcessor(2, None, ENCODED, torch.ones(1, 3)),
        r"`unconditional_attention_mask` has shape \(1, 3\) for `unconditional_ids` of shape \(1, 2\)",
    ),
    (lambda: p.WatermarkLogitsProcessor(9, "cpu", greenlist_ratio=1.0), r"`greenlist_ratio` is 1.0"),
    (lambda: p.WatermarkLogitsProcessor(9, "cpu", seeding_scheme="x"), r"expected one of lefthash, selfhash"),
    (lambda: p.WatermarkLogitsProcessor(9, "cpu", context_width=0), r"`context_width` is 0"),
]


@pytest.mark.parametrize(("construct", "message"), REFUSED)
def test_a_wrong_argument_is_named_with_value_range_and_remedy(
    construct: Callable[[], Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        construct()


def test_whole_numbers_of_other_kinds_are_taken() -> None:
    assert p.TemperatureLogitsWarper(2).temperature == 2.0
    assert p.NoBadWordsLogitsProcessor(((1, 2),)).bad_words_ids == [(1, 2)]
