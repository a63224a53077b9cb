"""Batches for the pretraining of T5; what is done to a text is in ``spans.py``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from formers.collating import (
    IGNORED,
    Draws,
    Feature,
    batch_of,
    padded,
    read_features,
    stacked,
    whole,
)
from formers.errors import ConfigValidationError, TextInputError

from .spans import SpanCorruption, corrupted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from formers import BatchEncoding, PreTrainedTokenizerBase

__all__ = ["DataCollatorForT5MLM"]

SENTINEL = "<extra_id_{}>"
# What a feature may hold beside its ids: all of it is about the text before it is corrupted.
KNOWN = {"input_ids", "attention_mask", "token_type_ids", "special_tokens_mask"}


class DataCollatorForT5MLM:
    """Makes batches in which spans of the text are to be found: anew at each call, so that every epoch differs.

    15 % of the tokens are dropped, in spans of 3 on average. In the inputs a sentinel stands for each
    span: ``<extra_id_0>`` for the first, then ``<extra_id_1>`` ... The labels are the spans, each behind its sentinel,
    and one last sentinel. Both end with the end token, and together they are the text. The model makes
    ``decoder_input_ids`` of the labels itself.

    A feature is what the tokenizer returns for one text, or a row of ids. Tokens that its ``attention_mask`` calls
    padding, and end tokens at its end, do not count.

    Args:
        tokenizer: has the sentinels, the end token and the padding.
        noise_density: dropped tokens of all tokens, between 0 and 1.
        mean_noise_span_length: tokens of a span on average, at least 1.
        input_length: make all inputs as long as this, and all labels as long as those of a text that fills the
            inputs. Such a text has ``tokens_length`` tokens, and longer ones are refused. By default a batch is as
            long as its longest text makes it.
        pad_to_multiple_of: round the lengths of inputs and labels up to a multiple of it.
        return_tensors: "pt" or "np".
        seed: the same batches for the same seed; a numpy ``Generator`` is used as it is.

    Attributes:
        tokens_length: tokens of a text, without its end token, that fills ``input_length``; None without that.
        target_length: the length of the labels then.

    Raises:
        ConfigValidationError: a setting lies outside its range, or the tokenizer lacks sentinels or the end token.
        MissingExtraError: numpy is not installed.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        noise_density: float = 0.15,
        mean_noise_span_length: float = 3.0,
        input_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        return_tensors: str = "pt",
        seed: int | np.random.Generator | None = None,
    ) -> None:
        self._draws = Draws(seed, type(self).__name__)
        self.tokenizer = tokenizer
        self.corruption = SpanCorruption(noise_density, mean_noise_span_length).checked()
        self.pad_to_multiple_of = (
            None if pad_to_multiple_of is None else whole("pad_to_multiple_of", pad_to_multiple_of)
        )
        self.return_tensors = return_tensors
        self._end = _end_of(tokenizer)
        self._sentinels = _sentinels(tokenizer)
        self.input_length: int | None = None
        self.tokens_length: int | None = None
        self.target_length: int | None = None
        if input_length is not None:
            self.input_length = whole("input_length", input_length, least=2)
            self.tokens_length, _, self.target_length = self.corruption.filling(self.input_length)
            problem = self._shortage(self.tokens_length)
            if problem:
                raise ConfigValidationError(f"input_length={input_length}: {problem}.")

    def __call__(self, features: Sequence[Feature]) -> BatchEncoding:
        """The batch of some features: ``input_ids``, ``attention_mask`` and ``labels``, where padding is -100.

        Raises:
            TextInputError: there are none, or one is wrong, empty or too long; the message has its index.
        """
        random = self._draws.generator
        rows: list[dict[str, Any]] = []
        labels: list[NDArray[np.int64]] = []
        for index, row in enumerate(read_features(features)):
            ids = self._text(index, row)
            noise = self.corruption.noise_mask(len(ids), random)
            inputs, targets = corrupted(ids, noise, self._sentinels, self._end)
            rows.append({"input_ids": inputs.tolist()})
            labels.append(targets)
        batch = padded(self.tokenizer, rows, length=self.input_length, multiple=self.pad_to_multiple_of)
        width = max(map(len, labels)) if self.target_length is None else self.target_length
        multiple = self.pad_to_multiple_of or 1
        batch["labels"] = stacked(labels, IGNORED, -(-width // multiple) * multiple)
        return batch_of(batch, self.return_tensors)

    def _text(self, index: int, row: dict[str, Any]) -> NDArray[np.int64]:
        """The ids of a feature that are text, int64 [tokens]."""
        import numpy as np

        others = sorted(row.keys() - KNOWN)
        if others:
            raise TextInputError(
                f"features[{index}] has {', '.join(others)}, of which span corruption would make nothing; leave it out"
            )
        real = row.get("attention_mask", [1] * len(row["input_ids"]))
        text = [token for token, is_real in zip(row["input_ids"], real, strict=True) if is_real]
        while text and text[-1] == self._end:
            text.pop()
        if not text:
            raise TextInputError(
                f"features[{index}] has no token that could be dropped; leave empty texts out"
            )
        if self.tokens_length is not None and len(text) > self.tokens_length:
            raise TextInputError(
                f"features[{index}] has {len(text)} tokens; input_length={self.input_length} has room for what "
                f"becomes of {self.tokens_length} (tokens_length): cut texts into pieces of that"
            )
        problem = self._shortage(len(text))
        if problem:
            raise TextInputError(f"features[{index}]: {problem}")
        ids = np.array(text, dtype=np.int64)
        if np.isin(ids, self._sentinels).any():
            token = self.tokenizer.convert_ids_to_tokens(int(ids[np.isin(ids, self._sentinels)][0]))
            raise TextInputError(
                f"features[{index}] holds the sentinel {token}, which would be taken for a dropped span; remove it"
            )
        return ids

    def _shortage(self, tokens: int) -> str | None:
        """What is wrong if a text of so many tokens needs more sentinels than there are."""
        _, spans = self.corruption.counts(tokens)
        if spans < len(self._sentinels):
            return None
        return (
            f"a text of {tokens} tokens has {spans} spans and needs {spans + 1} sentinels, but the tokenizer has "
            f"{len(self._sentinels)}; use shorter texts, longer spans, or a tokenizer with more extra_ids"
        )


def _end_of(tokenizer: PreTrainedTokenizerBase) -> int:
    if tokenizer.eos_token_id is None:
        raise ConfigValidationError(
            "The tokenizer has no end token, with which inputs and labels end; set tokenizer.eos_token."
        )
    return tokenizer.eos_token_id


def _sentinels(tokenizer: PreTrainedTokenizerBase) -> NDArray[np.int64]:
    """The ids of ``<extra_id_0>``, ``<extra_id_1>`` ..., as far as they go."""
    import numpy as np

    vocabulary = tokenizer.get_vocab()
    ids: list[int] = []
    while (token := SENTINEL.format(len(ids))) in vocabulary:
        ids.append(vocabulary[token])
    if len(ids) < 2:
        raise ConfigValidationError(
            f"The tokenizer has {len(ids)} of the sentinels <extra_id_0>, <extra_id_1> ...; span corruption needs at "
            "least two. Those of published T5 have 100; tokenizer.add_special_tokens adds them to another."
        )
    return np.array(ids, dtype=np.int64)
